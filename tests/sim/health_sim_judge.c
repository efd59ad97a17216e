/* The promises of health checking, looked at from outside. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "tests/sim/health_sim.h"

#define MS USEC_PER_MSEC
#define SEC USEC_PER_SEC
/* A real server that serves again is told from one that does not after so long: results that are
 * under way, `rise` of them, and facts that are stalled. */
#define AGAIN (3 * SEC)
/* Membership and streams follow what happened to them. */
#define FOLLOWED (4 * SEC)
#define AGREED (500 * MS)
/* A director that starts knows the members, and whom to believe. */
#define STARTED (3 * SEC)

static void trouble(struct health_sim *sim, const char *format, ...)
{
	va_list arguments;
	int len;

	if (*sim->trouble)
		return;
	len = snprintf(sim->trouble, sizeof(sim->trouble),
		       "at %.2f s: ", (double)sim->now / (double)SEC);
	va_start(arguments, format);
	vsnprintf(sim->trouble + len, sizeof(sim->trouble) - (size_t)len, format, arguments);
	va_end(arguments);
}

static struct health_real_status status_of(const struct health_sim *sim, unsigned int director,
					   unsigned int service, unsigned int real)
{
	struct health_real_status status;

	bool there = health_real_status(sim->directors[director].health, service, real, &status);

	assert(there);
	return status;
}

static bool is_honest(const struct health_sim *sim, unsigned int director)
{
	return sim->directors[director].health && !sim->directors[director].lie;
}

static usec_t bound(const struct health_sim *sim)
{
	return sim->check.fall * sim->check.interval + sim->check.timeout + SEC;
}

static bool is_operators(const struct health_real_status *status)
{
	return status->setting != HEALTH_SET_RESET;
}

/* No real server that serves is taken out. */
void health_sim_judge_out(struct health_sim *sim, unsigned int director, unsigned int service,
			  unsigned int real)
{
	usec_t serving = sim->reals[real].serving;
	struct health_real_status status = status_of(sim, director, service, real);
	struct health_vote vote;
	char votes[256] = "";
	unsigned int counted = 0;

	if (!is_honest(sim, director) || serving == USEC_NEVER || sim->now < serving + AGAIN ||
	    is_operators(&status))
		return;
	for (unsigned int i = 0;
	     health_vote(sim->directors[director].health, service, real, i, &vote); i++) {
		size_t len = strlen(votes);

		counted += vote.counted;
		snprintf(votes + len, sizeof(votes) - len, " %" PRIx64 ":%d/%d%s", vote.director,
			 vote.state, vote.view, vote.counted ? "*" : "");
	}
	/* A director that starts goes by its state file. */
	if (!counted && sim->now < sim->directors[director].started + SEC)
		return;
	trouble(sim, "d%u (since %.2f) takes real server %u out, which serves:%s", director,
		(double)sim->directors[director].started / (double)SEC, real, votes);
}

/* Directors that can exchange facts with that one, itself among them. */
static unsigned int component(const struct health_sim *sim, unsigned int director,
			      unsigned int *ret_bad)
{
	unsigned int n = 0, bad = 0;

	for (unsigned int i = 0; i < sim->n_directors; i++) {
		if (i != director && !health_sim_linked(sim, director, i))
			continue;
		n++;
		bad += sim->directors[i].lie || sim->directors[i].stuck;
	}
	*ret_bad = bad;
	return n;
}

/* A real server that is dead is known as that in time, where most checkers are good. */
static void judge_detection(struct health_sim *sim, unsigned int director, unsigned int real)
{
	const struct health_sim_real *server = &sim->reals[real];
	usec_t since = MAX(MAX(server->since, sim->disturbed + FOLLOWED),
			   sim->directors[director].started);
	struct health_real_status status = status_of(sim, director, 0, real);
	unsigned int bad, n = component(sim, director, &bad);
	bool must = bad == 0 || (n >= 3 && bad == 1);

	/* Another one has to check in its place first. */
	if (bad)
		since += bound(sim) + sim->check.interval;
	if (server->up || !must || sim->now < since + bound(sim) ||
	    status.setting == HEALTH_SET_MAINTENANCE)
		return;
	if (status.verdict != HEALTH_DOWN)
		trouble(sim, "d%u does not know after %.2f s that real server %u is down", director,
			(double)(sim->now - since) / (double)SEC, real);
}

