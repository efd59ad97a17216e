/* Makes what capture and injection need in the kernel: the TUN, its filter, the sysctls and both
 * sync threads; and takes it down. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "director/io_log.h"
#include "director/kernel/kernel_facts.h"
#include "director/tap/io_tap_device.h"
#include "director/tap/io_tap_private.h"
#include "sync/kernel_wire.h"

/* One entry a message, so that each entry pushes out the one before it. */
#define MASTER_MAXLEN 1

/* net.core.rmem_max when it can't be read: outside the first network namespace. */
#define RMEM_MAX_USUAL 212992

static const struct vs_sysctl settings[] = {
	/* The one message format that has IPv6, timeouts and fwmarks. */
	{.name = "sync_version", .value = "1"},
	/* Sync at each change of state, not at some packet... */
	{.name = "sync_threshold", .value = "0 0"},
	/* ...and while nothing changes once a minute, or at half the timeout if that is sooner, so
	 * that the others' timers never run out on a live flow and a lost message is made good. */
	{.name = "sync_refresh_period", .value = "60"},
	/* Our transport does not lose messages. */
	{.name = "sync_retries", .value = "0"},
	/* One thread of a kind: the metronome reaches only one. */
	{.name = "sync_ports", .value = "1"},
	/* Connections below a persistence template are synced as all others. */
	{.name = "sync_persist_mode", .value = "0"},
	/* A director with a running backup thread forwards. */
	{.name = "backup_only", .value = "0"},
	/* A flow in the middle, whose entry has not come yet, is scheduled and not reset. */
	{.name = "sloppy_tcp", .value = "1"},
	{.name = "sloppy_sctp", .value = "1"},
	/* A template whose real server has weight 0 is given up: it is down, or drained. */
	{.name = "expire_quiescent_template", .value = "1"},
};

static int fail(struct fault *fault, int r, const char *what, const char *remedy)
{
	return fault_set(fault, r, "%.100s: %s; %s", what, strerror(-r), remedy);
}

/* EPERM has one remedy, whichever call was refused. */
static int fail_kernel(struct fault *fault, int r, const char *what, const char *remedy)
{
	if (r == -EPERM || r == -EACCES)
		remedy = "run as root, or with CAP_NET_ADMIN";
	return fail(fault, r, what, remedy);
}

static int set_sysctls(struct io_tap *tap, struct fault *fault)
{
	const struct vs_sysctl_paths paths = {"/proc/sys", "net/ipv4/vs", tap->save_path};
	const char *failed;
	char what[128];
	int r;

	memcpy(tap->settings, settings, sizeof(settings));
	tap->settings_count = ARRAY_SIZE(settings) + 1;
	tap->settings[ARRAY_SIZE(settings)].name = "sync_sock_size";
	tap->settings[ARRAY_SIZE(settings)].optional = true;
	snprintf(tap->settings[ARRAY_SIZE(settings)].value, VS_SYSCTL_VALUE, "%u",
		 tap->options.receive_size);
	r = vs_sysctl_set(&paths, tap->settings, tap->settings_count, &failed);
	if (r > 0)
		io_log_error(
			"%s is damaged: the values of net.ipv4.vs that were set before lvsmeshd "
			"are not put back when it stops",
			tap->save_path);
	if (r >= 0)
		return 0;
	if (!failed)
		return fail(fault, r, tap->save_path, "make the state directory, writable for us");
	snprintf(what, sizeof(what), "net.ipv4.vs.%s", failed);
	return fail_kernel(fault, r, what, "is the module loaded? modprobe ip_vs");
}

static int start_threads(struct io_tap *tap)
{
	struct ipvs_daemon_options options = {
		.interface = tap->interface,
		.syncid = tap->options.syncid,
		.group = tap->options.net.group,
		.port = tap->options.net.port,
		.maxlen = KERNEL_WIRE_MAX,
	};
	int r = ipvs_daemon_start(tap->daemon, IPVS_DAEMON_BACKUP, &options);

	options.maxlen = MASTER_MAXLEN;
	if (r == 0)
		r = ipvs_daemon_start(tap->daemon, IPVS_DAEMON_MASTER, &options);
	if (r == 0)
		r = io_tap_find_master(tap);
	return r;
}

int io_tap_stop_threads(struct io_tap *tap)
{
	int master = ipvs_daemon_stop(tap->daemon, IPVS_DAEMON_MASTER);
	int backup = ipvs_daemon_stop(tap->daemon, IPVS_DAEMON_BACKUP);

	return master < 0 ? master : backup;
}

/* Threads of ours may be left from a process that was killed; those of others are not touched. */
static int refuse_others(struct io_tap *tap, struct fault *fault)
{
	static const char *const roles[IPVS_DAEMON_ROLES] = {"master", "backup"};
	char interfaces[IPVS_DAEMON_ROLES][IFNAMSIZ];
	int r = ipvs_daemon_find(tap->daemon, interfaces);

	if (r < 0)
		return fail_kernel(fault, r, "IPVS sync threads",
				   "is ip_vs loaded? modprobe ip_vs");
	for (int role = 0; role < IPVS_DAEMON_ROLES; role++) {
		if (!*interfaces[role] || strcmp(interfaces[role], tap->interface) == 0)
			continue;
		return fault_set(
			fault, -EBUSY,
			"an IPVS sync daemon already runs on %s; if it is not needed: ipvsadm "
			"--stop-daemon %s",
			interfaces[role], roles[role]);
	}
	return 0;
}

