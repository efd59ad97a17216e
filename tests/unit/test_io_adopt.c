/* A reader of connections whose kernel is a pipe: how much it asks of it, and its end. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "director/io_clock.h"
#include "director/kernel/io_adopt.h"
#include "tests/scratch.h"

#define LINES 100
#define TAKES (20 * USEC_PER_MSEC)

static const char heading[] =
	"Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Expires PEName PEData\n";
static const char line[] = "TCP 0A020009 9A3C CB00710A 0050 0A010015 1F90 ESTABLISHED 60\n";

struct reading {
	struct scratch scratch;
	uv_loop_t loop;
	uv_thread_t kernel;
	struct io_adopt *adopt;
	usec_t began;
	unsigned int entries, ends;
	int error;
};

/* The first piece takes its time. The pieces after it wait for the reader. */
static void kernel(void *context)
{
	struct reading *reading = context;
	FILE *file = fopen(reading->scratch.path, "w");

	usleep((useconds_t)TAKES);
	fputs(heading, file);
	fflush(file);
	usleep((useconds_t)TAKES / 2);
	for (unsigned int i = 0; i < LINES; i++)
		fputs(line, file);
	fclose(file);
}

static void entry(void *context, const struct entry *found)
{
	struct reading *reading = context;

	assert_int_equal(found->flow.cport, 0x9a3c);
	reading->entries++;
}

static void refused(void *context, int error)
{
	(void)context;
	assert_int_equal(error, 0);
}

static void done(void *context, int error)
{
	struct reading *reading = context;

	reading->error = error;
	reading->ends++;
}

static void begin(struct reading *reading, unsigned int rest)
{
	struct io_adopt_options options = {
		.loop = &reading->loop,
		.rest = rest,
		.context = reading,
		.entry = entry,
		.refused = refused,
		.done = done,
	};

	memset(reading, 0, sizeof(*reading));
	scratch_init(&reading->scratch);
	options.path = scratch_path(&reading->scratch, "conns");
	assert_int_equal(mkfifo(options.path, 0600), 0);
	uv_loop_init(&reading->loop);
	uv_thread_create(&reading->kernel, kernel, reading);
	reading->began = clock_now().mono;
	assert_int_equal(io_adopt_start(&options, &reading->adopt), 0);
}

/* How long all of it took. */
static usec_t end(struct reading *reading)
{
	usec_t took;

	uv_run(&reading->loop, UV_RUN_DEFAULT);
	took = clock_now().mono - reading->began;
	assert_int_equal(reading->ends, 1);
	uv_thread_join(&reading->kernel);
	assert_int_equal(uv_loop_close(&reading->loop), 0);
	scratch_fini(&reading->scratch);
	return took;
}

static void test_whole(void **state)
{
	struct reading reading;

	(void)state;
	begin(&reading, 0);
	end(&reading);
	assert_int_equal(reading.error, 0);
	assert_int_equal(reading.entries, LINES);
}

/* Without rests it would take twice as long as the first piece. On a busy machine the reader may
 * come late to that piece, and owe less. */
static void test_rests(void **state)
{
	struct reading reading;
	usec_t took = 0;

	(void)state;
	for (int i = 0; i < 20 && took < 7 * TAKES; i++) {
		begin(&reading, 9);
		took = end(&reading);
		assert_int_equal(reading.error, 0);
		assert_int_equal(reading.entries, LINES);
	}
	assert_true(took >= 7 * TAKES);
}

static void cancel(uv_timer_t *timer)
{
	struct reading *reading = timer->data;

	io_adopt_cancel(reading->adopt);
	uv_close((uv_handle_t *)timer, NULL);
}

/* In the middle of a rest that would be a minute. */
static void test_cancelled(void **state)
{
	struct reading reading;
	uv_timer_t timer;

	(void)state;
	begin(&reading, 60 * USEC_PER_SEC / TAKES);
	uv_timer_init(&reading.loop, &timer);
	timer.data = &reading;
	uv_timer_start(&timer, cancel, 10 * TAKES / USEC_PER_MSEC, 0);
	assert_true(end(&reading) < 30 * USEC_PER_SEC);
	assert_int_equal(reading.error, -ECANCELED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole),
		cmocka_unit_test(test_rests),
		cmocka_unit_test(test_cancelled),
	};

	/* The reader may end first. */
	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
