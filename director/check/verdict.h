/* The verdict on one target, from the votes of the directors that check it.
 *
 * Rendezvous hashing (Thaler, Ravishankar 1998) ranks the directors that are alive for each target;
 * the first `checkers` of them are *assigned* and check it. The votes of the first `checkers` of
 * those that have voted are *counted*: until a director that has just been assigned has voted, the
 * vote of its predecessor counts. When a director that is assigned does not vote in time, the next
 * one checks in its place.
 *
 * A verdict wants k = min(checkers, alive) votes. It is down if more than k / 2 say down. Up if
 * even with all missing votes saying down there were no such majority. Else undecided: each vote
 * has its author's view of the verdict, and most of these decide, if more than half of k have one.
 * Else it stays as it was, but one that starts or has no vote of its own follows the views of the
 * others. */
#ifndef DIRECTOR_CHECK_VERDICT_H
#define DIRECTOR_CHECK_VERDICT_H

#include "director/check/fall_rise.h"
#include "director/key_index.h"

/* A director that is alive. */
struct health_member {
	uint64_t id;
	uint64_t epoch; /* of its present boot: results of an earlier one do not count */
	/* All results that it has published are here, but for the last moments': its stream is
	 * open, and has brought what there was when it began. Until then, and when it breaks, what
	 * is held of that director may be long outdated, and is not counted. */
	bool current;
};

/* By id, for qsort() and bsearch(). */
int verdict_member_compare(const void *a, const void *b);

struct vote {
	uint64_t origin;
	uint64_t epoch;                  /* its author's boot */
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
	const struct health_member *alive; /* by id, with self */
	unsigned int n_alive;              /* 1 to DIRECTORS_MAX */
	unsigned int checkers;             /* 0: all */
	struct vote *votes;                /* at most one of an origin */
	unsigned int n_votes;
	bool overdue; /* all that are assigned have had the time to vote */
	usec_t now;   /* mono */
};

struct verdict_answer {
	enum health_verdict verdict; /* unknown: undecided */
	usec_t since;                /* wall: when it became so; 0: since it was checked first */
	enum health_verdict view;    /* most of those whose votes count share it; a tie is up;
					unknown: none has any */
	usec_t view_since;
	bool view_holds;  /* more than half of k have one: while undecided, all follow it */
	bool others_hold; /* more than half of the others that are wanted have one: a director
			     without a vote of its own follows it */
	int weight;       /* %: the median of those that say up; -1: they say nothing */
	unsigned int k;   /* votes that are wanted */
	unsigned int n_counted;
	bool assigned; /* we are, or take the place of one that does not vote */
	bool counted;  /* our own vote is */
};

void verdict_count(const struct verdict_question *question, struct verdict_answer *ret_answer);

#endif
