#include "director/io_state.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "director/io_log.h"

void io_state_init(struct io_state *state, uv_loop_t *loop, const char *dir, const char *name)
{
	*state = (struct io_state){.loop = loop, .name = name};
	snprintf(state->dir, sizeof(state->dir), "%s", dir);
}

static void write_work(uv_work_t *work)
{
	struct io_state *state = container_of(work, struct io_state, work);

	state->result = state_file_save(state->dir, state->name, 0600, state->now.data,
					state->now.len, &state->fault);
}

static void write_start(struct io_state *state);

static void written(uv_work_t *work, int status)
{
	struct io_state *state = container_of(work, struct io_state, work);

	(void)status;
	free(state->now.data);
	state->busy = false;
	if (state->result == 0)
		state->failure.text[0] = '\0';
	else if (strcmp(state->failure.text, state->fault.text) != 0) {
		state->failure = state->fault;
		io_log_error("can't save the state: %s", state->fault.text);
	}
	if (state->next.data)
		write_start(state);
}

static void write_start(struct io_state *state)
{
	state->now = state->next;
	state->next = (struct io_state_text){0};
	state->busy = true;
	uv_queue_work(state->loop, &state->work, write_work, written);
}

void io_state_save(struct io_state *state, uint8_t *data, size_t len)
{
	if (!data) {
		fault_set(&state->failure, -ENOMEM, "%s", strerror(ENOMEM));
		return;
	}
	free(state->next.data);
	state->next = (struct io_state_text){data, len};
	if (!state->busy)
		write_start(state);
}

const char *io_state_failure(const struct io_state *state)
{
	return state->failure.text[0] ? state->failure.text : NULL;
}
