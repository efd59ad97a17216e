/* The result of one check of one real server. A plain value; director/checker makes it. */
#ifndef DIRECTOR_CHECK_CHECK_RESULT_H
#define DIRECTOR_CHECK_CHECK_RESULT_H

#include "proto/base.h"

enum check_state {
	CHECK_UNCHANGED, /* the check decided nothing: a fault of ours, or a program's or an
			    agent's answer that is not understood; the reason tells it */
	CHECK_UP,
	CHECK_DOWN,
	CHECK_DRAIN, /* agent only: up, and asks for no new connections */
	CHECK_MAINT, /* agent only: taken out by its operator */
	CHECK_STATES,
};

/* One noun for each way in which a check ends, for counters and for machines. */
enum check_cause {
	CHECK_CAUSE_OK,          /* answered as it should */
	CHECK_CAUSE_TIMEOUT,     /* the deadline of the whole check */
	CHECK_CAUSE_REFUSED,     /* TCP reset of the handshake, ICMP port unreachable */
	CHECK_CAUSE_UNREACHABLE, /* no route, host or network unreachable */
	CHECK_CAUSE_BROKEN_OFF,  /* reset or closed before the answer was whole */
	CHECK_CAUSE_TLS,         /* certificate or handshake */
	CHECK_CAUSE_ANSWER,      /* an answer, and not the one that is expected */
	CHECK_CAUSE_TOO_LONG,    /* more bytes than are allowed */
	CHECK_CAUSE_GARBAGE,     /* no answer of the protocol */
	CHECK_CAUSE_EXIT,        /* a program's exit status or signal */
	CHECK_CAUSE_LOCAL, /* this director could not check: descriptors, ports, privileges, the
			      source address, too many programs at once */
	CHECK_CAUSES,
};

#define CHECK_REASON_MAX 128 /* bytes, with the NUL */
#define CHECK_WEIGHT_MAX 256 /* %: HAProxy's agents may ask for more than all */

struct check_result {
	enum check_state state;
	enum check_cause cause;
	int weight;                    /* % of the file's; -1: the check says nothing about it */
	usec_t took;                   /* from its begin to its end */
	char reason[CHECK_REASON_MAX]; /* a sentence for a person, without a full stop; valid
					  UTF-8 without control characters, never empty */
};

#endif
