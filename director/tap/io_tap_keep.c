/* Keeps lvsmesh's kernel state as it was made: settings, interface, filter, threads. */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "director/tap/io_tap_device.h"
#include "director/tap/io_tap_private.h"

#define KEEP_EVERY (3 * USEC_PER_SEC)

static void put_back(struct io_tap *tap, const char *what, const char *was, int r)
{
	tap->options.callbacks.put_back(tap->options.ctx, what, was, r);
}

static void setting_changed(void *ctx, const struct vs_sysctl *setting, const char *value, int r)
{
	struct io_tap *tap = ctx;
	char what[64], was[16 + VS_SYSCTL_VALUE];

	snprintf(what, sizeof(what), "net.ipv4.vs.%s", setting->name);
	snprintf(was, sizeof(was), "was set to %s", value);
	put_back(tap, what, was, r);
	/* The kernel's table has the changes that were not reported meanwhile. */
	tap->missed = true;
}

static void keep_settings(struct io_tap *tap)
{
	const struct vs_sysctl_paths paths = {"/proc/sys", "net/ipv4/vs", tap->save_path};

	vs_sysctl_keep(&paths, tap->settings, tap->settings_count, setting_changed, tap);
}

static int make_anew(struct io_tap *tap)
{
	struct fault fault;
	int r = io_tap_device_open(tap->interface, tap->options.net.own, tap->options.prefix,
				   &tap->fd, &fault);

	if (r == 0)
		r = io_tap_watch(tap);
	if (r == 0)
		io_tap_protect(tap);
	return r;
}

/* Its threads stay bound to the former interface. */
static bool device_lost(struct io_tap *tap)
{
	int r;

	io_tap_unwatch(tap);
	if (tap->fd >= 0)
		close(tap->fd);
	tap->fd = -1;
	io_tap_stop_threads(tap);
	r = make_anew(tap);
	put_back(tap, tap->interface, "was deleted", r);
	return true;
}

static void part_put_back(struct io_tap *tap, const char *part, const char *was, int r)
{
	char what[IFNAMSIZ + 16];

	snprintf(what, sizeof(what), "%s %s", tap->interface, part);
	put_back(tap, what, was, r);
}

/* True: the threads have to be started anew. */
static bool keep_device(struct io_tap *tap)
{
	struct io_tap_device_change change;
	int r = io_tap_device_keep(tap->interface, tap->index, tap->options.net.own,
				   tap->options.net.peer, tap->options.prefix, &change);

	if (r == -ENODEV || tap->fd < 0)
		return device_lost(tap);
	if (change.what)
		part_put_back(tap, change.what, change.was, r);
	return change.what && r == 0;
}

static void keep_guard(struct io_tap *tap)
{
	int count = tap->status.guarded ? io_tap_guard_count(tap->interface) : -1;

	if (count >= 0 && count != tap->guards)
		part_put_back(tap, "filter", "was changed", io_tap_protect(tap));
}

/* True: a thread is missing, or another program's is in its place. */
static bool threads_differ(struct io_tap *tap)
{
	static const char *const names[IPVS_DAEMON_ROLES] = {"master sync thread",
							     "backup sync thread"};
	char interfaces[IPVS_DAEMON_ROLES][IFNAMSIZ], was[64];
	bool differ = false;

	if (ipvs_daemon_find(tap->daemon, interfaces) < 0)
		return false;
	for (int role = 0; role < IPVS_DAEMON_ROLES; role++) {
		if (strcmp(interfaces[role], tap->interface) == 0)
			continue;
		if (*interfaces[role])
			snprintf(was, sizeof(was), "was one on %s", interfaces[role]);
		else
			snprintf(was, sizeof(was), "was stopped");
		put_back(tap, names[role], was, 0);
		differ = true;
	}
	return differ;
}

static void keep_services(struct io_tap *tap)
{
	for (int i = 0; i < TAP_SERVICES; i++) {
		if (ipvs_daemon_find_probe(tap->daemon, &tap->services[i]) == -ESRCH)
			put_back(tap, "IPVS probe service", "was removed",
				 ipvs_daemon_add_probe(tap->daemon, &tap->services[i]));
	}
}

void io_tap_keep(struct io_tap *tap, usec_t now)
{
	bool again;

	if (now < tap->next_keep)
		return;
	tap->next_keep = now + KEEP_EVERY;
	keep_settings(tap);
	again = keep_device(tap);
	keep_guard(tap);
	keep_services(tap);
	if (tap->fd >= 0 && (again || threads_differ(tap)))
		io_tap_begin_again(tap);
}
