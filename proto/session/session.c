#include "proto/session/session.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>

#include "proto/session/hello.h"

#define MAGIC_SIZE 4
#define MAC_SIZE 16
#define KEY_SIZE 32
#define HASH_SIZE 32

_Static_assert(SESSION_OVERHEAD == SESSION_HEADER + MAC_SIZE, "the frame");
_Static_assert(MAC_SIZE == crypto_aead_chacha20poly1305_ietf_ABYTES, "the MAC");
_Static_assert(KEY_SIZE == crypto_aead_chacha20poly1305_ietf_KEYBYTES, "the MAC's key");

static const uint8_t magic[MAGIC_SIZE] = {'L', 'V', 'S', 'M'};
static const char key_prefix[] = "lvsmesh session 1";

enum kind {
	KIND_HELLO = 1,
	KIND_ANSWER,
	KIND_CONFIRM,
};

/* The message that the peer must send next. */
enum phase {
	PHASE_HELLO,   /* acceptor */
	PHASE_ANSWER,  /* dialer */
	PHASE_CONFIRM, /* acceptor */
	PHASE_READY,
};

/* One direction. The key is of this stream alone, so a counter makes every nonce new. */
struct channel {
	uint8_t key[KEY_SIZE];
	uint64_t count;
};

struct session {
	const struct identity *identity;
	struct peer_cache *cache;
	uint8_t nonce[HELLO_NONCE_SIZE];
	uint64_t epoch;
	struct version_range versions;
	bool dialer;

	enum phase phase;
	bool greeted; /* the peer's magic was taken */
	int error;    /* SESSION_E_*, for ever */
	uint8_t hello_hash[HASH_SIZE];
	struct channel out, in;
	struct certificate peer;
	uint64_t peer_epoch;
	uint32_t version; /* chosen by the acceptor */

	/* The beginning of a frame that did not come whole. */
	uint8_t *held;
	size_t held_len, held_cap;

	/* Handshake bytes to be sent. */
	uint8_t pending[MAGIC_SIZE + SESSION_OVERHEAD + HELLO_MAX];
	size_t pending_at, pending_len;
};

const char *session_error_name(int error)
{
	static const char *const names[SESSION_E_MAX] = {
		[SESSION_E_MAGIC] = "magic",
		[SESSION_E_VERSION] = "version",
		[SESSION_E_CLUSTER] = "cluster",
		[SESSION_E_SIZE] = "size",
		[SESSION_E_MALFORMED] = "malformed",
		[SESSION_E_CERTIFICATE] = "certificate",
		[SESSION_E_EXPIRED] = "expired",
		[SESSION_E_SELF] = "self",
		[SESSION_E_MAC] = "mac",
		[SESSION_E_KIND] = "kind",
		[SESSION_E_MEMORY] = "memory",
	};

	return error > 0 && error < SESSION_E_MAX ? names[error] : "unknown";
}

static void channel_nonce(const struct channel *channel,
			  uint8_t nonce[crypto_aead_chacha20poly1305_ietf_NPUBBYTES])
{
	memset(nonce, 0, crypto_aead_chacha20poly1305_ietf_NPUBBYTES);
	store_le64(nonce, channel->count);
}

/* Writes the MAC of a frame's header and body behind them. */
static void channel_seal(struct channel *channel, uint8_t *frame, size_t len)
{
	uint8_t nonce[crypto_aead_chacha20poly1305_ietf_NPUBBYTES], none;

	channel_nonce(channel, nonce);
	crypto_aead_chacha20poly1305_ietf_encrypt_detached(&none, frame + len, NULL, NULL, 0, frame,
							   len, NULL, nonce, channel->key);
	channel->count++;
}

static bool channel_open(struct channel *channel, const uint8_t *frame, size_t len)
{
	uint8_t nonce[crypto_aead_chacha20poly1305_ietf_NPUBBYTES], none = 0;

	channel_nonce(channel, nonce);
	if (crypto_aead_chacha20poly1305_ietf_decrypt_detached(
		    &none, NULL, &none, 0, frame + len, frame, len, nonce, channel->key) != 0)
		return false;
	channel->count++;
	return true;
}

/* Both directions' keys, from the secret that only the two have and from all of both hellos.
 * False for a peer whose key is one of the few that make no secret. */
