#include "tests/sim/cluster.h"

#include <assert.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "sync/kernel_wire.h"
#include "sync/sync_private.h"
#include "tests/sim/kernel_model.h"

#define SYNCID 7
#define PIPE_MAX (1024 * 1024)
#define STEP USEC_PER_MSEC
/* The kernel's are up to 80 ms late. */
#define KERNEL_TIMERS (100 * USEC_PER_MSEC)

/* At most PIPE_MAX bytes on their way. */
struct pipe {
	uint8_t *data;
	size_t len;
};

/* One stream: a dialled, b accepted. */
struct link {
	unsigned int index; /* in the cluster's links */
	bool used;
	unsigned int a, b;   /* directors */
	unsigned int na, nb; /* their numbers for it */
	struct pipe to_a, to_b;
};

/* On its way: delivered in the next step. */
struct datagram {
	unsigned int from, to;
	size_t len;
	uint8_t data[MEMBERSHIP_DATAGRAM_MAX];
};

struct director {
	bool up;
	struct identity identity;
	uint64_t epoch;
	struct version_range versions;
	uint8_t version_to[CLUSTER_MAX];      /* of the last datagram to each */
	struct node_streams output;           /* to be asked for it */
	struct link *links[NODE_STREAMS_MAX]; /* by the number of the stream */
	struct node *node;
	struct node_update update;
	struct cluster *cluster; /* for its trace */
	int64_t clock;
	usec_t frozen; /* until then */
	usec_t booted; /* the machine: its mono counts from there */
	usec_t began;  /* wall, its last start */
	unsigned int noticed[MEMBERSHIP_NOTICE_MAX];
	usec_t taken;    /* when the kernel is seen to have taken what it got, and may take more; 0:
			    at once */
	bool lost;       /* not all of it */
	bool adopt;      /* the connections are to be read again */
	bool unread;     /* they are not read at a start */
	uint64_t wanted; /* epoch to start again with; 0: none */
	usec_t returned; /* on the disk */
	struct kernel_model *kernel;
};

struct cluster {
	uint64_t seed, drawn, hash;
	usec_t time, slow;
	unsigned int count, lossy;
	size_t narrow;
	bool wait_alone;
	unsigned int limit; /* of directors that have a place */
	bool cut[CLUSTER_MAX][CLUSTER_MAX];
	bool hole[CLUSTER_MAX][CLUSTER_MAX];
	size_t throttle[CLUSTER_MAX][CLUSTER_MAX];
	struct director directors[CLUSTER_MAX];
	void (*trace)(void *context, unsigned int d, const char *text);
	void *trace_context;
	void (*told)(void *context, unsigned int d, const struct fact *fact);
	void *told_context;
	struct link **links; /* in the order of their numbers; they stay where they are */
	unsigned int links_len, links_cap, links_free; /* none below is free */
	struct datagram *datagrams, *delivered;
	unsigned int datagrams_len, datagrams_cap, delivered_cap;
	uint8_t scratch[PIPE_MAX];
};

