#include "director/io_adopt.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

/* The kernel gives at most a page for a read: some fifty entries. */
#define PIECE 4096

struct io_adopt {
	struct io_adopt_options options;
	uv_fs_t read;
	int fd;
	bool cancelled;
	struct kernel_conns_reader reader;
	char piece[PIECE];
};

static int piece_read(struct io_adopt *adopt);

static void finish(struct io_adopt *adopt, int error)
{
	struct io_adopt_options options = adopt->options;

	close(adopt->fd);
	free(adopt);
	options.done(options.context, error);
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

static void piece_done(uv_fs_t *read)
{
	struct io_adopt *adopt = container_of(read, struct io_adopt, read);
	ssize_t len = read->result;
	int r = len < 0 ? (int)len : 0;

	uv_fs_req_cleanup(read);
	if (adopt->cancelled)
		r = -ECANCELED;
	if (r == 0 && len > 0) {
		piece_take(adopt, (size_t)len);
		r = piece_read(adopt);
		if (r == 0)
			return;
	}
	finish(adopt, r);
}

static int piece_read(struct io_adopt *adopt)
{
	uv_buf_t buf = uv_buf_init(adopt->piece, sizeof(adopt->piece));

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
	*ret_adopt = adopt;
	return 0;
}

void io_adopt_cancel(struct io_adopt *adopt)
{
	adopt->cancelled = true;
}
