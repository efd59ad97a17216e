#include "sync/kernel_wire.h"

#include <assert.h>
#include <errno.h>
#include <linux/ip_vs.h>

#include "sync/table/conn_state.h"

static_assert(ENTRY_FWD_MASK == IP_VS_CONN_F_FWD_MASK, "flag");
static_assert(ENTRY_INACTIVE == IP_VS_CONN_F_INACTIVE, "flag");
static_assert(ENTRY_NO_CPORT == IP_VS_CONN_F_NO_CPORT, "flag");
static_assert(ENTRY_TEMPLATE == IP_VS_CONN_F_TEMPLATE, "flag");
static_assert(ENTRY_SEQ_MASK == IP_VS_CONN_F_SEQ_MASK, "flag");
static_assert(ENTRY_ONE_PACKET == IP_VS_CONN_F_ONE_PACKET, "flag");
static_assert(ENTRY_PE_NAME_MAX == IP_VS_PENAME_MAXLEN - 1, "length");
static_assert(ENTRY_PE_DATA_MAX == IP_VS_PEDATA_MAXLEN, "length");

#define VERSION 1
#define TYPE_IPV6 0x01
#define SIZE_MASK 0x0fff
#define PARAM_OPTIONAL 0x40
#define SEQ_SIZE 24

enum { PARAM_SEQ = 1, PARAM_PE_DATA = 2, PARAM_PE_NAME = 3 };

/* Offsets of an entry's fields; both families agree up to the addresses. */
enum {
	AT_TYPE = 0,
	AT_PROTOCOL = 1,
	AT_VER_SIZE = 2,
	AT_FLAGS = 4,
	AT_STATE = 8,
	AT_CPORT = 10,
	AT_VPORT = 12,
	AT_DPORT = 14,
	AT_FWMARK = 16,
	AT_TIMEOUT = 20,
	AT_ADDRESSES = 24,
};

static_assert(AT_ADDRESSES + 3 * 4 == KERNEL_WIRE_V4, "size");
static_assert(AT_ADDRESSES + 3 * 16 == KERNEL_WIRE_V6, "size");

const char *kernel_wire_error_name(int error)
{
	static const char *const names[KERNEL_WIRE_E_MAX] = {
		[KERNEL_WIRE_E_HEADER] = "header",     [KERNEL_WIRE_E_VERSION] = "version",
		[KERNEL_WIRE_E_SYNCID] = "syncid",     [KERNEL_WIRE_E_COUNT] = "count",
		[KERNEL_WIRE_E_ENTRY] = "entry",       [KERNEL_WIRE_E_OPTION] = "option",
		[KERNEL_WIRE_E_PROTOCOL] = "protocol", [KERNEL_WIRE_E_STATE] = "state",
		[KERNEL_WIRE_E_FLAGS] = "flags",
	};

	return error > 0 && error < KERNEL_WIRE_E_MAX ? names[error] : "unknown";
}

/* 0, or what the kernel would refuse the entry for. A fwmark service's templates have protocol 0,
 * and for no template does the kernel look at the protocol. */
static int check_state(uint32_t flags, uint8_t protocol, uint16_t state)
{
	unsigned int states = conn_state_count(protocol, flags & ENTRY_TEMPLATE);

	if (states == 0)
		return KERNEL_WIRE_E_PROTOCOL;
	return state < states ? 0 : KERNEL_WIRE_E_STATE;
}

/* 0, or: kernels before 6.1.192 and 6.12.113 free a one-packet entry while it is hashed, hash a
 * template without a client's port where nothing finds it, and read sequence deltas that are not
 * there. */
static int check_flags(uint32_t flags, bool has_seq)
{
	if ((flags & ENTRY_ONE_PACKET) || ((flags & ENTRY_TEMPLATE) && (flags & ENTRY_NO_CPORT)) ||
	    ((flags & ENTRY_SEQ_MASK) && !has_seq))
		return KERNEL_WIRE_E_FLAGS;
	return 0;
}

int kernel_wire_read(struct kernel_wire_reader *reader, const uint8_t *data, size_t len,
		     uint8_t syncid)
{
	reader->at = reader->end = data;
	reader->left = 0;
	if (len < KERNEL_WIRE_HEADER || len > KERNEL_WIRE_MAX || load_be16(data + 2) != len)
		return KERNEL_WIRE_E_HEADER;
	if (data[5] != VERSION)
		return KERNEL_WIRE_E_VERSION;
	if (data[0] != 0 || load_be16(data + 6) != 0)
		return KERNEL_WIRE_E_HEADER;
	if (data[1] != syncid)
		return KERNEL_WIRE_E_SYNCID;
	if (data[4] == 0)
		return KERNEL_WIRE_E_COUNT;
	reader->at = data + KERNEL_WIRE_HEADER;
	reader->end = data + len;
	reader->left = data[4];
	return 0;
}

