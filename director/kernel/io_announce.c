/* Whether this director takes traffic, and for which services: a routing daemon announces the VIPs
 * that are on their interface. io_vips puts them there. */
#include <errno.h>
#include <stdlib.h>

#include "director/kernel/io_services_private.h"

bool io_announce_late(const struct io_services *services)
{
	return uv_is_active((const uv_handle_t *)&services->grace) ||
	       uv_is_active((const uv_handle_t *)&services->vip_grace);
}

void io_announce_release(struct io_services *services)
{
	uv_timer_stop(&services->grace);
	uv_timer_stop(&services->vip_grace);
	services->release_wanted = services->vips_wanted = true;
}

/* The last of both releases all. */
static void late_ended(struct io_services *services)
{
	if (io_announce_late(services))
		return;
	io_announce_release(services);
	io_services_next(services);
}

static void grace_ended(uv_timer_t *grace)
{
	late_ended(container_of(grace, struct io_services, grace));
}

static void vip_grace_ended(uv_timer_t *grace)
{
	late_ended(container_of(grace, struct io_services, vip_grace));
}

int io_services_vip(struct io_services *services, size_t service, bool on)
{
	size_t count = services->config->services.count;

	if (service >= count)
		return 0;
	if (!services->vip_off)
		services->vip_off = calloc(count, sizeof(*services->vip_off));
	if (!services->vip_off)
		return -ENOMEM;
	if (services->vip_off[service] == !on)
		return 0;
	services->vip_off[service] = !on;
	if (!on && services->vips == VIPS_ON)
		uv_timer_start(&services->vip_grace, vip_grace_ended, IO_ANNOUNCE_GRACE_MS, 0);
	services->vips_changed = services->vips_wanted = true;
	uv_timer_start(&services->soon, io_services_soon, 0, 0);
	return 0;
}

void io_announce(struct io_services *services, bool announce, bool forward)
{
	bool was_on = services->vips != VIPS_OFF;

	services->vips = announce ? VIPS_ON : VIPS_OFF;
	if (!announce && forward && was_on)
		uv_timer_start(&services->grace, grace_ended, IO_ANNOUNCE_GRACE_MS, 0);
	services->vips_changed = services->vips_wanted = true;
	/* Also the VIPs that a former process left behind. */
	if (announce || !forward)
		io_announce_release(services);
	io_services_next(services);
}

uint64_t io_announce_grace(const struct io_services *services)
{
	return uv_is_active((const uv_handle_t *)&services->grace)
		       ? MAX(uv_timer_get_due_in(&services->grace), UINT64_C(1))
		       : 0;
}