uint64_t cluster_random(struct cluster *cluster)
{
	/* SplitMix64 */
	uint64_t z = cluster->seed + ++cluster->drawn * UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

unsigned int cluster_draw(struct cluster *cluster, unsigned int below)
{
	return (unsigned int)(cluster_random(cluster) % below);
}

struct now cluster_now(const struct cluster *cluster)
{
	return (struct now){.mono = cluster->time,
			    .wall = UINT64_C(1700000000) * USEC_PER_SEC + cluster->time};
}

uint64_t cluster_hash(const struct cluster *cluster)
{
	return cluster->hash;
}

static void hash_event(struct cluster *cluster, unsigned int d, const struct node_event *event)
{
	uint64_t hash =
		cluster->hash ^ cluster->time ^ (uint64_t)event->type << 48 ^ (uint64_t)d << 56;

	for (size_t i = 0; event->data && i < event->len; i++)
		hash = (hash ^ event->data[i]) * UINT64_C(0x100000001b3);
	cluster->hash = (hash ^ cluster->drawn) * UINT64_C(0x9e3779b97f4a7c15);
}

static struct now director_now(const struct cluster *cluster, unsigned int d)
{
	struct now now = cluster_now(cluster);

	now.wall += (usec_t)cluster->directors[d].clock;
	now.mono -= cluster->directors[d].booted;
	return now;
}

struct endpoint cluster_endpoint(unsigned int d)
{
	uint8_t high = (uint8_t)((d + 1) >> 8), low = (uint8_t)(d + 1);

	return (struct endpoint){.ip = {.family = AF_INET, .bytes = {10, 0, high, low}},
				 .port = 7946};
}

static unsigned int director_at(const struct endpoint *endpoint)
{
	return load_be16(&endpoint->ip.bytes[2]) - 1u;
}

static void identity_make(struct cluster *cluster, const struct cluster_key *key, unsigned int d)
{
	uint8_t seed[KEYGEN_NODE_SEED];
	char name[16];
	struct keygen_options options = {
		.name = name,
		.not_before = 1600000000,
		.not_after = 1900000000,
		.serial = d,
	};

	snprintf(name, sizeof(name), "d%u", d + 1);
	memset(seed, (int)d + 1, sizeof(seed));
	seed[0] ^= (uint8_t)((d + 1) >> 8);
	if (identity_keygen_node(key, &options, seed, &cluster->directors[d].identity) != 0)
		abort();
}

struct cluster *cluster_new(uint64_t seed, unsigned int count)
{
	return cluster_new_limited(seed, count, DIRECTORS_MAX);
}

struct cluster *cluster_new_limited(uint64_t seed, unsigned int count, unsigned int limit)
{
	struct cluster *cluster = calloc(1, sizeof(*cluster));
	uint8_t key_seed[KEYGEN_CLUSTER_SEED] = {1};
	struct cluster_key key;

	if (!cluster || sodium_init() < 0)
		abort();
	cluster->seed = seed;
	cluster->time = 10 * USEC_PER_SEC;
	cluster->count = count;
	cluster->limit = limit;
	identity_keygen_cluster(key_seed, &key);
	for (unsigned int d = 0; d < count; d++) {
		identity_make(cluster, &key, d);
		cluster->directors[d].epoch = 100 * (d + 1);
		cluster->directors[d].versions = VERSION_RANGE;
		cluster->directors[d].kernel = kernel_model_new();
	}
	for (unsigned int d = 0; d < count && d < limit; d++)
		cluster_start(cluster, d);
	return cluster;
}

static void link_close(struct cluster *cluster, struct link *link)
{
	if (!link->used)
		return;
	cluster->directors[link->a].links[link->na] = NULL;
	cluster->directors[link->b].links[link->nb] = NULL;
	free(link->to_a.data);
	free(link->to_b.data);
	*link = (struct link){.index = link->index};
	cluster->links_free = MIN(cluster->links_free, link->index);
}

/* The first that is not used. */
static struct link *link_get(struct cluster *cluster)
{
	struct link *link;

	while (cluster->links_free < cluster->links_len) {
		link = cluster->links[cluster->links_free++];
		if (!link->used)
			return link;
	}
	if (cluster->links_len == cluster->links_cap) {
		cluster->links_cap = 2 * cluster->links_cap + 64;
		cluster->links =
			realloc(cluster->links, cluster->links_cap * sizeof(struct link *));
	}
	link = calloc(1, sizeof(*link));
	link->index = cluster->links_free = cluster->links_len;
	cluster->links[cluster->links_len++] = link;
	cluster->links_free++;
	return link;
}

void cluster_free(struct cluster *cluster)
{
	for (unsigned int i = 0; i < cluster->links_len; i++) {
		link_close(cluster, cluster->links[i]);
		free(cluster->links[i]);
	}
	free(cluster->links);
	free(cluster->datagrams);
	free(cluster->delivered);
	for (unsigned int d = 0; d < cluster->count; d++) {
		node_free(cluster->directors[d].node);
		kernel_model_free(cluster->directors[d].kernel);
	}
	free(cluster);
}

bool cluster_up(const struct cluster *cluster, unsigned int d)
{
	return cluster->directors[d].up;
}

struct node *cluster_node(struct cluster *cluster, unsigned int d)
{
	return cluster->directors[d].node;
}

const struct identity *cluster_identity(const struct cluster *cluster, unsigned int d)
{
	return &cluster->directors[d].identity;
}

static void step(struct cluster *cluster, unsigned int d, struct node_event event);
static void adopt(struct cluster *cluster, unsigned int d);

static void closed(struct cluster *cluster, unsigned int d, unsigned int number)
{
	step(cluster, d, (struct node_event){.type = NODE_STREAM_CLOSED, .stream = number});
}

/* The node closed its end, or gave the number to another stream: the other end hears of it. */
static void closes(struct cluster *cluster, unsigned int d, unsigned int number)
{
	struct link *link = cluster->directors[d].links[number], was;

	if (!link)
		return;
	was = *link;
	link_close(cluster, link);
	if (cluster->hole[was.a][was.b])
		return;
	if (was.a == d)
		closed(cluster, was.b, was.nb);
	else
		closed(cluster, was.a, was.na);
}

/* The director that had the number there loses its stream. NODE_STREAMS_MAX: it takes none. */
static unsigned int accepts(struct cluster *cluster, unsigned int d, const struct endpoint *remote)
{
	unsigned int number =
		node_accept(cluster->directors[d].node, remote, true, director_now(cluster, d));

	if (number < NODE_STREAMS_MAX)
		closes(cluster, d, number);
	return number;
}

static void dial(struct cluster *cluster, unsigned int d, unsigned int number)
{
	struct node_event event = {.type = NODE_STREAM_OPENED, .stream = number};
	struct node_stream_status status;
	struct link *link;
	unsigned int b, accepted;

	node_stream_status(cluster->directors[d].node, number, cluster_now(cluster), &status);
	/* Closing streams has stepped others, and they this one: it may not want it any more. */
	if (status.phase != NODE_STREAM_DIALLING || cluster->directors[d].links[number])
		return;
	b = director_at(&status.remote);
	if (cluster->hole[d][b])
		return;
	if (!cluster->directors[b].up || cluster->cut[d][b]) {
		step(cluster, d,
		     (struct node_event){.type = NODE_STREAM_CLOSED,
					 .stream = number,
					 .refused = !cluster->cut[d][b]});
		return;
	}
	event.remote = cluster_endpoint(d);
	accepted = accepts(cluster, b, &event.remote);
	if (accepted == NODE_STREAMS_MAX) {
		closed(cluster, d, number);
		return;
	}
	link = link_get(cluster);
	*link = (struct link){
		.index = link->index, .used = true, .a = d, .b = b, .na = number, .nb = accepted};
	cluster->directors[d].links[number] = cluster->directors[b].links[accepted] = link;
	event.remote = cluster_endpoint(b);
	step(cluster, d, event);
	if (!link->used)
		return;
	event.stream = link->nb;
	event.remote = cluster_endpoint(d);
	step(cluster, b, event);
}

static void send_datagrams(struct cluster *cluster, unsigned int d)
{
	struct node *node = cluster->directors[d].node;
	struct membership_target target;

	for (;;) {
		struct datagram *datagram;

		if (cluster->datagrams_len == cluster->datagrams_cap) {
			cluster->datagrams_cap = 2 * cluster->datagrams_cap + 64;
			cluster->datagrams =
				realloc(cluster->datagrams,
					cluster->datagrams_cap * sizeof(*cluster->datagrams));
		}
		datagram = &cluster->datagrams[cluster->datagrams_len];
		datagram->len =
			node_datagram(node, datagram->data, sizeof(datagram->data), &target);
		if (datagram->len == 0)
			return;
		datagram->from = d;
		datagram->to = director_at(&target.remote);
		cluster->directors[d].version_to[datagram->to] = datagram->data[0];
		cluster->datagrams_len++;
	}
}

static void take_notices(struct director *director)
{
	struct membership_notice notice;

	while (node_notice(director->node, &notice))
		director->noticed[notice.type]++;
}

static void step(struct cluster *cluster, unsigned int d, struct node_event event)
{
	struct director *director = &cluster->directors[d];
	struct node_update update;

	if (!director->up)
		return;
	hash_event(cluster, d, &event);
	event.now = director_now(cluster, d);
	node_step(director->node, &event, &update);
	director->update = update;
	for (unsigned int i = 0; i < ARRAY_SIZE(update.output.bits); i++)
		director->output.bits[i] |= update.output.bits[i];
	director->adopt |= update.adopt;
	director->wanted = MAX(director->wanted, update.epoch_wanted);
	if (update.returned)
		director->returned = update.returned;
	BITS_EACH (i, update.close.bits, NODE_STREAMS_MAX)
		closes(cluster, d, i);
	send_datagrams(cluster, d);
	take_notices(director);
	BITS_EACH (i, update.dial.bits, NODE_STREAMS_MAX)
		dial(cluster, d, i);
}

bool cluster_stranger(struct cluster *cluster, unsigned int d, const struct endpoint *remote,
		      const uint8_t *data, size_t len)
{
	struct node_event event = {.type = NODE_STREAM_OPENED, .remote = *remote};

	if (!cluster->directors[d].up)
		return false;
	event.stream = accepts(cluster, d, remote);
	if (event.stream == NODE_STREAMS_MAX)
		return false;
	step(cluster, d, event);
	event.type = NODE_STREAM_DATA;
	event.data = data;
	event.len = len;
	if (len > 0)
		step(cluster, d, event);
	return true;
}

void cluster_tell(struct cluster *cluster, unsigned int d, struct node_event event)
{
	step(cluster, d, event);
}

const struct node_update *cluster_update(const struct cluster *cluster, unsigned int d)
{
	return &cluster->directors[d].update;
}

unsigned int cluster_noticed(const struct cluster *cluster, unsigned int d,
			     enum membership_notice_type type)
{
	return cluster->directors[d].noticed[type];
}

static void cut_links(struct cluster *cluster, unsigned int a, unsigned int b)
{
	for (unsigned int i = 0; i < cluster->links_len; i++) {
		struct link *link = cluster->links[i];
		struct link was = *link;

		if (!link->used ||
		    !((link->a == a && link->b == b) || (link->a == b && link->b == a)))
			continue;
		link_close(cluster, link);
		if (cluster->hole[a][b])
			continue;
		closed(cluster, was.a, was.na);
		closed(cluster, was.b, was.nb);
	}
}

void cluster_cut(struct cluster *cluster, unsigned int a, unsigned int b, bool cut)
{
	cluster->cut[a][b] = cluster->cut[b][a] = cut;
	if (cut)
		cut_links(cluster, a, b);
}

void cluster_hole(struct cluster *cluster, unsigned int a, unsigned int b, bool hole)
{
	cluster->hole[a][b] = cluster->hole[b][a] = hole;
}

void cluster_throttle(struct cluster *cluster, unsigned int a, unsigned int b, size_t bytes)
{
	cluster->throttle[a][b] = cluster->throttle[b][a] = bytes;
}

void cluster_rollback(struct cluster *cluster, unsigned int d, unsigned int boots)
{
	assert(!cluster->directors[d].up);
	cluster->directors[d].epoch -= boots;
}

uint64_t cluster_epoch(const struct cluster *cluster, unsigned int d)
{
	return cluster->directors[d].epoch;
}

void cluster_lossy(struct cluster *cluster, unsigned int one_in)
{
	cluster->lossy = one_in;
}

void cluster_wait_alone(struct cluster *cluster)
{
	cluster->wait_alone = true;
}

void cluster_slow(struct cluster *cluster, usec_t interval)
{
	cluster->slow = interval;
}

void cluster_freeze(struct cluster *cluster, unsigned int d, usec_t time)
{
	usec_t *frozen = &cluster->directors[d].frozen;

	*frozen = MAX(*frozen, cluster->time + time);
}

static bool is_frozen(const struct cluster *cluster, unsigned int d)
{
	return cluster->directors[d].frozen > cluster->time;
}

void cluster_narrow(struct cluster *cluster, size_t bytes)
{
	cluster->narrow = bytes;
}

void cluster_clock(struct cluster *cluster, unsigned int d, int64_t usec)
{
	cluster->directors[d].clock = usec;
}

void cluster_crash(struct cluster *cluster, unsigned int d, bool kernel)
{
	struct director *director = &cluster->directors[d];

	director->up = false;
	for (unsigned int i = 0; i < cluster->count; i++)
		cut_links(cluster, d, i);
	node_free(director->node);
	director->node = NULL;
	if (!kernel)
		return;
	kernel_model_flush(director->kernel);
	director->booted = cluster->time;
}

void cluster_versions(struct cluster *cluster, unsigned int d, struct version_range versions)
{
	cluster->directors[d].versions = versions;
}

uint32_t cluster_version(const struct cluster *cluster, unsigned int a, unsigned int b)
{
	return cluster->directors[a].version_to[b];
}

static void traced(void *context, const char *text)
{
	struct director *director = context;
	struct cluster *cluster = director->cluster;

	cluster->trace(cluster->trace_context, (unsigned int)(director - cluster->directors), text);
}

static void trace_set(struct cluster *cluster, unsigned int d)
{
	struct director *director = &cluster->directors[d];

	director->cluster = cluster;
	if (cluster->trace)
		node_trace(director->node, &(struct trace){traced, director});
}

void cluster_trace(struct cluster *cluster,
		   void (*line)(void *context, unsigned int d, const char *text), void *context)
{
	cluster->trace = line;
	cluster->trace_context = context;
	for (unsigned int d = 0; d < cluster->count; d++)
		if (cluster->directors[d].up)
			trace_set(cluster, d);
}

void cluster_start(struct cluster *cluster, unsigned int d)
{
	struct director *director = &cluster->directors[d];
	struct endpoint join[CLUSTER_MAX];
	struct node_options options = {
		.identity = &director->identity,
		.epoch = ++director->epoch,
		.versions = director->versions,
		.join = join,
		.join_count = MIN(cluster->count, MEMBERSHIP_JOIN_MAX),
		.addresses = &join[d],
		.address_count = 1,
		.profile = membership_default,
		.now = director_now(cluster, d),
		.before = director->began,
		.returned = director->returned,
		.syncid = SYNCID,
		.join_timeout = CLUSTER_JOIN_TIMEOUT * USEC_PER_SEC,
		.wait_alone = cluster->wait_alone,
		.directors_max = cluster->limit,
		.tap_address = {169, 254, 117, 1},
		.entries_max = KERNEL_MODEL_MAX,
	};

	director->began = options.now.wall;
	director->output = (struct node_streams){0};
	director->wanted = 0;
	director->taken = 0;
	director->lost = director->adopt = false;
	for (unsigned int i = 0; i < cluster->count; i++)
		join[i] = cluster_endpoint(i);
	store_le64(options.seed, cluster_random(cluster));
	if (node_new(&options, &director->node) < 0)
		abort();
	trace_set(cluster, d);
	director->up = true;
	if (!director->unread)
		adopt(cluster, d);
	step(cluster, d, (struct node_event){.type = NODE_FORWARDER, .ok = true});
}

/* The model kernel */

bool cluster_kernel(const struct cluster *cluster, unsigned int d, const struct flow *flow,
		    struct entry *ret_entry)
{
	const struct entry *held = kernel_model_find(cluster->directors[d].kernel, flow);

	if (held)
		*ret_entry = *held;
	return held != NULL;
}

unsigned int cluster_kernel_count(const struct cluster *cluster, unsigned int d)
{
	return kernel_model_count(cluster->directors[d].kernel);
}

void cluster_configure(struct cluster *cluster, const struct service_set *services)
{
	for (unsigned int d = 0; d < cluster->count; d++)
		kernel_model_configure(cluster->directors[d].kernel, services);
}

static void report(struct cluster *cluster, unsigned int d, const struct entry *entry)
{
	uint8_t message[1024];
	struct kernel_wire_writer writer;

	kernel_wire_write(&writer, message, sizeof(message), SYNCID);
	if (kernel_wire_add(&writer, entry) < 0)
		abort();
	if (!cluster->directors[d].up)
		return;
	node_capture(cluster->directors[d].node, director_now(cluster, d), message,
		     kernel_wire_finish(&writer));
	if (!is_frozen(cluster, d))
		step(cluster, d, (struct node_event){.type = NODE_TICK});
}

static void report_control(struct cluster *cluster, unsigned int d, const struct flow *flow)
{
	const struct entry *template =
		kernel_model_control(cluster->directors[d].kernel, flow, cluster->time);

	if (template)
		report(cluster, d, template);
}

void cluster_carry(struct cluster *cluster, unsigned int d, const struct entry *entry)
{
	kernel_model_carry(cluster->directors[d].kernel, entry, cluster->time);
	report(cluster, d, entry);
}

bool cluster_packet(struct cluster *cluster, unsigned int d, const struct entry *entry)
{
	struct kernel_model *kernel = cluster->directors[d].kernel;
	const struct entry *held = kernel_model_find(kernel, &entry->flow);
	struct entry is = *entry;

	if (!held && entry->flags & ENTRY_INACTIVE)
		return false;
	if (held) {
		memcpy(is.daddr, held->daddr, sizeof(is.daddr));
		is.dport = held->dport;
	}
	if (!kernel_model_carry(kernel, &is, cluster->time))
		return false;
	report(cluster, d, &is);
	report_control(cluster, d, &is.flow);
	return cluster->directors[d].up && !is_frozen(cluster, d);
}

struct entry cluster_connect(struct cluster *cluster, unsigned int d, const struct entry *entry)
{
	const struct entry *is;
	struct entry kernel;

	if (kernel_model_connect(cluster->directors[d].kernel, entry, cluster->time, &is))
		report(cluster, d, is);
	kernel = *is;
	report_control(cluster, d, &entry->flow);
	return kernel;
}

void cluster_fault(struct cluster *cluster, unsigned int which, unsigned int a, unsigned int b)
{
	if (a == b)
		return;
	if (which <= 1)
		cluster_cut(cluster, a, b, cluster_draw(cluster, 2));
	else if (which == 2)
		cluster_hole(cluster, a, b, cluster_draw(cluster, 2));
	else
		cluster_throttle(cluster, a, b,
				 cluster_draw(cluster, 2) ? 1 + cluster_draw(cluster, 400) : 0);
}

void cluster_heal(struct cluster *cluster)
{
	for (unsigned int d = 0; d < cluster->count; d++) {
		for (unsigned int e = 0; e < cluster->count; e++) {
			cluster_cut(cluster, d, e, false);
			cluster_hole(cluster, d, e, false);
			cluster_throttle(cluster, d, e, 0);
		}
		if (!cluster_up(cluster, d))
			cluster_start(cluster, d);
	}
}

static void expire(struct cluster *cluster, unsigned int d)
{
	const struct entry *entry;

	while ((entry = kernel_model_expire(cluster->directors[d].kernel, cluster->time)))
		report(cluster, d, entry);
}

void cluster_unreported(struct cluster *cluster, unsigned int d, const struct entry *entry)
{
	kernel_model_carry(cluster->directors[d].kernel, entry, cluster->time);
}

void cluster_forget(struct cluster *cluster, unsigned int d, const struct flow *flow)
{
	struct table *table = node_sync(cluster->directors[d].node)->table;

	table_drop(table, table_find(table, flow));
}

void cluster_end(struct cluster *cluster, unsigned int d, const struct entry *entry, bool down)
{
	struct service_key service = {.protocol = entry->flow.protocol};
	struct endpoint real = {.port = entry->dport};

	service.vip.ip.family = real.ip.family = entry->flow.family;
	memcpy(service.vip.ip.bytes, entry->flow.vaddr, sizeof(entry->flow.vaddr));
	memcpy(real.ip.bytes, entry->daddr, sizeof(entry->daddr));
	service.vip.port = entry->flow.vport;
	step(cluster, d,
	     (struct node_event){.type = NODE_END, .service = &service, .real = &real, .ok = down});
}

void cluster_lose_server(struct cluster *cluster, unsigned int d, unsigned int server)
{
	struct kernel_model *kernel = cluster->directors[d].kernel;

	for (unsigned int i = kernel_model_count(kernel); i > 0; i--) {
		if (kernel_model_at(kernel, i - 1)->daddr[3] == server)
			kernel_model_lose(kernel, i - 1);
	}
}

void cluster_lose(struct cluster *cluster, unsigned int d, unsigned int one_in)
{
	struct kernel_model *kernel = cluster->directors[d].kernel;

	for (unsigned int i = kernel_model_count(kernel); i > 0; i--) {
		if (cluster_random(cluster) % one_in == 0)
			kernel_model_lose(kernel, i - 1);
	}
}

static void adopt(struct cluster *cluster, unsigned int d)
{
	const struct kernel_model *kernel = cluster->directors[d].kernel;

	for (unsigned int i = 0; i < kernel_model_count(kernel); i++)
		step(cluster, d,
		     (struct node_event){.type = NODE_ADOPTED,
					 .entry = kernel_model_at(kernel, i)});
	step(cluster, d, (struct node_event){.type = NODE_ADOPTED_ALL});
}

void cluster_unread(struct cluster *cluster, unsigned int d)
{
	cluster->directors[d].unread = true;
}

void cluster_read(struct cluster *cluster, unsigned int d)
{
	cluster->directors[d].unread = false;
	adopt(cluster, d);
}

/* Answers the node's requests to the kernel, as the daemon does. */
static void ask_kernel(struct cluster *cluster, unsigned int d)
{
	struct director *director = &cluster->directors[d];
	struct service_set services;

	if (director->update.services) {
		kernel_model_services(director->kernel, &services);
		step(cluster, d, (struct node_event){.type = NODE_SERVICES, .services = &services});
		service_set_fini(&services);
	}
	if (director->adopt)
		adopt(cluster, d);
	director->adopt = false;
}

void cluster_facts(struct cluster *cluster,
		   void (*told)(void *context, unsigned int d, const struct fact *fact),
		   void *context)
{
	cluster->told = told;
	cluster->told_context = context;
}

static void pull_facts(struct cluster *cluster, unsigned int d)
{
	struct sync *sync = node_sync(cluster->directors[d].node);
	struct fact fact;

	if (!cluster->told || !sync_fact_pending(sync) || cluster_random(cluster) % 4 == 0)
		return;
	while (sync_fact_next(sync, director_now(cluster, d), &fact))
		cluster->told(cluster->told_context, d, &fact);
}

/* The daemon asks to be started with a higher epoch. */
static void start_again(struct cluster *cluster, unsigned int d)
{
	struct director *director = &cluster->directors[d];

	if (!director->wanted)
		return;
	director->epoch = MAX(director->epoch, director->wanted - 1);
	cluster_crash(cluster, d, false);
	cluster_start(cluster, d);
}

static void inject(struct cluster *cluster, unsigned int d)
{
	struct director *director = &cluster->directors[d];
	uint8_t message[2048];
	size_t len;

	if (director->taken > cluster->time)
		return;
	if (director->taken)
		step(cluster, d,
		     (struct node_event){.type = director->lost ? NODE_INJECT_LOST
								: NODE_INJECTED});
	director->lost = false;
	director->taken = cluster->slow ? cluster->time + cluster->slow : 0;
	while ((len = sync_inject(node_sync(director->node), director_now(cluster, d), message,
				  sizeof(message))) > 0) {
		struct kernel_wire_reader reader;
		struct entry entry;

		if (cluster->lossy && cluster_random(cluster) % cluster->lossy == 0) {
			director->lost = true;
			continue;
		}
		if (kernel_wire_read(&reader, message, len, SYNCID) != 0)
			abort();
		while (kernel_wire_next(&reader, &entry) > 0)
			kernel_model_inject(director->kernel, &entry, cluster->time);
	}
	if (!cluster->slow)
		step(cluster, d,
		     (struct node_event){.type = director->lost ? NODE_INJECT_LOST
								: NODE_INJECTED});
}

/* Time */

static void fill(struct cluster *cluster, unsigned int d, unsigned int number, struct pipe *pipe)
{
	struct director *director = &cluster->directors[d];
	size_t len;

	if (is_frozen(cluster, d) || !bits_have(director->output.bits, number))
		return;
	if (cluster->narrow ? pipe->len > 0 : PIPE_MAX - pipe->len < NODE_OUTPUT_MIN)
		return;
	len = node_output(director->node, number, director_now(cluster, d), cluster->scratch,
			  PIPE_MAX - pipe->len);
	if (len == 0) {
		bits_remove(director->output.bits, number);
		return;
	}
	pipe->data = realloc(pipe->data, pipe->len + len);
	memcpy(pipe->data + pipe->len, cluster->scratch, len);
	pipe->len += len;
}

static void deliver(struct cluster *cluster, struct link *link, bool to_b)
{
	struct pipe *pipe = to_b ? &link->to_b : &link->to_a;
	size_t len = pipe->len;
	uint8_t *data;

	if (len == 0 || cluster->hole[link->a][link->b] ||
	    is_frozen(cluster, to_b ? link->b : link->a))
		return;
	if (cluster->throttle[link->a][link->b])
		len = MIN(len, cluster->throttle[link->a][link->b]);
	if (cluster_random(cluster) % 4 == 0)
		len = 1 + cluster_random(cluster) % len;
	if (cluster->narrow)
		len = MIN(len, cluster->narrow);
	/* A copy of its exact size: the link may go while the node looks at it. */
	data = malloc(len);
	memcpy(data, pipe->data, len);
	memmove(pipe->data, pipe->data + len, pipe->len - len);
	pipe->len -= len;
	if (pipe->len == 0) {
		free(pipe->data);
		pipe->data = NULL;
	}
	step(cluster, to_b ? link->b : link->a,
	     (struct node_event){.type = NODE_STREAM_DATA,
				 .stream = to_b ? link->nb : link->na,
				 .data = data,
				 .len = len});
	free(data);
}

static void deliver_datagrams(struct cluster *cluster)
{
	struct datagram *datagrams = cluster->datagrams;
	unsigned int len = cluster->datagrams_len, cap = cluster->datagrams_cap;

	cluster->datagrams = cluster->delivered;
	cluster->datagrams_cap = cluster->delivered_cap;
	cluster->delivered = datagrams;
	cluster->delivered_cap = cap;
	cluster->datagrams_len = 0;
	for (unsigned int i = 0; i < len; i++) {
		const struct datagram *d = &datagrams[i];

		if (!cluster->directors[d->to].up || cluster->cut[d->from][d->to] ||
		    cluster->hole[d->from][d->to] || is_frozen(cluster, d->to))
			continue;
		step(cluster, d->to,
		     (struct node_event){.type = NODE_DATAGRAM,
					 .data = d->data,
					 .len = d->len,
					 .remote = cluster_endpoint(d->from)});
	}
}

void cluster_run(struct cluster *cluster, usec_t time)
{
	usec_t end = cluster->time + time;

	for (; cluster->time < end; cluster->time += STEP) {
		deliver_datagrams(cluster);
		for (unsigned int d = 0; d < cluster->count; d++) {
			struct director *director = &cluster->directors[d];

			if (cluster->time % KERNEL_TIMERS == 0)
				expire(cluster, d);
			if (is_frozen(cluster, d))
				continue;
			if (director->up &&
			    director->update.timeout <= director_now(cluster, d).mono)
				step(cluster, d, (struct node_event){.type = NODE_TICK});
			if (director->up)
				ask_kernel(cluster, d);
			if (director->up)
				pull_facts(cluster, d);
			if (director->up)
				start_again(cluster, d);
			if (director->up && (director->update.inject || director->taken))
				inject(cluster, d);
		}
		for (unsigned int i = 0; i < cluster->links_len; i++) {
			struct link *link = cluster->links[i];

			if (link->used)
				fill(cluster, link->a, link->na, &link->to_b);
			if (link->used)
				fill(cluster, link->b, link->nb, &link->to_a);
			if (link->used)
				deliver(cluster, link, true);
			if (link->used)
				deliver(cluster, link, false);
		}
	}
}

/* Comparing */

struct held {
	struct entry entry;
	struct sync_info info;
};

static int held_compare(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct flow));
}

