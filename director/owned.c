#include "director/owned.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define BOOT_ID "/proc/sys/kernel/random/boot_id"
#define BOOT_ID_LENGTH 36
#define HEAD "lvsmesh services of boot "
#define PATH_SIZE 4224

static int read_boot_id(char *ret_id)
{
	FILE *file = fopen(BOOT_ID, "re");
	int r = 0;

	if (!file)
		return -errno;
	if (!fgets(ret_id, BOOT_ID_LENGTH + 1, file) || strlen(ret_id) != BOOT_ID_LENGTH)
		r = -EIO;
	fclose(file);
	return r;
}

int owned_parse_key(const char *text, struct service_key *ret_key)
{
	static const uint8_t protocols[] = {IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP};
	struct service_key key = {0};
	size_t length = strcspn(text, " ");
	char again[SERVICE_TEXT], every[SERVICE_TEXT];

	if (text[length] != ' ')
		return -EINVAL;
	if (sscanf(text, "fwmark %u", &key.fwmark) == 1) {
		key.vip.ip.family = strstr(text, " IPv6") ? AF_INET6 : AF_INET;
	} else if (endpoint_parse(text + length + 1, &key.vip) < 0) {
		/* Port 0, which is no endpoint: every port. */
		snprintf(every, sizeof(every), "%s", text + length + 1);
		if (strlen(every) < 2 || every[strlen(every) - 1] != '0')
			return -EINVAL;
		every[strlen(every) - 1] = '1';
		if (endpoint_parse(every, &key.vip) < 0)
			return -EINVAL;
		key.vip.port = 0;
	}
	for (size_t i = 0; key.fwmark == 0 && i < sizeof(protocols); i++)
		if (strncmp(text, service_protocol_name(protocols[i]), length) == 0)
			key.protocol = protocols[i];
	/* One way to write each, and only one that can be read. */
	if (strcmp(service_key_format(&key, again), text) != 0)
		return -EINVAL;
	*ret_key = key;
	return 0;
}

static int read_keys(FILE *file, struct service_keys *keys)
{
	char line[SERVICE_TEXT + 2];
	size_t capacity = 0;

	while (fgets(line, sizeof(line), file)) {
		char *end = strchr(line, '\n');

		if (!end)
			return -EBADMSG;
		*end = '\0';
		if (keys->count == capacity) {
			struct service_key *grown;

			capacity = 2 * capacity + 16;
			grown = reallocarray(keys->keys, capacity, sizeof(*grown));
			if (!grown)
				return -ENOMEM;
			keys->keys = grown;
		}
		if (owned_parse_key(line, &keys->keys[keys->count]) < 0)
			return -EBADMSG;
		if (keys->count > 0 && service_key_compare(&keys->keys[keys->count - 1],
							   &keys->keys[keys->count]) >= 0)
			return -EBADMSG;
		keys->count++;
	}
	return ferror(file) ? -EIO : 0;
}

int owned_load(const char *directory, struct service_keys *ret_keys)
{
	char path[PATH_SIZE], boot_id[BOOT_ID_LENGTH + 1], head[128], line[128];
	struct service_keys keys = {0};
	FILE *file;
	int r;

	r = read_boot_id(boot_id);
	if (r < 0)
		return r;
	snprintf(path, sizeof(path), "%s/services", directory);
	file = fopen(path, "re");
	if (!file && errno != ENOENT)
		return -errno;
	snprintf(head, sizeof(head), HEAD "%s\n", boot_id);
	if (file && !fgets(line, sizeof(line), file))
		r = -EBADMSG;
	else if (file && strncmp(line, HEAD, strlen(HEAD)) != 0)
		r = -EBADMSG;
	else if (file && strcmp(line, head) == 0)
		r = read_keys(file, &keys);
	if (file)
		fclose(file);
	if (r < 0) {
		service_keys_fini(&keys);
		return r;
	}
	*ret_keys = keys;
	return 0;
}

static int make_directory(const char *directory)
{
	char path[PATH_SIZE];
	size_t length = (size_t)snprintf(path, sizeof(path), "%s", directory);

	for (size_t i = 1; i <= length && i < sizeof(path); i++) {
		if (directory[i] != '/' && directory[i] != '\0')
			continue;
		path[i] = '\0';
		if (mkdir(path, 0755) < 0 && errno != EEXIST)
			return -errno;
		path[i] = '/';
	}
	return 0;
}

static int write_keys(const char *path, const struct service_keys *keys)
{
	char boot_id[BOOT_ID_LENGTH + 1], text[SERVICE_TEXT];
	FILE *file;
	int r;

	r = read_boot_id(boot_id);
	if (r < 0)
		return r;
	file = fopen(path, "we");
	if (!file)
		return -errno;
	fprintf(file, HEAD "%s\n", boot_id);
	for (size_t i = 0; i < keys->count; i++)
		fprintf(file, "%s\n", service_key_format(&keys->keys[i], text));
	if (fflush(file) != 0 || fsync(fileno(file)) != 0)
		r = -errno;
	if (fclose(file) != 0 && r == 0)
		r = -errno;
	return r;
}

int owned_save(const char *directory, const struct service_keys *keys)
{
	char path[PATH_SIZE], next[PATH_SIZE];
	int r = make_directory(directory);

	if (r < 0)
		return r;
	snprintf(path, sizeof(path), "%s/services", directory);
	snprintf(next, sizeof(next), "%s/services.next", directory);
	r = write_keys(next, keys);
	if (r == 0 && rename(next, path) < 0)
		r = -errno;
	if (r < 0)
		unlink(next);
	return r;
}
