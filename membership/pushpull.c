/* Push-pull: two directors compare what they know of all members on a stream, and each gets what it
 * lacks. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "membership/parts.h"
#include "proto/arena.h"

#define DIAL_TIME (3 * SEC) /* a lost segment or two of the handshake */
#define STREAM_TIME (5 * SEC)
#define ENTRY_SIZE 32
#define ENTRIES_MAX (MEMBERSHIP_MEMBERS_MAX + 1)
#define STATE_RECORDS 64
#define ID_SIZE 8
#define WANT_SIZE 8
#define OVERHEAD 16 /* tags and lengths of a frame */
#define STATE_MEMORY (8 * MEMBERSHIP_BODY_MAX)
#define SYNC_FIRST (2 * SEC)
#define SYNC_LAST (60 * SEC)
#define ROUTINE_SYNC (60 * SEC) /* in a cluster of up to 32, less often in a larger one */
#define TCP_RETRY (10 * SEC)

static uint64_t bit(unsigned int stream)
{
	return (uint64_t)1 << stream;
}

void pushpull_init(struct membership *m)
{
	m->routine_at = m->horizon + chance_below(&m->chance, ROUTINE_SYNC);
}

void pushpull_fini(struct membership *m)
{
	for (unsigned int i = 0; i < MEMBERSHIP_STREAMS_MAX; i++) {
		free(m->streams[i].want);
		free(m->streams[i].digest);
		free(m->streams[i].gone);
	}
}

void pushpull_late(struct membership *m, usec_t late)
{
	for (unsigned int i = 0; i < MEMBERSHIP_STREAMS_MAX; i++)
		postpone(&m->streams[i].deadline, late);
}

void pushpull_forget_joins(struct membership *m)
{
	for (unsigned int i = 0; i < MEMBERSHIP_DIALS_MAX; i++)
		m->streams[i].join = -1;
}

uint64_t pushpull_close_bits(struct membership *m)
{
	uint64_t bits = m->close_bits;

	m->close_bits = 0;
	return bits;
}

static void stream_free(struct membership *m, unsigned int i)
{
	assert(i < MEMBERSHIP_STREAMS_MAX);
	free(m->streams[i].want);
	free(m->streams[i].digest);
	free(m->streams[i].gone);
	m->streams[i] = (struct pushpull_stream){.phase = STREAM_NONE};
	m->dial_bits &= ~bit(i);
	m->output_bits &= ~bit(i);
}

static void stream_close(struct membership *m, unsigned int i)
{
	stream_free(m, i);
	m->close_bits |= bit(i);
}

bool pushpull_dial(struct membership *m, struct member *member, const struct endpoint *remote,
		   int join)
{
	unsigned int slot = MEMBERSHIP_DIALS_MAX;

	for (unsigned int i = MEMBERSHIP_DIALS_MAX; i-- > 0;)
		if (m->streams[i].phase == STREAM_NONE) {
			if (!(m->close_bits & bit(i)))
				slot = i;
		} else if (endpoint_compare(&m->streams[i].remote, remote) == 0) {
			return true;
		}
	if (slot == MEMBERSHIP_DIALS_MAX)
		return false;
	m->streams[slot] = (struct pushpull_stream){.phase = STREAM_DIALLING,
						    .dialled = true,
						    .member = member ? member->id : 0,
						    .remote = *remote,
						    .join = join,
						    .deadline = m->now.mono + DIAL_TIME};
	m->dial_bits |= bit(slot);
	sooner(&m->streams_at, m->streams[slot].deadline);
	return true;
}

bool membership_dial(struct membership *m, struct membership_dialling *ret_dial)
{
	for (unsigned int i = 0; i < MEMBERSHIP_DIALS_MAX; i++)
		if (m->dial_bits & bit(i)) {
			m->dial_bits &= ~bit(i);
			ret_dial->stream = i;
			ret_dial->remote = m->streams[i].remote;
			return true;
		}
	return false;
}