static unsigned int held_collect(const struct director *director, struct held *held)
{
	const struct sync *sync = node_sync(director->node);
	unsigned int n = 0;
	uint64_t cursor = 0;

	while (sync_walk(sync, &cursor, &held[n].entry, &held[n].info))
		n += held[n].info.shared;
	qsort(held, n, sizeof(*held), held_compare);
	return n;
}

const char *cluster_difference(const struct cluster *cluster)
{
	static char text[160];
	struct held *first = calloc(KERNEL_MODEL_MAX, sizeof(*first));
	struct held *other = calloc(KERNEL_MODEL_MAX, sizeof(*other));
	unsigned int n = 0, m, at = CLUSTER_MAX;

	text[0] = '\0';
	for (unsigned int d = 0; d < cluster->count && !text[0]; d++) {
		const struct director *director = &cluster->directors[d];

		if (!director->up)
			continue;
		m = held_collect(director, other);
		for (unsigned int i = 0; i < m && !text[0]; i++) {
			const struct entry *kernel =
				kernel_model_find(director->kernel, &other[i].entry.flow);

			if (!kernel || !entry_agrees(kernel, &other[i].entry))
				snprintf(text, sizeof(text),
					 "d%u: client port %u: kernel has state %d, server %d, not "
					 "%u, %u",
					 d + 1, other[i].entry.flow.cport,
					 kernel ? kernel->state : -1,
					 kernel ? kernel->daddr[3] : -1, other[i].entry.state,
					 other[i].entry.daddr[3]);
		}
		if (at == CLUSTER_MAX) {
			struct held *swap = first;

			first = other;
			other = swap;
			n = m;
			at = d;
			continue;
		}
		if (n != m)
			snprintf(text, sizeof(text), "d%u holds %u entries, d%u %u", at + 1, n,
				 d + 1, m);
		for (unsigned int i = 0; i < n && !text[0]; i++) {
			if (held_compare(&first[i], &other[i]) != 0 ||
			    !entry_agrees(&first[i].entry, &other[i].entry) ||
			    first[i].info.hlc != other[i].info.hlc ||
			    first[i].info.origin != other[i].info.origin)
				snprintf(text, sizeof(text),
					 "client port %u differs on d%u and d%u: states %u and %u, "
					 "versions %llx and %llx",
					 first[i].entry.flow.cport, at + 1, d + 1,
					 first[i].entry.state, other[i].entry.state,
					 (unsigned long long)first[i].info.hlc,
					 (unsigned long long)other[i].info.hlc);
		}
	}
	free(first);
	free(other);
	return text[0] ? text : NULL;
}

