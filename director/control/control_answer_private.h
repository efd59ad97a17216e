/* An answer in the making: control_answer.c makes all of it, control_services.c and control_set.c
 * the items of their commands. */
#ifndef DIRECTOR_CONTROL_CONTROL_ANSWER_PRIVATE_H
#define DIRECTOR_CONTROL_CONTROL_ANSWER_PRIVATE_H

#include "director/control/control_answer.h"

/* An entry's origin, as it is listed; the next entry often has the same. */
struct origin {
	uint64_t id;
	char text[STATUS_ID_TEXT];
	char name[CERTIFICATE_NAME_MAX + 1]; /* the same when it is not known */
};

/* A real server of the configuration, by its numbers. */
struct control_match {
	size_t service, real;
};

struct control_answer {
	const struct control_source *source;
	struct control_request request;

	char *line; /* not yet given out from `at` on; freed with free() */
	size_t len, at;
	bool ended; /* the last line has been made */
	uint64_t count;

	struct peers peers; /* the ones listed; names of origins */
	struct origin origin;
	json_t *item; /* the only one, of status and the commands that act */

	uint64_t cursor;       /* of the walk over connections or events */
	uint64_t evidence;     /* likewise */
	struct config *config; /* of services, and of those that set a real server: its own, and */
	struct service_list *actual;
	size_t real;                   /* of the service whose line is being made: the next one */
	bool open;                     /* a service's line is being made, and */
	bool filled;                   /* has a real server */
	struct control_match *matches; /* real servers that are set */
	size_t n_matches;
	char refusal[256]; /* why it was refused, if that is no literal */
	uint64_t reload;   /* its ticket */
	usec_t asked;      /* mono */
	bool pending;      /* data for the first line is awaited, and an empty line was sent at */
	usec_t reassured;
	size_t next;
};

struct refusal {
	const char *error, *message; /* its name, and a sentence */
};

/* The piece of the answer that is being made. */
struct piece {
	unsigned int walked; /* entries looked at for it: they bound the search */
	bool end;            /* without an item: there are no more */
	char *text;          /* without an item: a part of a line, from malloc() */
};

/* A director's name, also our own; "" if it is not known. info: room for it. */
const char *control_answer_director(const struct control_answer *answer,
				    const struct status_facts *facts, uint64_t id,
				    struct member_info *info);

/* As the handlers of control_answer.c. */
int control_services_begin(struct control_answer *answer, struct now now,
			   struct refusal *ret_refusal);
json_t *control_services_next(struct control_answer *answer, struct now now, struct piece *piece);
int control_set_begin(struct control_answer *answer, struct now now, struct refusal *ret_refusal);
json_t *control_set_next(struct control_answer *answer, struct now now, struct piece *piece);

#endif
