#include "proto/state_file.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#define WORD "sum "
#define HASH 8 /* bytes */

/* The line, without a NUL. */
static void format(const uint8_t *data, size_t len, char line[STATE_FILE_SUM])
{
	uint8_t hash[crypto_generichash_BYTES];
	char hex[2 * HASH + 1];

	crypto_generichash(hash, sizeof(hash), data, len, NULL, 0);
	sodium_bin2hex(hex, sizeof(hex), hash, HASH);
	memcpy(line, WORD, strlen(WORD));
	memcpy(line + strlen(WORD), hex, 2 * HASH);
	line[STATE_FILE_SUM - 1] = '\n';
}

void state_file_sum(uint8_t *data, size_t len)
{
	format(data, len, (char *)data + len);
}

int state_file_check(const uint8_t *data, size_t len, size_t *ret_len)
{
	char line[STATE_FILE_SUM];
	size_t rest = len - STATE_FILE_SUM;

	*ret_len = len;
	if (len < STATE_FILE_SUM || memcmp(data + rest, WORD, strlen(WORD)) != 0)
		return STATE_FILE_E_DAMAGED;
	*ret_len = rest;
	format(data, rest, line);
	return memcmp(data + rest, line, sizeof(line)) == 0 ? 0 : STATE_FILE_E_DAMAGED;
}

int state_file_load(const char *dir, const char *name, size_t cap, uint8_t **ret_data,
		    size_t *ret_len, struct fault *fault)
{
	uint8_t *data = malloc(cap + 1);
	size_t len;
	int r;

	if (!data)
		return fault_set(fault, -ENOMEM, "%s/%s: out of memory", dir, name);
	r = store_read(dir, name, false, data, cap, &len, fault);
	if (r < 0) {
		free(data);
		return r;
	}
	r = state_file_check(data, len, ret_len);
	if (r > 0)
		fault_set(fault, r, "%s/%s is damaged: its checksum does not match", dir, name);
	data[*ret_len] = '\0';
	*ret_data = data;
	return r;
}

int state_file_save(const char *dir, const char *name, unsigned int mode, const void *data,
		    size_t len, struct fault *fault)
{
	uint8_t *all = malloc(len + STATE_FILE_SUM);
	int r;

	if (!all)
		return fault_set(fault, -ENOMEM, "%s/%s: out of memory", dir, name);
	if (len > 0)
		memcpy(all, data, len);
	state_file_sum(all, len);
	r = store_write(dir, name, false, mode, all, len + STATE_FILE_SUM, fault);
	free(all);
	return r;
}
