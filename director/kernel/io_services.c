#include "director/kernel/io_services.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "director/io_clock.h"
#include "director/io_log.h"
#include "director/kernel/io_services_private.h"

void io_services_note(char *last, size_t size, const char *what, const char *text)
{
	if (strcmp(last, text) == 0)
		return;
	snprintf(last, size, "%s", text);
	if (*text)
		io_log_error("%s: %s", what, text);
	else
		io_log_notice("%s: recovered", what);
}

bool io_services_are_programmed(const struct io_services *services)
{
	return services->programmed && !services->changed &&
	       !(services->job.busy && services->job.kind == JOB_PROGRAM && services->job.changed);
}

/* Jobs on the services: on a thread, */

static struct service_list *list_make(struct services_job *job)
{
	struct service_list *list = calloc(1, sizeof(*list));
	struct service_set set = {0};
	size_t kept = 0;

	job->r = list ? ipvs_dump(job->ipvs, &set, &job->result.error) : -ENOMEM;
	if (job->r < 0) {
		free(list);
		return NULL;
	}
	for (size_t i = 0; i < set.count; i++) {
		const struct service_key *key = &set.services[i].key;

		if (service_mark_is_ours(key->fwmark) ||
		    (key->fwmark == 0 &&
		     ip_addr_compare(&key->vip.ip, &job->config->tap.local) == 0))
			service_fini(&set.services[i]);
		else
			set.services[kept++] = set.services[i];
	}
	set.count = kept;
	service_set_sort(&set);
	list->set = set;
	return list;
}

static int edits_apply(const struct services_job *job, struct wanted *wanted)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < job->n_edits; i++)
		r = wanted_edit(wanted, &job->edits[i]);
	return r;
}

/* Another configuration, with its edits. Finds out whether it is all the same to the kernel. */
static int renew(struct services_job *job, bool *ret_same)
{
	const struct service_set *services = &job->config->services;
	struct wanted wanted = {0};
	bool same = false;
	int r = wanted_init(&wanted, services);

	if (r == 0)
		r = edits_apply(job, &wanted);
	if (r == 0)
		r = paths_renew(job->paths, services, &same);
	if (r < 0) {
		wanted_fini(&wanted);
		return r;
	}
	*ret_same = same && service_set_same(&wanted.set, &job->wanted->set);
	wanted_fini(job->wanted);
	*job->wanted = wanted;
	job->renewed = true;
	return 0;
}

/* Without its hidden service, a check would go to any real server. */
static bool has_hidden(struct services_job *job)
{
	const struct service_set *hidden = &job->paths->hidden;
	struct service_set actual;
	struct ipvs_error error;
	bool all = true;

	if (hidden->count == 0 || job->r == 0)
		return true;
	if (ipvs_dump(job->ipvs, &actual, &error) < 0)
		return false;
	for (size_t i = 0; all && i < hidden->count; i++) {
		const struct service *is = service_set_find(&actual, &hidden->services[i].key);

		all = is && is->n_real_servers > 0;
	}
	service_set_fini(&actual);
	return all;
}

static void look_at_paths(struct services_job *job)
{
	struct paths_view *view = NULL;

	if (paths_look(job->paths, job->config->state, &view, &job->changes) < 0)
		return;
	job->view = view;
}

static void reconcile(struct services_job *job)
{
	struct service_keys owned = {0};
	struct service_set all;

	job->r = service_set_join(&job->wanted->set, &job->paths->hidden, &all);
	if (job->r < 0)
		return;
	job->r = reconcile_services(job->ipvs, &all, job->held, job->config->state, &owned,
				    &job->result);
	free(all.services);
	plan_keys_fini(&owned);
}

static void program(struct services_job *job)
{
	bool same = false;

	job->r = job->renew ? renew(job, &same) : edits_apply(job, job->wanted);
	job->skipped = same && job->programmed;
	if (job->r == 0 && !job->skipped)
		reconcile(job);
	if (job->r == -ENOMEM && !job->result.error.text[0])
		snprintf(job->result.error.text, sizeof(job->result.error.text), "out of memory");
	if (has_hidden(job))
		look_at_paths(job);
}

