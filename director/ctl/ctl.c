#include "director/ctl/ctl.h"

#include <ctype.h>
#include <getopt.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "director/config/config.h"
#include "director/control/control_command.h"
#include "director/text.h"

static const char usage_head[] =
	"Usage: lvsmesh COMMAND [OPTION]...\n"
	"\n"
	"Without the daemon:\n"
	"  keygen cluster DIR       make a cluster's key, to be kept offline\n"
	"  keygen node NAME ...     make a director's identity\n"
	"  check FILE               check a configuration\n"
	"Asking the lvsmeshd that runs here:\n";

static const char usage_tail[] =
	"\n"
	"  --json                   for programs: the fields are documented in lvsmesh(1)\n"
	"  --control PATH           the daemon's socket (" CTL_SOCKET ")\n"
	"  --help                   this help, or that of a command\n"
	"  --version\n"
	"\n"
	"Exit status: 0 done, 1 refused or unhealthy, 2 usage, 3 no daemon.\n";

static const char help_keygen[] =
	"Usage: lvsmesh keygen cluster DIR\n"
	"       lvsmesh keygen node NAME --cluster DIR [--address A]... [--days N] [--output DIR]\n"
	"                           [--renew]\n"
	"\n"
	"`keygen cluster` makes DIR/cluster.key, which signs the directors' certificates, and\n"
	"DIR/cluster.pub. Keep them on a machine that is not a director.\n"
	"\n"
	"`keygen node` makes the identity of the director NAME: a directory to be copied to it as\n"
	"/etc/lvsmesh/identity.\n"
	"  --cluster DIR    where the cluster's key is\n"
	"  --address A      an address of the director, without port; may be repeated\n"
	"  --days N         how long the certificate is valid (365)\n"
	"  --output DIR     where to write it (NAME in the cluster's directory)\n"
	"  --renew          only a new certificate, for the same keys\n";

static const char help_check[] =
	"Usage: lvsmesh check FILE\n"
	"\n"
	"Checks the configuration as lvsmeshd does; if it is invalid, prints the line and what to\n"
	"write instead. A valid one that may do otherwise than it is meant gets warnings. Changes\n"
	"nothing. Exit status: 0 valid, 1 invalid.\n";

static const struct {
	const char *name, *help;
	int (*run)(int argc, char **argv);
} local_commands[] = {
	{"keygen", help_keygen, ctl_keygen},
	{"check", help_check, ctl_check},
};

/* How the answer to each command of the daemon is shown. */
static int (*const shows[CONTROL_COMMANDS])(const struct ctl_options *options, json_t *request) = {
	[CONTROL_STATUS] = ctl_status,
	[CONTROL_MEMBERS] = ctl_members,
	[CONTROL_PEERS] = ctl_peers,
	[CONTROL_SERVICES] = ctl_services,
	[CONTROL_CONNECTIONS] = ctl_connections,
	[CONTROL_EVENTS] = ctl_events,
	[CONTROL_SET] = ctl_set,
	[CONTROL_DRAIN] = ctl_drain,
	[CONTROL_UNDRAIN] = ctl_undrain,
	[CONTROL_LEAVE] = ctl_leave,
	[CONTROL_REMOVE] = ctl_remove,
	[CONTROL_RELOAD] = ctl_reload,
};

