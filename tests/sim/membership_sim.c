#include "tests/sim/membership_sim_private.h"

#include <sodium.h>

#include "tests/identity_fixture.h"

#define EPOCH 1000
#define BACKLOG_MAX 200 /* datagrams that a stalled process' socket holds */

uint64_t sim_random(struct sim *sim, uint64_t below)
{
	/* SplitMix64 */
	uint64_t z = sim->seed + ++sim->drawn * UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	z ^= z >> 31;
	return below ? z % below : 0;
}

usec_t sim_now(const struct sim *sim)
{
	return sim->time;
}

uint64_t sim_hash(const struct sim *sim)
{
	return sim->hash;
}

struct endpoint sim_endpoint(unsigned int n, unsigned int net)
{
	struct endpoint endpoint = {
		.ip = {.family = AF_INET,
		       .bytes = {10, (uint8_t)net, (uint8_t)(n >> 8), (uint8_t)n}},
		.port = PORT,
	};

	return endpoint;
}

void sim_certify(struct sim *sim, unsigned int n, unsigned int name_of, uint64_t serial)
{
	struct keygen_options options = {
		.not_before = FIXTURE_SECONDS - FIXTURE_VALID,
		.not_after = FIXTURE_SECONDS + 30 * FIXTURE_VALID,
		.serial = serial,
	};
	uint8_t seed[KEYGEN_NODE_SEED] = {1};
	struct cluster_key key;
	char name[16];

	snprintf(name, sizeof(name), "d%u", name_of + 1);
	options.name = name;
	store_le32(seed + 4, n);
	store_le32(seed + KEYGEN_NODE_SEED / 2, n + 1);
	seed[KEYGEN_NODE_SEED - 1] = 7;
	fixture_cluster(1, &key);
	if (identity_keygen_node(&key, &options, seed, &sim->hosts[n].identity) != 0)
		abort();
}

struct sim *sim_new(const struct sim_options *options)
{
	struct sim *sim = calloc(1, sizeof(*sim));
	unsigned int all = 2 * options->count;

	assert(sim && sodium_init() >= 0);
	sim->seed = options->seed;
	sim->options = *options;
	if (sim->options.profile.interval == 0)
		sim->options.profile = membership_default;
	sim->options.addresses = MAX(options->addresses, 1u);
	sim->count = options->count;
	sim->time = START;
	sim->hosts = calloc(all, sizeof(*sim->hosts));
	sim->cuts = calloc(all, all);
	sim->mended = calloc((size_t)all * all, sizeof(*sim->mended));
	assert(sim->hosts && sim->cuts && sim->mended);
	for (unsigned int i = 0; i < sim->count; i++)
		sim_certify(sim, i, i, i + 1);
	return sim;
}

struct sim *sim_new_whole(struct sim_options options, unsigned int up, usec_t calm)
{
	const char *seed = getenv("SEED");
	struct sim *sim;

	options.seed += seed ? 1000 * strtoull(seed, NULL, 10) : 0;
	sim = sim_new(&options);
	sim_trace(sim, getenv("TRACE") != NULL);
	for (unsigned int i = 0; i < up; i++)
		sim_start(sim, i, SIM_KEEP, i ? 1 : 2);
	if (!sim_until(sim, sim_whole, NULL, 10 * USEC_PER_SEC))
		abort();
	sim_run(sim, calm);
	sim_forget_notices(sim);
	return sim;
}

void sim_free(struct sim *sim)
{
	struct link *link;

	for (size_t i = 0; i < sim->heap_len; i++)
		free(sim->heap[i].data);
	for (unsigned int i = 0; i < 2 * sim->count; i++) {
		sim_crash(sim, i, true);
		free(sim->hosts[i].roster);
		free(sim->hosts[i].old_roster);
	}
	while ((link = sim->links)) {
		sim->links = link->next;
		free(link);
	}
	free(sim->heap);
	free(sim->notices);
	free(sim->hosts);
	free(sim->cuts);
	free(sim->mended);
	free(sim);
}