static void reached(struct membership *m, struct member *member, const struct endpoint *remote)
{
	struct member_path *path;
	bool was_down;

	/* The stream's endpoint stands in until the member states its addresses. */
	if (member->path_count == 0)
		path_set(member, remote, 1);
	path = path_find(member, remote);
	if (!path)
		return;
	was_down = path->tcp_down;
	path_tcp_reached(path, m->now.mono);
	if (was_down)
		change_view(m);
	/* The cut of pings and streams has ended for streams; a ping finds out whether it has for
	 * pings. */
	if (was_down && path->udp_down)
		probe_start(m, member, false);
	members_busy(m, member);
}

static void heard(struct membership *m, struct member *member, const struct pushpull_stream *stream)
{
	member_alive(m, member, stream->epoch);
	if (member->proven != stream->epoch)
		probe_hello(m, member);
}

void pushpull_opened(struct membership *m, const struct membership_event *event)
{
	struct pushpull_stream *stream = &m->streams[event->stream];
	struct member *member;

	if (event->stream >= MEMBERSHIP_DIALS_MAX) {
		stream_free(m, event->stream);
		*stream = (struct pushpull_stream){
			.phase = STREAM_WAIT_DIGEST, .remote = event->remote, .join = -1};
	} else if (stream->phase != STREAM_DIALLING) {
		m->close_bits |= bit(event->stream);
		return;
	}
	member = members_get(m, event->peer->bytes, event->peer->len, true);
	if (!member || event->peer_epoch == 0) {
		stream_close(m, event->stream);
		return;
	}
	if (stream->join >= 0)
		join_endpoints_answered(m, stream->join);
	probe_heard(m);
	stream->member = member->id;
	stream->deadline = m->now.mono + STREAM_TIME;
	sooner(&m->streams_at, stream->deadline);
	stream->rollback = event->peer_epoch < MAX(member->epoch, member->proven);
	if (stream->dialled) {
		stream->phase = STREAM_SEND_DIGEST;
		m->output_bits |= bit(event->stream);
		reached(m, member, &stream->remote);
	}
	stream->epoch = event->peer_epoch;
	TRACE(&m->trace, "push-pull %s %s", stream->dialled ? "with" : "dialled by", member->name);
	if (stream->rollback)
		refuse(m, REFUSED_ROLLBACK);
	else
		heard(m, member, stream);
}

/* The dial failed. */
static void dial_failed(struct membership *m, struct pushpull_stream *stream, bool refused,
			bool self)
{
	struct member *member = members_find(m, stream->member);
	struct member_path *path = member ? path_find(member, &stream->remote) : NULL;

	if (stream->join >= 0)
		join_endpoints_failed(m, stream->join, self);
	if (!member || !path)
		return;
	if (refused) {
		member->refused_at = m->now.mono;
		if (member->state == STATE_FAILED)
			split_evidence(m, member, EVIDENCE_REFUSED);
	}
	/* The member does not answer pings here either, and is alive. */
	if (path->udp_down && !path->tcp_down && member_answers(member)) {
		path_tcp_down(path);
		change_view(m);
		members_busy(m, member);
	}
	path_tcp_doubt(path);
}

void pushpull_doubt(struct membership *m, struct member *member)
{
	for (unsigned int i = 0; i < member->path_count; i++) {
		struct member_path *path = &member->paths[i];

		if (!path->tcp_doubt)
			continue;
		if (!path_tcp_missed(path)) {
			pushpull_dial(m, member, &path->endpoint, -1);
		} else {
			change_view(m);
			members_busy(m, member);
		}
	}
}

void pushpull_closed(struct membership *m, const struct membership_event *event)
{
	struct pushpull_stream stream = m->streams[event->stream];

	if (stream.phase == STREAM_DIALLING)
		dial_failed(m, &stream, event->refused, event->self);
	stream_free(m, event->stream);
}

static int entry_compare(const void *a, const void *b)
{
	uint64_t x = load_le64(a), y = load_le64(b);

	return x < y ? -1 : x > y;
}

