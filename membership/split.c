/* Split brain: members that were lost together are suspected to live on, until they are heard of
 * (confirmed) or come back (healed). */
#include "membership/parts.h"

#define ENTRY_SIZE 24
#define LOOK (250 * MSEC)
#define SETTLE (3 * SEC) /* after healing: in which views are compared */
#define REMEMBERED (60 * SEC)
#define COMPARISONS 8
#define HEALTH_GOOD 1
#define REFUSED_LATELY (5 * SEC)

#define EXPLAINED (EVIDENCE_REFUSED | EVIDENCE_RESTARTED)
#define COMPARED (EVIDENCE_RESTARTED | EVIDENCE_MUTUAL | EVIDENCE_ONE_SIDED)
#define PROOF (EVIDENCE_OTHER_ADDRESS | EVIDENCE_SYNC | EVIDENCE_THIRD | EVIDENCE_MUTUAL)

/* How long the view must stand still: about 5 s for 3 members, 7 s for 5, 30 s for 1000. */
static usec_t stable_time(unsigned int members)
{
	unsigned int log = 0;

	while (2u << log <= members)
		log++;
	return 250 * MSEC + 2980 * MSEC * log + 2980 * MSEC * (members - (1u << log)) / (1u << log);
}

/* Those of the window. */
struct lost_members {
	unsigned int all;     /* unexplained, back or not */
	unsigned int missing; /* of them, not back */
	unsigned int evidence;
	unsigned int proof;        /* of those that are unexplained */
	struct member *uncompared; /* one that is back, and its view not seen */
};

static bool in_window(const struct membership *m, const struct member *member)
{
	return m->split.lost_at && member->failed_at >= m->split.lost_at && member->lost;
}

static void count_lost(const struct membership *m, struct lost_members *lost)
{
	*lost = (struct lost_members){0};
	for (unsigned int i = 0; i < m->member_cap; i++) {
		struct member *member = m->members[i];

		if (!member || !in_window(m, member))
			continue;
		lost->evidence |= member->evidence;
		if (member->back_at && !(member->evidence & COMPARED) && member_answers(member))
			lost->uncompared = member;
		if (member->evidence & EXPLAINED)
			continue;
		lost->all++;
		lost->proof |= member->evidence & PROOF;
		if (member->state == STATE_FAILED)
			lost->missing++;
	}
	/* No proof: our side isn't the one that is cut off, but the others may have lost their
	 * power. */
	if (m->witness && m->witness_ok && lost->missing && !(lost->evidence & EXPLAINED) &&
	    quorum_of(m) != QUORUM_MAJORITY)
		lost->evidence |= EVIDENCE_WITNESS;
}

/* A single lost member counts as a crash, but for one of two, until its view shows a cut. */
static unsigned int enough(const struct membership *m)
{
	return m->roster_count + 1 - m->away_count <= 2 ? 1 : 2;
}

void split_failed(struct membership *m, struct member *member)
{
	member->failed_epoch = member->epoch;
	member->failed_at = m->now.mono;
	member->back_at = 0;
	member->lost = false;
	member->evidence = 0;
	if (member->refused_at && member->refused_at + REFUSED_LATELY >= m->now.mono)
		member->evidence |= EVIDENCE_REFUSED;
}

void split_lost(struct membership *m, struct member *member)
{
	usec_t window = stable_time(m->roster_count + 1);

	if (!m->split.incident.open &&
	    (!m->split.lost_at || m->now.mono > m->split.lost_last + window)) {
		m->split.lost_at = m->now.mono;
		m->split.comparisons = 0;
		m->split.confirmed = false;
	}
	m->split.lost_last = m->now.mono;
	m->split.whole_at = 0;
	m->split.look_at = m->now.mono;
	member->lost = true;
}

void split_evidence(struct membership *m, struct member *member, unsigned int evidence)
{
	if (!in_window(m, member))
		return;
	member->evidence |= evidence;
	m->split.look_at = m->now.mono;
}

void split_back(struct membership *m, struct member *member, bool restarted)
{
	member->back_at = m->now.mono;
	if (restarted)
		member->evidence |= EVIDENCE_RESTARTED;
	m->split.look_at = m->now.mono;
}

static bool failed_lately(const struct membership *m, const struct member *member)
{
	return member->failed_epoch &&
	       (member->state == STATE_FAILED ||
		(member->back_at && m->now.mono < member->back_at + REMEMBERED));
}

static uint32_t msec_since(usec_t later, usec_t earlier)
{
	return (uint32_t)MIN((later - earlier) / MSEC, (usec_t)UINT32_MAX);
}

