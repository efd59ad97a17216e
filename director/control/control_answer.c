#include "director/control/control_answer_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "director/event/event_json.h"
#include "director/text.h"
#include "sync/table/conn_state.h"

/* Entries looked at for one piece. */
#define WALK_MAX 2048
/* The client gives up when it receives nothing for 5 s. */
#define REASSURE (1 * USEC_PER_SEC)

static int text_set(struct control_answer *answer, char *text, size_t len)
{
	if (!text)
		return -ENOMEM;
	free(answer->line);
	answer->line = text;
	answer->len = len;
	answer->at = 0;
	return 0;
}

static int line_set(struct control_answer *answer, json_t *object)
{
	char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;
	size_t len = text ? strlen(text) : 0;

	json_decref(object);
	if (text)
		text[len++] = '\n'; /* where the NUL was */
	return text_set(answer, text, len);
}

static json_t *refusal_json(const struct refusal *refusal)
{
	return json_pack("{s:b, s:s, s:o}", "ok", 0, "error", refusal->error, "message",
			 text_json(refusal->message));
}

size_t control_answer_refuse(int error, char *data, size_t cap)
{
	json_t *object = refusal_json(
		&(struct refusal){control_error_name(error), control_error_text(error)});
	size_t len = object ? json_dumpb(object, data, cap, JSON_COMPACT) : 0;

	json_decref(object);
	if (len == 0 || len >= cap)
		return 0;
	data[len++] = '\n';
	return len;
}

/* Members: ourselves first. */

static json_t *members_next(struct control_answer *answer, struct now now, struct piece *piece)
{
	unsigned int cursor = (unsigned int)answer->cursor;
	struct status_facts facts;
	struct member_info info;
	json_t *item = NULL;

	(void)piece;
	answer->source->facts(answer->source->context, &facts);
	if (answer->next++ == 0)
		return status_self(&facts, now);
	if (membership_walk(node_membership(facts.node), &cursor, &info))
		item = status_member(&info, now);
	answer->cursor = cursor;
	return item;
}

/* Peers: those that are gone come last. */

static int peers_begin(struct control_answer *answer, struct now now, struct refusal *ret_refusal)
{
	struct status_facts facts;

	(void)ret_refusal;
	answer->source->facts(answer->source->context, &facts);
	peers_collect(facts.node, now, &answer->peers);
	return 0;
}

static json_t *peers_next(struct control_answer *answer, struct now now, struct piece *piece)
{
	unsigned int cursor = (unsigned int)answer->cursor;
	struct status_facts facts;
	json_t *item = NULL;
	struct peer peer;

	(void)piece;
	if (answer->next < answer->peers.count)
		return status_peer(&answer->peers.peers[answer->next++], now);
	answer->source->facts(answer->source->context, &facts);
	if (peers_gone(facts.node, &answer->peers, &cursor, &peer))
		item = status_peer(&peer, now);
	answer->cursor = cursor;
	return item;
}

/* Connections. */

const char *control_answer_director(const struct control_answer *answer,
				    const struct status_facts *facts, uint64_t id,
				    struct member_info *info)
{
	if (id == facts->identity->id)
		return facts->identity->certificate.name;
	for (unsigned int i = 0; i < answer->peers.count; i++)
		if (answer->peers.peers[i].id == id)
			return answer->peers.peers[i].name;
	return membership_find(node_membership(facts->node), id, info) ? info->name : "";
}

static const struct origin *origin_find(struct control_answer *answer,
					const struct status_facts *facts, uint64_t id)
{
	struct origin *origin = &answer->origin;
	struct member_info info;
	const char *name;

	if (origin->id == id && origin->text[0])
		return origin;
	origin->id = id;
	status_id(id, origin->text);
	name = control_answer_director(answer, facts, id, &info);
	snprintf(origin->name, sizeof(origin->name), "%s", *name ? name : origin->text);
	return origin;
}

