#include "director/event/io_exec.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "director/event/event_json.h"
#include "director/io_log.h"

#define LINE_MAX_LOGGED 200

struct io_exec {
	const struct event_log *log;
	uint64_t timeout_ms, cursor;
	char **argv;

	uv_process_t process;
	char *program; /* that runs, or ran last: a reload may have brought other arguments since */
	bool running;  /* process is in use */
	bool killed;
	int output; /* -1: none */
	uv_timer_t timer;

	struct io_exec_counts counts;
	bool closing;
	void (*done)(void *context);
	void *context;
};

static void argv_free(char **argv)
{
	for (char **argument = argv; argument && *argument; argument++)
		free(*argument);
	free(argv);
}

static int argv_copy(char *const *argv, char ***ret_argv)
{
	size_t count = 0;
	char **copy;

	while (argv[count])
		count++;
	copy = calloc(count + 1, sizeof(*copy));
	for (size_t i = 0; copy && i < count; i++) {
		copy[i] = strdup(argv[i]);
		if (!copy[i]) {
			argv_free(copy);
			return -ENOMEM;
		}
	}
	if (!copy)
		return -ENOMEM;
	*ret_argv = copy;
	return 0;
}

/* A file in memory that holds the event: unlike a pipe it never blocks, unlike a socket it can be
 * opened as /dev/stdin. */
static int input_make(const struct event_log *log, const struct event *event)
{
	json_t *object = event_json(log, event);
	int fd = memfd_create("event", MFD_CLOEXEC), r = -ENOMEM;

	if (fd < 0)
		r = -errno;
	else if (object && json_dumpfd(object, fd, JSON_COMPACT) == 0)
		r = write(fd, "\n", 1) == 1 && lseek(fd, 0, SEEK_SET) == 0 ? 0 : -errno;
	json_decref(object);
	if (r == 0)
		return fd;
	if (fd >= 0)
		close(fd);
	return r;
}

/* Another one that can't grow: a program that prints without end neither fills memory nor waits. */
static int output_make(void)
{
	int fd = memfd_create("output", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd >= 0 && ftruncate(fd, IO_EXEC_OUTPUT) == 0 &&
	    fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) == 0)
		return fd;
	if (fd >= 0)
		close(fd);
	return -errno;
}

static void next(struct io_exec *exec);

static void finish(struct io_exec *exec)
{
	if (exec->done)
		exec->done(exec->context);
	argv_free(exec->argv);
	free(exec->program);
	free(exec);
}

static void timer_closed(uv_handle_t *handle)
{
	finish(handle->data);
}

static void process_closed(uv_handle_t *handle)
{
	struct io_exec *exec = handle->data;

	exec->running = false;
	if (exec->closing)
		uv_close((uv_handle_t *)&exec->timer, timer_closed);
	else
		next(exec);
}

static void failure_log(const struct io_exec *exec, int64_t status, int signal)
{
	char line[LINE_MAX_LOGGED + 1];
	ssize_t len = pread(exec->output, line, LINE_MAX_LOGGED, 0);

	line[len > 0 ? len : 0] = '\0';
	line[strcspn(line, "\n")] = '\0';
	if (exec->killed)
		io_log_warning("the alert program %s was killed after %llu ms%s%s", exec->program,
			       (unsigned long long)exec->timeout_ms, *line ? ": " : "", line);
	else
		io_log_warning("the alert program %s failed with %s %lld%s%s", exec->program,
			       signal ? "signal" : "status", signal ? signal : (long long)status,
			       *line ? ": " : "", line);
}

static void exited(uv_process_t *process, int64_t status, int signal)
{
	struct io_exec *exec = process->data;

	uv_timer_stop(&exec->timer);
	if (status == 0 && signal == 0) {
		exec->counts.done++;
	} else {
		exec->counts.failed++;
		exec->counts.timed_out += exec->killed;
		if (!exec->closing)
			failure_log(exec, status, signal);
	}
	close(exec->output);
	exec->output = -1;
	uv_close((uv_handle_t *)process, process_closed);
}

