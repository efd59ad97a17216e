/* The checks of a configuration, each once: 100,000 real servers that are checked alike share one
 * struct check. Owns them. */
#ifndef DIRECTOR_CONFIG_CHECK_POOL_H
#define DIRECTOR_CONFIG_CHECK_POOL_H

#include "director/service/check.h"

/* Zeroed: empty. */
struct check_pool {
	struct check **slots; /* a power of two of them, by digest; NULL: free */
	size_t capacity, count;
};

/* Takes the check, whose digest is made, also on an error. Returns it, or the one like it that is
 * there already; NULL: no memory. */
const struct check *check_pool_add(struct check_pool *pool, struct check *check);
void check_pool_fini(struct check_pool *pool);

#endif