static int open_proc(const char *path, int *ret_fd, struct fault *fault)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return fail(fault, -errno, path, "is ip_vs loaded? modprobe ip_vs");
	*ret_fd = fd;
	return 0;
}

static size_t receive_capacity(const struct io_tap *tap)
{
	char text[32] = {0};
	size_t most = RMEM_MAX_USUAL;
	int fd = open("/proc/sys/net/core/rmem_max", O_RDONLY | O_CLOEXEC);

	if (fd >= 0) {
		if (read(fd, text, sizeof(text) - 1) > 0)
			most = (size_t)strtoul(text, NULL, 10);
		close(fd);
	}
	/* The kernel doubles the requested size. */
	return 2 * MIN((size_t)tap->options.receive_size, most);
}

static int start(struct io_tap *tap, struct fault *fault)
{
	uint32_t queue, drops;
	int r = io_tap_stop_threads(tap);

	if (r == 0)
		r = start_threads(tap);
	if (r == -EINVAL)
		return fail(fault, r, "IPVS sync threads",
			    "a service whose real servers are of another address family forbids "
			    "them: ipvsadm -Ln");
	if (r < 0)
		return fail_kernel(fault, r, "IPVS sync threads", "see dmesg");
	for (int i = 0; i < TAP_SERVICES && r == 0; i++)
		r = ipvs_daemon_add_probe(tap->daemon, &tap->services[i]);
	if (r < 0)
		return fail_kernel(fault, r, "IPVS probe service",
				   "is its scheduler there? modprobe ip_vs_rr");
	r = io_tap_queue_read(tap, &queue, &drops);
	if (r < 0)
		return fail(fault, r, "the backup thread's socket in /proc/net/udp", "see dmesg");
	pace_init(&tap->pace, receive_capacity(tap), drops);
	return 0;
}

int io_tap_protect(struct io_tap *tap)
{
	int r = io_tap_guard(tap->interface, tap->options.net.peer);

	tap->status.guarded = r == 0;
	tap->guards = r == 0 ? io_tap_guard_count(tap->interface) : 0;
	return r;
}

static void look_at_table(struct io_tap *tap)
{
	char text[32] = {0};
	uint32_t listed;
	int fd;

	if (ipvs_daemon_table_size(tap->daemon, &listed) < 0)
		return;
	fd = open("/sys/module/ip_vs/parameters/conn_tab_bits", O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		if (read(fd, text, sizeof(text) - 1) < 0)
			text[0] = '\0';
		close(fd);
	}
	tap->status.table_size = kernel_facts_table_size(listed, text);
	tap->status.table_small = tap->status.table_size < IO_TAP_TABLE_ENOUGH;
}

int io_tap_setup(struct io_tap *tap, struct fault *fault)
{
	int r;

	snprintf(tap->save_path, sizeof(tap->save_path), "%s/vs-sysctl.saved",
		 tap->options.state_dir);
	r = ipvs_daemon_open(&tap->daemon);
	if (r == -EPROTONOSUPPORT)
		return fail(fault, r, "the kernel has no IPVS", "load it: modprobe ip_vs");
	if (r < 0)
		return fail(fault, r, "netlink socket", "see the limits of lvsmeshd");
	if ((r = refuse_others(tap, fault)) < 0 ||
	    (r = open_proc("/proc/net/ip_vs_stats_percpu", &tap->stats_fd, fault)) < 0 ||
	    (r = open_proc("/proc/net/udp", &tap->socket_fd, fault)) < 0 ||
	    (r = open_proc("/proc/net/dev", &tap->device_fd, fault)) < 0)
		return r;
	/* Fails if another lvsmeshd runs here, before any of its state is touched. */
	r = io_tap_device_open(tap->interface, tap->options.net.own, tap->options.prefix, &tap->fd,
			       fault);
	if (r < 0)
		return r;
	io_tap_protect(tap);
	if ((r = set_sysctls(tap, fault)) < 0 || (r = start(tap, fault)) < 0)
		return r;
	look_at_table(tap);
	return 0;
}

int io_tap_restart_threads(struct io_tap *tap)
{
	int r = io_tap_stop_threads(tap);

	return r < 0 ? r : start_threads(tap);
}

void io_tap_undo(struct io_tap *tap)
{
	const struct vs_sysctl_paths paths = {"/proc/sys", "net/ipv4/vs", tap->save_path};

	/* Without the device, the threads and settings are not ours. */
	if (tap->fd >= 0 || tap->index) {
		io_tap_stop_threads(tap);
		for (int i = 0; i < TAP_SERVICES; i++)
			ipvs_daemon_remove_probe(tap->daemon, &tap->services[i]);
		if (tap->fd >= 0)
			close(tap->fd);
		if (tap->settings_count)
			vs_sysctl_restore(&paths, tap->settings, tap->settings_count);
	}
	ipvs_daemon_close(tap->daemon);
	if (tap->stats_fd >= 0)
		close(tap->stats_fd);
	if (tap->socket_fd >= 0)
		close(tap->socket_fd);
	if (tap->device_fd >= 0)
		close(tap->device_fd);
}
