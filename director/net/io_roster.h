/* The roster on disk, which membership needs after a restart. Written by a thread of libuv's, one
 * at a time: a disk that is slow must not make the director late for its peers. */
#ifndef DIRECTOR_NET_IO_ROSTER_H
#define DIRECTOR_NET_IO_ROSTER_H

#include <uv.h>

#include "director/config/config.h"
#include "director/node/node.h"
#include "proto/fault.h"

#define IO_ROSTER_NAME "roster"

struct io_roster {
	uv_loop_t *loop;
	char dir[CONFIG_PATH_MAX + 1];
	uv_work_t work;
	bool busy;
	struct io_roster_text {
		uint8_t *data;
		size_t len;
	} now, next; /* being written; to be written after it */
	int result;
	struct fault fault;   /* the thread's, while busy */
	struct fault failure; /* of the last write; empty: it is saved */
};

void io_roster_init(struct io_roster *roster, uv_loop_t *loop, const char *dir);

/* Reads it; *ret_data is to be freed, NULL when there is none. One that can't be read is logged,
 * and as none: the members are found again through the join list. A damaged one is logged and given
 * all the same: each record in it is signed. */
void io_roster_load(const struct io_roster *roster, uint8_t **ret_data, size_t *ret_len);

/* Writes the node's; the loop runs until it is on the disk. A failure is logged once; the caller
 * tries again. */
void io_roster_save(struct io_roster *roster, const struct node *node);
/* Why the last write failed, borrowed; NULL: it did not. */
const char *io_roster_failure(const struct io_roster *roster);

#endif