static bool derive_keys(struct session *session, const uint8_t *answer, size_t len)
{
	uint8_t shared[PEER_CACHE_SECRET], answer_hash[HASH_SIZE], keys[2 * KEY_SIZE];
	uint8_t input[sizeof(key_prefix) + 2 * HASH_SIZE];
	uint8_t *dialer_key = keys, *acceptor_key = keys + KEY_SIZE;

	if (peer_cache_secret(session->cache, session->identity, &session->peer, shared) < 0)
		return false;
	crypto_generichash(answer_hash, sizeof(answer_hash), answer, len, NULL, 0);
	memcpy(input, key_prefix, sizeof(key_prefix));
	memcpy(input + sizeof(key_prefix), session->hello_hash, HASH_SIZE);
	memcpy(input + sizeof(key_prefix) + HASH_SIZE, answer_hash, HASH_SIZE);
	crypto_generichash(keys, sizeof(keys), input, sizeof(input), shared, sizeof(shared));

	memcpy(session->out.key, session->dialer ? dialer_key : acceptor_key, KEY_SIZE);
	memcpy(session->in.key, session->dialer ? acceptor_key : dialer_key, KEY_SIZE);
	sodium_memzero(shared, sizeof(shared));
	sodium_memzero(keys, sizeof(keys));
	return true;
}

static void put_header(uint8_t *frame, enum kind kind, size_t len)
{
	store_be32(frame, (uint32_t)len);
	frame[4] = (uint8_t)kind;
}

static void start_dialing(struct session *session)
{
	uint8_t *frame = session->pending + MAGIC_SIZE;
	size_t len;

	memcpy(session->pending, magic, MAGIC_SIZE);
	len = hello_pack(session->identity, session->versions, session->nonce, 0,
			 frame + SESSION_HEADER);
	put_header(frame, KIND_HELLO, len);
	session->pending_len = MAGIC_SIZE + SESSION_HEADER + len;
	crypto_generichash(session->hello_hash, HASH_SIZE, session->pending, session->pending_len,
			   NULL, 0);
}

int session_new(const struct session_options *options, struct session **ret_session)
{
	struct session *session = calloc(1, sizeof(*session));

	if (!session)
		return -ENOMEM;
	session->identity = options->identity;
	session->cache = options->cache;
	session->dialer = options->dialer;
	memcpy(session->nonce, options->nonce, sizeof(session->nonce));
	session->epoch = options->epoch;
	session->versions = options->versions;
	session->phase = options->dialer ? PHASE_ANSWER : PHASE_HELLO;
	if (options->dialer)
		start_dialing(session);
	*ret_session = session;
	return 0;
}

void session_free(struct session *session)
{
	if (!session)
		return;
	free(session->held);
	sodium_memzero(session, sizeof(*session));
	free(session);
}

/* Checks the peer's hello, of either side, as far as is possible without a MAC. */
static int take_peer(struct session *session, const uint8_t *body, size_t len, usec_t wall,
		     struct hello *ret_hello)
{
	int r;

	r = hello_parse(session->identity, session->versions, body, len, ret_hello);
	if (r == 0)
		r = hello_check(session->identity, session->cache, ret_hello, wall);
	if (r == 0)
		session->peer = ret_hello->certificate;
	return r;
}

/* The peer is proved. Only now may it be called ourselves: a stranger could show our certificate,
 * and a director that dials itself must learn it from the answer. */
static int finish(struct session *session, uint64_t peer_epoch)
{
	const struct certificate *own = &session->identity->certificate;
	const struct certificate *peer = &session->peer;

	if (strcmp(peer->name, own->name) == 0 ||
	    memcmp(peer->sign_key, own->sign_key, SIGN_PUBLIC_SIZE) == 0 ||
	    memcmp(peer->box_key, own->box_key, BOX_KEY_SIZE) == 0)
		return SESSION_E_SELF;
	session->peer_epoch = peer_epoch;
	session->phase = PHASE_READY;
	return 0;
}

