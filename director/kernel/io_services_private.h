/* Shared by io_services, io_vips and io_announce. */
#ifndef DIRECTOR_KERNEL_IO_SERVICES_PRIVATE_H
#define DIRECTOR_KERNEL_IO_SERVICES_PRIVATE_H

#include "director/kernel/io_services.h"
#include "director/kernel/ipvs.h"
#include "director/kernel/paths.h"
#include "director/kernel/reconcile.h"
#include "director/rtnl/vip_nl.h"

/* Until it is known whether traffic is wanted, the VIPs stay as a former process left them. */
enum vips {
	VIPS_STAY,
	VIPS_ON,
	VIPS_OFF,
};

enum job {
	JOB_PROGRAM, /* brings the kernel to the wanted state */
	JOB_EDIT,    /* changes single real servers */
	JOB_LIST,
	JOB_LOOK, /* whether it is */
};

/* A job on the services. The thread has all of it but `work` and `busy` to itself while it runs. */
struct services_job {
	uv_work_t work;
	bool busy;
	enum job kind;
	struct ipvs *ipvs;
	struct config *config;
	bool changed; /* since the last one: it is the first with this configuration, or these edits
		       */
	/* Jobs hand these on: what is to be in the kernel, and what is known of it. */
	struct wanted *wanted;
	struct held *held;
	struct paths *paths;
	bool renew;      /* wanted and paths are of another configuration, or of its edits */
	bool programmed; /* what was wanted before is in the kernel */
	struct wanted_edit *edits;
	size_t n_edits;
	usec_t began;
	/* Its result. */
	int r;
	bool differs;
	bool renewed; /* as it had to */
	bool skipped; /* nothing else is wanted than before, and the kernel was not looked at */
	struct reconcile_result result;
	struct service_list *list;
	struct paths_view *view;
	struct replies_changes changes;
};

/* The same for the VIPs. */
struct vips_job {
	uv_work_t work;
	bool busy;
	struct ipvs *ipvs;
	struct config *config, *former; /* former: whose VIPs are on; NULL: a former process's */
	enum vips vips;
	bool programmed; /* the services of config */
	bool keep_local, release, changed;
	bool *off; /* of each service: its VIP is not wanted; NULL: all are */
	/* Its result. */
	struct vip_changes changes, dropped;
	struct fault error; /* the first */
	struct fault release_error;
};

struct io_services {
	uv_loop_t *loop;
	uv_timer_t timer;
	uv_timer_t grace;     /* runs: VIPs that were taken off are still local; */
	uv_timer_t vip_grace; /* those of single services */
	uv_timer_t soon;      /* edits wait for the next turn */
	unsigned int handles;
	struct io_services_callbacks callbacks;
	struct config *config;

	struct services_job job;
	struct wanted wanted;
	struct held held;
	struct paths paths;
	struct paths_view *view;      /* as of the last look at the kernel, NULL: none */
	struct config *wanted_config; /* whose services wanted borrows; NULL: none yet */
	struct wanted_edit *edits;    /* no job has begun since */
	size_t n_edits;
	uint64_t programs, edited, messages;
	bool program_wanted, list_wanted, look_wanted;
	bool changed; /* config, and no job has begun since */
	bool renew;   /* likewise, and none has taken it over */
	bool programmed, ever;
	usec_t tried;
	struct ipvs_error error;

	struct vips_job vips_job;
	bool vips_wanted, release_wanted;
	bool vips_changed; /* vips has changed; no job has begun since */
	enum vips vips;
	bool *vip_off;              /* of each service of config; NULL: none is off */
	struct config *vips_config; /* whose VIPs are on, NULL: a former process's */
	struct fault vip_error;

	struct service_list *list; /* the last one, NULL: none, or list_error */
	usec_t listed;             /* when it was begun */
	int list_error;
	char list_text[FAULT_TEXT];

	void (*done)(void *context);
	void *context;
};

/* io_services.c: starts the jobs that are wanted and may run now; */
void io_services_next(struct io_services *services);
/* the same, by the timer `soon`; */
void io_services_soon(uv_timer_t *timer);
/* the newest configuration is in the kernel, all of it; */
bool io_services_are_programmed(const struct io_services *services);
/* logs a sentence when it is a new one, not every time. */
void io_services_note(char *last, size_t size, const char *what, const char *text);

/* io_vips.c: takes off the VIPs that left the configuration, puts the others on or off, and
 * releases those that are off; on a thread. */
void io_vips_start(struct io_services *services);

/* io_announce.c: packets to VIPs that were taken off are forwarded no longer; */
void io_announce_release(struct io_services *services);
/* whether they still are. */
bool io_announce_late(const struct io_services *services);

#endif
