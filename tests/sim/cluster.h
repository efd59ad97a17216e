/* A cluster of whole directors (director/node/node) in one process and in virtual time: a network
 * that cuts streams and delivers bytes in random pieces, and a model of each director's kernel that
 * takes injected entries or loses them. Everything follows from the seed. */
#ifndef TESTS_SIM_CLUSTER_H
#define TESTS_SIM_CLUSTER_H

#include "director/node/node.h"

#define CLUSTER_MAX (DIRECTORS_MAX + 1) /* one too many can be had */
#define CLUSTER_JOIN_TIMEOUT 120        /* s */

struct cluster;

struct cluster *cluster_new(uint64_t seed, unsigned int count);
/* A cluster in which only `limit` directors have a place. As many are started; the others wait for
 * cluster_start(). */
struct cluster *cluster_new_limited(uint64_t seed, unsigned int count, unsigned int limit);
void cluster_free(struct cluster *cluster);

/* Calls for each line that a director traces, from now on and after its next starts. */
void cluster_trace(struct cluster *cluster,
		   void (*line)(void *context, unsigned int d, const char *text), void *context);

uint64_t cluster_random(struct cluster *cluster);
unsigned int cluster_draw(struct cluster *cluster, unsigned int below);
/* A hash over all events so far, their bytes and times: the same for a seed under every
 * compiler. */
uint64_t cluster_hash(const struct cluster *cluster);
struct now cluster_now(const struct cluster *cluster);

/* A crash loses the daemon; with kernel, it is the machine that boots: its table is empty. */
void cluster_crash(struct cluster *cluster, unsigned int d, bool kernel);
void cluster_start(struct cluster *cluster, unsigned int d);
/* A director's kernel is not read from its next start on, before cluster_read(). */
void cluster_unread(struct cluster *cluster, unsigned int d);
void cluster_read(struct cluster *cluster, unsigned int d);
/* Directors take no traffic, from their next starts on, before another has answered. */
void cluster_wait_alone(struct cluster *cluster);
/* Sets the versions of the protocol that a director speaks from its next start on. */
void cluster_versions(struct cluster *cluster, unsigned int d, struct version_range versions);
/* The version in which a last sent b a datagram. */
uint32_t cluster_version(const struct cluster *cluster, unsigned int a, unsigned int b);
bool cluster_up(const struct cluster *cluster, unsigned int d);
/* Cuts or mends the network between two directors, both ways. */
void cluster_cut(struct cluster *cluster, unsigned int a, unsigned int b, bool cut);
/* The network between two swallows everything, and tells neither; bytes on their way wait. */
void cluster_hole(struct cluster *cluster, unsigned int a, unsigned int b, bool hole);
/* Between two directors flow at most so many bytes in a millisecond; 0: any. */
void cluster_throttle(struct cluster *cluster, unsigned int a, unsigned int b, size_t bytes);
/* A random one of these faults, or its end: 0, 1: a cut; 2: a hole; 3: a throttle. a == b: none. */
void cluster_fault(struct cluster *cluster, unsigned int which, unsigned int a, unsigned int b);
/* Ends all of these faults, and starts all directors. */
void cluster_heal(struct cluster *cluster);
/* A director that is down will start with the epoch of some boots ago: its disk went back in time.
 */
void cluster_rollback(struct cluster *cluster, unsigned int d, unsigned int boots);
uint64_t cluster_epoch(const struct cluster *cluster, unsigned int d);
/* One injected message of so many is lost by each kernel; 0: none. */
void cluster_lossy(struct cluster *cluster, unsigned int one_in);
/* The kernels take injected entries, and are seen to have taken them, only so often. */
void cluster_slow(struct cluster *cluster, usec_t interval);
/* A director does nothing for so long: its machine or its disk has stopped it. Stream bytes on
 * their way to it wait, datagrams are lost. */