static void look(struct services_job *job)
{
	struct service_set all = {0};

	job->differs = true;
	if (service_set_join(&job->wanted->set, &job->paths->hidden, &all) == 0)
		job->differs = reconcile_differs(job->ipvs, &all, job->held, job->config->state);
	free(all.services);
	if (!job->differs)
		look_at_paths(job);
}

static void job_run(uv_work_t *work)
{
	struct services_job *job = container_of(work, struct services_job, work);

	switch (job->kind) {
	case JOB_PROGRAM:
		program(job);
		break;
	case JOB_EDIT:
		job->r = reconcile_edits(job->ipvs, job->wanted, job->held, job->edits,
					 job->n_edits, &job->result);
		break;
	case JOB_LIST:
		job->list = list_make(job);
		break;
	case JOB_LOOK:
		look(job);
		break;
	}
}

/* and what comes of them. */

static void programmed(struct io_services *services)
{
	const struct io_services_callbacks *callbacks = &services->callbacks;
	const struct reconcile_result *result = &services->job.result;
	bool failed = services->error.text[0] != '\0', was = services->programmed;
	int r = services->job.r;
	char differed[64];

	services->tried = clock_now().mono;
	services->programs++;
	services->programmed = r == 0;
	/* A service that the kernel refuses does not hold up the others. */
	services->ever |= r == 0 || (result->error.failed > 0 && r != -EPERM);
	if (result->forgot)
		io_log_warning("the list of our services in %s was damaged: services that left the "
			       "configuration meanwhile stay in the kernel, see `ipvsadm -Ln`",
			       services->config->state);
	if (r < 0 || failed)
		io_services_note(services->error.text, sizeof(services->error.text), "services",
				 r < 0 ? result->error.text : "");
	else if (result->operations)
		io_log_info("services: %u changes in the kernel", result->operations);
	/* The kernel is looked at when that holds up nobody. */
	services->look_wanted |= services->job.skipped;
	/* VIPs that waited for their services are no foreign change. */
	services->vips_changed |= services->job.changed || !was;
	services->vips_wanted = true;
	if (services->done)
		return;
	/* Work that had been done and is to be done again was undone by another process. */
	if (was && !services->job.changed && result->operations > 0) {
		snprintf(differed, sizeof(differed), "differed in %u places", result->operations);
		callbacks->put_back(callbacks->ctx, "IPVS services", differed, r);
	}
	if (!services->program_wanted)
		callbacks->programmed(callbacks->ctx);
}

static void listed(struct io_services *services)
{
	struct services_job *job = &services->job;

	service_list_free(services->list);
	services->list = job->list;
	services->listed = job->began;
	services->list_error = job->r;
	snprintf(services->list_text, sizeof(services->list_text), "%s",
		 job->r == -ENOMEM ? "out of memory" : job->result.error.text);
	if (!services->done)
		services->callbacks.listed(services->callbacks.ctx);
}

static void looked(struct io_services *services)
{
	if (services->job.differs || !services->programmed)
		services->program_wanted = true;
	else
		services->tried = clock_now().mono;
	services->vips_wanted |= !services->program_wanted;
}

/* The paths of real servers have been looked at. */
static void pathed(struct io_services *services)
{
	const struct io_services_callbacks *callbacks = &services->callbacks;
	const struct replies_changes *changes = &services->job.changes;

	paths_view_free(services->view);
	services->view = services->job.view;
	for (size_t i = 0; i < changes->count && !services->done; i++)
		callbacks->put_back(callbacks->ctx, changes->changes[i].what,
				    changes->changes[i].was, changes->changes[i].r);
}

/* An edit that fails finds the kernel changed by another process, which is put back, or an error
 * that is reported then. */
static void edited(struct io_services *services)
{
	services->edited += services->job.n_edits;
	services->program_wanted |= services->job.r < 0;
}

