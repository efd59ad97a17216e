#include "proto/identity/identity_file.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>

#include "proto/identity/armor.h"

#define REMEDY_CLUSTER "restore it from your copy, or make a cluster with lvsmesh keygen cluster"
#define REMEDY_NODE "make the identity again with lvsmesh keygen node"

/* One file, its label, and what to do when it is missing or damaged. */
struct form {
	const char *name;
	const char *label;
	const char *remedy;
	bool secret;
};

static const struct form form_cluster_key = {"cluster.key", ARMOR_CLUSTER_KEY, REMEDY_CLUSTER,
					     true};
static const struct form form_cluster_public = {"cluster.pub", ARMOR_CLUSTER_PUBLIC,
						"copy it from the cluster's directory", false};
static const struct form form_key = {"key", ARMOR_NODE_KEY, REMEDY_NODE, true};
static const struct form form_certificate = {"certificate", ARMOR_CERTIFICATE, REMEDY_NODE, false};

static int explain(struct fault *fault, const char *dir, const struct form *form, const char *what)
{
	return fault_set(fault, -EBADMSG, "%s/%s %s: %s", dir, form->name, what, form->remedy);
}

static int save(const char *dir, const struct form *form, bool exclusive, const uint8_t *bytes,
		size_t len, struct fault *fault)
{
	char text[ARMOR_TEXT_MAX];
	size_t text_len;
	int r;

	r = armor_format(form->label, bytes, len, text, sizeof(text), &text_len);
	if (r < 0)
		return explain(fault, dir, form, "is too long to write");
	r = store_write(dir, form->name, exclusive, form->secret ? 0600 : 0644, text, text_len,
			fault);
	sodium_memzero(text, sizeof(text));
	return r;
}

static int load(const char *dir, const struct form *form, uint8_t *bytes, size_t cap,
		size_t *ret_len, struct fault *fault)
{
	char text[ARMOR_TEXT_MAX];
	size_t text_len;
	int r;

	r = store_read(dir, form->name, form->secret, text, sizeof(text), &text_len, fault);
	if (r == -ENOENT) {
		explain(fault, dir, form, "is missing");
		return r;
	}
	if (r < 0)
		return r;
	r = armor_parse(form->label, text, text_len, bytes, cap, ret_len);
	sodium_memzero(text, sizeof(text));
	return r == 0 ? 0 : explain(fault, dir, form, armor_error_text(r));
}

/* A key: exactly size bytes. */
static int load_key(const char *dir, const struct form *form, uint8_t *bytes, size_t size,
		    struct fault *fault)
{
	size_t len;
	int r;

	r = load(dir, form, bytes, size, &len, fault);
	if (r < 0)
		return r;
	return len == size ? 0 : explain(fault, dir, form, "is too short for a key");
}

int identity_file_save_cluster(const char *dir, const struct cluster_key *cluster,
			       struct fault *fault)
{
	int r;

	/* libsodium's secret begins with the seed. */
	r = save(dir, &form_cluster_key, true, cluster->secret, KEYGEN_CLUSTER_SEED, fault);
	if (r < 0)
		return r;
	return save(dir, &form_cluster_public, false, cluster->public_key, SIGN_PUBLIC_SIZE, fault);
}

int identity_file_load_cluster(const char *dir, struct cluster_key *ret_cluster,
			       struct fault *fault)
{
	uint8_t seed[KEYGEN_CLUSTER_SEED], public_key[SIGN_PUBLIC_SIZE];
	struct cluster_key cluster;
	int r;

	r = load_key(dir, &form_cluster_key, seed, sizeof(seed), fault);
	if (r == 0)
		r = load_key(dir, &form_cluster_public, public_key, sizeof(public_key), fault);
	if (r == 0) {
		identity_keygen_cluster(seed, &cluster);
		if (memcmp(cluster.public_key, public_key, sizeof(public_key)) == 0)
			*ret_cluster = cluster;
		else
			r = explain(fault, dir, &form_cluster_key,
				    "does not belong to cluster.pub");
		identity_cluster_key_fini(&cluster);
	}
	sodium_memzero(seed, sizeof(seed));
	return r;
}

int identity_file_save_certificate(const char *dir, const struct certificate *certificate,
				   struct fault *fault)
{
	return save(dir, &form_certificate, false, certificate->bytes, certificate->len, fault);
}

int identity_file_save(const char *dir, const struct identity *identity, struct fault *fault)
{
	const struct certificate *certificate = &identity->certificate;
	int r;

	/* Saves the key first: this refuses to replace one, and then no file has been touched. */
	r = save(dir, &form_key, true, identity->seed, sizeof(identity->seed), fault);
	if (r == 0)
		r = identity_file_save_certificate(dir, certificate, fault);
	if (r == 0)
		r = save(dir, &form_cluster_public, false, identity->cluster_key,
			 sizeof(identity->cluster_key), fault);
	return r;
}

int identity_file_load_certificate(const char *dir, struct certificate *ret_certificate,
				   struct fault *fault)
{
	uint8_t bytes[CERTIFICATE_MAX];
	size_t len;
	int r;

	r = load(dir, &form_certificate, bytes, sizeof(bytes), &len, fault);
	if (r < 0)
		return r;
	r = certificate_parse(bytes, len, ret_certificate);
	return r == 0 ? 0 : explain(fault, dir, &form_certificate, certificate_error_text(r));
}

int identity_file_load(const char *dir, struct identity *ret_identity, struct fault *fault)
{
	uint8_t seed[KEYGEN_NODE_SEED], cluster_key[SIGN_PUBLIC_SIZE];
	struct certificate certificate;
	int r;

	r = load_key(dir, &form_key, seed, sizeof(seed), fault);
	if (r == 0)
		r = identity_file_load_certificate(dir, &certificate, fault);
	if (r == 0)
		r = load_key(dir, &form_cluster_public, cluster_key, sizeof(cluster_key), fault);
	if (r == 0) {
		r = identity_init(seed, &certificate, cluster_key, ret_identity);
		if (r > 0)
			r = explain(fault, dir, &form_certificate, certificate_error_text(r));
	}
	sodium_memzero(seed, sizeof(seed));
	return r;
}
