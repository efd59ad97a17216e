/* Runs checks of real servers on libuv, thousands at once, and reports each one's result. It
 * decides nothing about a real server: fall and rise, schedules and verdicts are director/check's.
 *
 * Each check has one deadline for all of it (connection, TLS, request, answer), and a bound on the
 * bytes that it reads; its connection ends with a reset, so no socket stays in TIME_WAIT. No name
 * is ever looked up, and no proxy of the environment is used. Whatever fails on this director
 * itself (descriptors, ports, privileges, the source address) is CHECK_UNCHANGED and
 * CHECK_CAUSE_LOCAL, never down. */
#ifndef DIRECTOR_CHECKER_IO_CHECKER_H
#define DIRECTOR_CHECKER_IO_CHECKER_H

#include <uv.h>

#include "director/check/check_result.h"
#include "director/counter.h"
#include "director/service/check.h"

struct io_checker;

/* One check. All that it points to is borrowed until its result or its cancellation. */
struct io_checker_run {
	uint32_t target, run; /* told with the result; one run of a target at a time */
	const struct check *check;
	struct endpoint endpoint; /* where to; port 0 for a ping */
	struct endpoint vip;      /* for an exec's environment; family 0: none */
	uint32_t mark;            /* SO_MARK; 0: the check's own */
	struct ip_addr source;    /* family 0: the check's own */
	const char *service, *real;
};

struct io_checker_options {
	uv_loop_t *loop;
	/* Called from the loop, never from within a function of this file. It may begin and cancel
	 * checks, and close the checker. */
	void (*result)(void *context, uint32_t target, uint32_t run,
		       const struct check_result *result);
	void *context;
	unsigned int runs_max;     /* under way at once; further ones are CHECK_CAUSE_LOCAL.
				      0: as many as RLIMIT_NOFILE allows, but for a thousand */
	unsigned int programs_max; /* that run at once; further ones wait. 0: IO_CHECKER_PROGRAMS */
};

#define IO_CHECKER_PROGRAMS 64

/* 0, or a negative errno. */
int io_checker_open(const struct io_checker_options *options, struct io_checker **ret_checker);

/* 0: result() will be called once. -ENOMEM, -EBUSY (that target has one under way): never. */
int io_checker_begin(struct io_checker *checker, const struct io_checker_run *run);
/* There will be no result. A target without a run is left alone. */
void io_checker_cancel(struct io_checker *checker, uint32_t target);

struct io_checker_counts {
	uint64_t begun, cancelled;
	uint64_t causes[CHECK_CAUSES]; /* of the results */
	uint64_t programs_killed;      /* that did not end by themselves */
	uint32_t running;              /* checks under way */
	uint32_t programs;             /* processes, those being killed included */
};

void io_checker_counts(const struct io_checker *checker, struct io_checker_counts *ret_counts);

/* For counter_get(): rows of a struct io_checker_counts. */
extern const struct counter_table io_checker_counters;

/* Cancels all; programs are killed. done is called once when nothing is left, and checker is
 * freed. */
void io_checker_close(struct io_checker *checker, void (*done)(void *context), void *context);

#endif
