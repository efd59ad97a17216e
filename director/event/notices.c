#include "director/event/notices.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "director/text.h"

#define ID_TEXT 17

const char *notices_evidence_name(unsigned int i)
{
	static const char *const names[] = {
		"connection-refused", "restarted", "other-address", "replicating", "seen-by-others",
		"witness-answers",    "mutual",    "one-sided",     "no-udp",      "no-tcp",
	};

	return i < ARRAY_SIZE(names) ? names[i] : NULL;
}

static void evidence_names(unsigned int evidence, char *text, size_t size)
{
	struct text to = {text, size, 0};
	const char *name;

	text[0] = '\0';
	for (unsigned int i = 0; (name = notices_evidence_name(i)); i++)
		if (evidence >> i & 1)
			text_add(&to, "%s%s", to.len ? ", " : "", name);
}

/* The evidence's meaning, for a person. */
static const char *evidence_text(unsigned int evidence)
{
	if (evidence & EVIDENCE_RESTARTED)
		return ": it has been restarted";
	if (evidence & EVIDENCE_REFUSED)
		return ": host is up, daemon is down";
	if (evidence & EVIDENCE_THIRD)
		return ": other directors still reach it";
	if (evidence & EVIDENCE_SYNC)
		return ": it answers no probe, but still sends its connections";
	return "";
}

/* Adds the name of a member or of ourselves, or the id of a director that is not known any more. */
static void name_add(struct text *to, const struct membership *membership, const char *director,
		     uint64_t id)
{
	struct membership_status self;
	struct member_info info;

	membership_status(membership, &self);
	if (id == self.id)
		text_add(to, "%s", director);
	else if (membership_find(membership, id, &info))
		text_add(to, "%s", info.name);
	else
		text_add(to, "%016" PRIx64, id);
}

void notices_cut(const struct membership *membership, const char *director,
		 const struct membership_cut *cut, char *text, size_t size)
{
	struct text to = {text, size, 0};
	bool grouped = cut->groups > 0;
	unsigned int i;

	text[0] = '\0';
	for (i = 0; i < cut->id_count; i++) {
		char name[CERTIFICATE_NAME_MAX + 1];
		struct text of_name = {name, sizeof(name), 0};
		const char *separator = grouped ? " | " : ", ";

		if (grouped ? i && cut->group[i] == cut->group[i - 1] : i % 2)
			separator = grouped ? ", " : "-";
		name_add(&of_name, membership, director, cut->ids[i]);
		if (to.len + strlen(separator) + of_name.len + sizeof(" ...") > size)
			break;
		text_add(&to, "%s%s", i ? separator : "", name);
	}
	if (i < (grouped ? cut->members : 2 * cut->pairs))
		text_add(&to, " ...");
}

static void names_of(const struct membership *membership, const char *director,
		     const struct membership_notice *notice, char *text, size_t size)
{
	struct text to = {text, size, 0};
	struct membership_cut cut;

	text[0] = '\0';
	if (notice->type == MEMBERSHIP_PARTIAL_PARTITION) {
		membership_cut(membership, &cut);
		notices_cut(membership, director, &cut, text, size);
	}
	for (unsigned int i = 0; i < notice->id_count && i < MEMBERSHIP_NOTICE_IDS; i++) {
		text_add(&to, "%s", i ? ", " : "");
		name_add(&to, membership, director, notice->ids[i]);
	}
}

/* Our side of a split: those that are alive, and we. */
static void names_here(const struct membership *membership, const char *director, char *text,
		       size_t size)
{
	struct text to = {text, size, 0};
	unsigned int cursor = 0;
	struct member_info info;

	text_add(&to, "%s", director);
	while (membership_walk(membership, &cursor, &info))
		if (info.state == STATE_ALIVE || info.state == STATE_SUSPECT)
			text_add(&to, ", %s", info.name);
}

/* Evidence: accuser, time, reasons. */
static void suspicion_text(const struct membership_notice *notice, const char *accuser,
			   struct text *to)
{
	const char *tcp = notice->evidence & EVIDENCE_REFUSED ? ", its host refuses TCP"
			  : notice->evidence & EVIDENCE_TCP   ? ", none by TCP"
							      : "";

	text_add(to, "%s suspects member %s", accuser, notice->name);
	if (notice->pings) {
		text_add(to, ": no answer to %u pings%s", notice->pings, tcp);
		if (notice->helpers)
			text_add(to, "; %u of %u helpers got no answer either", notice->nacks,
				 notice->helpers);
	}
	text_add(to, ".");
	if (notice->id_count > 1)
		text_add(to, " %u directors suspect it now.", notice->id_count);
}

