/* A director's certificate: what the cluster's offline key says about one node. Plain values;
 * parsing touches memory only. PROTOCOL.md, "Certificates". */
#ifndef PROTO_IDENTITY_CERTIFICATE_H
#define PROTO_IDENTITY_CERTIFICATE_H

#include "proto/endpoint.h"

#define CLUSTER_ID_SIZE 16
#define SIGN_PUBLIC_SIZE 32 /* Ed25519 */
#define SIGN_SECRET_SIZE 64 /* Ed25519 as libsodium keeps it: seed, public key */
#define SIGNATURE_SIZE 64
#define BOX_KEY_SIZE 32 /* X25519, public or secret */

#define CERTIFICATE_NAME_MAX 63
#define CERTIFICATE_ADDRESSES_MAX 16
#define CERTIFICATE_MAX 1024 /* bytes of a whole certificate */

enum certificate_error {
	CERTIFICATE_E_MALFORMED = 1, /* does not decode, or a field breaks its limits */
	CERTIFICATE_E_CLUSTER,       /* another cluster's */
	CERTIFICATE_E_SIGNATURE,     /* not signed by our cluster key */
	CERTIFICATE_E_EARLY,         /* not valid yet */
	CERTIFICATE_E_EXPIRED,
	CERTIFICATE_E_KEY, /* identity_init() only: the secret key is of another certificate */
	CERTIFICATE_E_MAX,
};

/* A phrase that goes after the file's or the peer's name: "has expired", ... */
const char *certificate_error_text(int error);

struct certificate {
	uint8_t cluster[CLUSTER_ID_SIZE];
	char name[CERTIFICATE_NAME_MAX + 1];
	uint8_t sign_key[SIGN_PUBLIC_SIZE];
	uint8_t box_key[BOX_KEY_SIZE];
	struct ip_addr addresses[CERTIFICATE_ADDRESSES_MAX];
	size_t address_count;
	uint64_t not_before; /* seconds since 1970, UTC */
	uint64_t not_after;  /* the last valid second */
	uint64_t serial;
	/* The same as signed, and as it travels. Set by _parse and _issue. */
	uint8_t bytes[CERTIFICATE_MAX];
	size_t len;
};

/* 1 to 63 of a-z 0-9 . -, first and last a letter or digit (so it is a safe file name too). */
bool certificate_name_valid(const char *name, size_t len);

/* 0, or CERTIFICATE_E_MALFORMED. Nothing of it is true before _verify. */
int certificate_parse(const uint8_t *bytes, size_t len, struct certificate *ret_certificate);

/* cluster_key: the cluster's public key. 0, or CERTIFICATE_E_{CLUSTER,SIGNATURE,EARLY,EXPIRED},
 * in this order: EARLY and EXPIRED are about a certificate that is otherwise good. */
int certificate_verify(const struct certificate *certificate,
		       const uint8_t cluster_key[SIGN_PUBLIC_SIZE], usec_t wall);

/* The dates alone, of a certificate verified before: 0, CERTIFICATE_E_{EARLY,EXPIRED}. */
int certificate_check_time(const struct certificate *certificate, usec_t wall);

/* Signs the fields of want (bytes and len are not read) with the cluster's secret key.
 * 0, or CERTIFICATE_E_MALFORMED: a name, count or date that _parse would refuse. */
int certificate_issue(const struct certificate *want,
		      const uint8_t cluster_secret[SIGN_SECRET_SIZE],
		      struct certificate *ret_certificate);

/* The director's number, wherever an origin or a sender is one: the first 8 bytes, little endian,
 * of BLAKE2b of its signing key. A renewed certificate with the same key keeps it. */
uint64_t certificate_id(const struct certificate *certificate);

/* The first 16 bytes of BLAKE2b of the cluster's public key. */
void certificate_cluster_id(const uint8_t cluster_key[SIGN_PUBLIC_SIZE],
			    uint8_t ret_id[CLUSTER_ID_SIZE]);

#endif
