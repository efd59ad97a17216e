#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sodium.h>

#include "proto/session/hello.h"
#include "tests/identity_fixture.h"

#define KIND 16
#define STREAM_MAX (SESSION_BODY_MAX + SESSION_OVERHEAD)

static struct identity d1, d2;

/* The bytes that one side has written. */
struct stream {
	uint8_t data[8192];
	size_t len;
};

struct pair {
	struct session *dialer, *acceptor;
	struct stream hello, answer, confirm;
};

/* The versions that the next session opened speaks. */
static struct version_range versions = VERSION_RANGE;

static int set_up(void **state)
{
	(void)state;
	fixture_identity(1, 1, &d1);
	fixture_identity(1, 2, &d2);
	return 0;
}

static struct session *open_session(const struct identity *identity, bool dialer, uint8_t nonce)
{
	struct session_options options = {
		.identity = identity,
		.dialer = dialer,
		.epoch = 1000 + nonce,
		.versions = versions,
	};
	struct session *session;

	memset(options.nonce, nonce, sizeof(options.nonce));
	assert_int_equal(session_new(&options, &session), 0);
	return session;
}

static void collect(struct session *session, struct stream *stream)
{
	size_t n;

	stream->len = 0;
	/* In small bites, as a full socket would take them. */
	while ((n = session_output(session, stream->data + stream->len, 100)) > 0)
		stream->len += n;
}

/* Everything of it, or the first error; a frame is an error too, as 1. */
static int feed_at(struct session *session, const uint8_t *data, size_t len, usec_t wall)
{
	struct session_frame frame;
	size_t used;
	int r;

	while (len > 0) {
		r = session_feed(session, data, len, wall, &used, &frame);
		if (r != 0)
			return r;
		assert_true(used > 0 && used <= len);
		data += used;
		len -= used;
	}
	return 0;
}

static int feed(struct session *session, const struct stream *stream)
{
	return feed_at(session, stream->data, stream->len, FIXTURE_WALL);
}

static void start(struct pair *pair, uint8_t nonce)
{
	pair->dialer = open_session(&d1, true, nonce);
	pair->acceptor = open_session(&d2, false, (uint8_t)(nonce + 1));
	collect(pair->dialer, &pair->hello);
	assert_int_equal(feed(pair->acceptor, &pair->hello), 0);
	collect(pair->acceptor, &pair->answer);
	assert_int_equal(feed(pair->dialer, &pair->answer), 0);
	assert_true(session_ready(pair->dialer));
	assert_false(session_ready(pair->acceptor));
	collect(pair->dialer, &pair->confirm);
	assert_int_equal(feed(pair->acceptor, &pair->confirm), 0);
	assert_true(session_ready(pair->acceptor));
}

static void stop(struct pair *pair)
{
	session_free(pair->dialer);
	session_free(pair->acceptor);
}

static void seal(struct session *session, const char *text, struct stream *stream)
{
	assert_int_equal(session_seal(session, KIND, (const uint8_t *)text, strlen(text),
				      stream->data, sizeof(stream->data), &stream->len),
			 0);
}

static void assert_frame(struct session *session, const struct stream *stream, const char *text)
{
	struct session_frame frame;
	size_t used;

	assert_int_equal(
		session_feed(session, stream->data, stream->len, FIXTURE_WALL, &used, &frame), 1);
	assert_int_equal(used, stream->len);
	assert_int_equal(frame.kind, KIND);
	assert_int_equal(frame.len, strlen(text));
	assert_memory_equal(frame.body, text, frame.len);
}

static void test_round_trip(void **state)
{
	struct stream stream;
	struct pair pair;

	(void)state;
	start(&pair, 1);
	assert_string_equal(session_peer(pair.dialer)->name, "d2");
	assert_string_equal(session_peer(pair.acceptor)->name, "d1");
	assert_int_equal(session_peer_epoch(pair.dialer), 1002);
	assert_int_equal(session_peer_epoch(pair.acceptor), 1001);
	for (int i = 0; i < 3; i++) {
		seal(pair.dialer, "there", &stream);
		assert_int_equal(stream.len, strlen("there") + SESSION_OVERHEAD);
		assert_frame(pair.acceptor, &stream, "there");
		seal(pair.acceptor, "and back", &stream);
		assert_frame(pair.dialer, &stream, "and back");
	}
	seal(pair.dialer, "", &stream);
	assert_frame(pair.acceptor, &stream, "");
	stop(&pair);
}