struct entry cluster_entry(unsigned int i, unsigned int server, uint16_t state, bool v6)
{
	struct entry entry = {.state = state, .timeout = 900, .flags = 3};
	struct flow *flow = &entry.flow;

	flow->family = v6 && i % 2 ? AF_INET6 : AF_INET;
	flow->protocol = IPPROTO_TCP;
	flow->caddr[0] = 10;
	flow->caddr[1] = (uint8_t)(i >> 16);
	flow->caddr[2] = (uint8_t)(i >> 8);
	flow->caddr[3] = (uint8_t)i;
	flow->cport = (uint16_t)(1024 + i % 60000);
	flow->vaddr[0] = 203;
	flow->vport = 443;
	entry.daddr[0] = 192;
	entry.daddr[3] = (uint8_t)server;
	entry.dport = 443;
	return entry;
}

struct sync_status cluster_sync_status(struct cluster *cluster, unsigned int d)
{
	struct node_status status;

	node_status(cluster_node(cluster, d), &status);
	return status.sync;
}

void cluster_seeds(uint64_t last, void (*run)(uint64_t seed))
{
	const char *only = getenv("SEED");

	for (uint64_t seed = 1; !only && seed <= last; seed++)
		run(seed);
	if (only)
		run(strtoul(only, NULL, 10));
}
