/* A batch of entries as columns (proto/sync.proto, message Batch): what replication sends. Building
 * and reading allocate nothing per entry; signing is the caller's. */
#ifndef SYNC_BATCH_H
#define SYNC_BATCH_H

#include "sync/table/table.h"

#define BATCH_ENTRIES_MAX 4096 /* of one family */
/* No packed batch is longer. */
#define BATCH_MAX (160 * 1024)

/* Collects entries. */
struct batch;

int batch_new(struct batch **ret_batch); /* 0, -ENOMEM */
void batch_free(struct batch *batch);

/* Empties it. */
void batch_clear(struct batch *batch);

/* False: it does not fit any more; pack, clear, add again. The entry is copied. age: s since its
 * origin's kernel reported it. */
bool batch_add(struct batch *batch, const struct entry *entry, struct table_version version,
	       uint32_t age);
unsigned int batch_count(const struct batch *batch);

struct batch_head {
	uint64_t first, last; /* positions: first exclusive */
	bool wanted, wanted_end;
};

/* Writes to data, at least BATCH_MAX bytes; returns the length. */
size_t batch_pack(struct batch *batch, const struct batch_head *head, uint8_t *data);

/* Reads one. */
struct batch_reader;

int batch_reader_new(struct batch_reader **ret_reader); /* 0, -ENOMEM */
void batch_reader_free(struct batch_reader *reader);

/* data is borrowed until the last batch_next(). 0, or -EINVAL: it does not decode, the columns do
 * not agree, or a count is beyond its limit; nothing of it may be used. */
int batch_read(struct batch_reader *reader, const uint8_t *data, size_t len,
	       struct batch_head *ret_head);

/* The next entry; false: the end. It decodes, no more: kernel_wire_valid() judges whether a kernel
 * would take it. ret_entry->options is valid until the next call. */
bool batch_next(struct batch_reader *reader, struct entry *ret_entry,
		struct table_version *ret_version, uint32_t *ret_age);

/* The highest version in the batch that was read last, 0 when it is empty. */
uint64_t batch_hlc_max(const struct batch_reader *reader);

#endif