static void save_roster(struct sim *sim, unsigned int n)
{
	struct host *host = &sim->hosts[n];
	size_t size = membership_roster_size(host->core);

	free(host->roster);
	host->roster = malloc(MAX(size, (size_t)1));
	assert(host->roster);
	host->roster_len = membership_roster(host->core, host->roster, size);
}

static void step(struct sim *sim, unsigned int n, struct membership_event *event);

static void restart_in(struct sim *sim, unsigned int n, uint64_t epoch)
{
	sim_crash(sim, n, false);
	sim->hosts[n].epoch = epoch - 1;
	sim_start(sim, n, SIM_KEEP, 0);
}

static void carry_out(struct sim *sim, unsigned int n, const struct membership_update *update)
{
	struct host *host = &sim->hosts[n];
	struct membership_dialling dialling;
	struct membership_target target;
	struct membership_notice notice;
	uint8_t data[MEMBERSHIP_DATAGRAM_MAX];
	size_t len;

	while ((len = membership_datagram(host->core, data, sizeof(data), &target)))
		sim_transmit(sim, n, &target, data, len);
	for (unsigned int i = 0; i < MEMBERSHIP_STREAMS_MAX; i++) {
		if (update->output >> i & 1)
			sim_send_frames(sim, n, i);
		if (update->close >> i & 1)
			sim_end(sim, n, i);
	}
	while (membership_dial(host->core, &dialling))
		sim_dial(sim, n, &dialling);
	while (membership_notice(host->core, &notice))
		sim_note(sim, n, &notice);
	if (update->roster_changed && !sim->options.quick_check)
		save_roster(sim, n);
	host->timer = update->timeout;
	sim_push(sim, (struct event){.time = MAX(update->timeout, sim->time),
				     .type = TIMER,
				     .to = n,
				     .generation = ++host->generation});
}

static void step(struct sim *sim, unsigned int n, struct membership_event *event)
{
	struct host *host = &sim->hosts[n];
	struct membership_update update;

	event->now.mono = sim->time;
	event->now.wall = FIXTURE_WALL + (sim->time - START) + (usec_t)host->clock;
	sim->status.steps++;
	sim_hash_in(sim, (uint64_t)event->type << 32 | n);
	sim_hash_in(sim, sim->time);
	membership_step(host->core, event, &update);
	carry_out(sim, n, &update);
	if (!sim->options.quick_check)
		sim_check(sim, n);
	if (update.epoch_wanted)
		restart_in(sim, n, update.epoch_wanted);
}

void sim_event(struct sim *sim, unsigned int n, struct membership_event event)
{
	step(sim, n, &event);
}

static struct host *host_of(struct sim *sim, const struct link *link, bool a)
{
	return &sim->hosts[a ? link->a : link->b];
}

static void opened(struct sim *sim, struct link *link)
{
	struct host *a = host_of(sim, link, true), *b = host_of(sim, link, false);
	struct membership_event event = {.type = MEMBERSHIP_STREAM_OPENED};
	unsigned int slot = MEMBERSHIP_DIALS_MAX;

	while (slot < MEMBERSHIP_STREAMS_MAX && b->links[slot])
		slot++;
	if (!a->core || !b->core || slot == MEMBERSHIP_STREAMS_MAX || a->links[link->na])
		return;
	if (a->identity.id == b->identity.id) {
		event.type = MEMBERSHIP_STREAM_CLOSED;
		event.stream = link->na;
		event.self = true;
		step(sim, (unsigned int)(a - sim->hosts), &event);
		return;
	}
	link->open = true;
	link->nb = slot;
	b->links[slot] = a->links[link->na] = link;
	event.stream = slot;
	event.peer = &a->identity.certificate;
	event.peer_epoch = a->epoch;
	event.remote = sim_endpoint(link->a, link->net);
	step(sim, link->b, &event);
	if (!link->closed_a && a->core) {
		event.stream = link->na;
		event.peer = &b->identity.certificate;
		event.peer_epoch = b->epoch;
		event.remote = sim_endpoint(link->b, link->net);
		step(sim, link->a, &event);
	}
}

