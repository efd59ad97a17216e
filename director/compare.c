#include "director/compare.h"

#include <errno.h>
#include <stdlib.h>

#include "director/kernel_conns.h"

/* Rounds until what is missing is believed: when it is more than moves anyway, and otherwise. */
#define LOST_ROUNDS 2
#define FEW_LOST_ROUNDS 16
#define UNKNOWN_ROUNDS 3
#define BACKOFF_MAX 8
#define FTP_PORT 21

/* What is counted of a real server, once of its connections and once of its templates. */
struct count {
	uint32_t sure, possible;
	uint32_t rounds, few_rounds; /* in a row in which the kernel had clearly fewer; fewer */
	uint8_t backoff;
	bool lost;
};

struct cell {
	struct count connections, templates;
};

struct compare {
	struct service_set services;
	struct cell **cells; /* of each service, of each of its real servers */
	uint32_t unknown_rounds;
	uint8_t unknown_backoff;
};

struct compare *compare_new(void)
{
	return calloc(1, sizeof(struct compare));
}

static void cells_free(struct cell **cells, size_t count)
{
	for (size_t i = 0; cells && i < count; i++)
		free(cells[i]);
	free(cells);
}

void compare_free(struct compare *compare)
{
	if (!compare)
		return;
	cells_free(compare->cells, compare->services.count);
	service_set_fini(&compare->services);
	free(compare);
}

static struct count *count_find(const struct compare *compare, const struct entry *entry)
{
	const struct service *service;
	const struct real_server *real = kernel_conns_real(&compare->services, entry, &service);
	struct cell *cell;

	if (!real)
		return NULL;
	cell = &compare->cells[service - compare->services.services][real - service->real_servers];
	return entry->flow.template ? &cell->templates : &cell->connections;
}

void compare_count(struct compare *compare, const struct entry *entry, bool sure)
{
	struct count *count = count_find(compare, entry);

	if (!count)
		return;
	count->sure += sure;
	count->possible++;
}

bool compare_lost(const struct compare *compare, const struct entry *entry)
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

/* Connections that are half open are never told to us, and the kernel counts those of TCP as
 * active. The data connections of FTP count for a service whose port they do not have. */
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

/* Judges what was counted by what the kernel counts now. */
static void cell_judge(struct cell *cell, const struct service *service,
		       const struct real_server *real, struct compare_verdict *verdict)
{
	verdict->lost += count_judge(&cell->connections, real->active + real->inactive);
	verdict->lost += count_judge(&cell->templates, real->persistent);
	verdict->unknown |= is_unknown(service, real, &cell->connections);
}

static struct cell *cell_find(const struct compare *compare, const struct service *service,
			      size_t index)
{
	const struct service *was = service_set_find(&compare->services, &service->key);
	const struct endpoint *endpoint = &service->real_servers[index].endpoint;

	if (!was)
		return NULL;
	/* The order is hardly ever another one. */
	for (size_t n = 0; n < was->n_real_servers; n++) {
		size_t i = (index + n) % was->n_real_servers;

		if (memcmp(&was->real_servers[i].endpoint, endpoint, sizeof(*endpoint)) == 0)
			return &compare->cells[was - compare->services.services][i];
	}
	return NULL;
}

static struct cell *cells_of(const struct compare *compare, const struct service *service,
			     struct compare_verdict *verdict)
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

static int services_copy(const struct service_set *services, struct service_set *ret_copy)
{
	struct service_set copy = {0};

	for (size_t i = 0; i < services->count; i++) {
		if (!service_set_add(&copy, &services->services[i])) {
			service_set_fini(&copy);
			return -ENOMEM;
		}
	}
	*ret_copy = copy;
	return 0;
}

static void unknown_judge(struct compare *compare, struct compare_verdict *verdict)
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

int compare_judge(struct compare *compare, const struct service_set *services,
		  struct compare_verdict *ret_verdict)
{
	struct compare_verdict verdict = {0};
	struct service_set copy = {0};
	struct cell **cells = calloc(services->count + 1, sizeof(struct cell *));
	size_t n = 0;
	int r = cells ? services_copy(services, &copy) : -ENOMEM;

	while (r == 0 && n < copy.count) {
		cells[n] = cells_of(compare, &copy.services[n], &verdict);
		if (!cells[n++])
			r = -ENOMEM;
	}
	if (r < 0) {
		cells_free(cells, n);
		service_set_fini(&copy);
		cells = NULL;
		n = 0;
	}
	cells_free(compare->cells, compare->services.count);
	service_set_fini(&compare->services);
	compare->services = copy;
	compare->cells = cells;
	if (r < 0)
		return r;
	unknown_judge(compare, &verdict);
	*ret_verdict = verdict;
	return 0;
}