void cluster_freeze(struct cluster *cluster, unsigned int d, usec_t time);
/* A stream carries at most so many bytes a millisecond each way; 0: as many as there are. */
void cluster_narrow(struct cluster *cluster, size_t bytes);
/* Shifts a director's wall clock. */
void cluster_clock(struct cluster *cluster, unsigned int d, int64_t usec);

/* A packet of the flow reaches this director's kernel, which reports the entry to the daemon, if it
 * runs. */
void cluster_carry(struct cluster *cluster, unsigned int d, const struct entry *entry);
/* The same by the kernel's own rules: it goes where the kernel's entry goes, the end of a
 * connection that it does not know makes none, and it is reported when it is due. True: to a daemon
 * that runs, and took it. */
bool cluster_packet(struct cluster *cluster, unsigned int d, const struct entry *entry);
/* The services of all kernels, from now on: before that, those of all entries that there ever were.
 */
void cluster_configure(struct cluster *cluster, const struct service_set *services);
/* A client's first packet, with the real server that the scheduler would choose; the connection as
 * the kernel makes it, by its template if it has one. It is reported, and the template. */
struct entry cluster_connect(struct cluster *cluster, unsigned int d, const struct entry *entry);
/* A packet reaches the kernel, which does not report the entry. */
void cluster_unreported(struct cluster *cluster, unsigned int d, const struct entry *entry);
/* A fault: a director's table loses an entry that it had learned, without notice. */
void cluster_forget(struct cluster *cluster, unsigned int d, const struct flow *flow);
/* NODE_END: a director learns that the real server of an entry is down, or up. */
void cluster_end(struct cluster *cluster, unsigned int d, const struct entry *entry, bool down);
/* The kernel loses all that go to this real server (the last byte of its address). */
void cluster_lose_server(struct cluster *cluster, unsigned int d, unsigned int server);
/* The kernel loses one in so many of its entries. */
void cluster_lose(struct cluster *cluster, unsigned int d, unsigned int one_in);
/* The entry in a director's kernel. */
bool cluster_kernel(const struct cluster *cluster, unsigned int d, const struct flow *flow,
		    struct entry *ret_entry);
unsigned int cluster_kernel_count(const struct cluster *cluster, unsigned int d);

/* Calls for each fact that a director learns and pulls: one that stands still pulls none, others
 * within some milliseconds. Without it, none does. */
void cluster_facts(struct cluster *cluster,
		   void (*told)(void *context, unsigned int d, const struct fact *fact),
		   void *context);

/* An event of the driver's own: NODE_DRAIN, NODE_LEAVE, NODE_ABSENCE... */
void cluster_tell(struct cluster *cluster, unsigned int d, struct node_event event);
/* A stranger at `remote` opens a stream to a director, sends the data, and leaves it open. False:
 * refused. */
bool cluster_stranger(struct cluster *cluster, unsigned int d, const struct endpoint *remote,
		      const uint8_t *data, size_t len);
/* The node's last update. */
const struct node_update *cluster_update(const struct cluster *cluster, unsigned int d);
/* How often a director noticed this of any member since the start. */
unsigned int cluster_noticed(const struct cluster *cluster, unsigned int d,
			     enum membership_notice_type type);

void cluster_run(struct cluster *cluster, usec_t time);

/* NULL when all directors that are up share the same entries in the same versions, and their
 * kernels the same destinations and states; else a sentence. */
const char *cluster_difference(const struct cluster *cluster);

struct node *cluster_node(struct cluster *cluster, unsigned int d);
struct sync_status cluster_sync_status(struct cluster *cluster, unsigned int d);
const struct identity *cluster_identity(const struct cluster *cluster, unsigned int d);
struct endpoint cluster_endpoint(unsigned int d);

/* Entry number i of a kind that tests use: TCP, IPv4 or (odd i, when v6) IPv6. */
struct entry cluster_entry(unsigned int i, unsigned int server, uint16_t state, bool v6);

/* Runs it for the seeds 1 to last, or only for that in the environment's SEED. */
void cluster_seeds(uint64_t last, void (*run)(uint64_t seed));

#endif