static void test_largest_frame(void **state)
{
	uint8_t *data = test_malloc(STREAM_MAX);
	struct session_frame frame;
	struct pair pair;
	size_t len, used;

	(void)state;
	start(&pair, 1);
	memset(data, 0x5a, STREAM_MAX);
	/* The body is in its place already. */
	assert_int_equal(session_seal(pair.dialer, 255, data + SESSION_HEADER, SESSION_BODY_MAX,
				      data, STREAM_MAX, &len),
			 0);
	assert_int_equal(len, STREAM_MAX);
	assert_int_equal(session_feed(pair.acceptor, data, len, FIXTURE_WALL, &used, &frame), 1);
	assert_ptr_equal(frame.body, data + SESSION_HEADER);
	assert_int_equal(frame.kind, 255);
	assert_int_equal(frame.len, SESSION_BODY_MAX);
	assert_int_equal(session_seal(pair.dialer, KIND, data, SESSION_BODY_MAX + 1, data,
				      STREAM_MAX + 1, &len),
			 -EMSGSIZE);
	assert_int_equal(
		session_seal(pair.dialer, KIND, data, SESSION_BODY_MAX, data, STREAM_MAX - 1, &len),
		-ENOSPC);
	assert_int_equal(session_seal(pair.dialer, 15, data, 1, data, STREAM_MAX, &len), -EINVAL);
	test_free(data);
	stop(&pair);
}

/* Byte by byte and in every other rhythm, several frames in one read: the same frames. */
static void test_any_chunks(void **state)
{
	static const char *const texts[] = {"one", "", "three, which is longer"};
	struct stream part, all;
	struct pair pair;

	(void)state;
	for (size_t chunk = 1; chunk < 80; chunk++) {
		size_t at = 0, count = 0;

		start(&pair, 1);
		all.len = 0;
		for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
			seal(pair.dialer, texts[i], &part);
			memcpy(all.data + all.len, part.data, part.len);
			all.len += part.len;
		}
		while (at < all.len) {
			struct session_frame frame;
			size_t used;
			int r = session_feed(pair.acceptor, all.data + at, MIN(chunk, all.len - at),
					     FIXTURE_WALL, &used, &frame);

			assert_true(r == 0 || r == 1);
			at += used;
			if (r == 0)
				continue;
			assert_int_equal(frame.len, strlen(texts[count]));
			assert_memory_equal(frame.body, texts[count], frame.len);
			count++;
		}
		assert_int_equal(count, ARRAY_SIZE(texts));
		stop(&pair);
	}
}

static void test_handshake_in_bytes(void **state)
{
	struct session *dialer = open_session(&d1, true, 1);
	struct session *acceptor = open_session(&d2, false, 2);
	struct stream stream;

	(void)state;
	for (int step = 0; step < 3; step++) {
		struct session *from = step % 2 ? acceptor : dialer;
		struct session *to = step % 2 ? dialer : acceptor;

		collect(from, &stream);
		assert_true(stream.len > 0);
		for (size_t i = 0; i < stream.len; i++) {
			assert_false(session_ready(to));
			assert_int_equal(feed_at(to, stream.data + i, 1, FIXTURE_WALL), 0);
		}
	}
	assert_true(session_ready(dialer) && session_ready(acceptor));
	session_free(dialer);
	session_free(acceptor);
}

