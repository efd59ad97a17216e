#include "director/tap/tap_proc.h"

#include <errno.h>

/* A cursor over one line; parsing never goes beyond its end. */
struct line {
	const char *at, *end;
};

static bool next_line(struct line *rest, struct line *ret_line)
{
	size_t left = (size_t)(rest->end - rest->at);
	const char *newline;

	if (left == 0)
		return false;
	newline = memchr(rest->at, '\n', left);
	ret_line->at = rest->at;
	ret_line->end = newline ? newline : rest->end;
	rest->at = newline ? newline + 1 : rest->end;
	return true;
}

static void skip(struct line *line, const char *chars)
{
	while (line->at < line->end && *line->at && strchr(chars, *line->at))
		line->at++;
}

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return 16;
}

/* The number in front, after spaces. Longer than 64 bits: the low ones. */
static bool number(struct line *line, int base, uint64_t *ret_value)
{
	const char *start;
	uint64_t value = 0;

	skip(line, " \t");
	start = line->at;
	for (; line->at < line->end && digit(*line->at) < base; line->at++)
		value = value * (uint64_t)base + (uint64_t)digit(*line->at);
	if (line->at == start)
		return false;
	*ret_value = value;
	return true;
}

static bool literal(struct line *line, char c)
{
	if (line->at == line->end || *line->at != c)
		return false;
	line->at++;
	return true;
}

int tap_proc_stats(const char *text, size_t len, uint64_t *ret_conns, uint64_t *ret_packets)
{
	struct line rest = {text, text + len}, line;
	uint64_t cpu, conns, packets, all_conns = 0, all_packets = 0;
	bool any = false;

	/* Two lines of headings, a line a processor, then a line that starts with "~". */
	while (next_line(&rest, &line)) {
		struct line heading = line;

		skip(&heading, " ");
		if (literal(&heading, '~'))
			break;
		if (!number(&line, 16, &cpu) || !number(&line, 16, &conns) ||
		    !number(&line, 16, &packets))
			continue;
		all_conns += conns;
		all_packets += packets;
		any = true;
	}
	if (!any)
		return -EBADMSG;
	*ret_conns = all_conns;
	*ret_packets = all_packets;
	return 0;
}

static void keep_last_word(struct line *line)
{
	const char *word;

	while (line->end > line->at && line->end[-1] == ' ')
		line->end--;
	for (word = line->end; word > line->at && word[-1] != ' '; word--)
		;
	line->at = word;
}

struct socket {
	uint32_t address, remote; /* host order */
	uint16_t port, remote_port;
	uint32_t queue, uid, drops;
};

/* "ADDRESS:PORT"; the address is printed as the machine's own integer. */
static bool endpoint(struct line *line, uint32_t *ret_address, uint16_t *ret_port)
{
	uint64_t address, port;

	if (!number(line, 16, &address) || !literal(line, ':') || !number(line, 16, &port))
		return false;
	*ret_address = __builtin_bswap32((uint32_t)address);
	*ret_port = (uint16_t)port;
	return true;
}

/* "sl: local remote st tx:rx tr:when retransmits uid timeout inode ref pointer drops" */
static bool socket_line(struct line line, struct socket *ret_socket)
{
	uint64_t skipped, queue, uid, drops;

	if (!number(&line, 10, &skipped) || !literal(&line, ':') ||
	    !endpoint(&line, &ret_socket->address, &ret_socket->port) ||
	    !endpoint(&line, &ret_socket->remote, &ret_socket->remote_port))
		return false;
	if (!number(&line, 16, &skipped) || !number(&line, 16, &skipped) || !literal(&line, ':') ||
	    !number(&line, 16, &queue) || !number(&line, 16, &skipped) || !literal(&line, ':') ||
	    !number(&line, 16, &skipped) || !number(&line, 16, &skipped) ||
	    !number(&line, 10, &uid))
		return false;
	keep_last_word(&line);
	if (!number(&line, 10, &drops))
		return false;
	ret_socket->queue = (uint32_t)queue;
	ret_socket->uid = (uint32_t)uid;
	ret_socket->drops = (uint32_t)drops;
	return true;
}

int tap_proc_socket(const char *text, size_t len, uint32_t address, uint16_t port,
		    uint32_t *ret_queue, uint32_t *ret_drops)
{
	struct line rest = {text, text + len}, line;
	struct socket socket;

	while (next_line(&rest, &line)) {
		if (!socket_line(line, &socket) || socket.address != address || socket.port != port)
			continue;
		*ret_queue = socket.queue;
		*ret_drops = socket.drops;
		return 0;
	}
	return -ENOENT;
}

int tap_proc_sender(const char *text, size_t len, uint32_t address, uint32_t remote,
		    uint16_t remote_port, uint16_t *ret_port)
{
	struct line rest = {text, text + len}, line;
	struct socket socket;

	while (next_line(&rest, &line)) {
		if (!socket_line(line, &socket) || socket.address != address ||
		    socket.remote != remote || socket.remote_port != remote_port || socket.uid != 0)
			continue;
		*ret_port = socket.port;
		return 0;
	}
	return -ENOENT;
}

/* "name: " and 16 numbers; the 12th counts drops on the way out. */
int tap_proc_device(const char *text, size_t len, const char *name, uint64_t *ret_drops)
{
	struct line rest = {text, text + len}, line;
	size_t name_len = strlen(name);

	while (next_line(&rest, &line)) {
		uint64_t value = 0;
		int column = 0;

		skip(&line, " ");
		if ((size_t)(line.end - line.at) <= name_len ||
		    memcmp(line.at, name, name_len) != 0 || line.at[name_len] != ':')
			continue;
		line.at += name_len + 1;
		while (column < 12 && number(&line, 10, &value))
			column++;
		if (column < 12)
			return -ENOENT;
		*ret_drops = value;
		return 0;
	}
	return -ENOENT;
}
