#include "director/io_services.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "director/io_clock.h"
#include "director/io_log.h"
#include "director/owned.h"
#include "director/reconcile.h"
#include "director/vip_nl.h"

/* Until it is known whether traffic is wanted, the VIPs stay as a process before us left them. */
enum vips {
	VIPS_STAY,
	VIPS_ON,
	VIPS_OFF,
};

struct io_services {
	uv_timer_t timer;
	uv_timer_t grace; /* runs: VIPs that were taken off are still local */
	unsigned int handles;
	struct ipvs *ipvs;
	const struct config *config;
	uv_work_t look;   /* on a thread of its own: what is there */
	uv_mutex_t looks; /* held while it reads config */
	struct ipvs *look_ipvs;
	bool looking, differs;
	struct io_services_callbacks callbacks;
	bool programmed, ever;
	unsigned int operations; /* of the last attempt, in the kernel */
	enum vips vips;
	usec_t tried;
	struct ipvs_error error;
	struct vip_error vip_error;
	void (*done)(void *context);
	void *context;
};

/* A sentence is logged when it is a new one, not every ten seconds. */
static void note(char *last, size_t size, const char *what, const char *text)
{
	if (strcmp(last, text) == 0)
		return;
	snprintf(last, size, "%s", text);
	if (*text)
		io_log_error("%s: %s", what, text);
	else
		io_log_notice("%s: all is well again", what);
}

static int program(struct io_services *services)
{
	struct reconcile_result result;
	struct service_keys owned;
	bool failed = services->error.text[0] != '\0';
	int r = reconcile_services(services->ipvs, &services->config->services,
				   services->config->state, &owned, &result);

	service_keys_fini(&owned);
	services->tried = clock_now().mono;
	services->operations = result.operations;
	services->programmed = r == 0;
	/* What the kernel refuses of one service is that service's trouble. */
	services->ever |= r == 0 || (result.error.failed > 0 && r != -EPERM);
	if (result.forgot)
		io_log_warning("the list of our services in %s was damaged: services that left the "
			       "configuration meanwhile stay in the kernel, see `ipvsadm -Ln`",
			       services->config->state);
	if (r < 0 || failed)
		note(services->error.text, sizeof(services->error.text), "services",
		     r < 0 ? result.error.text : "");
	else if (result.operations)
		io_log_info("services: %u changes in the kernel", result.operations);
	return r;
}

/* Addresses that are wanted are put on; those of ours that are not are taken off. How many were
 * put on. */
static unsigned int vips_apply(struct io_services *services, const char *interface,
			       struct vip_list wanted, struct vip_list ours)
{
	struct vip_changes changes = {0};
	struct vip_error error = {""};
	bool keep_local = uv_is_active((const uv_handle_t *)&services->grace);
	int r = vip_apply(interface, wanted, ours, keep_local, &changes, &error);

	if (changes.added || changes.removed)
		io_log_notice("%s: %u VIPs put on, %u taken off", interface, changes.added,
			      changes.removed);
	note(services->vip_error.text, sizeof(services->vip_error.text), "VIPs",
	     r < 0 ? error.text : "");
	return changes.added;
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
static void vips_keep_served(struct io_services *services, struct vip_list *list,
			     struct ip_addr *vips)
{
	const struct service_set *wanted = &services->config->services;
	struct service_set actual = {0};
	struct ipvs_error error;
	size_t kept = 0;

