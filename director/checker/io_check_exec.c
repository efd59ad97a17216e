/* CHECK_EXEC: a program of the operator's. Exit status 0 is up, 1 is down, time up is down; any
 *other end decides nothing, and is told. So many run at once; further ones wait for their turn, and
 *one that has no turn within its timeout decides nothing.
 *
 * The program's environment is this, and nothing of the daemon's:
 *
 *	PATH
 *	LVSMESH_SERVICE, LVSMESH_REAL_SERVER    their names
 *	LVSMESH_ADDRESS, LVSMESH_PORT           where to check
 *	LVSMESH_VIP, LVSMESH_VIP_PORT           the service's; absent for a firewall mark
 *	LVSMESH_TIMEOUT                         milliseconds until it is ended */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "director/checker/io_checker_private.h"
#include "director/checker/io_program.h"

#define VARIABLES 10
#define VARIABLE_MAX 256

struct exec_run {
	struct checker_run run;
	struct checker_exec *exec; /* NULL: none yet; its program is running for this check */
	struct exec_run *waiting;  /* the next one that waits */
};

/* A program and the check that it runs for; it outlives the check while it is being ended. */
struct checker_exec {
	struct io_checker *checker;
	struct io_program *program;
	struct exec_run *run; /* NULL: its end is of no interest any more */
	struct checker_exec *next;
};

struct environment {
	char text[VARIABLES][VARIABLE_MAX];
	char *variables[VARIABLES + 1];
	unsigned int count;
};

__attribute__((format(printf, 2, 3))) static void variable_add(struct environment *environment,
							       const char *format, ...)
{
	char *text = environment->text[environment->count];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, VARIABLE_MAX, format, arguments);
	va_end(arguments);
	environment->variables[environment->count++] = text;
}

static void endpoint_add(struct environment *environment, const char *prefix,
			 const char *address_name, const struct endpoint *endpoint)
{
	char text[IP_ADDR_TEXT];

	if (!endpoint->ip.family)
		return;
	variable_add(environment, "%s=%s", address_name, ip_addr_format(&endpoint->ip, text));
	variable_add(environment, "%sPORT=%u", prefix, endpoint->port);
}

