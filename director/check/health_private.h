/* The facade's files share this: health.c (events in, pulls out), health_config.c (a new
 * configuration), health_target.c (one target: its votes, its checks), health_service.c (one
 * service: its weights), health_notice.c, health_state.c (the state file), health_status.c. */
#ifndef DIRECTOR_CHECK_HEALTH_PRIVATE_H
#define DIRECTOR_CHECK_HEALTH_PRIVATE_H

#include "director/check/effective.h"
#include "director/check/health.h"
#include "director/check/schedule.h"
#include "director/check/setting.h"
#include "director/check/target.h"
#include "director/fifo.h"
#include "proto/chance.h"

/* A result is believed for so long, and published again after a third of that: it is only for
 * directors that are alive and do not check any more, or it would be shorter. */
#define RESULT_TIMEOUT 300 /* s */
#define RESULT_REFRESH (RESULT_TIMEOUT / 3 * USEC_PER_SEC)
#define RUN_GRACE USEC_PER_SEC /* a run reports so long after its timeout at the latest */
#define LATE_INTERVALS 3
#define AHEAD_MAX (3600 * USEC_PER_SEC)

/* One real server of one service. */
struct backend {
	uint8_t key[KEY_SIZE]; /* of its setting */
	uint32_t service;
	uint32_t target, next; /* TARGET_NONE: not checked; the next one of the same target */
	enum health_setting setting;
	uint32_t setting_weight;
	uint32_t weight, pulled_weight;
	bool removed, pulled_removed;
	bool out, kept, slow_start;
	bool end; /* its connections: not pulled yet */
};

struct group {
	const struct service *service;
	size_t first; /* its first backend */
	bool service_down, panic, sorry, vip_off;
	bool pulled_sorry, pulled_vip_off, told_down, told_panic;
	size_t up, down;
};

/* One configuration's. */
struct layout {
	struct backend *backends;
	size_t n_backends;
	struct group *groups; /* services, in the configuration's order */
	size_t n_groups;
	struct key_index index; /* of backends */
};

struct health {
	uint64_t self, epoch;
	struct chance chance;
	usec_t ticked;                             /* mono: the last health_tick() */
	struct health_member alive[DIRECTORS_MAX]; /* by id */
	unsigned int n_alive;
	usec_t steady_since; /* mono: the last change of that */
	struct layout layout;
	struct targets targets;
	struct settings settings;
	/* Targets, by number. */
	struct schedule wake;
	struct fifo evaluate, ready, publish, notice;
	/* Services, by number. */
	struct schedule step;
	struct fifo decide, change, service_notice;
	size_t change_at; /* the backend of the first in `change` from which to go on */
	uint8_t (*withdrawn)[KEY_SIZE]; /* targets that are gone: results to be withdrawn */
	size_t n_withdrawn, withdrawn_room;
	uint8_t (*hints)[KEY_SIZE]; /* targets and services that were down in an earlier life */
	size_t n_hints;
	struct health_notice *gone; /* ends of incidents of targets and services that are gone */
	size_t n_gone, gone_room;
	struct effective_real *scratch; /* for the service with most real servers */
	bool state_changed;
	uint32_t runs; /* the last one's number */
	uint64_t refused[HEALTH_E_MAX];
	struct health_counts {
		uint64_t runs, runs_lost, late;
		uint32_t targets, checking;
	} counts;
};

/* health_target.c */
/* Counts the votes, and follows the verdict. */
void health_target_evaluate(struct health *health, uint32_t number, struct now now);
/* Its time has come. */
void health_target_wake(struct health *health, uint32_t number, struct now now);
/* When it is to be looked at again. */
void health_target_schedule(struct health *health, uint32_t number);
/* Whether all its real servers are in maintenance. */
void health_target_suspend(struct health *health, uint32_t number, struct now now);
bool health_target_publish(struct health *health, struct now now, struct fact *ret_fact);
int health_target_fact(struct health *health, const struct fact *fact, struct now now);
/* Our result about a target that is gone is to be ended. */
void health_target_withdraw(struct health *health, const uint8_t *key);

/* health_service.c */
/* The weights of its real servers, and what differs from what was pulled. */
void health_service_decide(struct health *health, uint32_t number, struct now now);

/* health_setting.c */
/* The settings that hold, into the backends. */
void health_setting_link(struct health *health, struct now now);
int health_setting_fact(struct health *health, const struct fact *fact, struct now now);
bool health_setting_publish(struct health *health, struct now now, struct fact *ret_fact);

/* health_notice.c */
bool health_notice_vote(const struct target *target, unsigned int i, struct health_vote *ret_vote);
/* The target, or the service, goes away: ends its incidents. */
void health_notice_target_gone(struct health *health, uint32_t number);
void health_notice_service_gone(struct health *health, uint32_t number);

/* health_state.c */
bool health_state_was_down(const struct health *health, const uint8_t *key);

/* health.c */
int health_refuse(struct health *health, int error); /* counts it, and returns it */

#endif
