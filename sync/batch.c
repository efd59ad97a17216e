/* Entries as columns: makes and reads a Batch. */
#include "sync/batch.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "proto/arena.h"
#include "proto/sync.pb-c.h"

/* The columns, in the order of the message's fields. */
enum column {
	COLUMN_CADDR,
	COLUMN_VADDR,
	COLUMN_DADDR,
	COLUMN_CPORT,
	COLUMN_VPORT,
	COLUMN_DPORT,
	COLUMN_PROTOCOL,
	COLUMN_STATE,
	COLUMN_FLAGS,
	COLUMN_FWMARK,
	COLUMN_TIMEOUT,
	COLUMN_AGE,
	COLUMN_ORIGIN,
	COLUMN_ABOVE, /* either this */
	COLUMN_HLC,   /* or this */
	COLUMNS,
};

static const uint8_t column_size[2][COLUMNS] = {
	{4, 4, 4, 2, 2, 2, 1, 1, 4, 4, 4, 4, 2, 4, 8},
	{16, 16, 16, 2, 2, 2, 1, 1, 4, 4, 4, 4, 2, 4, 8},
};

/* Bytes of one entry in all columns, and of an entry with the longest options. */
#define ENTRY_SIZE_V4 50u
#define ENTRY_SIZE_V6 86u
#define OPTIONS_SIZE (ENTRY_PE_DATA_MAX + ENTRY_PE_NAME_MAX + 24 + 32)
/* Head, origins and field tags. */
#define HEAD_SIZE 1024
#define ORIGINS_MAX 64
#define OPTIONS_MAX 256

static ProtobufCBinaryData *message_column(Lvsmesh__Pb__Columns *message, enum column column)
{
	ProtobufCBinaryData *const fields[COLUMNS] = {
		&message->caddr,  &message->vaddr,  &message->daddr,    &message->cport,
		&message->vport,  &message->dport,  &message->protocol, &message->state,
		&message->flags,  &message->fwmark, &message->timeout,  &message->age,
		&message->origin, &message->above,  &message->hlc,
	};

	return fields[column];
}

/* Building */

struct family {
	unsigned int count;
	uint8_t *column[COLUMNS];
	bool varies[COLUMNS];
};

struct batch {
	struct family family[2];
	size_t size; /* an upper bound of the packed length */
	uint64_t hlc_min, hlc_max;
	unsigned int origins_len, options_len;
	uint64_t origins[ORIGINS_MAX];
	Lvsmesh__Pb__Options options[OPTIONS_MAX];
	Lvsmesh__Pb__Options *option_list[OPTIONS_MAX]; /* while packing */
	struct {
		uint8_t sequence[24];
		struct entry_options copy;
	} option_data[OPTIONS_MAX];
};

int batch_new(struct batch **ret_batch)
{
	struct batch *batch = calloc(1, sizeof(*batch));

	if (!batch)
		return -ENOMEM;
	for (int f = 0; f < 2; f++) {
		for (int c = 0; c < COLUMNS; c++) {
			batch->family[f].column[c] = malloc(BATCH_ENTRIES_MAX * column_size[f][c]);
			if (!batch->family[f].column[c]) {
				batch_free(batch);
				return -ENOMEM;
			}
		}
	}
	batch_clear(batch);
	*ret_batch = batch;
	return 0;
}

void batch_free(struct batch *batch)
{
	if (!batch)
		return;
	for (int f = 0; f < 2; f++) {
		for (int c = 0; c < COLUMNS; c++)
			free(batch->family[f].column[c]);
	}
	free(batch);
}

void batch_clear(struct batch *batch)
{
	for (int f = 0; f < 2; f++) {
		batch->family[f].count = 0;
		memset(batch->family[f].varies, 0, sizeof(batch->family[f].varies));
	}
	batch->size = HEAD_SIZE;
	batch->hlc_min = UINT64_MAX;
	batch->hlc_max = 0;
	batch->origins_len = batch->options_len = 0;
}

