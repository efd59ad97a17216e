/* Lines on standard error. If systemd's journal reads them, each begins with its priority, "<4>",
 * as sd-daemon(3) describes. Used by the shells only: a core counts instead. */
#ifndef DIRECTOR_IO_LOG_H
#define DIRECTOR_IO_LOG_H

#include <stdint.h>

/* syslog.h's numbers. */
enum io_log_priority {
	LOG_PRIORITY_ERROR = 3,
	LOG_PRIORITY_WARNING = 4,
	LOG_PRIORITY_NOTICE = 5,
	LOG_PRIORITY_INFO = 6,
};

__attribute__((format(printf, 2, 3))) void io_log_line(enum io_log_priority priority,
						       const char *format, ...);

#define io_log_error(...) io_log_line(LOG_PRIORITY_ERROR, __VA_ARGS__)
#define io_log_warning(...) io_log_line(LOG_PRIORITY_WARNING, __VA_ARGS__)
#define io_log_notice(...) io_log_line(LOG_PRIORITY_NOTICE, __VA_ARGS__)
#define io_log_info(...) io_log_line(LOG_PRIORITY_INFO, __VA_ARGS__)

/* Notifies the service manager ("READY=1"), sd_notify(3); without one nothing happens. */
void io_log_notify(const char *state);

/* The service manager ends a daemon that lets so many us pass without "WATCHDOG=1"; 0: it asks for
 * none of this process, sd_watchdog_enabled(3). */
uint64_t io_log_watchdog(void);

#endif