/* A stream that stops anywhere waits, and neither side is ready. */
static void test_truncated(void **state)
{
	struct stream frame;
	struct pair pair;

	(void)state;
	start(&pair, 1);
	seal(pair.dialer, "a frame", &frame);
	for (size_t len = 0; len < frame.len; len++) {
		struct session *acceptor = open_session(&d2, false, 2);

		assert_int_equal(feed(acceptor, &pair.hello), 0);
		assert_int_equal(feed(acceptor, &pair.confirm), 0);
		assert_true(session_ready(acceptor));
		assert_int_equal(feed_at(acceptor, frame.data, len, FIXTURE_WALL), 0);
		session_free(acceptor);
	}
	for (size_t len = 0; len < pair.hello.len; len++) {
		struct session *acceptor = open_session(&d2, false, 2);
		uint8_t byte;

		assert_int_equal(feed_at(acceptor, pair.hello.data, len, FIXTURE_WALL), 0);
		assert_int_equal(session_output(acceptor, &byte, 1), 0);
		session_free(acceptor);
	}
	for (size_t len = 0; len < pair.answer.len; len++) {
		struct session *dialer = open_session(&d1, true, 1);

		assert_int_equal(feed_at(dialer, pair.answer.data, len, FIXTURE_WALL), 0);
		assert_false(session_ready(dialer));
		session_free(dialer);
	}
	for (size_t len = 0; len < pair.confirm.len; len++) {
		struct session *acceptor = open_session(&d2, false, 2);

		assert_int_equal(feed(acceptor, &pair.hello), 0);
		assert_int_equal(feed_at(acceptor, pair.confirm.data, len, FIXTURE_WALL), 0);
		assert_false(session_ready(acceptor));
		session_free(acceptor);
	}
	stop(&pair);
}

static void flip(struct stream *stream, size_t bit)
{
	stream->data[bit / 8] ^= (uint8_t)(1 << bit % 8);
}

/* The acceptor refuses a changed hello, or the dialer its answer: neither side gets ready. */
static void test_flipped_hello(void **state)
{
	struct stream hello, answer;

	(void)state;
	for (size_t bit = 0;; bit++) {
		struct session *dialer = open_session(&d1, true, 1);
		struct session *acceptor = open_session(&d2, false, 2);

		collect(dialer, &hello);
		if (bit == hello.len * 8) {
			session_free(dialer);
			session_free(acceptor);
			break;
		}
		flip(&hello, bit);
		if (feed(acceptor, &hello) == 0) {
			collect(acceptor, &answer);
			if (answer.len > 0)
				assert_int_equal(feed(dialer, &answer), -SESSION_E_MAC);
		}
		assert_false(session_ready(dialer));
		assert_false(session_ready(acceptor));
		session_free(dialer);
		session_free(acceptor);
	}
}

static void test_flipped_answer(void **state)
{
	struct pair pair;

	(void)state;
	start(&pair, 1);
	for (size_t bit = 0; bit < pair.answer.len * 8; bit++) {
		struct session *dialer = open_session(&d1, true, 1);
		uint8_t byte[2048];
		size_t hello_len = session_output(dialer, byte, sizeof(byte));

		assert_true(hello_len < sizeof(byte));
		flip(&pair.answer, bit);
		feed(dialer, &pair.answer);
		flip(&pair.answer, bit);
		assert_false(session_ready(dialer));
		assert_int_equal(session_output(dialer, byte, 1), 0);
		session_free(dialer);
	}
	stop(&pair);
}

static void test_flipped_confirm(void **state)
{
	struct pair pair;

	(void)state;
	start(&pair, 1);
	for (size_t bit = 0; bit < pair.confirm.len * 8; bit++) {
		struct session *acceptor = open_session(&d2, false, 2);

		assert_int_equal(feed(acceptor, &pair.hello), 0);
		flip(&pair.confirm, bit);
		feed(acceptor, &pair.confirm);
		flip(&pair.confirm, bit);
		assert_false(session_ready(acceptor));
		session_free(acceptor);
	}
	stop(&pair);
}

static void test_flipped_frame(void **state)
{
	struct stream frame;
	struct pair pair;

	(void)state;
	start(&pair, 1);
	seal(pair.dialer, "flip me", &frame);
	for (size_t bit = 0; bit < frame.len * 8; bit++) {
		struct session *acceptor = open_session(&d2, false, 2);
		int r;

		assert_int_equal(feed(acceptor, &pair.hello), 0);
		assert_int_equal(feed(acceptor, &pair.confirm), 0);
		flip(&frame, bit);
		r = feed(acceptor, &frame);
		flip(&frame, bit);
		/* A length that grew within the limit waits for more. */
		assert_true(r == -SESSION_E_MAC || r == -SESSION_E_SIZE || (r == 0 && bit < 32));
		if (r < 0) {
			assert_false(session_ready(acceptor));
			assert_int_equal(feed(acceptor, &frame), r);
		}
		session_free(acceptor);
	}
	stop(&pair);
}

