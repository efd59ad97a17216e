/* A file of the state directory, written by a thread of libuv's, one write at a time: a disk that
 * is slow must not make the director late for its peers. */
#ifndef DIRECTOR_IO_STATE_H
#define DIRECTOR_IO_STATE_H

#include <uv.h>

#include "proto/state_file.h"

#define IO_STATE_PATH_MAX 4095

struct io_state {
	uv_loop_t *loop;
	char dir[IO_STATE_PATH_MAX + 1];
	const char *name; /* borrowed */
	uv_work_t work;
	bool busy;
	struct io_state_text {
		uint8_t *data;
		size_t len;
	} now, next; /* being written; to be written after it */
	int result;
	struct fault fault;   /* the thread's, while busy */
	struct fault failure; /* of the last write; empty: it is saved */
};

void io_state_init(struct io_state *state, uv_loop_t *loop, const char *dir, const char *name);

/* Writes data, which becomes the state's, to be freed by it; NULL: there was no memory for it. The
 * loop runs until it is on the disk. A failure is logged once; the caller tries again. */
void io_state_save(struct io_state *state, uint8_t *data, size_t len);
/* Why the last write failed, borrowed; NULL: it did not. */
const char *io_state_failure(const struct io_state *state);

#endif
