#include "proto/trace.h"

#include <stdarg.h>
#include <stdio.h>

void trace_line(const struct trace *trace, const char *format, ...)
{
	char text[TRACE_MAX];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	trace->line(trace->context, text);
}