static const uint8_t *entry_find(const struct pushpull_stream *stream, uint64_t id)
{
	uint8_t key[8];

	store_le64(key, id);
	return stream->digest_count ? bsearch(key, stream->digest, stream->digest_count, ENTRY_SIZE,
					      entry_compare)
				    : NULL;
}

/* Does the peer hold it gone? */
static bool entry_gone(const struct pushpull_stream *stream, uint64_t id)
{
	uint8_t key[ID_SIZE];

	store_le64(key, id);
	return stream->gone_count &&
	       bsearch(key, stream->gone, stream->gone_count, ID_SIZE, entry_compare);
}

static void entry_store(uint8_t *entry, uint64_t id, uint64_t epoch, uint64_t incarnation,
			uint64_t serial)
{
	store_le64(entry, id);
	store_le64(entry + 8, epoch);
	store_le64(entry + 16, incarnation);
	store_le64(entry + 24, serial);
}

static size_t make_digest(struct membership *m, uint8_t *data)
{
	Lvsmesh__Pb__Digest digest = LVSMESH__PB__DIGEST__INIT;
	uint8_t *entries = malloc(ENTRIES_MAX * (ENTRY_SIZE + ID_SIZE)), *at = entries;
	uint8_t *gone = entries + ENTRIES_MAX * ENTRY_SIZE, *gone_at = gone;
	size_t len;

	if (!entries)
		return 0;
	entry_store(at, m->identity->id, m->epoch, m->incarnation, m->identity->certificate.serial);
	at += ENTRY_SIZE;
	for (unsigned int i = 0; i < m->member_cap; i++) {
		const struct member *member = m->members[i];

		if (!member || member->epoch == 0)
			continue;
		entry_store(at, member->id, member->epoch, member->incarnation, member->serial);
		at += ENTRY_SIZE;
		if (member->state == STATE_GONE) {
			store_le64(gone_at, member->id);
			gone_at += ID_SIZE;
		}
	}
	digest.entries = record_bytes(entries, (size_t)(at - entries));
	digest.gone = record_bytes(gone, (size_t)(gone_at - gone));
	len = lvsmesh__pb__digest__pack(&digest, data);
	free(entries);
	return len;
}

static bool take_digest(struct pushpull_stream *stream, const uint8_t *data, size_t len)
{
	_Alignas(max_align_t) uint8_t memory[64 * 1024];
	Lvsmesh__Pb__Digest *digest;
	struct arena arena;
	size_t size;

	arena_init(&arena, memory, sizeof(memory));
	digest = lvsmesh__pb__digest__unpack(&arena.allocator, len, data);
	if (!digest || digest->entries.len % ENTRY_SIZE != 0 ||
	    digest->entries.len / ENTRY_SIZE > ENTRIES_MAX || digest->gone.len % ID_SIZE != 0 ||
	    digest->gone.len / ID_SIZE > ENTRIES_MAX)
		return false;
	stream->gone = malloc(MAX(digest->gone.len, (size_t)ID_SIZE));
	if (!stream->gone)
		return false;
	if (digest->gone.len > 0)
		memcpy(stream->gone, digest->gone.data, digest->gone.len);
	stream->gone_count = (unsigned int)(digest->gone.len / ID_SIZE);
	qsort(stream->gone, stream->gone_count, ID_SIZE, entry_compare);
	size = digest->entries.len;
	stream->digest = malloc(MAX(size, (size_t)ENTRY_SIZE));
	if (!stream->digest)
		return false;
	if (size > 0)
		memcpy(stream->digest, digest->entries.data, size);
	stream->digest_count = (unsigned int)(size / ENTRY_SIZE);
	qsort(stream->digest, stream->digest_count, ENTRY_SIZE, entry_compare);
	return true;
}