static void evidence_sentence(const struct membership_notice *notice, const char *director,
			      const char *accuser, struct text *to)
{
	double s = (double)notice->duration / (double)USEC_PER_SEC;

	switch (notice->type) {
	case MEMBERSHIP_SUSPECTED:
		suspicion_text(notice, accuser, to);
		break;
	case MEMBERSHIP_CLEARED:
		text_add(to, "Member %s is no longer suspected, after %.3f s.", notice->name, s);
		break;
	case MEMBERSHIP_REFUTED:
		text_add(to, "%s suspected %s, which refuted that.", accuser, director);
		break;
	case MEMBERSHIP_PAUSED:
		text_add(to, "%s did not run for %.1f s.", director, s);
		break;
	default:
		text_add(to, "%s", membership_notice_name((int)notice->type));
		break;
	}
}

static void partial_sentence(const struct membership_notice *notice, const char *director,
			     struct text *to)
{
	bool udp = notice->evidence & EVIDENCE_UDP, tcp = notice->evidence & EVIDENCE_TCP;

	if (*notice->name)
		text_add(to, "Member %s is reachable %s.", notice->name,
			 udp && !tcp   ? "by TCP only"
			 : tcp && !udp ? "by UDP only"
				       : "only in part");
	else
		text_add(
			to,
			"All members answer %s by TCP and none by UDP: check its interface, packet "
			"filter and routes.",
			director);
}

static void sentence(const struct membership_notice *notice, const char *director,
		     const char *names, struct text *to)
{
	const char *name = notice->name;
	double s = (double)notice->duration / (double)USEC_PER_SEC;
	unsigned int view = notice->view, roster = notice->roster;
	const char *too = notice->evidence & EVIDENCE_WITNESS ? " and the witness" : "";

	switch (notice->type) {
	case MEMBERSHIP_MEMBER_JOINED:
		text_add(to, "Member %s has joined: %u of %u members are alive.", name, view,
			 roster);
		break;
	case MEMBERSHIP_MEMBER_LEFT:
		text_add(to, "Member %s has left for good: %u of %u members are alive.", name, view,
			 roster);
		break;
	case MEMBERSHIP_MEMBER_FAILED:
		text_add(to, "Member %s has failed%s; %u of %u members are alive.", name,
			 evidence_text(notice->evidence), view, roster);
		break;
	case MEMBERSHIP_MEMBER_RECOVERED:
		text_add(to, "Member %s is alive again after %.1f s: %u of %u members are alive.",
			 name, s, view, roster);
		break;
	case MEMBERSHIP_MEMBER_PARTIAL:
		partial_sentence(notice, director, to);
		break;
	case MEMBERSHIP_MEMBER_WHOLE:
		if (*name)
			text_add(to, "Member %s is reachable by UDP and TCP again after %.1f s.",
				 name, s);
		else
			text_add(to, "Other members answer %s by UDP again after %.1f s.", director,
				 s);
		break;
	case MEMBERSHIP_QUORUM_LOST:
		text_add(to, "Quorum is lost: %s sees %u of %u members.", director, view, roster);
		break;
	case MEMBERSHIP_QUORUM_REGAINED:
		text_add(to, "Quorum is back after %.1f s: %s sees %u of %u members.", s, director,
			 view, roster);
		break;
	case MEMBERSHIP_SPLIT_SUSPECTED:
		text_add(to, "The cluster is split, or %s %s crashed: %s sees %u of %u members%s.",
			 names, notice->lost == 1 ? "has" : "have", director, view, roster, too);
		break;
	case MEMBERSHIP_SPLIT_CONFIRMED:
		if (notice->evidence & EVIDENCE_MUTUAL)
			text_add(to,
				 "The cluster was split: %s and %s were partitioned from each "
				 "other.",
				 director, names);
		else
			text_add(to,
				 "The cluster is split: %s sees %u of %u members%s, and not %s.",
				 director, view, roster, too, names);
		break;
	case MEMBERSHIP_SPLIT_HEALED:
		text_add(to, "The split is over after %.1f s: %s sees %u of %u members.", s,
			 director, view, roster);
		break;
	case MEMBERSHIP_PARTIAL_PARTITION:
		text_add(to, "Some directors reach each other only through others: %s.", names);
		break;
	case MEMBERSHIP_PARTITION_ENDED:
		text_add(to,
			 "The partial partition is over after %.1f s: no director that is alive "
			 "reaches "
			 "another only through others.",
			 s);
		break;
	case MEMBERSHIP_DUPLICATE_IDENTITY:
		text_add(to,
			 "Another process uses the identity of %s: stop one of them, or make "
			 "another "
			 "identity for it with `lvsmesh keygen node`.",
			 director);
		break;
	case MEMBERSHIP_DUPLICATE_IDENTITY_RESOLVED:
		text_add(to, "No other process uses the identity of %s any more.", director);
		break;
	default:
		break;
	}
}

