/* A DNS query, and whether a message answers it. Memory only. */
#ifndef DIRECTOR_CHECKER_DNS_MESSAGE_H
#define DIRECTOR_CHECKER_DNS_MESSAGE_H

#include "proto/base.h"

#define DNS_QUERY_MAX 280 /* a header, a name of 255 bytes, type and class */

/* Writes the query for the name, recursion desired, without EDNS: servers that do not know it
 * answer too. Its length; or -EINVAL: not a name. */
int dns_message_query(const char *name, uint16_t qtype, uint16_t id, uint8_t query[DNS_QUERY_MAX]);

enum dns_answer {
	DNS_ANSWER_OTHER = -1, /* no answer to this query: too short, another id or question */
	DNS_ANSWER_CUT = -2,   /* cut: to be asked again by TCP */
};

/* The answer's rcode, 0 to 15, or an enum dns_answer. */
int dns_message_answer(const uint8_t *query, size_t query_len, const uint8_t *data, size_t len);

/* "NXDOMAIN"; never NULL. */
const char *dns_message_rcode(int rcode);

#endif
