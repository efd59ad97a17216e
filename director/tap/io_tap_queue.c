/* Reads the tap's state below /proc/net: its sockets, and its interface's drops. */
#include <errno.h>
#include <unistd.h>

#include "director/tap/io_tap_private.h"
#include "director/tap/tap_proc.h"

/* Reads a list of /proc/net until found() returns true. The kernel gives a page of whole lines at a
 * time, however much is asked for. */
static int search_list(int fd, bool (*found)(const char *text, size_t len, void *arg), void *arg)
{
	static char text[1 << 16];
	size_t len = 0;

	if (lseek(fd, 0, SEEK_SET) < 0)
		return -errno;
	for (;;) {
		ssize_t got = read(fd, text + len, sizeof(text) - len);

		if (got <= 0)
			return got < 0 ? -errno : -ENOENT;
		len += (size_t)got;
		if (found(text, len, arg))
			return 0;
		if (len > sizeof(text) / 2) {
			memmove(text, text + len - 256, 256);
			len = 256;
		}
	}
}

struct backup_search {
	const struct tap_net *net;
	uint32_t queue, drops;
};

static bool find_backup(const char *text, size_t len, void *arg)
{
	struct backup_search *search = arg;

	return tap_proc_socket(text, len, search->net->group, search->net->port, &search->queue,
			       &search->drops) == 0;
}

static bool find_master(const char *text, size_t len, void *arg)
{
	struct tap_net *net = arg;

	return tap_proc_sender(text, len, net->own, net->group, net->port, &net->master_port) == 0;
}

int io_tap_queue_read(struct io_tap *tap, uint32_t *ret_queue, uint32_t *ret_drops)
{
	struct backup_search search = {.net = &tap->options.net};
	int r = search_list(tap->socket_fd, find_backup, &search);

	if (r == 0) {
		*ret_queue = search.queue;
		*ret_drops = search.drops;
	}
	return r;
}

struct device_search {
	const char *interface;
	uint64_t drops;
};

static bool find_device(const char *text, size_t len, void *arg)
{
	struct device_search *search = arg;

	return tap_proc_device(text, len, search->interface, &search->drops) == 0;
}

int io_tap_capture_drops(struct io_tap *tap, uint64_t *ret_drops)
{
	struct device_search search = {.interface = tap->interface};
	int r = search_list(tap->device_fd, find_device, &search);

	if (r == 0)
		*ret_drops = search.drops;
	return r;
}

int io_tap_find_master(struct io_tap *tap)
{
	return search_list(tap->socket_fd, find_master, &tap->options.net);
}