/* A service with a real server that serves has one that gets traffic. */
static void judge_emptied(struct health_sim *sim, unsigned int director, unsigned int service)
{
	const struct health_sim_director *d = &sim->directors[director];
	bool serves = false, operators = false;

	for (unsigned int r = 0; r < sim->n_reals; r++) {
		struct health_real_status status = status_of(sim, director, service, r);

		operators |= is_operators(&status);
		serves |= sim->reals[r].serving != USEC_NEVER &&
			  sim->now >= sim->reals[r].serving + bound(sim) &&
			  sim->now >= sim->disturbed + FOLLOWED + bound(sim);
		if (d->weights[service][r])
			return;
	}
	if (serves && !operators)
		trouble(sim, "d%u has emptied service %u", director, service);
}

static void judge_pair(struct health_sim *sim, unsigned int a, unsigned int b, bool settled)
{
	for (unsigned int r = 0; r < sim->n_reals; r++) {
		usec_t *since = &sim->differ_since[a][b][r];
		bool differ = false;

		for (unsigned int s = 0; s < sim->n_services; s++)
			differ |= !sim->directors[a].weights[s][r] !=
				  !sim->directors[b].weights[s][r];
		if (!differ || !settled)
			*since = 0;
		else if (*since == 0)
			*since = sim->now;
		else if (sim->now > *since + AGREED)
			trouble(sim, "d%u and d%u differ about real server %u (%s), %u, %u", a, b,
				r, sim->reals[r].up ? "up" : "down",
				sim->directors[a].weights[0][r], sim->directors[b].weights[0][r]);
	}
}

/* Another checker takes the place of one that is stuck first. */
static bool is_calm(const struct health_sim *sim, unsigned int director)
{
	unsigned int bad;

	component(sim, director, &bad);
	return !bad || sim->now >= sim->disturbed + FOLLOWED + 2 * bound(sim);
}

static bool has_started(const struct health_sim *sim, unsigned int director)
{
	return sim->now >= sim->directors[director].started + STARTED;
}

void health_sim_judge(struct health_sim *sim)
{
	bool settled = health_sim_is_settled(sim);

	for (unsigned int a = 0; a < sim->n_directors; a++) {
		if (!is_honest(sim, a))
			continue;
		for (unsigned int r = 0; r < sim->n_reals; r++)
			judge_detection(sim, a, r);
		for (unsigned int s = 0; s < sim->n_services; s++)
			judge_emptied(sim, a, s);
		for (unsigned int b = 0; b < a; b++)
			if (is_honest(sim, b))
				judge_pair(sim, a, b,
					   settled && health_sim_linked(sim, a, b) &&
						   is_calm(sim, a) && has_started(sim, a) &&
						   has_started(sim, b));
	}
}

static void judge_end(struct health_sim *sim, unsigned int d, unsigned int first, unsigned int r)
{
	struct health_real_status status = status_of(sim, d, 0, r);
	bool up = status.verdict != HEALTH_DOWN;

	for (unsigned int s = 0; s < sim->n_services; s++)
		if (sim->directors[d].weights[s][r] != sim->directors[first].weights[s][r])
			trouble(sim, "in the end d%u and d%u differ about %u: %u, %u", d, first, r,
				sim->directors[d].weights[s][r],
				sim->directors[first].weights[s][r]);
	if (status.setting == HEALTH_SET_MAINTENANCE)
		return;
	if (up != sim->reals[r].up)
		trouble(sim, "in the end d%u holds real server %u %s", d, r, up ? "up" : "down");
	if (sim->directors[d].incident[r] == up)
		trouble(sim, "in the end d%u has told that %u is %s", d, r, up ? "down" : "up");
}

void health_sim_judge_end(struct health_sim *sim)
{
	unsigned int first = 0;

	while (!is_honest(sim, first))
		first++;
	for (unsigned int d = first; d < sim->n_directors; d++)
		for (unsigned int r = 0; r < sim->n_reals && is_honest(sim, d); r++)
			judge_end(sim, d, first, r);
	for (unsigned int d = first; d < sim->n_directors; d++)
		for (unsigned int s = 0; s < sim->n_services && is_honest(sim, d); s++)
			if (sim->directors[d].vip_off[s] != sim->directors[first].vip_off[s])
				trouble(sim, "in the end d%u and d%u differ about VIP %u", d, first,
					s);
}
