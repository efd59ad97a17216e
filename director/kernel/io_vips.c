/* The VIPs, on their interface. */
#include <stdio.h>
#include <stdlib.h>

#include "director/io_log.h"
#include "director/kernel/io_services_private.h"
#include "director/kernel/owned.h"

/* Addresses that are wanted are put on; those of ours that are not are taken off. */
static void apply(struct vips_job *job, const char *interface, struct vip_list wanted,
		  struct vip_list ours, struct vip_changes *ret_changes)
{
	struct fault error = {""};
	int r = vip_apply(interface, wanted, ours, job->keep_local, ret_changes, &error);

	if (r < 0 && !job->error.text[0])
		job->error = error;
}

/* The addresses of a set; *ret_vips is to be freed. None: no memory either. */
static struct vip_list vips_of(const struct service_set *set, struct ip_addr **ret_vips)
{
	size_t count = service_set_vips(set, NULL, 0);

	*ret_vips = count ? calloc(count, sizeof(**ret_vips)) : NULL;
	if (!*ret_vips)
		return (struct vip_list){0};
	service_set_vips(set, *ret_vips, count);
	return (struct vip_list){*ret_vips, count};
}

/* While not all is programmed, a VIP that would draw traffic to a service which is not there is
 * left out; one that is on already stays, for its other services. */
static void keep_served(struct vips_job *job, struct vip_list *list, struct ip_addr *vips)
{
	const struct service_set *wanted = &job->config->services;
	struct service_set actual = {0};
	struct ipvs_error error;
	size_t kept = 0;

	list->count = ipvs_dump(job->ipvs, &actual, &error) < 0 ? 0 : list->count;
	for (size_t i = 0; i < list->count; i++) {
		bool served = true;

		for (size_t j = 0; j < wanted->count && served; j++) {
			const struct service_key *key = &wanted->services[j].key;

			served = key->fwmark || ip_addr_compare(&key->vip.ip, &vips[i]) != 0 ||
				 service_set_find(&actual, key);
		}
		if (served)
			vips[kept++] = vips[i];
	}
	list->count = kept;
	service_set_fini(&actual);
}

/* Parts the addresses of vips_of(): those that a service wants come first, in order. */
static void part(const struct vips_job *job, struct vip_list *list, struct ip_addr *vips,
		 struct vip_list *ret_off)
{
	const struct service_set *set = &job->config->services;
	size_t count = list->count, on = 0, last = count;

	for (size_t i = 0; i < set->count && last > on;) {
		const struct service_key *key = &set->services[i].key;
		bool wanted = false;
		size_t j = i;

		if (key->fwmark) {
			i++;
			continue;
		}
		for (; j < set->count && !set->services[j].key.fwmark &&
		       ip_addr_compare(&set->services[j].key.vip.ip, &key->vip.ip) == 0;
		     j++)
			wanted |= !job->off || !job->off[j];
		vips[wanted ? on++ : --last] = key->vip.ip;
		i = j;
	}
	list->count = on;
	*ret_off = (struct vip_list){vips + last, count - last};
}

/* Repeated, so that a failure, or a foreign change, is repaired. */
static void set(struct vips_job *job)
{
	struct vip_list none = {0}, off = {0};
	struct ip_addr *vips;
	struct vip_list list = vips_of(&job->config->services, &vips);

	if (job->vips == VIPS_ON) {
		if (list.count > 0) /* fwmarks have none */
			part(job, &list, vips, &off);
		if (!job->programmed)
			keep_served(job, &list, vips);
		apply(job, job->config->vip_interface, list, off, &job->changes);
	} else if (job->vips == VIPS_OFF) {
		apply(job, job->config->vip_interface, none, list, &job->changes);
	}
	free(vips);
}

/* Addresses that were taken off are local no longer. */
static void release(struct vips_job *job)
{
	struct ip_addr *vips;
	struct vip_list list = vips_of(&job->config->services, &vips);
	struct fault error;

	if (vip_release(list, &error) < 0)
		job->release_error = error;
	free(vips);
}

static bool list_has(const struct vip_list *list, const struct ip_addr *ip)
{
	for (size_t i = 0; i < list->count; i++)
		if (ip_addr_compare(&list->vips[i], ip) == 0)
			return true;
	return false;
}