static void job_done(uv_work_t *work, int status)
{
	struct io_services *services = container_of(work, struct io_services, job.work);
	struct services_job *job = &services->job;
	struct config *config = job->config;

	(void)status; /* nothing cancels it */
	job->busy = false;
	if (job->renewed) {
		config_free(services->wanted_config);
		services->wanted_config = config_ref(config);
	}
	/* Out of memory: the next job has to do it. */
	services->renew |= job->renew && !job->renewed;
	free(job->edits);
	services->messages += job->result.messages;
	switch (job->kind) {
	case JOB_PROGRAM:
		pathed(services);
		programmed(services);
		break;
	case JOB_EDIT:
		edited(services);
		break;
	case JOB_LIST:
		listed(services);
		break;
	case JOB_LOOK:
		/* The programming that follows a difference does it. */
		if (!job->differs)
			pathed(services);
		looked(services);
		break;
	}
	config_free(config);
	io_services_next(services);
}

static void job_start(struct io_services *services, enum job kind)
{
	services->job = (struct services_job){
		.busy = true,
		.kind = kind,
		.ipvs = services->job.ipvs,
		.config = config_ref(services->config),
		.wanted = &services->wanted,
		.held = &services->held,
		.paths = &services->paths,
		.programmed = services->programmed,
		.began = clock_now().mono,
	};
	if (kind == JOB_PROGRAM || kind == JOB_EDIT) {
		services->job.edits = services->edits;
		services->job.n_edits = services->n_edits;
		services->job.changed = services->changed || services->n_edits > 0;
		services->job.renew = services->renew;
		services->changed = services->renew = false;
		services->edits = NULL;
		services->n_edits = 0;
	}
	uv_queue_work(services->loop, &services->job.work, job_run, job_done);
}

/* The next job */

static void gone(struct io_services *services)
{
	void (*done)(void *context) = services->done;
	void *context = services->context;

	ipvs_close(services->vips_job.ipvs);
	ipvs_close(services->job.ipvs);
	paths_leave(&services->paths, services->config->state);
	paths_fini(&services->paths);
	paths_view_free(services->view);
	wanted_fini(&services->wanted);
	held_fini(&services->held);
	config_free(services->wanted_config);
	config_free(services->vips_config);
	config_free(services->config);
	service_list_free(services->list);
	free(services->edits);
	free(services->vip_off);
	free(services);
	done(context);
}

void io_services_next(struct io_services *services)
{
	if (services->vips_wanted && !services->vips_job.busy)
		io_vips_start(services);
	if (services->job.busy)
		return;
	if (services->done) {
		if (!services->vips_job.busy && services->handles == 0)
			gone(services);
	} else if (services->program_wanted) {
		/* The VIPs that leave it go first. */
		if (services->vips_config != services->config)
			return;
		services->program_wanted = false;
		job_start(services, JOB_PROGRAM);
	} else if (services->n_edits) {
		job_start(services, JOB_EDIT);
	} else if (services->list_wanted) {
		services->list_wanted = false;
		job_start(services, JOB_LIST);
	} else if (services->look_wanted) {
		services->look_wanted = false;
		job_start(services, JOB_LOOK);
	}
}

static void interval(uv_timer_t *timer)
{
	struct io_services *services = container_of(timer, struct io_services, timer);

	/* The list is out of date. */
	service_list_free(services->list);
	services->list = NULL;
	services->listed = 0;
	services->look_wanted = true;
	io_services_next(services);
}

void io_services_soon(uv_timer_t *timer)
{
	io_services_next(container_of(timer, struct io_services, soon));
}

/* Checks our rights at once: without them, nothing works. */
static int sockets_open(struct io_services *services, struct ipvs_error *error)
{
	struct ipvs_info info;
	int r = ipvs_open(&services->job.ipvs, error);

	if (r == 0)
		r = ipvs_open(&services->vips_job.ipvs, error);
	if (r == 0)
		r = ipvs_get_info(services->job.ipvs, &info, error);
	return r;
}

int io_services_open(uv_loop_t *loop, struct config *config,
		     const struct io_services_callbacks *callbacks,
		     struct io_services **ret_services, struct fault *fault)
{
	struct io_services *services = calloc(1, sizeof(*services));
	struct ipvs_error why = {.text = "no memory"};
	int r = services ? sockets_open(services, &why) : -ENOMEM;

