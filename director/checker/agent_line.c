#include "director/checker/agent_line.h"

#include <strings.h>

#define SEPARATORS " \t,\r"

static bool digits_parse(const char *data, size_t len, unsigned int *ret_number)
{
	unsigned int number = 0;

	if (len == 0 || len > 9)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (data[i] < '0' || data[i] > '9')
			return false;
		number = number * 10 + (unsigned int)(data[i] - '0');
	}
	*ret_number = number;
	return true;
}

/* The weakest first: a stronger word of the same line wins. */
static const struct {
	const char *word;
	unsigned int rank;
	enum check_state state;
} words[] = {
	{"up", 1, CHECK_UP},       {"ready", 1, CHECK_UP},    {"drain", 2, CHECK_DRAIN},
	{"down", 3, CHECK_DOWN},   {"failed", 3, CHECK_DOWN}, {"stopped", 3, CHECK_DOWN},
	{"maint", 4, CHECK_MAINT},
};

struct parsed {
	unsigned int rank; /* 0: no word yet */
	enum check_state state;
	int weight;
};

static bool word_parse(const char *data, size_t len, struct parsed *parsed)
{
	static const char maxconn[] = "maxconn:";
	const size_t prefix = sizeof(maxconn) - 1;
	unsigned int number;

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (strlen(words[i].word) != len || strncasecmp(words[i].word, data, len) != 0)
			continue;
		if (words[i].rank > parsed->rank) {
			parsed->rank = words[i].rank;
			parsed->state = words[i].state;
		}
		return true;
	}
	if (len > prefix && strncasecmp(data, maxconn, prefix) == 0)
		return digits_parse(data + prefix, len - prefix, &number);
	if (data[len - 1] != '%' || !digits_parse(data, len - 1, &number) ||
	    number > CHECK_WEIGHT_MAX)
		return false;
	parsed->weight = (int)number;
	return true;
}

int agent_line_parse(const char *data, size_t len, struct check_result *result)
{
	struct parsed parsed = {.state = CHECK_UP, .weight = -1};
	bool any = false;

	for (size_t i = 0, begin; i < len && data[i] != '#';) {
		if (strchr(SEPARATORS, data[i]) && data[i]) {
			i++;
			continue;
		}
		begin = i;
		while (i < len && data[i] != '#' && (!data[i] || !strchr(SEPARATORS, data[i])))
			i++;
		if (!word_parse(data + begin, i - begin, &parsed))
			return -EINVAL;
		any = true;
	}
	if (!any)
		return -EINVAL;
	result->state = parsed.state;
	result->weight = parsed.weight;
	return 0;
}
