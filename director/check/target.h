/* Targets of checks: an endpoint and how it is checked, once for all real servers for which both
 * are alike. */
#ifndef DIRECTOR_CHECK_TARGET_H
#define DIRECTOR_CHECK_TARGET_H

#include "director/check/verdict.h"
#include "director/service/service.h"

#define TARGET_NONE UINT32_MAX
#define TARGET_VOTES_MAX DIRECTORS_MAX

struct target {
	uint8_t key[KEY_SIZE];
	bool used;
	const struct check *check; /* borrowed of the configuration */
	struct endpoint endpoint;
	unsigned int checkers;  /* directors; 0: all */
	uint32_t first, n_refs; /* real servers that are checked so: a list */
	struct vote *votes;     /* ours among them */
	unsigned int n_votes;
	usec_t added;   /* mono */
	bool overdue;   /* all that are assigned have had the time to vote */
	bool suspended; /* all real servers are in maintenance */

	enum health_verdict verdict;
	bool provisional;     /* the verdict is that of an earlier life: the first vote decides */
	bool forced;          /* the verdict is maintenance's, and no votes have replaced it yet */
	usec_t verdict_since; /* wall; 0: since it was checked first */
	int weight;           /* %, the agents'; -1: nothing */
	enum health_verdict told; /* the last notice's */

	bool checking;   /* by us */
	bool first_draw; /* the next interval spreads it over the whole interval */
	struct fall_rise state;
	usec_t due;       /* mono: of the next check */
	uint32_t run;     /* that is out; 0: none */
	usec_t begun;     /* mono */
	usec_t last_life; /* mono: when a check ended that decided something, or checking began */
	bool late, late_told;
	usec_t down_here_since;             /* mono: our state; USEC_NEVER: it is not down */
	bool unreachable, unreachable_told; /* here, and the verdict is up */
	struct check_result last;
	usec_t last_end; /* mono; 0: none yet */

	struct vote published; /* as it is known to others; reason is not used */
	usec_t refresh;        /* mono: publish it again; USEC_NEVER: nothing is published */
};

struct targets {
	struct target *list; /* numbers do not change */
	uint32_t count;      /* numbers below it have been used */
	uint32_t n_used;
	uint32_t free; /* the first free one of these plus one, 0: none; a list, by `first` */
	size_t room;
	struct key_index index;
};

/* The endpoint that is checked; port 0: none, or it is of no matter. */
void target_endpoint(const struct service *service, const struct real_server *real,
		     struct endpoint *ret_endpoint);

/* The target's key: alike on all directors. `variant` tells those apart that differ in nothing but
 * the source address, which is no part of a check's digest. */
void target_key(const struct service *service, const struct real_server *real, unsigned int variant,
		uint8_t key[KEY_SIZE]);

/* The key of the operator's setting for that real server of that service. */
void target_setting_key(const struct service *service, const struct real_server *real,
			uint8_t key[KEY_SIZE]);

/* A key of the service alone, among those of settings. */
void target_service_key(const struct service *service, uint8_t key[KEY_SIZE]);

void target_fini_all(struct targets *targets);
/* TARGET_NONE: none. */
uint32_t target_find(const struct targets *targets, const uint8_t *key);
/* The key is not there. 0 or -ENOMEM. */
int target_add(struct targets *targets, const uint8_t *key, uint32_t *ret_number);
void target_remove(struct targets *targets, uint32_t number);

/* The vote of that director; NULL: none. Valid until a vote is added. */
struct vote *target_vote(const struct target *target, uint64_t origin);
/* A new one, which is not there yet; NULL: no memory, or TARGET_VOTES_MAX. */
struct vote *target_vote_add(struct target *target, uint64_t origin);
void target_vote_remove(struct target *target, uint64_t origin);
/* Copies the reason; without memory, or if it is empty, there is none. */
void target_vote_reason(struct vote *vote, const char *reason);

#endif
