#include "director/ctl/ctl.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "director/config/config.h"

static const char usage[] =
	"Usage: lvsmesh COMMAND [OPTION]...\n"
	"\n"
	"Without the daemon:\n"
	"  keygen cluster DIR       make a cluster's key, to be kept offline\n"
	"  keygen node NAME ...     make a director's identity\n"
	"  check FILE               say whether a configuration is good\n"
	"Of the lvsmeshd that runs here:\n"
	"  status                   who am I, is the cluster whole, what is wrong\n"
	"  members                  who the directors are, and who answers\n"
	"  peers                    the other directors, and how far behind they are\n"
	"  services                 services and their real servers\n"
	"  connections [FILTER]...  connections that this director knows\n"
	"  events [--follow]        what has happened\n"
	"  drain [--wait]           give up the traffic, and stay\n"
	"  undrain                  take traffic again\n"
	"  leave [--wait]           drain, leave the cluster for good, and stop\n"
	"  remove NAME              forget a director that has failed for good\n"
	"  reload                   read the configuration again\n"
	"\n"
	"  --json                   for programs: the fields are documented in lvsmesh(1)\n"
	"  --control PATH           the daemon's socket (" CTL_SOCKET ")\n"
	"  --help                   also behind a command\n"
	"  --version\n"
	"\n"
	"Exit status: 0 done, 1 refused or unhealthy, 2 usage, 3 no daemon.\n";

static const char help_keygen[] =
	"Usage: lvsmesh keygen cluster DIR\n"
	"       lvsmesh keygen node NAME --cluster DIR [--address A]... [--days N] [--output DIR]\n"
	"                           [--renew]\n"
	"\n"
	"`keygen cluster` makes DIR/cluster.key, which signs the directors' certificates, and\n"
	"DIR/cluster.pub. Keep them on a machine that is no director.\n"
	"\n"
	"`keygen node` makes the identity of the director NAME: a directory to be copied to it as\n"
	"/etc/lvsmesh/identity.\n"
	"  --cluster DIR    where the cluster's key is\n"
	"  --address A      an address of the director, without port; may be repeated\n"
	"  --days N         how long the certificate is valid (365)\n"
	"  --output DIR     where to write it (NAME in the cluster's directory)\n"
	"  --renew          only a new certificate, for the keys that the one there is for\n";

static const char help_check[] =
	"Usage: lvsmesh check FILE\n"
	"\n"
	"Says whether lvsmeshd would take the configuration; if not, the line and what to write\n"
	"instead. Nothing is changed. Exit status: 0 good, 1 refused.\n";

static const char help_status[] = "Usage: lvsmesh status [--json] [--control PATH]\n"
				  "\n"
				  "One screen about this director, and what is wrong. Exit status: "
				  "0 all is well, 1 something\n"
				  "is wrong, 3 the daemon does not run.\n";

static const char help_members[] =
	"Usage: lvsmesh members [--json] [--control PATH]\n"
	"\n"
	"The directors that this one knows, itself first. STATE: what it holds of the other "
	"(alive,\n"
	"suspect, failed, absent: stopped as planned, gone: left for good, unproven: has not "
	"answered\n"
	"since our start); PHASE: what the other says of itself; UDP, TCP: each of its addresses\n"
	"answers; RTT: of each; VERSIONS: of the protocol; EVIDENCE: what speaks for what when it "
	"is\n"
	"lost.\n";

static const char help_drain[] = "Usage: lvsmesh drain [--wait] [--json] [--control PATH]\n"
				 "\n"
				 "Takes the VIPs off, so that the router sends the traffic to the "
				 "others, and hands over all\n"
				 "connections. The director stays a member.\n"
				 "  --wait  until the others have all connections\n";

static const char help_undrain[] = "Usage: lvsmesh undrain [--json] [--control PATH]\n"
				   "\n"
				   "Takes traffic again.\n";

static const char help_leave[] = "Usage: lvsmesh leave [--wait] [--json] [--control PATH]\n"
				 "\n"
				 "Drains the director, makes the others forget it, and ends the "
				 "daemon. To upgrade it, just\n"
				 "restart it: no connection notices, and no alarm is raised.\n"
				 "  --wait  until the daemon has ended\n";

static const char help_remove[] =
	"Usage: lvsmesh remove NAME [--json] [--control PATH]\n"
	"\n"
	"Makes the cluster forget a director that has failed and does not come back; NAME may be "
	"an\n"
	"id. A director that answers is refused: `lvsmesh leave` there does it.\n";

static const char help_peers[] = "Usage: lvsmesh peers [--json] [--control PATH]\n"
				 "\n"
				 "The other directors. RECEIVED: entries that came from it, "
				 "BEHIND: entries that it has and we\n"
				 "have not; SENT: entries that it got from us, UNSENT: that wait "
				 "for it; LAG: age of the oldest\n"
				 "change that it has not acknowledged.\n";

static const char help_services[] = "Usage: lvsmesh services [--json] [--control PATH]\n"
				    "\n"
				    "The services and real servers of this kernel: those of the "
				    "configuration first, then those\n"
				    "that lvsmesh leaves alone.\n";

