/*
 * member NUMBER PROFILE ENDPOINT JOIN...: a director without a kernel's IPVS, for the benches of
 * membership: the daemon's node on its real sockets.
 *
 * PROFILE is default or fast. Its identity is made of its number. Writes JSON lines: "ready";
 * "notice" for each fact about members, `what` and of whom, `at` in us of CLOCK_REALTIME.
 * Commands, lines on standard input: `leave`; `status`, answered by a line "status" with how many
 * it sees, and the bytes that it has sent in datagrams, with those of IP and UDP. Ends when the
 * leave is done, or with the input.
 */
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "director/io_clock.h"
#include "director/net/io_node.h"
#include "proto/version.h"
#include "tests/identity_fixture.h"

#define IP_UDP 28

struct member {
	uv_loop_t loop;
	uv_pipe_t input;
	uv_timer_t confirmed;
	struct identity identity;
	struct io_node *node;
	char line[64];
	size_t line_len;
};

static void inject(void *context)
{
	struct member *member = context;
	uint8_t data[4096];

	while (sync_inject(node_sync(io_node_get(member->node)), clock_now(), data, sizeof(data)) >
	       0)
		;
}

static void confirmed(uv_timer_t *timer)
{
	io_node_injected(container_of(timer, struct member, confirmed)->node);
}

/* There is no kernel: all is injected at once. */
static void confirm(void *context)
{
	struct member *member = context;

	uv_timer_start(&member->confirmed, confirmed, 0, 0);
}

static void announce(void *context, bool announced)
{
	(void)context;
	(void)announced;
}

static void notice(void *context, const struct membership_notice *told)
{
	(void)context;
	printf("{\"event\": \"notice\", \"what\": \"%s\", \"member\": \"%s\", \"at\": %llu}\n",
	       membership_notice_name((int)told->type), told->name,
	       (unsigned long long)clock_now().wall);
}

static void roster(void *context)
{
	(void)context;
}

static void done(void *context)
{
	(void)context;
	exit(0);
}

static void epoch_wanted(void *context, uint64_t epoch)
{
	(void)context;
	fprintf(stderr, "epoch %llu is wanted\n", (unsigned long long)epoch);
	exit(1);
}

static void returned(void *context, usec_t wall)
{
	(void)context;
	(void)wall;
}

static void print_status(const struct member *member)
{
	struct membership_status status;

	membership_status(node_membership(io_node_get(member->node)), &status);
	printf("{\"event\": \"status\", \"view\": %u, \"bytes\": %llu}\n", status.view,
	       (unsigned long long)(status.bytes_out + IP_UDP * status.datagrams_out));
}

static void input_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
	struct member *member = handle->data;

	(void)suggested;
	*buf = uv_buf_init(member->line + member->line_len,
			   (unsigned int)(sizeof(member->line) - member->line_len));
}

static void input_read(uv_stream_t *stream, ssize_t len, const uv_buf_t *buf)
{
	struct member *member = stream->data;
	char *end;

	(void)buf;
	if (len < 0)
		exit(0);
	member->line_len += (size_t)len;
	while ((end = memchr(member->line, '\n', member->line_len))) {
		*end = '\0';
		if (strcmp(member->line, "leave") == 0)
			io_node_send(member->node, &(struct node_event){.type = NODE_LEAVE});
		else if (strcmp(member->line, "status") == 0)
			print_status(member);
		member->line_len -= (size_t)(end + 1 - member->line);
		memmove(member->line, end + 1, member->line_len);
	}
}

static bool member_open(struct member *member, const char *profile, const struct endpoint *own,
			const struct endpoint *join, unsigned int join_count)
{
	struct io_node_options options = {
		.loop = &member->loop,
		.node = {.identity = &member->identity,
			 .versions = VERSION_RANGE,
			 .epoch = (uint64_t)time(NULL),
			 .join = join,
			 .join_count = join_count,
			 .addresses = own,
			 .address_count = 1,
			 .profile = strcmp(profile, "fast") == 0 ? membership_fast
								 : membership_default,
			 .entries_max = 1000},
		.listen = own,
		.n_listen = 1,
		.context = member,
		.inject = inject,
		.confirm = confirm,
		.announce = announce,
		.notice = notice,
		.roster = roster,
		.done = done,
		.epoch_wanted = epoch_wanted,
		.returned = returned,
	};
	struct fault fault;

	randombytes_buf(options.node.seed, sizeof(options.node.seed));
	if (io_node_open(&options, &member->node, &fault) == 0)
		return true;
	fprintf(stderr, "%s\n", fault.text);
	return false;
}

int main(int argc, char **argv)
{
	struct endpoint endpoints[1 + MEMBERSHIP_JOIN_MAX];
	static struct member member;

	if (argc < 4 || argc - 3 > (int)ARRAY_SIZE(endpoints) || sodium_init() < 0)
		return 2;
	for (int i = 3; i < argc; i++)
		if (endpoint_parse(argv[i], &endpoints[i - 3]) < 0)
			return 2;
	signal(SIGPIPE, SIG_IGN); /* as lvsmeshd does: a peer may be gone */
	setvbuf(stdout, NULL, _IOLBF, 0);
	fixture_now((uint8_t)atoi(argv[1]), &member.identity);
	uv_loop_init(&member.loop);
	uv_pipe_init(&member.loop, &member.input, 0);
	uv_timer_init(&member.loop, &member.confirmed);
	member.input.data = &member;
	if (uv_pipe_open(&member.input, 0) < 0 ||
	    !member_open(&member, argv[2], endpoints, endpoints + 1, (unsigned int)argc - 4))
		return 1;
	uv_read_start((uv_stream_t *)&member.input, input_alloc, input_read);
	io_node_send(
		member.node,
		&(struct node_event){.type = NODE_ADOPTED_ALL}); /* there is no kernel to read */
	io_node_send(member.node, &(struct node_event){.type = NODE_FORWARDER, .ok = true});
	printf("{\"event\": \"ready\"}\n");
	return uv_run(&member.loop, UV_RUN_DEFAULT);
}