void ctl_error(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fputs("lvsmesh: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
}

int ctl_check(int argc, char **argv)
{
	struct config_error error;
	struct config *config;

	if (argc != 2) {
		ctl_error("check takes one file; see `lvsmesh check --help`");
		return CTL_USAGE;
	}
	if (config_load(argv[1], &config, &error) < 0) {
		fprintf(stderr, "%s\n", error.text);
		return CTL_REFUSED;
	}
	for (size_t i = 0; i < MIN(config->warnings.count, CONFIG_WARNINGS_MAX); i++)
		fprintf(stderr, "warning: %s\n", config->warnings.texts[i]);
	if (config->warnings.count > CONFIG_WARNINGS_MAX)
		fprintf(stderr, "warning: %s: %zu more warnings\n", argv[1],
			config->warnings.count - CONFIG_WARNINGS_MAX);
	printf("%s is valid: %zu services, %zu directors to join.\n", argv[1],
	       config->services.count, config->n_join);
	config_free(config);
	return CTL_DONE;
}

static void usage_print(FILE *out)
{
	fputs(usage_head, out);
	for (unsigned int i = 0; i < CONTROL_COMMANDS; i++) {
		const struct control_command_spec *spec =
			control_command_spec((enum control_command)i);
		char text[64];

		snprintf(text, sizeof(text), "%s %s", spec->name,
			 spec->arguments ? spec->arguments : "");
		fprintf(out, "  %-24s %s\n", text, spec->summary);
	}
	fputs(usage_tail, out);
}

static int option_refuse(const struct control_command_spec *spec, const char *option)
{
	ctl_error("%s does not take --%s; see `lvsmesh %s --help`", spec->name, option, spec->name);
	return CTL_USAGE;
}

/* getopt has printed what it does not know; "-1" was to be a weight. */
static int option_unknown(const struct control_command_spec *spec)
{
	if (spec->fields & CONTROL_SETTING && isdigit(optopt))
		ctl_error("a weight is not negative; write 0 or more");
	return CTL_USAGE;
}

static int options_parse(const struct control_command_spec *spec, int argc, char **argv,
			 struct ctl_options *options)
{
	static const struct option table[] = {
		{"json", no_argument, NULL, 'j'},     {"control", required_argument, NULL, 'c'},
		{"follow", no_argument, NULL, 'f'},   {"wait", no_argument, NULL, 'w'},
		{"evidence", no_argument, NULL, 'e'}, {0},
	};
	int c;

	while ((c = getopt_long(argc, argv, "", table, NULL)) != -1) {
		if (c == 'j')
			options->json = true;
		else if (c == 'c')
			options->control = optarg;
		else if (c == 'f' && spec->fields & CONTROL_FOLLOW)
			options->follow = true;
		else if (c == 'f')
			return option_refuse(spec, "follow");
		else if (c == 'w' && spec->waits)
			options->wait = true;
		else if (c == 'w')
			return option_refuse(spec, "wait");
		else if (c == 'e' && spec->fields & CONTROL_EVIDENCE)
			options->evidence = true;
		else if (c == 'e')
			return option_refuse(spec, "evidence");
		else
			return option_unknown(spec);
	}
	return CTL_DONE;
}

/* Takes the arguments behind the options into the request. */
static int arguments_take(const struct control_command_spec *spec, int count, char **arguments,
			  json_t *request)
{
	int most = spec->fields & CONTROL_FILTER    ? INT_MAX
		   : spec->fields & CONTROL_SETTING ? 4
		   : spec->fields & CONTROL_SERVICE ? 2
		   : spec->fields                   ? 1
						    : 0;
	char filter[2048] = "";

	if (spec->fields & (CONTROL_FOLLOW | CONTROL_EVIDENCE))
		most = 0;
	if (count > most) {
		ctl_error("unexpected argument '%s'; see `lvsmesh %s --help`", arguments[most],
			  spec->name);
		return CTL_USAGE;
	}
	if (spec->fields & CONTROL_REAL)
		return ctl_real_arguments(spec, count, arguments, request);
	if (spec->fields & CONTROL_MEMBER && count == 0) {
		ctl_error("%s takes the name of a director; see `lvsmesh %s --help`", spec->name,
			  spec->name);
		return CTL_USAGE;
	}
	if (spec->fields & CONTROL_MEMBER)
		json_object_set_new(request, "member", text_json(arguments[0]));
	for (int i = 0; i < count; i++) {
		if (strlen(filter) + strlen(arguments[i]) + 2 > sizeof(filter)) {
			ctl_error("the filter is too long");
			return CTL_USAGE;
		}
		strcat(strcat(filter, i ? " " : ""), arguments[i]);
	}
	if (spec->fields & CONTROL_FILTER)
		json_object_set_new(request, "filter", text_json(filter));
	return CTL_DONE;
}

static int command_ask(enum control_command command, int argc, char **argv)
{
	const struct control_command_spec *spec = control_command_spec(command);
	struct ctl_options options = {.control = CTL_SOCKET, .command = spec->name};
	int r = options_parse(spec, argc, argv, &options);
	json_t *request;

	if (r != CTL_DONE)
		return r;
	request = json_pack("{s:s}", "command", spec->name);
	if (spec->fields & CONTROL_FOLLOW)
		json_object_set_new(request, "follow", json_boolean(options.follow));
	if (spec->fields & CONTROL_EVIDENCE)
		json_object_set_new(request, "evidence", json_boolean(options.evidence));
	r = arguments_take(spec, argc - optind, argv + optind, request);
	if (r == CTL_DONE)
		return shows[command](&options, request);
	json_decref(request);
	return r;
}

static bool wants_help(int argc, char **argv)
{
	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
		if (strcmp(argv[i], "--help") == 0)
			return true;
	return false;
}

/* Lost output (a full disk) is a failure. */
static int finish(int status)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return status;
	ctl_error("can't write the output");
	return CTL_REFUSED;
}

static int command_run(int argc, char **argv)
{
	bool help = wants_help(argc - 1, argv + 1);
	enum control_command command;

	for (size_t i = 0; i < sizeof(local_commands) / sizeof(local_commands[0]); i++) {
		if (strcmp(local_commands[i].name, argv[1]) != 0)
			continue;
		if (!help)
			return local_commands[i].run(argc - 1, argv + 1);
		fputs(local_commands[i].help, stdout);
		return CTL_DONE;
	}
	if (control_command_find(argv[1], &command)) {
		if (!help)
			return command_ask(command, argc - 1, argv + 1);
		fputs(control_command_spec(command)->help, stdout);
		return CTL_DONE;
	}
	if (wants_help(argc, argv)) {
		usage_print(stdout);
		return CTL_DONE;
	}
	ctl_error("unknown command '%s'; see `lvsmesh --help`", argv[1]);
	return CTL_USAGE;
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		usage_print(stderr);
		return CTL_USAGE;
	}
	if (strcmp(argv[1], "--version") == 0) {
		printf("lvsmesh %s\n", LVSMESH_VERSION);
		return finish(CTL_DONE);
	}
	return finish(command_run(argc, argv));
}
