/* The services that lvsmesh made, in a file of the state directory, so that they survive kill -9:
 * otherwise a service that left the configuration would stay in the kernel for ever. The file is
 * void once the host has rebooted: the kernel forgot as well.
 *
 * It is written before a service is added and again after those that left are deleted, so that it
 * may name too many, never too few. */
#ifndef DIRECTOR_KERNEL_OWNED_H
#define DIRECTOR_KERNEL_OWNED_H

#include "director/service/plan.h"

/* One service as service_key_format() writes it. 0, or -EINVAL. */
int owned_parse_key(const char *text, struct service_key *ret_key);

/* No file, or one from before this boot: no keys. 0; -errno; -EBADMSG: not ours, or damaged. */
int owned_load(const char *directory, struct service_keys *ret_keys);

/* Makes the directory when it is missing; replaces the file at once or not at all. 0, or -errno. */
int owned_save(const char *directory, const struct service_keys *keys);

#endif
