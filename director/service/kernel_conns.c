#include "director/service/kernel_conns.h"

#include "sync/table/conn_state.h"

const char *kernel_conns_error_name(int error)
{
	static const char *const names[KERNEL_CONNS_E_MAX] = {
		[KERNEL_CONNS_E_LINE] = "line",       [KERNEL_CONNS_E_PROTOCOL] = "protocol",
		[KERNEL_CONNS_E_STATE] = "state",     [KERNEL_CONNS_E_FAMILY] = "family",
		[KERNEL_CONNS_E_SERVICE] = "service",
	};

	return error > 0 && error < KERNEL_CONNS_E_MAX ? names[error] : "?";
}

/* A word of the line; text is not ended by NUL. */
struct word {
	const char *text;
	size_t len;
};

static bool word_next(const char **at, const char *end, struct word *ret_word)
{
	while (*at < end && **at == ' ')
		(*at)++;
	ret_word->text = *at;
	while (*at < end && **at != ' ')
		(*at)++;
	ret_word->len = (size_t)(*at - ret_word->text);
	return ret_word->len > 0;
}

static bool word_is(const struct word *word, const char *text)
{
	return strlen(text) == word->len && memcmp(text, word->text, word->len) == 0;
}

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static bool word_number(const struct word *word, unsigned int base, uint32_t *ret_number)
{
	uint64_t number = 0;

	for (size_t i = 0; i < word->len; i++) {
		int d = digit(word->text[i]);

		if (d < 0 || (unsigned int)d >= base)
			return false;
		number = number * base + (unsigned int)d;
		if (number > UINT32_MAX)
			return false;
	}
	*ret_number = (uint32_t)number;
	return word->len > 0;
}

/* "0A000001", or eight groups of four digits. Returns the family, 0: neither. */
static uint8_t word_address(const struct word *word, uint8_t *ret_bytes)
{
	char text[ENDPOINT_TEXT];
	struct ip_addr ip;
	uint32_t v4;

	memset(ret_bytes, 0, 16);
	if (word->len == 8 && word_number(word, 16, &v4)) {
		store_be32(ret_bytes, v4);
		return AF_INET;
	}
	if (word->len >= sizeof(text))
		return 0;
	memcpy(text, word->text, word->len);
	text[word->len] = '\0';
	if (ip_addr_parse(text, &ip) < 0 || ip.family != AF_INET6)
		return 0;
	memcpy(ret_bytes, ip.bytes, 16);
	return AF_INET6;
}

static bool word_port(const struct word *word, uint16_t *ret_port)
{
	uint32_t port;

	if (word->len != 4 || !word_number(word, 16, &port))
		return false;
	*ret_port = (uint16_t)port;
	return true;
}

/* Templates are recognised by their state: "ASSURED" is theirs alone, and only they are in state
 * "NONE" without a client port. */
static int entry_set_state(struct entry *entry, const struct word *word)
{
	uint8_t protocol = entry->flow.protocol;
	int state;

	if (word_is(word, "ASSURED") ||
	    (word_is(word, "NONE") &&
	     (entry->flow.cport == 0 || conn_state_count(protocol, false) == 0))) {
		entry->flow.template = 1;
		entry->flags |= ENTRY_TEMPLATE;
	}
	state = conn_state_parse(protocol, entry->flow.template, word->text, word->len);
	if (state < 0)
		return -KERNEL_CONNS_E_STATE;
	entry->state = (uint16_t)state;
	if (!conn_state_is_active(protocol, entry->flow.template, entry->state))
		entry->flags |= ENTRY_INACTIVE;
	/* the FTP helper's, that waits for the client's data connection */
	if (entry->flow.cport == 0 && protocol == IPPROTO_TCP && !entry->flow.template &&
	    state == CONN_STATE_TCP_LISTEN)
		entry->flags |= ENTRY_NO_CPORT;
	return 0;
}

/* " NAME DATA": data may be anything, spaces included. */
static int options_parse(struct entry *entry, struct entry_options *options, const char *at,
			 const char *end)
{
	struct word name;

	if (!word_next(&at, end, &name))
		return 0;
	if (name.len > ENTRY_PE_NAME_MAX || at == end || end - at - 1 > ENTRY_PE_DATA_MAX)
		return -KERNEL_CONNS_E_LINE;
	at++;
	memset(options, 0, sizeof(*options));
	memcpy(options->pe_name, name.text, name.len);
	options->pe_name_len = (uint8_t)name.len;
	options->pe_data_len = (uint8_t)(end - at);
	memcpy(options->pe_data, at, options->pe_data_len);
	if (options->pe_data_len == 0)
		return -KERNEL_CONNS_E_LINE;
	entry->flow.pe_digest = entry_pe_digest(options->pe_data, options->pe_data_len);
	entry->options = options;
	return 0;
}

static int line_parse(const char *at, const char *end, struct entry *entry,
		      struct entry_options *options)
{
	struct flow *flow = &entry->flow;
	struct word word[9];
	int protocol;
	uint8_t vfamily, dfamily;