static void group_kill(struct io_exec *exec)
{
	uv_kill(-exec->process.pid, SIGKILL);
	exec->killed = true;
}

static void expired(uv_timer_t *timer)
{
	group_kill(timer->data);
}

static int start(struct io_exec *exec, int input)
{
	uv_stdio_container_t stdio[3] = {
		{.flags = UV_INHERIT_FD, .data.fd = input},
		{.flags = UV_INHERIT_FD, .data.fd = exec->output},
		{.flags = UV_INHERIT_FD, .data.fd = exec->output},
	};
	const uv_process_options_t options = {
		.exit_cb = exited,
		.file = exec->argv[0],
		.args = exec->argv,
		.flags = UV_PROCESS_DETACHED, /* a process group of its own */
		.stdio = stdio,
		.stdio_count = ARRAY_SIZE(stdio),
	};
	int r;

	/* libraries have descriptors that they did not mark */
	close_range(STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC);
	r = uv_spawn(exec->timer.loop, &exec->process, &options);

	exec->running = true; /* even after a failure it is to be closed */
	exec->killed = false;
	if (r == 0)
		uv_timer_start(&exec->timer, expired, exec->timeout_ms, 0);
	return r;
}

static void run(struct io_exec *exec, const struct event *event)
{
	int input = input_make(exec->log, event), r = input;

	free(exec->program);
	exec->program = strdup(exec->argv[0]);
	exec->output = output_make();
	if (r >= 0)
		r = exec->program ? exec->output : -ENOMEM;
	if (r >= 0)
		r = start(exec, input);
	if (input >= 0)
		close(input);
	if (r >= 0)
		return;
	exec->counts.failed++;
	io_log_warning("the alert program %s did not start: %s", exec->argv[0], uv_strerror(r));
	if (exec->output >= 0)
		close(exec->output);
	exec->output = -1;
	if (exec->running)
		uv_close((uv_handle_t *)&exec->process, process_closed);
}

static void next(struct io_exec *exec)
{
	while (exec->argv && !exec->running && !exec->closing) {
		const struct event *event =
			event_log_next(exec->log, &exec->cursor, &exec->counts.lost);

		if (!event)
			return;
		run(exec, event);
	}
}

int io_exec_open(uv_loop_t *loop, const struct event_log *log, uint64_t timeout_ms,
		 struct io_exec **ret_exec)
{
	struct io_exec *exec = calloc(1, sizeof(*exec));

	if (!exec)
		return -ENOMEM;
	exec->log = log;
	exec->timeout_ms = timeout_ms;
	exec->output = -1;
	uv_timer_init(loop, &exec->timer);
	exec->timer.data = exec->process.data = exec;
	*ret_exec = exec;
	return 0;
}

int io_exec_config(struct io_exec *exec, char *const *argv)
{
	char **copy = NULL;
	int r = argv ? argv_copy(argv, &copy) : 0;

	if (r < 0)
		return r;
	if (!exec->argv)
		exec->cursor = event_log_end(exec->log);
	argv_free(exec->argv);
	exec->argv = copy;
	return 0;
}

void io_exec_kick(struct io_exec *exec)
{
	next(exec);
}

bool io_exec_idle(const struct io_exec *exec)
{
	return !exec->running && (!exec->argv || exec->cursor == event_log_end(exec->log));
}

void io_exec_counts(const struct io_exec *exec, struct io_exec_counts *ret_counts)
{
	*ret_counts = exec->counts;
}

void io_exec_close(struct io_exec *exec, void (*done)(void *context), void *context)
{
	exec->closing = true;
	exec->done = done;
	exec->context = context;
	if (!exec->running)
		uv_close((uv_handle_t *)&exec->timer, timer_closed);
	else if (uv_is_active((uv_handle_t *)&exec->process))
		group_kill(exec);
}
