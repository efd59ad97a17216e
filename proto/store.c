#include "proto/store.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static int join_path(const char *dir, const char *name, const char *suffix, char path[PATH_MAX],
		     struct fault *fault)
{
	int n = snprintf(path, PATH_MAX, "%s/%s%s", dir, name, suffix);

	if (n < 0 || n >= PATH_MAX)
		return fault_set(fault, -ENAMETOOLONG, "%s: the path is too long", name);
	return 0;
}

static int check_stat(int fd, const char *path, bool secret, size_t cap, struct fault *fault)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return fault_set(fault, -errno, "%s: %m", path);
	if (!S_ISREG(st.st_mode))
		return fault_set(fault, -EINVAL, "%s: not a regular file", path);
	if (secret && (st.st_mode & 077) != 0)
		return fault_set(
			fault, -EACCES,
			"%s: others may read or write this secret (mode %04o): chmod 600 %s", path,
			(unsigned int)(st.st_mode & 07777), path);
	if (st.st_size < 0 || (size_t)st.st_size > cap)
		return fault_set(fault, -EFBIG, "%s: larger than %zu bytes", path, cap);
	return 0;
}

/* Fills data, or stops at the end of the file. */
static ssize_t read_all(int fd, uint8_t *data, size_t cap)
{
	size_t used = 0;
	ssize_t n;

	while (used < cap) {
		n = read(fd, data + used, cap - used);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		used += (size_t)n;
	}
	return (ssize_t)used;
}

int store_read(const char *dir, const char *name, bool secret, void *data, size_t cap,
	       size_t *ret_len, struct fault *fault)
{
	char path[PATH_MAX];
	ssize_t n;
	int fd, r;

	r = join_path(dir, name, "", path, fault);
	if (r < 0)
		return r;
	/* A FIFO must not stop us. */
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return fault_set(fault, -errno, "%s: %m", path);
	r = check_stat(fd, path, secret, cap, fault);
	if (r == 0) {
		n = read_all(fd, data, cap);
		if (n < 0)
			r = fault_set(fault, (int)n, "%s: %s", path, strerror((int)-n));
		else
			*ret_len = (size_t)n;
	}
	close(fd);
	return r;
}

static int write_all(int fd, const uint8_t *data, size_t len)
{
	ssize_t n;

	while (len > 0) {
		n = write(fd, data, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		data += n;
		len -= (size_t)n;
	}
	return fsync(fd) < 0 ? -errno : 0;
}

static int write_new(const char *path, unsigned int mode, const void *data, size_t len)
{
	int fd, r;

	/* A crash may have left one. O_EXCL then makes sure that the file, and its mode, are
	 * ours. */
	if (unlink(path) < 0 && errno != ENOENT)
		return -errno;
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, (mode_t)mode);
	if (fd < 0)
		return -errno;
	r = write_all(fd, data, len);
	if (close(fd) < 0 && r == 0)
		r = -errno;
	return r;
}

static int sync_dir(const char *dir)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r;

	if (fd < 0)
		return -errno;
	r = fsync(fd) < 0 ? -errno : 0;
	close(fd);
	return r;
}

/* Gives the finished file its name. */
static int publish(const char *fresh, const char *path, bool exclusive)
{
	if (!exclusive)
		return rename(fresh, path) < 0 ? -errno : 0;
	/* Unlike rename(), link() never replaces. */
	if (link(fresh, path) < 0)
		return -errno;
	return unlink(fresh) < 0 ? -errno : 0;
}

int store_write(const char *dir, const char *name, bool exclusive, unsigned int mode,
		const void *data, size_t len, struct fault *fault)
{
	char path[PATH_MAX], fresh[PATH_MAX];
	int r;

	r = join_path(dir, name, "", path, fault);
	if (r == 0)
		r = join_path(dir, name, ".new", fresh, fault);
	if (r < 0)
		return r;
	if (mkdir(dir, 0700) < 0 && errno != EEXIST)
		return fault_set(fault, -errno, "%s: %m", dir);

	r = write_new(fresh, mode, data, len);
	if (r < 0) {
		fault_set(fault, r, "%s: %s", fresh, strerror(-r));
		unlink(fresh);
		return r;
	}
	r = publish(fresh, path, exclusive);
	if (r < 0) {
		unlink(fresh);
		if (r == -EEXIST)
			return fault_set(fault, r,
					 "%s: exists, and is not replaced: move it away first",
					 path);
		return fault_set(fault, r, "%s: %s", path, strerror(-r));
	}
	r = sync_dir(dir);
	return r < 0 ? fault_set(fault, r, "%s: %s", dir, strerror(-r)) : 0;
}