unsigned int batch_count(const struct batch *batch)
{
	return batch->family[0].count + batch->family[1].count;
}

/* These two are inlined where the size is known, so that a column costs a few instructions. */
static inline void column_put(struct family *family, enum column column, const void *value,
			      size_t size)
{
	uint8_t *data = family->column[column];

	memcpy(data + family->count * size, value, size);
	if (size == 16) /* a memcmp() of that is not inlined */
		family->varies[column] |=
			load_le64(data) != load_le64(value) ||
			load_le64(data + 8) != load_le64((const uint8_t *)value + 8);
	else
		family->varies[column] |= memcmp(data, value, size) != 0;
}

static inline void family_put(struct family *family, const struct entry *entry, uint64_t hlc,
			      uint32_t age, uint16_t origin, size_t address_size)
{
	uint8_t state = (uint8_t)entry->state;

	column_put(family, COLUMN_CADDR, entry->flow.caddr, address_size);
	column_put(family, COLUMN_VADDR, entry->flow.vaddr, address_size);
	column_put(family, COLUMN_DADDR, entry->daddr, address_size);
	column_put(family, COLUMN_CPORT, &entry->flow.cport, 2);
	column_put(family, COLUMN_VPORT, &entry->flow.vport, 2);
	column_put(family, COLUMN_DPORT, &entry->dport, 2);
	column_put(family, COLUMN_PROTOCOL, &entry->flow.protocol, 1);
	column_put(family, COLUMN_STATE, &state, 1);
	column_put(family, COLUMN_FLAGS, &entry->flags, 4);
	column_put(family, COLUMN_FWMARK, &entry->fwmark, 4);
	column_put(family, COLUMN_TIMEOUT, &entry->timeout, 4);
	column_put(family, COLUMN_AGE, &age, 4);
	column_put(family, COLUMN_ORIGIN, &origin, 2);
	column_put(family, COLUMN_HLC, &hlc, 8);
	family->varies[COLUMN_ABOVE] = family->varies[COLUMN_HLC];
}

static void seq_store(uint8_t *data, const struct entry_seq *seq)
{
	store_le32(data, seq->init_seq);
	store_le32(data + 4, seq->delta);
	store_le32(data + 8, seq->previous_delta);
}

static void option_put(struct batch *batch, bool v6, uint32_t index,
		       const struct entry_options *options)
{
	unsigned int i = batch->options_len++;
	Lvsmesh__Pb__Options *message = &batch->options[i];
	struct entry_options *copy = &batch->option_data[i].copy;

	*copy = *options;
	lvsmesh__pb__options__init(message);
	message->index = index;
	message->v6 = v6;
	if (copy->has_seq) {
		message->sequence.data = batch->option_data[i].sequence;
		message->sequence.len = 24;
		seq_store(message->sequence.data, &copy->in);
		seq_store(message->sequence.data + 12, &copy->out);
	}
	message->pe_name.data = (uint8_t *)copy->pe_name;
	message->pe_name.len = copy->pe_name_len;
	message->pe_data.data = copy->pe_data;
	message->pe_data.len = copy->pe_data_len;
}

static bool batch_origin(struct batch *batch, uint64_t origin, uint16_t *ret_index)
{
	uint16_t i = 0;

	while (i < batch->origins_len && batch->origins[i] != origin)
		i++;
	if (i == ORIGINS_MAX)
		return false;
	*ret_index = i;
	return true;
}

