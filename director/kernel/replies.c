#include "director/kernel/replies.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#define DIRECTORY "net/ipv4/conf"
#define SAVE_NAME "conf-sysctl.saved"

static struct vs_sysctl_paths paths_of(const char *root, const char *state, char save[PATH_MAX])
{
	snprintf(save, PATH_MAX, "%s/" SAVE_NAME, state);
	return (struct vs_sysctl_paths){.root = root, .dir = DIRECTORY, .save = save};
}

static bool has(const struct replies_interfaces *interfaces, const char *name)
{
	for (size_t i = 0; i < interfaces->count; i++)
		if (strcmp(interfaces->names[i], name) == 0)
			return true;
	return false;
}

static bool same(const struct replies_interfaces *a, const struct replies_interfaces *b)
{
	bool result = a->count == b->count;

	for (size_t i = 0; result && i < a->count; i++)
		result = has(b, a->names[i]);
	return result;
}

static void add(struct replies *replies, const char *interface, const char *name, const char *value)
{
	struct vs_sysctl *setting = &replies->settings[replies->count];
	char *text = replies->names[replies->count++];

	snprintf(text, REPLIES_NAME, "%s/%s", interface, name);
	*setting = (struct vs_sysctl){.name = text};
	snprintf(setting->value, sizeof(setting->value), "%s", value);
}

/* The kernel takes the larger one of both. */
static bool filters(const struct vs_sysctl_paths *paths, const char *interface)
{
	char name[REPLIES_NAME], value[VS_SYSCTL_VALUE];

	snprintf(name, sizeof(name), "%s/rp_filter", interface);
	if (vs_sysctl_read(paths, name, value) == 0 && atoi(value) > 0)
		return true;
	return vs_sysctl_read(paths, "all/rp_filter", value) == 0 && atoi(value) > 0;
}

static void make(struct replies *replies, const struct vs_sysctl_paths *paths,
		 const struct replies_interfaces *interfaces)
{
	replies->interfaces = *interfaces;
	replies->count = 0;
	for (size_t i = 0; i < interfaces->count; i++) {
		add(replies, interfaces->names[i], "accept_local", "1");
		if (filters(paths, interfaces->names[i]))
			add(replies, interfaces->names[i], "rp_filter", "2");
	}
}

/* Puts back what a former process has set, and could not put back itself. */
static void recover(struct replies *replies, const struct vs_sysctl_paths *paths, const char *root,
		    const char *state)
{
	char names[VS_SYSCTL_SAVED_MAX][VS_SYSCTL_NAME];
	size_t count = vs_sysctl_saved(paths, names);

	replies->recovered = true;
	for (size_t i = 0; i < MIN(count, ARRAY_SIZE(replies->settings)); i++) {
		char *slash = strchr(names[i], '/');

		if (!slash)
			continue;
		*slash = '\0';
		add(replies, names[i], slash + 1, strcmp(slash + 1, "rp_filter") == 0 ? "2" : "1");
	}
	replies_restore(replies, root, state);
}

static void changed(void *context, const struct vs_sysctl *setting, const char *was, int r)
{
	struct replies_changes *changes = context;
	struct replies_change *change = &changes->changes[changes->count];

	if (changes->count == REPLIES_CHANGES_MAX)
		return;
	changes->count++;
	change->r = r;
	snprintf(change->what, sizeof(change->what), "net.ipv4.conf.%s", setting->name);
	for (char *c = change->what; *c; c++)
		if (*c == '/')
			*c = '.';
	snprintf(change->was, sizeof(change->was), "was set to %s", was);
}

int replies_set(struct replies *replies, const char *root, const char *state,
		const struct replies_interfaces *interfaces, struct replies_changes *ret_changes)
{
	char save[PATH_MAX];
	const struct vs_sysctl_paths paths = paths_of(root, state, save);
	const char *failed;
	int r;

	ret_changes->count = 0;
	if (!replies->recovered)
		recover(replies, &paths, root, state);
	if (same(&replies->interfaces, interfaces)) {
		vs_sysctl_keep(&paths, replies->settings, replies->count, changed, ret_changes);
		return 0;
	}
	replies_restore(replies, root, state);
	make(replies, &paths, interfaces);
	r = vs_sysctl_set(&paths, replies->settings, replies->count, &failed);
	/* A damaged file has been written anew. */
	return MIN(r, 0);
}

int replies_restore(struct replies *replies, const char *root, const char *state)
{
	char save[PATH_MAX];
	const struct vs_sysctl_paths paths = paths_of(root, state, save);
	int r = 0;

	if (replies->count)
		r = vs_sysctl_restore(&paths, replies->settings, replies->count);
	*replies = (struct replies){.recovered = replies->recovered};
	return r;
}