/* A recording of a whole stream, either direction, opens no other. */
static void test_replayed_stream(void **state)
{
	struct session *acceptor = open_session(&d2, false, 77);
	struct session *dialer = open_session(&d1, true, 78);
	struct pair pair;

	(void)state;
	start(&pair, 1);
	assert_int_equal(feed(acceptor, &pair.hello), 0);
	assert_int_equal(feed(acceptor, &pair.confirm), -SESSION_E_MAC);
	assert_int_equal(feed(dialer, &pair.answer), -SESSION_E_MAC);
	session_free(acceptor);
	session_free(dialer);
	stop(&pair);
}

static void test_replayed_and_reordered_frames(void **state)
{
	struct stream first, second;
	struct pair pair;

	(void)state;
	start(&pair, 1);
	seal(pair.dialer, "first", &first);
	assert_frame(pair.acceptor, &first, "first");
	assert_int_equal(feed(pair.acceptor, &first), -SESSION_E_MAC);
	stop(&pair);

	start(&pair, 1);
	seal(pair.dialer, "first", &first);
	seal(pair.dialer, "second", &second);
	assert_int_equal(feed(pair.acceptor, &second), -SESSION_E_MAC);
	stop(&pair);

	/* Our own, back to us. */
	start(&pair, 1);
	seal(pair.dialer, "first", &first);
	assert_int_equal(feed(pair.dialer, &first), -SESSION_E_MAC);
	stop(&pair);
}

/* The dialer's key, made as PROTOCOL.md says and not with the code under test. */
static void dialer_key(const struct identity *dialer, const struct stream *hello,
		       const struct stream *answer, uint8_t key[64])
{
	uint8_t input[18 + 64] = "lvsmesh session 1", shared[32];

	assert_int_equal(crypto_scalarmult(shared, dialer->box_secret, d2.certificate.box_key), 0);
	crypto_generichash(input + 18, 32, hello->data, hello->len, NULL, 0);
	crypto_generichash(input + 50, 32, answer->data + 4, answer->len - 4 - 16, NULL, 0);
	crypto_generichash(key, 64, input, sizeof(input), shared, sizeof(shared));
}

/* The dialer's frame number count. */
static void forge(const uint8_t key[64], uint8_t kind, uint8_t count, const uint8_t *body,
		  size_t len, struct stream *ret_frame)
{
	uint8_t nonce[12] = {count}, none = 0;

	*ret_frame = (struct stream){.data = {0, 0, 0, (uint8_t)len, kind}, .len = len + 21};
	if (len > 0)
		memcpy(ret_frame->data + 5, body, len);
	crypto_aead_chacha20poly1305_ietf_encrypt_detached(&none, ret_frame->data + 5 + len, NULL,
							   &none, 0, ret_frame->data, 5 + len, NULL,
							   nonce, key);
}

/* The answer of peer to a director that it takes for one of its own. */
static void answer_of(const struct identity *peer, struct stream *ret_answer)
{
	bool ours = memcmp(peer->certificate.cluster, d2.certificate.cluster, CLUSTER_ID_SIZE) == 0;
	struct session *acceptor = open_session(peer, false, 2);
	struct identity friend;
	struct session *dialer;

	fixture_identity(ours ? 1 : 2, 5, &friend);
	dialer = open_session(&friend, true, 1);
	collect(dialer, ret_answer);
	assert_int_equal(feed(acceptor, ret_answer), 0);
	collect(acceptor, ret_answer);
	session_free(acceptor);
	session_free(dialer);
}

/* An acceptor and a dialer refuse the peer for its certificate, and neither sends more. */
static void assert_refused(const struct identity *peer, usec_t wall, int error)
{
	struct session *acceptor = open_session(&d2, false, 2);
	struct session *dialer = open_session(&d2, true, 1);
	struct session *stranger = open_session(peer, true, 1);
	struct stream stream;

	collect(stranger, &stream);
	assert_int_equal(feed_at(acceptor, stream.data, stream.len, wall), -error);
	collect(acceptor, &stream);
	assert_int_equal(stream.len, 0);
	assert_false(session_ready(acceptor));

	answer_of(peer, &stream);
	assert_int_equal(feed_at(dialer, stream.data, stream.len, wall), -error);
	collect(dialer, &stream);
	assert_int_equal(stream.len, 0);
	assert_false(session_ready(dialer));

	session_free(acceptor);
	session_free(dialer);
	session_free(stranger);
}

