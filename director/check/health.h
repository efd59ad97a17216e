/* Health checking of one director, as a core: no I/O, no clock, no chance. It says which check to
 * run now, turns results into this director's vote, counts the votes of the directors that check
 * the same target, applies the operator's settings, and says which weight each real server has.
 *
 * A *target* is what is checked: an endpoint and how. Real servers whose endpoint and check are
 * alike share one, so it is checked once for all services. A *vote* is one director's state of one
 * target, decided by fall and rise, and published as a fact. The *verdict* follows from the votes:
 * all directors that hold the same facts and members come to the same one.
 *
 * The driver feeds events: health_config(), health_members(), health_fact(), health_result(),
 * health_set(); after each, and when health_timeout() has come, health_tick(). Then it pulls
 * health_due(), health_publish(), health_change() and health_notice() until each says false. The
 * order does not matter. Pulled are states, not events: what changed twice is told once.
 *
 * Errors: 0, -ENOMEM, or a positive HEALTH_E_*, which is counted. */
#ifndef DIRECTOR_CHECK_HEALTH_H
#define DIRECTOR_CHECK_HEALTH_H

#include "director/check/value.h"
#include "director/counter.h"
#include "director/service/service.h"
#include "sync/fact.h"

struct health;

/* Why a fact, a result or a setting was not taken. */
enum health_error {
	HEALTH_E_MALFORMED = 1, /* the value does not follow its layout */
	HEALTH_E_FORMAT,        /* a layout of a newer version */
	HEALTH_E_KIND,          /* neither a result nor a setting */
	HEALTH_E_ORIGIN,        /* no origin */
	HEALTH_E_TARGET,        /* a result about a target that this configuration does not have */
	HEALTH_E_STALE,         /* a setting older than the one that is held */
	HEALTH_E_FUTURE,        /* a setting's time is more than an hour ahead of our clock */
	HEALTH_E_FULL,          /* too many votes of one target, or too many settings */
	HEALTH_E_RUN,           /* a result of no run, or of one that was given up */
	HEALTH_E_SETTING,       /* no such real server, or no such setting */
	HEALTH_E_MAX,
};

const char *health_error_name(int error); /* "malformed"..., a literal */

/* enum health_setting: the operator's, for one real server of one service. The newest holds, on all
 * directors (value.h). enum health_verdict: unknown is taken as up (fall_rise.h). */

struct health_options {
	uint64_t self;    /* our id, not 0 */
	uint64_t epoch;   /* of this boot, as members know it */
	uint8_t seed[32]; /* random: jitter */
	struct now now;
};

/* 0 or -ENOMEM. */
int health_new(const struct health_options *options, struct health **ret_health);
void health_free(struct health *health);

/* A new configuration: sorted (service_set_sort()), borrowed until the next call. The states of
 * real servers and targets that stay are kept; one whose check changed begins with the verdict of
 * its old check. Changes of weights are counted from the file's weights again: pull all of
 * health_change() before the set is programmed. Feed all facts that sync holds (sync_fact_walk())
 * afterwards: the core keeps no results about targets that were not configured. 0, or -ENOMEM: the
 * old configuration still holds. */
int health_config(struct health *health, const struct service_set *services, struct now now);

/* All that are alive (struct health_member, verdict.h), in any order; ourselves may be among them,
 * and are alive and current anyway. At most DIRECTORS_MAX; copied. */
void health_members(struct health *health, const struct health_member *members, unsigned int count,
		    struct now now);

/* A fact that was learned, or is fed again; HEALTH_E_* as above. */
int health_fact(struct health *health, const struct fact *fact, struct now now);

/* The result of a run that health_due() gave out. A run that does not report within a second after
 * its timeout is given up and counted: it says nothing about the real server. */
void health_result(struct health *health, uint32_t target, uint32_t run,
		   const struct check_result *result, struct now now);

/* The operator's setting for real server number `real` of service number `service`; weight is of
 * HEALTH_SET_WEIGHT alone. It becomes a fact. */
int health_set(struct health *health, size_t service, size_t real, enum health_setting setting,
	       uint32_t weight, struct now now);

void health_tick(struct health *health, struct now now);
/* mono: call health_tick() then; 0, or a time that has come: at once, there is more to do.
 * USEC_NEVER: no need. */
usec_t health_timeout(const struct health *health);

/* Begin this check now. At most one run of a target is out at a time. */
struct health_run {
	uint32_t target, run;      /* for health_result() */
	const struct check *check; /* as are the next two: valid until the next health_config(),
				      and as long as the configuration lives */
	const struct service *service;
	const struct real_server *real; /* the first that is checked so */
	struct endpoint endpoint;       /* to check: the real server's or the check's own, or for
					   CHECK_VIA_FORWARDING the VIP; port 0: it has none */
};

bool health_due(struct health *health, struct now now, struct health_run *ret_run);

/* The next fact to publish; origin is ourselves. */
bool health_publish(struct health *health, struct now now, struct fact *ret_fact);

