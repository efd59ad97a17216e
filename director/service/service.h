/* A service and its real servers, as IPVS holds them: everything that ipvsadm lists. Plain values;
 * a service owns its array of real servers, a set owns its services.
 *
 * One canonical order (service_set_sort) is the order in which every director programs them: the
 * mh, sh and dh schedulers build their tables from it. The kernel keeps the order of the commands:
 * a set that comes from ipvs.h has its real servers in the order of adding. */
#ifndef DIRECTOR_SERVICE_SERVICE_H
#define DIRECTOR_SERVICE_SERVICE_H

#include "director/service/check.h"

#define SERVICE_NAME_MAX 63
#define SERVICE_SCHEDULER_MAX 15 /* IP_VS_SCHEDNAME_MAXLEN - 1 */
#define SERVICE_ENGINE_MAX 15    /* IP_VS_PENAME_MAXLEN - 1 */
#define SERVICE_WEIGHT_MAX 65535
#define SERVICE_TABLE_UNKNOWN UINT32_MAX
#define SERVICE_PERSISTENCE_MAX (31u * 24 * 3600) /* seconds, as ipvsadm */
#define SERVICE_TEXT (ENDPOINT_TEXT + 24)         /* longest service_key_format() */

/* IP_VS_CONN_F_MASQ and so on, the kernel's numbers. The kernel alone makes the last two. */
enum service_forwarding {
	FORWARDING_NAT,
	FORWARDING_LOCAL,
	FORWARDING_TUNNEL,
	FORWARDING_DIRECT,
	FORWARDING_BYPASS,
};

enum service_tunnel {
	TUNNEL_IPIP,
	TUNNEL_GUE,
	TUNNEL_GRE,
};

/* Flags of a tunnel, TUNNEL_ENCAP_FLAG_*. The kernel takes both; ipvsadm breaks off when it lists
 * such a real server, so a valid one has at most one of them. */
#define TUNNEL_CSUM 1u
#define TUNNEL_REMCSUM 2u

/* Flags of a service, IP_VS_SVC_F_*: the others follow from persistence or are the kernel's own.
 * For sh and mh, FLAG_1 is fallback and FLAG_2 is port. */
#define SERVICE_ONE_PACKET 0x0004u
#define SERVICE_FLAG_1 0x0008u
#define SERVICE_FLAG_2 0x0010u
#define SERVICE_FLAG_3 0x0020u
#define SERVICE_MH_FALLBACK SERVICE_FLAG_1
#define SERVICE_FLAGS (SERVICE_ONE_PACKET | SERVICE_FLAG_1 | SERVICE_FLAG_2 | SERVICE_FLAG_3)

/* Marks of services of our own (director/service/forwarding.h), which no configuration may use. */
#define SERVICE_MARK_FIRST 0x4c000000u
#define SERVICE_MARK_LAST 0x4cffffffu

static inline bool service_mark_is_ours(uint32_t mark)
{
	return mark >= SERVICE_MARK_FIRST && mark <= SERVICE_MARK_LAST;
}

/* Which service. fwmark != 0: protocol is 0, vip has only a family. All bytes count. */
struct service_key {
	struct endpoint vip; /* port 0: every port */
	uint8_t protocol;    /* IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP */
	uint32_t fwmark;
};

/* Since the object was added; only a kernel fills them in. */
struct service_counters {
	uint64_t connections;
	uint64_t in_packets, out_packets;
	uint64_t in_bytes, out_bytes;
};

struct real_server {
	struct endpoint endpoint; /* port 0: the port the client used */
	uint32_t weight;
	uint32_t upper_threshold, lower_threshold; /* connections; 0: none */
	uint16_t tunnel_port;                      /* gue */
	uint8_t forwarding;                        /* enum service_forwarding */
	uint8_t tunnel;                            /* enum service_tunnel */
	uint8_t tunnel_flags;                      /* TUNNEL_* */
	/* While weight is 0: mh gives it the share of its table that this weight has, so that no
	 * other client moves; 0: none. No kernel tells it; SERVICE_TABLE_UNKNOWN: of a kernel. */
	uint32_t table_weight;
	/* Borrowed of the configuration; NULL: it is not checked. No kernel knows this. */
	const struct check *check;

