/* The output of `lvsmesh status`: a table of situations with the screen for each, so that no two
 * lines of one screen contradict each other, and "All is well." shows when it is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "director/config/config.h"
#include "director/control/status.h"
#include "director/ctl/ctl_screen.h"
#include "director/event/observer.h"
#include "tests/sim/cluster.h"

static const char yaml[] = "node: {name: d1}\n"
			   "cluster: {listen: ['10.0.0.1:7946']}\n"
			   "services:\n"
			   "- {name: web, address: '203.0.113.10:80',"
			   " real-servers: [{address: '10.1.0.21:80'}]}\n";

/* The screen is d1's. The state of a healthy director's shell, before a situation changes it. */
struct world {
	struct cluster *cluster;
	struct config *config;
	struct event_log *log;
	struct observer observer;
	struct status_facts facts;
	struct now now;
};

static bool no_counter(void *context, unsigned int i, struct counter *ret_counter)
{
	(void)context;
	(void)i;
	(void)ret_counter;
	return false;
}

static void world_init(struct world *world, struct cluster *cluster)
{
	struct config_error error;

	*world = (struct world){.cluster = cluster};
	if (config_parse(yaml, strlen(yaml), "lvsmesh.yaml", &world->config, &error) < 0)
		fail_msg("%s", error.text);
	assert_int_equal(event_log_new("d1", 9, &world->log), 0);
	world->facts = (struct status_facts){
		.identity = cluster_identity(cluster, 0),
		.config = world->config,
		.announcing = true,
		.forwarder_ok = true,
		.programmed = true,
		.adopted = true,
		.config_path = "lvsmesh.yaml",
		.config_digest = "0123456789abcdef",
		.events = world->log,
		.guarded = true,
		.entries_max = 1000,
		.counter = no_counter,
	};
}

static void world_fini(struct world *world)
{
	event_log_free(world->log);
	config_free(world->config);
	cluster_free(world->cluster);
}

/* As the daemon's observers do it every second. */
static void observe(struct world *world)
{
	struct node *node = cluster_node(world->cluster, 0);
	struct node_status status;
	struct peers peers;

	world->facts.node = node;
	world->now = cluster_now(world->cluster);
	node_status(node, &status);
	peers_collect(node, world->now, &peers);
	observer_alone("d1", status.alone, world->now.mono - world->facts.started, world->log,
		       world->now);
	observer_drain(&world->observer, "d1", &status, world->log, world->now);
	observer_replication(&peers, world->log, world->now);
	observer_forwarder("d1", world->facts.stalled_since, world->log, world->now);
}

static void run(struct world *world, unsigned int seconds)
{
	for (unsigned int i = 0; i < seconds; i++) {
		cluster_run(world->cluster, USEC_PER_SEC);
		observe(world);
	}
}

/* Ages and lags vary: each number before a unit of time becomes N, each time of an event T. */
static void without_times(const char *from, char *to)
{
	static const char *const units[] = {" ms", " s", " min", " h"};

	while (*from) {
		size_t digits = strspn(from, "0123456789");
		bool is_age = false;

		for (size_t i = 0; digits && i < ARRAY_SIZE(units); i++)
			is_age |= strncmp(from + digits, units[i], strlen(units[i])) == 0 &&
				  !strchr("abcdefghijklmnopqrstuvwxyz",
					  from[digits + strlen(units[i])]);
		if (digits == 4 && strncmp(from + 4, "-11-", 4) == 0) {
			*to++ = 'T';
			from += strcspn(from, "Z") + 1;
		} else if (is_age) {
			*to++ = 'N';
			from += digits;
		} else {
			do {
				*to++ = *from++;
			} while (digits && --digits);
		}
	}
	*to = '\0';
}

/* Its screen, but for the line of names and versions. */
static char *screen(struct world *world)
{
	json_t *status;
	char *text = NULL, *plain;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	observe(world);
	status = status_make(&world->facts, world->now);
	assert_non_null(status);
	ctl_screen_print(out, status);
	fclose(out);
	json_decref(status);
	plain = malloc(len + 1);
	without_times(strchr(text, '\n') + 2, plain);
	free(text);
	return plain;
}

/* Situations: each starts with three directors, whole and ready, and no entry. */

static void all_well(struct world *world)
{
	(void)world;
}

static void restart(struct world *world)
{
	cluster_crash(world->cluster, 0, true);
	cluster_start(world->cluster, 0);
	world->facts.started = cluster_now(world->cluster).mono;
}

static void starting(struct world *world)
{
	restart(world);
	world->facts.announcing = false;
}

/* Never met: the others are not there when it starts. */
static void found_nobody(struct world *world)
{
	cluster_crash(world->cluster, 1, true);
	cluster_crash(world->cluster, 2, true);
	restart(world);
	run(world, 12);
}