static int take_hello(struct session *session, const uint8_t *frame, size_t len, usec_t wall)
{
	uint8_t *answer = session->pending + MAGIC_SIZE;
	struct hello hello;
	size_t answer_len;
	int r;

	r = take_peer(session, frame + MAGIC_SIZE + SESSION_HEADER,
		      len - MAGIC_SIZE - SESSION_HEADER, wall, &hello);
	if (r != 0)
		return r;
	crypto_generichash(session->hello_hash, HASH_SIZE, frame, len, NULL, 0);

	session->version = version_common(session->versions, hello.versions);
	memcpy(session->pending, magic, MAGIC_SIZE);
	answer_len = hello_pack(session->identity,
				(struct version_range){session->version, session->version},
				session->nonce, session->epoch, answer + SESSION_HEADER);
	put_header(answer, KIND_ANSWER, answer_len);
	answer_len += SESSION_HEADER;
	if (!derive_keys(session, answer, answer_len))
		return SESSION_E_CERTIFICATE;
	channel_seal(&session->out, answer, answer_len);
	session->pending_len = MAGIC_SIZE + answer_len + MAC_SIZE;
	session->phase = PHASE_CONFIRM;
	return 0;
}

static int take_answer(struct session *session, const uint8_t *frame, size_t len, usec_t wall)
{
	size_t confirm_len;
	struct hello hello;
	int r;

	frame += MAGIC_SIZE;
	len -= MAGIC_SIZE + MAC_SIZE;
	r = take_peer(session, frame + SESSION_HEADER, len - SESSION_HEADER, wall, &hello);
	if (r != 0)
		return r;
	if (!derive_keys(session, frame, len))
		return SESSION_E_CERTIFICATE;
	if (!channel_open(&session->in, frame, len))
		return SESSION_E_MAC;
	if (hello.versions.min != hello.versions.max)
		return SESSION_E_VERSION;
	session->version = hello.versions.max;
	r = finish(session, hello.epoch);
	if (r != 0)
		return r;

	/* All our pending handshake bytes have been sent: the peer answered them. */
	session->pending_at = 0;
	confirm_len = hello_confirm_pack(session->epoch, session->pending + SESSION_HEADER);
	put_header(session->pending, KIND_CONFIRM, confirm_len);
	channel_seal(&session->out, session->pending, SESSION_HEADER + confirm_len);
	session->pending_len = SESSION_OVERHEAD + confirm_len;
	return 0;
}

static int take_confirm(struct session *session, const uint8_t *frame, size_t len)
{
	uint64_t epoch;
	int r;

	len -= MAC_SIZE;
	if (!channel_open(&session->in, frame, len))
		return SESSION_E_MAC;
	r = hello_confirm_parse(frame + SESSION_HEADER, len - SESSION_HEADER, &epoch);
	return r == 0 ? finish(session, epoch) : r;
}

static int take_frame(struct session *session, const uint8_t *frame, size_t len, usec_t wall,
		      struct session_frame *ret_frame)
{
	len -= MAC_SIZE;
	if (certificate_check_time(&session->peer, wall) != 0)
		return SESSION_E_EXPIRED;
	if (!channel_open(&session->in, frame, len))
		return SESSION_E_MAC;
	if (frame[4] < SESSION_KIND_MIN)
		return SESSION_E_KIND;
	ret_frame->kind = frame[4];
	ret_frame->body = frame + SESSION_HEADER;
	ret_frame->len = len - SESSION_HEADER;
	return 0;
}

static int fail(struct session *session, int error)
{
	session->error = error;
	session->pending_len = session->pending_at = 0;
	return -error;
}

/* A whole frame. */
static int take(struct session *session, const uint8_t *frame, size_t len, usec_t wall,
		struct session_frame *ret_frame)
{
	bool deliver = session->phase == PHASE_READY;
	int error = 0;

	session->greeted = true;
	switch (session->phase) {
	case PHASE_HELLO:
		error = take_hello(session, frame, len, wall);
		break;
	case PHASE_ANSWER:
		error = take_answer(session, frame, len, wall);
		break;
	case PHASE_CONFIRM:
		error = take_confirm(session, frame, len);
		break;
	case PHASE_READY:
		error = take_frame(session, frame, len, wall, ret_frame);
		break;
	}
	if (error)
		return fail(session, error);
	return deliver ? 1 : 0;
}

/* The bytes needed to know the length of the next frame. */
static size_t header_size(const struct session *session)
{
	return session->greeted ? SESSION_HEADER : MAGIC_SIZE + SESSION_HEADER;
}

/* The size of the frame that begins at data, or 0 when it is not known yet. Returns any error that
 * is evident so far. */
