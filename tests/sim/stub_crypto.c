/* The expensive half of libsodium replaced by sums that a child could forge, for simulations of a
 * thousand members: linked into a program, these come before the library's. Everything above them,
 * all of proto/ included, is the real thing. */
#include <sodium.h>
#include <string.h>

/* Eight bytes at a time; keyed by start. */
static unsigned long long sum(unsigned long long start, const unsigned char *data,
			      unsigned long long len)
{
	unsigned long long z = start ^ len, word;

	for (; len > 0; data += len < 8 ? len : 8, len -= len < 8 ? len : 8) {
		word = 0;
		memcpy(&word, data, len < 8 ? len : 8);
		z = (z ^ word) * 0x9e3779b97f4a7c15ULL;
		z ^= z >> 29;
	}
	return z;
}

int crypto_sign_seed_keypair(unsigned char *pk, unsigned char *sk, const unsigned char *seed)
{
	memcpy(pk, seed, 32);
	memcpy(sk, seed, 32);
	memcpy(sk + 32, pk, 32);
	return 0;
}

static void signature(unsigned char *sig, const unsigned char *m, unsigned long long len,
		      const unsigned char *pk)
{
	unsigned long long s = sum(sum(0, pk, 32), m, len);

	memset(sig, 0, 64);
	memcpy(sig, &s, sizeof(s));
}

int crypto_sign_detached(unsigned char *sig, unsigned long long *siglen, const unsigned char *m,
			 unsigned long long len, const unsigned char *sk)
{
	signature(sig, m, len, sk + 32);
	if (siglen)
		*siglen = 64;
	return 0;
}

int crypto_sign_verify_detached(const unsigned char *sig, const unsigned char *m,
				unsigned long long len, const unsigned char *pk)
{
	unsigned char want[64];

	signature(want, m, len, pk);
	return memcmp(want, sig, sizeof(want)) == 0 ? 0 : -1;
}

int crypto_scalarmult_base(unsigned char *q, const unsigned char *n)
{
	memcpy(q, n, 32);
	return 0;
}

int crypto_scalarmult(unsigned char *q, const unsigned char *n, const unsigned char *p)
{
	for (int i = 0; i < 32; i++)
		q[i] = n[i] ^ p[i];
	return 0;
}

static void mac_of(unsigned char *mac, const unsigned char *ad, unsigned long long len,
		   const unsigned char *nonce, const unsigned char *key)
{
	unsigned long long s = sum(sum(sum(0, key, 32), nonce, 16), ad, len);

	memset(mac, 0, 16);
	memcpy(mac, &s, sizeof(s));
}

int crypto_aead_xchacha20poly1305_ietf_encrypt_detached(
	unsigned char *c, unsigned char *mac, unsigned long long *maclen, const unsigned char *m,
	unsigned long long mlen, const unsigned char *ad, unsigned long long adlen,
	const unsigned char *nsec, const unsigned char *npub, const unsigned char *k)
{
	(void)c;
	(void)m;
	(void)mlen;
	(void)nsec;
	mac_of(mac, ad, adlen, npub, k);
	if (maclen)
		*maclen = 16;
	return 0;
}

int crypto_aead_xchacha20poly1305_ietf_decrypt_detached(
	unsigned char *m, unsigned char *nsec, const unsigned char *c, unsigned long long clen,
	const unsigned char *mac, const unsigned char *ad, unsigned long long adlen,
	const unsigned char *npub, const unsigned char *k)
{
	unsigned char want[16];

	(void)m;
	(void)nsec;
	(void)c;
	(void)clen;
	mac_of(want, ad, adlen, npub, k);
	return memcmp(want, mac, sizeof(want)) == 0 ? 0 : -1;
}