static struct entry_seq get_seq(const uint8_t *p)
{
	return (struct entry_seq){load_be32(p), load_be32(p + 4), load_be32(p + 8)};
}

static bool get_option(struct entry_options *options, uint8_t type, const uint8_t *p, uint8_t len)
{
	switch (type & ~PARAM_OPTIONAL) {
	case PARAM_SEQ:
		if (options->has_seq || len != SEQ_SIZE)
			return false;
		options->has_seq = true;
		options->in = get_seq(p);
		options->out = get_seq(p + SEQ_SIZE / 2);
		return true;
	case PARAM_PE_DATA:
		if (options->pe_data_len)
			return false;
		options->pe_data_len = len;
		memcpy(options->pe_data, p, len);
		return true;
	case PARAM_PE_NAME:
		if (options->pe_name_len || len > ENTRY_PE_NAME_MAX)
			return false;
		options->pe_name_len = len;
		memcpy(options->pe_name, p, len);
		return true;
	default:
		return type & PARAM_OPTIONAL;
	}
}

static bool get_options(struct entry_options *options, const uint8_t *p, const uint8_t *end)
{
	memset(options, 0, sizeof(*options));
	while (p < end) {
		if (end - p < 2 || p[1] == 0 || p[1] > end - p - 2)
			return false;
		if (!get_option(options, p[0], p + 2, p[1]))
			return false;
		p += 2 + p[1];
	}
	return true;
}

static void get_entry(struct entry *entry, const uint8_t *p)
{
	const uint8_t *addresses = p + AT_ADDRESSES;
	struct flow *flow = &entry->flow;

	memset(entry, 0, sizeof(*entry));
	flow->protocol = p[AT_PROTOCOL];
	flow->cport = load_be16(p + AT_CPORT);
	flow->vport = load_be16(p + AT_VPORT);
	entry->dport = load_be16(p + AT_DPORT);
	entry->state = load_be16(p + AT_STATE);
	entry->flags = load_be32(p + AT_FLAGS);
	entry->fwmark = load_be32(p + AT_FWMARK);
	entry->timeout = load_be32(p + AT_TIMEOUT);
	flow->template = (entry->flags & ENTRY_TEMPLATE) != 0;
	if (p[AT_TYPE] & TYPE_IPV6) {
		flow->family = AF_INET6;
		memcpy(flow->caddr, addresses, 16);
		memcpy(flow->vaddr, addresses + 16, 16);
		memcpy(entry->daddr, addresses + 32, 16);
	} else {
		flow->family = AF_INET;
		memcpy(flow->caddr, addresses, 4);
		memcpy(flow->vaddr, addresses + 4, 4);
		memcpy(entry->daddr, addresses + 8, 4);
	}
}

static int lose_rest(struct kernel_wire_reader *reader, int error)
{
	reader->at = reader->end;
	reader->left = 0;
	return -error;
}

int kernel_wire_next(struct kernel_wire_reader *reader, struct entry *ret_entry)
{
	size_t rest = (size_t)(reader->end - reader->at), fixed, size;
	const uint8_t *p = reader->at;
	uint16_t ver_size;
	int error;

	if (reader->left == 0)
		return rest == 0 ? 0 : lose_rest(reader, KERNEL_WIRE_E_COUNT);
	if (rest < KERNEL_WIRE_V4)
		return lose_rest(reader, KERNEL_WIRE_E_COUNT);
	ver_size = load_be16(p + AT_VER_SIZE);
	size = ver_size & SIZE_MASK;
	fixed = p[AT_TYPE] & TYPE_IPV6 ? KERNEL_WIRE_V6 : KERNEL_WIRE_V4;
	if (p[AT_TYPE] > TYPE_IPV6 || ver_size != size || size < fixed || size > rest)
		return lose_rest(reader, KERNEL_WIRE_E_ENTRY);

	/* Padding stands between entries, not behind the last. */
	reader->left--;
	reader->at += reader->left ? MIN((size + 3) & ~(size_t)3, rest) : size;

	error = check_state(load_be32(p + AT_FLAGS), p[AT_PROTOCOL], load_be16(p + AT_STATE));
	if (error)
		return -error;
	if (size > fixed && !get_options(&reader->options, p + fixed, p + size))
		return -KERNEL_WIRE_E_OPTION;
	error = check_flags(load_be32(p + AT_FLAGS), size > fixed && reader->options.has_seq);
	if (error)
		return -error;
	get_entry(ret_entry, p);
	if (size == fixed)
		return 1;
	ret_entry->options = &reader->options;
	/* Only templates are looked up by it (ip_vs_ct_in_get). */
	if (ret_entry->flow.template)
		ret_entry->flow.pe_digest =
			entry_pe_digest(reader->options.pe_data, reader->options.pe_data_len);
	return 1;
}

