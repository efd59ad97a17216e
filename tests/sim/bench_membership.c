/* Measures that take longer than a test may, as JSON lines: bench_membership WHAT [NUMBER]
 *
 *	scale [MEMBERS]   1000: a crash, and 60 s of virtual time (bench_membership_stub)
 *	hour [SECONDS]    3600: 32 members, 10 % of the packets lost
 *	stalled [SECONDS] 600: 4 of 32 members stopped for 8 s of every 8.1 s
 *	split [SEEDS]     100: half of 4, 5, 8, 32 members cut off, or a third crashed
 *	idle              bytes a second, by members
 *	flood [PACKETS]   1000000: what it takes to refuse one */
#include <sodium.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#include "proto/session/seal.h"
#include "tests/sim/membership_sim.h"

#define S USEC_PER_SEC
#define MS USEC_PER_MSEC

static double wall(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void say(const char *metric, double value, const char *unit, unsigned int members,
		const char *condition)
{
	printf("{\"bench\": \"membership\", \"metric\": \"%s\", \"value\": %.6g, \"unit\": \"%s\", "
	       "\"members\": %u, \"simulated\": true%s}\n",
	       metric, value, unit, members, condition);
	fflush(stdout);
}

static struct sim *cluster(uint64_t seed, unsigned int count, bool quick)
{
	struct sim_options options = {.seed = seed, .count = count, .quick_check = quick};
	struct sim *sim = sim_new(&options);

	for (unsigned int i = 0; i < count; i++) {
		sim_start(sim, i, SIM_KEEP, i ? 1 : 2);
		if (count > 64)
			sim_run(sim, 10 * MS);
	}
	for (unsigned int i = 0; i < 60 && !sim_whole(sim, NULL); i++)
		sim_run(sim, S);
	if (!sim_whole(sim, NULL)) {
		fprintf(stderr, "%u members do not find each other\n", count);
		exit(1);
	}
	sim_run(sim, 10 * S);
	return sim;
}

static bool all_failed(struct sim *sim, unsigned int count, unsigned int n)
{
	for (unsigned int i = 0; i < count; i++)
		if (i != n && sim_state(sim, i, n) != STATE_FAILED)
			return false;
	return true;
}

static void scale(unsigned int count)
{
	double start = wall();
	struct sim *sim = cluster(1, count, true);
	struct sim_status before, after;
	struct rusage usage;
	usec_t crash, end;

	say("sim_join_wall_s", wall() - start, "s", count, "");
	getrusage(RUSAGE_SELF, &usage);
	say("memory_bytes_per_member", (double)usage.ru_maxrss * 1024 / count / count, "bytes",
	    count, ", \"of\": \"one view of one member\"");
	sim_status(sim, &before);
	start = wall();
	end = sim_now(sim) + 60 * S;
	sim_run(sim, 30 * S);
	sim_status(sim, &after);
	say("idle_bytes_per_s", (double)(after.bytes - before.bytes) / 30 / count, "bytes/s", count,
	    "");
	crash = sim_now(sim);
	sim_crash(sim, count / 2, true);
	while (!all_failed(sim, count, count / 2) && sim_now(sim) < end)
		sim_run(sim, 20 * MS);
	say("detect_all_max_ms", (double)(sim_now(sim) - crash) / 1000, "ms", count, "");
	sim_run(sim, end - sim_now(sim));
	say("sim_wall_s", wall() - start, "s", count, ", \"virtual_s\": 60");
	sim_status(sim, &after);
	say("false_failures", after.false_failures, "", count, "");
}

static unsigned int failed_notices(struct sim *sim)
{
	return sim_count(sim, -1, MEMBERSHIP_MEMBER_FAILED, -1, 0);
}

static void hour(unsigned int seconds)
{
	struct sim *sim = cluster(2, 32, true);
	char condition[64];

	sim_forget_notices(sim);
	sim_loss(sim, 100, 10, 0);
	sim_run(sim, seconds * S);
	snprintf(condition, sizeof(condition), ", \"loss\": 0.1, \"virtual_s\": %u", seconds);
	say("false_failures", failed_notices(sim), "", 32, condition);
	say("false_partial", sim_count(sim, -1, MEMBERSHIP_MEMBER_PARTIAL, -1, 0), "", 32,
	    condition);
	sim_free(sim);
}

static void stalled(unsigned int seconds)
{
	struct sim *sim = cluster(3, 32, true);
	unsigned int most = 0, wrong = 0, count;

	sim_forget_notices(sim);
	for (unsigned int i = 0; i < seconds * 10 / 81; i++) {
		for (unsigned int n = 0; n < 4; n++)
			sim_stall(sim, n, 8 * S);
		sim_run(sim, 8100 * MS);
	}
	for (int a = 0; a < 32; a++)
		for (int b = 0; b < 32; b++) {
			count = sim_count(sim, a, MEMBERSHIP_MEMBER_FAILED, b, 0);
			if (b < 4)
				most = MAX(most, count);
			else
				wrong += count;
		}
	say("false_failures", wrong, "", 32, ", \"stalled\": 4");
	say("reports_per_minute", most * 60.0 / seconds, "", 32, ", \"stalled\": 4");
	sim_free(sim);
}

static void split_or_crash(unsigned int count, unsigned int seeds, bool crash)
{
	unsigned int wrong = 0, third = (count + 2) / 3, confirmed;

	for (unsigned int seed = 0; seed < seeds; seed++) {
		struct sim *sim = cluster(5000 + seed, count, true);
		unsigned int at = (unsigned int)sim_random(sim, count);
		uint64_t half = ((UINT64_C(1) << count / 2) - 1) << at % (count - count / 2 + 1);

		/* Some of them by and by, as they are on a bad network. */
		sim_loss(sim, seed % 3 == 2 ? 50 : 0, 0, 0);
		if (crash)
			for (unsigned int i = 0; i < third; i++)
				sim_crash(sim, (at + i) % count, seed % 2);
		else
			sim_partition(sim, half, true);
		sim_run(sim, 10 * S + sim_random(sim, 60 * S));
		sim_loss(sim, 0, 0, 0);
		sim_heal(sim);
		for (unsigned int i = 0; i < count; i++)
			sim_start(sim, i, SIM_KEEP, 0);
		sim_run(sim, 25 * S);
		for (unsigned int i = 0; i < count; i++) {
			confirmed = sim_count(sim, (int)i, MEMBERSHIP_SPLIT_CONFIRMED, -1, 0);
			wrong += confirmed != (crash ? 0 : 1);
		}
		sim_free(sim);
	}
	say(crash ? "crash_called_split" : "split_not_confirmed_once", wrong, "", count,
	    seeds == 100 ? ", \"seeds\": 100" : "");
}

static void idle(void)
{
	static const unsigned int counts[] = {3, 8, 32, 64};
	struct sim_status before, after;

	for (unsigned int i = 0; i < ARRAY_SIZE(counts); i++) {
		struct sim *sim = cluster(4, counts[i], true);

		sim_status(sim, &before);
		sim_run(sim, 60 * S);
		sim_status(sim, &after);
		say("idle_bytes_per_s",
		    (double)(after.bytes + after.stream_bytes - before.bytes -
			     before.stream_bytes) /
			    60 / counts[i],
		    "bytes/s", counts[i], "");
		sim_free(sim);
	}
}

/* A ping's size; sender and epoch are of a member, but for a stranger's. */
static size_t flood_packet(struct sim *sim, const char *reason, uint8_t *data, size_t cap)
{
	struct membership *core = sim_core(sim, 0);
	const struct identity *self = sim_identity(sim, 0), *other = sim_identity(sim, 1);
	struct packet packet = {.version = 1, .kind = 1, .sender = other->id, .len = 64};
	struct packet_key key;
	struct member_info info;
	size_t len = 0;

	randombytes_buf_deterministic(data, cap, (const uint8_t[randombytes_SEEDBYTES]){1});
	membership_find(core, other->id, &info);
	packet.epoch = info.epoch;
	packet.sequence = 1 << 20;
	packet.body = data + PACKET_HEADER;
	if (strcmp(reason, "unknown-sender") == 0)
		packet.sender = 1;
	if (strcmp(reason, "stale") == 0)
		packet.epoch = 1;
	seal_packet_key_init(self, &other->certificate, &key);
	seal_packet_pack(&key, self->certificate.cluster, &packet, data, cap, &len);
	data[len - 1] ^= 1;
	return len;
}

static void flood(unsigned int packets)
{
	static const char *const reasons[] = {"version", "unknown-sender", "stale", "mac"};
	struct sim *sim = cluster(6, 8, true);
	struct membership_event event = {.type = MEMBERSHIP_DATAGRAM};
	struct membership_update update;
	uint8_t data[256];
	char condition[64];
	double start;

	event.data = data;
	event.remote = sim_endpoint(1, 0);
	event.now.mono = sim_now(sim);
	for (unsigned int r = 0; r < ARRAY_SIZE(reasons); r++) {
		uint64_t before = sim_counter(sim, 0, reasons[r]);

		event.len = flood_packet(sim, reasons[r], data, sizeof(data));
		data[0] = r == 0 ? 0xff : data[0];
		start = wall();
		for (unsigned int i = 0; i < packets; i++)
			membership_step(sim_core(sim, 0), &event, &update);
		start = wall() - start;
		if (sim_counter(sim, 0, reasons[r]) != before + packets) {
			fprintf(stderr, "not refused as %s\n", reasons[r]);
			exit(1);
		}
		snprintf(condition, sizeof(condition), ", \"reason\": \"%s\"", reasons[r]);
		say("refused_packet_ns", start / packets * 1e9, "ns", 8, condition);
	}
	sim_free(sim);
}

int main(int argc, char **argv)
{
	static const unsigned int counts[] = {4, 5, 8, 32};
	const char *what = argc > 1 ? argv[1] : "";
	unsigned int number = argc > 2 ? (unsigned int)atoi(argv[2]) : 0;

	if (strcmp(what, "scale") == 0) {
		scale(number ? number : 1000);
	} else if (strcmp(what, "hour") == 0) {
		hour(number ? number : 3600);
	} else if (strcmp(what, "stalled") == 0) {
		stalled(number ? number : 600);
	} else if (strcmp(what, "idle") == 0) {
		idle();
	} else if (strcmp(what, "flood") == 0) {
		flood(number ? number : 1000000);
	} else if (strcmp(what, "split") == 0) {
		for (unsigned int i = 0; i < 8; i++)
			split_or_crash(counts[i / 2], number ? number : 100, i % 2);
	} else {
		fprintf(stderr, "usage: %s scale|hour|stalled|split|idle|flood [NUMBER]\n",
			argv[0]);
		return 2;
	}
	return 0;
}