	list->count = ipvs_dump(services->ipvs, &actual, &error) < 0 ? 0 : list->count;
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

/* Done again and again, so that what fails once, or is undone by others, is made good. How many
 * were put on. */
static unsigned int vips_set(struct io_services *services)
{
	struct vip_list none = {0};
	unsigned int added = 0;
	struct ip_addr *vips;
	struct vip_list list = vips_of(&services->config->services, &vips);

	if (services->vips == VIPS_ON && !services->programmed)
		vips_keep_served(services, &list, vips);
	if (services->vips == VIPS_ON)
		added = vips_apply(services, services->config->vip_interface, list, none);
	else if (services->vips == VIPS_OFF)
		vips_apply(services, services->config->vip_interface, none, list);
	free(vips);
	return added;
}

static bool list_has(const struct vip_list *list, const struct ip_addr *ip)
{
	for (size_t i = 0; i < list->count; i++)
		if (ip_addr_compare(&list->vips[i], ip) == 0)
			return true;
	return false;
}

/* Takes off those of was that are not in the configuration; was is changed. */
static void vips_drop(struct io_services *services, const char *interface, struct ip_addr *was,
		      size_t count)
{
	struct ip_addr *vips;
	struct vip_list stay = vips_of(&services->config->services, &vips), gone = {was, 0};
	bool moved = strcmp(interface, services->config->vip_interface) != 0;

	for (size_t i = 0; i < count; i++)
		if (moved || !list_has(&stay, &was[i]))
			was[gone.count++] = was[i];
	if (gone.count)
		vips_apply(services, interface, (struct vip_list){0}, gone);
	free(vips);
}

/* What a process before us left on the interface. */
static void vips_drop_former(struct io_services *services)
{
	struct service_keys owned = {0};
	struct ip_addr *was = NULL;
	size_t count = 0;

	if (owned_load(services->config->state, &owned) == 0 && owned.count)
		was = calloc(owned.count, sizeof(*was));
	for (size_t i = 0; was && i < owned.count; i++)
		if (owned.keys[i].fwmark == 0)
			was[count++] = owned.keys[i].vip.ip;
	if (was)
		vips_drop(services, services->config->vip_interface, was, count);
	free(was);
	service_keys_fini(&owned);
}

/* Those that were taken off are local no longer. */
static void release(struct io_services *services)
{
	struct ip_addr *vips;
	struct vip_list list = vips_of(&services->config->services, &vips);
	struct vip_error error;

	uv_timer_stop(&services->grace);
	if (vip_release(list, &error) < 0)
		io_log_warning("%s", error.text);
	free(vips);
}

static void grace_ended(uv_timer_t *grace)
{
	release(container_of(grace, struct io_services, grace));
}

static void services_put_back(struct io_services *services)
{
	const struct io_services_callbacks *callbacks = &services->callbacks;
	bool programmed = services->programmed;
	char was[64];
	int r = program(services);

	/* What had been done and is to be done again, somebody else has undone. */
	if (programmed && services->operations > 0) {
		snprintf(was, sizeof(was), "differed in %u places", services->operations);
		callbacks->put_back(callbacks->ctx, "IPVS services", was, r);
	}
}

static void vips_put_back(struct io_services *services)
{
	const struct io_services_callbacks *callbacks = &services->callbacks;
	bool set = services->vip_error.text[0] == '\0';
	unsigned int added = vips_set(services);
	char was[64];

	if (set && added > 0) {
		snprintf(was, sizeof(was), "had lost %u VIPs", added);
		callbacks->put_back(callbacks->ctx, services->config->vip_interface, was, 0);
	}
}

static void gone(struct io_services *services)
{
	void (*done)(void *context) = services->done;
	void *context = services->context;

	if (--services->handles > 0)
		return;
	uv_mutex_destroy(&services->looks);
	ipvs_close(services->look_ipvs);
	ipvs_close(services->ipvs);
	free(services);
	done(context);
}

/* Not on the loop: to list and to compare 100,000 real servers takes long. */
static void look(uv_work_t *work)
{
	struct io_services *services = container_of(work, struct io_services, look);

	uv_mutex_lock(&services->looks);
	services->differs = reconcile_differs(services->look_ipvs, &services->config->services,
					      services->config->state);
	uv_mutex_unlock(&services->looks);
}

static void looked(uv_work_t *work, int status)
{
	struct io_services *services = container_of(work, struct io_services, look);

	services->looking = false;
	if (services->done) {
		gone(services);
		return;
	}
	if (status < 0 || services->differs || !services->programmed)
		services_put_back(services);
	else
		services->tried = clock_now().mono;
	vips_put_back(services);
}

static void interval(uv_timer_t *timer)
{
	struct io_services *services = container_of(timer, struct io_services, timer);

	if (!services->looking)
		services->looking = uv_queue_work(timer->loop, &services->look, look, looked) == 0;
}

int io_services_open(uv_loop_t *loop, const struct config *config,
		     const struct io_services_callbacks *callbacks,
		     struct io_services **ret_services, char error[IO_SERVICES_ERROR_MAX])
{
	struct io_services *services = calloc(1, sizeof(*services));
	struct ipvs_error why = {.text = "no memory"};
	int r = services ? ipvs_open(&services->ipvs, &why) : -ENOMEM;

