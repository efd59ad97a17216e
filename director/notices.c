#include "director/notices.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#define ID_TEXT 17

struct text {
	char *at;
	size_t size, len;
};

/* What does not fit is cut. */
__attribute__((format(printf, 2, 3))) static void add(struct text *text, const char *format, ...)
{
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(text->at + text->len, text->size - text->len, format, args);
	va_end(args);
	if (n > 0)
		text->len = MIN(text->len + (size_t)n, text->size - 1);
}

const char *notice_evidence_name(unsigned int i)
{
	static const char *const names[] = {
		"refused", "restarted", "other-address", "sync", "third",
		"witness", "mutual",    "one-sided",     "udp",  "tcp",
	};

	return i < ARRAY_SIZE(names) ? names[i] : NULL;
}

static void evidence_names(unsigned int evidence, char *text, size_t size)
{
	struct text to = {text, size, 0};
	const char *name;

	text[0] = '\0';
	for (unsigned int i = 0; (name = notice_evidence_name(i)); i++)
		if (evidence >> i & 1)
			add(&to, "%s%s", to.len ? ", " : "", name);
}

/* What the evidence means, for a person. */
static const char *evidence_text(unsigned int evidence)
{
	if (evidence & EVIDENCE_RESTARTED)
		return ": it has been restarted";
	if (evidence & EVIDENCE_REFUSED)
		return ": its host answers, the daemon does not run";
	if (evidence & EVIDENCE_THIRD)
		return ": it does not answer us, but others";
	if (evidence & EVIDENCE_SYNC)
		return ": it does not answer, but its connections arrive";
	return "";
}

/* Of a member, of ourselves, or the id of one that is not known any more. */
static void name_add(struct text *to, const struct membership *membership, const char *director,
		     uint64_t id)
{
	struct membership_status self;
	struct member_info info;

	membership_status(membership, &self);
	if (id == self.id)
		add(to, "%s", director);
	else if (membership_find(membership, id, &info))
		add(to, "%s", info.name);
	else
		add(to, "%016" PRIx64, id);
}

