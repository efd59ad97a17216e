#include "director/control/control_command.h"

#include <string.h>

static const struct control_command_spec specs[CONTROL_COMMANDS] = {
	[CONTROL_STATUS] =
		{
			.name = "status",
			.summary = "identity, cluster, traffic, and problems",
			.help = "Usage: lvsmesh status [--json] [--control PATH]\n"
				"\n"
				"One screen about this director, and its problems. Exit status: 0 "
				"no "
				"problem, 1 problems,\n"
				"3 the daemon does not answer.\n",
		},
	[CONTROL_MEMBERS] =
		{
			.name = "members",
			.summary = "all directors, and whether they answer",
			.help = "Usage: lvsmesh members [--json] [--control PATH]\n"
				"\n"
				"The directors that this one knows, itself first.\n"
				"  STATE     this director's view of the other: alive, suspect, "
				"failed, away (stopped as\n"
				"            planned), gone (left for good), unproven (has not "
				"answered since the start)\n"
				"  PHASE     the other's own statement\n"
				"  UDP, TCP  whether each of its addresses answers, and its RTT\n"
				"  HEALTH    the health score: 0 is good\n"
				"  VERSIONS  of the protocol\n"
				"  EVIDENCE  the evidence about its loss, see EVENTS in "
				"lvsmesh(1)\n",
		},
	[CONTROL_PEERS] =
		{
			.name = "peers",
			.summary = "the other directors, and how far behind they are",
			.help = "Usage: lvsmesh peers [--json] [--control PATH]\n"
				"\n"
				"The other directors, and the replication with each.\n"
				"  POSITION         this director's position in the journal of the "
				"peer\n"
				"  RECEIVED BEHIND  entries received from it, and yet to come\n"
				"  SENT UNSENT      entries sent to it, and yet to be sent\n"
				"  LAG              age of the oldest change that it has not "
				"acknowledged\n"
				"  OWN              known connections that it carried last\n"
				"  REASON           why the last connection to it was closed\n",
		},
	[CONTROL_SERVICES] =
		{
			.name = "services",
			.fields = CONTROL_SERVICE | CONTROL_REAL,
			.arguments = "[SERVICE] [REAL]",
			.summary = "services and their real servers",
			.help = "Usage: lvsmesh services [SERVICE] [REAL] [--json] [--control "
				"PATH]\n"
				"\n"
				"The services and real servers of this kernel: those of the "
				"configuration first, then those\n"
				"that lvsmesh leaves alone. With SERVICE, a name, or REAL, "
				"ADDRESS[:PORT], only these.\n"
				"  WEIGHT    the kernel's\n"
				"  FILE      the weight of the configuration\n"
				"  CHECKS    the verdict, how many of the checkers share it, and "
				"the "
				"reason of one of them\n"
				"  OPERATOR  the setting of `lvsmesh set`, and the director that "
				"it was given on\n",
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
				"  own                    this director carried it last\n"
				"  learned                another director did\n",
		},
	[CONTROL_EVENTS] =
		{
			.name = "events",
			.fields = CONTROL_FOLLOW | CONTROL_EVIDENCE,
			.arguments = "[--follow]",
			.summary = "recent events",
			.help = "Usage: lvsmesh events [--follow] [--evidence] [--json] [--control "
				"PATH]\n"
				"\n"
				"The last events of this director and its cluster, oldest first, "
				"in "
				"UTC. The id in brackets\n"
				"is that of the incident, from the event that opens it to the one "
				"that closes it.\n"
				"  --follow    then print new events as they happen; with --json "
				"one "
				"line each\n"
				"  --evidence  also print suspicions: who suspected whom, when, "
				"and "
				"why\n",
		},
	[CONTROL_SET] =
		{
			.name = "set",
			.fields = CONTROL_SERVICE | CONTROL_REAL | CONTROL_SETTING,
			.required = CONTROL_REAL | CONTROL_SETTING,
			.arguments = "[SERVICE] REAL SETTING",
			.summary = "set a real server's weight on all directors",
			.help = "Usage: lvsmesh set [SERVICE] REAL weight N [--json] [--control "
				"PATH]\n"
				"       lvsmesh set [SERVICE] REAL drain|maintenance|up|reset "
				"[--json] "
				"[--control PATH]\n"
				"\n"
				"Sets real servers on all directors, until `reset`: it wins over "
				"the configuration and the\n"
				"checks, and survives restarts and reloads. REAL is ADDRESS:PORT, "
				"or "
				"an ADDRESS: all real\n"
				"servers of it. Without SERVICE, a name, in all services.\n"
				"  weight N     N, 0 to 65535, in place of the configuration's "
				"weight, while it is up\n"
				"  drain        weight 0: no new connections, present ones go on\n"
				"  maintenance  weight 0, and not checked\n"
				"  up           taken as up, whatever the checks say\n"
				"  reset        the configuration and the checks decide again\n",
		},
	[CONTROL_DRAIN] =
		{
			.name = "drain",
			.fields = CONTROL_REAL,
			.waits = true,
			.arguments = "[REAL] [--wait]",
			.summary = "move the traffic elsewhere: the director's, or a real server's",
			.help = "Usage: lvsmesh drain [--wait] [--json] [--control PATH]\n"
				"       lvsmesh drain REAL [--wait] [--json] [--control PATH]\n"
				"\n"
				"Removes the VIPs, so that the router sends the traffic to the "
				"others, and hands over all\n"
				"connections. The director stays a member.\n"
				"  --wait  return when the others have all connections\n"
				"\n"
				"With REAL, ADDRESS[:PORT], the same as `lvsmesh set REAL drain`: "
				"the real server gets no new\n"
				"connections, from any director, until `lvsmesh set REAL reset`.\n"
				"  --wait  return when it has no connections left, on any "
				"director\n",
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
				"restart it: no connection breaks, and no alarm is raised.\n"
				"  --wait  return when the daemon has ended\n",
		},
	[CONTROL_REMOVE] =
		{
			.name = "remove",
			.fields = CONTROL_MEMBER,
			.required = CONTROL_MEMBER,
			.arguments = "NAME",
			.summary = "forget a director that has failed for good",
			.help = "Usage: lvsmesh remove NAME [--json] [--control PATH]\n"
				"\n"
				"Makes the cluster forget a director that has failed and does not "
				"come back; NAME may be an\n"
				"id. A director that answers is refused: run `lvsmesh leave` there "
				"instead.\n",
		},
	[CONTROL_RELOAD] =
		{
			.name = "reload",
			.summary = "read the configuration again",
			.help = "Usage: lvsmesh reload [--json] [--control PATH]\n"
				"\n"
				"Reads the configuration again. An invalid one is refused as a "
				"whole, and the running one stays.\n",
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
