/*
 * The lab's traffic: a server that echoes and streams, and a client that opens many connections,
 * keeps them, and says exactly which of them broke, when, and why. TCP only, IPv4 and IPv6.
 *
 * A client sends requests of REQUEST_LEN bytes, one at a time: to echo, answered with the same
 * bytes; or to stream, answered with `value` bytes of the pattern, at `rate` bytes a second (0: as
 * fast as TCP allows).
 */
#ifndef LAB_TRAFFIC_H
#define LAB_TRAFFIC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

enum request_kind {
	REQUEST_ECHO = 0x4c456563,
	REQUEST_STREAM = 0x4c457374,
};

struct request {
	uint32_t kind;
	uint32_t rate;
	uint64_t value;
};

#define REQUEST_LEN sizeof(struct request)

/* The byte at offset o of a stream is o modulo PATTERN_PERIOD. */
#define PATTERN_PERIOD 251u
#define PATTERN_LEN (PATTERN_PERIOD * 1024u)

/* PATTERN_LEN bytes: from any offset modulo the period, PATTERN_LEN - PATTERN_PERIOD can be used.
 */
const unsigned char *pattern(void);

/* "1.2.3.4:80", "[::1]:80", or without a port: 0 then. False if it is neither. */
bool address_parse(const char *text, struct sockaddr_storage *ret_address, socklen_t *ret_len);

/* A socket's ends for the log, without the port. */
void address_format(const struct sockaddr_storage *address, char *text, size_t len);

uint16_t address_port(const struct sockaddr_storage *address);

/* Both return an exit status. */
int server_main(int argc, char **argv);
int client_main(int argc, char **argv);

#endif
