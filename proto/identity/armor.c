#include "proto/identity/armor.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>

#define BEGIN "-----BEGIN LVSMESH "
#define END "-----END LVSMESH "
#define TAIL "-----"
#define COLUMNS 64
#define SPACE " \t\r\n"

const char *armor_error_text(int error)
{
	static const char *const texts[ARMOR_E_MAX] = {
		[ARMOR_E_BEGIN] = "does not start with a \"" BEGIN "...\" line",
		[ARMOR_E_LABEL] = "holds something else",
		[ARMOR_E_END] = "is truncated: it has no \"" END "...\" line",
		[ARMOR_E_BASE64] = "is damaged between its BEGIN and END lines",
		[ARMOR_E_SIZE] = "is too long",
		[ARMOR_E_TRAILING] = "has more text after its END line",
	};

	return error > 0 && error < ARMOR_E_MAX ? texts[error] : "is damaged";
}

int armor_format(const char *label, const uint8_t *bytes, size_t len, char *text, size_t cap,
		 size_t *ret_len)
{
	char base64[ARMOR_TEXT_MAX];
	size_t used, base64_len;

	if (sodium_base64_encoded_len(len, sodium_base64_VARIANT_ORIGINAL) > sizeof(base64))
		return -ENOSPC;
	sodium_bin2base64(base64, sizeof(base64), bytes, len, sodium_base64_VARIANT_ORIGINAL);
	base64_len = strlen(base64);
	/* Both lines with their label, base64 with its line ends, NUL. */
	if (strlen(BEGIN TAIL END TAIL) + 2 * strlen(label) + 3 + base64_len +
		    base64_len / COLUMNS + 1 >
	    cap)
		return -ENOSPC;

	used = (size_t)sprintf(text, BEGIN "%s" TAIL "\n", label);
	for (size_t at = 0; at < base64_len; at += COLUMNS)
		used += (size_t)sprintf(text + used, "%.*s\n", COLUMNS, base64 + at);
	used += (size_t)sprintf(text + used, END "%s" TAIL "\n", label);
	sodium_memzero(base64, sizeof(base64));
	*ret_len = used;
	return 0;
}

struct span {
	const char *at, *end;
};

static void skip_space(struct span *span)
{
	while (span->at < span->end && *span->at && strchr(SPACE, *span->at))
		span->at++;
}

static bool skip_word(struct span *span, const char *word)
{
	size_t n = strlen(word);

	if ((size_t)(span->end - span->at) < n || memcmp(span->at, word, n) != 0)
		return false;
	span->at += n;
	return true;
}

static int decode(const char *base64, size_t len, uint8_t bytes[ARMOR_TEXT_MAX], size_t *ret_len)
{
	const char *stop;

	if (sodium_base642bin(bytes, ARMOR_TEXT_MAX, base64, len, SPACE, ret_len, &stop,
			      sodium_base64_VARIANT_ORIGINAL) != 0 ||
	    stop != base64 + len)
		return ARMOR_E_BASE64;
	return 0;
}

int armor_parse(const char *label, const char *text, size_t len, uint8_t *bytes, size_t cap,
		size_t *ret_len)
{
	struct span span = {text, text + len};
	const char *base64, *end;
	uint8_t decoded[ARMOR_TEXT_MAX];
	size_t used;
	int r;

	if (len > ARMOR_TEXT_MAX)
		return ARMOR_E_SIZE;
	skip_space(&span);
	if (!skip_word(&span, BEGIN))
		return ARMOR_E_BEGIN;
	if (!skip_word(&span, label) || !skip_word(&span, TAIL))
		return ARMOR_E_LABEL;

	base64 = span.at;
	end = memmem(base64, (size_t)(span.end - base64), END, strlen(END));
	if (!end)
		return ARMOR_E_END;
	span.at = end + strlen(END);
	if (!skip_word(&span, label) || !skip_word(&span, TAIL))
		return ARMOR_E_END;
	skip_space(&span);
	if (span.at != span.end)
		return ARMOR_E_TRAILING;

	r = decode(base64, (size_t)(end - base64), decoded, &used);
	if (r == 0 && used > cap)
		r = ARMOR_E_SIZE;
	if (r == 0) {
		memcpy(bytes, decoded, used);
		*ret_len = used;
	}
	sodium_memzero(decoded, sizeof(decoded));
	return r;
}
