/* The contract of io_checker: when a result comes, and what its callback may do. Servers
 * that misbehave are in tests/checker. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "director/checker/io_checker.h"
#include "tests/loopback.h"

#define TARGETS 64

struct fixture {
	uv_loop_t loop;
	struct io_checker *checker;
	struct endpoint closed; /* nothing listens */
	struct endpoint silent; /* accepts, and never answers */
	int listener;
	struct check check, waits;
	unsigned int results[TARGETS], runs[TARGETS], total;
	enum check_state state;
	bool inside; /* a function of io_checker is being called */
	void (*then)(struct fixture *f, uint32_t target);
	bool done;
};

static void result(void *context, uint32_t target, uint32_t run, const struct check_result *result)
{
	struct fixture *f = context;

	assert_false(f->inside);
	assert_in_range(strlen(result->reason), 1, CHECK_REASON_MAX - 1);
	f->results[target]++;
	f->runs[target] = run;
	f->state = result->state;
	f->total++;
	if (f->then)
		f->then(f, target);
}

static int begin(struct fixture *f, uint32_t target, uint32_t run, const struct endpoint *endpoint,
		 const struct check *check)
{
	int r;

	f->inside = true;
	r = io_checker_begin(f->checker, &(struct io_checker_run){.target = target,
								  .run = run,
								  .check = check,
								  .endpoint = *endpoint,
								  .service = "web",
								  .real = "a"});
	f->inside = false;
	return r;
}

static void closed(void *context)
{
	((struct fixture *)context)->done = true;
}

static void set_up(struct fixture *f)
{
	struct sockaddr_storage address;
	socklen_t len;

	*f = (struct fixture){.check = {.type = CHECK_TCP, .timeout = USEC_PER_SEC},
			      .waits = {.type = CHECK_TCP,
					.timeout = 100 * USEC_PER_MSEC,
					.expect = (uint8_t *)(uintptr_t) "x",
					.expect_len = 1}};
	uv_loop_init(&f->loop);
	f->closed = endpoint_free();
	f->silent = endpoint_free();
	len = endpoint_to_sockaddr(&f->silent, &address);
	f->listener = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(bind(f->listener, (struct sockaddr *)&address, len), 0);
	assert_int_equal(listen(f->listener, 128), 0);
	assert_int_equal(io_checker_open(&(struct io_checker_options){.loop = &f->loop,
								      .result = result,
								      .context = f},
					 &f->checker),
			 0);
}

static void tear_down(struct fixture *f)
{
	if (f->checker)
		io_checker_close(f->checker, closed, f);
	while (!f->done)
		uv_run(&f->loop, UV_RUN_ONCE);
	uv_run(&f->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&f->loop), 0);
	close(f->listener);
}

/* Until so many results have come. */
static void run_until(struct fixture *f, unsigned int total)
{
	while (f->total < total)
		uv_run(&f->loop, UV_RUN_ONCE);
}

/* Even one that is decided at once is told from the loop, with its run's number. */
static void test_one_result_each(void **state)
{
	struct fixture f;
	struct io_checker_counts counts;

	(void)state;
	set_up(&f);
	assert_int_equal(begin(&f, 1, 7, &f.closed, &f.check), 0);
	assert_int_equal(begin(&f, 1, 8, &f.closed, &f.check), -EBUSY);
	assert_int_equal(f.total, 0);
	run_until(&f, 1);
	assert_int_equal(f.runs[1], 7);
	assert_int_equal(f.state, CHECK_DOWN);
	assert_int_equal(begin(&f, 1, 9, &f.silent, &f.check), 0);
	run_until(&f, 2);
	assert_int_equal(f.runs[1], 9);
	assert_int_equal(f.state, CHECK_UP);
	io_checker_counts(f.checker, &counts);
	assert_int_equal(counts.begun, 2);
	assert_int_equal(counts.running, 0);
	assert_int_equal(counts.causes[CHECK_CAUSE_OK], 1);
	assert_int_equal(counts.causes[CHECK_CAUSE_REFUSED], 1);
	tear_down(&f);
}