bool batch_add(struct batch *batch, const struct entry *entry, struct table_version version,
	       uint32_t age)
{
	bool v6 = entry->flow.family == AF_INET6;
	struct family *family = &batch->family[v6];
	size_t size = (v6 ? ENTRY_SIZE_V6 : ENTRY_SIZE_V4) + (entry->options ? OPTIONS_SIZE : 0u);
	uint16_t origin;

	if (batch->size + size > BATCH_MAX || family->count == BATCH_ENTRIES_MAX ||
	    (entry->options && batch->options_len == OPTIONS_MAX) ||
	    !batch_origin(batch, version.origin, &origin))
		return false;
	if (origin == batch->origins_len)
		batch->origins[batch->origins_len++] = version.origin;
	if (v6)
		family_put(family, entry, version.hlc, age, origin, 16);
	else
		family_put(family, entry, version.hlc, age, origin, 4);
	if (entry->options)
		option_put(batch, v6, family->count, entry->options);
	family->count++;
	batch->size += size;
	batch->hlc_min = MIN(batch->hlc_min, version.hlc);
	batch->hlc_max = MAX(batch->hlc_max, version.hlc);
	return true;
}

static void family_message(const struct batch *batch, bool v6, Lvsmesh__Pb__Columns *ret_message)
{
	const struct family *family = &batch->family[v6];
	bool close = batch->hlc_max - batch->hlc_min <= UINT32_MAX;

	lvsmesh__pb__columns__init(ret_message);
	ret_message->count = family->count;
	for (unsigned int i = 0; close && i < family->count; i++)
		store_le32(
			family->column[COLUMN_ABOVE] + i * 4,
			(uint32_t)(load_le64(family->column[COLUMN_HLC] + i * 8) - batch->hlc_min));
	for (enum column c = 0; c < COLUMNS; c++) {
		ProtobufCBinaryData *field = message_column(ret_message, c);

		if (c == (close ? COLUMN_HLC : COLUMN_ABOVE))
			continue;
		field->data = family->column[c];
		field->len = (size_t)column_size[v6][c] * (family->varies[c] ? family->count : 1);
	}
}

/* IPv4's first; each family's are in order already. */
static void options_list(struct batch *batch)
{
	size_t n = 0;

	for (int v6 = 0; v6 < 2; v6++) {
		for (unsigned int i = 0; i < batch->options_len; i++) {
			if (batch->options[i].v6 == v6)
				batch->option_list[n++] = &batch->options[i];
		}
	}
}

size_t batch_pack(struct batch *batch, const struct batch_head *head, uint8_t *data)
{
	Lvsmesh__Pb__Batch message = LVSMESH__PB__BATCH__INIT;
	Lvsmesh__Pb__Columns v4, v6;

	message.first = head->first;
	message.last = head->last;
	message.wanted = head->wanted;
	message.wanted_end = head->wanted_end;
	message.hlc = batch_count(batch) ? batch->hlc_min : 0;
	message.n_origins = batch->origins_len;
	message.origins = batch->origins;
	assert(batch->size <= BATCH_MAX);
	options_list(batch);
	message.n_options = batch->options_len;
	message.options = batch->option_list;
	if (batch->family[0].count) {
		family_message(batch, false, &v4);
		message.v4 = &v4;
	}
	if (batch->family[1].count) {
		family_message(batch, true, &v6);
		message.v6 = &v6;
	}
	return lvsmesh__pb__batch__pack(&message, data);
}

/* Reading */

struct columns {
	unsigned int count;
	const uint8_t *data[COLUMNS];
	uint8_t step[COLUMNS]; /* 0: one value for all */
};

struct batch_reader {
	struct columns family[2];
	const Lvsmesh__Pb__Batch *message;
	unsigned int v6, at, option; /* the next to be read */
	uint64_t hlc_max;
	struct entry_options options;
	/* The decoder copies what it reads: a batch's bytes, and its structs. */
	_Alignas(16) uint8_t arena[BATCH_MAX + OPTIONS_MAX * 160 + 4096];
};

int batch_reader_new(struct batch_reader **ret_reader)
{
	struct batch_reader *reader = malloc(sizeof(*reader));

	if (!reader)
		return -ENOMEM;
	*ret_reader = reader;
	return 0;
}

