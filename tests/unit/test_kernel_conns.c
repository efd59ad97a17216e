#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "director/service/kernel_conns.h"
#include "proto/endpoint.h"
#include "sync/table/conn_state.h"

#define HEADING "Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Expires PEName PEData\n"

/* Recorded on Linux 6.1: a masquerading service on each family, persistence, fwmarks, SIP. */
static const char sample[] =
	"Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Expires PEName PEData\n"
	"TCP 0A020009 9A3C CB00710A 0050 0A010015 1F90 ESTABLISHED     898\n"
	"IP  0A020009 0000 00000007 0000 0A010015 0000 ASSURED         298\n"
	"UDP 0A020009 D7F3 CB00710A 13C4 0A010015 13C4 UDP             298\n"
	"UDP 0A020009 D7F3 CB00710A 0035 0A010015 0035 UDP             298\n"
	"TCP 0A020009 EB32 CB00710A 0051 0A010015 1F90 ESTABLISHED     898\n"
	"TCP fd02:0000:0000:0000:0000:0000:0000:0009 C9CE"
	" 2001:0db8:0000:0000:0000:0000:0000:0010 0050 fd01:0000:0000:0000:0000:0000:0000:0021 "
	"1F90 ESTABLISHED     898\n"
	"TCP 0A020009 0000 CB00710A 0051 0A010015 1F90 ASSURED         298\n"
	"TCP fd02:0000:0000:0000:0000:0000:0000:0009 E68C"
	" 2001:0db8:0000:0000:0000:0000:0000:0010 005A fd01:0000:0000:0000:0000:0000:0000:0021 "
	"005A ESTABLISHED     898\n"
	"IP  fd02:0000:0000:0000:0000:0000:0000:0009 0000"
	" 0000:0008:0000:0000:0000:0000:0000:0000 0000 fd01:0000:0000:0000:0000:0000:0000:0021 "
	"0000 ASSURED         298\n"
	"UDP 0A020009 0000 CB00710A 13C4 0A010015 13C4 NONE             58 sip x1@host\n"
	"TCP 0A020009 9A4C CB00710A 0050 0A010015 1F90 CLOSE_WAIT       58\n"
	"TCP 0A020009 80FC CB00710A 005A 0A010015 005A ESTABLISHED     898\n";

static int read_all(const char *text, size_t piece, struct entry *entries, int max)
{
	static struct kernel_conns_reader reader;
	size_t len = strlen(text);
	int count = 0;

	kernel_conns_init(&reader);
	for (size_t at = 0; at < len; at += piece) {
		int r;

		kernel_conns_feed(&reader, text + at, MIN(piece, len - at));
		while ((r = kernel_conns_next(&reader, &entries[count])) != 0) {
			assert_int_equal(r, 1);
			assert_in_range(++count, 1, max - 1);
		}
	}
	return count;
}

static int read_line(const char *line, struct entry *ret_entry)
{
	static struct kernel_conns_reader reader;
	char text[1024];

	snprintf(text, sizeof(text), HEADING "%s\n", line);
	kernel_conns_init(&reader);
	kernel_conns_feed(&reader, text, strlen(text));
	return kernel_conns_next(&reader, ret_entry);
}

static void test_sample(void **state)
{
	struct entry e[16];
	struct ip_addr ip;

	(void)state;
	assert_int_equal(read_all(sample, sizeof(sample), e, 16), 12);

	assert_int_equal(e[0].flow.family, AF_INET);
	assert_int_equal(e[0].flow.protocol, IPPROTO_TCP);
	assert_memory_equal(e[0].flow.caddr, "\x0a\x02\x00\x09\0\0\0\0\0\0\0\0\0\0\0", 16);
	assert_memory_equal(e[0].flow.vaddr, "\xcb\x00\x71\x0a", 4);
	assert_memory_equal(e[0].daddr, "\x0a\x01\x00\x15", 4);
	assert_int_equal(e[0].flow.cport, 0x9a3c);
	assert_int_equal(e[0].flow.vport, 80);
	assert_int_equal(e[0].dport, 8080);
	assert_int_equal(e[0].state, 1);
	assert_int_equal(e[0].flags, 0);
	assert_int_equal(e[0].timeout, 898);
	assert_int_equal(e[0].flow.template, 0);
	assert_null(e[0].options);

	/* a fwmark's template: the mark is the address */
	assert_int_equal(e[1].flow.protocol, 0);
	assert_int_equal(load_be32(e[1].flow.vaddr), 7);
	assert_int_equal(e[1].flags, ENTRY_TEMPLATE);
	assert_int_equal(e[1].flow.template, 1);
	assert_int_equal(e[1].state, 1);

	assert_int_equal(e[2].flow.protocol, IPPROTO_UDP);
	assert_int_equal(e[2].state, 0);

	assert_int_equal(e[5].flow.family, AF_INET6);
	ip_addr_parse("2001:db8::10", &ip);
	assert_memory_equal(e[5].flow.vaddr, ip.bytes, 16);

	assert_int_equal(e[6].flow.template, 1);
	assert_int_equal(e[6].flow.vport, 81);

	assert_int_equal(e[8].flow.family, AF_INET6);
	assert_int_equal(load_be32(e[8].flow.vaddr), 8);

	/* state CLOSE_WAIT: its real server counts it as inactive */
	assert_int_equal(e[10].state, 7);
	assert_int_equal(e[10].flags, ENTRY_INACTIVE);
}