/* Targets in one bucket are told apart. */
static void test_cancel(void **state)
{
	struct fixture f;

	(void)state;
	set_up(&f);
	for (uint32_t i = 0; i < 4; i++)
		assert_int_equal(begin(&f, 5 + i * 16384, i, &f.silent, &f.waits), 0);
	for (uint32_t i = 1; i < 4; i++)
		io_checker_cancel(f.checker, 5 + i * 16384);
	io_checker_cancel(f.checker, 6);
	run_until(&f, 1);
	assert_int_equal(f.results[5], 1);
	assert_int_equal(begin(&f, 9, 1, &f.closed, &f.check), 0);
	io_checker_cancel(f.checker, 9); /* decided, and not told yet */
	assert_int_equal(begin(&f, 9, 2, &f.closed, &f.check), 0);
	run_until(&f, 2);
	assert_int_equal(f.runs[9], 2);
	tear_down(&f);
}

static void again(struct fixture *f, uint32_t target)
{
	if (f->total < 1000)
		assert_int_equal(begin(f, target, f->total, &f->closed, &f->check), 0);
}

/* A result that begins the next check at once does not keep the loop from other work. */
static void test_begin_from_result(void **state)
{
	struct fixture f;
	unsigned int turns = 0;

	(void)state;
	set_up(&f);
	f.then = again;
	assert_int_equal(begin(&f, 1, 0, &f.closed, &f.check), 0);
	for (; f.total < 1000; turns++)
		uv_run(&f.loop, UV_RUN_ONCE);
	assert_true(turns >= 500);
	tear_down(&f);
}

static void cancel_others(struct fixture *f, uint32_t target)
{
	for (uint32_t i = 0; i < TARGETS; i++)
		if (i != target)
			io_checker_cancel(f->checker, i);
}

/* The first result of many that are decided together cancels the others. */
static void test_cancel_from_result(void **state)
{
	struct fixture f;

	(void)state;
	set_up(&f);
	f.then = cancel_others;
	for (uint32_t i = 0; i < TARGETS; i++)
		assert_int_equal(
			begin(&f, i, 1, i % 2 ? &f.silent : &f.closed, i % 2 ? &f.waits : &f.check),
			0);
	run_until(&f, 1);
	for (unsigned int i = 0; i < 200; i++)
		uv_run(&f.loop, UV_RUN_NOWAIT);
	assert_int_equal(f.total, 1);
	tear_down(&f);
}

static void close_all(struct fixture *f, uint32_t target)
{
	(void)target;
	if (f->checker)
		io_checker_close(f->checker, closed, f);
	f->checker = NULL;
}

static void test_close_from_result(void **state)
{
	struct check http = {.type = CHECK_HTTP, .timeout = USEC_PER_SEC, .body_max = 1};
	struct fixture f;

	(void)state;
	set_up(&f);
	f.then = close_all;
	for (uint32_t i = 0; i < TARGETS; i++)
		assert_int_equal(begin(&f, i, 1, &f.closed, i % 2 ? &http : &f.check), 0);
	run_until(&f, 1);
	tear_down(&f);
	assert_int_equal(f.total, 1);

	set_up(&f);
	f.then = close_all;
	for (uint32_t i = 0; i < TARGETS; i++)
		assert_int_equal(begin(&f, i, 1, &f.closed, &http), 0);
	run_until(&f, 1);
	tear_down(&f);
	assert_int_equal(f.total, 1);
}

/* Programs that run, or are being started, end with the checker. */
static void test_close_with_programs(void **state)
{
	static char *const sleeps[] = {(char *)"/bin/sleep", (char *)"600", NULL};
	const struct check check = {
		.type = CHECK_EXEC, .timeout = 60 * USEC_PER_SEC, .command = (char **)sleeps};

	(void)state;
	for (unsigned int turns = 0; turns < 40; turns++) {
		struct fixture f;

		set_up(&f);
		for (uint32_t i = 0; i < 8; i++)
			assert_int_equal(begin(&f, i, 1, &f.closed, &check), 0);
		for (unsigned int i = 0; i < turns; i++) {
			uv_run(&f.loop, UV_RUN_NOWAIT);
			usleep(100);
		}
		tear_down(&f);
		assert_int_equal(f.total, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_result_each),
		cmocka_unit_test(test_cancel),
		cmocka_unit_test(test_begin_from_result),
		cmocka_unit_test(test_cancel_from_result),
		cmocka_unit_test(test_close_from_result),
		cmocka_unit_test(test_close_with_programs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
