/* Shared by the files of io_services. */
#ifndef DIRECTOR_KERNEL_IO_SERVICES_PRIVATE_H
#define DIRECTOR_KERNEL_IO_SERVICES_PRIVATE_H

#include "director/kernel/io_services.h"
#include "director/kernel/ipvs.h"
#include "director/kernel/reconcile.h"
#include "director/kernel/vip_nl.h"

/* Until it is known whether traffic is wanted, the VIPs stay as a former process left them. */
enum vips {
	VIPS_STAY,
	VIPS_ON,
	VIPS_OFF,
};

enum job {
	JOB_PROGRAM, /* brings the kernel to the wanted state */
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
	bool changed; /* since the last one: it is not the first with this configuration */
	usec_t began;
	/* Its result. */
	int r;
	bool differs;
	struct reconcile_result result;
	struct service_list *list;
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
	/* Its result. */
	struct vip_changes changes, dropped;
	struct vip_error error; /* the first */
	struct vip_error release_error;
};

/* On a thread: takes off what left the configuration, puts the others on or off, and releases. */
void io_services_vips_run(struct vips_job *job);

#endif
