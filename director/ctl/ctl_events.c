/* `lvsmesh events`: the events so far, then those that follow. */
#include <stdio.h>
#include <string.h>

#include "director/ctl/ctl.h"

static void event_print(const json_t *event)
{
	const json_t *missed = json_object_get(event, "missed");

	if (missed)
		printf("... %lld events were missed\n", json_integer_value(missed));
	else if (json_is_null(json_object_get(event, "incident")))
		printf("%s  %-8s %-21s %s\n", ctl_text(event, "time"), ctl_text(event, "severity"),
		       ctl_text(event, "event"), ctl_text(event, "message"));
	else
		printf("%s  %-8s %-21s %s [%s %s]\n", ctl_text(event, "time"),
		       ctl_text(event, "severity"), ctl_text(event, "event"),
		       ctl_text(event, "message"), ctl_text(event, "role"),
		       ctl_text(event, "incident"));
}

static int lines_print(struct ctl_client *client, bool json)
{
	json_t *event;
	int r;

	while ((r = ctl_client_next(client, &event)) == 1) {
		if (json)
			json_dumpf(event, stdout, JSON_COMPACT);
		else
			event_print(event);
		if (json)
			printf("\n");
		json_decref(event);
		if (fflush(stdout) != 0)
			break;
	}
	return r < 0 ? CTL_REFUSED : CTL_DONE;
}

int ctl_events(const struct ctl_options *options, json_t *request)
{
	struct ctl_client *client;
	int r = ctl_client_open(options->control, request, &client);

	if (r != CTL_DONE)
		return r;
	if (options->follow)
		ctl_client_wait(client);
	r = options->json && !options->follow ? ctl_client_print(client, options->command)
					      : lines_print(client, options->json);
	ctl_client_close(client);
	return r;
}
