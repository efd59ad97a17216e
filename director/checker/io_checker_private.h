/* Between io_checker and the types of checks. */
#ifndef DIRECTOR_CHECKER_IO_CHECKER_PRIVATE_H
#define DIRECTOR_CHECKER_IO_CHECKER_PRIVATE_H

#include "director/checker/deadlines.h"
#include "director/checker/io_checker.h"
#include "director/io_watch.h"

struct checker_exec;
struct exec_run;
struct io_curl;

/* A check under way: the first member of its type's struct. It ends in one of
 * two ways: decided, reported and freed; or cancelled and freed. */
struct checker_run {
	struct io_checker_run what;
	struct io_checker *checker;
	const struct checker_type *type;
	struct deadline deadline;
	struct io_watch watch;      /* of types with a socket */
	usec_t began;               /* mono */
	const char *awaited;        /* for the reason when time is up: "answer" */
	struct checker_run *next;   /* in its bucket */
	struct checker_run *behind; /* in the queue of those decided */
	bool queued;                /* not begun: too many run */
	bool decided, ended;
	struct check_result result;
};

struct checker_type {
	size_t size; /* of its struct */
	/* Starts it; may decide at once. */
	void (*begin)(struct checker_run *run);
	/* Gives back what the type holds, but for watch and the memory; NULL: nothing. */
	void (*end)(struct checker_run *run);
};

extern const struct checker_type checker_tcp, checker_agent, checker_udp, checker_dns, checker_ping,
	checker_http, checker_grpc, checker_exec;

#define CHECKER_BUCKETS 16384

struct io_checker {
	struct io_checker_options options;
	struct io_watch_set watches;
	struct deadlines deadlines;
	uv_timer_t timer;
	usec_t timer_at; /* when it is to fire; USEC_NEVER: it is stopped */
	struct checker_run *buckets[CHECKER_BUCKETS];
	struct checker_run *decided, **decided_last;
	struct io_curl *curl, *curl_own_ca; /* NULL until the first check that needs it */
	/* io_check_exec.c's: running, to be freed, waiting for their turn */
	struct checker_exec *execs, *execs_gone;
	struct exec_run *execs_waiting;
	struct io_checker_counts counts;
	unsigned int handles;
	bool closing;
	void (*done)(void *context);
	void *context;
};

/* The end of a check, from any callback: releases what it holds. The run stays readable until the
 * callback returns; its result is reported afterwards. */
__attribute__((format(printf, 4, 5))) void run_decide(struct checker_run *run,
						      enum check_state state,
						      enum check_cause cause, const char *format,
						      ...);
#define run_up(run, ...) run_decide(run, CHECK_UP, CHECK_CAUSE_OK, __VA_ARGS__)
#define run_down(run, cause, ...) run_decide(run, CHECK_DOWN, cause, __VA_ARGS__)
#define run_local(run, ...) run_decide(run, CHECK_UNCHANGED, CHECK_CAUSE_LOCAL, __VA_ARGS__)
/* error: a positive errno of a socket. */
void run_decide_errno(struct checker_run *run, int error);

/* Takes over a socket that does not block: sets mark and source, connects or begins to connect it
 * to the endpoint, and watches it for events. false: the run is decided. */
bool run_connect_socket(struct checker_run *run, int fd, int type, uint32_t events,
			void (*ready)(struct io_watch *watch, uint32_t events));
/* The same with a new socket. */
bool run_connect(struct checker_run *run, int type, uint32_t events,
		 void (*ready)(struct io_watch *watch, uint32_t events));
/* The error that the socket holds: a positive errno, or 0. */
int run_socket_error(const struct checker_run *run);

/* The mark and the source of its sockets, for sockets that a library makes. 0, or -errno. */
int run_socket_set(const struct checker_run *run, int fd, uint8_t family, int type);

/* Arms the timer for the first deadline, or at once for what is decided; the last act of callbacks
 * that io_checker.c does not see. */
void checker_arm(struct io_checker *checker);

/* The parts of the end that are io_http_run.c's and io_check_exec.c's. Each calls checker_closed()
 * as many times as it returns. */
unsigned int checker_http_close(struct io_checker *checker);
unsigned int checker_exec_close(struct io_checker *checker);
/* After the watches' turn: frees programs that ended, and starts those that waited. */
void checker_exec_sweep(struct io_checker *checker);
void checker_closed(struct io_checker *checker);

#endif
