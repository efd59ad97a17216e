/* Any text is taken, with services that are valid and in order, or refused with a sentence that
 * names the text and, of any text that is not empty, what to do about it. */
#include <stdlib.h>

#include "director/config/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
	if (!holds)
		abort();
}

static void check_check(const struct check *how)
{
	if (!how)
		return;
	check(how->type < CHECK_TYPES);
	check(how->timeout > 0 && how->timeout <= how->interval);
	check(how->fast_interval > 0 && how->fast_interval <= how->interval);
	check(how->fall > 0 && how->rise > 0 && how->jitter <= 50);
	check((how->type == CHECK_EXEC) == (how->command && how->command[0]));
	check((how->type == CHECK_DNS) == (how->name != NULL));
	check(how->type != CHECK_UDP || how->send);
	check((how->type == CHECK_HTTP || how->type == CHECK_HTTPS) == (how->n_statuses > 0));
}

static void check_services(const struct service_set *set)
{
	for (size_t i = 0; i < set->count; i++) {
		const struct service *service = &set->services[i];
		struct service_fault fault;

		check(service_validate(service, &fault) == 0);
		check(i == 0 || service_key_compare(&service[-1].key, &service->key) < 0);
		for (size_t j = 0; j < service->n_real_servers; j++)
			check_check(service->real_servers[j].check);
		for (size_t j = 1; j < service->n_real_servers; j++)
			check(service_real_compare(&service->real_servers[j - 1],
						   &service->real_servers[j]) < 0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct config_error error = {0};
	struct config *config = NULL;
	int r = config_parse((const char *)data, size, "NAME", &config, &error);

	if (r == 0) {
		check(config && config->node_name[0] && config->n_listen > 0);
		check_services(&config->services);
	} else {
		check(!config && strncmp(error.text, "NAME:", 5) == 0);
		check(strstr(error.text, "; write") || strstr(error.text, "; see") ||
		      strstr(error.text, "; leave"));
	}
	config_free(config);
	return 0;
}