	uint32_t active, inactive, persistent; /* connections now; only a kernel fills them in */
	struct service_counters counters;
};

struct service {
	char name[SERVICE_NAME_MAX + 1]; /* empty when it comes from a kernel */
	struct service_key key;
	char scheduler[SERVICE_SCHEDULER_MAX + 1];
	char engine[SERVICE_ENGINE_MAX + 1]; /* persistence engine; empty: none */
	uint32_t flags;                      /* SERVICE_* */
	uint32_t persistence;                /* seconds; 0: none */
	/* Which clients count as one. IPv4: a mask, host order; IPv6: a prefix length. */
	uint32_t netmask;
	bool sync_off;               /* its connections are not replicated; no kernel knows this, */
	struct health_policy health; /* nor this, */
	/* nor this: takes the traffic when no real server can; family 0 of its endpoint: none. */
	struct real_server sorry;
	struct real_server *real_servers;
	size_t n_real_servers;
	struct service_counters counters;
};

struct service_set {
	struct service *services;
	size_t count;
};

/* Both copy their argument, reals included, and return the copy: valid until the next add to the
 * same array. NULL: no memory, and nothing changed. */
struct service *service_set_add(struct service_set *set, const struct service *service);
struct real_server *service_add(struct service *service, const struct real_server *real);

/* A reference-counted set, for one thread: the last service_list_free() frees it. */
struct service_list {
	unsigned int refs; /* besides the first */
	struct service_set set;
};

struct service_list *service_list_ref(struct service_list *list); /* returns list */
void service_list_free(struct service_list *list);

void service_fini(struct service *service);
/* Leaves an empty set. */
void service_set_fini(struct service_set *set);

/* Total orders, as memcmp(). A real server's is its endpoint's. */
int service_key_compare(const struct service_key *a, const struct service_key *b);
int service_real_compare(const struct real_server *a, const struct real_server *b);

/* Services by key, and the real servers of each. */
void service_set_sort(struct service_set *set);

/* Both sorted, and of different services, in one that borrows their real servers: only its array is
 * to be freed. 0, or -ENOMEM. */
int service_set_join(const struct service_set *a, const struct service_set *b,
		     struct service_set *ret_set);

/* In a sorted set; NULL: none. */
struct service *service_set_find(const struct service_set *set, const struct service_key *key);

/* By its endpoint, whatever the order; NULL: none, or service is NULL. */
struct real_server *service_real_find(const struct service *service,
				      const struct real_server *real);

/* Whether the kernel would see no difference; keys alike or not. */
bool service_same(const struct service *a, const struct service *b);
bool service_real_same(const struct real_server *a, const struct real_server *b);

/* Both sorted: the same services, and the same real servers in each. */
bool service_set_same(const struct service_set *a, const struct service_set *b);

/* Whether the scheduler's choice depends on the order in which real servers were added. */
bool service_is_ordered(const struct service *service);
bool service_is_mh(const struct service *service);
/* The weight by which mh gives a real server its share of the table. */
uint32_t service_real_share(const struct real_server *real);

/* The netmask that distinguishes all clients. */
uint32_t service_netmask_full(uint8_t family);

/* Puts the first `max` different addresses of a sorted set (fwmarks have none), in order, into
 * ret_vips. Returns how many there are. */
size_t service_set_vips(const struct service_set *set, struct ip_addr *ret_vips, size_t max);

/* A service's fault, for a person. key: the configuration's key that is to blame. real: the index
 * of the real server, or one of these. */
#define SERVICE_FAULT_OWN (-1)
#define SERVICE_FAULT_SORRY (-2)

struct service_fault {
	const char *key;
	int real;
	char text[256];
};

/* 0, or -EINVAL and why: IPVS cannot do it, would silently do otherwise, or cannot replicate it. */
int service_validate(const struct service *service, struct service_fault *ret_fault);

/* "tcp 203.0.113.10:443", "fwmark 7 IPv6"; at most SERVICE_TEXT bytes; returns text. */
char *service_key_format(const struct service_key *key, char *text);

/* "tcp"..., "direct"..., "ipip"...; "?" for any other number. */
const char *service_protocol_name(uint8_t protocol);
const char *service_forwarding_name(uint8_t forwarding);
const char *service_tunnel_name(uint8_t tunnel);

#endif
