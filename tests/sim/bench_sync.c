/* The cost of replication in user space, as JSON lines: bench_sync [MILLIONS [RUN]]
 *
 * Two directors' sync cores in one process, a session between them, no sockets: messages of the
 * kernel are decoded, captured, made into signed batches, sealed, opened, verified, merged and
 * encoded for the other kernel. It runs with 10 thousand entries and tenfold up to MILLIONS (10),
 * of each family: all of them new, then all changed once more in an order that no cache foresees.
 * The part "user" is "all" without what the kernel takes to clear memory. */
#include <sodium.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "proto/session/session.h"
#include "sync/kernel_wire.h"
#include "sync/sync.h"
#include "tests/identity_fixture.h"

#define ROUND 3072 /* entries that a director captures before it is asked for a batch */
#define SYNCID 1
#define ENDS 2
/* The ticks by which the kernel counts its own time are too coarse for fewer entries. */
#define USER_MIN 1000000u
#define INJECT 1400 /* bytes of a message to the kernel */

enum part { CAPTURE, SEND, RECEIVE, INJECT_PART, PARTS };

struct end {
	struct identity identity;
	struct sync *sync;
	struct session *session;
};

struct bench {
	struct end end[ENDS]; /* the sender, the receiver */
	struct now now;
	uint32_t entries;
	bool v6;
	int number;        /* of the run */
	double cpu[PARTS]; /* s */
	double system;     /* s; of these, the kernel's, which clears memory that is new */
	uint64_t wire;
	uint8_t message[ROUND][KERNEL_WIRE_HEADER + KERNEL_WIRE_V6];
	size_t message_len[ROUND];
	uint8_t frame[SYNC_BODY_MAX + SESSION_OVERHEAD];
	uint8_t inject[INJECT];
};

static _Noreturn void fail(const char *what)
{
	fprintf(stderr, "bench_sync: %s\n", what);
	exit(1);
}

static double cpu_seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double system_seconds(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (double)usage.ru_stime.tv_sec + (double)usage.ru_stime.tv_usec / 1e6;
}

/* A message as the kernel's with the smallest sync_maxlen: one entry each. */
static size_t make_message(const struct bench *bench, uint32_t i, uint16_t state, uint8_t *data)
{
	struct kernel_wire_writer writer;
	struct entry entry = {
		.flow = {.family = bench->v6 ? AF_INET6 : AF_INET,
			 .protocol = IPPROTO_TCP,
			 .cport = (uint16_t)(1024 + i % 50000),
			 .vport = 443},
		.dport = 443,
		.state = state,
		.flags = 0x103,
		.timeout = 900,
	};

	store_be32(entry.flow.caddr + (bench->v6 ? 8 : 0), 0x0a000000 + i / 10);
	entry.flow.vaddr[3] = (uint8_t)(1 + i % 4);
	entry.daddr[3] = (uint8_t)(1 + i % 16);
	kernel_wire_write(&writer, data, KERNEL_WIRE_HEADER + KERNEL_WIRE_V6, SYNCID);
	if (kernel_wire_add(&writer, &entry) < 0)
		fail("an entry that no kernel would take");
	return kernel_wire_finish(&writer);
}

/* Lets one end's frame go to the other. False: there was none. */
static bool pass(struct bench *bench, int from, double *send, double *receive)
{
	struct end *a = &bench->end[from], *b = &bench->end[!from];
	struct session_frame frame;
	size_t len, used, at = 0;
	double start = cpu_seconds(), middle;
	uint8_t kind;

	if (sync_output(a->sync, 0, bench->now, bench->frame + SESSION_HEADER, &kind, &len) < 0)
		return false;
	if (session_seal(a->session, kind, bench->frame + SESSION_HEADER, len, bench->frame,
			 sizeof(bench->frame), &len) < 0)
		fail("a frame cannot be sealed");
	middle = cpu_seconds();
	for (; at < len; at += used) {
		int r = session_feed(b->session, bench->frame + at, len - at, bench->now.wall,
				     &used, &frame);

		if (r < 0 || (r > 0 && sync_receive(b->sync, 0, frame.kind, frame.body, frame.len,
						    bench->now) < 0))
			fail("a frame was refused");
	}
	*send += middle - start;
	*receive += cpu_seconds() - middle;
	bench->wire += len;
	return true;
}

