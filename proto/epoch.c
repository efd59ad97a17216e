#include "proto/epoch.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/state_file.h"

#define NAME "epoch"
#define RETURNED "returned" /* empty: its time is what it says */
#define NUMBER_MAX 24       /* twenty digits, a line end, NUL */
#define TEXT_MAX (NUMBER_MAX + STATE_FILE_SUM)

int epoch_parse(const char *text, size_t len, uint64_t *ret_epoch)
{
	uint64_t epoch = 0;

	/* The line end tells a whole number from a part of it. */
	if (len < 2 || text[len - 1] != '\n' || text[0] == '0')
		return -EBADMSG;
	for (size_t i = 0; i < len - 1; i++) {
		if (text[i] < '0' || text[i] > '9' ||
		    __builtin_mul_overflow(epoch, (uint64_t)10, &epoch) ||
		    __builtin_add_overflow(epoch, (uint64_t)(text[i] - '0'), &epoch))
			return -EBADMSG;
	}
	*ret_epoch = epoch;
	return 0;
}

static int damaged(const char *dir, usec_t wall, struct fault *fault)
{
	return fault_set(fault, -EBADMSG,
			 "%s/" NAME
			 " is damaged: if this director's clock is right, remove it, and the "
			 "epoch starts again from the time (now %llu)",
			 dir, (unsigned long long)(wall / USEC_PER_SEC));
}

static int read_last(const char *dir, usec_t wall, uint64_t *ret_epoch, struct fault *fault)
{
	char text[TEXT_MAX];
	size_t len, number;
	int r;

	r = store_read(dir, NAME, false, text, sizeof(text), &len, fault);
	if (r == -ENOENT) {
		*ret_epoch = wall / USEC_PER_SEC;
		return 0;
	}
	if (r == -EFBIG)
		return damaged(dir, wall, fault);
	if (r < 0)
		return r;
	/* An older program wrote no sum, and then the number is all there is. */
	if (state_file_check((const uint8_t *)text, len, &number) != 0)
		number = len;
	/* The very last number has no next one: another program wrote it. */
	if (epoch_parse(text, number, ret_epoch) < 0 || *ret_epoch == UINT64_MAX)
		return damaged(dir, wall, fault);
	return 0;
}

static int write_last(const char *dir, uint64_t epoch, struct fault *fault)
{
	char text[NUMBER_MAX];

	snprintf(text, sizeof(text), "%llu\n", (unsigned long long)epoch);
	return state_file_save(dir, NAME, 0644, text, strlen(text), fault);
}

int epoch_next(const char *dir, usec_t wall, uint64_t *ret_epoch, struct fault *fault)
{
	uint64_t epoch = 0;
	int r;

	r = read_last(dir, wall, &epoch, fault);
	if (r < 0)
		return r;
	epoch++;
	r = write_last(dir, epoch, fault);
	if (r < 0)
		return r;
	*ret_epoch = epoch;
	return 0;
}

/* The time of the file's last change; 0: there is none. */
static usec_t file_time(const char *dir, const char *name)
{
	char path[PATH_MAX];
	struct stat status;
	int len = snprintf(path, sizeof(path), "%s/%s", dir, name);

	if (len < 0 || (size_t)len >= sizeof(path) || stat(path, &status) < 0)
		return 0;
	return (usec_t)status.st_mtim.tv_sec * USEC_PER_SEC + (usec_t)status.st_mtim.tv_nsec / 1000;
}

usec_t epoch_taken(const char *dir)
{
	return file_time(dir, NAME);
}

usec_t epoch_returned(const char *dir)
{
	return file_time(dir, RETURNED);
}

int epoch_set_returned(const char *dir, usec_t wall)
{
	const struct timespec time = {.tv_sec = (time_t)(wall / USEC_PER_SEC),
				      .tv_nsec = (long)(wall % USEC_PER_SEC * 1000)};
	char path[PATH_MAX];
	int len = snprintf(path, sizeof(path), "%s/" RETURNED, dir), fd, r = 0;

	if (len < 0 || (size_t)len >= sizeof(path))
		return -ENAMETOOLONG;
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (fd < 0)
		return -errno;
	if (futimens(fd, (struct timespec[]){time, time}) < 0)
		r = -errno;
	close(fd);
	return r;
}

int epoch_raise(const char *dir, uint64_t epoch, struct fault *fault)
{
	uint64_t last = 0;
	int r;

	r = read_last(dir, 0, &last, fault);
	if (r < 0 || last + 1 >= epoch)
		return r;
	return write_last(dir, epoch - 1, fault);
}
