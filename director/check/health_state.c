/* The state file: text lines, one fact each. */
#include "director/check/health_private.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#define KEY_TEXT (2 * KEY_SIZE + 1)
/* A setting that was loaded is published after so long, if no other director has shown until then
 * that it has it, or a newer one: so it comes back after all directors were down at once. */
#define PUBLISH_AFTER (2 * USEC_PER_SEC)
#define HINTS_MAX 131072

static const char *const setting_names[HEALTH_SETTINGS] = {"reset", "weight", "drain",
							   "maintenance", "up"};

bool health_state_changed(const struct health *health)
{
	return health->state_changed;
}

static int key_compare(const void *a, const void *b)
{
	return memcmp(a, b, KEY_SIZE);
}

bool health_state_was_down(const struct health *health, const uint8_t *key)
{
	return health->n_hints &&
	       bsearch(key, health->hints, health->n_hints, KEY_SIZE, key_compare);
}

static void write_key(FILE *out, const char *what, const uint8_t *key)
{
	char text[KEY_TEXT];

	sodium_bin2hex(text, sizeof(text), key, KEY_SIZE);
	fprintf(out, "%s %s", what, text);
}

static void write_lines(const struct health *health, FILE *out)
{
	uint8_t key[KEY_SIZE];

	for (size_t i = 0; i < health->settings.count; i++) {
		const struct setting *setting = &health->settings.list[i];

		write_key(out, "setting", setting->key);
		fprintf(out, " %s %" PRIu32 " %" PRIu64 " %" PRIx64 "\n",
			setting_names[setting->setting], setting->weight, setting->version,
			setting->author);
	}
	for (uint32_t i = 0; i < health->targets.count; i++) {
		const struct target *target = &health->targets.list[i];

		if (!target->used || target->verdict != HEALTH_DOWN)
			continue;
		write_key(out, "down", target->key);
		fputc('\n', out);
	}
	for (size_t i = 0; i < health->layout.n_groups; i++) {
		if (!health->layout.groups[i].service_down)
			continue;
		target_service_key(health->layout.groups[i].service, key);
		write_key(out, "service-down", key);
		fputc('\n', out);
	}
}

int health_pack(struct health *health, char **ret_text, size_t *ret_len)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);
	bool failed;

	if (!out)
		return -ENOMEM;
	write_lines(health, out);
	failed = ferror(out);
	failed |= fclose(out) != 0;
	if (failed) {
		free(text);
		return -ENOMEM;
	}
	health->state_changed = false;
	*ret_text = text;
	*ret_len = len;
	return 0;
}

static bool parse_key(const char *text, uint8_t *key)
{
	size_t len;

	return sodium_hex2bin(key, KEY_SIZE, text, strlen(text), NULL, &len, NULL) == 0 &&
	       len == KEY_SIZE;
}

static bool parse_setting(const char *line, struct setting *setting)
{
	char key[KEY_TEXT], name[16];
	int end = 0;

	*setting = (struct setting){.setting = HEALTH_SETTINGS};
	if (sscanf(line, "setting %32[0-9a-f] %15[a-z] %" SCNu32 " %" SCNu64 " %" SCNx64 "%n", key,
		   name, &setting->weight, &setting->version, &setting->author, &end) != 5 ||
	    line[end] || !parse_key(key, setting->key) || setting->weight > SERVICE_WEIGHT_MAX)
		return false;
	for (enum health_setting i = 0; i < HEALTH_SETTINGS; i++)
		if (strcmp(name, setting_names[i]) == 0)
			setting->setting = i;
	return setting->setting < HEALTH_SETTINGS &&
	       (setting->weight == 0 || setting->setting == HEALTH_SET_WEIGHT);
}

static bool parse_down(const char *line, uint8_t *key)
{
	char text[KEY_TEXT];
	int end = 0;

	return (sscanf(line, "down %32[0-9a-f]%n", text, &end) == 1 ||
		sscanf(line, "service-down %32[0-9a-f]%n", text, &end) == 1) &&
	       line[end] == 0 && parse_key(text, key);
}

static int take_line(struct health *health, const char *line, struct now now)
{
	struct setting setting;
	uint8_t key[KEY_SIZE];
	int r;

	if (parse_setting(line, &setting)) {
		setting.publish = USEC_NEVER;
		r = setting_take(&health->settings, &setting);
		if (r == SETTING_NEW)
			setting_publish_at(&health->settings, setting.key,
					   now.mono + PUBLISH_AFTER);
		return MIN(r, 0);
	}
	if (!parse_down(line, key)) {
		health_refuse(health, HEALTH_E_MALFORMED);
		return 0;
	}
	if (health->n_hints < HINTS_MAX)
		memcpy(health->hints[health->n_hints++], key, KEY_SIZE);
	return 0;
}

static size_t count_lines(const char *text, size_t len)
{
	size_t lines = 1;

	for (size_t i = 0; i < len; i++)
		lines += text[i] == '\n';
	return lines;
}

int health_unpack(struct health *health, const char *text, size_t len, struct now now)
{
	size_t lines = MIN(count_lines(text, len), HINTS_MAX);
	int r = 0;

	health->hints = reallocarray(health->hints, lines, sizeof(*health->hints));
	health->n_hints = 0;
	if (!health->hints)
		return -ENOMEM;
	while (len > 0 && r == 0) {
		const char *newline = memchr(text, '\n', len);
		size_t line_len = newline ? (size_t)(newline - text) : len;
		char line[160];

		if (line_len < sizeof(line)) {
			memcpy(line, text, line_len);
			line[line_len] = 0;
			r = take_line(health, line, now);
		} else {
			health_refuse(health, HEALTH_E_MALFORMED);
		}
		line_len += newline != NULL;
		text += line_len;
		len -= line_len;
	}
	qsort(health->hints, health->n_hints, KEY_SIZE, key_compare);
	health->state_changed = false;
	return r;
}