void batch_reader_free(struct batch_reader *reader)
{
	free(reader);
}

static bool columns_read(struct columns *columns, Lvsmesh__Pb__Columns *message, bool v6)
{
	*columns = (struct columns){0};
	if (!message)
		return true;
	if (message->count == 0 || message->count > BATCH_ENTRIES_MAX ||
	    (message->above.len == 0) == (message->hlc.len == 0))
		return false;
	columns->count = message->count;
	for (enum column c = 0; c < COLUMNS; c++) {
		const ProtobufCBinaryData *field = message_column(message, c);
		size_t size = column_size[v6][c];

		if (field->len == 0 && (c == COLUMN_ABOVE || c == COLUMN_HLC))
			continue;
		if (field->len != size && field->len != size * message->count)
			return false;
		columns->data[c] = field->data;
		columns->step[c] = field->len == size ? 0 : (uint8_t)size;
	}
	return true;
}

static bool options_good(const Lvsmesh__Pb__Batch *message, const struct columns family[2])
{
	int64_t before = -1;

	for (size_t i = 0; i < message->n_options; i++) {
		const Lvsmesh__Pb__Options *option = message->options[i];
		int64_t place = ((int64_t) !!option->v6 << 32) + option->index;

		if (place <= before || option->index >= family[!!option->v6].count ||
		    (option->sequence.len != 0 && option->sequence.len != 24) ||
		    option->pe_name.len > ENTRY_PE_NAME_MAX ||
		    option->pe_data.len > ENTRY_PE_DATA_MAX)
			return false;
		before = place;
	}
	return true;
}

static const uint8_t *column_at(const struct columns *columns, enum column column, unsigned int i)
{
	return columns->data[column] + (size_t)i * columns->step[column];
}

static uint64_t columns_hlc(const struct batch_reader *reader, const struct columns *columns,
			    unsigned int i)
{
	if (columns->data[COLUMN_ABOVE])
		return reader->message->hlc + load_le32(column_at(columns, COLUMN_ABOVE, i));
	return load_le64(column_at(columns, COLUMN_HLC, i));
}

/* Origins are in the list, and versions do not wrap; notes the highest. */
static bool versions_good(struct batch_reader *reader, const struct columns *columns)
{
	for (unsigned int i = 0; i < columns->count; i++) {
		uint64_t hlc = columns_hlc(reader, columns, i);

		if (load_le16(column_at(columns, COLUMN_ORIGIN, i)) >= reader->message->n_origins ||
		    (columns->data[COLUMN_ABOVE] && hlc < reader->message->hlc))
			return false;
		reader->hlc_max = MAX(reader->hlc_max, hlc);
	}
	return true;
}

int batch_read(struct batch_reader *reader, const uint8_t *data, size_t len,
	       struct batch_head *ret_head)
{
	Lvsmesh__Pb__Batch *message;
	struct arena arena;

	arena_init(&arena, reader->arena, sizeof(reader->arena));
	message = lvsmesh__pb__batch__unpack(&arena.allocator, len, data);
	if (!message)
		return -EINVAL;
	reader->message = message;
	reader->v6 = reader->at = reader->option = 0;
	reader->hlc_max = 0;
	if (!columns_read(&reader->family[0], message->v4, false) ||
	    !columns_read(&reader->family[1], message->v6, true) ||
	    !options_good(message, reader->family) || !versions_good(reader, &reader->family[0]) ||
	    !versions_good(reader, &reader->family[1]))
		return -EINVAL;
	*ret_head = (struct batch_head){
		.first = message->first,
		.last = message->last,
		.wanted = message->wanted,
		.wanted_end = message->wanted_end,
	};
	return 0;
}

uint64_t batch_hlc_max(const struct batch_reader *reader)
{
	return reader->hlc_max;
}

