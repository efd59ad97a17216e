#include "director/service/wanted.h"

#include <errno.h>
#include <stdlib.h>

#define REMOVED UINT32_MAX

struct wanted_service {
	uint32_t *weights; /* of each real server, or REMOVED; NULL: as in the file */
	uint32_t sorry;    /* likewise */
};

int wanted_init(struct wanted *wanted, const struct service_set *file)
{
	struct wanted new = {.file = file};

	new.changes = calloc(file->count + 1, sizeof(*new.changes));
	new.set.services = calloc(file->count + 1, sizeof(*new.set.services));
	if (!new.changes || !new.set.services) {
		free(new.changes);
		free(new.set.services);
		return -ENOMEM;
	}
	if (file->count)
		memcpy(new.set.services, file->services, file->count * sizeof(*file->services));
	new.set.count = file->count;
	for (size_t i = 0; i < file->count; i++)
		new.changes[i].sorry = REMOVED;
	*wanted = new;
	return 0;
}

void wanted_fini(struct wanted *wanted)
{
	for (size_t i = 0; i < wanted->set.count; i++) {
		if (wanted->changes[i].weights)
			free(wanted->set.services[i].real_servers);
		free(wanted->changes[i].weights);
	}
	free(wanted->changes);
	free(wanted->set.services);
	*wanted = (struct wanted){0};
}

static bool keeps_share(const struct service *service)
{
	return service_is_mh(service) && (service->flags & SERVICE_MH_FALLBACK);
}

static int compare_reals(const void *a, const void *b)
{
	return service_real_compare(a, b);
}

static bool has_sorry(const struct service *file)
{
	return file->sorry.endpoint.port != 0 &&
	       !(file->n_real_servers &&
		 bsearch(&file->sorry, file->real_servers, file->n_real_servers,
			 sizeof(*file->real_servers), compare_reals));
}

/* Makes the service's real servers anew; its array has room for one more than the file's. */
static void make(const struct service *file, const struct wanted_service *change,
		 struct service *service)
{
	struct real_server *to = service->real_servers;
	bool sorry = change->sorry != REMOVED;
	size_t count = 0;

	for (size_t i = 0; i <= file->n_real_servers; i++) {
		bool last = i == file->n_real_servers;

		if (sorry &&
		    (last || service_real_compare(&file->sorry, &file->real_servers[i]) < 0)) {
			to[count] = file->sorry;
			to[count++].weight = change->sorry;
			sorry = false;
		}
		if (last || change->weights[i] == REMOVED)
			continue;
		to[count] = file->real_servers[i];
		to[count].weight = change->weights[i];
		if (keeps_share(file) && change->weights[i] == 0)
			to[count].table_weight = file->real_servers[i].weight;
		count++;
	}
	service->n_real_servers = count;
}

/* The service gets real servers of its own. */
static int own(const struct service *file, struct wanted_service *change, struct service *service)
{
	size_t count = file->n_real_servers + 1;
	struct real_server *reals = calloc(count, sizeof(*reals));
	uint32_t *weights = calloc(count, sizeof(*weights));

	if (!reals || !weights) {
		free(reals);
		free(weights);
		return -ENOMEM;
	}
	for (size_t i = 0; i < file->n_real_servers; i++)
		weights[i] = file->real_servers[i].weight;
	change->weights = weights;
	service->real_servers = reals;
	return 0;
}

int wanted_edit(struct wanted *wanted, const struct wanted_edit *edit)
{
	uint32_t weight = edit->removed ? REMOVED : MIN(edit->weight, SERVICE_WEIGHT_MAX);
	struct wanted_service *change;
	const struct service *file;

	if (edit->service >= wanted->set.count)
		return 0;
	file = &wanted->file->services[edit->service];
	change = &wanted->changes[edit->service];
	if (edit->sorry ? !has_sorry(file) : edit->real >= file->n_real_servers)
		return 0;
	if (!change->weights && own(file, change, &wanted->set.services[edit->service]) < 0)
		return -ENOMEM;
	if (edit->sorry)
		change->sorry = weight;
	else
		change->weights[edit->real] = weight;
	make(file, change, &wanted->set.services[edit->service]);
	return 0;
}