static char *address_text(uint8_t family, const uint8_t *bytes, uint16_t port, char *text)
{
	struct endpoint endpoint = {.ip.family = family, .port = port};

	memcpy(endpoint.ip.bytes, bytes, ip_addr_size(family));
	return endpoint_format(&endpoint, text);
}

static json_t *entry_make(const struct entry *entry, const struct sync_info *info,
			  const char *origin, struct now now)
{
	const struct flow *flow = &entry->flow;
	char client[ENDPOINT_TEXT], vip[ENDPOINT_TEXT], real[ENDPOINT_TEXT];
	usec_t left = info->expires > now.mono ? info->expires - now.mono : 0;

	/* a fwmark's template has the mark in place of the address */
	if (flow->protocol == 0)
		snprintf(vip, sizeof(vip), "fwmark %u", load_be32(flow->vaddr));
	else
		address_text(flow->family, flow->vaddr, flow->vport, vip);
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:b, s:b, s:b, s:b, s:I, s:I}", "protocol",
			 conn_state_protocol_name(entry), "client",
			 address_text(flow->family, flow->caddr, flow->cport, client), "vip", vip,
			 "real", address_text(flow->family, entry->daddr, entry->dport, real),
			 "state", conn_state_name(entry), "origin", origin, "own", info->own,
			 "in_kernel", info->in_kernel, "replicated", info->shared, "template",
			 flow->template, "fwmark", (json_int_t)entry->fwmark, "expires_s",
			 (json_int_t)(left / USEC_PER_SEC));
}

static int connections_begin(struct control_answer *answer, struct now now,
			     struct refusal *ret_refusal)
{
	struct status_facts facts;

	answer->source->facts(answer->source->context, &facts);
	if (!control_filter_service(&answer->request.filter, &facts.config->services)) {
		ret_refusal->error = control_error_name(CONTROL_E_FILTER);
		ret_refusal->message = "the configuration has no service of that name";
		return -EINVAL;
	}
	peers_collect(facts.node, now, &answer->peers);
	return 0;
}

/* The next connection that matches, if it comes soon enough. */
static json_t *connections_next(struct control_answer *answer, struct now now, struct piece *piece)
{
	struct status_facts facts;
	struct sync_info info;
	struct entry entry;

	answer->source->facts(answer->source->context, &facts);
	piece->end = false;
	while (piece->walked < WALK_MAX) {
		const struct origin *origin;

		if (!sync_walk(node_sync(facts.node), &answer->cursor, &entry, &info)) {
			piece->end = true;
			return NULL;
		}
		piece->walked++;
		origin = origin_find(answer, &facts, info.origin);
		if (control_filter_match(&answer->request.filter, &entry, origin->name,
					 origin->text, info.own))
			return entry_make(&entry, &info, origin->name, now);
	}
	return NULL;
}

/* Events. */

/* The next event of either list, the earlier first. After a loss that list is to be asked again. */
static const struct event *event_earlier(struct control_answer *answer, const struct event_log *log,
					 uint64_t *ret_lost)
{
	uint64_t cursor = answer->cursor, evidence = answer->evidence;
	const struct event *told = event_log_next(log, &cursor, ret_lost), *other = NULL;

	if (*ret_lost) {
		answer->cursor = cursor - 1;
		return NULL;
	}
	if (answer->request.evidence)
		other = event_log_evidence(log, &evidence, ret_lost);
	if (*ret_lost) {
		answer->evidence = evidence - 1;
		return NULL;
	}
	if (other && (!told || other->time.mono <= told->time.mono)) {
		answer->evidence = evidence;
		return other;
	}
	answer->cursor = cursor;
	return told;
}

static int events_begin(struct control_answer *answer, struct now now, struct refusal *ret_refusal)
{
	struct status_facts facts;

	(void)now;
	(void)ret_refusal;
	answer->source->facts(answer->source->context, &facts);
	answer->cursor = event_log_begin(facts.events);
	answer->evidence = event_log_evidence_begin(facts.events);
	return 0;
}