static void inject(struct bench *bench)
{
	struct sync *sync = bench->end[1].sync;
	double start = cpu_seconds();

	while (sync_inject(sync, bench->now, bench->inject, sizeof(bench->inject)) > 0)
		sync_injected(sync);
	bench->cpu[INJECT_PART] += cpu_seconds() - start;
}

static void capture(struct bench *bench, unsigned int count)
{
	double start = cpu_seconds();
	struct entry entries[SYNC_CAPTURE_MAX];
	unsigned int n = 0;

	for (unsigned int i = 0; i < count; i++) {
		struct kernel_wire_reader reader;

		if (kernel_wire_read(&reader, bench->message[i], bench->message_len[i], SYNCID))
			fail("a message was refused");
		while (kernel_wire_next(&reader, &entries[n]) > 0) {
			if (++n == SYNC_CAPTURE_MAX) {
				sync_capture_group(bench->end[0].sync, entries, n, bench->now);
				n = 0;
			}
		}
	}
	sync_capture_group(bench->end[0].sync, entries, n, bench->now);
	bench->cpu[CAPTURE] += cpu_seconds() - start;
}

/* Long enough for a batch that is not full. */
static void tick(struct bench *bench)
{
	bench->now.mono += 5 * USEC_PER_MSEC;
	bench->now.wall += 5 * USEC_PER_MSEC;
}

/* Each entry changes once, and goes all the way. */
static void change_all(struct bench *bench, uint16_t state, uint64_t stride)
{
	uint64_t at = 0;

	for (uint32_t done = 0; done < bench->entries;) {
		unsigned int count = MIN(ROUND, bench->entries - done);

		for (unsigned int i = 0; i < count; i++) {
			bench->message_len[i] =
				make_message(bench, (uint32_t)at, state, bench->message[i]);
			at = (at + stride) % bench->entries;
		}
		done += count;
		capture(bench, count);
		tick(bench);
		while (pass(bench, 0, &bench->cpu[SEND], &bench->cpu[RECEIVE])) {
			tick(bench);
			inject(bench);
			pass(bench, 1, &bench->cpu[RECEIVE], &bench->cpu[SEND]);
		}
	}
}

static size_t resident_bytes(void)
{
	unsigned long size, resident;
	FILE *file = fopen("/proc/self/statm", "r");

	if (!file || fscanf(file, "%lu %lu", &size, &resident) != 2)
		fail("/proc/self/statm cannot be read");
	fclose(file);
	return resident * (size_t)sysconf(_SC_PAGESIZE);
}

static void say(const struct bench *bench, const char *metric, double value, const char *unit,
		const char *conditions)
{
	printf("{\"bench\": \"sync\", \"metric\": \"%s\", \"value\": %.4g, \"unit\": \"%s\", "
	       "\"entries\": %u, \"family\": %d, \"run\": %d, "
	       "\"of\": \"user space, no sockets\"%s}\n",
	       metric, value, unit, bench->entries, bench->v6 ? 6 : 4, bench->number, conditions);
	fflush(stdout);
}

static void say_cpu(const struct bench *bench, const char *change, double count)
{
	static const char *const names[PARTS] = {"capture", "send", "receive", "inject"};
	double sum = 0;
	char text[80];

	for (int i = 0; i < PARTS; i++) {
		snprintf(text, sizeof(text), ", \"change\": \"%s\", \"part\": \"%s\"", change,
			 names[i]);
		say(bench, "cpu_us_per_entry", bench->cpu[i] / count * 1e6, "us", text);
		sum += bench->cpu[i];
	}
	snprintf(text, sizeof(text), ", \"change\": \"%s\", \"part\": \"all\"", change);
	say(bench, "cpu_us_per_entry", sum / count * 1e6, "us", text);
	if (bench->entries >= USER_MIN) {
		snprintf(text, sizeof(text), ", \"change\": \"%s\", \"part\": \"user\"", change);
		say(bench, "cpu_us_per_entry",
		    (sum - (system_seconds() - bench->system)) / count * 1e6, "us", text);
	}
	snprintf(text, sizeof(text), ", \"change\": \"%s\"", change);
	say(bench, "entries_per_s", count / (bench->cpu[CAPTURE] + bench->cpu[SEND]), "1/s", text);
}

/* The mean of both ends: the sender's entries are in its journal, the receiver's in no list. */
static void say_memory(const struct bench *bench, size_t before, const char *change)
{
	char text[40];

	snprintf(text, sizeof(text), ", \"change\": \"%s\"", change);
	say(bench, "memory_bytes_per_entry",
	    (double)(resident_bytes() - before) / ENDS / bench->entries, "bytes", text);
}

