#include "director/node/kernel_compare.h"

#include <errno.h>
#include <stdlib.h>

#include "director/service/kernel_conns.h"

/* Rounds until a loss is believed: when it is more than moves anyway, and otherwise. */
#define LOST_ROUNDS 2
#define FEW_LOST_ROUNDS 16
#define UNKNOWN_ROUNDS 3
#define BACKOFF_MAX 8
#define FTP_PORT 21

/* The counts of a real server, once for its connections and once for its templates. */
struct count {
	uint32_t sure, possible;
	uint32_t rounds, few_rounds; /* in a row in which the kernel had clearly fewer; fewer */
	uint8_t backoff;
	bool lost;
};

struct cell {
	struct count connections, templates;
};

/* The kernel's services of a round, and the cells of each, of each of its real servers. */
struct round {
	struct service_set services;
	struct cell **cells;
};

struct kernel_compare {
	struct round round, next;              /* next: as far as it was added */
	struct kernel_compare_verdict verdict; /* likewise, of the round that ends */
	uint32_t unknown_rounds;
	uint8_t unknown_backoff;
};

struct kernel_compare *kernel_compare_new(void)
{
	return calloc(1, sizeof(struct kernel_compare));
}

static void round_fini(struct round *round)
{
	for (size_t i = 0; i < round->services.count; i++)
		free(round->cells[i]);
	free(round->cells);
	service_set_fini(&round->services);
	*round = (struct round){0};
}

void kernel_compare_free(struct kernel_compare *compare)
{
	if (!compare)
		return;
	round_fini(&compare->round);
	round_fini(&compare->next);
	free(compare);
}

const struct service_set *kernel_compare_services(const struct kernel_compare *compare)
{
	return &compare->round.services;
}

static struct count *count_find(const struct kernel_compare *compare, const struct entry *entry)
{
	const struct service *service;
	const struct real_server *real =
		kernel_conns_real(&compare->round.services, entry, &service);
	struct cell *cell;

	if (!real)
		return NULL;
	cell = &compare->round.cells[service - compare->round.services.services]
				    [real - service->real_servers];
	return entry->flow.template ? &cell->templates : &cell->connections;
}

void kernel_compare_count(struct kernel_compare *compare, const struct entry *entry, bool sure)
{
	struct count *count = count_find(compare, entry);

	if (!count)
		return;
	count->sure += sure;
	count->possible++;
}

bool kernel_compare_lost(const struct kernel_compare *compare, const struct entry *entry)
{
	const struct count *count = count_find(compare, entry);

	return count && count->lost;
}

/* Returns how many are lost. */
static uint32_t count_judge(struct count *count, uint32_t held)
{
	uint32_t missing = count->sure > held ? count->sure - held : 0;
	bool clearly = missing > 2 + count->sure / 64;

	count->rounds = clearly ? count->rounds + 1 : 0;
	count->few_rounds = missing ? count->few_rounds + 1 : 0;
	if (!missing)
		count->backoff = 0;
	count->lost = count->rounds >= (uint32_t)LOST_ROUNDS << count->backoff ||
		      count->few_rounds >= (uint32_t)FEW_LOST_ROUNDS << count->backoff;
	if (!count->lost)
		return 0;
	count->rounds = count->few_rounds = 0;
	count->backoff = (uint8_t)MIN(count->backoff + 1, BACKOFF_MAX);
	return missing;
}

/* The kernel never reports half-open connections, and counts those of TCP as active. The data
 * connections of FTP count for a service whose port they do not have. */
static bool is_unknown(const struct service *service, const struct real_server *real,
		       const struct count *connections)
{
	uint64_t held = real->active;

	if (service->flags & SERVICE_ONE_PACKET || service->key.vip.port == FTP_PORT)
		return false;
	if (service->key.protocol == IPPROTO_UDP)
		held += real->inactive;
	return held > connections->possible + 8ull + connections->possible / 8;
}

/* Compares our count with the kernel's present one. */
static void cell_judge(struct cell *cell, const struct service *service,
		       const struct real_server *real, struct kernel_compare_verdict *verdict)
{
	verdict->lost += count_judge(&cell->connections, real->active + real->inactive);
	verdict->lost += count_judge(&cell->templates, real->persistent);
	verdict->unknown |= is_unknown(service, real, &cell->connections);
}

static struct cell *cell_find(const struct kernel_compare *compare, const struct service *service,
			      size_t index)
{
	const struct service *was = service_set_find(&compare->round.services, &service->key);
	const struct endpoint *endpoint = &service->real_servers[index].endpoint;

	if (!was)
		return NULL;
	/* The order is hardly ever another one. */
	for (size_t n = 0; n < was->n_real_servers; n++) {
		size_t i = (index + n) % was->n_real_servers;

		if (memcmp(&was->real_servers[i].endpoint, endpoint, sizeof(*endpoint)) == 0)
			return &compare->round.cells[was - compare->round.services.services][i];
	}
	return NULL;
}

static struct cell *cells_of(const struct kernel_compare *compare, const struct service *service,
			     struct kernel_compare_verdict *verdict)
{
	struct cell *cells = calloc(service->n_real_servers + 1, sizeof(*cells));

	for (size_t i = 0; cells && i < service->n_real_servers; i++) {
		struct cell *was = cell_find(compare, service, i);

		if (!was)
			continue;
		cell_judge(was, service, &service->real_servers[i], verdict);
		cells[i] = *was;
		cells[i].connections.sure = cells[i].connections.possible = 0;
		cells[i].templates.sure = cells[i].templates.possible = 0;
	}
	return cells;
}

static void unknown_judge(struct kernel_compare *compare, struct kernel_compare_verdict *verdict)
{
	if (!verdict->unknown) {
		compare->unknown_rounds = 0;
		compare->unknown_backoff = 0;
		return;
	}
	compare->unknown_rounds++;
	verdict->unknown = compare->unknown_rounds >= (uint32_t)UNKNOWN_ROUNDS
							      << compare->unknown_backoff;
	if (!verdict->unknown)
		return;
	compare->unknown_rounds = 0;
	compare->unknown_backoff = (uint8_t)MIN(compare->unknown_backoff + 1, BACKOFF_MAX);
}

static int add(struct kernel_compare *compare, const struct service *service)
{
	struct round *next = &compare->next;
	size_t n = next->services.count;
	struct cell **cells = next->cells;

	/* Grows when the count is 0 or a power of two. */
	if ((n & (n - 1)) == 0)
		cells = reallocarray(cells, n ? 2 * n : 1, sizeof(*cells));
	if (!cells)
		return -ENOMEM;
	next->cells = cells;
	cells[n] = cells_of(compare, service, &compare->verdict);
	if (cells[n] && service_set_add(&next->services, service))
		return 0;
	free(cells[n]);
	return -ENOMEM;
}

int kernel_compare_add(struct kernel_compare *compare, const struct service_set *services)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < services->count; i++)
		r = add(compare, &services->services[i]);
	return r;
}

void kernel_compare_judge(struct kernel_compare *compare, bool failed,
			  struct kernel_compare_verdict *ret_verdict)
{
	struct kernel_compare_verdict verdict = compare->verdict;

	round_fini(&compare->round);
	if (failed)
		round_fini(&compare->next);
	compare->round = compare->next;
	compare->next = (struct round){0};
	compare->verdict = (struct kernel_compare_verdict){0};
	if (failed)
		return;
	unknown_judge(compare, &verdict);
	*ret_verdict = verdict;
}
