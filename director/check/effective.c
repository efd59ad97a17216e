#include "director/check/effective.h"

#include "director/service/service.h"

/* Before the verdict and slow start. */
static uint32_t full_weight(const struct effective_real *real)
{
	uint64_t weight = real->file_weight;

	switch (real->setting) {
	case HEALTH_SET_WEIGHT:
		return real->setting_weight;
	case HEALTH_SET_DRAIN:
	case HEALTH_SET_MAINTENANCE:
		return 0;
	case HEALTH_SET_RESET:
	case HEALTH_SET_UP:
	case HEALTH_SETTINGS:
		break;
	}
	if (real->percent < 0 || weight == 0 || real->percent == 0)
		return real->percent == 0 ? 0 : (uint32_t)weight;
	weight = (weight * (uint64_t)real->percent + 50) / 100;
	return (uint32_t)MIN(MAX(weight, 1), SERVICE_WEIGHT_MAX);
}

static bool is_down(const struct effective_real *real)
{
	return real->checked && real->verdict == HEALTH_DOWN && real->setting != HEALTH_SET_UP;
}

/* Rules 3 and 4. */
static void decide_service(struct effective_service *service, size_t checked)
{
	const struct health_policy *policy = service->policy;
	size_t needed = MAX(policy->quorum, 1);

	if (service->service_down && policy->quorum)
		needed += policy->quorum_hysteresis;
	service->service_down = service->up < needed;
	service->sorry = service->service_down && service->has_sorry;
	service->vip_off = service->service_down && !service->sorry && policy->quorum > 0;
	service->panic = false;
	if (service->sorry || service->down == 0)
		return;
	if (service->up == 0)
		service->panic = policy->all_down == HEALTH_FAIL_OPEN;
	else
		service->panic = service->down * 100 > (size_t)policy->panic_threshold * checked;
}

/* Rule 5. */
static uint32_t slow_start(struct effective_service *service, struct effective_real *real,
			   uint32_t weight, usec_t wall)
{
	usec_t duration = service->policy->slow_start;
	usec_t steps = (duration + USEC_PER_SEC - 1) / USEC_PER_SEC, done;

	if (real->up_since == 0 || real->setting == HEALTH_SET_WEIGHT ||
	    (real->up_since > wall && real->up_since - wall > duration))
		return weight;
	done = wall > real->up_since ? (wall - real->up_since) / USEC_PER_SEC : 0;
	if (done >= steps)
		return weight;
	real->slow_start = true;
	service->next = MIN(service->next, real->up_since + (done + 1) * USEC_PER_SEC);
	return (uint32_t)MAX(weight * done / steps, 1);
}

static void decide_real(struct effective_service *service, struct effective_real *real, usec_t wall)
{
	uint32_t weight = full_weight(real);

	real->out = real->kept = real->slow_start = real->removed = false;
	if (weight > 0 && is_down(real)) {
		real->kept = service->panic;
		real->out = !real->kept;
		real->removed = real->out && service->policy->on_down == HEALTH_REMOVE;
	}
	if (real->out || service->sorry)
		weight = 0;
	else if (weight > 0 && !real->kept)
		weight = slow_start(service, real, weight, wall);
	real->weight = weight;
}

void effective_decide(struct effective_service *service, struct effective_real *reals, size_t count,
		      usec_t wall)
{
	size_t checked = 0;

	service->up = service->down = 0;
	service->next = USEC_NEVER;
	for (size_t i = 0; i < count; i++) {
		if (full_weight(&reals[i]) == 0)
			continue;
		checked += reals[i].checked;
		if (is_down(&reals[i]))
			service->down++;
		else
			service->up++;
	}
	if (count > 0)
		decide_service(service, checked);
	for (size_t i = 0; i < count; i++)
		decide_real(service, &reals[i], wall);
}
