#include "director/io_watch.h"

#include <unistd.h>

static void turn(uv_poll_t *poll, int status, int events)
{
	struct io_watch_set *set = container_of(poll, struct io_watch_set, poll);
	struct epoll_event ready[IO_WATCH_TURN];
	int count = epoll_wait(set->epoll, ready, IO_WATCH_TURN, 0);
	uint64_t began = uv_hrtime();

	(void)status;
	(void)events;
	set->turning = true;
	for (int i = 0; i < count; i++) {
		struct io_watch *watch = ready[i].data.ptr;

		/* one before it in this turn may have closed it */
		if (watch->fd >= 0)
			watch->ready(watch, ready[i].events);
		/* the others are still ready, and come first the next time */
		if (uv_hrtime() - began > IO_WATCH_TURN_TIME * 1000)
			break;
	}
	set->turning = false;
	set->turned(set);
}

int io_watch_set_open(struct io_watch_set *set, uv_loop_t *loop,
		      void (*turned)(struct io_watch_set *set))
{
	int r;

	set->turned = turned;
	set->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (set->epoll < 0)
		return -errno;
	r = uv_poll_init(loop, &set->poll, set->epoll);
	if (r < 0) {
		close(set->epoll);
		return r;
	}
	uv_poll_start(&set->poll, UV_READABLE, turn);
	return 0;
}

static void poll_closed(uv_handle_t *handle)
{
	struct io_watch_set *set = container_of((uv_poll_t *)handle, struct io_watch_set, poll);

	close(set->epoll);
	set->epoll = -1;
	set->closed(set);
}

void io_watch_set_close(struct io_watch_set *set, void (*closed)(struct io_watch_set *set))
{
	set->closed = closed;
	uv_close((uv_handle_t *)&set->poll, poll_closed);
}

static int control(struct io_watch_set *set, int operation, struct io_watch *watch, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = watch};

	return epoll_ctl(set->epoll, operation, watch->fd, &event) < 0 ? -errno : 0;
}

int io_watch_start(struct io_watch_set *set, struct io_watch *watch, int fd, uint32_t events,
		   void (*ready)(struct io_watch *watch, uint32_t events))
{
	int r;

	watch->fd = fd;
	watch->ready = ready;
	r = control(set, EPOLL_CTL_ADD, watch, events);
	if (r < 0)
		watch->fd = -1;
	return r;
}

int io_watch_change(struct io_watch_set *set, struct io_watch *watch, uint32_t events)
{
	return control(set, EPOLL_CTL_MOD, watch, events);
}

void io_watch_stop(struct io_watch_set *set, struct io_watch *watch)
{
	/* not by close() alone: a program that is being started has a copy until it runs */
	control(set, EPOLL_CTL_DEL, watch, 0);
	watch->fd = -1;
}

void io_watch_close(struct io_watch_set *set, struct io_watch *watch)
{
	int fd = watch->fd;

	if (fd < 0)
		return;
	io_watch_stop(set, watch);
	close(fd);
}
