/* The boot epoch: a number that rises with every start of a director, and is on the disk before its
 * first packet is on the wire. Sequences that start again at every boot become comparable by it. */
#ifndef PROTO_EPOCH_H
#define PROTO_EPOCH_H

#include "proto/store.h"

/* Takes the next one, from the file dir/epoch, and makes it durable; dir is made when missing. If
 * there is no file, as on the first boot or when the state was lost, it starts from wall's seconds:
 * above any number that fewer than one boot a second could have reached. 0, or a negative errno and
 * in error which file, why, and what to do (-EBADMSG: damaged). */
int epoch_next(const char *dir, usec_t wall, uint64_t *ret_epoch, struct fault *fault);

/* When the last one was taken (or raised), by the wall clock; 0: not known. */
usec_t epoch_taken(const char *dir);

/* The UTC time until which members have returned all that this director had stamped, as an earlier
 * start noted it; 0: none did. Not durable: nobody needs it after a reboot. */
usec_t epoch_returned(const char *dir);
int epoch_set_returned(const char *dir, usec_t wall); /* 0, or a negative errno */

/* Makes the next one that is taken at least this: above any epoch of ours that others remember. 0,
 * or a negative errno and a sentence. */
int epoch_raise(const char *dir, uint64_t epoch, struct fault *fault);

/* The file's text without its sum (proto/state_file.h): a decimal number from 1 and a line end. 0,
 * or -EBADMSG. */
int epoch_parse(const char *text, size_t len, uint64_t *ret_epoch);

#endif
