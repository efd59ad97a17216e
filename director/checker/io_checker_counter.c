/* The checker's counters, each with its sentence for lvsmesh(1). */
#include "director/checker/io_checker.h"

#define ROW(field, name, type, help) COUNTER_ROW(struct io_checker_counts, field, name, type, help)
#define CAUSE(cause, name, help) ROW(causes[cause], name, COUNTER_TOTAL, help)

static const struct counter_row rows[] = {
	ROW(begun, "begun", COUNTER_TOTAL, "Checks."),
	ROW(cancelled, "cancelled", COUNTER_TOTAL, "Checks broken off before their result."),
	CAUSE(CHECK_CAUSE_OK, "ok", "Results: the answer was the expected one."),
	CAUSE(CHECK_CAUSE_TIMEOUT, "timeout", "Results: the check's time was up."),
	CAUSE(CHECK_CAUSE_REFUSED, "refused", "Results: nothing listens on the port."),
	CAUSE(CHECK_CAUSE_UNREACHABLE, "unreachable", "Results: no route, or an ICMP error."),
	CAUSE(CHECK_CAUSE_BROKEN_OFF, "broken_off",
	      "Results: the connection ended before the answer did."),
	CAUSE(CHECK_CAUSE_TLS, "tls", "Results: a refused certificate or a failed handshake."),
	CAUSE(CHECK_CAUSE_ANSWER, "answer", "Results: another answer than the expected one."),
	CAUSE(CHECK_CAUSE_TOO_LONG, "too_long", "Results: an answer longer than allowed."),
	CAUSE(CHECK_CAUSE_GARBAGE, "garbage", "Results: bytes that the protocol does not know."),
	CAUSE(CHECK_CAUSE_EXIT, "exit",
	      "Results: a program that exited with another status than 0."),
	CAUSE(CHECK_CAUSE_LOCAL, "local",
	      "Results: this director could not check, so nothing changed."),
	ROW(programs_killed, "programs_killed", COUNTER_TOTAL,
	    "Programs that lvsmeshd killed, by their time or their output."),
	ROW(running, "running", COUNTER_NOW, "Checks under way."),
	ROW(programs, "programs", COUNTER_NOW, "Programs that run."),
};

const struct counter_table io_checker_counters = COUNTER_ROWS("check", rows);
