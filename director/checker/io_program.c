#include "director/checker/io_program.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define READ_TURN 16384
#define FILES 1024

struct io_program {
	struct io_program_options options;
	uv_work_t work;
	struct io_watch process, output; /* a pidfd, and a pipe's reading end */
	struct deadline kill_at;
	pid_t pid;
	int error, pidfd, pipe; /* what the thread made */
	bool starting, abandoned, dropped, killed, reaped;
	size_t printed;
	char line[IO_PROGRAM_LINE + 1];
	char **argv, **environment;
};

static void strings_free(char **strings)
{
	for (char **string = strings; string && *string; string++)
		free(*string);
	free(strings);
}

static char **strings_copy(char *const *strings)
{
	size_t count = 0;
	char **copy;

	while (strings[count])
		count++;
	copy = calloc(count + 1, sizeof(*copy));
	for (size_t i = 0; copy && i < count; i++) {
		copy[i] = strdup(strings[i]);
		if (!copy[i]) {
			strings_free(copy);
			return NULL;
		}
	}
	return copy;
}

/* The daemon's own rights that a program should not inherit. It may run already; that it keeps them
 * when this fails harms nothing. */
static void limits_lower(pid_t pid)
{
	struct rlimit files;
	char path[40];
	int fd;

	if (prlimit(pid, RLIMIT_NOFILE, NULL, &files) == 0 && files.rlim_cur > FILES) {
		files.rlim_cur = FILES;
		prlimit(pid, RLIMIT_NOFILE, &files, NULL);
	}
	snprintf(path, sizeof(path), "/proc/%d/oom_score_adj", (int)pid);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	(void)!write(fd, "0", 1);
	close(fd);
}

static int attributes_make(posix_spawnattr_t *attributes, posix_spawn_file_actions_t *actions,
			   int output)
{
	sigset_t all, none;

	sigfillset(&all);
	sigemptyset(&none);
	posix_spawnattr_init(attributes);
	posix_spawn_file_actions_init(actions);
	posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
						     POSIX_SPAWN_SETSIGDEF);
	posix_spawnattr_setsigdefault(attributes, &all);
	posix_spawnattr_setsigmask(attributes, &none);
	if (posix_spawn_file_actions_addopen(actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0) ||
	    posix_spawn_file_actions_adddup2(actions, output, STDOUT_FILENO) ||
	    posix_spawn_file_actions_adddup2(actions, output, STDERR_FILENO) ||
	    posix_spawn_file_actions_addclosefrom_np(actions, STDERR_FILENO + 1))
		return ENOMEM;
	return 0;
}

/* In a thread: the calls that may take long. */
static void spawn(uv_work_t *work)
{
	struct io_program *program = container_of(work, struct io_program, work);
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0) {
		program->error = errno;
		return;
	}
	program->error = attributes_make(&attributes, &actions, ends[1]);
	if (!program->error)
		program->error = posix_spawn(&program->pid, program->argv[0], &actions, &attributes,
					     program->argv, program->environment);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attributes);
	close(ends[1]);
	program->pipe = ends[0];
	if (program->error)
		return;
	limits_lower(program->pid);
	fcntl(program->pipe, F_SETFL, O_NONBLOCK);
	program->pidfd = (int)syscall(SYS_pidfd_open, program->pid, 0);
	if (program->pidfd < 0)
		program->error = errno;
}

static void group_signal(struct io_program *program, int signal)
{
	/* until it is reaped, no other process can have its number */
	if (program->pid > 0 && !program->reaped)
		kill(-program->pid, signal);
}

static void group_kill(struct io_program *program)
{
	program->killed = true;
	group_signal(program, SIGKILL);
}

static void grace_over(struct deadline *deadline)
{
	struct io_program *program = container_of(deadline, struct io_program, kill_at);

	deadlines_remove(program->options.deadlines, deadline);
	group_kill(program);
}

static void line_keep(struct io_program *program, const char *data, size_t len)
{
	size_t kept = program->printed < IO_PROGRAM_LINE ? IO_PROGRAM_LINE - program->printed : 0;

	memcpy(program->line + MIN(program->printed, (size_t)IO_PROGRAM_LINE), data,
	       MIN(len, kept));
	program->printed += len;
}

