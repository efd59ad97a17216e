/* Whole directors under faults that are drawn from a seed: cuts, holes, slow networks, crashes of
 * daemons and of whole machines, directors that stand still, disks that go back in time, kernels
 * that drop what is injected or lose what they had, floods, connections that are sprayed over all
 * directors. Two things must hold, whatever happens:
 *
 * 1. Once the faults stop, all tables and all kernels become equal.
 * 2. An entry that a director captured and a peer that is ready acknowledged is not lost as long as
 * that peer lives: all end with it, or with something that was captured later.
 *
 * SEED=n replays one run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/sim/cluster.h"
#include "tests/sim/transcript.h"

#define DIRECTORS 8 /* at most */
#define FLOWS 400
#define FLOOD 1000
#define SERVERS 4
#define STEPS 200
#define PATIENCE 240 /* s, until all are equal */

/* A packet that a kernel took: what its director may end with, sooner or later. */
struct capture {
	usec_t time;             /* or when a daemon that stands still will see it */
	uint64_t position, life; /* in its director's journal; life 0: it was not reported */
	unsigned int flow;
	uint16_t state;
	uint8_t server;
};

struct captures {
	struct capture *list; /* in order of position, within a life */
	unsigned int count, cap;
};

struct run {
	struct cluster *cluster;
	uint64_t seed;
	unsigned int count;
	struct captures captures[DIRECTORS];
	/* How many of d's captures e has acknowledged. */
	unsigned int acknowledged[DIRECTORS][DIRECTORS];
	/* The last capture of each flow that e has acknowledged in its present life; time 0: none.
	 */
	struct capture held[DIRECTORS][FLOWS + FLOOD];
	uint64_t held_life[DIRECTORS];
	unsigned int flooded;
	unsigned int crashes[DIRECTORS];
	usec_t frozen[DIRECTORS]; /* until then */
};

static unsigned int draw(struct run *run, unsigned int below)
{
	return cluster_draw(run->cluster, below);
}

/* The daemon's life: an epoch alone may come again when the disk goes back in time. */
static uint64_t life(const struct run *run, unsigned int d)
{
	return cluster_epoch(run->cluster, d) | (uint64_t)run->crashes[d] << 32;
}

static void carried(struct run *run, unsigned int d, unsigned int flow, const struct entry *entry,
		    bool reported)
{
	struct captures *captures = &run->captures[d];
	struct node_status status = {0};

	if (captures->count == captures->cap) {
		captures->cap = 2 * captures->cap + 1024;
		captures->list = realloc(captures->list, captures->cap * sizeof(*captures->list));
		assert_non_null(captures->list);
	}
	if (reported)
		node_status(cluster_node(run->cluster, d), &status);
	captures->list[captures->count++] = (struct capture){
		.time = MAX(cluster_now(run->cluster).mono, run->frozen[d]),
		.position = status.sync.position,
		.life = reported ? life(run, d) : 0,
		.flow = flow,
		.state = entry->state,
		.server = entry->daddr[3],
	};
}

static void packet(struct run *run, unsigned int d, unsigned int flow, uint16_t state,
		   unsigned int server)
{
	struct entry entry = cluster_entry(flow, server, state, true);

	entry.timeout = 3600;
	if (state != 1)
		entry.flags |= ENTRY_INACTIVE;
	bool reported = cluster_packet(run->cluster, d, &entry);

	if (cluster_kernel(run->cluster, d, &entry.flow, &entry))
		carried(run, d, flow, &entry, reported);
}

/* Some packets end a flow, and others begin it again. */
static void traffic(struct run *run, unsigned int d)
{
	static const uint16_t states[] = {1, 1, 1, 1, 4, 5, 7, 8};
	unsigned int flow = draw(run, FLOWS);

	for (unsigned int i = 0; i < 16; i++, flow = (flow + 1) % FLOWS) {
		uint16_t state = states[draw(run, ARRAY_SIZE(states))];
		unsigned int server = draw(run, SERVERS);

		packet(run, d, flow, state, server);
	}
}

/* The router sends each packet another way, and each kernel that has no entry of the flow chooses a
 * real server for itself. */