void split_view_make(struct membership *m, uint8_t *body, Lvsmesh__Pb__Record *record,
		     uint8_t signature[SIGNATURE_SIZE])
{
	uint8_t *at = body;
	size_t len;

	for (unsigned int i = 0; i < m->member_cap; i++) {
		const struct member *member = m->members[i];

		if (!member || !failed_lately(m, member))
			continue;
		store_le64(at, member->id);
		store_le64(at + 8, member->failed_epoch);
		store_le32(at + 16, msec_since(m->now.mono, member->failed_at));
		store_le32(at + 20, msec_since(member->back_at ? member->back_at : m->now.mono,
					       member->failed_at));
		at += ENTRY_SIZE;
	}
	len = (size_t)(at - body);
	lvsmesh__pb__record__init(record);
	record->kind = RECORD_VIEW;
	record->origin = m->identity->id;
	record->epoch = m->epoch;
	record->sequence = record_number(m, RECORD_VIEW);
	record->body = record_bytes(body, len);
	seal_record_sign(m->identity, RECORD_VIEW, m->epoch, record->sequence, body, len,
			 signature);
	record->signature = record_bytes(signature, SIGNATURE_SIZE);
}

/* Did it hold us failed, in our present boot, while we held it? */
static bool is_mutual(const struct membership *m, const struct member *member, const uint8_t *entry)
{
	usec_t ago = load_le32(entry + 16) * MSEC, lasted = load_le32(entry + 20) * MSEC;
	usec_t since = m->now.mono > ago ? m->now.mono - ago : 0;
	usec_t back = member->back_at ? member->back_at : m->now.mono;

	return load_le64(entry) == m->identity->id && load_le64(entry + 8) == m->epoch &&
	       member->failed_epoch == member->epoch && since <= back &&
	       since + lasted >= member->failed_at;
}

void split_view_take(struct membership *m, struct member *member, const Lvsmesh__Pb__Record *record)
{
	unsigned int evidence = EVIDENCE_ONE_SIDED;

	if (record->body.len % ENTRY_SIZE != 0) {
		refuse(m, REFUSED_MALFORMED);
		return;
	}
	if (!failed_lately(m, member) || record_check(m, member, record) != 0)
		return;
	for (size_t at = 0; at < record->body.len; at += ENTRY_SIZE)
		if (is_mutual(m, member, record->body.data + at))
			evidence = EVIDENCE_MUTUAL;
	split_evidence(m, member, evidence);
}

static void fill_notice(const struct membership *m, struct membership_notice *notice,
			const struct lost_members *lost)
{
	notice->lost = lost->all;
	notice->evidence = lost->evidence;
	for (unsigned int i = 0; i < m->member_cap; i++)
		if (m->members[i] && in_window(m, m->members[i]) &&
		    notice->id_count < MEMBERSHIP_NOTICE_IDS)
			notice->ids[notice->id_count++] = m->members[i]->id;
}

static void forget(struct membership *m)
{
	m->split.lost_at = m->split.whole_at = 0;
	m->split.confirmed = false;
	for (unsigned int i = 0; i < m->member_cap; i++)
		if (m->members[i])
			m->members[i]->lost = false;
}

/* Until views are compared and those that are back have stayed for a while. A single lost member is
 * waited for too, before a split is reported: its view may show that it was cut off. */
static bool still_open(struct membership *m, const struct lost_members *lost)
{
	if (lost->missing >= (m->split.incident.open ? enough(m) : 1)) {
		m->split.whole_at = 0;
		return true;
	}
	if (!m->split.whole_at)
		m->split.whole_at = m->now.mono;
	return m->now.mono < m->split.whole_at + SETTLE;
}

static void judge(struct membership *m, const struct lost_members *lost, usec_t *next)
{
	struct split *split = &m->split;
	bool proof = lost->proof != 0, open = split->incident.open, wanted;
	struct membership_notice *notice;
	usec_t window = stable_time(m->roster_count + 1);
	usec_t stable = MAX(m->view_at, split->lost_last) + window;

	if (open)
		wanted = still_open(m, lost);
	else
		wanted = (lost->proof & EVIDENCE_MUTUAL) ||
			 (lost->missing >= enough(m) && m->now.mono >= stable &&
			  m->health <= HEALTH_GOOD);
	notice = notice_incident_update(m, &split->incident, wanted, 0,
					proof ? MEMBERSHIP_SPLIT_CONFIRMED
					      : MEMBERSHIP_SPLIT_SUSPECTED,
					MEMBERSHIP_SPLIT_HEALED, NULL, next);
	if (notice) {
		fill_notice(m, notice, lost);
		split->confirmed = notice->type == MEMBERSHIP_SPLIT_CONFIRMED;
	} else if (open && proof && !split->confirmed) {
		split->confirmed = true;
		notice = notice_add(m, MEMBERSHIP_SPLIT_CONFIRMED, NULL);
		notice->incident = split->incident.id;
		fill_notice(m, notice, lost);
	}
	/* While a member is missing, more may be added to those that were lost. */
	if (!split->incident.open && !still_open(m, lost))
		forget(m);
}

void split_timers(struct membership *m, usec_t *next)
{
	struct split *split = &m->split;
	struct lost_members lost;

	if (!split->lost_at)
		return;
	if (m->now.mono >= split->look_at) {
		split->look_at = m->now.mono + LOOK;
		count_lost(m, &lost);
		if (lost.uncompared && split->comparisons < COMPARISONS) {
			split->comparisons++;
			pushpull_dial(m, lost.uncompared, &lost.uncompared->paths[0].endpoint, -1);
		}
		judge(m, &lost, next);
	}
	if (split->lost_at)
		sooner(next, split->look_at);
}
