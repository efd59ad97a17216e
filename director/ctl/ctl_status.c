/* `lvsmesh status`: asks lvsmeshd and shows one screen (ctl_screen.h). */
#include <stdio.h>

#include "director/ctl/ctl.h"
#include "director/ctl/ctl_screen.h"

int ctl_status(const struct ctl_options *options, json_t *request)
{
	struct ctl_client *client;
	json_t *status;
	int r = ctl_client_open(options->control, request, &client);

	if (r != CTL_DONE)
		return r;
	if (ctl_client_next(client, &status) != 1) {
		ctl_client_close(client);
		return CTL_REFUSED;
	}
	if (options->json) {
		json_dumpf(status, stdout, JSON_INDENT(2));
		printf("\n");
	} else {
		ctl_screen_print(stdout, status);
	}
	r = json_array_size(json_object_get(status, "problems")) ? CTL_REFUSED : CTL_DONE;
	json_decref(status);
	ctl_client_close(client);
	return r;
}