static void seq_load(const uint8_t *data, struct entry_seq *ret_seq)
{
	ret_seq->init_seq = load_le32(data);
	ret_seq->delta = load_le32(data + 4);
	ret_seq->previous_delta = load_le32(data + 8);
}

/* The options of the entry that is next; NULL: it has none. */
static const struct entry_options *option_take(struct batch_reader *reader)
{
	const Lvsmesh__Pb__Batch *message = reader->message;
	struct entry_options *options = &reader->options;
	const Lvsmesh__Pb__Options *option;

	if (reader->option == message->n_options)
		return NULL;
	option = message->options[reader->option];
	if (option->index != reader->at || (unsigned int)!!option->v6 != reader->v6)
		return NULL;
	reader->option++;
	memset(options, 0, sizeof(*options));
	if (option->sequence.len) {
		options->has_seq = true;
		seq_load(option->sequence.data, &options->in);
		seq_load(option->sequence.data + 12, &options->out);
	}
	options->pe_name_len = (uint8_t)option->pe_name.len;
	options->pe_data_len = (uint8_t)option->pe_data.len;
	if (option->pe_name.len)
		memcpy(options->pe_name, option->pe_name.data, option->pe_name.len);
	if (option->pe_data.len)
		memcpy(options->pe_data, option->pe_data.data, option->pe_data.len);
	return options;
}

/* Inlined where the size is known, as family_put(). */
static inline void family_get(const struct columns *columns, unsigned int i,
			      struct entry *ret_entry, size_t address_size)
{
	memset(ret_entry, 0, sizeof(*ret_entry));
	memcpy(ret_entry->flow.caddr, column_at(columns, COLUMN_CADDR, i), address_size);
	memcpy(ret_entry->flow.vaddr, column_at(columns, COLUMN_VADDR, i), address_size);
	memcpy(ret_entry->daddr, column_at(columns, COLUMN_DADDR, i), address_size);
	ret_entry->flow.cport = load_le16(column_at(columns, COLUMN_CPORT, i));
	ret_entry->flow.vport = load_le16(column_at(columns, COLUMN_VPORT, i));
	ret_entry->dport = load_le16(column_at(columns, COLUMN_DPORT, i));
	ret_entry->flow.protocol = *column_at(columns, COLUMN_PROTOCOL, i);
	ret_entry->state = *column_at(columns, COLUMN_STATE, i);
	ret_entry->flags = load_le32(column_at(columns, COLUMN_FLAGS, i));
	ret_entry->fwmark = load_le32(column_at(columns, COLUMN_FWMARK, i));
	ret_entry->timeout = load_le32(column_at(columns, COLUMN_TIMEOUT, i));
}

bool batch_next(struct batch_reader *reader, struct entry *ret_entry,
		struct table_version *ret_version, uint32_t *ret_age)
{
	const struct columns *columns = &reader->family[reader->v6];
	unsigned int i;

	while (reader->at == columns->count) {
		if (reader->v6)
			return false;
		reader->v6 = 1;
		reader->at = 0;
		columns = &reader->family[1];
	}
	i = reader->at;
	if (reader->v6)
		family_get(columns, i, ret_entry, 16);
	else
		family_get(columns, i, ret_entry, 4);
	ret_entry->flow.family = reader->v6 ? AF_INET6 : AF_INET;
	ret_entry->flow.template = !!(ret_entry->flags & ENTRY_TEMPLATE);
	ret_entry->options = option_take(reader);
	if (ret_entry->options && ret_entry->flow.template)
		ret_entry->flow.pe_digest = entry_pe_digest(ret_entry->options->pe_data,
							    ret_entry->options->pe_data_len);
	ret_version->hlc = columns_hlc(reader, columns, i);
	ret_version->origin =
		reader->message->origins[load_le16(column_at(columns, COLUMN_ORIGIN, i))];
	*ret_age = load_le32(column_at(columns, COLUMN_AGE, i));
	reader->at++;
	return true;
}