static void test_strangers(void **state)
{
	struct identity foreign, forged = d1;
	struct cluster_key other;

	(void)state;
	fixture_identity(2, 1, &foreign);
	assert_refused(&foreign, FIXTURE_WALL, SESSION_E_CLUSTER);
	assert_refused(&d1, FIXTURE_WALL + 2 * FIXTURE_VALID * USEC_PER_SEC, SESSION_E_EXPIRED);
	assert_refused(&d1, FIXTURE_WALL - 2 * FIXTURE_VALID * USEC_PER_SEC, SESSION_E_EXPIRED);

	fixture_cluster(2, &other);
	assert_int_equal(certificate_issue(&d1.certificate, other.secret, &forged.certificate), 0);
	assert_refused(&forged, FIXTURE_WALL, SESSION_E_CERTIFICATE);
}

/* Both find out, when the other has proved that it holds the key and not before. */
static void assert_self(const struct identity *peer)
{
	struct session *dialer = open_session(peer, true, 1);
	struct session *acceptor = open_session(&d2, false, 2);
	struct stream hello, answer, confirm;
	uint8_t key[64];

	collect(dialer, &hello);
	assert_int_equal(feed(acceptor, &hello), 0);
	collect(acceptor, &answer);
	answer.data[answer.len - 1] ^= 1;
	assert_int_equal(feed(dialer, &answer), -SESSION_E_MAC);
	answer.data[answer.len - 1] ^= 1;
	session_free(dialer);

	dialer = open_session(peer, true, 1);
	assert_int_equal(feed(dialer, &answer), -SESSION_E_SELF);
	assert_false(session_ready(dialer));
	collect(dialer, &confirm);
	assert_int_equal(confirm.len, 0);

	dialer_key(peer, &hello, &answer, key);
	forge(key, 3, 0, NULL, 0, &confirm);
	assert_int_equal(feed(acceptor, &confirm), -SESSION_E_SELF);
	assert_false(session_ready(acceptor));
	session_free(dialer);
	session_free(acceptor);
}

static void test_self(void **state)
{
	struct identity peer;

	(void)state;
	assert_self(&d2);
	fixture_named(1, 3, "d2", &peer);
	assert_self(&peer);
	fixture_named(1, 2, "d9", &peer);
	assert_self(&peer);
}

/* A true certificate without its key. */
static void test_stolen_certificate(void **state)
{
	struct session *acceptor = open_session(&d2, false, 2);
	struct identity thief = d1, mallory;
	struct stream hello, answer;
	struct session *dialer;

	(void)state;
	fixture_identity(1, 9, &mallory);
	memcpy(thief.box_secret, mallory.box_secret, sizeof(thief.box_secret));
	dialer = open_session(&thief, true, 1);
	collect(dialer, &hello);
	assert_int_equal(feed(acceptor, &hello), 0);
	collect(acceptor, &answer);
	assert_int_equal(feed(dialer, &answer), -SESSION_E_MAC);
	session_free(dialer);
	session_free(acceptor);
}

/* A key that has the same product with every other: certified by mistake, useless still. */
static void test_weak_key(void **state)
{
	struct session *acceptor = open_session(&d2, false, 2);
	struct identity weak = d1;
	struct cluster_key cluster;
	struct session *dialer;
	struct stream hello;

	(void)state;
	fixture_cluster(1, &cluster);
	memset(weak.certificate.box_key, 0, BOX_KEY_SIZE);
	assert_int_equal(certificate_issue(&weak.certificate, cluster.secret, &weak.certificate),
			 0);
	dialer = open_session(&weak, true, 1);
	collect(dialer, &hello);
	assert_int_equal(feed(acceptor, &hello), -SESSION_E_CERTIFICATE);
	session_free(dialer);
	session_free(acceptor);
}

