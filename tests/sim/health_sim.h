/* The health cores of some directors, with models of what is around them: membership that learns of
 * failures late, streams that bring facts in order and stop when they are cut, real servers that
 * fail, checkers that hang or lie, clocks that differ. Everything follows from a seed. After every
 * step health_sim_judge() looks for broken promises. */
#ifndef TESTS_SIM_HEALTH_SIM_H
#define TESTS_SIM_HEALTH_SIM_H

#include "director/check/health.h"

#define HEALTH_SIM_DIRECTORS 7
#define HEALTH_SIM_REALS 12
#define HEALTH_SIM_SERVICES 3
#define HEALTH_SIM_STEP (10 * USEC_PER_MSEC)

enum health_sim_lie {
	HEALTH_SIM_HONEST,
	HEALTH_SIM_ALL_DOWN,
	HEALTH_SIM_ALL_UP,
};

struct health_sim_director {
	uint64_t id, epoch;
	struct health *health; /* NULL: it does not run */
	usec_t started;
	enum health_sim_lie lie;
	bool stuck;   /* its checks never end */
	int64_t skew; /* of its wall clock, us */
	char *state;  /* its state file */
	size_t state_len;
	uint64_t hlc;
	/* Its journal: each fact at its newest place. */
	struct health_sim_fact {
		struct fact fact;
		usec_t at;
		bool gone; /* a newer one has taken its place */
	} * log;
	size_t n_log, room;
	/* As it follows the others. */
	struct health_sim_link {
		bool cut;
		bool alive, current; /* as membership and sync say */
		uint64_t epoch;
		usec_t learns;   /* when membership follows; 0: it has */
		size_t position; /* in the other's journal */
		usec_t stalled;  /* no fact comes until then */
		usec_t delay;
	} links[HEALTH_SIM_DIRECTORS];
	bool unreachable[HEALTH_SIM_REALS]; /* from here */
	struct health_sim_run {
		uint32_t target, run;
		usec_t end;
		struct check_result result;
	} runs[64];
	unsigned int n_runs;
	/* As it was pulled. */
	uint32_t weights[HEALTH_SIM_SERVICES][HEALTH_SIM_REALS];
	bool vip_off[HEALTH_SIM_SERVICES];
	bool incident[HEALTH_SIM_REALS]; /* real-server-down */
};

struct health_sim_real {
	bool up, hangs;
	usec_t since;   /* of that */
	usec_t serving; /* up, and within reach of all honest directors, since; USEC_NEVER: not */
	usec_t flap;    /* it changes about so often; 0: not */
	usec_t next_flap;
};

struct health_sim {
	uint64_t seed, random;
	usec_t now; /* mono, the same for all */
	struct service_set set;
	struct check check;
	struct health_sim_director directors[HEALTH_SIM_DIRECTORS];
	unsigned int n_directors;
	struct health_sim_real reals[HEALTH_SIM_REALS];
	unsigned int n_reals, n_services;
	usec_t disturbed; /* the last change of directors or of their links */
	/* For the judge. */
	usec_t differ_since[HEALTH_SIM_DIRECTORS][HEALTH_SIM_DIRECTORS][HEALTH_SIM_REALS];
	char trouble[512];              /* what is broken; "" */
	unsigned int changes, verdicts; /* that were seen: a run in which nothing happens proves
					   nothing */
};

/* 0 to below n. */
uint64_t health_sim_random(struct health_sim *sim, uint64_t n);

void health_sim_init(struct health_sim *sim, uint64_t seed, unsigned int directors,
		     unsigned int reals, const struct health_policy *policy);
void health_sim_fini(struct health_sim *sim);

void health_sim_start(struct health_sim *sim, unsigned int director);
void health_sim_kill(struct health_sim *sim, unsigned int director);
void health_sim_cut(struct health_sim *sim, unsigned int a, unsigned int b, bool cut);
void health_sim_real(struct health_sim *sim, unsigned int real, bool up, bool hangs);
/* Whether that director reaches the real server. */
void health_sim_reach(struct health_sim *sim, unsigned int director, unsigned int real, bool yes);
void health_sim_set(struct health_sim *sim, unsigned int director, unsigned int real,
		    enum health_setting setting, uint32_t weight);

/* Until trouble, at most. */
void health_sim_run(struct health_sim *sim, usec_t duration);

struct now health_sim_now(const struct health_sim *sim, unsigned int director);
/* Both run, and reach each other. */
bool health_sim_linked(const struct health_sim *sim, unsigned int a, unsigned int b);
/* Every director knows who is within its reach, and has all facts of the last 100 ms before. */
bool health_sim_is_settled(const struct health_sim *sim);

/* health_sim_judge.c. A weight of real server `real` at that director went from `before` to 0. */
void health_sim_judge_out(struct health_sim *sim, unsigned int director, unsigned int service,
			  unsigned int real);
void health_sim_judge(struct health_sim *sim);
/* After the faults have ended and all is exchanged. */
void health_sim_judge_end(struct health_sim *sim);

#endif
