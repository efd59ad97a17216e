/* Shared by the files of io_director. */
#ifndef DIRECTOR_DAEMON_IO_DIRECTOR_PRIVATE_H
#define DIRECTOR_DAEMON_IO_DIRECTOR_PRIVATE_H

#include "director/check/health.h"
#include "director/config/config_digest.h"
#include "director/control/control_answer.h"
#include "director/control/io_control.h"
#include "director/daemon/io_director.h"
#include "director/event/io_alert.h"
#include "director/event/observer.h"
#include "director/io_state.h"
#include "director/kernel/io_adopt.h"
#include "director/kernel/io_services.h"
#include "director/net/io_node.h"
#include "director/net/io_witness.h"
#include "director/tap/io_tap.h"
#include "director/turns.h"

/* Most entries that are kept. */
#define ENTRIES_MAX (16u << 20)

struct io_director {
	uv_loop_t loop;
	const char *config_path;
	struct config *config;
	const struct identity *identity;
	uint64_t epoch;
	usec_t before; /* wall, the start before this one */
	struct version_range versions;
	usec_t started;
	bool stopping;
	bool leaving;    /* asked to stop: announcing it to the others */
	bool stop_asked; /* by a signal: the next one awaits nothing */
	int result;      /* of the run */

	/* NULL while they are not open. */
	struct io_alert *alert;
	struct io_control *control;
	struct io_services *services;
	struct io_node *node;
	struct io_tap *tap;
	struct io_adopt *adopt;
	struct io_witness *witness;
	struct io_director_health *health;

	struct io_state roster, health_state;
	bool roster_changed;
	uv_signal_t signals[3];
	uv_timer_t watch, leave;
	unsigned int turns;   /* of watch */
	usec_t watchdog;      /* the service manager's, 0: none; */
	usec_t watchdog_told; /* mono, of the last notice to it */

	uv_prepare_t turn;                        /* of the loop, */
	uint64_t turn_began, turn_idle, turn_cpu; /* in ns */
	struct turns loop_turns, loop_work;       /* its time; the processor's */

	bool ftp_damaged; /* by this kernel */
	bool forwarder_ok;
	usec_t forwarder_since;

	usec_t services_wanted; /* by the node, to compare; mono, since when, 0: not */
	uv_idle_t compare;      /* runs while the node gets them: */
	struct service_list *compared;
	size_t compared_next;
	bool adopt_wanted, adopt_missed; /* by the node after that, as node_update says */
	usec_t adopt_since; /* the kernel's services are being listed for it since then, or 0 */
	bool adopted, adopt_again;
	unsigned int adopt_readings; /* in a row */
	uint64_t adopt_found;        /* by all readings */
	char adopt_error[FAULT_TEXT];
	struct service_list *adopt_services; /* the kernel's, for their forwarding methods */
	uint64_t adopt_refused[KERNEL_CONNS_E_MAX];

	/* Reloads: requests are counted, those that wait share the next one. */
	uv_work_t reload;
	uint64_t reload_asked, reload_begun, reload_ended;
	struct config *reload_config; /* as read, NULL: refused, reload_why */
	bool reload_same;             /* the file has not changed, and is not read again */
	struct config_error reload_why;
	bool reload_taken; /* its services are being programmed */
	int reload_result; /* of the last that ended */

	usec_t loaded;
	char digest[CONFIG_DIGEST_TEXT];
	uint64_t reloads, reloads_refused;
	uint64_t shed;      /* flows, as last logged, and when */
	usec_t shed_logged; /* mono */
	uint64_t changed;   /* sync_status.concurrent_updates when a member was lost last */
	char reload_error[FAULT_TEXT];
	char act_error[FAULT_TEXT];

	struct observer observer;
};

/* io_director.c: closes everything. */
void io_director_stop(struct io_director *director);

/* io_director_kernel_compare.c: lists the kernel's services for the node, when it wants them and
 * they are there. */
void io_director_kernel_compare(struct io_director *director);

/* io_director_adopt.c: reads the connections that the kernel has kept. */
void io_director_adopt(struct io_director *director);
/* The kernel's services have been listed. */
void io_director_adopt_listed(struct io_director *director);

/* io_director_members.c: reports of the node and the witness, with the director as context; */
void io_director_noticed(void *context, const struct membership_notice *notice);
void io_director_roster_changed(void *context);
void io_director_node_done(void *context);
void io_director_epoch_wanted(void *context, uint64_t epoch);
void io_director_returned(void *context, usec_t wall);
void io_director_witness(void *context, bool ok);
/* writes the roster if it has changed; */
void io_director_roster_save(struct io_director *director);
/* announces our absence to the others, and then stops; asked again, it stops at once; */
void io_director_absence(struct io_director *director);
/* and a control_source's function. */
int io_director_act(void *context, const struct control_request *request, const char **ret_error);

/* io_director_reload.c: reads the configuration on a thread, takes it, and has the services
 * programmed. Returns the number of the request: ended when reload_ended has reached it, with
 * reload_result and, when it was refused, reload_error. */
uint64_t io_director_reload(struct io_director *director);
/* The services of the newest configuration have been programmed, or can't be. */
void io_director_reload_programmed(struct io_director *director);
/* A control_source's function. */
int io_director_reload_ask(void *context, uint64_t *ticket, const char **ret_error);

/* io_director_health.c: opens the health checks, right after the services: their first weights are
 * programmed with them; */
int io_director_health_open(struct io_director *director, struct fault *fault);
/* ends them: director->health is NULL when nothing is left; */
void io_director_health_close(struct io_director *director);
/* a new configuration, right after io_services_config(): 0, or -ENOMEM; */
int io_director_health_config(struct io_director *director);
/* some member may have come or gone; */
void io_director_health_members(struct io_director *director);
/* writes the state file if something has changed; */
void io_director_health_save(struct io_director *director);
/* counter number *i of them; false: no such, and *i is the number behind them; */
bool io_director_health_counter(const struct io_director *director, unsigned int *i,
				struct counter *ret_counter);
/* there are facts, with the director as context. */
void io_director_health_facts(void *context);
/* The core, whose services are those of the running configuration; NULL: there is none. */
const struct health *io_director_health_core(const struct io_director *director);
/* As control_source.set. */
int io_director_health_set(void *context, size_t service, size_t real, enum health_setting setting,
			   uint32_t weight, const char **ret_error);

/* io_director_facts.c: a control_source's functions. */
void io_director_facts(void *context, struct status_facts *ret_facts);
int io_director_services(void *context, usec_t since, struct service_list **ret_list,
			 const char **ret_error);

/* io_director_events.c: raise events for the changes since the last call; the first is cheap, the
 * second is for now and then. */
void io_director_watch_forwarder(struct io_director *director);
void io_director_watch(struct io_director *director);

#endif
