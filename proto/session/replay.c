#include "proto/session/replay.h"

#define WORDS (REPLAY_WINDOW / 64)

const char *replay_error_name(int error)
{
	static const char *const names[REPLAY_E_MAX] = {
		[REPLAY_E_STALE] = "stale",
		[REPLAY_E_REPEATED] = "replayed",
	};

	return error > 0 && error < REPLAY_E_MAX ? names[error] : "unknown";
}

/* The bits are a ring of words, cleared as the highest sequence moves into them: by whole words, so
 * the window reaches back between REPLAY_WINDOW - 63 and REPLAY_WINDOW. */
static uint64_t *word_of(struct replay_window *window, uint64_t sequence)
{
	return &window->taken[sequence / 64 % WORDS];
}

int replay_window_check(const struct replay_window *window, uint64_t epoch, uint64_t sequence)
{
	if (!window->used || epoch > window->epoch)
		return 0;
	if (epoch < window->epoch)
		return REPLAY_E_STALE;
	if (sequence > window->highest)
		return 0;
	if (window->highest / 64 - sequence / 64 >= WORDS)
		return REPLAY_E_STALE;
	if (window->taken[sequence / 64 % WORDS] >> sequence % 64 & 1)
		return REPLAY_E_REPEATED;
	return 0;
}

void replay_window_commit(struct replay_window *window, uint64_t epoch, uint64_t sequence)
{
	uint64_t ahead;

	if (!window->used || epoch > window->epoch) {
		memset(window, 0, sizeof(*window));
		window->used = true;
		window->epoch = epoch;
		window->highest = sequence;
	}
	if (sequence > window->highest) {
		ahead = MIN(sequence / 64 - window->highest / 64, (uint64_t)WORDS);
		for (uint64_t i = 0; i < ahead; i++)
			*word_of(window, sequence - i * 64) = 0;
		window->highest = sequence;
	}
	*word_of(window, sequence) |= (uint64_t)1 << sequence % 64;
}

void replay_window_close(struct replay_window *window)
{
	memset(window->taken, 0xff, sizeof(window->taken));
	/* Higher sequences may come in any order. */
	*word_of(window, window->highest) >>= 63 - window->highest % 64;
}
