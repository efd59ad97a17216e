#include "director/service/inject_method.h"

#include "director/service/kernel_conns.h"
#include "sync/kernel_wire.h"

#define AT_SYNCID 1
#define AT_FLAGS 4 /* of an entry, of either family */

/* As the kernel finds it: by the mark, which packets of any service may bear, then by address. */
static const struct real_server *find_real(const struct service_set *services, struct entry *entry)
{
	const struct service *service;
	const struct real_server *real = kernel_conns_real(services, entry, &service);

	if (!real && entry->fwmark) {
		entry->fwmark = 0;
		real = kernel_conns_real(services, entry, &service);
	}
	return real && service->key.fwmark == entry->fwmark ? real : NULL;
}

unsigned int inject_method_set(const struct service_set *services, uint8_t *message, size_t len)
{
	struct kernel_wire_reader reader;
	unsigned int changed = 0;

	if (len == 0 || kernel_wire_read(&reader, message, len, message[AT_SYNCID]) != 0)
		return 0;
	for (;;) {
		uint8_t *at = message + (reader.at - message);
		const struct real_server *real;
		struct entry entry;

		if (kernel_wire_next(&reader, &entry) <= 0)
			return changed;
		real = find_real(services, &entry);
		if (!real || (entry.flags & ENTRY_FWD_MASK) == real->forwarding)
			continue;
		store_be32(at + AT_FLAGS,
			   (load_be32(at + AT_FLAGS) & ~ENTRY_FWD_MASK) | real->forwarding);
		changed++;
	}
}
