#include "director/vs_sysctl.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#define SETTINGS "net/ipv4/vs"
#define BOOT_ID "kernel/random/boot_id"
#define BOOT_ID_SIZE 64
/* Far more than we set. */
#define SAVED_MAX 32
#define NAME_SIZE 40

struct saved {
	char name[NAME_SIZE];
	char value[VS_SYSCTL_VALUE];
};

/* The file: the boot's identity, then a line "name value" each. */
struct saved_file {
	char boot[BOOT_ID_SIZE];
	struct saved list[SAVED_MAX];
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
		return -errno;
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

	if (file->count == SAVED_MAX)
		return;
	if ((size_t)snprintf(saved->name, NAME_SIZE, "%s", name) < NAME_SIZE &&
	    (size_t)snprintf(saved->value, VS_SYSCTL_VALUE, "%s", value) < VS_SYSCTL_VALUE)
		file->count++;
}

/* Leaves the file empty where there is none, or one of another boot: the values went with it. */
static int saved_load(const struct vs_sysctl_paths *paths, struct saved_file *ret_file)
{
	char line[NAME_SIZE + VS_SYSCTL_VALUE + 2];
	FILE *in;
	int r;

	ret_file->count = 0;
	r = read_value(paths->root, BOOT_ID, ret_file->boot, sizeof(ret_file->boot));
	if (r < 0)
		return r;
	in = fopen(paths->save, "re");
	if (!in)
		return errno == ENOENT ? 0 : -errno;
	if (fgets(line, sizeof(line), in) &&
	    strncmp(line, ret_file->boot, strlen(ret_file->boot)) == 0)
		while (fgets(line, sizeof(line), in)) {
			char *space = strchr(line, ' ');

			line[strcspn(line, "\n")] = '\0';
			if (!space)
				continue;
			*space = '\0';
			saved_add(ret_file, line, space + 1);
		}
	fclose(in);
	return 0;
}

static int saved_store(const struct vs_sysctl_paths *paths, const struct saved_file *file)
{
	char path[PATH_MAX];
	FILE *out;
	int r = 0;

	if (snprintf(path, sizeof(path), "%s.new", paths->save) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	out = fopen(path, "we");
	if (!out)
		return -errno;
	fprintf(out, "%s\n", file->boot);
	for (size_t i = 0; i < file->count; i++)
		fprintf(out, "%s %s\n", file->list[i].name, file->list[i].value);
	if (fflush(out) != 0 || fsync(fileno(out)) < 0)
		r = -errno;
	if (fclose(out) != 0 && r == 0)
		r = -errno;
	if (r == 0 && rename(path, paths->save) < 0)
		r = -errno;
	return r;
}

int vs_sysctl_set(const struct vs_sysctl_paths *paths, const struct vs_sysctl *settings, size_t n,
		  const char **ret_failed)
{
	char dir[PATH_MAX], value[VS_SYSCTL_VALUE];
	struct saved_file file;
	int r;

	snprintf(dir, sizeof(dir), "%s/" SETTINGS, paths->root);
	*ret_failed = NULL;
	r = saved_load(paths, &file);
	if (r < 0)
		return r;
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
		if (r < 0)
			return r;
	}
	return 0;
}

int vs_sysctl_restore(const struct vs_sysctl_paths *paths, const struct vs_sysctl *settings,
		      size_t n)
{
	char dir[PATH_MAX], value[VS_SYSCTL_VALUE];
	struct saved_file file;
	int r = saved_load(paths, &file), first = r;

	snprintf(dir, sizeof(dir), "%s/" SETTINGS, paths->root);
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
