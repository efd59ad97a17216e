#include "director/control/status_private.h"

json_t *status_health(const struct status_facts *facts)
{
	size_t up = 0, down = 0, total = 0, services_down = 0, panic = 0, sorry = 0, withdrawn = 0;
	struct health_service_status status;

	if (!facts->health)
		return json_null();
	for (size_t i = 0; health_service_status(facts->health, i, &status); i++) {
		up += status.up;
		down += status.down;
		total += status.total;
		services_down += status.service_down;
		panic += status.panic;
		sorry += status.sorry;
		withdrawn += status.vip_off;
	}
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "up", number(up), "down",
			 number(down), "total", number(total), "services_down",
			 number(services_down), "panic", number(panic), "sorry_server",
			 number(sorry), "vip_withdrawn", number(withdrawn));
}