static void test_expires_while_open(void **state)
{
	struct stream frame;
	struct pair pair;

	(void)state;
	start(&pair, 1);
	seal(pair.dialer, "late", &frame);
	assert_int_equal(feed_at(pair.acceptor, frame.data, frame.len,
				 FIXTURE_WALL + 2 * FIXTURE_VALID * USEC_PER_SEC),
			 -SESSION_E_EXPIRED);
	stop(&pair);
}

/* A hello with these versions, by itself. */
static int answer_to_versions(uint32_t min, uint32_t max)
{
	struct session *acceptor = open_session(&d2, false, 2);
	uint8_t nonce[HELLO_NONCE_SIZE] = {1};
	struct stream hello = {.data = "LVSM"};
	size_t len;
	int r;

	len = hello_pack(&d1, (struct version_range){min, max}, nonce, 0, hello.data + 9);
	store_be32(hello.data + 4, (uint32_t)len);
	hello.data[8] = 1;
	hello.len = len + 9;
	r = feed(acceptor, &hello);
	session_free(acceptor);
	return r;
}

static void test_versions(void **state)
{
	(void)state;
	versions = (struct version_range){3, 4};
	assert_int_equal(answer_to_versions(3, 4), 0);
	assert_int_equal(answer_to_versions(0, 3), 0);
	assert_int_equal(answer_to_versions(4, UINT32_MAX), 0);
	assert_int_equal(answer_to_versions(5, UINT32_MAX), -SESSION_E_VERSION);
	assert_int_equal(answer_to_versions(0, 2), -SESSION_E_VERSION);
	assert_int_equal(answer_to_versions(4, 3), -SESSION_E_VERSION);
	versions = VERSION_RANGE;
}

/* The version that a dialer and an acceptor of these ranges agree on; 0: none. */
static uint32_t version_between(struct version_range dialer, struct version_range acceptor)
{
	struct stream hello, answer, confirm;
	struct session *d, *a;
	uint32_t version = 0;

	versions = dialer;
	d = open_session(&d1, true, 1);
	versions = acceptor;
	a = open_session(&d2, false, 2);
	versions = VERSION_RANGE;
	collect(d, &hello);
	if (feed(a, &hello) == 0) {
		collect(a, &answer);
		assert_int_equal(feed(d, &answer), 0);
		collect(d, &confirm);
		assert_int_equal(feed(a, &confirm), 0);
		assert_int_equal(session_version(a), session_version(d));
		version = session_version(d);
	}
	session_free(d);
	session_free(a);
	return version;
}

static void test_version_chosen(void **state)
{
	const struct version_range old = {1, 1}, next = {1, 2}, later = {2, 3};

	(void)state;
	assert_int_equal(version_between(old, old), 1);
	assert_int_equal(version_between(old, next), 1);
	assert_int_equal(version_between(next, old), 1);
	assert_int_equal(version_between(next, next), 2);
	assert_int_equal(version_between(next, later), 2);
	assert_int_equal(version_between(later, later), 3);
	assert_int_equal(version_between(later, old), 0);
	assert_int_equal(version_between(old, later), 0);
}

struct garbage {
	const char *data;
	size_t len;
	int result;
};

static void test_garbage(void **state)
{
	static const struct garbage rows[] = {
		{"G", 1, -SESSION_E_MAGIC},
		{"LVSX", 4, -SESSION_E_MAGIC},
		{"GET / HTTP/1.1\r\n", 16, -SESSION_E_MAGIC},
		{"LVSM\0\0\x10\0\1", 9, 0},
		{"LVSM\0\0\x10\1\1", 9, -SESSION_E_SIZE},
		{"LVSM\xff\xff\xff\xff\1", 9, -SESSION_E_SIZE},
		{"LVSM\0\0\0\0\1", 9, -SESSION_E_VERSION},
		{"LVSM\0\0\0\4\2", 9, -SESSION_E_KIND},
		{"LVSM\0\0\0\4\x10", 9, -SESSION_E_KIND},
		{"LVSM\0\0\0\3\1\xff\xff\xff", 12, -SESSION_E_MALFORMED},
		/* versions 1 to 1, and no cluster */
		{"LVSM\0\0\0\4\1\x08\1\x10\1", 13, -SESSION_E_MALFORMED},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct session *session = open_session(&d2, false, 2);

		assert_int_equal(
			feed_at(session, (const uint8_t *)rows[i].data, rows[i].len, FIXTURE_WALL),
			rows[i].result);
		assert_false(session_ready(session));
		session_free(session);
	}
}

