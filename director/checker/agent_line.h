/* The line by which an agent on a real server says how it is, as HAProxy's agent-check has it:
 *words with spaces, tabs or commas between them, in any case of letters, up to the end of the line:
 *
 *	up ready              up
 *	down failed stopped   down
 *	drain                 up, but for new connections
 *	maint                 taken out by its operator
 *	N%                    of the weight, 0 to CHECK_WEIGHT_MAX; alone it means up too
 *	maxconn:N             ignored
 *	#...                  a reason, to the end of the line
 *
 * Each line says all of it: unlike HAProxy's, none adds to the one before. Among contradictory
 * words maint wins, then down, then drain. A line that has any other word is refused as a whole.
 *Memory only. */
#ifndef DIRECTOR_CHECKER_AGENT_LINE_H
#define DIRECTOR_CHECKER_AGENT_LINE_H

#include "director/check/check_result.h"

/* Sets state and weight of *result; 0, or -EINVAL: it is not changed. data ends before the end of
 * the line. */
int agent_line_parse(const char *data, size_t len, struct check_result *result);

#endif
