#include "tests/sim/membership_sim_private.h"

#define SETTLED (10 * USEC_PER_SEC)

void sim_hash_in(struct sim *sim, uint64_t value)
{
	sim->hash = (sim->hash ^ value) * UINT64_C(0x100000001b3);
	sim->hash ^= sim->hash >> 29;
}

static void fault(struct sim *sim, unsigned int n, const char *what)
{
	if (!sim->broken[0])
		snprintf(sim->broken, sizeof(sim->broken), "seed %llu: [%llu ms] d%u: %s",
			 (unsigned long long)sim->seed,
			 (unsigned long long)((sim->time - START) / 1000), n + 1, what);
}

static int number_of(const struct sim *sim, uint64_t id)
{
	for (unsigned int i = 0; i < sim->count; i++)
		if (sim->hosts[i].identity.id == id)
			return (int)i;
	return -1;
}

/* A member whose state went back in time is kept out until it has found that out, and one that lost
 * its state may have to wait until it is dialled; both count from when it is reached. */
static usec_t settles(const struct sim *sim, unsigned int n)
{
	const struct host *host = &sim->hosts[n];

	return SETTLED * (host->rolled_back || host->lost ? 6 : 1);
}

static bool settled(const struct sim *sim, unsigned int n)
{
	const struct host *host = &sim->hosts[n];

	return host->core && sim->time >= host->stalled_until &&
	       sim->time >= host->quiet_since + settles(sim, n);
}

static bool reachable(const struct sim *sim, unsigned int a, unsigned int b)
{
	size_t all = 2 * sim->count;
	usec_t since = MAX(sim->mended[a * all + b], sim->mended[b * all + a]);

	return sim->cuts[a * all + b] == 0 && sim->cuts[b * all + a] == 0 &&
	       sim->time >= since + MAX(settles(sim, a), settles(sim, b));
}

void sim_note(struct sim *sim, unsigned int n, const struct membership_notice *notice)
{
	int member = notice->member ? number_of(sim, notice->member) : -1;

	if (sim->notice_count == sim->notice_cap) {
		sim->notice_cap = MAX(2 * sim->notice_cap, (size_t)64);
		sim->notices = realloc(sim->notices, sim->notice_cap * sizeof(*sim->notices));
		assert(sim->notices);
	}
	sim_hash_in(sim, (uint64_t)notice->type << 32 | n);
	sim_hash_in(sim, notice->member ^ sim->time);
	if (sim->trace)
		fprintf(stderr, "[%8llu] d%u: %s %s view %u of %u, lost %u, evidence %x, %llx\n",
			(unsigned long long)((sim->time - START) / 1000), n + 1,
			membership_notice_name((int)notice->type), notice->name, notice->view,
			notice->roster, notice->lost, notice->evidence,
			(unsigned long long)notice->incident);
	if (notice->type == MEMBERSHIP_MEMBER_FAILED && member >= 0 && n < sim->count &&
	    settled(sim, n) && settled(sim, (unsigned int)member) &&
	    reachable(sim, n, (unsigned int)member)) {
		sim->status.false_failures++;
		if (sim->trace)
			fprintf(stderr, "[%8llu] that was false\n",
				(unsigned long long)((sim->time - START) / 1000));
	}
	if (notice->type < MEMBERSHIP_SUSPECTED || !sim->options.quick_check)
		sim->notices[sim->notice_count++] = (struct sim_notice){n, *notice};
}

/* Checks the invariants of one core. */
void sim_check(struct sim *sim, unsigned int n)
{
	struct membership *core = sim->hosts[n].core;
	struct membership_status status;
	struct member_info info;
	unsigned int cursor = 0, view = 1, other;
	int i;

	membership_status(core, &status);
	if (status.view > status.roster + status.away)
		fault(sim, n, "the view is larger than the roster");
	while (membership_walk(core, &cursor, &info)) {
		view += info.state == STATE_ALIVE || info.state == STATE_SUSPECT;
		i = number_of(sim, info.id);
		if (i < 0 || n >= sim->count) {
			if (i < 0)
				fault(sim, n, "knows somebody who was never there");
			continue;
		}
		other = (unsigned int)i;
		if (info.epoch > sim->hosts[other].highest_epoch &&
		    !sim->hosts[other + sim->count].core)
			fault(sim, n, "knows of a boot that never was");
		if (sim->hosts[other].core && info.epoch == sim->hosts[other].epoch &&
		    !sim->hosts[other].rolled_back && !sim->hosts[other + sim->count].core) {
			struct membership_status theirs;

			membership_status(sim->hosts[other].core, &theirs);
			if (info.incarnation > theirs.incarnation)
				fault(sim, n, "knows an incarnation that never was");
		}
	}
	if (view != status.view)
		fault(sim, n, "the view is counted wrong");
	if (sim->hosts[n].timer < sim->time)
		fault(sim, n, "wants to be called in the past");
}

struct membership *sim_core(struct sim *sim, unsigned int n)
{
	return sim->hosts[n].core;
}

uint64_t sim_id(const struct sim *sim, unsigned int n)
{
	return sim->hosts[n].identity.id;
}

const struct identity *sim_identity(const struct sim *sim, unsigned int n)
{
	return &sim->hosts[n].identity;
}

size_t sim_notices(const struct sim *sim, const struct sim_notice **ret_notices)
{
	*ret_notices = sim->notices;
	return sim->notice_count;
}

unsigned int sim_count(const struct sim *sim, int n, enum membership_notice_type type, int member,
		       usec_t since)
{
	unsigned int count = 0;

	for (size_t i = 0; i < sim->notice_count; i++) {
		const struct sim_notice *seen = &sim->notices[i];

		count += seen->notice.type == type && seen->notice.now.mono >= since &&
			 (n < 0 || seen->at == (unsigned int)n) &&
			 (member < 0 || seen->notice.member == sim_id(sim, (unsigned int)member));
	}
	return count;
}

void sim_forget_notices(struct sim *sim)
{
	sim->notice_count = 0;
}

enum member_state sim_state(struct sim *sim, unsigned int at, unsigned int of)
{
	struct member_info info;

	if (!membership_find(sim->hosts[at].core, sim_id(sim, of), &info))
		return STATE_MAX;
	return info.state;
}

bool sim_whole(struct sim *sim, void *unused)
{
	unsigned int up = 0;
	struct membership_status status;

	(void)unused;
	for (unsigned int i = 0; i < sim->count; i++)
		up += sim_up(sim, i);
	for (unsigned int i = 0; i < sim->count; i++) {
		if (!sim_up(sim, i))
			continue;
		membership_status(sim->hosts[i].core, &status);
		if (status.view != up)
			return false;
	}
	for (unsigned int i = 0; i < sim->count; i++)
		for (unsigned int j = 0; j < sim->count; j++)
			if (i != j && sim_up(sim, i) && sim_up(sim, j) &&
			    sim_state(sim, i, j) != STATE_ALIVE &&
			    sim_state(sim, i, j) != STATE_SUSPECT)
				return false;
	return true;
}

uint64_t sim_counter(struct sim *sim, unsigned int n, const char *name)
{
	struct membership_counter counter;

	for (unsigned int i = 0; membership_counter(sim->hosts[n].core, i, &counter); i++)
		if (strcmp(counter.name, name) == 0)
			return counter.value;
	abort();
}

void sim_status(const struct sim *sim, struct sim_status *ret_status)
{
	*ret_status = sim->status;
}

void sim_trace(struct sim *sim, bool on)
{
	sim->trace = on;
}

const char *sim_broken(const struct sim *sim)
{
	return sim->broken[0] ? sim->broken : NULL;
}
