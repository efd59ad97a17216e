#include "director/checker/io_checker_private.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "director/io_clock.h"
#include "director/text.h"

#define FILES_LEFT 1024 /* for streams, clients, files */
#define EXPIRED_TURN 64 /* deadlines of one turn of the loop */

static const struct checker_type *const types[CHECK_TYPES] = {
	[CHECK_TCP] = &checker_tcp,   [CHECK_DNS] = &checker_dns,    [CHECK_UDP] = &checker_udp,
	[CHECK_HTTP] = &checker_http, [CHECK_HTTPS] = &checker_http, [CHECK_GRPC] = &checker_grpc,
	[CHECK_EXEC] = &checker_exec, [CHECK_PING] = &checker_ping,  [CHECK_AGENT] = &checker_agent,
};

static struct checker_run **bucket(struct io_checker *checker, uint32_t target)
{
	return &checker->buckets[target % CHECKER_BUCKETS];
}

static struct checker_run **run_find(struct io_checker *checker, uint32_t target)
{
	struct checker_run **run = bucket(checker, target);

	while (*run && (*run)->what.target != target)
		run = &(*run)->next;
	return run;
}

static void timer_expired(uv_timer_t *timer);

void checker_arm(struct io_checker *checker)
{
	const struct deadline *first = deadlines_first(&checker->deadlines);
	usec_t at = first ? first->at : USEC_NEVER, now;

	if (checker->decided || checker->execs_gone)
		at = 0;
	if (checker->closing || at == checker->timer_at)
		return;
	checker->timer_at = at;
	if (at == USEC_NEVER) {
		uv_timer_stop(&checker->timer);
		return;
	}
	uv_update_time(checker->options.loop);
	now = uv_hrtime() / 1000;
	uv_timer_start(&checker->timer, timer_expired,
		       at > now ? (at - now + USEC_PER_MSEC - 1) / USEC_PER_MSEC : 0, 0);
}

/* Releases all but the memory. */
static void run_end(struct checker_run *run)
{
	if (run->ended)
		return;
	run->ended = true;
	deadlines_remove(&run->checker->deadlines, &run->deadline);
	io_watch_close(&run->checker->watches, &run->watch);
	if (run->type->end)
		run->type->end(run);
}

void run_decide(struct checker_run *run, enum check_state state, enum check_cause cause,
		const char *format, ...)
{
	struct io_checker *checker = run->checker;
	char text[2 * CHECK_REASON_MAX];
	va_list arguments;

	if (run->decided)
		return;
	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	text_copy(run->result.reason, sizeof(run->result.reason), text);
	run->result.state = state;
	run->result.cause = cause;
	run->result.took = clock_now().mono - run->began;
	run->decided = true;
	run_end(run);
	*checker->decided_last = run;
	checker->decided_last = &run->behind;
}

static void run_free(struct checker_run *run)
{
	struct checker_run **place = run_find(run->checker, run->what.target);

	*place = run->next;
	run->checker->counts.running--;
	free(run);
}

static struct checker_run *decided_take(struct io_checker *checker)
{
	struct checker_run *run = checker->decided;

	checker->decided = run->behind;
	if (!checker->decided)
		checker->decided_last = &checker->decided;
	return run;
}

static void checker_report(struct io_checker *checker)
{
	struct checker_run *const *last;
	bool more;

	checker_exec_sweep(checker);
	last = checker->decided_last;
	more = checker->decided != NULL;
	/* none that a result brings about: their turn is the next one */
	while (more && checker->decided) {
		struct checker_run *run = decided_take(checker);
		const struct io_checker_run what = run->what;
		const struct check_result result = run->result;

		more = last != &run->behind;
		checker->counts.causes[result.cause]++;
		run_free(run);
		checker->options.result(checker->options.context, what.target, what.run, &result);
	}
	checker_arm(checker);
}

static void run_expired(struct deadline *deadline)
{
	struct checker_run *run = container_of(deadline, struct checker_run, deadline);
	usec_t timeout = run->what.check->timeout;
	bool seconds = timeout % USEC_PER_SEC == 0;
	unsigned long long time = timeout / (seconds ? USEC_PER_SEC : USEC_PER_MSEC);
	const char *unit = seconds ? "s" : "ms";

	if (run->queued)
		run_local(run, "not checked within %llu %s: %u programs run already", time, unit,
			  run->checker->options.programs_max);
	else
		run_down(run, CHECK_CAUSE_TIMEOUT, "no %s within %llu %s", run->awaited, time,
			 unit);
}

