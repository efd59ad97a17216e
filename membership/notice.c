/* Notices: what a director is told, with incidents that open, close, and are damped when they flap.
 */
#include "membership/parts.h"

#define MINUTE (60 * SEC)
#define CALM (30 * SEC) /* flapping counts as over after so long without a change */

const char *membership_notice_name(int type)
{
	static const char *const names[MEMBERSHIP_NOTICE_MAX] = {
		[MEMBERSHIP_MEMBER_JOINED] = "member-joined",
		[MEMBERSHIP_MEMBER_LEFT] = "member-left",
		[MEMBERSHIP_MEMBER_FAILED] = "member-failed",
		[MEMBERSHIP_MEMBER_RECOVERED] = "member-recovered",
		[MEMBERSHIP_MEMBER_PARTIAL] = "member-partly-reachable",
		[MEMBERSHIP_MEMBER_WHOLE] = "member-reachable",
		[MEMBERSHIP_QUORUM_LOST] = "quorum-lost",
		[MEMBERSHIP_QUORUM_REGAINED] = "quorum-regained",
		[MEMBERSHIP_SPLIT_SUSPECTED] = "split-brain-suspected",
		[MEMBERSHIP_SPLIT_CONFIRMED] = "split-brain-confirmed",
		[MEMBERSHIP_SPLIT_HEALED] = "split-brain-healed",
		[MEMBERSHIP_DUPLICATE_IDENTITY] = "duplicate-identity",
		[MEMBERSHIP_DUPLICATE_IDENTITY_RESOLVED] = "duplicate-identity-resolved",
		[MEMBERSHIP_PARTIAL_PARTITION] = "partial-partition",
		[MEMBERSHIP_PARTITION_ENDED] = "partition-ended",
		[MEMBERSHIP_SUSPECTED] = "suspected",
		[MEMBERSHIP_CLEARED] = "cleared",
		[MEMBERSHIP_REFUTED] = "refuted",
		[MEMBERSHIP_PAUSED] = "paused",
	};

	return type >= 0 && type < MEMBERSHIP_NOTICE_MAX ? names[type] : "unknown";
}

/* Alerts must not be lost to a flood of the log's: those make room. */
static struct membership_notice *slot(struct membership *m, enum membership_notice_type type)
{
	unsigned int at;

	if (m->notice_count < NOTICES_MAX)
		return &m->notices[(m->notice_at + m->notice_count++) % NOTICES_MAX];
	refuse(m, DROPPED_NOTICE);
	for (unsigned int i = 0; type < MEMBERSHIP_SUSPECTED && i < NOTICES_MAX; i++) {
		at = (m->notice_at + i) % NOTICES_MAX;
		if (m->notices[at].type < MEMBERSHIP_SUSPECTED)
			continue;
		for (; i + 1 < NOTICES_MAX; i++)
			m->notices[(m->notice_at + i) % NOTICES_MAX] =
				m->notices[(m->notice_at + i + 1) % NOTICES_MAX];
		return &m->notices[(m->notice_at + NOTICES_MAX - 1) % NOTICES_MAX];
	}
	return &m->notice_spare;
}

struct membership_notice *notice_add(struct membership *m, enum membership_notice_type type,
				     const struct member *member)
{
	struct membership_notice *notice = slot(m, type);

	if (type < MEMBERSHIP_SUSPECTED)
		TRACE(&m->trace, "report %s%s%s", membership_notice_name((int)type),
		      member ? " " : "", member ? member->name : "");
	*notice = (struct membership_notice){
		.type = type,
		.now = m->now,
		.view = m->alive_count + 1,
		.roster = m->roster_count + 1,
		.lost = m->missing_count,
	};
	if (member) {
		notice->member = member->id;
		memcpy(notice->name, member->name, sizeof(notice->name));
		notice->evidence = member->evidence;
	}
	return notice;
}

bool membership_notice(struct membership *m, struct membership_notice *ret_notice)
{
	if (m->notice_count == 0)
		return false;
	*ret_notice = m->notices[m->notice_at];
	m->notice_at = (m->notice_at + 1) % NOTICES_MAX;
	m->notice_count--;
	return true;
}

static struct membership_notice *report(struct membership *m, struct incident *incident,
					enum membership_notice_type type,
					const struct member *member)
{
	struct membership_notice *notice = notice_add(m, type, member);

	notice->incident = incident->id;
	notice->flaps = incident->flaps;
	notice->duration = m->now.mono - incident->opened;
	return notice;
}

struct membership_notice *notice_incident_update(struct membership *m, struct incident *incident,
						 bool wanted, usec_t settle,
						 enum membership_notice_type opening,
						 enum membership_notice_type closing,
						 const struct member *member, usec_t *next)
{
	usec_t due;

	if (wanted != incident->wanted) {
		incident->wanted = wanted;
		incident->changed = m->now.mono;
		if (wanted && incident->id && m->now.mono < incident->opened + MINUTE)
			incident->flaps++;
	}
	if (wanted == incident->open)
		return NULL;
	due = incident->changed;
	if (wanted) {
		due += settle;
		if (incident->id)
			due = MAX(due, incident->opened + MINUTE);
	} else if (incident->flaps > 0) {
		due += CALM;
	}
	if (m->now.mono < due) {
		sooner(next, due);
		return NULL;
	}
	incident->open = wanted;
	if (wanted) {
		incident->id = (m->epoch << 20) + ++m->incidents;
		incident->opened = m->now.mono;
		return report(m, incident, opening, member);
	}
	struct membership_notice *notice = report(m, incident, closing, member);

	incident->flaps = 0;
	return notice;
}
