#include <stdio.h>
#include <time.h>

#include "director/ctl/ctl.h"
#include "director/text.h"

static const struct timespec turn = {.tv_nsec = 100 * 1000 * 1000};

/* Sends a command that acts, and prints its result. */
static int act(const struct ctl_options *options, const char *name, json_t *request,
	       const char *done)
{
	struct ctl_client *client;
	int r = ctl_client_open(options->control, request, &client);

	if (r != CTL_DONE)
		return r;
	if (options->json)
		r = ctl_client_print(client, name);
	else
		printf("%s\n", done);
	fflush(stdout);
	ctl_client_close(client);
	return r;
}

int ctl_reload(const struct ctl_options *options, int count, char **arguments)
{
	(void)count;
	(void)arguments;
	return act(options, "reload", json_pack("{s:s}", "command", "reload"), "Reloaded.");
}

/* 1: it is; 0: not yet; -1: nor will it be, which is printed. */
static int is_drained(const struct ctl_options *options)
{
	struct ctl_client *client;
	json_t *status;
	int r = -1;

	if (ctl_client_open(options->control, json_pack("{s:s}", "command", "status"), &client) !=
	    CTL_DONE)
		return -1;
	if (ctl_client_next(client, &status) == 1) {
		r = json_is_true(json_object_get(status, "drained"));
		if (!json_is_true(json_object_get(status, "draining"))) {
			ctl_error("the director takes traffic again: somebody has undrained it");
			r = -1;
		}
		json_decref(status);
	}
	ctl_client_close(client);
	return r;
}

int ctl_drain(const struct ctl_options *options, int count, char **arguments)
{
	int r = act(options, "drain", json_pack("{s:s}", "command", "drain"),
		    options->wait ? "Draining."
				  : "Draining; `lvsmesh status` says when it is done.");
	int drained = 0;

	(void)count;
	(void)arguments;
	if (r != CTL_DONE || !options->wait)
		return r;
	while ((drained = is_drained(options)) == 0)
		nanosleep(&turn, NULL);
	if (drained < 0)
		return CTL_REFUSED;
	if (!options->json)
		printf("Drained.\n");
	return CTL_DONE;
}

int ctl_undrain(const struct ctl_options *options, int count, char **arguments)
{
	(void)count;
	(void)arguments;
	return act(options, "undrain", json_pack("{s:s}", "command", "undrain"),
		   "The director takes traffic again.");
}

int ctl_leave(const struct ctl_options *options, int count, char **arguments)
{
	int r = act(options, "leave", json_pack("{s:s}", "command", "leave"),
		    "Leaving: the daemon ends when the others have all connections.");

	(void)count;
	(void)arguments;
	while (r == CTL_DONE && options->wait && ctl_client_answers(options->control))
		nanosleep(&turn, NULL);
	if (r == CTL_DONE && options->wait && !options->json)
		printf("Left.\n");
	return r;
}

int ctl_remove(const struct ctl_options *options, int count, char **arguments)
{
	if (count != 1) {
		ctl_error("remove takes the name of a director; see `lvsmesh remove --help`");
		return CTL_USAGE;
	}
	return act(options, "remove",
		   json_pack("{s:s, s:o}", "command", "remove", "member", text_json(arguments[0])),
		   "Removed.");
}
