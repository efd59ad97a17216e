#include "director/checker/dns_message.h"

#include <ares.h>

#define HEADER 12
#define CLASS_IN 1
#define FLAGS 2 /* where: QR, opcode, AA, TC, RD; then RA, rcode */
#define QR 0x80
#define OPCODE 0x78
#define TC 0x02
#define RCODE 0x0f
#define QUESTIONS 4 /* where their number is */

int dns_message_query(const char *name, uint16_t qtype, uint16_t id, uint8_t query[DNS_QUERY_MAX])
{
	unsigned char *made = NULL;
	int len = 0, r = ares_create_query(name, CLASS_IN, qtype, id, 1, &made, &len, 0);

	if (r == ARES_SUCCESS && len > HEADER && len <= DNS_QUERY_MAX)
		memcpy(query, made, (size_t)len);
	else
		len = -EINVAL;
	ares_free_string(made);
	return len;
}

static uint8_t lower(uint8_t byte)
{
	return byte >= 'A' && byte <= 'Z' ? (uint8_t)(byte + 'a' - 'A') : byte;
}

/* The question of the query, letters in any case. Lengths of labels are below 64, so they are no
 * letters. */
static bool question_same(const uint8_t *query, size_t query_len, const uint8_t *data, size_t len)
{
	if (len < query_len)
		return false;
	for (size_t i = HEADER; i < query_len; i++)
		if (lower(query[i]) != lower(data[i]))
			return false;
	return true;
}

int dns_message_answer(const uint8_t *query, size_t query_len, const uint8_t *data, size_t len)
{
	unsigned int questions;
	int rcode;

	if (len < HEADER || memcmp(query, data, FLAGS) != 0)
		return DNS_ANSWER_OTHER;
	if (!(data[FLAGS] & QR) || data[FLAGS] & OPCODE)
		return DNS_ANSWER_OTHER;
	questions = load_be16(data + QUESTIONS);
	rcode = data[FLAGS + 1] & RCODE;
	/* a server that refuses may leave the question out */
	if (!(questions == 1 && question_same(query, query_len, data, len)) &&
	    !(questions == 0 && rcode != 0))
		return DNS_ANSWER_OTHER;
	return data[FLAGS] & TC ? DNS_ANSWER_CUT : rcode;
}

const char *dns_message_rcode(int rcode)
{
	static const char *const names[] = {
		"NOERROR",  "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP",  "REFUSED",
		"YXDOMAIN", "YXRRSET", "NXRRSET",  "NOTAUTH",  "NOTZONE",
	};

	return rcode >= 0 && (size_t)rcode < ARRAY_SIZE(names) ? names[rcode] : "another rcode";
}