	if (r < 0) {
		fault_set(fault, r, "%s", why.text);
		if (services) {
			ipvs_close(services->vips_job.ipvs);
			ipvs_close(services->job.ipvs);
		}
		free(services);
		return r;
	}
	services->loop = loop;
	services->config = config_ref(config);
	services->callbacks = *callbacks;
	services->changed = services->program_wanted = services->renew = true;
	services->vips_changed = services->vips_wanted = true;
	uv_timer_init(loop, &services->timer);
	uv_timer_init(loop, &services->grace);
	uv_timer_init(loop, &services->vip_grace);
	uv_timer_init(loop, &services->soon);
	services->handles = 4;
	uv_timer_start(&services->timer, interval, IO_SERVICES_INTERVAL_MS,
		       IO_SERVICES_INTERVAL_MS);
	io_services_next(services);
	*ret_services = services;
	return 0;
}

static void closed(uv_handle_t *handle)
{
	struct io_services *services = handle->data;

	services->handles--;
	io_services_next(services);
}

void io_services_close(struct io_services *services, void (*done)(void *context), void *context)
{
	services->done = done;
	services->context = context;
	if (io_announce_late(services))
		io_announce_release(services);
	services->timer.data = services->grace.data = services->vip_grace.data =
		services->soon.data = services;
	uv_close((uv_handle_t *)&services->timer, closed);
	uv_close((uv_handle_t *)&services->grace, closed);
	uv_close((uv_handle_t *)&services->vip_grace, closed);
	uv_close((uv_handle_t *)&services->soon, closed);
	io_services_next(services);
}

void io_services_config(struct io_services *services, struct config *config)
{
	config_free(services->config);
	services->config = config_ref(config);
	free(services->edits);
	services->edits = NULL;
	services->n_edits = 0;
	free(services->vip_off);
	services->vip_off = NULL;
	services->changed = services->program_wanted = services->renew = true;
	services->vips_changed = services->vips_wanted = true;
	uv_timer_start(&services->soon, io_services_soon, 0, 0);
}

/* The job begins with the next turn, with all edits of this one. */
int io_services_edit(struct io_services *services, const struct wanted_edit *edits, size_t count)
{
	struct wanted_edit *all;

	if (count == 0)
		return 0;
	all = reallocarray(services->edits, services->n_edits + count, sizeof(*all));
	if (!all)
		return -ENOMEM;
	memcpy(all + services->n_edits, edits, count * sizeof(*edits));
	services->edits = all;
	services->n_edits += count;
	uv_timer_start(&services->soon, io_services_soon, 0, 0);
	return 0;
}

int io_services_list(struct io_services *services, usec_t since, struct service_list **ret_list,
		     const char **ret_error)
{
	if (services->listed >= since && services->listed) {
		*ret_error = services->list_text;
		if (services->list)
			*ret_list = service_list_ref(services->list);
		return services->list_error;
	}
	services->list_wanted = true;
	if (!services->done)
		io_services_next(services);
	return -EAGAIN;
}

void io_services_status(const struct io_services *services, struct io_services_status *ret_status)
{
	*ret_status = (struct io_services_status){
		.programmed = services->programmed,
		.ever = services->ever,
		.tried = services->tried,
		.error = services->programmed ? NULL : services->error.text,
		.programs = services->programs,
		.edits = services->edited,
		.messages = services->messages,
		.announcing = services->vips == VIPS_ON && !services->vip_error.text[0],
		.vip_error = services->vip_error.text[0] ? services->vip_error.text : NULL,
	};
}

bool io_services_path(const struct io_services *services, size_t service, size_t real,
		      uint32_t *ret_mark, struct ip_addr *ret_source)
{
	const struct service_set *set = &services->config->services;

	return service < set->count && real < set->services[service].n_real_servers &&
	       paths_view_find(services->view, &set->services[service],
			       &set->services[service].real_servers[real], ret_mark, ret_source);
}

bool io_services_is_path_source(const struct io_services *services, const struct ip_addr *ip)
{
	return paths_view_is_source(services->view, ip);
}
