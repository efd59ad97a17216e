#include "proto/identity/identity.h"

#include <sodium.h>

_Static_assert(KEYGEN_CLUSTER_SEED == crypto_sign_SEEDBYTES, "Ed25519");
_Static_assert(KEYGEN_NODE_SEED == crypto_sign_SEEDBYTES + crypto_scalarmult_SCALARBYTES, "seeds");

void identity_keygen_cluster(const uint8_t seed[KEYGEN_CLUSTER_SEED],
			     struct cluster_key *ret_cluster)
{
	crypto_sign_seed_keypair(ret_cluster->public_key, ret_cluster->secret, seed);
}

void identity_cluster_key_fini(struct cluster_key *cluster)
{
	sodium_memzero(cluster, sizeof(*cluster));
}

/* Fills in the secrets, and the public keys that belong to them. */
static void make_keys(const uint8_t seed[KEYGEN_NODE_SEED], struct identity *identity,
		      uint8_t sign_key[SIGN_PUBLIC_SIZE], uint8_t box_key[BOX_KEY_SIZE])
{
	memcpy(identity->seed, seed, KEYGEN_NODE_SEED);
	crypto_sign_seed_keypair(sign_key, identity->sign_secret, seed);
	memcpy(identity->box_secret, seed + crypto_sign_SEEDBYTES, BOX_KEY_SIZE);
	crypto_scalarmult_base(box_key, identity->box_secret);
}

int identity_keygen_node(const struct cluster_key *cluster, const struct keygen_options *options,
			 const uint8_t seed[KEYGEN_NODE_SEED], struct identity *ret_identity)
{
	struct identity identity = {0};
	struct certificate want = {
		.address_count = options->address_count,
		.not_before = options->not_before,
		.not_after = options->not_after,
		.serial = options->serial,
	};
	size_t name_len = strlen(options->name);
	int r;

	if (name_len > CERTIFICATE_NAME_MAX || options->address_count > CERTIFICATE_ADDRESSES_MAX)
		return CERTIFICATE_E_MALFORMED;
	memcpy(want.name, options->name, name_len);
	for (size_t i = 0; i < options->address_count; i++)
		want.addresses[i] = options->addresses[i];
	certificate_cluster_id(cluster->public_key, want.cluster);

	make_keys(seed, &identity, want.sign_key, want.box_key);
	r = certificate_issue(&want, cluster->secret, &identity.certificate);
	if (r == 0)
		r = identity_init(seed, &identity.certificate, cluster->public_key, ret_identity);
	identity_fini(&identity);
	return r;
}

int identity_keygen_renew(const struct cluster_key *cluster, const struct keygen_options *options,
			  const struct certificate *former, struct certificate *ret_certificate)
{
	struct certificate want = *former;
	int r = certificate_verify(former, cluster->public_key, former->not_before * USEC_PER_SEC);

	if (r != 0)
		return r;
	if (strcmp(options->name, former->name) != 0 ||
	    options->address_count > CERTIFICATE_ADDRESSES_MAX)
		return CERTIFICATE_E_MALFORMED;
	want.not_before = options->not_before;
	want.not_after = options->not_after;
	want.serial = MAX(options->serial, former->serial + 1);
	if (options->address_count > 0)
		want.address_count = options->address_count;
	for (size_t i = 0; i < options->address_count; i++)
		want.addresses[i] = options->addresses[i];
	return certificate_issue(&want, cluster->secret, ret_certificate);
}

int identity_init(const uint8_t seed[KEYGEN_NODE_SEED], const struct certificate *certificate,
		  const uint8_t cluster_key[SIGN_PUBLIC_SIZE], struct identity *ret_identity)
{
	uint8_t sign_key[SIGN_PUBLIC_SIZE], box_key[BOX_KEY_SIZE];
	struct identity identity = {.certificate = *certificate};
	int r;

	r = certificate_verify(certificate, cluster_key, certificate->not_before * USEC_PER_SEC);
	if (r != 0)
		return r;
	make_keys(seed, &identity, sign_key, box_key);
	if (memcmp(sign_key, certificate->sign_key, sizeof(sign_key)) != 0 ||
	    memcmp(box_key, certificate->box_key, sizeof(box_key)) != 0) {
		identity_fini(&identity);
		return CERTIFICATE_E_KEY;
	}
	memcpy(identity.cluster_key, cluster_key, SIGN_PUBLIC_SIZE);
	identity.id = certificate_id(certificate);
	*ret_identity = identity;
	identity_fini(&identity);
	return 0;
}

void identity_fini(struct identity *identity)
{
	sodium_memzero(identity, sizeof(*identity));
}
