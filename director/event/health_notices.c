#include "director/event/health_notices.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "director/event/health_text.h"
#include "director/key_index.h"
#include "director/service/digest.h"

enum item_state {
	ITEM_WAITS,
	ITEM_SINGLE, /* an incident of its own */
	ITEM_GROUP,  /* one of a group */
};

/* An incident that has begun, and not ended. */
struct item {
	uint8_t key[KEY_SIZE];
	enum health_notice_type type;
	enum item_state state;
	unsigned int group;
	char subject[EVENT_SUBJECT_MAX];
};

/* Incidents that are one event. */
struct group {
	enum health_notice_type type;
	unsigned int total, left; /* total 0: unused */
	usec_t due;               /* mono: some have ended; USEC_NEVER: none since then */
	char subject[EVENT_SUBJECT_MAX];
};

/* Those of one type that wait for others. */
struct waiting {
	unsigned int count;
	usec_t due; /* mono */
	struct event first[HEALTH_NOTICES_SINGLE];
	unsigned int n_first;
};

struct health_notices {
	struct item *items;
	size_t count, room;
	struct key_index index; /* of items */
	struct group groups[HEALTH_NOTICES_GROUPS];
	struct waiting waiting[HEALTH_NOTICES];
};

int health_notices_new(struct health_notices **ret_notices)
{
	*ret_notices = calloc(1, sizeof(**ret_notices));
	return *ret_notices ? 0 : -ENOMEM;
}

void health_notices_free(struct health_notices *notices)
{
	if (!notices)
		return;
	key_index_fini(&notices->index);
	free(notices->items);
	free(notices);
}

/* Targets have numbers that last as long as they do, services do not. */
static void key_make(const struct health_notice *notice, uint8_t key[KEY_SIZE])
{
	bool service = notice->type == HEALTH_NOTICE_SERVICE || notice->type == HEALTH_NOTICE_PANIC;
	struct digest digest;

	digest_begin(&digest, KEY_SIZE);
	digest_number(&digest, notice->type);
	if (service) {
		digest_endpoint(&digest, &notice->service_key.vip);
		digest_number(&digest, notice->service_key.protocol);
		digest_number(&digest, notice->service_key.fwmark);
	} else {
		digest_number(&digest, notice->target);
	}
	digest_end(&digest, key, KEY_SIZE);
}

static struct item *item_find(struct health_notices *notices, const uint8_t *key)
{
	uint32_t i = notices->items ? key_index_find(&notices->index, notices->items,
						     sizeof(struct item), key)
				    : KEY_INDEX_NONE;

	return i == KEY_INDEX_NONE ? NULL : &notices->items[i];
}

/* NULL: no memory. */
static struct item *item_add(struct health_notices *notices, const uint8_t *key)
{
	struct item *item;

	if (notices->count == notices->room) {
		size_t room = notices->room ? 2 * notices->room : 16;
		struct item *items = reallocarray(notices->items, room, sizeof(*items));

		if (!items)
			return NULL;
		notices->items = items;
		notices->room = room;
	}
	if (key_index_reserve(&notices->index, notices->count + 1, notices->items,
			      sizeof(*notices->items)) < 0)
		return NULL;
	item = &notices->items[notices->count];
	memset(item, 0, sizeof(*item));
	memcpy(item->key, key, KEY_SIZE);
	key_index_add(&notices->index, key, (uint32_t)notices->count++);
	return item;
}

/* The last item takes its place. */
static void item_remove(struct health_notices *notices, struct item *item)
{
	uint32_t number = (uint32_t)(item - notices->items);
	uint32_t last = (uint32_t)notices->count - 1;

	key_index_remove(&notices->index, notices->items, sizeof(*item), number);
	if (number != last) {
		key_index_remove(&notices->index, notices->items, sizeof(*item), last);
		*item = notices->items[last];
		key_index_add(&notices->index, item->key, number);
	}
	notices->count--;
}

static void begin(struct health_notices *notices, const struct health_notice *notice,
		  const struct health_notices_context *context, const uint8_t *key, struct now now)
{
	struct waiting *waiting = &notices->waiting[notice->type];
	struct item *item = item_add(notices, key);

	if (!item)
		return;
	item->type = notice->type;
	health_text_subject(notice, context, item->subject);
	if (waiting->count++ == 0) {
		waiting->n_first = 0;
		waiting->due = now.mono + HEALTH_NOTICES_HOLD;
	}
	if (waiting->n_first < HEALTH_NOTICES_SINGLE)
		health_text_event(notice, item->subject, context,
				  &waiting->first[waiting->n_first++]);
}

static void end(struct health_notices *notices, const struct health_notice *notice,
		const struct health_notices_context *context, struct item *item,
		struct event_log *log, struct now now)
{
	struct event event;

	if (item->state == ITEM_WAITS) {
		notices->waiting[item->type].count--;
	} else if (item->state == ITEM_GROUP) {
		notices->groups[item->group].left--;
		notices->groups[item->group].due = now.mono + HEALTH_NOTICES_HOLD;
	} else {
		health_text_event(notice, item->subject, context, &event);
		event_log_raise(log, &event, now);
	}
	item_remove(notices, item);
}

void health_notices_take(struct health_notices *notices, const struct health_notice *notice,
			 const struct health_notices_context *context, struct event_log *log,
			 struct now now)
{
	uint8_t key[KEY_SIZE];
	struct item *item;

