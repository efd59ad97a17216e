/* Whether this director takes traffic: a routing daemon announces the VIPs that are on their
 * interface. io_vips puts them there. */
#include "director/kernel/io_services_private.h"

void io_announce_release(struct io_services *services)
{
	uv_timer_stop(&services->grace);
	services->release_wanted = services->vips_wanted = true;
}

static void grace_ended(uv_timer_t *grace)
{
	struct io_services *services = container_of(grace, struct io_services, grace);

	io_announce_release(services);
	io_services_next(services);
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
