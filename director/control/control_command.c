#include "director/control/control_command.h"

#include <string.h>

static const struct control_command_spec specs[CONTROL_COMMANDS] = {
	[CONTROL_STATUS] =
		{
			.name = "status",
			.summary = "who am I, is the cluster whole, what is wrong",
			.help = "Usage: lvsmesh status [--json] [--control PATH]\n"
				"\n"
				"One screen about this director, and what is wrong. Exit status: 0 "
				"all is well, 1 something\n"
				"is wrong, 3 the daemon does not run.\n",
		},
	[CONTROL_MEMBERS] =
		{
			.name = "members",
			.summary = "who the directors are, and who answers",
			.help = "Usage: lvsmesh members [--json] [--control PATH]\n"
				"\n"
				"The directors that this one knows, itself first. STATE: what it "
				"holds of the other (alive,\n"
				"suspect, failed, away: stopped as planned, gone: left for good, "
				"unproven: has not answered\n"
				"since our start); PHASE: what the other says of itself; UDP, TCP: "
				"each of its addresses\n"
				"answers; RTT: of each; VERSIONS: of the protocol; EVIDENCE: what "
				"speaks for what when it is\n"
				"lost.\n",
		},
	[CONTROL_PEERS] =
		{
			.name = "peers",
			.summary = "the other directors, and how far behind they are",
			.help = "Usage: lvsmesh peers [--json] [--control PATH]\n"
				"\n"
				"The other directors. RECEIVED: entries that came from it, BEHIND: "
				"entries that it has and we\n"
				"have not; SENT: entries that it got from us, UNSENT: that wait "
				"for it; LAG: age of the oldest\n"
				"change that it has not acknowledged.\n",
		},
	[CONTROL_SERVICES] =
		{
			.name = "services",
			.summary = "services and their real servers",
			.help = "Usage: lvsmesh services [--json] [--control PATH]\n"
				"\n"
				"The services and real servers of this kernel: those of the "
				"configuration first, then those\n"
				"that lvsmesh leaves alone.\n",
		},
	[CONTROL_CONNECTIONS] =
		{
			.name = "connections",
			.fields = CONTROL_FILTER,
			.arguments = "[FILTER]...",
			.summary = "connections that this director knows",
			.help = "Usage: lvsmesh connections [FILTER]... [--json] [--control PATH]\n"
				"\n"
				"The connections that this director knows, its own and the other "
				"directors'. Each FILTER must\n"
				"match:\n"
				"  ADDRESS[:PORT]         client, VIP or real server\n"
				"  client=ADDRESS[:PORT]  vip=ADDRESS[:PORT]  real=ADDRESS[:PORT]\n"
				"  service=NAME           of the configuration\n"
				"  protocol=PROTOCOL      TCP, UDP, SCTP\n"
				"  state=STATE            ESTABLISHED, FIN_WAIT, ...\n"
				"  origin=DIRECTOR        the director whose kernel last carried "
				"it, by name or id\n"
				"  own                    that is this one\n"
				"  learned                that is another one\n",
		},
	[CONTROL_EVENTS] =
		{
			.name = "events",
			.fields = CONTROL_FOLLOW | CONTROL_EVIDENCE,
			.arguments = "[--follow]",
			.summary = "what has happened",
			.help = "Usage: lvsmesh events [--follow] [--evidence] [--json] [--control "
				"PATH]\n"
				"\n"
				"What has happened to this director and its cluster: the last "
				"events, oldest first, in UTC.\n"
				"The id in brackets is that of the incident, from the event that "
				"opens it to the one that\n"
				"closes it.\n"
				"  --follow    go on with those to come; with --json one line "
				"each\n"
				"  --evidence  and among them who suspected whom, when, on what\n",
		},
	[CONTROL_DRAIN] =
		{
			.name = "drain",
			.waits = true,
			.arguments = "[--wait]",
			.summary = "give up the traffic, and stay",
			.help = "Usage: lvsmesh drain [--wait] [--json] [--control PATH]\n"
				"\n"
				"Takes the VIPs off, so that the router sends the traffic to the "
				"others, and hands over all\n"
				"connections. The director stays a member.\n"
				"  --wait  until the others have all connections\n",
		},
	[CONTROL_UNDRAIN] =
		{
			.name = "undrain",
			.summary = "take traffic again",
			.help = "Usage: lvsmesh undrain [--json] [--control PATH]\n"
				"\n"
				"Takes traffic again.\n",
		},
	[CONTROL_LEAVE] =
		{
			.name = "leave",
			.waits = true,
			.arguments = "[--wait]",
			.summary = "drain, leave the cluster for good, and stop",
			.help = "Usage: lvsmesh leave [--wait] [--json] [--control PATH]\n"
				"\n"
				"Drains the director, makes the others forget it, and ends the "
				"daemon. To upgrade it, just\n"
				"restart it: no connection notices, and no alarm is raised.\n"
				"  --wait  until the daemon has ended\n",
		},
	[CONTROL_REMOVE] =
		{
			.name = "remove",
			.fields = CONTROL_MEMBER,
			.arguments = "NAME",
			.summary = "forget a director that has failed for good",
			.help = "Usage: lvsmesh remove NAME [--json] [--control PATH]\n"
				"\n"
				"Makes the cluster forget a director that has failed and does not "
				"come back; NAME may be an\n"
				"id. A director that answers is refused: `lvsmesh leave` there "
				"does it.\n",
		},
	[CONTROL_RELOAD] =
		{
			.name = "reload",
			.summary = "read the configuration again",
			.help = "Usage: lvsmesh reload [--control PATH]\n"
				"\n"
				"Reads the configuration again. A bad one is refused whole, and "
				"the running one stays.\n",
		},
};

const struct control_command_spec *control_command_spec(enum control_command command)
{
	return &specs[command];
}

bool control_command_find(const char *name, enum control_command *ret_command)
{
	for (unsigned int i = 0; i < CONTROL_COMMANDS; i++) {
		if (strcmp(specs[i].name, name) == 0) {
			*ret_command = (enum control_command)i;
			return true;
		}
	}
	return false;
}