enum health_change_type {
	HEALTH_CHANGE_REAL,  /* real: its weight, or removed */
	HEALTH_CHANGE_SORRY, /* the service's sorry server: on, with its weight, or removed */
	HEALTH_CHANGE_VIP,   /* the service's VIP: on the interface (on), or not */
};

/* How a service is to differ from its file, against what was pulled before. After health_config()
 * it is as the file says: weights of the file, no sorry server, VIP on. */
struct health_change {
	enum health_change_type type;
	size_t service, real; /* numbers in the configuration */
	uint32_t weight;
	bool removed;         /* it is not to be in the kernel */
	bool end_connections; /* of this real server, which went down */
	bool on;
};

bool health_change(struct health *health, struct health_change *ret_change);

enum health_notice_type {
	HEALTH_NOTICE_REAL,        /* active: a target is down; votes say why */
	HEALTH_NOTICE_UNREACHABLE, /* active: this director finds it down, the verdict is up */
	HEALTH_NOTICE_LATE,        /* active: no check of it ended for three intervals */
	HEALTH_NOTICE_SERVICE,     /* active: no real server is up, or fewer than its quorum */
	HEALTH_NOTICE_PANIC,       /* active: so many are down that all are kept */
	HEALTH_NOTICES,
};

#define HEALTH_VOTES_MAX 8 /* of a notice: the first ones */

struct health_vote {
	uint64_t director;
	enum health_verdict state; /* unknown: it has not decided, or does not check it */
	enum health_verdict view;  /* the verdict, as it knew it */
	bool counted;              /* in the verdict */
	usec_t since;              /* wall: of the state; 0: since it was checked first */
	int weight;                /* %, as in struct check_result */
	enum check_cause cause;
	char reason[CHECK_REASON_MAX];
};

/* An incident that begins (active) or ends; begun ones are ended before they begin again. */
struct health_notice {
	enum health_notice_type type;
	bool active;
	bool gone;                /* it ends because the configuration no longer has it: service
				     and real are of no meaning */
	uint32_t target;          /* its number; of the first three types */
	size_t service, real;     /* the first that it concerns */
	unsigned int services;    /* so many real servers of services it concerns */
	struct endpoint endpoint; /* that is checked; of the first three types */
	struct service_key service_key; /* of the last two types */
	size_t up, down, total;         /* real servers of the service; of the last two types */
	bool vip_off, sorry, panic;     /* of the last two types */
	usec_t late;                    /* of HEALTH_NOTICE_LATE: so long no check ended */
	unsigned int n_votes;
	struct health_vote votes[HEALTH_VOTES_MAX];
};

bool health_notice(struct health *health, struct now now, struct health_notice *ret_notice);

/* The state file: settings, and which real servers and services are down, so that a director that
 * starts again does not send them traffic until it knows better. Text lines, for state_file_save().
 * health_state_changed() says whether it differs from what was packed last. */
bool health_state_changed(const struct health *health);
/* 0 and a new buffer, to be freed by the caller; or -ENOMEM. */
int health_pack(struct health *health, char **ret_text, size_t *ret_len);
/* After health_new(), before health_config(). A line that is not understood is left out and counted
 * as malformed. 0 or -ENOMEM. */
int health_unpack(struct health *health, const char *text, size_t len, struct now now);

/* For people and for the glue: all below only reads. */
struct health_real_status {
	bool checked;                /* the file says how */
	uint32_t target;             /* if checked */
	enum health_verdict verdict; /* of the checks */
	usec_t since;                /* wall; 0: always */
	bool checking;               /* by this director too */
	bool late;
	enum health_verdict vote; /* this director's */
	struct check_result last; /* this director's last; reason is empty: none yet */
	usec_t last_end;          /* mono; 0: none yet */
	usec_t next;              /* mono, the next one's begin; USEC_NEVER: none */
	enum health_setting setting;
	uint32_t setting_weight;
	uint64_t setting_author; /* the director on which the operator said it; 0: none */
	usec_t setting_since;    /* wall */
	uint32_t file_weight, weight;
	int percent; /* what agents say; -1: nothing */
	bool removed;
	bool kept;       /* down, and kept by panic or because all are down */
	bool slow_start; /* its weight is growing */
};

/* false: no such. */
bool health_real_status(const struct health *health, size_t service, size_t real,
			struct health_real_status *ret_status);
/* Vote number i of that real server's target, by director's id; false: no more. */
bool health_vote(const struct health *health, size_t service, size_t real, unsigned int i,
		 struct health_vote *ret_vote);

struct health_service_status {
	size_t total, up, down; /* real servers; one that is drained is neither */
	bool service_down;      /* none is up, or fewer than the quorum */
	bool panic, sorry, vip_off;
};

bool health_service_status(const struct health *health, size_t service,
			   struct health_service_status *ret_status);

/* Every check that is due has run once since the start, here or on a peer, or has had the time to:
 * the weights are no longer those of the file for want of a verdict. */
bool health_settled(const struct health *health, struct now now);

/* Counter number *i from 0; false: no such, and *i is the number behind them. */
extern const struct counter_table health_counter_checks; /* for lvsmesh(1) */
bool health_counter(const struct health *health, unsigned int *i, struct counter *ret_counter);

#endif