static bool wanted(const struct pushpull_stream *stream, const struct member *member,
		   bool *ret_certificate)
{
	const uint8_t *entry;

	if (!member || member->epoch == 0)
		return false;
	if (stream->dialled) {
		*ret_certificate = true;
		for (unsigned int i = 0; i < stream->want_count; i++)
			if (stream->want[i] == member->id)
				return true;
		return false;
	}
	entry = entry_find(stream, member->id);
	*ret_certificate = !entry || load_le64(entry + 24) != member->serial;
	/* A peer that has never heard of a member needs no tombstone of it. */
	if (member->state == STATE_GONE)
		return entry && !entry_gone(stream, member->id);
	return !entry || load_le64(entry + 8) < member->epoch ||
	       (load_le64(entry + 8) == member->epoch &&
		load_le64(entry + 16) < member->incarnation) ||
	       load_le64(entry + 24) < member->serial;
}

/* Wants what the peer has newer: its entries that we lack or hold older. */
static unsigned int make_wants(const struct membership *m, const struct pushpull_stream *stream,
			       uint64_t *want)
{
	unsigned int count = 0;

	for (unsigned int i = 0; !stream->dialled && i < stream->digest_count; i++) {
		const uint8_t *entry = stream->digest + i * ENTRY_SIZE;
		const struct member *member = members_find(m, load_le64(entry));

		if (load_le64(entry) == m->identity->id || load_le64(entry) == stream->member)
			continue;
		if (entry_gone(stream, load_le64(entry)) &&
		    (!member || member->state == STATE_GONE || member_answers(member)))
			continue;
		if (!member || entry_gone(stream, load_le64(entry)) ||
		    load_le64(entry + 8) > member->epoch ||
		    (load_le64(entry + 8) == member->epoch &&
		     load_le64(entry + 16) > member->incarnation) ||
		    load_le64(entry + 24) > member->serial)
			want[count++] = load_le64(entry);
	}
	return count;
}

struct pushpull_state {
	Lvsmesh__Pb__Record records[STATE_RECORDS], *pointers[STATE_RECORDS];
	uint64_t want[ENTRIES_MAX];
	uint8_t view[24 * MEMBERSHIP_MEMBERS_MAX], signature[SIGNATURE_SIZE];
};

/* Our own statement, the peer's, and our view: first of all, and always. */
static size_t state_own(struct membership *m, struct pushpull_stream *stream,
			struct pushpull_state *state, size_t *ret_size)
{
	const struct member *peer = members_find(m, stream->member);
	size_t count = 0;

	record_of_self(m, false, &state->records[count++]);
	/* Another process with the peer's identity may have signed this statement. */
	if (peer && peer->epoch)
		record_of_member(peer, false, &state->records[count++]);
	split_view_make(m, state->view, &state->records[count++], state->signature);
	for (unsigned int i = 0; i < m->item_count; i++)
		if (m->items[i].kind == ITEM_TWICE && count < STATE_RECORDS / 4)
			broadcast_item_record(&m->items[i], &state->records[count++]);
	for (size_t i = 0; i < count; i++)
		*ret_size += record_size(&state->records[i]);
	stream->told = true;
	return count;
}

/* Members from the cursor on, as many as fit; each with its Removal, if it has one. */
static size_t state_members(struct membership *m, struct pushpull_stream *stream,
			    struct pushpull_state *state, size_t count, size_t *size)
{
	Lvsmesh__Pb__Record *record;
	bool certificate;

	for (; stream->cursor < m->member_cap; stream->cursor++) {
		const struct member *member = m->members[stream->cursor];

		if (!wanted(stream, member, &certificate))
			continue;
		record = &state->records[count];
		if (count + 2 > STATE_RECORDS)
			break;
		record_of_member(member, certificate, record);
		if (*size + record_size(record) + REMOVAL_SIZE > MEMBERSHIP_BODY_MAX)
			break;
		*size += record_size(record);
		count++;
		if (member->removal) {
			tombstone_record(m, member, &record[1]);
			*size += record_size(&record[1]);
			count++;
		}
	}
	return count;
}

static size_t make_state(struct membership *m, struct pushpull_stream *stream,
			 struct pushpull_state *state, uint8_t *data)
{
	Lvsmesh__Pb__State message = LVSMESH__PB__STATE__INIT;
	size_t size = OVERHEAD, count = stream->told ? 0 : state_own(m, stream, state, &size);
	unsigned int wants;

