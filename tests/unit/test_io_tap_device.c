/* Kernels that refuse what others take: the system calls are the test's. */
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cmocka.h>

#include "director/tap/io_tap_device.h"

/* The kernel: how long a queue it takes, and what it refuses altogether. */
static struct {
	int queue_max, queue_error;
	unsigned long refused;
	int queue;
} kernel;

int __wrap_ioctl(int fd, unsigned long call, void *argument);
int __wrap_open(const char *path, int flags, ...);

int __wrap_ioctl(int fd, unsigned long call, void *argument)
{
	struct ifreq *request = argument;

	(void)fd;
	if (call == kernel.refused) {
		errno = EINVAL;
		return -1;
	}
	if (call != SIOCSIFTXQLEN)
		return 0;
	if (request->ifr_qlen > kernel.queue_max) {
		errno = kernel.queue_error;
		return -1;
	}
	kernel.queue = request->ifr_qlen;
	return 0;
}

int __wrap_open(const char *path, int flags, ...)
{
	(void)path;
	(void)flags;
	return dup(STDERR_FILENO);
}

static int open_device(struct fault *fault)
{
	int fd = -1, r = io_tap_device_open("tap9", 0xa9fe7501, 30, &fd, fault);

	if (r == 0)
		close(fd);
	return r;
}

static void test_queue(void **state)
{
	static const struct {
		int max, error, expected;
	} kernels[] = {
		{65536, 0, 65536},
		{32767, ERANGE, 16384},
		{1000, EINVAL, 512},
		{0, ERANGE, 0},
	};
	struct fault fault;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(kernels); i++) {
		kernel.queue_max = kernels[i].max;
		kernel.queue_error = kernels[i].error;
		kernel.refused = 0;
		kernel.queue = 0;
		assert_int_equal(open_device(&fault), 0);
		assert_int_equal(kernel.queue, kernels[i].expected);
	}
}

static void test_refused_call_is_named(void **state)
{
	static const struct {
		unsigned long call;
		const char *expected;
	} calls[] = {
		{SIOCSIFMTU, "tap9: SIOCSIFMTU: Invalid argument"},
		{SIOCSIFADDR, "tap9: SIOCSIFADDR: Invalid argument"},
		{SIOCSIFNETMASK, "tap9: SIOCSIFNETMASK: Invalid argument"},
		{SIOCGIFFLAGS, "tap9: SIOCGIFFLAGS: Invalid argument"},
		{SIOCSIFFLAGS, "tap9: SIOCSIFFLAGS: Invalid argument"},
	};
	struct fault fault;

	(void)state;
	kernel.queue_max = 65536;
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++) {
		kernel.refused = calls[i].call;
		assert_int_equal(open_device(&fault), -EINVAL);
		assert_string_equal(fault.text, calls[i].expected);
	}
	kernel.refused = 0;
	kernel.queue_max = 0;
	kernel.queue_error = EPERM;
	assert_int_equal(open_device(&fault), -EPERM);
	assert_string_equal(fault.text, "tap9: SIOCSIFTXQLEN: Operation not permitted");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_queue),
		cmocka_unit_test(test_refused_call_is_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
