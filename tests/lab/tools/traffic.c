#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "traffic.h"

const unsigned char *pattern(void)
{
	static unsigned char bytes[PATTERN_LEN];
	size_t i;

	if (bytes[1] == 0)
		for (i = 0; i < sizeof(bytes); i++)
			bytes[i] = (unsigned char)(i % PATTERN_PERIOD);
	return bytes;
}

static bool port_parse(const char *text, uint16_t *ret_port)
{
	char *end;
	unsigned long port = strtoul(text, &end, 10);

	if (*end || end == text || port > UINT16_MAX)
		return false;
	*ret_port = htons((uint16_t)port);
	return true;
}

bool address_parse(const char *text, struct sockaddr_storage *ret_address, socklen_t *ret_len)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)ret_address;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)ret_address;
	char copy[INET6_ADDRSTRLEN + 10], *host = copy, *port = NULL, *close;

	if (strlen(text) >= sizeof(copy))
		return false;
	strcpy(copy, text);
	if (*host == '[') {
		close = strchr(++host, ']');
		if (!close)
			return false;
		*close = '\0';
		if (close[1] == ':')
			port = close + 2;
	} else if (strchr(host, ':') == strrchr(host, ':')) {
		port = strchr(host, ':');
		if (port)
			*port++ = '\0';
	}

	memset(ret_address, 0, sizeof(*ret_address));
	if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
		ret_address->ss_family = AF_INET;
		*ret_len = sizeof(*v4);
		return !port || port_parse(port, &v4->sin_port);
	}
	if (inet_pton(AF_INET6, host, &v6->sin6_addr) == 1) {
		ret_address->ss_family = AF_INET6;
		*ret_len = sizeof(*v6);
		return !port || port_parse(port, &v6->sin6_port);
	}
	return false;
}

void address_format(const struct sockaddr_storage *address, char *text, size_t len)
{
	if (address->ss_family == AF_INET)
		inet_ntop(AF_INET, &((const struct sockaddr_in *)address)->sin_addr, text,
			  (socklen_t)len);
	else
		inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)address)->sin6_addr, text,
			  (socklen_t)len);
}

uint16_t address_port(const struct sockaddr_storage *address)
{
	if (address->ss_family == AF_INET)
		return ntohs(((const struct sockaddr_in *)address)->sin_port);
	return ntohs(((const struct sockaddr_in6 *)address)->sin6_port);
}

int main(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "server"))
		return server_main(argc - 1, argv + 1);
	if (argc > 1 && !strcmp(argv[1], "client"))
		return client_main(argc - 1, argv + 1);
	fprintf(stderr, "usage: traffic server PORT...\n"
			"       traffic client --to ADDRESS:PORT [options]\n");
	return 2;
}
