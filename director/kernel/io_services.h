/* Keeps the kernel's services in IPVS, looked after every IO_SERVICES_INTERVAL_MS, and the VIPs on
 * their interface. Both outlive us. Logs what it changes and what fails.
 *
 * Netlink blocks, for seconds with 100,000 real servers: every call runs on libuv's threads, one at
 * a time for the services and one at a time for the VIPs, in this order: VIPs that leave the
 * configuration are taken off, the services are programmed, new VIPs are put on. All functions
 * return at once; their work is done later. */
#ifndef DIRECTOR_KERNEL_IO_SERVICES_H
#define DIRECTOR_KERNEL_IO_SERVICES_H

#include <uv.h>

#include "director/config/config.h"
#include "director/service/wanted.h"
#include "proto/base.h"
#include "proto/fault.h"

struct io_services;

#define IO_SERVICES_INTERVAL_MS 5000

/* Another process changed `what` in the kernel: it `was`..., and has been put back, or putting it
 * back failed with r (negative errno). */
struct io_services_callbacks {
	void (*put_back)(void *ctx, const char *what, const char *was, int r);
	/* The services of the newest configuration have been tried: io_services_status(). */
	void (*programmed)(void *ctx);
	/* io_services_list() has something new. */
	void (*listed)(void *ctx);
	void *ctx;
};

/* Begins to program the services for the first time, and to take off the VIPs that were ours and
 * are not configured any more. config: one more reference is held. 0, or a negative errno and a
 * sentence: this kernel can't, or we may not; a failure of a single service is logged and tried
 * again. */
int io_services_open(uv_loop_t *loop, struct config *config,
		     const struct io_services_callbacks *callbacks,
		     struct io_services **ret_services, struct fault *fault);
/* Services and VIPs stay. A running job ends first; then done is called once, services is freed. No
 * other callback is called any more. */
void io_services_close(struct io_services *services, void (*done)(void *context), void *context);

/* Another configuration: VIPs that leave it go first, new ones come last. Edits and VIPs of the
 * former are forgotten; those that are given in the same turn of the loop, as after
 * io_services_open(), are programmed with it, at once. One that is all the same to the kernel
 * writes nothing, and does not wait for a list of its services. */
void io_services_config(struct io_services *services, struct config *config);

/* Real servers are to differ from the configuration's; copied. One message to the kernel for each
 * weight, without a list of the kernel's services; nothing for what is so already. Edits of one
 * turn are made together. 0, or -ENOMEM: none is made. */
int io_services_edit(struct io_services *services, const struct wanted_edit *edits, size_t count);

/* io_announce.c */

/* Whether traffic is wanted: puts the VIPs on, or takes them off. Before the first call they stay
 * as they were found. forward: late packets are forwarded for IO_ANNOUNCE_GRACE_MS after they were
 * taken off; false: the kernel does not forward. */
#define IO_ANNOUNCE_GRACE_MS 5000
void io_announce(struct io_services *services, bool announce, bool forward);
/* ms of that time that are left; 0: it is over. */
uint64_t io_announce_grace(const struct io_services *services);
/* Takes the VIP of a service, by its number in the configuration, off the interface, while VIPs are
 * on and no other service wants it, or puts it back. Late packets are forwarded as by
 * io_announce(). 0, or -ENOMEM: nothing is changed. */
int io_services_vip(struct io_services *services, size_t service, bool on);

/* io_services.c */

/* The kernel's services with their counters, sorted; the wire tap's left out. since: mono, the list
 * is from then or later. 0: one more reference to a list, for service_list_free(). -EAGAIN: it is
 * being made, listed() is called. Another negative errno, and a sentence that is borrowed until the
 * next call of listed(). */
int io_services_list(struct io_services *services, usec_t since, struct service_list **ret_list,
		     const char **ret_error);

/* For a check with CHECK_VIA_FORWARDING of a real server, by its numbers in the configuration: its
 * socket is to have the mark (SO_MARK), to be bound to the source, and to connect to the VIP, so
 * that its packets go the real server's forwarding path. False: the kernel is not ready for it, or
 * there is no route to it: don't check now. */
bool io_services_path(const struct io_services *services, size_t service, size_t real,
		      uint32_t *ret_mark, struct ip_addr *ret_source);
/* Whether such checks come from that address: connections in the kernel are theirs. */
bool io_services_is_path_source(const struct io_services *services, const struct ip_addr *ip);

struct io_services_status {
	bool programmed;   /* the last attempt succeeded */
	bool ever;         /* one attempt did, but for single services that the kernel refused */
	usec_t tried;      /* mono */
	const char *error; /* of the last attempt, borrowed until the next, or NULL */
	bool announcing;   /* the VIPs are on */
	const char *vip_error; /* the same */
	uint64_t programs;     /* times that all services were compared with the kernel's to change
				  them, and the edits that needed no such comparison, */
	uint64_t edits;
	uint64_t messages; /* and messages to the kernel of both */
};

void io_services_status(const struct io_services *services, struct io_services_status *ret_status);

#endif
