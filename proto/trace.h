/* A hook for what a core does, step by step: a line of text each, as "d1 alive -> suspect". Tests
 * compare the lines (tests/sim/transcripts), people read them. A hook that is not set costs one
 * comparison, and no text is made. */
#ifndef PROTO_TRACE_H
#define PROTO_TRACE_H

#include "proto/base.h"

#define TRACE_MAX 256 /* bytes of a line, with the NUL; longer ones are cut */

struct trace {
	void (*line)(void *context, const char *text); /* NULL: not set; text: until it returns */
	void *context;
};

__attribute__((format(printf, 2, 3))) void trace_line(const struct trace *trace, const char *format,
						      ...);

#define TRACE(trace, ...)                                                                          \
	do {                                                                                       \
		if ((trace)->line)                                                                 \
			trace_line((trace), __VA_ARGS__);                                          \
	} while (0)

#endif
