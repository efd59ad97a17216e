/*
 * tap_probe STATE-DIRECTORY [RECEIVE-SIZE]: the wire tap alone, for the lab.
 *
 * Writes JSON lines: "ready"; "captured" for each entry that comes out of the kernel (`at`, us of
 * CLOCK_REALTIME; `payload`, the message in hex); "changed" when something stalled or recovered;
 * "missed" when entries were not captured; "put-back" when the tap restored what another program
 * had changed; "injected" when all entries that were asked for are confirmed, with the time it
 * took. Commands, lines on standard input: `inject N` (TCP connections to 203.0.113.200:80 from
 * 10.0.0.0/8, established, each N anew), `replay HEX` (this message), `quiet` (no "captured" lines
 * from now), `status`. Ends on SIGTERM, or an end of the input, with the tap closed; with status 1
 * and a sentence on standard error if there is none.
 */
#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "director/tap/io_tap.h"
#include "sync/kernel_wire.h"

struct probe {
	uv_loop_t loop;
	uv_pipe_t input;
	uv_signal_t term;
	uv_check_t turn;
	struct io_tap *tap;
	struct io_tap_options options;
	char line[4096];
	size_t line_len;
	bool quiet;

	/* Entries to inject: [confirmed, wanted), of which [confirmed, pulled) are under way. */
	uint32_t wanted, pulled, confirmed;
	uint64_t began;

	/* One message to replay. */
	uint8_t replay[1024];
	size_t replay_len;
};

