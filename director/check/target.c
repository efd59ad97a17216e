#include "director/check/target.h"

#include <sodium.h>
#include <stdlib.h>

void target_endpoint(const struct service *service, const struct real_server *real,
		     struct endpoint *ret_endpoint)
{
	const struct check *check = real->check;
	uint16_t port = real->endpoint.port ? real->endpoint.port : service->key.vip.port;
	struct ip_addr ip = real->endpoint.ip;

	if (check->via == CHECK_VIA_FORWARDING) {
		ip = service->key.vip.ip;
		port = service->key.vip.port ? service->key.vip.port : real->endpoint.port;
	}
	if (check->address.family)
		ip = check->address;
	if (check->port)
		port = check->port;
	*ret_endpoint = (struct endpoint){ip, check->type == CHECK_PING ? 0 : port};
}

/* Bytes that are hashed at once. */
struct message {
	uint8_t bytes[96];
	size_t len;
};

static void put_number(struct message *message, uint64_t number)
{
	store_le64(message->bytes + message->len, number);
	message->len += 8;
}

static void put_endpoint(struct message *message, const struct endpoint *endpoint)
{
	put_number(message, (uint64_t)endpoint->ip.family << 16 | endpoint->port);
	memcpy(message->bytes + message->len, endpoint->ip.bytes, sizeof(endpoint->ip.bytes));
	message->len += sizeof(endpoint->ip.bytes);
}

static void hash(const struct message *message, const uint8_t *under, uint8_t *key)
{
	static_assert(KEY_SIZE == crypto_shorthash_siphashx24_BYTES, "keys are such hashes");
	static_assert(CHECK_DIGEST_SIZE == crypto_shorthash_siphashx24_KEYBYTES,
		      "a digest is the key of such hashes");

	assert(message->len <= sizeof(message->bytes));
	crypto_shorthash_siphashx24(key, message->bytes, message->len, under);
}

void target_key(const struct service *service, const struct real_server *real, unsigned int variant,
		uint8_t key[KEY_SIZE])
{
	struct message message = {.len = 0};
	struct endpoint endpoint;

	target_endpoint(service, real, &endpoint);
	put_number(&message, variant);
	put_endpoint(&message, &endpoint);
	if (real->check->via == CHECK_VIA_FORWARDING) {
		put_endpoint(&message, &real->endpoint);
		put_number(&message,
			   (uint64_t)real->forwarding << 48 | (uint64_t)real->tunnel << 40 |
				   (uint64_t)real->tunnel_flags << 32 |
				   (uint64_t)real->tunnel_port << 16 | service->key.protocol);
	}
	hash(&message, real->check->digest, key);
}

void target_setting_key(const struct service *service, const struct real_server *real,
			uint8_t key[KEY_SIZE])
{
	static const uint8_t under[KEY_SIZE] = "lvsmesh setting";
	struct message message = {.len = 0};

	put_endpoint(&message, &service->key.vip);
	put_number(&message, (uint64_t)service->key.fwmark << 8 | service->key.protocol);
	put_endpoint(&message, &real->endpoint);
	hash(&message, under, key);
}

void target_service_key(const struct service *service, uint8_t key[KEY_SIZE])
{
	static const struct real_server none;

	target_setting_key(service, &none, key);
}

void target_fini_all(struct targets *targets)
{
	for (uint32_t i = 0; i < targets->count; i++)
		if (targets->list[i].used)
			target_remove(targets, i);
	key_index_fini(&targets->index);
	free(targets->list);
	*targets = (struct targets){0};
}

uint32_t target_find(const struct targets *targets, const uint8_t *key)
{
	static_assert(KEY_INDEX_NONE == TARGET_NONE, "the index's none is ours");

	return key_index_find(&targets->index, targets->list, sizeof(*targets->list), key);
}

int target_add(struct targets *targets, const uint8_t *key, uint32_t *ret_number)
{
	uint32_t number = targets->free ? targets->free - 1 : targets->count;

	if (number == targets->room) {
		size_t room = targets->room ? 2 * targets->room : 16;
		struct target *list = reallocarray(targets->list, room, sizeof(*list));

		if (!list)
			return -ENOMEM;
		targets->list = list;
		targets->room = room;
	}
	if (key_index_reserve(&targets->index, targets->n_used + 1u, targets->list,
			      sizeof(*targets->list)) < 0)
		return -ENOMEM;
	if (targets->free)
		targets->free = targets->list[number].first;
	targets->list[number] = (struct target){
		.used = true,
		.first = TARGET_NONE,
		.weight = -1,
		.told = HEALTH_UP,
		.down_here_since = USEC_NEVER,
		.refresh = USEC_NEVER,
	};
	memcpy(targets->list[number].key, key, KEY_SIZE);
	key_index_add(&targets->index, key, number);
	targets->n_used++;
	targets->count = MAX(targets->count, number + 1);
	*ret_number = number;
	return 0;
}

void target_remove(struct targets *targets, uint32_t number)
{
	struct target *target = &targets->list[number];

	key_index_remove(&targets->index, targets->list, sizeof(*targets->list), number);
	for (unsigned int i = 0; i < target->n_votes; i++)
		free(target->votes[i].reason);
	free(target->votes);
	*target = (struct target){.first = targets->free};
	targets->free = number + 1;
	targets->n_used--;
}

struct vote *target_vote(const struct target *target, uint64_t origin)
{
	for (unsigned int i = 0; i < target->n_votes; i++)
		if (target->votes[i].origin == origin)
			return &target->votes[i];
	return NULL;
}

struct vote *target_vote_add(struct target *target, uint64_t origin)
{
	unsigned int n = target->n_votes;
	struct vote *votes = target->votes;

	if (n == TARGET_VOTES_MAX)
		return NULL;
	/* Grows when the count is 0 or a power of two. */
	if ((n & (n - 1)) == 0)
		votes = reallocarray(votes, n ? 2 * n : 1, sizeof(*votes));
	if (!votes)
		return NULL;
	target->votes = votes;
	target->n_votes++;
	votes[n] = (struct vote){.origin = origin, .until = USEC_NEVER, .weight = -1};
	return &votes[n];
}

void target_vote_remove(struct target *target, uint64_t origin)
{
	struct vote *vote = target_vote(target, origin);

	if (!vote)
		return;
	free(vote->reason);
	*vote = target->votes[--target->n_votes];
}

void target_vote_reason(struct vote *vote, const char *reason)
{
	if (vote->reason && strcmp(vote->reason, reason) == 0)
		return;
	free(vote->reason);
	vote->reason = *reason ? strdup(reason) : NULL;
}