static void environment_make(const struct checker_run *run, struct environment *environment)
{
	const struct check *check = run->what.check;

	variable_add(environment,
		     "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
	variable_add(environment, "LVSMESH_SERVICE=%s", run->what.service);
	variable_add(environment, "LVSMESH_REAL_SERVER=%s", run->what.real);
	endpoint_add(environment, "LVSMESH_", "LVSMESH_ADDRESS", &run->what.endpoint);
	endpoint_add(environment, "LVSMESH_VIP_", "LVSMESH_VIP", &run->what.vip);
	variable_add(environment, "LVSMESH_TIMEOUT=%llu",
		     (unsigned long long)(check->timeout / USEC_PER_MSEC));
}

static void failed(void *context, int error)
{
	struct checker_exec *exec = context;
	struct checker_run *run = &exec->run->run;

	run_local(run, "not checked: %.60s does not start: %s", run->what.check->command[0],
		  strerror(error));
}

static void flooded(void *context)
{
	struct checker_exec *exec = context;

	run_decide(&exec->run->run, CHECK_UNCHANGED, CHECK_CAUSE_TOO_LONG,
		   "the program printed more than %d bytes", IO_PROGRAM_OUTPUT);
}

static void exited(void *context, int status, const char *line)
{
	struct checker_exec *exec = context;
	struct checker_run *run = &exec->run->run;
	const char *colon = *line ? ": " : "";

	if (WIFSIGNALED(status))
		run_decide(run, CHECK_UNCHANGED, CHECK_CAUSE_EXIT, "ended by signal %d%s%s",
			   WTERMSIG(status), colon, line);
	else if (WEXITSTATUS(status) == 0)
		run_up(run, "exit status 0%s%s", colon, line);
	else if (WEXITSTATUS(status) == 1)
		run_down(run, CHECK_CAUSE_EXIT, "exit status 1%s%s", colon, line);
	else
		run_decide(run, CHECK_UNCHANGED, CHECK_CAUSE_EXIT,
			   "exit status %d, neither 0 nor 1%s%s", WEXITSTATUS(status), colon, line);
}

static void exec_free(struct checker_exec *exec)
{
	io_program_free(exec->program);
	free(exec);
}

/* Its memory stays until the turn of the watches is over. */
static void gone(void *context)
{
	struct checker_exec *exec = context, **link;
	struct io_checker *checker = exec->checker;

	for (link = &checker->execs; *link != exec; link = &(*link)->next)
		;
	*link = exec->next;
	checker->counts.programs--;
	checker->counts.programs_killed += io_program_killed(exec->program);
	if (checker->closing) {
		exec_free(exec);
		checker_closed(checker);
		return;
	}
	exec->next = checker->execs_gone;
	checker->execs_gone = exec;
	checker_arm(checker);
}

static int program_start(struct checker_exec *exec, const struct checker_run *run)
{
	struct environment environment = {.count = 0};

	environment_make(run, &environment);
	return io_program_start(&(struct io_program_options){.loop = exec->checker->options.loop,
							     .watches = &exec->checker->watches,
							     .deadlines = &exec->checker->deadlines,
							     .argv = run->what.check->command,
							     .environment = environment.variables,
							     .failed = failed,
							     .exited = exited,
							     .flooded = flooded,
							     .gone = gone,
							     .context = exec},
				&exec->program);
}

static void start(struct exec_run *run)
{
	struct io_checker *checker = run->run.checker;
	struct checker_exec *exec = calloc(1, sizeof(*exec));
	int r = -ENOMEM;

	run->run.awaited = "exit";
	if (exec) {
		exec->checker = checker;
		r = program_start(exec, &run->run);
	}
	if (r < 0) {
		free(exec);
		run_decide_errno(&run->run, -r);
		return;
	}
	exec->run = run;
	run->exec = exec;
	exec->next = checker->execs;
	checker->execs = exec;
	checker->counts.programs++;
}

static void wait_for_turn(struct exec_run *run)
{
	struct exec_run **link = &run->run.checker->execs_waiting;

	while (*link)
		link = &(*link)->waiting;
	*link = run;
	run->run.queued = true;
}

static void wait_end(struct exec_run *run)
{
	struct exec_run **link = &run->run.checker->execs_waiting;

	while (*link != run)
		link = &(*link)->waiting;
	*link = run->waiting;
	run->run.queued = false;
}

static void begin(struct checker_run *run)
{
	struct exec_run *exec = container_of(run, struct exec_run, run);

	if (run->checker->counts.programs < run->checker->options.programs_max)
		start(exec);
	else
		wait_for_turn(exec);
}

static void end(struct checker_run *run)
{
	struct exec_run *exec = container_of(run, struct exec_run, run);

	if (run->queued)
		wait_end(exec);
	if (!exec->exec)
		return;
	exec->exec->run = NULL;
	io_program_abandon(exec->exec->program);
	exec->exec = NULL;
}

const struct checker_type checker_exec = {sizeof(struct exec_run), begin, end};

void checker_exec_sweep(struct io_checker *checker)
{
	struct checker_exec *exec;
	struct exec_run *run;

	while ((exec = checker->execs_gone)) {
		checker->execs_gone = exec->next;
		exec_free(exec);
	}
	while ((run = checker->execs_waiting) &&
	       checker->counts.programs < checker->options.programs_max) {
		wait_end(run);
		start(run);
	}
}

unsigned int checker_exec_close(struct io_checker *checker)
{
	struct checker_exec *exec, *next;
	unsigned int starting = 0;

	checker_exec_sweep(checker);
	for (exec = checker->execs; exec; exec = next) {
		next = exec->next;
		if (io_program_drop(exec->program)) {
			starting++;
			continue;
		}
		/* those that a thread is starting stay in the list, for gone() */
		for (struct checker_exec **link = &checker->execs;; link = &(*link)->next) {
			if (*link != exec)
				continue;
			*link = next;
			break;
		}
		exec_free(exec);
	}
	return starting;
}
