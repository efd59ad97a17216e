/* The CPU time that this director spends on each other one's streams and datagrams. A director that
 * has used more than its share is *over*: it gets no more work for now.
 *
 * An account is a token bucket of CPU time. A director that has been quiet may use ACCOUNT_BURST at
 * once, which a join of a full table does not reach, and after that one ACCOUNT_SHAREth of a core.
 * Memory only: the caller measures. Times are mono. */
#ifndef DIRECTOR_NODE_ACCOUNT_H
#define DIRECTOR_NODE_ACCOUNT_H

#include "proto/base.h"

struct accounts;

#define ACCOUNT_BURST (10 * USEC_PER_SEC)
#define ACCOUNT_SHARE 6
/* A debt beyond this is forgiven: a stream that stays unread for longer would be given up. */
#define ACCOUNT_DEBT USEC_PER_SEC

/* 0 or -ENOMEM. */
int account_new(struct accounts **ret_accounts);
void account_free(struct accounts *accounts);

void account_charge(struct accounts *accounts, uint64_t id, usec_t cpu, usec_t now);
/* Until when the director is over; 0: it is not. */
usec_t account_over(const struct accounts *accounts, uint64_t id, usec_t now);
/* Until when any is; 0: none is. */
usec_t account_any_over(const struct accounts *accounts, usec_t now);
/* When the director was over last; 0: never. */
usec_t account_over_last(const struct accounts *accounts, uint64_t id);

#endif
