/* The verdict on one target, from the votes of the directors that check it.
 *
 * Rendezvous hashing (Thaler, Ravishankar 1998) ranks the directors that are alive for each target;
 * the first `checkers` of them are *assigned* and check it. The votes of the first `checkers` of
 * those that have voted are *counted*: until a director that has just been assigned has voted, the
 * vote of its predecessor counts. When a director that is assigned does not vote in time, the next
 * one checks in its place.
 *
 * Of k = min(checkers, alive): down if more than k / 2 say down. Up if even with all missing votes
 * saying down there were no such majority. Else undecided: it stays as it was. */
#ifndef DIRECTOR_CHECK_VERDICT_H
#define DIRECTOR_CHECK_VERDICT_H

#include "director/check/fall_rise.h"
#include "director/key_index.h"

struct vote {
	uint64_t origin;
	uint64_t hlc;                    /* the version of its fact; 0: our own */
	usec_t until;                    /* mono: it is believed */
	enum health_verdict state, view; /* view: the verdict, as its author knew it */
	usec_t since, view_since;        /* wall; 0: since it was checked first */
	int weight;                      /* %; -1: nothing */
	enum check_cause cause;
	bool counted; /* verdict_count() writes it */
	char *reason; /* NULL: none */
};

struct verdict_question {
	const uint8_t *key; /* the target's, KEY_SIZE bytes */
	uint64_t self;
	const uint64_t *alive; /* ids of directors, ascending, with self */
	unsigned int n_alive;  /* 1 to DIRECTORS_MAX */
	unsigned int checkers; /* 0: all */
	struct vote *votes;    /* at most one of an origin */
	unsigned int n_votes;
	bool overdue; /* all that are assigned have had the time to vote */
	usec_t now;   /* mono */
};

struct verdict_answer {
	enum health_verdict verdict; /* unknown: undecided */
	usec_t since;                /* wall: when it became so; 0: since it was checked first */
	enum health_verdict view;    /* that more than half of k share; unknown: there is none */
	enum health_verdict hearsay; /* that most of the counted votes share; a tie is up */
	usec_t view_since, hearsay_since;
	int weight;     /* %: the median of those that say up; -1: they say nothing */
	unsigned int k; /* votes that are wanted */
	unsigned int n_counted;
	bool assigned; /* we are, or take the place of one that does not vote */
	bool counted;  /* our own vote is */
};

void verdict_count(const struct verdict_question *question, struct verdict_answer *ret_answer);

#endif
