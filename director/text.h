/* Text in memory, and text from outside: file contents, paths, the words of the kernel and of
 * libraries. JSON takes nothing but valid UTF-8, and jansson drops a whole object for one bad
 * string in it. */
#ifndef DIRECTOR_TEXT_H
#define DIRECTOR_TEXT_H

#include <jansson.h>
#include <stddef.h>

/* A text that is being written into memory of `size` bytes, of which `len` are used. */
struct text {
	char *at;
	size_t size, len;
};

/* Appends; what does not fit is cut off. Always ends with NUL. */
__attribute__((format(printf, 2, 3))) void text_add(struct text *text, const char *format, ...);

/* Copies `from` to `to`, at most size bytes with the NUL, and never half a character. Each control
 * character and each byte that is part of no UTF-8 character becomes a question mark. */
void text_copy(char *to, size_t size, const char *from);

/* The same as a new JSON string of any length; NULL: a JSON null. For json_pack's "o", which takes
 * it over. */
json_t *text_json(const char *text);

#endif
