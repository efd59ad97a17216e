/* A file of the state directory that proves itself whole: its last line is "sum " and 16
 * hexadecimal digits, BLAKE2b of everything before it. The sum finds a flipped bit, a cut and a
 * half-written file; it does not protect against an attacker that can write the file. */
#ifndef PROTO_STATE_FILE_H
#define PROTO_STATE_FILE_H

#include "proto/store.h"

#define STATE_FILE_SUM 21 /* bytes of the last line */

/* The sum does not fit the data, or there is none. */
enum state_file_error { STATE_FILE_E_DAMAGED = 1 };

/* Writes the line behind data[len]: STATE_FILE_SUM bytes. */
void state_file_sum(uint8_t *data, size_t len);

/* Checks a whole file in memory: 0 and the length without the line; STATE_FILE_E_DAMAGED and the
 * length without what looks like one. */
int state_file_check(const uint8_t *data, size_t len, size_t *ret_len);

/* *ret_data: without the line, with a NUL behind, to be freed by the caller. 0;
 * STATE_FILE_E_DAMAGED, with the data too, for a caller that can check its parts otherwise; or
 * -errno as store_read(), without data. error is set unless 0. */
int state_file_load(const char *dir, const char *name, size_t cap, uint8_t **ret_data,
		    size_t *ret_len, struct fault *fault);

/* As store_write(). */
int state_file_save(const char *dir, const char *name, unsigned int mode, const void *data,
		    size_t len, struct fault *fault);

#endif
