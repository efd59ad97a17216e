#include "director/text.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base.h"

void text_add(struct text *text, const char *format, ...)
{
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(text->at + text->len, text->size - text->len, format, args);
	va_end(args);
	if (n > 0)
		text->len = MIN(text->len + (size_t)n, text->size - 1);
}

/* Bytes of the UTF-8 character that begins there, 0: none does. Surrogates and code points beyond
 * the last plane are refused, as jansson refuses them. */
static size_t character_len(const char *text)
{
	const uint8_t *b = (const uint8_t *)text;
	size_t len = b[0] < 0x80 ? 1 : b[0] < 0xc2 ? 0 : b[0] < 0xe0 ? 2 : b[0] < 0xf0 ? 3 : 4;

	if (b[0] > 0xf4)
		return 0;
	for (size_t i = 1; i < len; i++)
		if ((b[i] & 0xc0) != 0x80)
			return 0;
	if ((b[0] == 0xe0 && b[1] < 0xa0) || (b[0] == 0xed && b[1] > 0x9f) ||
	    (b[0] == 0xf0 && b[1] < 0x90) || (b[0] == 0xf4 && b[1] > 0x8f))
		return 0;
	return len;
}

void text_copy(char *to, size_t size, const char *from)
{
	size_t used = 0, len;

	for (; *from; from += len) {
		bool plain = (unsigned char)*from >= ' ' && *from != 0x7f;

		len = plain ? character_len(from) : 0;
		plain = len > 0;
		len = MAX(len, 1);
		if (used + len >= size)
			break;
		memcpy(to + used, plain ? from : "?", len);
		used += len;
	}
	to[used] = '\0';
}

json_t *text_json(const char *text)
{
	size_t size = text ? strlen(text) + 1 : 0;
	char *copy = text ? malloc(size) : NULL;
	json_t *string;

	if (!text)
		return json_null();
	if (!copy)
		return NULL;
	text_copy(copy, size, text);
	string = json_string(copy);
	free(copy);
	return string;
}