static void tell(struct world *world, unsigned int d, enum node_event_type type)
{
	cluster_tell(world->cluster, d,
		     (struct node_event){.type = type, .lease = 300 * USEC_PER_SEC});
	run(world, 1);
	cluster_crash(world->cluster, d, true);
}

static void others_away(struct world *world)
{
	tell(world, 1, NODE_ABSENCE);
	tell(world, 2, NODE_ABSENCE);
	run(world, 3);
}

static void one_away(struct world *world)
{
	tell(world, 1, NODE_ABSENCE);
	run(world, 3);
}

static void others_left(struct world *world)
{
	tell(world, 1, NODE_LEAVE);
	tell(world, 2, NODE_LEAVE);
	run(world, 3);
}

static void one_failed(struct world *world)
{
	struct event event;

	cluster_crash(world->cluster, 1, true);
	run(world, 8);
	event_init(&event, EVENT_MEMBER_FAILED, "d2", "Member d2 has failed.");
	event_log_raise(world->log, &event, world->now);
}

/* The network swallows what d2 says; its streams do not know yet. */
static void one_silent(struct world *world)
{
	struct event event;

	cluster_hole(world->cluster, 0, 1, true);
	cluster_hole(world->cluster, 1, 2, true);
	run(world, 3);
	event_init(&event, EVENT_MEMBER_FAILED, "d2", "Member d2 has failed.");
	event_log_raise(world->log, &event, world->now);
}

/* The clock's battery was empty: d2's entries are two hours ahead. */
static void clock_behind(struct world *world)
{
	struct entry entry = cluster_entry(1, 0, 1, false);

	cluster_crash(world->cluster, 0, true);
	cluster_clock(world->cluster, 0, -7200 * (int64_t)USEC_PER_SEC);
	cluster_start(world->cluster, 0);
	world->facts.started = cluster_now(world->cluster).mono;
	run(world, 15);
	cluster_carry(world->cluster, 1, &entry);
	run(world, 5);
}

/* Cuts the two others from each other: both are alive, and replicate nothing to each other. */
static void partly_cut(struct world *world)
{
	struct event event;

	cluster_hole(world->cluster, 1, 2, true);
	run(world, 20);
	event_init(&event, EVENT_PARTIAL_PARTITION, "d1",
		   "Some directors reach each other only through others: d2 | d3.");
	event_log_raise(world->log, &event, world->now);
}

static void minority(struct world *world)
{
	cluster_crash(world->cluster, 1, true);
	cluster_crash(world->cluster, 2, true);
	run(world, 8);
	world->config->withdraw = true;
	world->facts.announcing = false;
}

static void drained(struct world *world)
{
	cluster_tell(world->cluster, 0, (struct node_event){.type = NODE_DRAIN, .ok = true});
	world->facts.announcing = false;
	run(world, 2);
}

static void stalled(struct world *world)
{
	cluster_tell(world->cluster, 0, (struct node_event){.type = NODE_FORWARDER});
	world->facts.forwarder_ok = world->facts.announcing = false;
	world->facts.stalled_since = world->facts.forwarder_since = world->now.mono;
	run(world, 3);
}

static void nothing_captured(struct world *world)
{
	world->facts.silent_since = world->now.mono;
	run(world, 3);
}

static void refused_reload(struct world *world)
{
	world->facts.reload_error = "lvsmesh.yaml:3: unknown scheduler \"xx\"; write one of rr";
}

#define WORKS "  forwarder      works for N s\n"
#define REST(_compared)                                                                            \
	"  tables         compared with those of peers: " _compared ", no faults\n"                \
	"  connections    0 known, 0 of them carried here; 0 not yet in the kernel\n"              \
	"  services       1, checked N s ago\n"                                                    \
	"  configuration  lvsmesh.yaml (01234567), read N s ago\n"
#define WHOLE                                                                                      \
	"  members        3 of 3 alive, majority; health score 0 (0: good)\n"                      \
	"  replication    works: 2 of 2 peers connected, the slowest N ms behind\n" REST("1")
#define READY "  traffic        ready, VIPs are up\n"
#define WELL "\nAll is well.\n"
#define WRONG "\nProblems:\n"
#define UNANSWERED                                                                                 \
	"  - No director has answered at 10.0.0.2:7946, 10.0.0.3:7946 since this one started: "    \
	"correct cluster.join, or start that director.\n"