static void names_of(const struct membership *membership, const char *director,
		     const struct membership_notice *notice, char *text, size_t size)
{
	struct text to = {text, size, 0};

	text[0] = '\0';
	for (unsigned int i = 0; i < notice->id_count && i < MEMBERSHIP_NOTICE_IDS; i++) {
		add(&to, "%s", i ? ", " : "");
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

	add(&to, "%s", director);
	while (membership_walk(membership, &cursor, &info))
		if (info.state == MEMBER_ALIVE || info.state == MEMBER_SUSPECT)
			add(&to, ", %s", info.name);
}

static void sentence(const struct membership_notice *notice, const char *director,
		     const char *names, struct text *to)
{
	const char *name = notice->name;
	double s = (double)notice->duration / (double)USEC_PER_SEC;
	unsigned int view = notice->view, roster = notice->roster;

	switch (notice->type) {
	case MEMBERSHIP_MEMBER_JOINED:
		add(to, "Member %s has joined: %u of %u are alive.", name, view, roster);
		break;
	case MEMBERSHIP_MEMBER_LEFT:
		add(to, "Member %s has left for good: %u of %u are alive.", name, view, roster);
		break;
	case MEMBERSHIP_MEMBER_FAILED:
		add(to, "Member %s has failed%s; %u of %u are alive.", name,
		    evidence_text(notice->evidence), view, roster);
		break;
	case MEMBERSHIP_MEMBER_RECOVERED:
		add(to, "Member %s is alive again, after %.1f s: %u of %u are.", name, s, view,
		    roster);
		break;
	case MEMBERSHIP_MEMBER_PARTIAL:
		add(to, "Member %s answers, but not on every way%s%s.", name,
		    notice->evidence & EVIDENCE_UDP ? ": not by UDP" : "",
		    notice->evidence & EVIDENCE_TCP ? ": not by TCP" : "");
		break;
	case MEMBERSHIP_MEMBER_WHOLE:
		add(to, "Member %s answers on every way again, after %.1f s.", name, s);
		break;
	case MEMBERSHIP_QUORUM_LOST:
		add(to, "Quorum is lost: %s sees %u of %u members.", director, view, roster);
		break;
	case MEMBERSHIP_QUORUM_REGAINED:
		add(to, "Quorum is back after %.1f s: %s sees %u of %u members.", s, director, view,
		    roster);
		break;
	case MEMBERSHIP_SPLIT_SUSPECTED:
		add(to, "The cluster may be split: %s sees %u of %u members, and not %s.", director,
		    view, roster, names);
		break;
	case MEMBERSHIP_SPLIT_CONFIRMED:
		add(to, "The cluster is split: %s sees %u of %u members; %s run, out of reach.",
		    director, view, roster, names);
		break;
	case MEMBERSHIP_SPLIT_HEALED:
		add(to, "The split is over after %.1f s: %s sees %u of %u members.", s, director,
		    view, roster);
		break;
	case MEMBERSHIP_IDENTITY_TWICE:
		add(to,
		    "Another process has the identity of %s: stop one, or make it an identity of "
		    "its own with `lvsmesh keygen node`.",
		    director);
		break;
	case MEMBERSHIP_IDENTITY_SINGLE:
		add(to, "No other process has the identity of %s any more.", director);
		break;
	default:
		add(to, "%s", membership_notice_name((int)notice->type));
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

bool notice_event(const struct membership *membership, const char *director,
		  const struct membership_notice *notice, struct event *ret_event)
{
	bool of_member = notice->member != 0 && notice->name[0];
	char text[EVENT_SENTENCE_MAX], names[EVENT_TEXT_MAX], here[EVENT_TEXT_MAX];
	struct text to = {text, sizeof(text), 0};
	enum event_kind kind;

	if (!event_kind_find(membership_notice_name((int)notice->type), &kind))
		return false;
	names_of(membership, director, notice, names, sizeof(names));
	sentence(notice, director, *names ? names : "the others", &to);
	event_init(ret_event, kind, of_member ? notice->name : director, "%s", text);
	if (of_member)
		member_fields(membership, notice, ret_event);
	if (notice->evidence) {
		evidence_names(notice->evidence, text, EVENT_TEXT_MAX);
		event_text(ret_event, "evidence", text);
	}
	if (*names)
		event_text(ret_event, of_member ? "accusers" : "there", names);
	if (notice->type >= MEMBERSHIP_SPLIT_SUSPECTED && notice->type <= MEMBERSHIP_SPLIT_HEALED) {
		names_here(membership, director, here, sizeof(here));
		event_text(ret_event, "here", here);
	}
	event_number(ret_event, "view", notice->view);
	event_number(ret_event, "roster", notice->roster);
	event_number(ret_event, "lost", notice->lost);
	if (notice->flaps)
		event_number(ret_event, "flaps", notice->flaps);
	return true;
}

char *notice_line(const struct membership *membership, const char *director,
		  const struct membership_notice *notice, char line[NOTICE_LINE_MAX])
{
	const char *name = *notice->name ? notice->name : director;
	struct text to = {line, NOTICE_LINE_MAX, 0};
	char evidence[EVENT_TEXT_MAX];

	line[0] = '\0';
	evidence_names(notice->evidence, evidence, sizeof(evidence));
	switch (notice->type) {
	case MEMBERSHIP_SUSPECTED:
		add(&to, "%s is suspected by ", name);
		name_add(&to, membership, director, notice->accuser);
		break;
	case MEMBERSHIP_CLEARED:
		add(&to, "%s is no longer suspected: it has answered", name);
		break;
	case MEMBERSHIP_REFUTED:
		add(&to, "%s was accused by ", director);
		name_add(&to, membership, director, notice->accuser);
		add(&to, ", and has refuted it");
		break;
	case MEMBERSHIP_PAUSED:
		add(&to, "%s did not run for %" PRIu64 " ms", director,
		    notice->duration / USEC_PER_MSEC);
		break;
	default:
		add(&to, "%s: %s", membership_notice_name((int)notice->type), name);
		break;
	}
	if (*evidence)
		add(&to, " (%s)", evidence);
	return line;
}