	if (r == 0)
		r = ipvs_open(&services->look_ipvs, &why);
	if (r < 0) {
		snprintf(error, IO_SERVICES_ERROR_MAX, "%s", why.text);
		if (services)
			ipvs_close(services->ipvs);
		free(services);
		return r;
	}
	services->config = config;
	services->callbacks = *callbacks;
	vips_drop_former(services);
	r = program(services);
	if (r == -EPERM) {
		snprintf(error, IO_SERVICES_ERROR_MAX, "%s", services->error.text);
		ipvs_close(services->look_ipvs);
		ipvs_close(services->ipvs);
		free(services);
		return r;
	}
	uv_mutex_init(&services->looks);
	uv_timer_init(loop, &services->timer);
	uv_timer_init(loop, &services->grace);
	services->handles = 2;
	uv_timer_start(&services->timer, interval, IO_SERVICES_INTERVAL_MS,
		       IO_SERVICES_INTERVAL_MS);
	*ret_services = services;
	return 0;
}

static void closed(uv_handle_t *handle)
{
	gone(handle->data);
}

void io_services_close(struct io_services *services, void (*done)(void *context), void *context)
{
	services->done = done;
	services->context = context;
	services->handles += services->looking;
	if (uv_is_active((uv_handle_t *)&services->grace))
		release(services);
	services->timer.data = services->grace.data = services;
	uv_close((uv_handle_t *)&services->timer, closed);
	uv_close((uv_handle_t *)&services->grace, closed);
}

void io_services_config(struct io_services *services, const struct config *config)
{
	const struct config *old = services->config;
	struct ip_addr *was;
	struct vip_list list = vips_of(&old->services, &was);

	/* A look that is under way ends first: the old configuration goes after this. */
	uv_mutex_lock(&services->looks);
	services->config = config;
	uv_mutex_unlock(&services->looks);
	vips_drop(services, old->vip_interface, was, list.count);
	free(was);
	program(services);
	vips_set(services);
}

void io_services_announce(struct io_services *services, bool announce, bool forward)
{
	bool was_on = services->vips != VIPS_OFF;

	services->vips = announce ? VIPS_ON : VIPS_OFF;
	if (!announce && forward && was_on)
		uv_timer_start(&services->grace, grace_ended, IO_SERVICES_GRACE_MS, 0);
	vips_set(services);
	/* Also what a process before us left behind. */
	if (announce || !forward)
		release(services);
}

uint64_t io_services_grace(const struct io_services *services)
{
	return uv_is_active((const uv_handle_t *)&services->grace)
		       ? MAX(uv_timer_get_due_in(&services->grace), UINT64_C(1))
		       : 0;
}

int io_services_dump(struct io_services *services, struct service_set *ret_set,
		     char error[IO_SERVICES_ERROR_MAX])
{
	struct service_set set = {0};
	struct ipvs_error why;
	size_t kept = 0;
	int r = ipvs_dump(services->ipvs, &set, &why);

	if (r < 0) {
		snprintf(error, IO_SERVICES_ERROR_MAX, "%s", why.text);
		return r;
	}
	for (size_t i = 0; i < set.count; i++) {
		const struct service_key *key = &set.services[i].key;

		if (key->fwmark == 0 &&
		    ip_addr_compare(&key->vip.ip, &services->config->tap.local) == 0)
			service_fini(&set.services[i]);
		else
			set.services[kept++] = set.services[i];
	}
	set.count = kept;
	*ret_set = set;
	return 0;
}

void io_services_status(const struct io_services *services, struct io_services_status *ret_status)
{
	*ret_status = (struct io_services_status){
		.programmed = services->programmed,
		.ever = services->ever,
		.tried = services->tried,
		.error = services->programmed ? NULL : services->error.text,
		.announcing = services->vips == VIPS_ON && !services->vip_error.text[0],
		.vip_error = services->vip_error.text[0] ? services->vip_error.text : NULL,
	};
}