	count = state_members(m, stream, state, count, &size);
	for (size_t i = 0; i < count; i++)
		state->pointers[i] = &state->records[i];
	message.records = state->pointers;
	message.n_records = count;
	wants = make_wants(m, stream, state->want);
	/* Wants that don't fit behind the records go alone, in one more frame. */
	message.done =
		stream->cursor == m->member_cap && size + wants * WANT_SIZE <= MEMBERSHIP_BODY_MAX;
	if (message.done) {
		message.want = state->want;
		message.n_want = wants;
		stream->phase = STREAM_WAIT_DONE;
	}
	return lvsmesh__pb__state__pack(&message, data);
}

int membership_frame(struct membership *m, unsigned int i, uint8_t *data, uint8_t *ret_kind,
		     size_t *ret_len)
{
	struct pushpull_stream *stream = &m->streams[i];
	struct pushpull_state *state;
	size_t len;

	switch (stream->phase) {
	case STREAM_SEND_DIGEST:
		len = make_digest(m, data);
		*ret_kind = MEMBERSHIP_KIND_DIGEST;
		stream->phase = STREAM_WAIT_STATE;
		break;
	case STREAM_SEND_STATE:
		state = malloc(sizeof(*state));
		if (!state)
			return -EAGAIN;
		len = make_state(m, stream, state, data);
		free(state);
		*ret_kind = MEMBERSHIP_KIND_STATE;
		break;
	default:
		return -EAGAIN;
	}
	if (stream->phase != STREAM_SEND_STATE)
		m->output_bits &= ~bit(i);
	*ret_len = len;
	return 0;
}

static bool take_state(struct membership *m, struct pushpull_stream *stream, struct member *member,
		       const uint8_t *data, size_t len)
{
	uint8_t *memory = malloc(STATE_MEMORY);
	Lvsmesh__Pb__State *state = NULL;
	struct arena arena;
	bool ok;

	if (memory) {
		arena_init(&arena, memory, STATE_MEMORY);
		state = lvsmesh__pb__state__unpack(&arena.allocator, len, data);
	}
	ok = state && state->n_want <= ENTRIES_MAX && state->n_records <= STATE_RECORDS;
	for (size_t i = 0; ok && i < state->n_records; i++) {
		/* Records that we signed ourselves count even from a peer that is rolled back: we
		 * may have gone back, too. */
		if (stream->rollback && state->records[i]->kind != RECORD_TWICE &&
		    state->records[i]->origin != m->identity->id)
			continue;
		ok = record_take(m, member, true, state->records[i]);
	}
	if (ok && state->done && stream->dialled && state->n_want > 0) {
		stream->want = malloc(state->n_want * sizeof(*stream->want));
		if (stream->want) {
			memcpy(stream->want, state->want, state->n_want * sizeof(*stream->want));
			stream->want_count = (unsigned int)state->n_want;
		}
	}
	/* Now we may know where it is. */
	if (ok && !stream->rollback && stream->epoch >= member->epoch)
		heard(m, member, stream);
	stream->done = ok && state->done;
	if (stream->done)
		place_settle(m);
	free(memory);
	return ok;
}

void pushpull_frame(struct membership *m, const struct membership_event *event)
{
	struct pushpull_stream *stream = &m->streams[event->stream];
	struct member *member = members_find(m, stream->member);
	bool ok = false, kind = false;

	if (stream->phase == STREAM_NONE)
		return;
	if (member && event->len <= MEMBERSHIP_BODY_MAX) {
		if (stream->phase == STREAM_WAIT_DIGEST && event->kind == MEMBERSHIP_KIND_DIGEST) {
			kind = true;
			ok = take_digest(stream, event->data, event->len);
			stream->phase = STREAM_SEND_STATE;
			m->output_bits |= bit(event->stream);
		} else if (event->kind == MEMBERSHIP_KIND_STATE && !stream->done &&
			   stream->phase ==
				   (stream->dialled ? STREAM_WAIT_STATE : STREAM_WAIT_DONE)) {
			kind = true;
			ok = take_state(m, stream, member, event->data, event->len);
		}
	}
	if (!ok) {
		refuse(m, kind ? REFUSED_MALFORMED : REFUSED_KIND);
		stream_close(m, event->stream);
		return;
	}
	stream->deadline = m->now.mono + STREAM_TIME;
	if (!stream->done)
		return;
	if (stream->dialled) {
		stream->phase = STREAM_SEND_STATE;
		m->output_bits |= bit(event->stream);
	} else {
		stream_close(m, event->stream);
	}
}

