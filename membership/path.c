/* The ways to a member: its addresses, and whether UDP and TCP work on each. */
#include "membership/parts.h"

#define TCP_MISSES 4
#define RTT_MAX (60 * SEC)

struct member_path *path_find(struct member *member, const struct endpoint *endpoint)
{
	for (unsigned int i = 0; i < member->path_count; i++)
		if (endpoint_compare(&member->paths[i].endpoint, endpoint) == 0)
			return &member->paths[i];
	return NULL;
}

void path_set(struct member *member, const struct endpoint *endpoints, unsigned int count)
{
	struct member_path paths[MEMBERSHIP_ADDRESSES_MAX] = {0};
	const struct member_path *old;

	for (unsigned int i = 0; i < count; i++) {
		old = path_find(member, &endpoints[i]);
		paths[i] = old ? *old : (struct member_path){.endpoint = endpoints[i]};
	}
	memcpy(member->paths, paths, sizeof(paths));
	member->path_count = count;
}

void path_forget_misses(struct member *member)
{
	for (unsigned int i = 0; i < member->path_count; i++) {
		struct member_path *path = &member->paths[i];

		path->misses = path->tcp_misses = 0;
		path->tcp_doubt = false;
	}
}

void path_udp_missed(struct member_path *path, usec_t pinged)
{
	if (path->misses == 0)
		path->missing = pinged;
	path->misses = (uint8_t)MIN(path->misses + 1, UINT8_MAX);
}

void path_udp_acked(struct member_path *path, usec_t now, usec_t rtt)
{
	uint32_t last = (uint32_t)MIN(rtt, RTT_MAX);

	if (last)
		path->rtt = path->rtt ? (7 * path->rtt + last) / 8 : last;
	path->udp_heard = now;
	path->misses = 0;
}

void path_udp_set(struct member_path *path, bool down)
{
	path->udp_down = down;
	if (!down)
		path->misses = 0;
}

void path_tcp_reached(struct member_path *path, usec_t now)
{
	path->tcp_heard = now;
	path_tcp_retry(path);
}

void path_tcp_retry(struct member_path *path)
{
	path->tcp_down = path->tcp_doubt = false;
	path->tcp_misses = 0;
}

void path_tcp_down(struct member_path *path)
{
	path->tcp_down = true;
}

void path_tcp_doubt(struct member_path *path)
{
	path->tcp_doubt = !path->tcp_down;
}

bool path_tcp_missed(struct member_path *path)
{
	path->tcp_doubt = false;
	path->tcp_misses++;
	if (path->tcp_misses < TCP_MISSES)
		return false;
	path->tcp_down = true;
	return true;
}