static void test_pieces(void **state)
{
	struct entry whole[16], pieces[16];

	(void)state;
	read_all(sample, sizeof(sample), whole, 16);
	for (size_t piece = 1; piece < 200; piece += 7) {
		assert_int_equal(read_all(sample, piece, pieces, 16), 12);
		for (int i = 0; i < 12; i++) {
			assert_memory_equal(&whole[i].flow, &pieces[i].flow, sizeof(whole[i].flow));
			assert_int_equal(whole[i].timeout, pieces[i].timeout);
		}
	}
}

static void test_options(void **state)
{
	struct entry e;

	(void)state;
	assert_int_equal(read_line("UDP 0A020009 0000 CB00710A 13C4 0A010015 13C4 NONE     "
				   "       58 sip 7a b.c@host",
				   &e),
			 1);
	assert_int_equal(e.flags, ENTRY_TEMPLATE);
	assert_non_null(e.options);
	assert_string_equal(e.options->pe_name, "sip");
	assert_int_equal(e.options->pe_data_len, 11);
	assert_memory_equal(e.options->pe_data, "7a b.c@host", 11);
	assert_int_equal(e.flow.pe_digest, entry_pe_digest((const uint8_t *)"7a b.c@host", 11));
}

static void test_names(void **state)
{
	static const struct {
		const char *line, *protocol, *state;
		uint32_t flags;
	} cases[] = {
		{"TCP 0A020009 9A3C CB00710A 0050 0A010015 1F90 NONE 60", "TCP", "NONE",
		 ENTRY_INACTIVE},
		{"TCP 0A020009 0000 CB00710A 0050 0A010015 1F90 LISTEN 60", "TCP", "LISTEN",
		 ENTRY_INACTIVE | ENTRY_NO_CPORT},
		{"TCP 0A020009 9A3C CB00710A 0050 0A010015 1F90 SYN_RECV 60", "TCP", "SYN_RECV", 0},
		{"SCTP 0A020009 9A3C CB00710A 0050 0A010015 1F90 C-ECHOED 60", "SCTP", "C-ECHOED",
		 ENTRY_INACTIVE},
		{"SCTP 0A020009 9A3C CB00710A 0050 0A010015 1F90 ESTABLISHED 60", "SCTP",
		 "ESTABLISHED", 0},
		{"IP  0A020009 0000 00000007 0000 0A010015 0000 NONE 60", "IP", "NONE",
		 ENTRY_TEMPLATE},
		{"UDP 0A020009 0001 CB00710A 0035 0A010015 0035 UDP 60", "UDP", "UDP",
		 ENTRY_INACTIVE},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct entry e;

		assert_int_equal(read_line(cases[i].line, &e), 1);
		assert_string_equal(conn_state_protocol_name(&e), cases[i].protocol);
		assert_string_equal(conn_state_name(&e), cases[i].state);
		assert_int_equal(e.flags, cases[i].flags);
	}
}

