/* A director's identity: its secret keys, its certificate, and the public key of its cluster.
 * Nothing here reads a file (proto/identity/identity_file.h does), a clock, or a random number.
 *
 * How `lvsmesh keygen` uses it, after sodium_init():
 *
 *	randombytes_buf(seed, sizeof(seed));		   // KEYGEN_CLUSTER_SEED bytes
 *	identity_keygen_cluster(seed, &cluster);
 *	r = identity_file_save_cluster(dir, &cluster, error);		   // dir/cluster.key,
 *dir/cluster.pub
 *
 *	r = identity_file_load_cluster(cluster_dir, &cluster, error);
 *	randombytes_buf(seed, sizeof(seed));		   // KEYGEN_NODE_SEED bytes
 *	r = identity_keygen_node(&cluster, &options, seed, &identity);
 *	r = identity_file_save(dir, &identity, error);	   // dir/key, certificate, cluster.pub
 *
 * and at the end identity_cluster_key_fini(), identity_fini() and sodium_memzero(seed). */
#ifndef PROTO_IDENTITY_IDENTITY_H
#define PROTO_IDENTITY_IDENTITY_H

#include "proto/identity/certificate.h"

#define KEYGEN_CLUSTER_SEED 32
#define KEYGEN_NODE_SEED 64 /* for Ed25519, then for X25519; also what the file `key` holds */

/* Kept offline: its holder can make directors. */
struct cluster_key {
	uint8_t public_key[SIGN_PUBLIC_SIZE];
	uint8_t secret[SIGN_SECRET_SIZE];
};

struct identity {
	struct certificate certificate;
	uint64_t id;                           /* certificate_id() of it */
	uint8_t cluster_key[SIGN_PUBLIC_SIZE]; /* the cluster's public key */
	uint8_t sign_secret[SIGN_SECRET_SIZE];
	uint8_t box_secret[BOX_KEY_SIZE];
	uint8_t seed[KEYGEN_NODE_SEED]; /* both secrets are made from it */
};

/* seed: fresh random bytes. */
void identity_keygen_cluster(const uint8_t seed[KEYGEN_CLUSTER_SEED],
			     struct cluster_key *ret_cluster);
void identity_cluster_key_fini(struct cluster_key *cluster); /* wipes the secret */

struct keygen_options {
	const char *name; /* see certificate_name_valid() */
	const struct ip_addr *addresses;
	size_t address_count; /* at most CERTIFICATE_ADDRESSES_MAX */
	/* Seconds since 1970, UTC. Date it an hour back: other directors' clocks may be behind. */
	uint64_t not_before;
	uint64_t not_after;
	uint64_t serial; /* differs between certificates: the time of issue in microseconds will do
			  */
};

/* seed: fresh random bytes. 0, or CERTIFICATE_E_MALFORMED: name, count or dates out of limits. */
int identity_keygen_node(const struct cluster_key *cluster, const struct keygen_options *options,
			 const uint8_t seed[KEYGEN_NODE_SEED], struct identity *ret_identity);

/* A new certificate for the keys of a former one of this cluster, which may have expired; the name
 * must be the same. options->address_count 0: the former's addresses. The serial is the former's +
 * 1 where options' is not above that. 0, or CERTIFICATE_E_{MALFORMED, CLUSTER, SIGNATURE}: of the
 * former one. */
int identity_keygen_renew(const struct cluster_key *cluster, const struct keygen_options *options,
			  const struct certificate *former, struct certificate *ret_certificate);

/* Puts an identity together and checks that its parts belong to each other, but not the dates: an
 * expired director still forwards (ask certificate_check_time()). 0, or CERTIFICATE_E_{CLUSTER,
 * SIGNATURE, KEY}. */
int identity_init(const uint8_t seed[KEYGEN_NODE_SEED], const struct certificate *certificate,
		  const uint8_t cluster_key[SIGN_PUBLIC_SIZE], struct identity *ret_identity);
void identity_fini(struct identity *identity); /* wipes the secrets */

#endif