static json_t *events_next(struct control_answer *answer, struct now now, struct piece *piece)
{
	struct status_facts facts;
	const struct event *event;
	uint64_t lost = 0;

	(void)now;
	piece->end = !answer->request.follow;
	answer->source->facts(answer->source->context, &facts);
	event = event_earlier(answer, facts.events, &lost);
	if (lost == 0)
		return event ? event_json(facts.events, event) : NULL;
	/* the event itself comes with the next line */
	return json_pack("{s:I}", "missed", (json_int_t)lost);
}

/* Status, and the commands that act on the director: one item. */

static int item_set(struct control_answer *answer, json_t *item)
{
	answer->item = item;
	return item ? 0 : -ENOMEM;
}

static json_t *item_next(struct control_answer *answer, struct now now, struct piece *piece)
{
	json_t *item = answer->item;

	(void)now;
	(void)piece;
	answer->item = NULL;
	return item;
}

static int status_begin(struct control_answer *answer, struct now now, struct refusal *ret_refusal)
{
	struct status_facts facts;

	(void)ret_refusal;
	answer->source->facts(answer->source->context, &facts);
	return item_set(answer, status_make(&facts, now));
}

static int act(struct control_answer *answer, struct refusal *ret_refusal)
{
	ret_refusal->error = "refused";
	return answer->source->act(answer->source->context, &answer->request,
				   &ret_refusal->message);
}

/* drain, undrain, leave */
static int drain_begin(struct control_answer *answer, struct now now, struct refusal *ret_refusal)
{
	struct status_facts facts;
	struct node_status status;
	int r;

	if (answer->request.real.ip.family != 0)
		return control_set_begin(answer, now, ret_refusal);
	r = act(answer, ret_refusal);
	if (r < 0)
		return r;
	answer->source->facts(answer->source->context, &facts);
	node_status(facts.node, &status);
	return item_set(answer, json_pack("{s:b, s:b}", "draining", status.draining, "drained",
					  status.drained));
}

static json_t *drain_next(struct control_answer *answer, struct now now, struct piece *piece)
{
	return answer->request.real.ip.family != 0 ? control_set_next(answer, now, piece)
						   : item_next(answer, now, piece);
}

static int remove_begin(struct control_answer *answer, struct now now, struct refusal *ret_refusal)
{
	int r = act(answer, ret_refusal);

	(void)now;
	return r < 0 ? r : item_set(answer, json_pack("{s:s}", "member", answer->request.member));
}

static int reload_begin(struct control_answer *answer, struct now now, struct refusal *ret_refusal)
{
	struct status_facts facts;
	int r = answer->source->reload(answer->source->context, &answer->reload,
				       &ret_refusal->message);

	(void)now;
	ret_refusal->error = "config";
	if (r < 0)
		return r;
	answer->source->facts(answer->source->context, &facts);
	return item_set(answer, json_pack("{s:o, s:s?}", "path", text_json(facts.config_path),
					  "digest", facts.config_digest));
}

/* How each command is answered. */
static const struct {
	/* Prepares the data that the first line needs; NULL: none. 0; -EAGAIN: it is awaited, ask
	 * again; or refused. */
	int (*begin)(struct control_answer *answer, struct now now, struct refusal *ret_refusal);
	/* The next item; NULL: no more, or none yet, as piece says. */
	json_t *(*next)(struct control_answer *answer, struct now now, struct piece *piece);
} handlers[CONTROL_COMMANDS] = {
	[CONTROL_STATUS] = {status_begin, item_next},
	[CONTROL_MEMBERS] = {NULL, members_next},
	[CONTROL_PEERS] = {peers_begin, peers_next},
	[CONTROL_SERVICES] = {control_services_begin, control_services_next},
	[CONTROL_CONNECTIONS] = {connections_begin, connections_next},
	[CONTROL_EVENTS] = {events_begin, events_next},
	[CONTROL_SET] = {control_set_begin, control_set_next},
	[CONTROL_DRAIN] = {drain_begin, drain_next},
	[CONTROL_UNDRAIN] = {drain_begin, item_next},
	[CONTROL_LEAVE] = {drain_begin, item_next},
	[CONTROL_REMOVE] = {remove_begin, item_next},
	[CONTROL_RELOAD] = {reload_begin, item_next},
};

