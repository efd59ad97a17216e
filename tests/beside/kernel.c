#include "tests/beside/kernel.h"

#include <errno.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sync/kernel_wire.h"
#include "sync/table/conn_state.h"
#include "tests/beside/load.h"

#define MESSAGES 64 /* taken or sent at once */
#define DIRECT 3
#define TIMEOUT 900

/* The entries that the backup thread has taken since the last report. */
struct taken {
	uint64_t entries, distinct, known; /* known: those with a time at which they were sent */
	usec_t first, last;
	uint32_t *waited; /* us, of the known ones */
};

struct run {
	struct kernel *kernel;
	struct load load;
	unsigned int per_message;
	uint64_t sent; /* since the start */
	struct taken taken;
	uint8_t *seen; /* bit by number */
	char line[256];
	size_t line_len;
};

int kernel_open(struct kernel *kernel, const char *interface, struct tap_net *net,
		uint32_t receive_size)
{
	struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(net->own)};
	struct sockaddr_in group = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(net->group),
		.sin_port = htons(net->port),
	};
	struct ip_mreqn membership = {
		.imr_multiaddr = group.sin_addr,
		.imr_ifindex = (int)if_nametoindex(interface),
	};
	const int size = (int)receive_size, one = 1, none = 0;
	socklen_t len = sizeof(own);
	int master = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int backup = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	kernel->master = master;
	kernel->backup = backup;
	if (setsockopt(backup, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
	    setsockopt(backup, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)) < 0 ||
	    bind(backup, (struct sockaddr *)&group, sizeof(group)) < 0 ||
	    setsockopt(backup, IPPROTO_IP, IP_ADD_MEMBERSHIP, &membership, sizeof(membership)) <
		    0 ||
	    setsockopt(master, IPPROTO_IP, IP_MULTICAST_IF, &membership, sizeof(membership)) < 0 ||
	    setsockopt(master, IPPROTO_IP, IP_MULTICAST_LOOP, &none, sizeof(none)) < 0 ||
	    bind(master, (struct sockaddr *)&own, sizeof(own)) < 0 ||
	    connect(master, (struct sockaddr *)&group, sizeof(group)) < 0 ||
	    getsockname(master, (struct sockaddr *)&own, &len) < 0)
		return -errno;
	net->master_port = ntohs(own.sin_port);
	return 0;
}

/* Master */

static void entry_make(uint32_t number, struct entry *ret_entry)
{
	*ret_entry = (struct entry){
		.flow = {.cport = load_client_port(number),
			 .vport = LOAD_PORT,
			 .family = AF_INET,
			 .protocol = IPPROTO_TCP},
		.dport = LOAD_PORT,
		.state = CONN_STATE_TCP_ESTABLISHED,
		.flags = DIRECT,
		.timeout = TIMEOUT,
	};
	store_be32(ret_entry->flow.caddr, load_client(number));
	store_be32(ret_entry->flow.vaddr, LOAD_VIP);
	store_be32(ret_entry->daddr, load_real(number));
}

static void stats_write(const struct run *run)
{
	char text[256];
	int len = snprintf(text, sizeof(text),
			   "       Total Incoming Outgoing\nCPU    Conns  Packets\n  0 %8llX %8llX "
			   "0 0 0\n~        0        0        0        0        0\n",
			   (unsigned long long)run->sent, (unsigned long long)run->sent * 3);

	(void)!pwrite(run->kernel->stats, text, (size_t)len, 0);
}

static void send_messages(struct run *run, uint32_t count)
{
	static uint8_t data[MESSAGES][16384];
	struct mmsghdr messages[MESSAGES] = {0};
	struct iovec vectors[MESSAGES];
	struct load *load = &run->load;
	uint32_t left = MIN(count, MESSAGES * run->per_message);
	unsigned int n = 0;
	usec_t now = load_now();

	for (; left > 0; n++) {
		struct kernel_wire_writer writer;
		uint32_t some = MIN(left, run->per_message);

		kernel_wire_write(&writer, data[n], sizeof(data[n]), run->kernel->syncid);
		for (uint32_t i = 0; i < some; i++) {
			uint32_t number = load->first + load->sent++;
			struct entry entry;

			entry_make(number, &entry);
			kernel_wire_add(&writer, &entry);
			run->kernel->sent_at[number] = (uint32_t)now;
		}
		left -= some;
		vectors[n] = (struct iovec){data[n], kernel_wire_finish(&writer)};
		messages[n].msg_hdr = (struct msghdr){.msg_iov = &vectors[n], .msg_iovlen = 1};
		run->sent += some;
	}
	if (sendmmsg(run->kernel->master, messages, n, 0) != (int)n) {
		perror("the tap takes no more");
		exit(1);
	}
}

static void send_due(struct run *run)
{
	struct load *load = &run->load;
	uint32_t due = load->sent < load->count ? load_due(load, load_now()) : 0;

	if (due == 0)
		return;
	for (; due > 0; due = load_due(load, load_now()))
		send_messages(run, due);
	stats_write(run);
	if (load->sent == load->count)
		printf("{\"event\": \"sent\", \"entries\": %u, \"seconds\": %.6f}\n", load->count,
		       (double)(load_now() - load->start) / 1e6);
}

