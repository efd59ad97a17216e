#include "director/kernel/vs_sysctl.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "proto/state_file.h"

#define BOOT_ID "kernel/random/boot_id"
#define BOOT_ID_SIZE 64
#define SAVED_FILE_MAX 4096

struct saved {
	char name[VS_SYSCTL_NAME];
	char value[VS_SYSCTL_VALUE];
};

/* The file: the boot's identity, then a line "name value" each; proto/state_file.h. */
struct saved_file {
	char boot[BOOT_ID_SIZE];
	struct saved list[VS_SYSCTL_SAVED_MAX];
	size_t count;
};

/* The first line, with runs of white space as one space: the kernel prints tabs. */
static int read_value(const char *dir, const char *name, char *ret_value, size_t size)
{
	char path[PATH_MAX], text[256];
	size_t len = 0;
	ssize_t got;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return negative_errno();
	got = read(fd, text, sizeof(text));
	close(fd);
	if (got < 0)
		return -EIO;
	for (ssize_t i = 0; i < got && text[i] != '\n' && len < size - 1; i++) {
		char c = text[i] == '\t' ? ' ' : text[i];

		if (c != ' ' || (len > 0 && ret_value[len - 1] != ' '))
			ret_value[len++] = c;
	}
	ret_value[len] = '\0';
	return 0;
}

static void settings_dir(const struct vs_sysctl_paths *paths, char dir[PATH_MAX])
{
	snprintf(dir, PATH_MAX, "%s/%s", paths->root, paths->dir);
}

int vs_sysctl_read(const struct vs_sysctl_paths *paths, const char *name,
		   char ret_value[VS_SYSCTL_VALUE])
{
	char dir[PATH_MAX];

	settings_dir(paths, dir);
	return read_value(dir, name, ret_value, VS_SYSCTL_VALUE);
}

static int write_value(const char *dir, const char *name, const char *value)
{
	char path[PATH_MAX];
	ssize_t put;
	int fd, r;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	put = write(fd, value, strlen(value));
	r = put == (ssize_t)strlen(value) ? 0 : put < 0 ? -errno : -EIO;
	close(fd);
	return r;
}

static const char *saved_find(const struct saved_file *file, const char *name)
{
	for (size_t i = 0; i < file->count; i++)
		if (strcmp(file->list[i].name, name) == 0)
			return file->list[i].value;
	return NULL;
}

static void saved_add(struct saved_file *file, const char *name, const char *value)
{
	struct saved *saved = &file->list[file->count];

	if (file->count == VS_SYSCTL_SAVED_MAX)
		return;
	if ((size_t)snprintf(saved->name, VS_SYSCTL_NAME, "%s", name) < VS_SYSCTL_NAME &&
	    (size_t)snprintf(saved->value, VS_SYSCTL_VALUE, "%s", value) < VS_SYSCTL_VALUE)
		file->count++;
}

/* The file's directory and name. */
static int save_split(const char *path, char dir[PATH_MAX], const char **ret_name)
{
	const char *slash = strrchr(path, '/');

	if (!slash || slash == path || (size_t)(slash - path) >= PATH_MAX)
		return -EINVAL;
	memcpy(dir, path, (size_t)(slash - path));
	dir[slash - path] = '\0';
	*ret_name = slash + 1;
	return 0;
}

static int saved_parse(char *text, struct saved_file *file)
{
	char *line = text, *end, *space;

	if (strncmp(line, file->boot, strlen(file->boot)) != 0 || line[strlen(file->boot)] != '\n')
		return 0;
	for (line += strlen(file->boot) + 1; *line; line = end + 1) {
		end = strchr(line, '\n');
		space = strchr(line, ' ');
		if (!end || !space || space > end)
			return VS_SYSCTL_E_DAMAGED;
		*end = *space = '\0';
		saved_add(file, line, space + 1);
	}
	return 0;
}

/* Leaves the file empty if there is none, one of another boot (the values went with it), or a
 * damaged one. 0, VS_SYSCTL_E_DAMAGED or a negative errno. */