static void spray(struct run *run)
{
	static const uint16_t states[] = {1, 1, 1, 4, 7};
	unsigned int flow = draw(run, FLOWS);

	for (unsigned int i = 0; i < 32; i++) {
		unsigned int d = draw(run, run->count);
		uint16_t state = states[draw(run, ARRAY_SIZE(states))];
		unsigned int server = draw(run, SERVERS);

		packet(run, d, (flow + i / 8) % FLOWS, state, server);
	}
}

static void flood(struct run *run, unsigned int d)
{
	unsigned int n = MIN(FLOOD - run->flooded, 250u);

	for (; n > 0; n--, run->flooded++)
		packet(run, d, FLOWS + run->flooded, 1, run->flooded % SERVERS);
}

static bool is_ready(const struct run *run, unsigned int d)
{
	struct node_status status = {0};

	if (cluster_up(run->cluster, d))
		node_status(cluster_node(run->cluster, d), &status);
	return status.ready;
}

/* Notes what each peer that lives, and has joined, has acknowledged by now. */
static void look_at_acks(struct run *run, unsigned int d)
{
	const struct captures *captures = &run->captures[d];

	if (!cluster_up(run->cluster, d))
		return;
	for (unsigned int i = NODE_DIALLED_MAX; i < NODE_STREAMS_MAX; i++) {
		struct node_stream_status status;
		unsigned int e = 0, *at;

		node_stream_status(cluster_node(run->cluster, d), i, cluster_now(run->cluster),
				   &status);
		if (status.phase != NODE_STREAM_READY || !status.for_sync)
			continue;
		while (e < run->count && cluster_identity(run->cluster, e)->id != status.id)
			e++;
		if (e == run->count || !is_ready(run, e) ||
		    status.epoch != cluster_epoch(run->cluster, e))
			continue;
		/* A director whose disk went back in time starts again by itself. */
		if (run->held_life[e] != life(run, e))
			memset(run->held[e], 0, sizeof(run->held[e]));
		run->held_life[e] = life(run, e);
		for (at = &run->acknowledged[d][e]; *at < captures->count; ++*at) {
			const struct capture *capture = &captures->list[*at];

			if (capture->life == life(run, d) &&
			    capture->position > status.sync.position)
				break;
			if (capture->life == life(run, d) &&
			    capture->time >= run->held[e][capture->flow].time)
				run->held[e][capture->flow] = *capture;
		}
	}
}

static void crash(struct run *run, unsigned int d, bool kernel)
{
	cluster_crash(run->cluster, d, kernel);
	run->crashes[d]++;
	memset(run->held[d], 0, sizeof(run->held[d]));
	if (draw(run, 8) == 0)
		cluster_rollback(run->cluster, d, 1 + draw(run, 3));
}

static void freeze(struct run *run, unsigned int d, usec_t time)
{
	struct captures *captures = &run->captures[d];
	usec_t now = cluster_now(run->cluster).mono;

	cluster_freeze(run->cluster, d, time);
	run->frozen[d] = MAX(run->frozen[d], now + time);
	/* Captures that wait for the daemon wait longer: also those that it was to see now. */
	for (unsigned int i = captures->count; i > 0; i--) {
		if (captures->list[i - 1].time < now)
			break;
		if (captures->list[i - 1].life == 0)
			captures->list[i - 1].time = run->frozen[d];
	}
}

static void fault(struct run *run)
{
	struct cluster *cluster = run->cluster;
	unsigned int d = draw(run, run->count);
	unsigned int e = draw(run, run->count);
	unsigned int which = draw(run, 24);

	switch (which) {
	case 0:
	case 1:
	case 2:
	case 3:
		cluster_fault(cluster, which, d, e);
		break;
	case 4:
		if (cluster_up(cluster, d))
			crash(run, d, draw(run, 3) == 0);
		break;
	case 5:
	case 6:
	case 7:
		if (!cluster_up(cluster, d))
			cluster_start(cluster, d);
		break;
	case 8:
		cluster_lossy(cluster, draw(run, 2) ? 2 + draw(run, 8) : 0);
		break;
	case 9:
		cluster_slow(cluster, draw(run, 2) ? draw(run, 50) * USEC_PER_MSEC : 0);
		break;
	case 10:
		/* A daemon that is down can't tell it from a kernel that went on. */
		if (cluster_up(cluster, d))
			cluster_lose_server(cluster, d, draw(run, SERVERS));
		break;
	case 11:
		flood(run, d);
		break;
	case 12:
		spray(run);
		break;
	case 13:
		freeze(run, d, draw(run, 4000) * USEC_PER_MSEC);
		break;
	default:
		traffic(run, d);
	}
}

