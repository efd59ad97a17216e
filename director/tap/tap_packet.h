/* The IPv4 packets on the wire tap, the TUN between us and the kernel's two sync threads. Pure:
 * memory in, memory out.
 *
 * Out of the tap come the master thread's datagrams, the echoes of the metronome (its packets,
 * forwarded by IPVS to the probe service's real server) and the kernel's own packets on any
 * interface: IGMP, router solicitations. Into it go datagrams for the backup thread and the
 * metronome's beats. */
#ifndef DIRECTOR_TAP_TAP_PACKET_H
#define DIRECTOR_TAP_TAP_PACKET_H

#include "proto/base.h"

/* The addresses on the tap; host order. own: the interface's address, which is the probe service's
 * VIP. peer: the other address of its subnet; all our writes come from it, and it is the probe
 * service's real server. */
struct tap_net {
	uint32_t own, peer;
	uint32_t group;     /* the sync threads' multicast group */
	uint16_t port;      /* and UDP port */
	uint16_t beat_port; /* of the probe service */
	/* The master thread's socket: any user of this host can send to the group through the tap,
	 * but not from this port. */
	uint16_t master_port;
};

#define TAP_SYNC_HEADER 28 /* IPv4 and UDP */
#define TAP_BEAT_SIZE 40   /* IPv4 and TCP */

/* A beat's number decides its flags: the cycle SYN, ACK, FIN. The kernel's state goes to SYN_RECV,
 * ESTABLISHED, FIN_WAIT, and the last two changes each make an entry. A RST between FIN and SYN
 * would make a third, but after it each SYN would be a new connection (conn_reuse_mode). */
#define TAP_BEAT_CYCLE 3

enum tap_kind {
	TAP_FOREIGN = 0, /* well-formed, not for us */
	TAP_SYNC,
	TAP_ECHO,
};

/* Why a packet of ours was refused. */
enum tap_error {
	TAP_E_SHORT = 1, /* ends within its headers */
	TAP_E_LENGTH,    /* the length in a header is not the packet's */
	TAP_E_FRAGMENT,
	TAP_E_STRANGER, /* a sync message, not of the master thread's */
	TAP_E_MAX,
};

const char *tap_packet_error_name(int error); /* "short", ... */

struct tap_packet {
	enum tap_kind kind;
	const uint8_t *payload; /* TAP_SYNC: within the packet */
	size_t payload_len;
	uint32_t beat; /* TAP_ECHO: its number */
};

/* Classifies a packet read from the tap. 0, or TAP_E_*. Checksums are not looked at: the packet
 * never left this host's memory. */
int tap_packet_parse(const struct tap_net *net, const uint8_t *data, size_t len,
		     struct tap_packet *ret_packet);

/* True for a sync message that holds the beats' own connection and nothing else: with the master's
 * sync_maxlen at 1 a message has one entry. */
bool tap_packet_is_own(const struct tap_net *net, const uint8_t *payload, size_t len);

/* The TAP_SYNC_HEADER bytes that stand before a sync payload of payload_len. */
void tap_packet_sync_header(const struct tap_net *net, uint8_t *header, size_t payload_len);

/* Beat number `beat`, TAP_BEAT_SIZE bytes. All beats belong to one TCP connection. */
void tap_packet_beat(const struct tap_net *net, uint8_t *packet, uint32_t beat);

#endif