/* Takes off those of was that are not in the configuration; was is changed. */
static void drop(struct vips_job *job, const char *interface, struct ip_addr *was, size_t count)
{
	struct ip_addr *vips;
	struct vip_list stay = vips_of(&job->config->services, &vips), gone = {was, 0};
	bool moved = strcmp(interface, job->config->vip_interface) != 0;

	for (size_t i = 0; i < count; i++)
		if (moved || !list_has(&stay, &was[i]))
			was[gone.count++] = was[i];
	if (gone.count)
		apply(job, interface, (struct vip_list){0}, gone, &job->dropped);
	free(vips);
}

/* Takes off VIPs that a former process left on the interface. */
static void drop_former_process(struct vips_job *job)
{
	struct service_keys owned = {0};
	struct ip_addr *was = NULL;
	size_t count = 0;

	if (owned_load(job->config->state, &owned) == 0 && owned.count)
		was = calloc(owned.count, sizeof(*was));
	for (size_t i = 0; was && i < owned.count; i++)
		if (owned.keys[i].fwmark == 0)
			was[count++] = owned.keys[i].vip.ip;
	if (was)
		drop(job, job->config->vip_interface, was, count);
	free(was);
	plan_keys_fini(&owned);
}

static void vips_run(uv_work_t *work)
{
	struct vips_job *job = container_of(work, struct vips_job, work);

	if (!job->former) {
		drop_former_process(job);
	} else if (job->former != job->config) {
		struct ip_addr *was;
		struct vip_list list = vips_of(&job->former->services, &was);

		drop(job, job->former->vip_interface, was, list.count);
		free(was);
	}
	set(job);
	if (job->release)
		release(job);
}

static void vips_log(const char *interface, const struct vip_changes *changes)
{
	if (changes->added || changes->removed)
		io_log_notice("%s: %u VIPs added, %u removed", interface, changes->added,
			      changes->removed);
}

static void vips_done(uv_work_t *work, int status)
{
	struct io_services *services = container_of(work, struct io_services, vips_job.work);
	const struct io_services_callbacks *callbacks = &services->callbacks;
	struct vips_job *job = &services->vips_job;
	bool well = services->vip_error.text[0] == '\0';
	char was[64];

	(void)status;
	job->busy = false;
	vips_log(job->former ? job->former->vip_interface : job->config->vip_interface,
		 &job->dropped);
	vips_log(job->config->vip_interface, &job->changes);
	io_services_note(services->vip_error.text, sizeof(services->vip_error.text), "VIPs",
			 job->error.text);
	if (job->release_error.text[0])
		io_log_warning("%s", job->release_error.text);
	if (well && !job->changed && job->changes.added > 0 && !services->done) {
		snprintf(was, sizeof(was), "had lost %u VIPs", job->changes.added);
		callbacks->put_back(callbacks->ctx, job->config->vip_interface, was, 0);
	}
	free(job->off);
	config_free(job->former);
	services->vips_config = job->config;
	io_services_next(services);
}

/* A failure leaves the VIPs on. */
static bool *copy_off(const struct io_services *services)
{
	size_t count = services->config->services.count;
	bool *off = services->vip_off ? malloc(count) : NULL;

	if (off)
		memcpy(off, services->vip_off, count);
	return off;
}

void io_vips_start(struct io_services *services)
{
	services->vips_job = (struct vips_job){
		.busy = true,
		.ipvs = services->vips_job.ipvs,
		.config = config_ref(services->config),
		.former = services->vips_config,
		/* Those of another configuration come when its services are there. */
		.vips = services->vips == VIPS_ON && services->changed ? VIPS_STAY : services->vips,
		.programmed = io_services_are_programmed(services),
		.keep_local = io_announce_late(services),
		.release = services->release_wanted,
		.changed = services->vips_changed,
		.off = copy_off(services),
	};
	services->vips_config = NULL;
	services->vips_wanted = services->release_wanted = services->vips_changed = false;
	uv_queue_work(services->loop, &services->vips_job.work, vips_run, vips_done);
}
