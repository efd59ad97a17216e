/* The parts of `status` and `members` that say who is a member, alive, away or failed, and who we
 * are. */
#include "director/config/config_digest.h"
#include "director/control/status_private.h"
#include "director/event/notices.h"

static const char *quorum_name(enum membership_quorum quorum)
{
	return quorum == QUORUM_MAJORITY ? "majority" : quorum == QUORUM_HALF ? "half" : "minority";
}

static json_t *config_text(uint64_t config)
{
	char text[STATUS_ID_TEXT];

	return config ? json_string(status_id(config, text)) : json_null();
}

static json_t *partition_make(const struct membership *membership, const char *director)
{
	struct membership_cut cut;
	char text[1024];

	membership_cut(membership, &cut);
	if (cut.pairs == 0)
		return json_null();
	notices_cut(membership, director, &cut, text, sizeof(text));
	return json_pack("{s:s, s:i, s:i}", "cut", text, "directors", (int)cut.members, "pairs",
			 (int)cut.pairs);
}

json_t *status_membership(const struct membership *membership, const char *director)
{
	struct membership_status status;
	const char *split = NULL;

	membership_status(membership, &status);
	if (status.split_incident)
		split = status.split_confirmed ? "confirmed" : "suspected";
	return json_pack("{s:i, s:i, s:i, s:s, s:s?, s:o, s:i, s:s, s:b, s:o}", "members_alive",
			 (int)status.view, "members_total", (int)status.roster, "away",
			 (int)status.away, "quorum", quorum_name(status.quorum), "split", split,
			 "partition", partition_make(membership, director), "health_score",
			 (int)status.health, "phase", member_phase_name((int)status.phase),
			 "duplicate_identity", status.duplicate_identity, "witness",
			 status.witness ? json_boolean(status.witness_ok) : json_null());
}

static json_t *own_addresses(const struct config *config)
{
	json_t *addresses = json_array();
	char text[ENDPOINT_TEXT];

	for (size_t i = 0; i < config->n_listen; i++)
		json_array_append_new(addresses,
				      json_pack("{s:s, s:b, s:b, s:n}", "address",
						endpoint_format(&config->listen[i], text), "udp", 1,
						"tcp", 1, "rtt_us"));
	return addresses;
}

json_t *status_self(const struct status_facts *facts, struct now now)
{
	const struct membership *membership = node_membership(facts->node);
	struct membership_status status;
	char id[STATUS_ID_TEXT];

	membership_status(membership, &status);
	return json_pack(
		"{s:s, s:s, s:b, s:s, s:s, s:I, s:o, s:i, s:[I, I], s:o, s:I, s:I, s:b, "
		"s:b, s:i, s:[]}",
		"name", facts->identity->certificate.name, "id", status_id(status.id, id), "self",
		1, "state", member_state_name(STATE_ALIVE), "phase",
		member_phase_name((int)status.phase), "for_s", since(facts->started, now),
		"addresses", own_addresses(facts->config), "health_score", (int)status.health,
		"protocol_versions", number(status.versions.min), number(status.versions.max),
		"config_digest", config_text(config_digest_number(facts->config)), "epoch",
		number(status.epoch), "incarnation", number(status.incarnation), "partly_reachable",
		status.partial, "indirect_only", 0, "flaps", 0, "evidence");
}

static json_t *addresses_make(const struct member_info *info)
{
	json_t *addresses = json_array();
	char text[ENDPOINT_TEXT];

	for (unsigned int i = 0; i < info->address_count; i++) {
		const struct member_address *address = &info->addresses[i];

		json_array_append_new(
			addresses,
			json_pack("{s:s, s:b, s:b, s:o}", "address",
				  endpoint_format(&address->endpoint, text), "udp", address->udp,
				  "tcp", address->tcp, "rtt_us",
				  address->rtt ? json_integer(number(address->rtt)) : json_null()));
	}
	return addresses;
}

static json_t *evidence_make(unsigned int evidence)
{
	json_t *names = json_array();
	const char *name;

	for (unsigned int i = 0; (name = notices_evidence_name(i)); i++)
		if (evidence >> i & 1)
			json_array_append_new(names, json_string(name));
	return names;
}

json_t *status_member(const struct member_info *info, struct now now)
{
	char id[STATUS_ID_TEXT];

	return json_pack("{s:s, s:s, s:b, s:s, s:s, s:I, s:o, s:n, s:[I, I], s:o, s:I, s:I, s:b, "
			 "s:b, s:i, s:o}",
			 "name", info->name, "id", status_id(info->id, id), "self", 0, "state",
			 member_state_name((int)info->state), "phase",
			 member_phase_name((int)info->phase), "for_s", since(info->since, now),
			 "addresses", addresses_make(info), "health_score", "protocol_versions",
			 number(info->versions.min), number(info->versions.max), "config_digest",
			 config_text(info->config), "epoch", number(info->epoch), "incarnation",
			 number(info->incarnation), "partly_reachable", info->partial,
			 "indirect_only", info->through_others, "flaps", (int)info->flaps,
			 "evidence", evidence_make(info->evidence));
}