/* True: there may be more. */
static bool output_read(struct io_program *program)
{
	char data[READ_TURN];
	ssize_t len = read(program->output.fd, data, sizeof(data));

	if (len < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (len <= 0) {
		io_watch_close(program->options.watches, &program->output);
		return false;
	}
	line_keep(program, data, (size_t)len);
	if (program->printed <= IO_PROGRAM_OUTPUT)
		return true;
	io_watch_close(program->options.watches, &program->output);
	group_kill(program);
	if (!program->abandoned) {
		program->abandoned = true;
		program->options.flooded(program->options.context);
	}
	return false;
}

static void output_ready(struct io_watch *watch, uint32_t events)
{
	(void)events;
	output_read(container_of(watch, struct io_program, output));
}

static void process_ended(struct io_watch *watch, uint32_t events)
{
	struct io_program *program = container_of(watch, struct io_program, process);
	int status = 0;

	(void)events;
	/* its group's other processes, before its number is given up */
	group_signal(program, SIGKILL);
	while (waitpid(program->pid, &status, 0) < 0 && errno == EINTR)
		;
	program->reaped = true;
	while (program->output.fd >= 0 && output_read(program))
		;
	io_watch_close(program->options.watches, &program->output);
	io_watch_close(program->options.watches, &program->process);
	deadlines_remove(program->options.deadlines, &program->kill_at);
	program->line[strcspn(program->line, "\r\n")] = '\0';
	if (!program->abandoned) {
		program->abandoned = true;
		program->options.exited(program->options.context, status, program->line);
	}
	program->options.gone(program->options.context);
}

/* It does not run, or is not watched. */
static void failed(struct io_program *program)
{
	if (program->pipe >= 0)
		close(program->pipe);
	if (program->pidfd >= 0)
		close(program->pidfd);
	if (program->pid > 0) {
		/* nothing would tell its end */
		group_kill(program);
		waitpid(program->pid, NULL, 0);
		program->reaped = true;
	}
	if (!program->abandoned) {
		program->abandoned = true;
		program->options.failed(program->options.context, program->error);
	}
	program->options.gone(program->options.context);
}

static void spawned(uv_work_t *work, int status)
{
	struct io_program *program = container_of(work, struct io_program, work);
	struct io_watch_set *watches = program->options.watches;

	program->starting = false;
	if (status < 0)
		program->error = -status;
	/* the watches of a daemon that ends are closed, or about to be */
	if (!program->error && !program->dropped)
		program->error = -io_watch_start(watches, &program->process, program->pidfd,
						 EPOLLIN, process_ended);
	if (program->error || program->dropped) {
		failed(program);
		return;
	}
	if (io_watch_start(watches, &program->output, program->pipe, EPOLLIN, output_ready) < 0) {
		close(program->pipe);
		group_kill(program);
	}
	if (program->abandoned)
		group_kill(program);
}

int io_program_start(const struct io_program_options *options, struct io_program **ret_program)
{
	struct io_program *program = calloc(1, sizeof(*program));

	if (!program)
		return -ENOMEM;
	program->options = *options;
	program->process.fd = program->output.fd = program->pipe = program->pidfd = -1;
	program->kill_at.expired = grace_over;
	program->argv = strings_copy(options->argv);
	program->environment = strings_copy(options->environment);
	if (!program->argv || !program->environment ||
	    uv_queue_work(options->loop, &program->work, spawn, spawned) < 0) {
		io_program_free(program);
		return -ENOMEM;
	}
	program->starting = true;
	*ret_program = program;
	return 0;
}

void io_program_abandon(struct io_program *program)
{
	if (program->abandoned)
		return;
	program->abandoned = program->killed = true;
	if (program->starting)
		return; /* spawned() kills it */
	group_signal(program, SIGTERM);
	if (deadlines_set(program->options.deadlines, &program->kill_at,
			  uv_hrtime() / 1000 + IO_PROGRAM_GRACE) < 0)
		group_kill(program);
}

bool io_program_drop(struct io_program *program)
{
	program->abandoned = program->dropped = true;
	if (program->starting)
		return true;
	group_kill(program);
	io_watch_close(program->options.watches, &program->output);
	io_watch_close(program->options.watches, &program->process);
	deadlines_remove(program->options.deadlines, &program->kill_at);
	return false;
}

void io_program_free(struct io_program *program)
{
	if (!program)
		return;
	strings_free(program->argv);
	strings_free(program->environment);
	free(program);
}

bool io_program_killed(const struct io_program *program)
{
	return program->killed;
}
