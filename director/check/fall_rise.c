#include "director/check/fall_rise.h"

static enum health_verdict verdict_of(enum check_state result)
{
	switch (result) {
	case CHECK_UP:
	case CHECK_DRAIN:
		return HEALTH_UP;
	case CHECK_DOWN:
	case CHECK_MAINT:
		return HEALTH_DOWN;
	case CHECK_UNCHANGED:
	case CHECK_STATES:
		break;
	}
	return HEALTH_UNKNOWN;
}

static bool decide(struct fall_rise *state, enum health_verdict verdict)
{
	bool changed = state->state != verdict;

	*state = (struct fall_rise){verdict, 0};
	return changed;
}

bool fall_rise_result(struct fall_rise *state, enum check_state result, enum health_verdict known,
		      const struct check *check)
{
	enum health_verdict verdict = verdict_of(result);
	enum health_verdict present = state->state ? state->state : known;

	if (verdict == HEALTH_UNKNOWN)
		return false;
	if (present == HEALTH_UNKNOWN || verdict == present)
		return decide(state, verdict);
	state->against++;
	if (state->against < (verdict == HEALTH_DOWN ? check->fall : check->rise))
		return false;
	return decide(state, verdict);
}

bool fall_rise_undecided(const struct fall_rise *state)
{
	return state->state == HEALTH_UNKNOWN || state->against > 0;
}