static void test_refused(void **state)
{
	static const struct {
		int error;
		const char *line;
	} cases[] = {
		{KERNEL_CONNS_E_LINE, ""},
		{KERNEL_CONNS_E_LINE, "TCP 0A020009 9A3C CB00710A 0050 0A010015 1F90 ESTABLISHED"},
		{KERNEL_CONNS_E_LINE, "TCP 0A02009 9A3C CB00710A 0050 0A010015 1F90 CLOSE 60"},
		{KERNEL_CONNS_E_LINE, "TCP 0A020009 9A3 CB00710A 0050 0A010015 1F90 CLOSE 60"},
		{KERNEL_CONNS_E_LINE, "TCP 0A020009 9A3C CB00710A 0050 0A010015 1F9G CLOSE 60"},
		{KERNEL_CONNS_E_LINE, "TCP 0A020009 9A3C CB00710A 0050 0A010015 1F90 CLOSE 6A"},
		{KERNEL_CONNS_E_LINE,
		 "TCP 0A020009 9A3C CB00710A 0050 0A010015 1F90 CLOSE 4294967296"},
		{KERNEL_CONNS_E_LINE, "TCP 0A020009 9A3C fd01::1 0050 0A010015 1F90 CLOSE 60"},
		{KERNEL_CONNS_E_LINE, "TCP 0A020009 9A3C CB00710A 0050 0A010015 1F90 CLOSE 60 sip"},
		{KERNEL_CONNS_E_LINE, "TCP 0A020009 9A3C CB00710A 0050 0A010015 1F90 CLOSE 60 "
				      "sixteen-letters- x"},
		{KERNEL_CONNS_E_PROTOCOL, "AH  0A020009 9A3C CB00710A 0050 0A010015 1F90 ERR! 60"},
		{KERNEL_CONNS_E_STATE, "TCP 0A020009 9A3C CB00710A 0050 0A010015 1F90 ERR! 60"},
		{KERNEL_CONNS_E_STATE, "UDP 0A020009 9A3C CB00710A 0050 0A010015 1F90 CLOSE 60"},
		{KERNEL_CONNS_E_FAMILY, "TCP 0A020009 9A3C CB00710A 0050 fd01::21 1F90 CLOSE 60"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct entry e = {.timeout = 4711};

		assert_int_equal(read_line(cases[i].line, &e), -cases[i].error);
		assert_int_equal(e.timeout, 4711);
	}
	for (int i = 1; i < KERNEL_CONNS_E_MAX; i++)
		assert_string_not_equal(kernel_conns_error_name(i), "?");
	assert_string_equal(kernel_conns_error_name(0), "?");
	assert_string_equal(kernel_conns_error_name(KERNEL_CONNS_E_MAX), "?");
}

/* A line that fits nowhere is left out, and the next one is read. */
static void test_overlong(void **state)
{
	static struct kernel_conns_reader reader;
	char text[4096];
	struct entry e;

	(void)state;
	memset(text, 'x', sizeof(text));
	memcpy(text, HEADING, strlen(HEADING));
	strcpy(text + 3000, "\nUDP 0A020009 0001 CB00710A 0035 0A010015 0035 UDP 60\n");
	kernel_conns_init(&reader);
	kernel_conns_feed(&reader, text, strlen(text));
	assert_int_equal(kernel_conns_next(&reader, &e), -KERNEL_CONNS_E_LINE);
	assert_int_equal(kernel_conns_next(&reader, &e), 1);
	assert_int_equal(e.flow.vport, 53);
	assert_int_equal(kernel_conns_next(&reader, &e), 0);
}

static void service_add_mark(struct service_set *set, uint8_t family, uint16_t port, uint32_t mark,
			     uint8_t forwarding)
{
	struct real_server real = {
		.endpoint = {.ip = {.family = family, .bytes = {10, 1, 0, 21}}, .port = 8080},
		.forwarding = forwarding};
	struct service service;
	struct service *added;

	memset(&service, 0, sizeof(service));
	service.key.vip.ip.family = family;
	service.key.fwmark = mark;
	if (!mark) {
		memcpy(service.key.vip.ip.bytes, "\xcb\x00\x71\x0a", 4);
		service.key.vip.port = port;
		service.key.protocol = IPPROTO_TCP;
	}
	added = service_set_add(set, &service);
	assert_non_null(service_add(added, &real));
}

static void test_complete(void **state)
{
	static const struct {
		const char *line;
		int result;
		uint32_t forwarding, fwmark;
	} cases[] = {
		{"TCP 0A020009 9A3C CB00710A 0050 0A010015 1F90 ESTABLISHED 60", 0, 3, 0},
		{"TCP 0A020009 0000 CB00710A 0050 0A010015 1F90 ASSURED 60", 0, 3, 0},
		/* the service of every port */
		{"TCP 0A020009 9A3C CB00710A 0051 0A010015 0051 ESTABLISHED 60", 0, 2, 0},
		{"IP 0A020009 0000 00000007 0000 0A010015 0000 NONE 60", 0, 0, 7},
		{"IP 0A020009 0000 00000008 0000 0A010015 0000 NONE 60", -KERNEL_CONNS_E_SERVICE, 0,
		 0},
		/* a marked flow to another VIP */
		{"TCP 0A020009 9A3C CB00710B 0050 0A010015 1F90 ESTABLISHED 60", 0, 0, 7},
		{"TCP 0A020009 9A3C CB00710A 0050 0A010016 1F90 ESTABLISHED 60",
		 -KERNEL_CONNS_E_SERVICE, 0, 0},
	};
	struct service_set set = {0};

	(void)state;
	service_add_mark(&set, AF_INET, 80, 0, FORWARDING_DIRECT);
	service_add_mark(&set, AF_INET, 0, 0, FORWARDING_TUNNEL);
	service_add_mark(&set, AF_INET, 0, 7, FORWARDING_NAT);
	set.services[2].key.vip.port = 0;
	service_set_sort(&set);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct entry e;

		assert_int_equal(read_line(cases[i].line, &e), 1);
		assert_int_equal(kernel_conns_complete(&set, &e), cases[i].result);
		assert_int_equal(e.flags & ENTRY_FWD_MASK, cases[i].forwarding);
		assert_int_equal(e.fwmark, cases[i].fwmark);
	}
	service_set_fini(&set);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sample),   cmocka_unit_test(test_pieces),
		cmocka_unit_test(test_options),  cmocka_unit_test(test_names),
		cmocka_unit_test(test_refused),  cmocka_unit_test(test_overlong),
		cmocka_unit_test(test_complete),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
