/* The files of an identity, as text (proto/identity/armor.h):
 *	DIR/cluster.key	  the cluster's secret key, mode 0600: for the offline machine only
 *	DIR/cluster.pub	  its public key
 *	DIR/key		  a node's secret keys, mode 0600
 *	DIR/certificate	  what the cluster key signed for it
 * Results: 0 or a negative errno; then error says which file, why, and what to do. -EBADMSG: the
 * file is damaged or does not belong to the others; -EACCES: also a secret that others may read. */
#ifndef PROTO_IDENTITY_IDENTITY_FILE_H
#define PROTO_IDENTITY_IDENTITY_FILE_H

#include "proto/identity/identity.h"
#include "proto/store.h"

/* Makes dir when it is missing. -EEXIST: cluster.key is there; nothing is changed then. */
int identity_file_save_cluster(const char *dir, const struct cluster_key *cluster,
			       struct fault *fault);
int identity_file_load_cluster(const char *dir, struct cluster_key *ret_cluster,
			       struct fault *fault);

/* The same for a node: key, certificate, cluster.pub. Dates are not checked, see
 * identity_init(). */
int identity_file_save(const char *dir, const struct identity *identity, struct fault *fault);
int identity_file_load(const char *dir, struct identity *ret_identity, struct fault *fault);

/* The certificate alone, which is no secret; replaces one that is there. */
int identity_file_save_certificate(const char *dir, const struct certificate *certificate,
				   struct fault *fault);
int identity_file_load_certificate(const char *dir, struct certificate *ret_certificate,
				   struct fault *fault);

#endif
