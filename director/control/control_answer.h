/* Answers on the control socket, made piece by piece as the client reads: lines of JSON.
 *	{"ok": true, "command": "peers"}	the head; of a refusal the only line:
 *	{"ok": false, "error": "filter", "message": "..."}
 *	{...}					the items; status and the commands that act have one
 *	{"end": true, "count": 2}
 * While a reload or the list of services is awaited, empty lines come. Events that are followed
 * have no end. {"missed": 12} among them: the reader was too slow for so many. A piece costs a
 * bounded time, however many connections there are. */
#ifndef DIRECTOR_CONTROL_CONTROL_ANSWER_H
#define DIRECTOR_CONTROL_CONTROL_ANSWER_H

#include "director/control/control.h"
#include "director/control/status.h"

struct control_answer;

/* The sources of the answers. */
struct control_source {
	void *context;
	void (*facts)(void *context, struct status_facts *ret_facts);
	/* The kernel's services at `since` (mono) or later, sorted: 0, and one more reference;
	 * -EAGAIN: not yet, io_control_wake() follows; or a negative errno and a sentence. */
	int (*services)(void *context, usec_t since, struct service_list **ret_list,
			const char **ret_error);
	/* Executes drain (of the director), undrain, leave and remove. 0, or refused and why:
	 * nothing has changed then. */
	int (*act)(void *context, const struct control_request *request, const char **ret_error);
	/* Begins a reload when *ticket is 0, and sets it. -EAGAIN: it has not ended; 0, or refused
	 * and why. */
	int (*reload)(void *context, uint64_t *ticket, const char **ret_error);
	/* Executes set, and drain of a real server, for real server number `real` of service number
	 * `service` of the configuration. 0, or refused and why. NULL: it can't be done. */
	int (*set)(void *context, size_t service, size_t real, enum health_setting setting,
		   uint32_t weight, const char **ret_error);
};

/* source is borrowed until the answer is freed. 0 or -ENOMEM. */
int control_answer_new(const struct control_source *source, const struct control_request *request,
		       struct now now, struct control_answer **ret_answer);
void control_answer_free(struct control_answer *answer);

enum control_progress {
	CONTROL_MORE, /* ask again, also when there were no bytes */
	CONTROL_WAIT, /* nothing before io_control_wake() */
	CONTROL_END,
};

/* The next bytes, at most cap. */
size_t control_answer_read(struct control_answer *answer, struct now now, char *data, size_t cap,
			   enum control_progress *ret_progress);

/* The single line of a refusal. Returns its length, at most cap. */
size_t control_answer_refuse(int error, char *data, size_t cap);

#endif
