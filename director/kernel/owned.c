#include "director/kernel/owned.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/state_file.h"

#define BOOT_ID "/proc/sys/kernel/random/boot_id"
#define BOOT_ID_LENGTH 36
#define HEAD "lvsmesh services of boot "
#define NAME "services"
#define FILE_MAX (16u << 20)
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
	/* Each key has one spelling, and only that one is read. */
	if (strcmp(service_key_format(&key, again), text) != 0)
		return -EINVAL;
	*ret_key = key;
	return 0;
}

static int keys_add(struct service_keys *keys, size_t *capacity, const char *text)
{
	struct service_key *grown;

	if (keys->count == *capacity) {
		*capacity = 2 * *capacity + 16;
		grown = reallocarray(keys->keys, *capacity, sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		keys->keys = grown;
	}
	if (owned_parse_key(text, &keys->keys[keys->count]) < 0)
		return -EBADMSG;
	if (keys->count > 0 &&
	    service_key_compare(&keys->keys[keys->count - 1], &keys->keys[keys->count]) >= 0)
		return -EBADMSG;
	keys->count++;
	return 0;
}

/* A line each. */
static int read_keys(char *text, struct service_keys *keys)
{
	size_t capacity = 0;
	char *end;
	int r;

	for (; *text; text = end + 1) {
		end = strchr(text, '\n');
		if (!end)
			return -EBADMSG;
		*end = '\0';
		r = keys_add(keys, &capacity, text);
		if (r < 0)
			return r;
	}
	return 0;
}

/* The first line, then the keys. */
static int parse(char *text, size_t length, struct service_keys *keys)
{
	char boot_id[BOOT_ID_LENGTH + 1], head[128];
	int r = read_boot_id(boot_id);

	if (r < 0)
		return r;
	snprintf(head, sizeof(head), HEAD "%s\n", boot_id);
	if (strlen(text) != length || strncmp(text, HEAD, strlen(HEAD)) != 0)
		return -EBADMSG;
	return strncmp(text, head, strlen(head)) == 0 ? read_keys(text + strlen(head), keys) : 0;
}

int owned_load(const char *directory, struct service_keys *ret_keys)
{
	struct service_keys keys = {0};
	struct fault fault;
	uint8_t *text = NULL;
	size_t length = 0;
	int r;

	r = state_file_load(directory, NAME, FILE_MAX, &text, &length, &fault);
	if (r == 0)
		r = parse((char *)text, length, &keys);
	else if (r == -ENOENT)
		r = 0;
	else if (r > 0)
		r = -EBADMSG;
	free(text);
	if (r < 0) {
		plan_keys_fini(&keys);
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

/* In memory: *ret_text is to be freed. */
static int format_keys(const struct service_keys *keys, char **ret_text, size_t *ret_length)
{
	char boot_id[BOOT_ID_LENGTH + 1], text[SERVICE_TEXT];
	FILE *file;
	int r;

	r = read_boot_id(boot_id);
	if (r < 0)
		return r;
	file = open_memstream(ret_text, ret_length);
	if (!file)
		return -errno;
	fprintf(file, HEAD "%s\n", boot_id);
	for (size_t i = 0; i < keys->count; i++)
		fprintf(file, "%s\n", service_key_format(&keys->keys[i], text));
	return fclose(file) == 0 ? 0 : -ENOMEM;
}

int owned_save(const char *directory, const struct service_keys *keys)
{
	char *text = NULL;
	struct fault fault;
	size_t length;
	int r = make_directory(directory);

	if (r == 0)
		r = format_keys(keys, &text, &length);
	if (r == 0)
		r = state_file_save(directory, NAME, 0644, text, length, &fault);
	free(text);
	return r;
}
