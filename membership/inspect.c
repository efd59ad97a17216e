/* The questions that a driver may ask: status, members, and counters of what was refused. They
 * change nothing. */
#include "membership/parts.h"

static const char *const refusals[REFUSAL_MAX] = {
	[REFUSED_SIZE] = "size",
	[REFUSED_VERSION] = "version",
	[REFUSED_CLUSTER] = "cluster",
	[REFUSED_MAC] = "mac",
	[REFUSED_STALE] = "stale",
	[REFUSED_REPEATED] = "replayed",
	[REFUSED_STRANGER] = "unknown-sender",
	[REFUSED_EXPIRED] = "expired",
	[REFUSED_KIND] = "kind",
	[REFUSED_MALFORMED] = "malformed",
	[REFUSED_UNPROVEN] = "unproven",
	[REFUSED_NONCE] = "nonce",
	[REFUSED_CERTIFICATE] = "certificate",
	[REFUSED_SIGNATURE] = "signature",
	[REFUSED_UNKNOWN] = "unknown",
	[REFUSED_AHEAD] = "ahead",
	[REFUSED_ACCUSER] = "accuser",
	[REFUSED_REMOVAL] = "removal",
	[REFUSED_VERSIONS] = "no-common-version",
	[REFUSED_FULL] = "full",
	[REFUSED_RELAY] = "relay",
	[REFUSED_ROLLBACK] = "rollback",
	[REFUSED_THROTTLED] = "throttled",
	[DROPPED_OUTPUT] = "dropped-datagrams",
	[DROPPED_ITEM] = "dropped-gossip",
	[DROPPED_NOTICE] = "dropped-notices",
};

bool membership_counter(const struct membership *m, unsigned int i,
			struct membership_counter *ret_counter)
{
	if (i >= REFUSAL_MAX)
		return false;
	*ret_counter = (struct membership_counter){.name = refusals[i], .value = m->counters[i]};
	return true;
}

void membership_status(const struct membership *m, struct membership_status *ret_status)
{
	*ret_status = (struct membership_status){
		.datagrams_in = m->datagrams_in,
		.datagrams_out = m->datagrams_out,
		.bytes_in = m->bytes_in,
		.bytes_out = m->bytes_out,
		.pings = m->pings,
		.pings_lost = m->pings_lost,
	};
	ret_status->versions = m->versions;
	ret_status->id = m->identity->id;
	ret_status->epoch = m->epoch;
	ret_status->incarnation = m->incarnation;
	ret_status->phase = m->phase;
	ret_status->view = m->alive_count + 1;
	ret_status->roster = m->roster_count + 1;
	ret_status->away = m->away_count;
	ret_status->quorum = quorum_of(m);
	ret_status->health = m->health;
	ret_status->split_incident = m->split.incident.open ? m->split.incident.id : 0;
	ret_status->split_confirmed = m->split.incident.open && m->split.confirmed;
	ret_status->cut_incident = m->links.incident.open ? m->links.incident.id : 0;
	ret_status->duplicate_identity = m->duplicate_identity.open;
	ret_status->beyond = place_beyond(m, NULL);
	ret_status->directors_max = m->directors_max;
	ret_status->witness = m->witness;
	ret_status->witness_ok = m->witness_ok;
	ret_status->partial = m->own_udp_failures != 0;
}

static void info_of(const struct membership *m, const struct member *member,
		    struct member_info *info)
{
	*info = (struct member_info){
		.id = member->id,
		.epoch = member->epoch,
		.incarnation = member->incarnation,
		.certificate = member->certificate,
		.certificate_len = member->certificate_len,
		.state = member->state,
		.since = member->since,
		.phase = member->phase,
		.partial = member->partial.wanted,
		.beyond = place_beyond(m, member),
		.through_others = member_answers(member) && links_cut(member),
		.evidence = member->evidence,
		.versions = member->versions,
		.config = member->config,
		.flaps = member->failed.flaps,
		.address_count = member->path_count,
	};
	memcpy(info->name, member->name, sizeof(info->name));
	for (unsigned int i = 0; i < member->path_count; i++)
		info->addresses[i] = (struct member_address){
			.endpoint = member->paths[i].endpoint,
			.udp = !member->paths[i].udp_down && member_answers(member),
			.tcp = !member->paths[i].tcp_down && member_answers(member),
			.udp_heard = member->paths[i].udp_heard,
			.tcp_heard = member->paths[i].tcp_heard,
			.rtt = member->paths[i].rtt,
		};
}

bool membership_walk(const struct membership *m, unsigned int *cursor, struct member_info *ret_info)
{
	while (*cursor < m->member_cap) {
		const struct member *member = m->members[(*cursor)++];

		if (member) {
			info_of(m, member, ret_info);
			return true;
		}
	}
	return false;
}

bool membership_find(const struct membership *m, uint64_t id, struct member_info *ret_info)
{
	const struct member *member = members_find(m, id);

	if (member)
		info_of(m, member, ret_info);
	return member != NULL;
}
