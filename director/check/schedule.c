#include "director/check/schedule.h"

#include <stdlib.h>

int schedule_reserve(struct schedule *schedule, size_t numbers)
{
	size_t room = MAX(schedule->room, 16);
	struct schedule_item *heap;
	uint32_t *places;

	if (numbers <= schedule->room)
		return 0;
	while (room < numbers)
		room *= 2;
	heap = reallocarray(schedule->heap, room, sizeof(*heap));
	if (!heap)
		return -ENOMEM;
	schedule->heap = heap;
	places = reallocarray(schedule->places, room, sizeof(*places));
	if (!places)
		return -ENOMEM;
	memset(places + schedule->room, 0, (room - schedule->room) * sizeof(*places));
	schedule->places = places;
	schedule->room = room;
	return 0;
}

void schedule_fini(struct schedule *schedule)
{
	free(schedule->heap);
	free(schedule->places);
	*schedule = (struct schedule){0};
}

static void put(struct schedule *schedule, uint32_t place, struct schedule_item item)
{
	schedule->heap[place] = item;
	schedule->places[item.number] = place + 1;
}

static void sift_up(struct schedule *schedule, uint32_t place)
{
	struct schedule_item item = schedule->heap[place];

	while (place > 0 && schedule->heap[(place - 1) / 2].due > item.due) {
		put(schedule, place, schedule->heap[(place - 1) / 2]);
		place = (place - 1) / 2;
	}
	put(schedule, place, item);
}

static void sift_down(struct schedule *schedule, uint32_t place)
{
	struct schedule_item item = schedule->heap[place];

	for (uint32_t child; (child = 2 * place + 1) < schedule->count; place = child) {
		if (child + 1 < schedule->count &&
		    schedule->heap[child + 1].due < schedule->heap[child].due)
			child++;
		if (schedule->heap[child].due >= item.due)
			break;
		put(schedule, place, schedule->heap[child]);
	}
	put(schedule, place, item);
}

static void take_out(struct schedule *schedule, uint32_t place)
{
	struct schedule_item last = schedule->heap[--schedule->count];

	schedule->places[schedule->heap[place].number] = 0;
	if (place == schedule->count)
		return;
	put(schedule, place, last);
	sift_up(schedule, place);
	sift_down(schedule, schedule->places[last.number] - 1);
}

void schedule_set(struct schedule *schedule, uint32_t number, usec_t due)
{
	uint32_t place;

	assert(number < schedule->room);
	place = schedule->places[number];
	if (due == USEC_NEVER) {
		if (place)
			take_out(schedule, place - 1);
		return;
	}
	if (!place) {
		put(schedule, schedule->count++, (struct schedule_item){due, number});
		sift_up(schedule, schedule->count - 1);
		return;
	}
	schedule->heap[place - 1].due = due;
	sift_up(schedule, place - 1);
	sift_down(schedule, schedule->places[number] - 1);
}

usec_t schedule_first(const struct schedule *schedule)
{
	return schedule->count ? schedule->heap[0].due : USEC_NEVER;
}

bool schedule_take(struct schedule *schedule, usec_t now, uint32_t *ret_number)
{
	if (schedule_first(schedule) > now || !schedule->count)
		return false;
	*ret_number = schedule->heap[0].number;
	take_out(schedule, 0);
	return true;
}

usec_t schedule_interval(const struct check *check, bool fast, struct chance *chance)
{
	usec_t interval = fast ? MIN(check->fast_interval, check->interval) : check->interval;
	usec_t range = interval * MIN(check->jitter, 100) / 100;

	return interval - chance_below(chance, range + 1);
}

usec_t schedule_first_check(const struct check *check, struct chance *chance)
{
	return chance_below(chance, MIN(check->fast_interval, check->interval) + 1);
}

usec_t schedule_spread(const struct check *check, struct chance *chance)
{
	return 1 + chance_below(chance, check->interval);
}

usec_t schedule_bound(const struct check *check)
{
	return check->fall * check->interval + check->timeout + USEC_PER_SEC;
}
