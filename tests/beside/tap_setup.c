/* Instead of director/tap/io_tap_setup.c: the interface is a real one, the kernel's two threads are
 * a process of ours. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "director/tap/io_tap_device.h"
#include "director/tap/io_tap_private.h"
#include "tests/beside/kernel.h"
#include "tests/beside/load.h"
#include "tests/beside/tap_setup.h"

struct beside beside;

static pid_t child;

/* The kernel is ours alone, and takes what it is given. */
void io_tap_probe_injection(struct io_tap *tap, usec_t now)
{
	(void)tap;
	(void)now;
}

bool io_tap_confirm(struct io_tap *tap, usec_t now)
{
	(void)tap;
	(void)now;
	return true;
}

void io_tap_keep(struct io_tap *tap, usec_t now)
{
	(void)tap;
	(void)now;
}

int io_tap_restart_threads(struct io_tap *tap)
{
	(void)tap;
	return -EOPNOTSUPP;
}

int ipvs_daemon_add_probe(struct ipvs_daemon *daemon, const struct ipvs_daemon_probe *probe)
{
	(void)daemon;
	(void)probe;
	return -EOPNOTSUPP;
}

/* The kernel's thread takes precedence over a daemon that shares its core. */
static void go_first(void)
{
	struct sched_param param;

	if (sched_getscheduler(0) != SCHED_RR || sched_getparam(0, &param) < 0)
		return;
	param.sched_priority++;
	(void)!sched_setscheduler(0, SCHED_RR, &param);
}

static void run_kernel(struct io_tap *tap, struct kernel *kernel)
{
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET((size_t)beside.kernel_cpu, &cpus);
	sched_setaffinity(0, sizeof(cpus), &cpus);
	go_first();
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	close(tap->fd);
	kernel_run(kernel);
	_exit(0);
}

static int share_times(uint32_t **ret_times)
{
	size_t size = LOAD_MAX * sizeof(**ret_times);
	int fd = open(beside.times, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0 || ftruncate(fd, (off_t)size) < 0)
		return -errno;
	*ret_times = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	return *ret_times == MAP_FAILED ? -errno : 0;
}

int io_tap_setup(struct io_tap *tap, struct fault *fault)
{
	struct kernel kernel = {.syncid = tap->options.syncid};
	uint32_t queue, drops;
	int r = io_tap_device_open(tap->interface, tap->options.net.own, tap->options.prefix,
				   &tap->fd, fault);

	if (r < 0)
		return r;
	tap->socket_fd = open("/proc/net/udp", O_RDONLY | O_CLOEXEC);
	tap->device_fd = open("/proc/net/dev", O_RDONLY | O_CLOEXEC);
	kernel.stats = tap->stats_fd = open(beside.stats, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	r = share_times(&kernel.sent_at);
	if (r == 0)
		r = kernel_open(&kernel, tap->interface, &tap->options.net,
				tap->options.receive_size);
	if (r == 0)
		r = io_tap_queue_read(tap, &queue, &drops);
	if (r < 0)
		return fault_set(fault, r, "no kernel: %s", strerror(-r));
	pace_init(&tap->pace, 2 * (size_t)tap->options.receive_size, drops);
	fflush(stdout);
	child = fork();
	if (child == 0)
		run_kernel(tap, &kernel);
	close(kernel.master);
	close(kernel.backup);
	return child < 0 ? -errno : 0;
}

void io_tap_undo(struct io_tap *tap)
{
	const int fds[] = {tap->fd, tap->stats_fd, tap->socket_fd, tap->device_fd};

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		if (fds[i] >= 0)
			close(fds[i]);
	if (child > 0) {
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
	}
}
