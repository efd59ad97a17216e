/* The kernel's sync message, version 1 (net/netfilter/ipvs/ip_vs_sync.c: struct ip_vs_sync_mesg,
 * union ip_vs_sync_conn), as memory: decoding borrows, encoding writes into the caller's buffer,
 * nothing is allocated and nothing is done with a socket. */
#ifndef SYNC_KERNEL_WIRE_H
#define SYNC_KERNEL_WIRE_H

#include "sync/table/entry.h"

#define KERNEL_WIRE_HEADER 8
#define KERNEL_WIRE_V4 36
#define KERNEL_WIRE_V6 72
/* nr_conns is one byte (and the kernel's own counter wraps above it). */
#define KERNEL_WIRE_ENTRIES_MAX 255
/* Largest payload that we make or take. */
#define KERNEL_WIRE_MAX 65000

/* Why a message, or one entry of it, was refused. */
enum kernel_wire_error {
	KERNEL_WIRE_E_HEADER = 1, /* shorter than the header, reserved not zero, or size lies */
	KERNEL_WIRE_E_VERSION,
	KERNEL_WIRE_E_SYNCID,
	KERNEL_WIRE_E_COUNT,    /* nr_conns and the bytes do not agree: the rest is lost */
	KERNEL_WIRE_E_ENTRY,    /* truncated, bad type, length or version: the rest is lost */
	KERNEL_WIRE_E_OPTION,   /* truncated, repeated, wrong length, unknown and mandatory */
	KERNEL_WIRE_E_PROTOCOL, /* not one that IPVS synchronises */
	KERNEL_WIRE_E_STATE,    /* a state that the protocol does not have */
	KERNEL_WIRE_E_FLAGS, /* a one-packet entry, a template without a client's port, or sequence
				flags without the option: each corrupts some kernel that takes it */
	KERNEL_WIRE_E_MAX,
};

const char *kernel_wire_error_name(int error); /* "header", "version", ... */

struct kernel_wire_reader {
	const uint8_t *at, *end;
	unsigned int left;
	struct entry_options options; /* of the entry last given out */
};

/* data must outlive the reader. syncid: the one our threads were started with.
 * 0, or KERNEL_WIRE_E_* and there is nothing to read. */
int kernel_wire_read(struct kernel_wire_reader *reader, const uint8_t *data, size_t len,
		     uint8_t syncid);

/* The next entry: 1; at the end: 0; -KERNEL_WIRE_E_* when an entry is refused, and the next call
 * gives the one after it, or 0 where the rest can't be told apart any more. Entries given out are
 * good by themselves. ret_entry->options is NULL or points into the reader, until the next call.
 *	while ((r = kernel_wire_next(&reader, &entry)) != 0)
 *		r > 0 ? take(&entry) : refused[-r]++;
 */
int kernel_wire_next(struct kernel_wire_reader *reader, struct entry *ret_entry);

struct kernel_wire_writer {
	uint8_t *data;
	size_t len, cap;
	unsigned int count;
};

/* data: cap bytes, at least KERNEL_WIRE_HEADER, borrowed until the last call. At most
 * KERNEL_WIRE_MAX bytes of cap are used. */
void kernel_wire_write(struct kernel_wire_writer *writer, uint8_t *data, size_t cap,
		       uint8_t syncid);

/* Whether the kernel would take the entry for what it is: see kernel_wire_add(). */
bool kernel_wire_valid(const struct entry *entry);

/* 0; -ENOSPC when the entry does not fit any more (255 entries, or cap): finish, start the next.
 * -EINVAL: the kernel would refuse it, or take it for something else (family, protocol, state,
 * template flag, persistence-engine data without its engine): count it and leave it out.
 * A timeout of 0 makes the kernel take its own for the state. */
int kernel_wire_add(struct kernel_wire_writer *writer, const struct entry *entry);

/* Fills in the header; returns the payload's length, 0 when there is no entry in it. */
size_t kernel_wire_finish(struct kernel_wire_writer *writer);

#endif