static int measure(const struct session *session, const uint8_t *data, size_t len,
		   size_t *ret_total)
{
	static const uint8_t kinds[] = {
		[PHASE_HELLO] = KIND_HELLO,
		[PHASE_ANSWER] = KIND_ANSWER,
		[PHASE_CONFIRM] = KIND_CONFIRM,
	};
	size_t header = header_size(session), max = SESSION_BODY_MAX;
	uint32_t body;

	*ret_total = 0;
	if (len == 0)
		return 0;
	if (!session->greeted && memcmp(data, magic, MIN(len, (size_t)MAGIC_SIZE)) != 0)
		return SESSION_E_MAGIC;
	if (len < header)
		return 0;
	body = load_be32(data + header - SESSION_HEADER);
	if (session->phase != PHASE_READY) {
		if (data[header - 1] != kinds[session->phase])
			return SESSION_E_KIND;
		max = SESSION_HELLO_MAX;
	}
	if (body > max)
		return SESSION_E_SIZE;
	*ret_total = header + body + (session->phase == PHASE_HELLO ? 0 : MAC_SIZE);
	return 0;
}

static int reserve(struct session *session, size_t cap)
{
	uint8_t *held;

	if (cap <= session->held_cap)
		return 0;
	held = realloc(session->held, cap);
	if (!held)
		return SESSION_E_MEMORY;
	session->held = held;
	session->held_cap = cap;
	return 0;
}

/* Gathers a frame that comes in parts. */
static int gather(struct session *session, const uint8_t *data, size_t len, usec_t wall,
		  size_t *ret_used, struct session_frame *ret_frame)
{
	size_t used = 0, total, want, n;
	int error;

	for (;;) {
		error = measure(session, session->held, session->held_len, &total);
		want = total ? total : header_size(session);
		if (!error)
			error = reserve(session, want);
		if (error)
			return fail(session, error);
		if (total && session->held_len == total) {
			*ret_used = used;
			session->held_len = 0;
			return take(session, session->held, total, wall, ret_frame);
		}
		if (used == len)
			break;
		n = MIN(want - session->held_len, len - used);
		memcpy(session->held + session->held_len, data + used, n);
		session->held_len += n;
		used += n;
	}
	*ret_used = used;
	return 0;
}

int session_feed(struct session *session, const uint8_t *data, size_t len, usec_t wall,
		 size_t *ret_used, struct session_frame *ret_frame)
{
	size_t total;
	int error;

	*ret_used = 0;
	if (session->error)
		return -session->error;
	if (len == 0)
		return 0;
	if (session->held_len == 0) {
		error = measure(session, data, len, &total);
		if (error)
			return fail(session, error);
		if (total && len >= total) {
			*ret_used = total;
			return take(session, data, total, wall, ret_frame);
		}
	}
	return gather(session, data, len, wall, ret_used, ret_frame);
}

size_t session_output(struct session *session, uint8_t *data, size_t cap)
{
	size_t n = MIN(cap, session->pending_len - session->pending_at);

	memcpy(data, session->pending + session->pending_at, n);
	session->pending_at += n;
	return n;
}

bool session_pending(const struct session *session)
{
	return session->pending_at < session->pending_len;
}

bool session_ready(const struct session *session)
{
	return session->phase == PHASE_READY && session->error == 0;
}

const struct certificate *session_peer(const struct session *session)
{
	return &session->peer;
}

uint64_t session_peer_epoch(const struct session *session)
{
	return session->peer_epoch;
}

uint32_t session_version(const struct session *session)
{
	return session->version;
}

int session_seal(struct session *session, uint8_t kind, const uint8_t *body, size_t len,
		 uint8_t *data, size_t cap, size_t *ret_len)
{
	if (!session_ready(session))
		return -ENOTCONN;
	if (session_pending(session))
		return -EAGAIN;
	if (kind < SESSION_KIND_MIN)
		return -EINVAL;
	if (len > SESSION_BODY_MAX)
		return -EMSGSIZE;
	if (cap < len + SESSION_OVERHEAD)
		return -ENOSPC;
	if (len > 0 && body != data + SESSION_HEADER)
		memmove(data + SESSION_HEADER, body, len);
	store_be32(data, (uint32_t)len);
	data[4] = kind;
	channel_seal(&session->out, data, SESSION_HEADER + len);
	*ret_len = len + SESSION_OVERHEAD;
	return 0;
}