static void clear(struct bench *bench)
{
	memset(bench->cpu, 0, sizeof(bench->cpu));
	bench->system = system_seconds();
	bench->wire = 0;
}

static void open_end(struct bench *bench, int i)
{
	struct sync_options options = {
		.identity = &bench->end[i].identity,
		.epoch = 100,
		.hash_key = {7, (uint8_t)i},
		.syncid = SYNCID,
		.entries_max = bench->entries,
	};
	struct session_options session = {
		.identity = &bench->end[i].identity,
		.dialer = i == 1,
		.nonce = {(uint8_t)i},
		.versions = VERSION_RANGE,
		.epoch = 100,
	};

	fixture_identity(1, (uint8_t)(1 + i), &bench->end[i].identity);
	if (sync_new(&options, &bench->end[i].sync) < 0 ||
	    session_new(&session, &bench->end[i].session) < 0)
		fail("no memory");
}

static void greet(struct bench *bench)
{
	bool said = true;

	while (said) {
		said = false;
		for (int i = 0; i < ENDS; i++) {
			size_t used, at = 0,
				     len = session_output(bench->end[i].session, bench->frame,
							  sizeof(bench->frame));
			struct session_frame frame;

			for (; at < len; at += used)
				if (session_feed(bench->end[!i].session, bench->frame + at,
						 len - at, bench->now.wall, &used, &frame) < 0)
					fail("a session was refused");
			said |= len > 0;
		}
	}
	for (int i = 0; i < ENDS; i++)
		sync_open(bench->end[i].sync, 0, i == 1, session_peer(bench->end[i].session), 100,
			  bench->now);
}

static void check(const struct bench *bench, uint64_t changes)
{
	struct sync_status sender, receiver;

	sync_status(bench->end[0].sync, &sender);
	sync_status(bench->end[1].sync, &receiver);
	if (sender.captured != changes || receiver.injected != changes ||
	    receiver.entries != bench->entries)
		fail("not all entries arrived");
}

static void run(uint32_t entries, bool v6, int number)
{
	struct bench *bench = calloc(1, sizeof(*bench));
	uint32_t passes = 1 + MIN(9u, 1000000u / entries);
	size_t before;

	if (!bench || sodium_init() < 0)
		fail("no memory");
	bench->entries = entries;
	bench->v6 = v6;
	bench->number = number;
	bench->now = (struct now){.mono = USEC_PER_SEC, .wall = FIXTURE_WALL};
	for (int i = 0; i < ENDS; i++)
		open_end(bench, i);
	greet(bench);
	while (pass(bench, 1, &bench->cpu[0], &bench->cpu[0]) ||
	       pass(bench, 0, &bench->cpu[0], &bench->cpu[0]))
		;
	memset(bench->frame, 0, sizeof(bench->frame));
	memset(bench->message, 0, sizeof(bench->message));
	before = resident_bytes();
	clear(bench);
	change_all(bench, 1, 1);
	check(bench, entries);
	say_memory(bench, before, "new");
	say(bench, "wire_bytes_per_entry", (double)bench->wire / entries, "bytes", "");
	say_cpu(bench, "new", entries);
	/* Each time in another order, so that nothing lies beside what it lay beside before. Powers
	 * of ten are no multiples of the strides. */
	for (uint32_t i = 0; i <= passes; i++) {
		if (i == 1)
			clear(bench);
		change_all(bench, (uint16_t)(2 + i % 4), 2654435761 + 2000010ul * i);
	}
	check(bench, (uint64_t)entries * (2 + passes));
	say_memory(bench, before, "changed");
	say_cpu(bench, "changed", (double)entries * passes);
}

int main(int argc, char **argv)
{
	uint32_t most = (argc > 1 ? (uint32_t)atoi(argv[1]) : 10) * 1000000u;

	for (int v6 = 0; v6 < 2; v6++) {
		for (uint32_t entries = 10000; entries <= MAX(most, 10000u); entries *= 10) {
			int status;
			pid_t pid = fork();

			if (pid == 0) {
				run(entries, v6, argc > 2 ? atoi(argv[2]) : 0);
				exit(0);
			}
			if (pid < 0 || waitpid(pid, &status, 0) < 0 || status != 0)
				return 1;
		}
	}
	return 0;
}
