/* Lines on standard error. Where the journal reads them, each begins with its priority, "<4>", as
 * sd-daemon(3) describes. Used by the shells only: a core counts instead. */
#ifndef DIRECTOR_LOG_H
#define DIRECTOR_LOG_H

/* syslog.h's numbers. */
enum log_priority {
	LOG_PRIORITY_ERROR = 3,
	LOG_PRIORITY_WARNING = 4,
	LOG_PRIORITY_NOTICE = 5,
	LOG_PRIORITY_INFO = 6,
};

__attribute__((format(printf, 2, 3))) void log_line(enum log_priority priority, const char *format,
						    ...);

#define log_error(...) log_line(LOG_PRIORITY_ERROR, __VA_ARGS__)
#define log_warning(...) log_line(LOG_PRIORITY_WARNING, __VA_ARGS__)
#define log_notice(...) log_line(LOG_PRIORITY_NOTICE, __VA_ARGS__)
#define log_info(...) log_line(LOG_PRIORITY_INFO, __VA_ARGS__)

/* Tells the service manager ("READY=1"), sd_notify(3); without one nothing happens. */
void log_notify(const char *state);

#endif
