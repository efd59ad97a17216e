/* The commands that act: reload, drain, undrain, leave, remove. Each waits until lvsmeshd has done
 * it. */
#include <stdio.h>
#include <time.h>

#include "director/ctl/ctl.h"

static const struct timespec turn = {.tv_nsec = 100 * 1000 * 1000};

/* Sends a command that acts, and prints its result. */
static int act(const struct ctl_options *options, json_t *request, const char *done)
{
	struct ctl_client *client;
	int r = ctl_client_open(options->control, request, &client);

	if (r != CTL_DONE)
		return r;
	if (options->json)
		r = ctl_client_print(client, options->command);
	else
		printf("%s\n", done);
	fflush(stdout);
	ctl_client_close(client);
	return r;
}

int ctl_reload(const struct ctl_options *options, json_t *request)
{
	return act(options, request, "Reloaded.");
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
			ctl_error("the director takes traffic again: it was undrained meanwhile");
			r = -1;
		}
		json_decref(status);
	}
	ctl_client_close(client);
	return r;
}

/* A real server's, not the director's. */
static int drain_real(const struct ctl_options *options, json_t *request)
{
	char real[128];
	int r;

	snprintf(real, sizeof(real), "%s", json_string_value(json_object_get(request, "real")));
	r = ctl_set(options, request);
	return r == CTL_DONE && options->wait ? ctl_real_wait(options, real) : r;
}

int ctl_drain(const struct ctl_options *options, json_t *request)
{
	int drained = 0, r;

	if (json_object_get(request, "real"))
		return drain_real(options, request);
	r = act(options, request,
		options->wait ? "Draining." : "Draining; `lvsmesh status` says when it is done.");
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

int ctl_undrain(const struct ctl_options *options, json_t *request)
{
	return act(options, request, "The director takes traffic again.");
}

int ctl_leave(const struct ctl_options *options, json_t *request)
{
	int r = act(options, request,
		    "Leaving: the daemon ends when the others have all connections.");

	while (r == CTL_DONE && options->wait && ctl_client_answers(options->control))
		nanosleep(&turn, NULL);
	if (r == CTL_DONE && options->wait && !options->json)
		printf("Left.\n");
	return r;
}

int ctl_remove(const struct ctl_options *options, json_t *request)
{
	return act(options, request, "Removed.");
}
