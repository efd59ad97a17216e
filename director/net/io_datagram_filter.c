#include "director/net/io_datagram_filter.h"

#include <errno.h>
#include <linux/filter.h>
#include <sys/socket.h>

#include "proto/base.h"

#define UDP_HEADER 8 /* which a filter sees too */
#define FOR_EACH 4   /* instructions */
#define TAKE UINT32_MAX
#define PROGRAM_MAX (2 + FOR_EACH * IO_DATAGRAM_FILTER_MAX + 2)

int io_datagram_filter_set(int fd, const uint64_t *senders, unsigned int count, uint32_t at)
{
	struct sock_filter program[PROGRAM_MAX], *next = program;
	struct sock_fprog filter = {.filter = program};

	assert(count <= IO_DATAGRAM_FILTER_MAX);
	at += UDP_HEADER;
	/* one that is too short goes to its reader, who counts it */
	*next++ = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_LEN, 0);
	*next++ = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, at + 8, 0,
					       (uint8_t)(FOR_EACH * count));
	for (unsigned int left = count; left > 0; left--) {
		uint64_t sender = senders[count - left];
		/* from the last instruction of this one to the last one of all, which drops */
		uint8_t drop = (uint8_t)(FOR_EACH * (left - 1) + 1);

		*next++ = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, at);
		*next++ = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K,
						       (uint32_t)(sender >> 32), 0, 2);
		*next++ = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, at + 4);
		*next++ = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)sender,
						       drop, 0);
	}
	*next++ = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, TAKE);
	*next++ = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, 0);
	filter.len = (unsigned short)(next - program);
	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter)) < 0 ? -errno
											 : 0;
}

void io_datagram_filter_clear(int fd)
{
	int none = 0;

	(void)!setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &none, sizeof(none));
}
