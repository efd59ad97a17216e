/* Small files that matter: read whole and bounded, written so that a crash at any moment leaves
 * the old one or the new one. Failures come as a negative errno and a sentence for a person, which
 * names the file and, where there is one, the remedy. */
#ifndef PROTO_STORE_H
#define PROTO_STORE_H

#include "proto/base.h"
#include "proto/fault.h"

/* Reads dir/name, at most cap bytes. secret: refuse (-EACCES) a file that anyone but its owner may
 * read or write. -ENOENT, -EFBIG (longer than cap), -EINVAL (not a regular file), ... */
int store_read(const char *dir, const char *name, bool secret, void *data, size_t cap,
	       size_t *ret_len, struct fault *fault);

/* Writes dir/name and makes it durable: dir is made when missing, mode 0700. exclusive: -EEXIST
 * when the file is there, and it stays as it is. */
int store_write(const char *dir, const char *name, bool exclusive, unsigned int mode,
		const void *data, size_t len, struct fault *fault);

#endif