static void member_fields(const struct membership *membership,
			  const struct membership_notice *notice, struct event *event)
{
	char text[EVENT_TEXT_MAX];
	struct member_info info;

	event_text(event, "member", notice->name);
	snprintf(text, sizeof(text), "%016" PRIx64, notice->member);
	event_text(event, "id", text);
	if (membership_find(membership, notice->member, &info) && info.address_count > 0)
		event_text(event, "address", endpoint_format(&info.addresses[0].endpoint, text));
}

/* Fields of notices that are only evidence. */
static void evidence_fields(const struct membership_notice *notice, const char *accuser,
			    struct event *event)
{
	if (*accuser)
		event_text(event, "accuser", accuser);
	if (notice->pings) {
		event_number(event, "pings", notice->pings);
		event_number(event, "helpers", notice->helpers);
		event_number(event, "nacks", notice->nacks);
	}
	if (notice->duration)
		event_number(event, "duration_ms", (int64_t)(notice->duration / USEC_PER_MSEC));
}

static void view_fields(const struct membership *membership, const char *director,
			const struct membership_notice *notice, struct event *event)
{
	char here[EVENT_TEXT_MAX];

	if (notice->type >= MEMBERSHIP_SPLIT_SUSPECTED && notice->type <= MEMBERSHIP_SPLIT_HEALED) {
		names_here(membership, director, here, sizeof(here));
		event_text(event, "this_side", here);
	}
	if (notice->type == MEMBERSHIP_PARTIAL_PARTITION) {
		struct membership_cut cut;

		membership_cut(membership, &cut);
		event_number(event, "directors", cut.members);
		event_number(event, "pairs", cut.pairs);
	}
	event_number(event, "members_alive", notice->view);
	event_number(event, "members_total", notice->roster);
	event_number(event, "members_lost", notice->lost);
	if (notice->flaps)
		event_number(event, "flaps", notice->flaps);
}

void notices_event(const struct membership *membership, const char *director,
		   const struct membership_notice *notice, uint64_t changed,
		   struct event *ret_event)
{
	bool of_member = notice->member != 0 && notice->name[0];
	bool evidence = notice->type >= MEMBERSHIP_SUSPECTED;
	char text[EVENT_MESSAGE_MAX], names[EVENT_TEXT_MAX], accuser[EVENT_TEXT_MAX] = "";
	struct text to = {text, sizeof(text), 0}, of_accuser = {accuser, sizeof(accuser), 0};
	enum event_kind kind = EVENT_KINDS;

	event_kind_find(membership_notice_name((int)notice->type), &kind);
	assert(kind < EVENT_KINDS);
	names_of(membership, director, notice, names, sizeof(names));
	if (notice->accuser)
		name_add(&of_accuser, membership, director, notice->accuser);
	if (evidence)
		evidence_sentence(notice, director, accuser, &to);
	else
		sentence(notice, director, *names ? names : "the others", &to);
	if (notice->type == MEMBERSHIP_SPLIT_HEALED)
		text_add(&to,
			 " Both sides changed %" PRIu64
			 " connections of %s: the other side's change "
			 "is kept.",
			 changed, director);
	event_init(ret_event, kind, of_member ? notice->name : director, "%s", text);
	if (of_member)
		member_fields(membership, notice, ret_event);
	if (notice->evidence) {
		evidence_names(notice->evidence, text, EVENT_TEXT_MAX);
		event_text(ret_event, "evidence", text);
	}
	if (*names)
		event_text(ret_event,
			   notice->type == MEMBERSHIP_PARTIAL_PARTITION ? "cut"
			   : of_member                                  ? "accusers"
									: "other_side",
			   names);
	if (evidence)
		evidence_fields(notice, accuser, ret_event);
	else
		view_fields(membership, director, notice, ret_event);
	if (notice->type == MEMBERSHIP_SPLIT_HEALED)
		event_number(ret_event, "concurrent_updates", (int64_t)changed);
}