/* The line after the present one; when there is none yet, answer->line stays read up. */
static int line_next(struct control_answer *answer, struct now now, struct piece *piece)
{
	json_t *item;

	piece->end = true;
	item = handlers[answer->request.command].next(answer, now, piece);
	if (item) {
		answer->count++;
		return line_set(answer, item);
	}
	if (piece->text) {
		char *text = piece->text;

		piece->text = NULL;
		return text_set(answer, text, strlen(text));
	}
	if (!piece->end)
		return 0;
	answer->ended = true;
	return line_set(answer,
			json_pack("{s:b, s:I}", "end", 1, "count", (json_int_t)answer->count));
}

/* Makes the first line, or finds that it has to wait. 0 or -ENOMEM. */
static int head_make(struct control_answer *answer, struct now now)
{
	enum control_command command = answer->request.command;
	struct refusal refusal = {0};
	int r = 0;

	if (handlers[command].begin)
		r = handlers[command].begin(answer, now, &refusal);
	answer->pending = r == -EAGAIN;
	if (answer->pending)
		return 0;
	if (r < 0 && !refusal.message)
		return r;
	if (r == 0)
		return line_set(answer, json_pack("{s:b, s:s}", "ok", 1, "command",
						  control_command_spec(command)->name));
	answer->ended = true;
	return line_set(answer, refusal_json(&refusal));
}

/* An empty line now and then as a keep-alive. */
static size_t reassure(struct control_answer *answer, struct now now, char *data, size_t cap,
		       enum control_progress *ret_progress)
{
	*ret_progress = CONTROL_WAIT;
	if (now.mono < answer->reassured + REASSURE || cap == 0)
		return 0;
	answer->reassured = now.mono;
	data[0] = '\n';
	return 1;
}

size_t control_answer_read(struct control_answer *answer, struct now now, char *data, size_t cap,
			   enum control_progress *ret_progress)
{
	struct piece piece = {0};
	size_t len = 0;
	bool wait = false;

	/* without memory the answer ends unfinished, which the client sees */
	if (answer->pending && head_make(answer, now) < 0)
		answer->ended = true;
	if (answer->pending && !answer->ended)
		return reassure(answer, now, data, cap, ret_progress);
	while (len < cap) {
		size_t n = MIN(cap - len, answer->len - answer->at);

		memcpy(data + len, answer->line + answer->at, n);
		answer->at += n;
		len += n;
		if (wait || answer->at < answer->len || answer->ended || piece.walked >= WALK_MAX)
			break;
		if (line_next(answer, now, &piece) < 0)
			answer->ended = true;
		wait = answer->request.follow && answer->at == answer->len;
	}
	*ret_progress = answer->at < answer->len ? CONTROL_MORE
			: answer->ended          ? CONTROL_END
			: wait                   ? CONTROL_WAIT
						 : CONTROL_MORE;
	return len;
}

int control_answer_new(const struct control_source *source, const struct control_request *request,
		       struct now now, struct control_answer **ret_answer)
{
	struct control_answer *answer = calloc(1, sizeof(*answer));
	int r;

	if (!answer)
		return -ENOMEM;
	answer->source = source;
	answer->request = *request;
	answer->asked = answer->reassured = now.mono;
	r = head_make(answer, now);
	if (r < 0) {
		control_answer_free(answer);
		return r;
	}
	*ret_answer = answer;
	return 0;
}

void control_answer_free(struct control_answer *answer)
{
	if (!answer)
		return;
	json_decref(answer->item);
	config_free(answer->config);
	service_list_free(answer->actual);
	free(answer->matches);
	free(answer->line);
	free(answer);
}