/* Backup */

static void take_entry(struct run *run, const struct entry *entry, usec_t now)
{
	struct taken *taken = &run->taken;
	uint32_t number = load_number(load_be32(entry->flow.caddr));
	uint32_t at = run->kernel->sent_at[number];
	uint8_t *seen = &run->seen[number / 8], bit = (uint8_t)(1 << number % 8);

	if (taken->entries++ == 0)
		taken->first = now;
	taken->last = now;
	if (*seen & bit)
		return;
	*seen |= bit;
	taken->distinct++;
	if (at)
		taken->waited[taken->known++] = (uint32_t)now - at;
}

static void take_message(struct run *run, const uint8_t *data, size_t len, usec_t now)
{
	struct kernel_wire_reader reader;
	struct entry entry;
	int r = kernel_wire_read(&reader, data, len, run->kernel->syncid);

	while (r == 0 && kernel_wire_next(&reader, &entry) > 0)
		take_entry(run, &entry, now);
}

static void take(struct run *run)
{
	static uint8_t data[MESSAGES][16384];
	struct mmsghdr messages[MESSAGES] = {0};
	struct iovec vectors[MESSAGES];
	usec_t now;
	int n;

	for (unsigned int i = 0; i < MESSAGES; i++) {
		vectors[i] = (struct iovec){data[i], sizeof(data[i])};
		messages[i].msg_hdr = (struct msghdr){.msg_iov = &vectors[i], .msg_iovlen = 1};
	}
	n = recvmmsg(run->kernel->backup, messages, MESSAGES, MSG_DONTWAIT, NULL);
	now = load_now();
	for (int i = 0; i < n; i++)
		take_message(run, data[i], messages[i].msg_len, now);
}

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static double waited_ms(const struct taken *taken, unsigned int percent)
{
	uint64_t n = taken->known;

	return n ? taken->waited[(n * percent + 99) / 100 - 1] / 1e3 : 0;
}

static void report(struct run *run)
{
	struct taken *taken = &run->taken;

	qsort(taken->waited, taken->known, sizeof(*taken->waited), compare);
	printf("{\"event\": \"taken\", \"entries\": %llu, \"distinct\": %llu, \"first_us\": %llu, "
	       "\"last_us\": %llu, \"p50_ms\": %.3f, \"p99_ms\": %.3f, \"max_ms\": %.3f}\n",
	       (unsigned long long)taken->entries, (unsigned long long)taken->distinct,
	       (unsigned long long)taken->first, (unsigned long long)taken->last,
	       waited_ms(taken, 50), waited_ms(taken, 99), waited_ms(taken, 100));
	*taken = (struct taken){.waited = taken->waited};
}

/* Both */

static void command(struct run *run, const char *line)
{
	struct load *load = &run->load;
	unsigned int first, count, rate, burst, each;

	if (strcmp(line, "report") == 0) {
		report(run);
		return;
	}
	if (sscanf(line, "send %u %u %u %u %u", &first, &count, &rate, &burst, &each) != 5 ||
	    first >= LOAD_MAX || count > LOAD_MAX - first || rate == 0 || burst == 0 || each == 0 ||
	    each > KERNEL_WIRE_ENTRIES_MAX || count % burst) {
		fprintf(stderr, "no such command: %s\n", line);
		exit(1);
	}
	*load = (struct load){
		.start = load_now(), .first = first, .count = count, .rate = rate, .burst = burst};
	run->per_message = each;
}

/* False at the end. */
static bool listen_to(struct run *run)
{
	ssize_t n = read(STDIN_FILENO, run->line + run->line_len,
			 sizeof(run->line) - run->line_len - 1);
	char *end;

	if (n <= 0)
		return false;
	run->line_len += (size_t)n;
	run->line[run->line_len] = '\0';
	while ((end = strchr(run->line, '\n'))) {
		size_t used = (size_t)(end + 1 - run->line);

		*end = '\0';
		command(run, run->line);
		run->line_len -= used;
		memmove(run->line, end + 1, run->line_len + 1);
	}
	return true;
}

static struct timespec time_left(const struct load *load)
{
	usec_t now = load_now(), next = now + USEC_PER_SEC;

	if (load->sent < load->count)
		next = MAX(load_time(load), now);
	return (struct timespec){(time_t)((next - now) / USEC_PER_SEC),
				 (long)((next - now) % USEC_PER_SEC * 1000)};
}

void kernel_run(struct kernel *kernel)
{
	struct pollfd polls[] = {{.fd = STDIN_FILENO, .events = POLLIN},
				 {.fd = kernel->backup, .events = POLLIN}};
	struct run run = {.kernel = kernel};

	run.seen = calloc(LOAD_MAX / 8, 1);
	run.taken.waited = calloc(LOAD_MAX, sizeof(*run.taken.waited));
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (!run.seen || !run.taken.waited)
		exit(1);
	for (;;) {
		struct timespec wait = time_left(&run.load);

		if (ppoll(polls, ARRAY_SIZE(polls), &wait, NULL) > 0) {
			if (polls[0].revents && !listen_to(&run))
				exit(0);
			if (polls[1].revents)
				take(&run);
		}
		send_due(&run);
	}
}