static const struct {
	const char *name;
	void (*happens)(struct world *world);
	const char *screen;
} situations[] = {
	{"all is well", all_well, READY WORKS WHOLE WELL},
	{"starting", starting,
	 "  traffic        not ready\n" WORKS
	 "  members        1 of 1 alive, majority; health score 0 (0: good)\n"
	 "  replication    still starting\n" REST("0") WRONG
	 "  - Not ready to take traffic: waiting for another director to answer.\n" UNANSWERED},
	{"found nobody", found_nobody,
	 READY WORKS "  members        1 of 1 alive, majority; health score 0 (0: good)\n"
		     "  replication    no peer to replicate to\n" REST("0") WRONG
	 "  - No other director has answered since d1 started, so its connections are not "
	 "replicated: check cluster.join and the network. Since T (peers-not-found).\n" UNANSWERED},
	{"the others are away", others_away,
	 READY WORKS
	 "  members        1 of 3 alive, 2 away as announced, majority; health score 0 (0: good)\n"
	 "  replication    no peer to replicate to: 2 away as announced\n" REST("1") WRONG
	 "  - All other directors are away, as they announced: if this one dies now, its "
	 "connections are lost.\n"},
	{"one is away", one_away,
	 READY WORKS
	 "  members        2 of 3 alive, 1 away as announced, majority; health score 0 (0: good)\n"
	 "  replication    works: 1 of 1 peers connected, the slowest N ms behind; 1 away as "
	 "announced\n" REST("1") WELL},
	{"the others left", others_left,
	 READY WORKS "  members        1 of 1 alive, majority; health score 0 (0: good)\n"
		     "  replication    no peer to replicate to\n" REST("1") WELL},
	{"one failed", one_failed,
	 READY WORKS
	 "  members        2 of 3 alive, majority; health score 0 (0: good)\n"
	 "  replication    INCOMPLETE: 1 of 2 peers connected, the slowest N ms behind\n" REST("1")
		 WRONG "  - Member d2 has failed. Since T (member-failed).\n"},
	{"one failed, and its streams are open still", one_silent,
	 READY WORKS
	 "  members        2 of 3 alive, majority; health score 0 (0: good)\n"
	 "  replication    INCOMPLETE: 1 of 2 peers connected, the slowest N ms behind\n" REST("1")
		 WRONG "  - Member d2 has failed. Since T (member-failed).\n"},
	{"the clock is behind", clock_behind,
	 READY WORKS
	 "  members        3 of 3 alive, majority; health score 0 (0: good)\n"
	 "  replication    INCOMPLETE: 1 of 2 peers connected, the slowest N ms behind\n" REST("1")
		 WRONG "  - Peer d2 at 10.0.0.2:7946 is not connected both ways (receives only): "
		       "clock-ahead.\n"},
	{"two others do not reach each other", partly_cut,
	 READY WORKS
	 "  members        3 of 3 alive, majority, PARTIAL PARTITION (d2 | d3); health score 0 (0: "
	 "good)\n"
	 "  replication    works: 2 of 2 peers connected, the slowest N ms behind\n" REST("3") WRONG
	 "  - Some directors reach each other only through others: d2 | d3. Since T "
	 "(partial-partition).\n"},
	{"in a minority, withdrawn", minority,
	 "  traffic        ready, VIPs are down\n" WORKS
	 "  members        1 of 3 alive, minority; health score 0 (0: good)\n"
	 "  replication    INCOMPLETE: 0 of 2 peers connected, the slowest N ms behind\n" REST("1")
		 WRONG "  - Member d2 has failed.\n  - Member d3 has failed.\n"
		       "  - This director takes no traffic: it is in a minority.\n"},
	{"drained", drained, "  traffic        drained\n" WORKS WHOLE WELL},
	{"forwarder stalled", stalled,
	 "  traffic        ready, VIPs are down\n  forwarder      STALLED for N s\n" WHOLE WRONG
	 "  - The forwarder of d1 has stalled: IPVS does not forward the probe. Since T "
	 "(forwarder-stalled).\n"},
	{"nothing captured", nothing_captured,
	 READY WORKS
	 "  members        3 of 3 alive, majority; health score 0 (0: good)\n"
	 "  replication    STALLED: 2 of 2 peers connected, the slowest N ms behind\n" REST("1")
		 WRONG "  - The kernel's master sync thread has sent nothing for N s.\n"},
	{"reload refused", refused_reload,
	 READY WORKS WHOLE WRONG "  - The last reload was refused and the running configuration "
				 "stays: lvsmesh.yaml:3: unknown "
				 "scheduler \"xx\"; write one of rr\n"},
};

static void test_situations(void **state)
{
	unsigned int wrong = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(situations); i++) {
		struct world world;
		char *shown;

		world_init(&world, cluster_new(1, 3));
		run(&world, 20);
		situations[i].happens(&world);
		shown = screen(&world);
		if (strcmp(shown, situations[i].screen) != 0) {
			print_error("-- %s: expected\n%s-- shown\n%s", situations[i].name,
				    situations[i].screen, shown);
			wrong++;
		}
		free(shown);
		world_fini(&world);
	}
	assert_int_equal(wrong, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_situations)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
