/* The files of /proc that the tap reads while it runs, as text in memory. */
#ifndef DIRECTOR_TAP_TAP_PROC_H
#define DIRECTOR_TAP_TAP_PROC_H

#include "proto/base.h"

/* /proc/net/ip_vs_stats_percpu: connections and incoming packets of all services, summed over the
 * processors; these are live, the file's own total is 2 s old. 0, or -EBADMSG. */
int tap_proc_stats(const char *text, size_t len, uint64_t *ret_conns, uint64_t *ret_packets);

/* /proc/net/udp: bytes in the receive queue, and drops, of the socket bound to address and port
 * (host order). 0; -ENOENT: no such socket. */
int tap_proc_socket(const char *text, size_t len, uint32_t address, uint16_t port,
		    uint32_t *ret_queue, uint32_t *ret_drops);

/* The same file: the port of the kernel's own socket, of all bound to address and connected to
 * remote and remote_port. 0, or -ENOENT. */
int tap_proc_sender(const char *text, size_t len, uint32_t address, uint32_t remote,
		    uint16_t remote_port, uint16_t *ret_port);

/* /proc/net/dev: packets that were to go out of the interface, and were dropped. 0; -ENOENT: no
 * such interface. */
int tap_proc_device(const char *text, size_t len, const char *name, uint64_t *ret_drops);

#endif