void pushpull_sync(struct membership *m, const struct membership_event *event)
{
	struct member *member = members_find(m, event->member);

	if (!member)
		return;
	if (event->ok && member->state == STATE_FAILED)
		split_evidence(m, member, EVIDENCE_SYNC);
	/* A stream that ends puts TCP in doubt: a dial finds out. */
	if (!event->ok && member->sync_alive && member_answers(member) && member->path_count > 0)
		pushpull_dial(m, member, &member->paths[0].endpoint, -1);
	member->sync_alive = event->ok;
}

void pushpull_mismatch(struct membership *m, struct member *member, bool differs)
{
	if (!differs) {
		tombstone_agreed(m, member);
		member->mismatches = 0;
		m->sync_interval = SYNC_FIRST;
		return;
	}
	member->mismatches = (uint8_t)MIN(member->mismatches + 1, UINT8_MAX);
	/* News still on their way explain it, for a while. */
	if (member->mismatches < 2 || m->now.mono < m->sync_at || member->path_count == 0 ||
	    (m->item_count > 0 && member->mismatches < 4))
		return;
	member->mismatches = 0;
	m->sync_interval = MAX(m->sync_interval, SYNC_FIRST);
	m->sync_at = m->now.mono + m->sync_interval + chance_below(&m->chance, m->sync_interval);
	m->sync_interval = MIN(2 * m->sync_interval, SYNC_LAST);
	pushpull_dial(m, member, &member->paths[0].endpoint, -1);
}

/* Now and then with any member, and on paths where TCP did not work, to see whether it does
 * again. */
static void routine(struct membership *m, usec_t *next)
{
	struct member *member;
	struct member_path *path;

	if (m->now.mono >= m->routine_at) {
		member = links_pick(m);
		if (member && member->path_count > 0) {
			path = &member->paths[chance_below(&m->chance, member->path_count)];
			pushpull_dial(m, member, &path->endpoint, -1);
		}
		m->routine_at = m->now.mono + ROUTINE_SYNC * (1 + m->alive_count / 32);
	}
	sooner(next, m->routine_at);
	if (m->now.mono < m->tcp_at) {
		sooner(next, m->tcp_at);
		return;
	}
	m->tcp_at = m->now.mono + TCP_RETRY;
	for (unsigned int i = 0; i < m->order_count; i++) {
		member = m->members[m->order[i]];
		/* Members that are cut off are tried by pings first. */
		for (unsigned int j = 0; j < member->path_count && !links_cut(member); j++)
			if (member->paths[j].tcp_down)
				pushpull_dial(m, member, &member->paths[j].endpoint, -1);
	}
	sooner(next, m->tcp_at);
}

static void stream_timers(struct membership *m, usec_t *next)
{
	if (m->now.mono >= m->streams_at) {
		m->streams_at = USEC_NEVER;
		for (unsigned int i = 0; i < MEMBERSHIP_STREAMS_MAX; i++) {
			struct pushpull_stream *stream = &m->streams[i];

			if (stream->phase == STREAM_NONE)
				continue;
			if (m->now.mono < stream->deadline) {
				sooner(&m->streams_at, stream->deadline);
				continue;
			}
			if (stream->phase == STREAM_DIALLING)
				dial_failed(m, stream, false, false);
			stream_close(m, i);
		}
	}
	sooner(next, m->streams_at);
}

void pushpull_timers(struct membership *m, usec_t *next)
{
	stream_timers(m, next);
	join_endpoints_timers(m, next);
	routine(m, next);
}