static void deliver_stream(struct sim *sim, struct event *happened)
{
	struct link *link = happened->link;
	bool to_a = happened->to == link->a;
	struct host *host = &sim->hosts[happened->to];
	struct membership_event event = {.stream = to_a ? link->na : link->nb};

	if (happened->type == OPENED) {
		opened(sim, link);
		return;
	}
	if (happened->type == REFUSED) {
		event.type = MEMBERSHIP_STREAM_CLOSED;
		event.refused = true;
		if (host->core && !host->links[event.stream])
			step(sim, happened->to, &event);
		return;
	}
	if (!host->core || host->links[event.stream] != link) {
		return;
	}
	if (happened->type == FRAME) {
		event.type = MEMBERSHIP_STREAM_FRAME;
		event.kind = happened->kind;
		event.data = happened->data;
		event.len = happened->len;
	} else {
		event.type = MEMBERSHIP_STREAM_CLOSED;
		host->links[event.stream] = NULL;
		if (to_a)
			link->closed_a = true;
		else
			link->closed_b = true;
	}
	step(sim, happened->to, &event);
}

static void deliver_datagram(struct sim *sim, const struct event *happened)
{
	struct membership_event event = {
		.type = MEMBERSHIP_DATAGRAM,
		.data = happened->data,
		.len = happened->len,
		.local = happened->local,
		.remote = sim_endpoint(happened->from, happened->local),
	};

	if (sim->hosts[happened->to].core)
		step(sim, happened->to, &event);
}

/* Events of a process that does not run wait for it, timers first. */
static bool postpone(struct sim *sim, struct event *happened)
{
	struct host *host = &sim->hosts[happened->to];

	if (!host->core || sim->time >= host->stalled_until)
		return false;
	if (happened->type == DATAGRAM && host->backlog++ >= BACKLOG_MAX) {
		free(happened->data);
		return true;
	}
	happened->time = host->stalled_until + (happened->type != TIMER);
	sim_push(sim, *happened);
	return true;
}

static void happen(struct sim *sim)
{
	struct event happened = sim_pop(sim);
	struct membership_event tick = {.type = MEMBERSHIP_TICK};

	sim->time = happened.time;
	if (postpone(sim, &happened))
		return;
	switch (happened.type) {
	case TIMER:
		if (sim->hosts[happened.to].core &&
		    sim->hosts[happened.to].generation == happened.generation)
			step(sim, happened.to, &tick);
		break;
	case DATAGRAM:
		deliver_datagram(sim, &happened);
		break;
	default:
		deliver_stream(sim, &happened);
	}
	free(happened.data);
}

void sim_run(struct sim *sim, usec_t time)
{
	usec_t end = sim->time + time;

	while (sim->heap_len > 0 && sim->heap[0].time <= end && !sim->broken[0])
		happen(sim);
	sim->time = end;
}

bool sim_until(struct sim *sim, bool (*condition)(struct sim *, void *), void *arg, usec_t time)
{
	usec_t end = sim->time + time;

	while (!condition(sim, arg)) {
		if (sim->heap_len == 0 || sim->heap[0].time > end || sim->broken[0])
			return false;
		happen(sim);
	}
	return true;
}