	key_make(notice, key);
	item = item_find(notices, key);
	if (notice->active && !item)
		begin(notices, notice, context, key, now);
	else if (!notice->active && item)
		end(notices, notice, context, item, log, now);
}

/* A free one, or the last one of that type; without either the last one of all. */
static struct group *group_get(struct health_notices *notices, enum health_notice_type type)
{
	struct group *same = NULL;

	for (unsigned int i = 0; i < HEALTH_NOTICES_GROUPS; i++) {
		if (notices->groups[i].total == 0)
			return &notices->groups[i];
		if (notices->groups[i].type == type)
			same = &notices->groups[i];
	}
	return same;
}

/* The event that an item had while it waited; NULL: it had none. */
static const struct event *waiting_event(const struct waiting *waiting, const char *subject)
{
	for (unsigned int i = 0; i < waiting->n_first; i++)
		if (strcmp(waiting->first[i].subject, subject) == 0)
			return &waiting->first[i];
	return NULL;
}

static void raise_singles(struct health_notices *notices, enum health_notice_type type,
			  struct event_log *log, struct now now)
{
	const struct waiting *waiting = &notices->waiting[type];

	for (size_t i = 0; i < notices->count; i++) {
		struct item *item = &notices->items[i];
		const struct event *known;
		struct event event;

		if (item->type != type || item->state != ITEM_WAITS)
			continue;
		known = waiting_event(waiting, item->subject);
		if (!known)
			health_text_left(type, item->subject, waiting->count, &event);
		event_log_raise(log, known ? known : &event, now);
		item->state = ITEM_SINGLE;
	}
}

/* Moves all that wait into the group, and names the first ones. */
static void group_fill(struct health_notices *notices, struct group *group, char *names,
		       size_t size)
{
	size_t used = 0;
	unsigned int named = 0;

	names[0] = '\0';
	for (size_t i = 0; i < notices->count; i++) {
		struct item *item = &notices->items[i];

		if (item->type != group->type || item->state != ITEM_WAITS)
			continue;
		if (named < HEALTH_NOTICES_SINGLE && used < size) {
			used += (size_t)snprintf(names + used, size - used, "%s%s",
						 named ? ", " : "", item->subject);
			named++;
		}
		item->state = ITEM_GROUP;
		item->group = (unsigned int)(group - notices->groups);
		group->total++;
		group->left++;
	}
	if (group->total > named && used < size)
		snprintf(names + used, size - used, " and %u more", group->total - named);
}

static void raise_group(struct health_notices *notices, enum health_notice_type type,
			struct event_log *log, struct now now)
{
	const struct waiting *waiting = &notices->waiting[type];
	struct group *group = group_get(notices, type);
	char names[EVENT_MESSAGE_MAX];
	struct event event;

	if (!group) { /* every group is of another type */
		raise_singles(notices, type, log, now);
		return;
	}
	if (group->total == 0) {
		*group = (struct group){.type = type, .due = USEC_NEVER};
		snprintf(group->subject, sizeof(group->subject), "%.40s and %u more",
			 waiting->first[0].subject, waiting->count - 1);
	}
	group_fill(notices, group, names, sizeof(names));
	health_text_group(type, group->subject, group->total, group->total, names,
			  &waiting->first[0], &event);
	event_log_raise(log, &event, now);
}

/* Those that are left become incidents of their own. */
static void group_dissolve(struct health_notices *notices, struct group *group,
			   struct event_log *log, struct now now)
{
	unsigned int number = (unsigned int)(group - notices->groups);
	struct event event;

	for (size_t i = 0; group->left > 0 && i < notices->count; i++) {
		struct item *item = &notices->items[i];

		if (item->state != ITEM_GROUP || item->group != number)
			continue;
		item->state = ITEM_SINGLE;
		health_text_left(item->type, item->subject, group->total, &event);
		event_log_raise(log, &event, now);
	}
}

static void group_tick(struct health_notices *notices, struct group *group, struct event_log *log,
		       struct now now)
{
	struct event event;

	group->due = USEC_NEVER;
	if (group->left > HEALTH_NOTICES_SINGLE)
		return;
	health_text_group(group->type, group->subject, group->total, group->left, "", NULL, &event);
	event_log_raise(log, &event, now);
	group_dissolve(notices, group, log, now);
	group->total = group->left = 0;
}

usec_t health_notices_tick(struct health_notices *notices, struct event_log *log, struct now now)
{
	usec_t next = USEC_NEVER;

	for (unsigned int i = 0; i < HEALTH_NOTICES; i++) {
		struct waiting *waiting = &notices->waiting[i];

		if (waiting->count > 0 && now.mono >= waiting->due) {
			if (waiting->count > HEALTH_NOTICES_SINGLE)
				raise_group(notices, (enum health_notice_type)i, log, now);
			else
				raise_singles(notices, (enum health_notice_type)i, log, now);
			waiting->count = waiting->n_first = 0;
		}
		if (waiting->count > 0)
			next = MIN(next, waiting->due);
	}
	for (unsigned int i = 0; i < HEALTH_NOTICES_GROUPS; i++) {
		struct group *group = &notices->groups[i];

		if (group->total > 0 && now.mono >= group->due)
			group_tick(notices, group, log, now);
		if (group->total > 0)
			next = MIN(next, group->due);
	}
	return next;
}
