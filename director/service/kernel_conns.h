/* The text of /proc/net/ip_vs_conn as entries (net/netfilter/ipvs/ip_vs_conn.c,
 * ip_vs_conn_seq_show()). Memory only: the caller reads the file.
 *
 * The text does not say: the forwarding method and the fwmark (kernel_conns_complete() finds them
 * in the services), whether an entry is ours or synced, and the whole timeout of its state: timeout
 * is the rest of it. */
#ifndef DIRECTOR_SERVICE_KERNEL_CONNS_H
#define DIRECTOR_SERVICE_KERNEL_CONNS_H

#include "director/service/service.h"
#include "sync/table/entry.h"

/* Why a line was left out. */
enum kernel_conns_error {
	KERNEL_CONNS_E_LINE = 1, /* not a line of that file */
	KERNEL_CONNS_E_PROTOCOL, /* neither TCP, UDP, SCTP nor a template of a fwmark */
	KERNEL_CONNS_E_STATE,    /* a state that the protocol does not have */
	KERNEL_CONNS_E_FAMILY,   /* the real server's family differs: such a flow can't be synced */
	KERNEL_CONNS_E_SERVICE,  /* of no service, or of no real server of it */
	KERNEL_CONNS_E_MAX,
};

const char *kernel_conns_error_name(int error); /* "line", "protocol", ... */

#define KERNEL_CONNS_LINE_MAX 512

struct kernel_conns_reader {
	const char *at, *end;
	bool started;  /* the heading has been seen */
	bool overlong; /* inside a line that did not fit */
	size_t len;
	char line[KERNEL_CONNS_LINE_MAX];
	struct entry_options options; /* of the entry last given out */
};

void kernel_conns_init(struct kernel_conns_reader *reader);

/* The file's next bytes, in pieces of any size: borrowed until kernel_conns_next() returns 0. */
void kernel_conns_feed(struct kernel_conns_reader *reader, const char *data, size_t len);

/* The next entry: 1; 0: more bytes are wanted; -KERNEL_CONNS_E_*: a line was left out, go on.
 * ret_entry->options is NULL or points into the reader, valid until the next call. */
int kernel_conns_next(struct kernel_conns_reader *reader, struct entry *ret_entry);

/* The real server, and its service, of an entry; NULL: of none. services: the kernel's, sorted. */
const struct real_server *kernel_conns_real(const struct service_set *services,
					    const struct entry *entry,
					    const struct service **ret_service);

/* The service by which the kernel would schedule a connection; NULL: none. services: the kernel's,
 * sorted. */
const struct service *kernel_conns_service(const struct service_set *services,
					   const struct entry *entry);

/* Completes an entry from its service. services: the kernel's, sorted. 0, or
 * -KERNEL_CONNS_E_SERVICE and nothing is changed. */
int kernel_conns_complete(const struct service_set *services, struct entry *entry);

#endif