static void start_core(struct sim *sim, unsigned int n)
{
	struct host *host = &sim->hosts[n];
	struct membership_options options = {
		.identity = &host->identity,
		.epoch = host->epoch,
		.profile = sim->options.profile,
		.address_count = sim->options.addresses,
		.versions = {1, n < 64 && sim->options.newer >> n & 1 ? 2 : 1},
		.config = 1,
		.witness = sim->options.witness,
		.roster = host->roster,
		.roster_len = host->roster_len,
		.now = {.mono = sim->time, .wall = FIXTURE_WALL + (sim->time - START)},
	};
	struct membership_event event = {
		.type = MEMBERSHIP_JOIN, .join = host->join, .join_count = host->join_count};

	for (unsigned int i = 0; i < options.address_count; i++)
		options.addresses[i] = sim_endpoint(n, i);
	for (unsigned int i = 0; i < sizeof(options.seed) / 8; i++)
		store_le64(options.seed + 8 * i, sim_random(sim, UINT64_MAX));
	if (sim->trace)
		fprintf(stderr, "[%8llu] d%u: starts in boot %llu\n",
			(unsigned long long)((sim->time - START) / 1000), n + 1,
			(unsigned long long)host->epoch);
	host->highest_epoch = MAX(host->highest_epoch, host->epoch);
	if (membership_new(&options, &host->core) != 0)
		abort();
	host->host_down = false;
	host->stalled_until = 0;
	host->quiet_since = sim->time;
	step(sim, n, &event);
}

void sim_start(struct sim *sim, unsigned int n, enum sim_start how, uint64_t join_bits)
{
	struct host *host = &sim->hosts[n];

	if (host->core)
		return;
	if (join_bits)
		host->join_count = 0;
	for (unsigned int i = 0; i < MIN(sim->count, 64u); i++)
		if (join_bits >> i & 1)
			host->join[host->join_count++] = sim_endpoint(i, 0);
	if (how == SIM_ROLLBACK && host->old_epoch) {
		uint64_t newest = host->epoch;

		host->epoch = host->old_epoch;
		host->old_epoch = newest;
		host->rolled_back = true;
	} else {
		host->old_epoch = host->epoch;
		host->epoch = host->epoch ? host->epoch + 1 : EPOCH + sim->time / USEC_PER_SEC;
		if (how == SIM_LOST) {
			host->epoch = MAX(host->epoch, EPOCH + sim->time / USEC_PER_SEC);
			host->roster_len = 0;
		}
	}
	host->lost = how == SIM_LOST;
	start_core(sim, n);
}

void sim_inherit(struct sim *sim, unsigned int n, unsigned int from)
{
	struct host *host = &sim->hosts[n], *former = &sim->hosts[from];

	free(host->roster);
	host->roster = former->roster;
	host->roster_len = former->roster_len;
	host->epoch = former->epoch;
	former->roster = NULL;
	former->roster_len = 0;
}

void sim_crash(struct sim *sim, unsigned int n, bool host_too)
{
	struct host *host = &sim->hosts[n];

	host->host_down = host_too;
	if (!host->core)
		return;
	for (unsigned int i = 0; i < MEMBERSHIP_STREAMS_MAX; i++) {
		if (host_too && host->links[i]) {
			/* Silently. */
			if (n == host->links[i]->a)
				host->links[i]->closed_a = true;
			else
				host->links[i]->closed_b = true;
			host->links[i] = NULL;
		}
		sim_end(sim, n, i);
	}
	membership_free(host->core);
	host->core = NULL;
	host->generation++;
	host->backlog = 0;
}

void sim_clone(struct sim *sim, unsigned int n, bool same_epoch)
{
	struct host *host = &sim->hosts[sim->count + n], *of = &sim->hosts[n];

	host->identity = of->identity;
	host->clone_of = n + 1;
	host->epoch = of->epoch + !same_epoch;
	memcpy(host->join, of->join, sizeof(host->join));
	host->join_count = of->join_count;
	for (unsigned int i = 0; i < sim->count && host->join_count == 0; i++)
		if (i != n)
			host->join[host->join_count++] = sim_endpoint(i, 0);
	start_core(sim, sim->count + n);
}

void sim_stall(struct sim *sim, unsigned int n, usec_t time)
{
	sim->hosts[n].stalled_until = sim->time + time;
	sim->hosts[n].quiet_since = sim->time + time;
	sim->hosts[n].backlog = 0;
}

bool sim_up(const struct sim *sim, unsigned int n)
{
	return sim->hosts[n].core && sim->time >= sim->hosts[n].stalled_until;
}

void sim_clock(struct sim *sim, unsigned int n, int64_t shift)
{
	sim->hosts[n].clock = shift;
}