static const char help_connections[] =
	"Usage: lvsmesh connections [FILTER]... [--json] [--control PATH]\n"
	"\n"
	"The connections that this director knows, its own and the other directors'. Each FILTER "
	"must\n"
	"match:\n"
	"  ADDRESS[:PORT]         client, VIP or real server\n"
	"  client=ADDRESS[:PORT]  vip=ADDRESS[:PORT]  real=ADDRESS[:PORT]\n"
	"  service=NAME           of the configuration\n"
	"  protocol=PROTOCOL      TCP, UDP, SCTP\n"
	"  state=STATE            ESTABLISHED, FIN_WAIT, ...\n"
	"  origin=DIRECTOR        the director whose kernel last carried it, by name or id\n"
	"  own                    that is this one\n"
	"  learned                that is another one\n";

static const char help_events[] =
	"Usage: lvsmesh events [--follow] [--evidence] [--json] [--control PATH]\n"
	"\n"
	"What has happened to this director and its cluster: the last events, oldest first, in "
	"UTC.\n"
	"The id in brackets is that of the incident, from the event that opens it to the one that\n"
	"closes it.\n"
	"  --follow    go on with those to come; with --json one line each\n"
	"  --evidence  and among them who suspected whom, when, on what\n";

static const char help_reload[] =
	"Usage: lvsmesh reload [--control PATH]\n"
	"\n"
	"Reads the configuration again. A bad one is refused whole, and the running one stays.\n";

static const struct command {
	const char *name, *help;
	int (*alone)(int argc, char **argv);
	int (*ask)(const struct ctl_options *options, int count, char **arguments);
	int arguments; /* at most; -1: any number */
	bool follows;  /* has --follow and --evidence */
	bool waits;    /* has --wait */
} commands[] = {
	{"keygen", help_keygen, .alone = ctl_keygen},
	{"check", help_check, .alone = ctl_check},
	{"status", help_status, .ask = ctl_status},
	{"members", help_members, .ask = ctl_members},
	{"peers", help_peers, .ask = ctl_peers},
	{"services", help_services, .ask = ctl_services},
	{"connections", help_connections, .ask = ctl_connections, .arguments = -1},
	{"events", help_events, .ask = ctl_events, .follows = true},
	{"drain", help_drain, .ask = ctl_drain, .waits = true},
	{"undrain", help_undrain, .ask = ctl_undrain},
	{"leave", help_leave, .ask = ctl_leave, .waits = true},
	{"remove", help_remove, .ask = ctl_remove, .arguments = 1},
	{"reload", help_reload, .ask = ctl_reload},
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
	printf("%s is good: %zu services, %zu directors to join.\n", argv[1],
	       config->services.count, config->n_join);
	config_free(config);
	return CTL_DONE;
}

static int option_refuse(const struct command *command, const char *option)
{
	ctl_error("%s does not take --%s; see `lvsmesh %s --help`", command->name, option,
		  command->name);
	return CTL_USAGE;
}

static int command_ask(const struct command *command, int argc, char **argv)
{
	static const struct option table[] = {
		{"json", no_argument, NULL, 'j'},     {"control", required_argument, NULL, 'c'},
		{"follow", no_argument, NULL, 'f'},   {"wait", no_argument, NULL, 'w'},
		{"evidence", no_argument, NULL, 'e'}, {0},
	};
	struct ctl_options options = {.control = CTL_SOCKET};
	int c;

	while ((c = getopt_long(argc, argv, "", table, NULL)) != -1) {
		if (c == 'j')
			options.json = true;
		else if (c == 'c')
			options.control = optarg;
		else if (c == 'f' && command->follows)
			options.follow = true;
		else if (c == 'f')
			return option_refuse(command, "follow");
		else if (c == 'w' && command->waits)
			options.wait = true;
		else if (c == 'w')
			return option_refuse(command, "wait");
		else if (c == 'e' && command->follows)
			options.evidence = true;
		else if (c == 'e')
			return option_refuse(command, "evidence");
		else
			return CTL_USAGE;
	}
	if (command->arguments >= 0 && argc - optind > command->arguments) {
		ctl_error("%s takes no argument %s; see `lvsmesh %s --help`", command->name,
			  argv[optind + command->arguments], command->name);
		return CTL_USAGE;
	}
	return command->ask(&options, argc - optind, argv + optind);
}

static const struct command *command_find(const char *name)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
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
	ctl_error("the output could not be written");
	return CTL_REFUSED;
}

int main(int argc, char **argv)
{
	const struct command *command;

	if (argc < 2) {
		fputs(usage, stderr);
		return CTL_USAGE;
	}
	if (strcmp(argv[1], "--version") == 0) {
		printf("lvsmesh %s\n", LVSMESH_VERSION);
		return finish(CTL_DONE);
	}
	command = command_find(argv[1]);
	if (!command && wants_help(argc, argv)) {
		fputs(usage, stdout);
		return finish(CTL_DONE);
	}
	if (!command) {
		ctl_error("there is no command %s; see `lvsmesh --help`", argv[1]);
		return CTL_USAGE;
	}
	if (wants_help(argc - 1, argv + 1)) {
		fputs(command->help, stdout);
		return finish(CTL_DONE);
	}
	return finish(command->alone ? command->alone(argc - 1, argv + 1)
				     : command_ask(command, argc - 1, argv + 1));
}
