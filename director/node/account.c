#include "director/node/account.h"

#include <errno.h>
#include <stdlib.h>

#define SETS 256
#define WAYS 4

struct account {
	uint64_t id; /* 0: unused */
	/* The time when the bucket will be full again: use moves it on. */
	usec_t full_at;
	usec_t over_last; /* 0: never */
};

struct accounts {
	struct account accounts[SETS][WAYS];
	usec_t over; /* until then some director may be over */
};

int account_new(struct accounts **ret_accounts)
{
	*ret_accounts = calloc(1, sizeof(**ret_accounts));
	return *ret_accounts ? 0 : -ENOMEM;
}

void account_free(struct accounts *accounts)
{
	free(accounts);
}

/* Identities are hashes already. */
static const struct account *account_find(const struct accounts *accounts, uint64_t id)
{
	const struct account *set = accounts->accounts[id % SETS];

	for (unsigned int i = 0; i < WAYS; i++)
		if (set[i].id == id)
			return &set[i];
	return NULL;
}

/* If there is no room, the fullest of the set makes place. */
static struct account *account_get(struct accounts *accounts, uint64_t id)
{
	struct account *set = accounts->accounts[id % SETS], *fullest = set;

	for (unsigned int i = 0; i < WAYS; i++) {
		if (set[i].id == id)
			return &set[i];
		if (set[i].full_at < fullest->full_at)
			fullest = &set[i];
	}
	*fullest = (struct account){.id = id};
	return fullest;
}

/* The bucket is empty until then. */
static usec_t over_until(const struct account *account)
{
	const usec_t burst = ACCOUNT_BURST * ACCOUNT_SHARE;

	return account->full_at > burst ? account->full_at - burst : 0;
}

void account_charge(struct accounts *accounts, uint64_t id, usec_t cpu, usec_t now)
{
	const usec_t most = now + ACCOUNT_BURST * ACCOUNT_SHARE + ACCOUNT_DEBT;
	struct account *account = account_get(accounts, id);

	account->full_at = MIN(MAX(account->full_at, now) + cpu * ACCOUNT_SHARE, most);
	if (over_until(account) <= now)
		return;
	account->over_last = now;
	accounts->over = MAX(accounts->over, over_until(account));
}

usec_t account_over(const struct accounts *accounts, uint64_t id, usec_t now)
{
	const struct account *account = accounts->over > now ? account_find(accounts, id) : NULL;

	return account && over_until(account) > now ? over_until(account) : 0;
}

usec_t account_any_over(const struct accounts *accounts, usec_t now)
{
	return accounts->over > now ? accounts->over : 0;
}

usec_t account_over_last(const struct accounts *accounts, uint64_t id)
{
	const struct account *account = account_find(accounts, id);

	return account ? account->over_last : 0;
}