static void faults_stop(struct run *run)
{
	cluster_lossy(run->cluster, 0);
	cluster_slow(run->cluster, 0);
	cluster_heal(run->cluster);
}

/* Whether something that was captured at that time or later is what the first director ended with.
 */
static bool kept(const struct run *run, const struct capture *held, const struct entry *end)
{
	for (unsigned int d = 0; d < run->count; d++) {
		for (unsigned int i = run->captures[d].count; i > 0; i--) {
			const struct capture *capture = &run->captures[d].list[i - 1];

			if (capture->time < held->time)
				break;
			if (capture->flow == held->flow && capture->state == end->state &&
			    capture->server == end->daddr[3])
				return true;
		}
	}
	return false;
}

static void check_acknowledged(struct run *run)
{
	struct entry *ends = calloc(FLOWS + FLOOD, sizeof(*ends));
	struct sync_info info;
	struct entry entry;
	uint64_t cursor = 0;

	assert_non_null(ends);
	while (sync_walk(node_sync(cluster_node(run->cluster, 0)), &cursor, &entry, &info)) {
		unsigned int flow = (unsigned int)entry.flow.caddr[2] << 8 | entry.flow.caddr[3];

		assert_true(flow < FLOWS + FLOOD);
		ends[flow] = entry;
	}
	for (unsigned int flow = 0; flow < FLOWS + FLOOD; flow++) {
		struct capture held = {0};

		for (unsigned int d = 0; d < run->count; d++)
			if (run->held_life[d] == life(run, d) &&
			    run->held[d][flow].time > held.time)
				held = run->held[d][flow];
		if (held.time && !kept(run, &held, &ends[flow]))
			fail_msg("SEED=%lu: flow %u was acknowledged at %lu ms and ended in state "
				 "%u at server %u",
				 (unsigned long)run->seed, flow,
				 (unsigned long)(held.time / USEC_PER_MSEC), ends[flow].state,
				 ends[flow].daddr[3]);
	}
	free(ends);
}

static uint64_t run_faults(uint64_t seed)
{
	struct run *run = calloc(1, sizeof(*run));
	const char *difference = "not looked at";
	uint64_t hash;

	assert_non_null(run);
	run->seed = seed;
	run->count = 2 + (unsigned int)(seed % 4);
	run->cluster = cluster_new(seed, run->count);
	cluster_run(run->cluster, USEC_PER_SEC);
	for (unsigned int i = 0; i < STEPS; i++) {
		fault(run);
		for (unsigned int ms = draw(run, 60); ms > 0; ms--) {
			cluster_run(run->cluster, USEC_PER_MSEC);
			if (ms % 8 == 0)
				for (unsigned int d = 0; d < run->count; d++)
					look_at_acks(run, d);
		}
	}
	faults_stop(run);
	for (unsigned int i = 0; i < PATIENCE && difference; i++) {
		cluster_run(run->cluster, USEC_PER_SEC);
		difference = cluster_difference(run->cluster);
	}
	if (difference)
		fail_msg("SEED=%lu: %s", (unsigned long)seed, difference);
	check_acknowledged(run);
	hash = cluster_hash(run->cluster);
	transcript_add("cluster", seed, hash);
	cluster_free(run->cluster);
	for (unsigned int d = 0; d < DIRECTORS; d++)
		free(run->captures[d].list);
	free(run);
	return hash;
}

static const uint64_t failed_once[] = {601254, 603350, 603703, 603803, 710622};

static void test_faults(void **state)
{
	const char *only = getenv("SEED");

	(void)state;
	for (uint64_t seed = 1; seed <= 16 && !only; seed++)
		run_faults(seed);
	for (size_t i = 0; i < ARRAY_SIZE(failed_once) && !only; i++)
		run_faults(failed_once[i]);
	if (only)
		run_faults(strtoul(only, NULL, 10));
}

/* A seed repeats a run to the last byte. */
static void test_repeats(void **state)
{
	(void)state;
	if (!getenv("SEED"))
		assert_true(run_faults(1) == run_faults(1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_faults),
		cmocka_unit_test(test_repeats),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