void kernel_wire_write(struct kernel_wire_writer *writer, uint8_t *data, size_t cap, uint8_t syncid)
{
	assert(cap >= KERNEL_WIRE_HEADER);
	memset(data, 0, KERNEL_WIRE_HEADER);
	data[1] = syncid;
	data[5] = VERSION;
	*writer = (struct kernel_wire_writer){
		.data = data,
		.len = KERNEL_WIRE_HEADER,
		.cap = MIN(cap, KERNEL_WIRE_MAX),
	};
}

static size_t options_size(const struct entry_options *options)
{
	size_t size = 0;

	if (options->has_seq)
		size += 2 + SEQ_SIZE;
	if (options->pe_data_len)
		size += 2u + options->pe_data_len;
	if (options->pe_name_len)
		size += 2u + options->pe_name_len;
	return size;
}

static uint8_t *put_option(uint8_t *p, uint8_t type, const void *data, uint8_t len)
{
	if (len == 0)
		return p;
	p[0] = type;
	p[1] = len;
	memcpy(p + 2, data, len);
	return p + 2 + len;
}

static void put_seq(uint8_t *p, const struct entry_seq *seq)
{
	store_be32(p, seq->init_seq);
	store_be32(p + 4, seq->delta);
	store_be32(p + 8, seq->previous_delta);
}

static void put_options(uint8_t *p, const struct entry_options *options)
{
	if (options->has_seq) {
		uint8_t seq[SEQ_SIZE];

		put_seq(seq, &options->in);
		put_seq(seq + SEQ_SIZE / 2, &options->out);
		p = put_option(p, PARAM_SEQ, seq, SEQ_SIZE);
	}
	p = put_option(p, PARAM_PE_DATA, options->pe_data, options->pe_data_len);
	put_option(p, PARAM_PE_NAME, options->pe_name, options->pe_name_len);
}

static void put_entry(uint8_t *p, const struct entry *entry, size_t size)
{
	const struct flow *flow = &entry->flow;

	p[AT_TYPE] = flow->family == AF_INET6 ? TYPE_IPV6 : 0;
	p[AT_PROTOCOL] = flow->protocol;
	store_be16(p + AT_VER_SIZE, (uint16_t)size);
	store_be32(p + AT_FLAGS, entry->flags);
	store_be16(p + AT_STATE, entry->state);
	store_be16(p + AT_CPORT, flow->cport);
	store_be16(p + AT_VPORT, flow->vport);
	store_be16(p + AT_DPORT, entry->dport);
	store_be32(p + AT_FWMARK, entry->fwmark);
	store_be32(p + AT_TIMEOUT, entry->timeout);
	p += AT_ADDRESSES;
	if (flow->family == AF_INET6) {
		memcpy(p, flow->caddr, 16);
		memcpy(p + 16, flow->vaddr, 16);
		memcpy(p + 32, entry->daddr, 16);
	} else {
		memcpy(p, flow->caddr, 4);
		memcpy(p + 4, flow->vaddr, 4);
		memcpy(p + 8, entry->daddr, 4);
	}
}

bool kernel_wire_valid(const struct entry *entry)
{
	const struct entry_options *options = entry->options;
	const struct flow *flow = &entry->flow;

	if (flow->family != AF_INET && flow->family != AF_INET6)
		return false;
	if (check_state(entry->flags, flow->protocol, entry->state) != 0)
		return false;
	if (flow->template != ((entry->flags & ENTRY_TEMPLATE) != 0))
		return false;
	if (check_flags(entry->flags, options && options->has_seq) != 0)
		return false;
	if (!options)
		return true;
	return options->pe_name_len <= ENTRY_PE_NAME_MAX &&
	       (options->pe_name_len || !options->pe_data_len);
}

int kernel_wire_add(struct kernel_wire_writer *writer, const struct entry *entry)
{
	size_t pad = -writer->len & 3, fixed, size;
	uint8_t *p = writer->data + writer->len;

	if (!kernel_wire_valid(entry))
		return -EINVAL;
	fixed = entry->flow.family == AF_INET6 ? KERNEL_WIRE_V6 : KERNEL_WIRE_V4;
	size = fixed + (entry->options ? options_size(entry->options) : 0);
	if (writer->count == KERNEL_WIRE_ENTRIES_MAX || pad + size > writer->cap - writer->len)
		return -ENOSPC;
	memset(p, 0, pad);
	put_entry(p + pad, entry, size);
	if (size > fixed)
		put_options(p + pad + fixed, entry->options);
	writer->len += pad + size;
	writer->count++;
	return 0;
}

size_t kernel_wire_finish(struct kernel_wire_writer *writer)
{
	if (writer->count == 0)
		return 0;
	store_be16(writer->data + 2, (uint16_t)writer->len);
	writer->data[4] = (uint8_t)writer->count;
	return writer->len;
}
