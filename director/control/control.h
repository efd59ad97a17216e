/* Requests of a client on the control socket: one line of JSON,
 *	{"command": "connections", "filter": "vip=203.0.113.10 state=ESTABLISHED"}
 * control_answer.h has the answers. Memory only. */
#ifndef DIRECTOR_CONTROL_CONTROL_H
#define DIRECTOR_CONTROL_CONTROL_H

#include "director/check/value.h"
#include "director/control/control_command.h"
#include "director/service/service.h"
#include "proto/endpoint.h"
#include "sync/table/entry.h"

/* A request is at most this long, its newline included. */
#define CONTROL_REQUEST_MAX 4096

/* Why a request was refused or a client closed; each is counted. */
enum control_error {
	CONTROL_E_OVERLONG = 1, /* no newline within CONTROL_REQUEST_MAX */
	CONTROL_E_JSON,         /* not an object of JSON */
	CONTROL_E_COMMAND,      /* none, or one that we do not know */
	CONTROL_E_FIELD,        /* a field that the command does not have */
	CONTROL_E_FILTER,
	CONTROL_E_FOLLOW,
	CONTROL_E_EVIDENCE,
	CONTROL_E_MEMBER,
	CONTROL_E_SERVICE,
	CONTROL_E_REAL,
	CONTROL_E_SETTING,
	CONTROL_E_BUSY,    /* more clients than there are places */
	CONTROL_E_SLOW,    /* did not ask, or did not read, in time */
	CONTROL_E_EVICTED, /* idle, and its place was wanted */
	CONTROL_E_GONE,    /* closed the connection before its request was carried out */
	CONTROL_E_MAX,
};

const char *control_error_name(int error); /* "overlong", "json", ... */
/* The error as a sentence for a person. */
const char *control_error_text(int error);

#define CONTROL_WORD_MAX 64

/* Everything that is set must match. An address without a port matches every port. */
struct control_filter {
	struct endpoint client, vip, real, any;
	char state[CONTROL_WORD_MAX]; /* as the kernel writes it, in any case */
	char protocol[CONTROL_WORD_MAX];
	char origin[CONTROL_WORD_MAX];  /* a director's name, or its id */
	char service[CONTROL_WORD_MAX]; /* its name: control_filter_service() */
	struct service_key key;         /* which that is; all zero: not known yet */
	bool own, learned;
};

/* Words between spaces: client=A, vip=A, real=A, service=NAME, protocol=P, state=S, origin=O, own,
 * learned, or A alone: any of the three addresses. A: "192.0.2.1", "192.0.2.1:80", "2001:db8::1",
 * "[2001:db8::1]:80". 0 or -CONTROL_E_FILTER: also of a state or a protocol that nothing has. */
int control_filter_parse(const char *text, struct control_filter *ret_filter);

/* To be called once before the first match. False: no service has that name. */
bool control_filter_service(struct control_filter *filter, const struct service_set *services);

/* origin, id: how the entry's origin would be listed; own: our kernel carried it last. */
bool control_filter_match(const struct control_filter *filter, const struct entry *entry,
			  const char *origin, const char *id, bool own);

struct control_request {
	enum control_command command;
	struct control_filter filter;
	bool follow;                   /* of events: those to come, too */
	bool evidence;                 /* of events: with the evidence */
	char member[CONTROL_WORD_MAX]; /* of remove: a name or an id */
	/* For services, set and drain; empty: all. */
	char service[CONTROL_WORD_MAX]; /* its name */
	struct endpoint real;           /* family 0: all; port 0: any */
	enum health_setting setting;    /* of set; */
	uint32_t weight;                /* of HEALTH_SET_WEIGHT, up to SERVICE_WEIGHT_MAX */
};

/* Whether the request means this service, or this real server. */
bool control_request_has_service(const struct control_request *request,
				 const struct service *service);
bool control_request_has_real(const struct control_request *request,
			      const struct real_server *real);

/* line: without its newline. 0 or -CONTROL_E_*. */
int control_request_parse(const char *line, size_t len, struct control_request *ret_request);

#endif
