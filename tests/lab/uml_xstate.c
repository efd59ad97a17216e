/*
 * Preloaded into linux.uml: lets it start on a processor whose extended state is larger than the
 * buffer it was built with.
 *
 * User-Mode Linux keeps the floating point state of its processes in a buffer of fixed size (2696
 * bytes, enough for AVX-512), and writes it back with PTRACE_SETREGSET, NT_X86_XSTATE. The host
 * accepts exactly the size that its processor has, so that a processor with AMX (11 KB) answers
 * EFAULT, and the guest kernel panics before its first process runs: "ptrace set fp regs failed,
 * errno = 14". Here such a write is completed with the tail that the host itself reported for a
 * fresh process. The tail is AMX state, which no process in the guest can have switched on: the
 * header's bitmap, which the guest does carry, says that it is not in use.
 *
 * linux.uml calls ptrace() from one thread only; the buffer below relies on that.
 */
#include <elf.h>
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static char state[65536] __attribute__((aligned(64)));
static size_t state_len;

static long xstate_write(pid_t pid, void *type, const struct iovec *from)
{
	struct iovec io = {state, sizeof(state)};

	if (!state_len) {
		if (syscall(SYS_ptrace, PTRACE_GETREGSET, pid, type, &io) < 0)
			return -1;
		state_len = io.iov_len;
	}
	memcpy(state, from->iov_base, from->iov_len < state_len ? from->iov_len : state_len);
	io.iov_len = state_len;
	return syscall(SYS_ptrace, PTRACE_SETREGSET, pid, type, &io);
}

static long peek(enum __ptrace_request request, pid_t pid, void *addr)
{
	long word;

	/* The system call stores the word, the library's function returns it. */
	if (syscall(SYS_ptrace, request, pid, addr, &word) < 0)
		return -1;
	errno = 0;
	return word;
}

long ptrace(enum __ptrace_request request, ...)
{
	va_list args;
	pid_t pid;
	void *addr, *data;

	va_start(args, request);
	pid = va_arg(args, pid_t);
	addr = va_arg(args, void *);
	data = va_arg(args, void *);
	va_end(args);

	if (request == PTRACE_SETREGSET && addr == (void *)NT_X86_XSTATE)
		return xstate_write(pid, addr, data);
	if (request == PTRACE_PEEKTEXT || request == PTRACE_PEEKDATA || request == PTRACE_PEEKUSER)
		return peek(request, pid, addr);
	return syscall(SYS_ptrace, request, pid, addr, data);
}