static void timer_expired(uv_timer_t *timer)
{
	struct io_checker *checker = container_of(timer, struct io_checker, timer);
	usec_t now = uv_hrtime() / 1000;
	struct deadline *first;

	checker->timer_at = USEC_NEVER;
	for (unsigned int i = 0; i < EXPIRED_TURN; i++) {
		first = deadlines_first(&checker->deadlines);
		if (!first || first->at > now)
			break;
		first->expired(first);
	}
	checker_report(checker);
}

static void turned(struct io_watch_set *set)
{
	checker_report(container_of(set, struct io_checker, watches));
}

static unsigned int runs_allowed(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) < 0 || files.rlim_cur < 2 * FILES_LEFT)
		return FILES_LEFT / 2;
	return (unsigned int)MIN(files.rlim_cur - FILES_LEFT, (rlim_t)UINT32_MAX);
}

int io_checker_open(const struct io_checker_options *options, struct io_checker **ret_checker)
{
	struct io_checker *checker = calloc(1, sizeof(*checker));
	int r;

	if (!checker)
		return -ENOMEM;
	checker->options = *options;
	if (!options->runs_max)
		checker->options.runs_max = runs_allowed();
	if (!options->programs_max)
		checker->options.programs_max = IO_CHECKER_PROGRAMS;
	checker->decided_last = &checker->decided;
	checker->timer_at = USEC_NEVER;
	r = io_watch_set_open(&checker->watches, options->loop, turned);
	if (r < 0) {
		free(checker);
		return r;
	}
	uv_timer_init(options->loop, &checker->timer);
	checker->handles = 2;
	*ret_checker = checker;
	return 0;
}

int io_checker_begin(struct io_checker *checker, const struct io_checker_run *what)
{
	const struct checker_type *type = types[what->check->type];
	struct checker_run **place = run_find(checker, what->target), *run;
	usec_t now = uv_hrtime() / 1000;

	if (*place)
		return -EBUSY;
	run = calloc(1, type->size);
	if (!run)
		return -ENOMEM;
	run->what = *what;
	run->checker = checker;
	run->type = type;
	run->watch.fd = -1;
	run->deadline.expired = run_expired;
	run->began = now;
	run->awaited = "answer";
	run->result.weight = -1;
	if (deadlines_set(&checker->deadlines, &run->deadline, now + what->check->timeout) < 0) {
		free(run);
		return -ENOMEM;
	}
	*place = run;
	checker->counts.begun++;
	if (++checker->counts.running > checker->options.runs_max)
		run_local(run, "not checked: %u checks are under way already",
			  checker->options.runs_max);
	else
		type->begin(run);
	checker_arm(checker);
	return 0;
}

static void decided_remove(struct io_checker *checker, struct checker_run *run)
{
	struct checker_run **link = &checker->decided;

	while (*link && *link != run)
		link = &(*link)->behind;
	if (!*link)
		return;
	*link = run->behind;
	if (checker->decided_last == &run->behind)
		checker->decided_last = link;
}

static void run_cancel(struct checker_run *run)
{
	run->checker->counts.cancelled++;
	run_end(run);
	decided_remove(run->checker, run);
	run_free(run);
}

void io_checker_cancel(struct io_checker *checker, uint32_t target)
{
	struct checker_run *run = *run_find(checker, target);

	if (run)
		run_cancel(run);
}

void io_checker_counts(const struct io_checker *checker, struct io_checker_counts *ret_counts)
{
	*ret_counts = checker->counts;
}

void checker_closed(struct io_checker *checker)
{
	if (--checker->handles > 0)
		return;
	deadlines_fini(&checker->deadlines);
	if (checker->done)
		checker->done(checker->context);
	free(checker);
}

static void watches_closed(struct io_watch_set *set)
{
	checker_closed(container_of(set, struct io_checker, watches));
}

static void timer_closed(uv_handle_t *handle)
{
	checker_closed(container_of((uv_timer_t *)handle, struct io_checker, timer));
}

void io_checker_close(struct io_checker *checker, void (*done)(void *context), void *context)
{
	checker->closing = true;
	checker->done = done;
	checker->context = context;
	for (size_t i = 0; i < CHECKER_BUCKETS; i++)
		while (checker->buckets[i])
			run_cancel(checker->buckets[i]);
	checker->handles += checker_http_close(checker) + checker_exec_close(checker);
	uv_close((uv_handle_t *)&checker->timer, timer_closed);
	io_watch_set_close(&checker->watches, watches_closed);
}