static void test_format(void **state)
{
	struct stream frame;
	struct pair pair;
	uint8_t key[64];

	(void)state;
	start(&pair, 1);
	dialer_key(&d1, &pair.hello, &pair.answer, key);
	forge(key, KIND, 1, NULL, 0, &frame);
	assert_frame(pair.acceptor, &frame, "");
	/* The kinds below 16 are the session's: a peer that seals one is broken. */
	forge(key, SESSION_KIND_MIN - 1, 2, NULL, 0, &frame);
	assert_int_equal(feed(pair.acceptor, &frame), -SESSION_E_KIND);
	stop(&pair);
}

/* A confirm comes once. */
static void test_second_confirm(void **state)
{
	struct pair pair;

	(void)state;
	start(&pair, 1);
	assert_int_equal(feed(pair.acceptor, &pair.confirm), -SESSION_E_MAC);
	stop(&pair);
}

/* A Confirm with the right key and a body that does not decode. */
static void test_bad_confirm(void **state)
{
	struct session *acceptor = open_session(&d2, false, 2);
	struct stream confirm;
	struct pair pair;
	uint8_t key[64];

	(void)state;
	start(&pair, 1);
	dialer_key(&d1, &pair.hello, &pair.answer, key);
	forge(key, 3, 0, (const uint8_t *)"\xff", 1, &confirm);
	assert_int_equal(feed(acceptor, &pair.hello), 0);
	assert_int_equal(feed(acceptor, &confirm), -SESSION_E_MALFORMED);
	session_free(acceptor);
	stop(&pair);
}

static void test_order_of_calls(void **state)
{
	struct session *acceptor = open_session(&d2, false, 2);
	struct session *dialer = open_session(&d1, true, 1);
	struct stream stream, frame;
	uint8_t byte;

	(void)state;
	assert_int_equal(
		session_seal(dialer, KIND, &byte, 1, frame.data, sizeof(frame.data), &frame.len),
		-ENOTCONN);
	assert_int_equal(session_output(acceptor, &byte, 1), 0);
	collect(dialer, &stream);
	assert_int_equal(feed(acceptor, &stream), 0);
	collect(acceptor, &stream);
	assert_int_equal(feed(dialer, &stream), 0);
	/* The Confirm is still ours to send. */
	assert_true(session_ready(dialer));
	assert_int_equal(
		session_seal(dialer, KIND, &byte, 1, frame.data, sizeof(frame.data), &frame.len),
		-EAGAIN);
	collect(dialer, &stream);
	seal(dialer, "now", &frame);
	assert_int_equal(feed(acceptor, &stream), 0);
	assert_frame(acceptor, &frame, "now");
	session_free(dialer);
	session_free(acceptor);
	session_free(NULL);
}

static void test_error_names(void **state)
{
	(void)state;
	for (int i = 1; i < SESSION_E_MAX; i++)
		assert_string_not_equal(session_error_name(i), "unknown");
	assert_string_equal(session_error_name(0), "unknown");
	assert_string_equal(session_error_name(SESSION_E_MAX), "unknown");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_largest_frame),
		cmocka_unit_test(test_any_chunks),
		cmocka_unit_test(test_handshake_in_bytes),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_flipped_hello),
		cmocka_unit_test(test_flipped_answer),
		cmocka_unit_test(test_flipped_confirm),
		cmocka_unit_test(test_flipped_frame),
		cmocka_unit_test(test_replayed_stream),
		cmocka_unit_test(test_replayed_and_reordered_frames),
		cmocka_unit_test(test_strangers),
		cmocka_unit_test(test_self),
		cmocka_unit_test(test_stolen_certificate),
		cmocka_unit_test(test_weak_key),
		cmocka_unit_test(test_expires_while_open),
		cmocka_unit_test(test_versions),
		cmocka_unit_test(test_version_chosen),
		cmocka_unit_test(test_garbage),
		cmocka_unit_test(test_format),
		cmocka_unit_test(test_second_confirm),
		cmocka_unit_test(test_bad_confirm),
		cmocka_unit_test(test_order_of_calls),
		cmocka_unit_test(test_error_names),
	};

	return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, set_up, NULL);
}