	memset(entry, 0, sizeof(*entry));
	for (size_t i = 0; i < ARRAY_SIZE(word); i++)
		if (!word_next(&at, end, &word[i]))
			return -KERNEL_CONNS_E_LINE;
	protocol = conn_state_protocol_parse(word[0].text, word[0].len);
	if (protocol < 0)
		return -KERNEL_CONNS_E_PROTOCOL;
	flow->protocol = (uint8_t)protocol;
	flow->family = word_address(&word[1], flow->caddr);
	vfamily = word_address(&word[3], flow->vaddr);
	dfamily = word_address(&word[5], entry->daddr);
	if (flow->family == 0 || vfamily != flow->family || dfamily == 0)
		return -KERNEL_CONNS_E_LINE;
	if (!word_port(&word[2], &flow->cport) || !word_port(&word[4], &flow->vport) ||
	    !word_port(&word[6], &entry->dport) || !word_number(&word[8], 10, &entry->timeout))
		return -KERNEL_CONNS_E_LINE;
	if (dfamily != flow->family)
		return -KERNEL_CONNS_E_FAMILY;
	int r = entry_set_state(entry, &word[7]);
	return r < 0 ? r : options_parse(entry, options, at, end);
}

void kernel_conns_init(struct kernel_conns_reader *reader)
{
	memset(reader, 0, sizeof(*reader));
}

void kernel_conns_feed(struct kernel_conns_reader *reader, const char *data, size_t len)
{
	reader->at = data;
	reader->end = data + len;
}

/* One line into reader->line. 1: whole; 0: more bytes are wanted; -KERNEL_CONNS_E_LINE. */
static int line_next(struct kernel_conns_reader *reader)
{
	while (reader->at < reader->end) {
		char c = *reader->at++;

		if (c == '\n') {
			bool overlong = reader->overlong;

			reader->overlong = false;
			return overlong ? -KERNEL_CONNS_E_LINE : 1;
		}
		if (reader->len == sizeof(reader->line)) {
			reader->len = 0;
			reader->overlong = true;
		}
		if (!reader->overlong)
			reader->line[reader->len++] = c;
	}
	return 0;
}

int kernel_conns_next(struct kernel_conns_reader *reader, struct entry *ret_entry)
{
	for (;;) {
		struct entry entry;
		int r = line_next(reader);

		if (r <= 0)
			return r;
		size_t len = reader->len;
		reader->len = 0;
		if (!reader->started) {
			reader->started = true;
			continue;
		}
		r = line_parse(reader->line, reader->line + len, &entry, &reader->options);
		if (r < 0)
			return r;
		*ret_entry = entry;
		return 1;
	}
}

/* A service of every port hands on the port that the client used. */
static const struct real_server *real_find(const struct service *service, const struct entry *entry)
{
	for (size_t i = 0; i < service->n_real_servers; i++) {
		const struct real_server *real = &service->real_servers[i];

		if (real->endpoint.ip.family == entry->flow.family &&
		    memcmp(real->endpoint.ip.bytes, entry->daddr, sizeof(entry->daddr)) == 0 &&
		    (real->endpoint.port == entry->dport || real->endpoint.port == 0 ||
		     service->key.vip.port == 0))
			return real;
	}
	return NULL;
}

static const struct service *service_of_vip(const struct service_set *services,
					    const struct entry *entry)
{
	const struct service *service;
	struct service_key key;

	memset(&key, 0, sizeof(key));
	key.vip.ip.family = entry->flow.family;
	memcpy(key.vip.ip.bytes, entry->flow.vaddr, sizeof(key.vip.ip.bytes));
	key.vip.port = entry->flow.vport;
	key.protocol = entry->flow.protocol;
	service = service_set_find(services, &key);
	if (!service) {
		key.vip.port = 0;
		service = service_set_find(services, &key);
	}
	return service;
}

const struct service *kernel_conns_service(const struct service_set *services,
					   const struct entry *entry)
{
	const struct service *service = NULL;
	struct service_key key;

	if (entry->fwmark) {
		memset(&key, 0, sizeof(key));
		key.vip.ip.family = entry->flow.family;
		key.fwmark = entry->fwmark;
		service = service_set_find(services, &key);
	}
	return service ? service : service_of_vip(services, entry);
}

static const struct real_server *real_of_vip(const struct service_set *services,
					     const struct entry *entry,
					     const struct service **ret_service)
{
	const struct service *service = service_of_vip(services, entry);

	*ret_service = service;
	return service ? real_find(service, entry) : NULL;
}

/* mark 0: any service of a mark; they are the last of those that are sorted. */
static const struct real_server *real_of_mark(const struct service_set *services,
					      const struct entry *entry, uint32_t mark,
					      const struct service **ret_service)
{
	for (size_t i = services->count; i-- > 0 && services->services[i].key.fwmark;) {
		const struct service *service = &services->services[i];
		const struct real_server *real;

		if ((mark && service->key.fwmark != mark) ||
		    service->key.vip.ip.family != entry->flow.family)
			continue;
		real = real_find(service, entry);
		if (real) {
			*ret_service = service;
			return real;
		}
	}
	return NULL;
}

const struct real_server *kernel_conns_real(const struct service_set *services,
					    const struct entry *entry,
					    const struct service **ret_service)
{
	bool template = entry->flow.template && entry->flow.protocol == 0;
	uint32_t mark = template ? load_be32(entry->flow.vaddr) : entry->fwmark;
	const struct real_server *real = NULL;

	if (mark == 0)
		real = real_of_vip(services, entry, ret_service);
	return real ? real : real_of_mark(services, entry, mark, ret_service);
}

int kernel_conns_complete(const struct service_set *services, struct entry *entry)
{
	const struct service *service;
	const struct real_server *real = kernel_conns_real(services, entry, &service);

	if (!real)
		return -KERNEL_CONNS_E_SERVICE;
	entry->flags = (entry->flags & ~ENTRY_FWD_MASK) | real->forwarding;
	entry->fwmark = service->key.fwmark;
	return 0;
}
