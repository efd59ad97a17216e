/* Bytes as text that a person can paste: a BEGIN line, base64, an END line, both lines with a label
 * that says what it is. White space around and inside does not matter; anything else does. */
#ifndef PROTO_IDENTITY_ARMOR_H
#define PROTO_IDENTITY_ARMOR_H

#include "proto/base.h"

#define ARMOR_CLUSTER_KEY "CLUSTER KEY"           /* secret: the Ed25519 seed, 32 bytes */
#define ARMOR_CLUSTER_PUBLIC "CLUSTER PUBLIC KEY" /* 32 bytes */
#define ARMOR_NODE_KEY "NODE KEY"                 /* secret: seeds, Ed25519 then X25519, 32 each */
#define ARMOR_CERTIFICATE "CERTIFICATE"           /* struct certificate's bytes */

/* Longest text of any of them. */
#define ARMOR_TEXT_MAX 2048

enum armor_error {
	ARMOR_E_BEGIN = 1, /* no BEGIN line at the start */
	ARMOR_E_LABEL,     /* something else is in it */
	ARMOR_E_END,       /* no END line of the same label: truncated */
	ARMOR_E_BASE64,    /* damaged between the lines */
	ARMOR_E_SIZE,      /* longer than ARMOR_TEXT_MAX or the caller's buffer */
	ARMOR_E_TRAILING,  /* something follows the END line */
	ARMOR_E_MAX,
};

/* A phrase that goes after the file's name: "is truncated", ... */
const char *armor_error_text(int error);

/* Writes text and a final NUL that *ret_len does not count. 0, or -ENOSPC. */
int armor_format(const char *label, const uint8_t *bytes, size_t len, char *text, size_t cap,
		 size_t *ret_len);

/* Writes at most cap bytes. 0, or ARMOR_E_*. */
int armor_parse(const char *label, const char *text, size_t len, uint8_t *bytes, size_t cap,
		size_t *ret_len);

#endif
