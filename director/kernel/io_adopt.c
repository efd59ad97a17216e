#include "director/kernel/io_adopt.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "director/io_clock.h"

/* The kernel gives at most a page for a read: some fifty entries. */
#define PIECE 4096

/* Shorter rests are added up. */
#define REST_MIN (5 * USEC_PER_MSEC)

struct io_adopt {
	struct io_adopt_options options;
	uv_fs_t read;
	uv_timer_t timer;
	int fd;
	bool cancelled;
	int error; /* at the end */
	usec_t began, owed;
	struct kernel_conns_reader reader;
	char piece[PIECE];
};

static int piece_read(struct io_adopt *adopt);

static void closed(uv_handle_t *timer)
{
	struct io_adopt *adopt = timer->data;
	struct io_adopt_options options = adopt->options;
	int error = adopt->error;

	free(adopt);
	options.done(options.context, error);
}

static void finish(struct io_adopt *adopt, int error)
{
	adopt->error = error;
	close(adopt->fd);
	uv_close((uv_handle_t *)&adopt->timer, closed);
}

static void piece_take(struct io_adopt *adopt, size_t len)
{
	struct entry entry;
	int r;

	kernel_conns_feed(&adopt->reader, adopt->piece, len);
	while ((r = kernel_conns_next(&adopt->reader, &entry)) != 0) {
		if (r > 0)
			adopt->options.entry(adopt->options.context, &entry);
		else
			adopt->options.refused(adopt->options.context, -r);
	}
}

static void rested(uv_timer_t *timer)
{
	struct io_adopt *adopt = timer->data;
	int r = adopt->cancelled ? -ECANCELED : piece_read(adopt);

	if (r < 0)
		finish(adopt, r);
}

/* Reads the next piece, now or later. */
static int go_on(struct io_adopt *adopt)
{
	usec_t rest = adopt->owed;

	if (rest < REST_MIN)
		return piece_read(adopt);
	adopt->owed = 0;
	return uv_timer_start(&adopt->timer, rested, rest / USEC_PER_MSEC, 0);
}

static void piece_done(uv_fs_t *read)
{
	struct io_adopt *adopt = container_of(read, struct io_adopt, read);
	ssize_t len = read->result;
	int r = len < 0 ? (int)len : 0;

	uv_fs_req_cleanup(read);
	adopt->owed += (clock_now().mono - adopt->began) * adopt->options.rest;
	if (adopt->cancelled)
		r = -ECANCELED;
	if (r == 0 && len > 0) {
		piece_take(adopt, (size_t)len);
		r = go_on(adopt);
		if (r == 0)
			return;
	}
	finish(adopt, r);
}

static int piece_read(struct io_adopt *adopt)
{
	uv_buf_t buf = uv_buf_init(adopt->piece, sizeof(adopt->piece));

	adopt->began = clock_now().mono;
	return uv_fs_read(adopt->options.loop, &adopt->read, adopt->fd, &buf, 1, -1, piece_done);
}

int io_adopt_start(const struct io_adopt_options *options, struct io_adopt **ret_adopt)
{
	struct io_adopt *adopt = calloc(1, sizeof(*adopt));
	int r;

	if (!adopt)
		return -ENOMEM;
	adopt->options = *options;
	kernel_conns_init(&adopt->reader);
	adopt->fd = open(options->path, O_RDONLY | O_CLOEXEC);
	r = adopt->fd < 0 ? -errno : piece_read(adopt);
	if (r < 0) {
		if (adopt->fd >= 0)
			close(adopt->fd);
		free(adopt);
		return r;
	}
	uv_timer_init(adopt->options.loop, &adopt->timer);
	adopt->timer.data = adopt;
	*ret_adopt = adopt;
	return 0;
}

void io_adopt_cancel(struct io_adopt *adopt)
{
	adopt->cancelled = true;
	if (uv_is_active((uv_handle_t *)&adopt->timer))
		finish(adopt, -ECANCELED);
}