static int saved_load(const struct vs_sysctl_paths *paths, struct saved_file *ret_file)
{
	char dir[PATH_MAX];
	struct fault fault;
	uint8_t *text = NULL;
	const char *name;
	size_t len;
	int r;

	ret_file->count = 0;
	r = read_value(paths->root, BOOT_ID, ret_file->boot, sizeof(ret_file->boot));
	if (r == 0)
		r = save_split(paths->save, dir, &name);
	if (r < 0)
		return r;
	r = state_file_load(dir, name, SAVED_FILE_MAX, &text, &len, &fault);
	if (r == 0)
		r = saved_parse((char *)text, ret_file);
	else if (r > 0 || r == -EFBIG)
		r = VS_SYSCTL_E_DAMAGED;
	free(text);
	if (r > 0)
		ret_file->count = 0;
	return r == -ENOENT ? 0 : r;
}

static int saved_store(const struct vs_sysctl_paths *paths, const struct saved_file *file)
{
	char text[SAVED_FILE_MAX], dir[PATH_MAX];
	struct fault fault;
	const char *name;
	size_t len;
	int r = save_split(paths->save, dir, &name);

	if (r < 0)
		return r;
	len = (size_t)snprintf(text, sizeof(text), "%s\n", file->boot);
	for (size_t i = 0; i < file->count; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s %s\n",
					file->list[i].name, file->list[i].value);
	return state_file_save(dir, name, 0644, text, len, &fault);
}

int vs_sysctl_set(const struct vs_sysctl_paths *paths, const struct vs_sysctl *settings, size_t n,
		  const char **ret_failed)
{
	char dir[PATH_MAX], value[VS_SYSCTL_VALUE];
	struct saved_file file;
	int loaded, r;

	settings_dir(paths, dir);
	*ret_failed = NULL;
	loaded = saved_load(paths, &file);
	if (loaded < 0)
		return loaded;
	for (size_t i = 0; i < n; i++) {
		*ret_failed = settings[i].name;
		r = read_value(dir, settings[i].name, value, sizeof(value));
		if (r < 0)
			return r;
		if (!saved_find(&file, settings[i].name) && strcmp(value, settings[i].value) != 0)
			saved_add(&file, settings[i].name, value);
	}
	*ret_failed = NULL;
	r = saved_store(paths, &file);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++) {
		*ret_failed = settings[i].name;
		r = write_value(dir, settings[i].name, settings[i].value);
		if (r < 0 && !settings[i].optional)
			return r;
	}
	return loaded;
}

void vs_sysctl_keep(const struct vs_sysctl_paths *paths, const struct vs_sysctl *settings, size_t n,
		    void (*changed)(void *ctx, const struct vs_sysctl *setting, const char *was,
				    int r),
		    void *ctx)
{
	char dir[PATH_MAX], value[VS_SYSCTL_VALUE];

	settings_dir(paths, dir);
	for (size_t i = 0; i < n; i++) {
		if (settings[i].optional ||
		    read_value(dir, settings[i].name, value, sizeof(value)) < 0 ||
		    strcmp(value, settings[i].value) == 0)
			continue;
		changed(ctx, &settings[i], value,
			write_value(dir, settings[i].name, settings[i].value));
	}
}

size_t vs_sysctl_saved(const struct vs_sysctl_paths *paths,
		       char ret_names[VS_SYSCTL_SAVED_MAX][VS_SYSCTL_NAME])
{
	struct saved_file file;

	if (saved_load(paths, &file) < 0)
		return 0;
	for (size_t i = 0; i < file.count; i++)
		memcpy(ret_names[i], file.list[i].name, VS_SYSCTL_NAME);
	return file.count;
}

int vs_sysctl_restore(const struct vs_sysctl_paths *paths, const struct vs_sysctl *settings,
		      size_t n)
{
	char dir[PATH_MAX], value[VS_SYSCTL_VALUE];
	struct saved_file file;
	int r = MIN(saved_load(paths, &file), 0), first = r;

	settings_dir(paths, dir);
	for (size_t i = 0; r == 0 && i < n; i++) {
		const char *former = saved_find(&file, settings[i].name);

		if (!former)
			continue;
		r = read_value(dir, settings[i].name, value, sizeof(value));
		if (r == 0 && strcmp(value, settings[i].value) == 0)
			r = write_value(dir, settings[i].name, former);
		if (first == 0)
			first = r;
		r = 0;
	}
	if (unlink(paths->save) < 0 && errno != ENOENT && first == 0)
		first = -errno;
	return first;
}
