/* A recorded Hello that is sent again and again costs no signature check and no key agreement. The
 * two expensive functions are the test's, and count. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sodium.h>

#include "proto/session/session.h"
#include "tests/identity_fixture.h"

static unsigned int verified, agreed;

int __real_crypto_sign_verify_detached(const uint8_t *signature, const uint8_t *data,
				       unsigned long long len, const uint8_t *key);
int __wrap_crypto_sign_verify_detached(const uint8_t *signature, const uint8_t *data,
				       unsigned long long len, const uint8_t *key);
int __real_crypto_scalarmult(uint8_t *q, const uint8_t *n, const uint8_t *p);
int __wrap_crypto_scalarmult(uint8_t *q, const uint8_t *n, const uint8_t *p);

int __wrap_crypto_sign_verify_detached(const uint8_t *signature, const uint8_t *data,
				       unsigned long long len, const uint8_t *key)
{
	verified++;
	return __real_crypto_sign_verify_detached(signature, data, len, key);
}

int __wrap_crypto_scalarmult(uint8_t *q, const uint8_t *n, const uint8_t *p)
{
	agreed++;
	return __real_crypto_scalarmult(q, n, p);
}

struct stream {
	uint8_t data[4096];
	size_t len;
};

static struct session *session_of(const struct identity *identity, struct peer_cache *cache,
				  bool dialer, uint8_t nonce)
{
	struct session_options options = {
		.identity = identity,
		.cache = cache,
		.dialer = dialer,
		.nonce = {nonce},
		.versions = VERSION_RANGE,
	};
	struct session *session;

	assert_int_equal(session_new(&options, &session), 0);
	return session;
}

static void output(struct session *session, struct stream *stream)
{
	stream->len = session_output(session, stream->data, sizeof(stream->data));
}

static int feed(struct session *session, const struct stream *stream, usec_t wall)
{
	struct session_frame frame;
	size_t used;

	return session_feed(session, stream->data, stream->len, wall, &used, &frame);
}

/* A new stream on which the recorded Hello comes. */
static int replay(const struct identity *identity, struct peer_cache *cache, uint8_t nonce,
		  const struct stream *hello, usec_t wall)
{
	struct session *session = session_of(identity, cache, false, nonce);
	int r = feed(session, hello, wall);

	verified = agreed = 0;
	if (r == 0)
		assert_true(session_pending(session));
	session_free(session);
	session = session_of(identity, cache, false, nonce + 1);
	r = feed(session, hello, wall);
	session_free(session);
	return r;
}

static void test_replayed(void **state)
{
	struct identity d1, d2, stranger;
	struct session *dialer, *acceptor;
	struct peer_cache *cache;
	struct stream hello, forged, answer;

	(void)state;
	fixture_identity(1, 1, &d1);
	fixture_identity(1, 2, &d2);
	assert_int_equal(peer_cache_new(&cache), 0);
	dialer = session_of(&d1, NULL, true, 1);
	output(dialer, &hello);

	assert_int_equal(replay(&d2, cache, 10, &hello, FIXTURE_WALL), 0);
	assert_int_equal(verified, 0);
	assert_int_equal(agreed, 0);
	/* without a cache, and with one, both ends make the same keys */
	acceptor = session_of(&d2, cache, false, 20);
	assert_int_equal(feed(acceptor, &hello, FIXTURE_WALL), 0);
	output(acceptor, &answer);
	assert_int_equal(feed(dialer, &answer, FIXTURE_WALL), 0);
	output(dialer, &answer);
	assert_int_equal(feed(acceptor, &answer, FIXTURE_WALL), 0);
	assert_true(session_ready(acceptor));
	session_free(acceptor);

	/* dates are checked each time */
	assert_int_equal(
		replay(&d2, cache, 30, &hello, FIXTURE_WALL + 2 * FIXTURE_VALID * USEC_PER_SEC),
		-SESSION_E_EXPIRED);

	/* a forged certificate is checked, and refused, each time */
	forged = hello;
	for (size_t i = 0; i + SIGNATURE_SIZE <= forged.len; i++) {
		const struct certificate *own = &d1.certificate;

		if (memcmp(forged.data + i, own->bytes + own->len - SIGNATURE_SIZE,
			   SIGNATURE_SIZE) == 0)
			forged.data[i] ^= 1;
	}
	assert_memory_not_equal(forged.data, hello.data, hello.len);
	assert_int_equal(replay(&d2, cache, 40, &forged, FIXTURE_WALL), -SESSION_E_CERTIFICATE);
	assert_int_equal(verified, 1);

	/* another cluster's never gets that far */
	fixture_identity(2, 1, &stranger);
	session_free(dialer);
	dialer = session_of(&stranger, NULL, true, 1);
	output(dialer, &hello);
	assert_int_equal(replay(&d2, cache, 50, &hello, FIXTURE_WALL), -SESSION_E_CLUSTER);
	assert_int_equal(verified + agreed, 0);
	session_free(dialer);
	peer_cache_free(cache);
}

/* Each peer has its own secret, however many there are. */
static void test_many(void **state)
{
	uint8_t secret[PEER_CACHE_SECRET], again[PEER_CACHE_SECRET];
	struct identity own, peers[64];
	struct peer_cache *cache;

	(void)state;
	fixture_identity(1, 200, &own);
	assert_int_equal(peer_cache_new(&cache), 0);
	for (uint8_t i = 0; i < ARRAY_SIZE(peers); i++) {
		fixture_identity(1, i + 1, &peers[i]);
		assert_int_equal(
			peer_cache_verify(cache, &own, &peers[i].certificate, FIXTURE_WALL), 0);
		assert_int_equal(peer_cache_secret(cache, &own, &peers[i].certificate, secret), 0);
	}
	agreed = 0;
	for (uint8_t i = 0; i < ARRAY_SIZE(peers); i++) {
		const struct certificate *certificate = &peers[i].certificate;

		assert_int_equal(peer_cache_secret(cache, &own, certificate, secret), 0);
		assert_int_equal(peer_cache_secret(NULL, &own, certificate, again), 0);
		assert_memory_equal(secret, again, sizeof(secret));
	}
	/* of 512 places in sets of four few lose theirs */
	assert_in_range(agreed, ARRAY_SIZE(peers), ARRAY_SIZE(peers) + 4);
	peer_cache_free(cache);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_replayed),
		cmocka_unit_test(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
