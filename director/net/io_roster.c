#include "director/net/io_roster.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "director/io_log.h"
#include "proto/state_file.h"

#define ROSTER_MAX (8u << 20)

void io_roster_init(struct io_roster *roster, uv_loop_t *loop, const char *dir)
{
	*roster = (struct io_roster){.loop = loop};
	snprintf(roster->dir, sizeof(roster->dir), "%s", dir);
}

void io_roster_load(const struct io_roster *roster, uint8_t **ret_data, size_t *ret_len)
{
	struct fault fault;
	int r;

	*ret_data = NULL;
	r = state_file_load(roster->dir, IO_ROSTER_NAME, ROSTER_MAX, ret_data, ret_len, &fault);
	if (r > 0)
		io_log_error("%s; going on with those members in it whose signatures still hold",
			     fault.text);
	else if (r < 0 && r != -ENOENT)
		io_log_error("%s; going on without the members known before", fault.text);
}

static void write_work(uv_work_t *work)
{
	struct io_roster *roster = container_of(work, struct io_roster, work);

	roster->result = state_file_save(roster->dir, IO_ROSTER_NAME, 0600, roster->now.data,
					 roster->now.len, &roster->fault);
}

static void write_start(struct io_roster *roster);

static void written(uv_work_t *work, int status)
{
	struct io_roster *roster = container_of(work, struct io_roster, work);

	(void)status;
	free(roster->now.data);
	roster->busy = false;
	if (roster->result == 0)
		roster->failure.text[0] = '\0';
	else if (strcmp(roster->failure.text, roster->fault.text) != 0) {
		roster->failure = roster->fault;
		io_log_error("can't save the roster: %s", roster->fault.text);
	}
	if (roster->next.data)
		write_start(roster);
}

static void write_start(struct io_roster *roster)
{
	roster->now = roster->next;
	roster->next = (struct io_roster_text){0};
	roster->busy = true;
	uv_queue_work(roster->loop, &roster->work, write_work, written);
}

void io_roster_save(struct io_roster *roster, const struct node *node)
{
	size_t size = node_roster_size(node);
	uint8_t *data = malloc(size);

	if (!data) {
		fault_set(&roster->failure, -ENOMEM, "%s", strerror(ENOMEM));
		return;
	}
	free(roster->next.data);
	roster->next = (struct io_roster_text){data, node_roster(node, data, size)};
	if (!roster->busy)
		write_start(roster);
}

const char *io_roster_failure(const struct io_roster *roster)
{
	return roster->failure.text[0] ? roster->failure.text : NULL;
}