static long long realtime(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (long long)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void print_payload(const uint8_t *payload, size_t len)
{
	printf(", \"payload\": \"");
	for (size_t i = 0; i < len; i++)
		printf("%02x", payload[i]);
	printf("\"}\n");
}

static void on_captured(void *ctx, const uint8_t *payload, size_t len)
{
	struct probe *probe = ctx;
	struct kernel_wire_reader reader;
	struct entry entry;
	long long at = realtime();
	int r = kernel_wire_read(&reader, payload, len, probe->options.syncid);

	if (r != 0)
		printf("{\"event\": \"refused\", \"why\": \"%s\"}\n", kernel_wire_error_name(r));
	if (r != 0 || probe->quiet)
		return;
	while ((r = kernel_wire_next(&reader, &entry)) != 0) {
		char client[INET6_ADDRSTRLEN];

		if (r < 0) {
			printf("{\"event\": \"refused\", \"why\": \"%s\"}\n",
			       kernel_wire_error_name(-r));
			continue;
		}
		inet_ntop(entry.flow.family, entry.flow.caddr, client, sizeof(client));
		printf("{\"event\": \"captured\", \"at\": %lld, \"client\": \"%s\", \"port\": %u, "
		       "\"protocol\": %u, \"state\": %u, \"flags\": %u, \"timeout\": %u, "
		       "\"fwmark\": %u, \"sequence\": %d, \"engine\": \"%s\", "
		       "\"engine_data\": %u",
		       at, client, entry.flow.cport, entry.flow.protocol, entry.state, entry.flags,
		       entry.timeout, entry.fwmark, entry.options && entry.options->has_seq,
		       entry.options ? entry.options->pe_name : "",
		       entry.options ? entry.options->pe_data_len : 0);
		print_payload(payload, len);
	}
}

static void on_late(void *ctx, usec_t since)
{
	(void)ctx;
	(void)since;
}

static void on_captured_all(void *ctx)
{
	(void)ctx;
}

static void make_entry(struct entry *entry, uint32_t i)
{
	*entry = (struct entry){
		.flow = {.family = AF_INET,
			 .protocol = IPPROTO_TCP,
			 .cport = (uint16_t)(1024 + i % 50000),
			 .vport = 80},
		.dport = 80,
		.state = 1,
		.flags = 3,
		.timeout = 900,
	};
	store_be32(entry->flow.caddr, 0x0a000000 + i / 50000);
	store_be32(entry->flow.vaddr, 0xcb0071c8);
	store_be32(entry->daddr, 0x0a010033);
}

static size_t on_pull(void *ctx, uint8_t *payload, size_t cap)
{
	struct probe *probe = ctx;
	struct kernel_wire_writer writer;
	struct entry entry;
	size_t len = probe->replay_len;

	if (len) {
		memcpy(payload, probe->replay, len);
		probe->replay_len = 0;
		return len;
	}
	kernel_wire_write(&writer, payload, cap, probe->options.syncid);
	while (probe->pulled < probe->wanted) {
		make_entry(&entry, probe->pulled);
		if (kernel_wire_add(&writer, &entry) < 0)
			break;
		probe->pulled++;
	}
	return kernel_wire_finish(&writer);
}

static void on_confirmed(void *ctx)
{
	struct probe *probe = ctx;
	bool done = probe->confirmed < probe->wanted && probe->pulled == probe->wanted;

	probe->confirmed = probe->pulled;
	if (done)
		printf("{\"event\": \"injected\", \"entries\": %u, \"ms\": %.1f}\n", probe->wanted,
		       (double)(uv_hrtime() - probe->began) / 1e6);
}

static void on_lost(void *ctx)
{
	struct probe *probe = ctx;

	probe->pulled = probe->confirmed;
	io_tap_kick(probe->tap);
}

static void print_status(const struct probe *probe, const char *event)
{
	struct io_tap_status s;
	uint64_t refused = 0;

	io_tap_status(probe->tap, &s);
	for (int i = 0; i < TAP_E_MAX; i++)
		refused += s.refused[i];
	printf("{\"event\": \"%s\", \"captured_entries\": %lu, \"own_messages\": %lu, "
	       "\"foreign\": %lu, \"refused\": %lu, \"capture_drops\": %lu, "
	       "\"injected_messages\": %lu, \"injected_entries\": %lu, \"inject_drops\": %lu, "
	       "\"inject_retries\": %lu, \"write_errors\": %lu, \"beats\": %lu, \"echoes\": %lu, "
	       "\"stalled\": %d, \"silent\": %d, \"blocked\": %d, \"thread_restarts\": %lu, "
	       "\"table_size\": %u, \"table_small\": %d, \"wakes\": %lu}\n",
	       event, s.captured_entries, s.own_messages, s.foreign_packets, refused,
	       s.capture_drops, s.injected_messages, s.injected_entries, s.inject_drops,
	       s.inject_retries, s.write_errors, s.beats, s.echoes, s.stalled_since != 0,
	       s.silent_since != 0, s.blocked_since != 0, s.thread_restarts, s.table_size,
	       s.table_small, s.wakes);
}

static void on_changed(void *ctx)
{
	print_status(ctx, "changed");
}

static void on_put_back(void *ctx, const char *what, const char *was, int r)
{
	(void)ctx;
	printf("{\"event\": \"put-back\", \"what\": \"%s\", \"was\": \"%s\", \"r\": %d}\n", what,
	       was, r);
}

static void on_missed(void *ctx)
{
	print_status(ctx, "missed");
}

static void command(struct probe *probe, const char *line)
{
	unsigned int count, byte;

	if (strncmp(line, "replay ", 7) == 0) {
		probe->replay_len = 0;
		for (line += 7; sscanf(line, "%2x", &byte) == 1; line += 2)
			if (probe->replay_len < sizeof(probe->replay))
				probe->replay[probe->replay_len++] = (uint8_t)byte;
		io_tap_kick(probe->tap);
	} else if (sscanf(line, "inject %u", &count) == 1) {
		probe->wanted = count;
		probe->pulled = probe->confirmed = 0;
		probe->began = uv_hrtime();
		io_tap_kick(probe->tap);
	} else if (strcmp(line, "quiet") == 0) {
		probe->quiet = true;
	} else {
		print_status(probe, "status");
	}
}

static void on_closed(void *ctx)
{
	struct probe *probe = ctx;

	uv_close((uv_handle_t *)&probe->input, NULL);
	uv_close((uv_handle_t *)&probe->term, NULL);
	uv_close((uv_handle_t *)&probe->turn, NULL);
}

static void finish(struct probe *probe)
{
	if (probe->tap)
		io_tap_close(probe->tap, on_closed, probe);
	probe->tap = NULL;
}

/* Once a turn: a line each would cost as much as what is measured. */
static void on_turn(uv_check_t *turn)
{
	(void)turn;
	fflush(stdout);
}

static void on_term(uv_signal_t *term, int number)
{
	(void)number;
	finish(term->data);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret_buf)
{
	struct probe *probe = handle->data;

	(void)suggested;
	*ret_buf = uv_buf_init(probe->line + probe->line_len,
			       (unsigned int)(sizeof(probe->line) - 1 - probe->line_len));
}

static void on_input(uv_stream_t *input, ssize_t len, const uv_buf_t *buf)
{
	struct probe *probe = input->data;
	char *newline;

	(void)buf;
	if (len < 0) {
		finish(probe);
		return;
	}
	probe->line_len += (size_t)len;
	probe->line[probe->line_len] = '\0';
	while ((newline = strchr(probe->line, '\n'))) {
		*newline = '\0';
		command(probe, probe->line);
		probe->line_len -= (size_t)(newline + 1 - probe->line);
		memmove(probe->line, newline + 1, probe->line_len + 1);
	}
}

int main(int argc, char **argv)
{
	static struct probe probe;
	struct fault fault;

	if (argc < 2 || argc > 3) {
		fprintf(stderr, "usage: tap_probe STATE-DIRECTORY [RECEIVE-SIZE]\n");
		return 2;
	}
	setvbuf(stdout, NULL, _IOFBF, 1 << 16);
	uv_loop_init(&probe.loop);
	io_tap_options_init(&probe.options);
	probe.options.loop = &probe.loop;
	probe.options.state_dir = argv[1];
	if (argc == 3)
		probe.options.receive_size = (uint32_t)strtoul(argv[2], NULL, 10);
	probe.options.callbacks = (struct io_tap_callbacks){
		.captured = on_captured,
		.late = on_late,
		.captured_all = on_captured_all,
		.pull = on_pull,
		.confirmed = on_confirmed,
		.lost = on_lost,
		.missed = on_missed,
		.put_back = on_put_back,
		.changed = on_changed,
	};
	probe.options.node_ctx = probe.options.ctx = &probe;
	if (io_tap_open(&probe.options, &probe.tap, &fault) < 0) {
		fprintf(stderr, "%s\n", fault.text);
		return 1;
	}
	uv_signal_init(&probe.loop, &probe.term);
	uv_check_init(&probe.loop, &probe.turn);
	uv_check_start(&probe.turn, on_turn);
	uv_pipe_init(&probe.loop, &probe.input, 0);
	probe.term.data = probe.input.data = &probe;
	uv_signal_start(&probe.term, on_term, SIGTERM);
	uv_pipe_open(&probe.input, 0);
	uv_read_start((uv_stream_t *)&probe.input, on_alloc, on_input);
	print_status(&probe, "ready");
	fflush(stdout);
	uv_run(&probe.loop, UV_RUN_DEFAULT);
	uv_loop_close(&probe.loop);
	return 0;
}
