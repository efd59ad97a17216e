#include "director/tap/io_tap_device.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* A UDP datagram of this size passes unfragmented. */
#define MTU 65535

/* Messages of one entry that may wait while our loop is busy: a tenth of a second of a million a
 * second, for half a megabyte. More are dropped. Some kernels (Debian's 6.12.117) take no more than
 * 32,767, so less is asked for until the kernel takes it. */
#define BACKLOG 65536

static int say(struct fault *fault, int r, const char *what, const char *remedy)
{
	return fault_set(fault, r, "%s: %s%s%s", what, strerror(-r), *remedy ? "; " : "", remedy);
}

static int attach(const char *interface, int *ret_fd, struct fault *fault)
{
	struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI};
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC), r;

	if (fd < 0) {
		r = -errno;
		if (r == -ENOENT || r == -ENODEV || r == -ENXIO)
			return say(fault, r, "/dev/net/tun", "load it: modprobe tun");
		return say(fault, r, "/dev/net/tun", "run as root, or with CAP_NET_ADMIN");
	}
	snprintf(request.ifr_name, IFNAMSIZ, "%s", interface);
	if (ioctl(fd, TUNSETIFF, &request) == 0) {
		*ret_fd = fd;
		return 0;
	}
	r = -errno;
	close(fd);
	if (r == -EPERM)
		return say(fault, r, "cannot make a TUN interface",
			   "run as root, or grant it: setcap cap_net_admin+ep lvsmeshd");
	if (r == -EBUSY)
		return say(fault, r, interface, "another lvsmeshd runs here: pgrep -a lvsmeshd");
	return say(fault, r, interface, "is there another interface of this name? ip link");
}

/* A shorter queue only drops sooner, which is seen and made good. The kernel's answer to one that
 * is too long is ERANGE or EINVAL. */
static int set_backlog(int sock, struct ifreq *request)
{
	for (int length = BACKLOG; length > 0; length /= 2) {
		request->ifr_qlen = length;
		if (ioctl(sock, SIOCSIFTXQLEN, request) == 0)
			return 0;
		if (errno != ERANGE && errno != EINVAL)
			return -errno;
	}
	return 0;
}

static int set_address(int sock, struct ifreq *request, unsigned long call, uint32_t address)
{
	struct sockaddr_in *in = (struct sockaddr_in *)&request->ifr_addr;

	memset(&request->ifr_addr, 0, sizeof(request->ifr_addr));
	in->sin_family = AF_INET;
	in->sin_addr.s_addr = htonl(address);
	return ioctl(sock, call, request) < 0 ? -errno : 0;
}

static uint32_t netmask(unsigned int prefix)
{
	return ~(UINT32_MAX >> prefix);
}

/* ioctl() takes the interface's name and one value. 0, or a negative errno and the name of the call
 * that failed. */
static int configure(int sock, const char *interface, uint32_t address, unsigned int prefix,
		     const char **ret_call)
{
	struct ifreq request = {0};
	int r;

	snprintf(request.ifr_name, IFNAMSIZ, "%s", interface);
	request.ifr_mtu = MTU;
	*ret_call = "SIOCSIFMTU";
	if (ioctl(sock, SIOCSIFMTU, &request) < 0)
		return -errno;
	*ret_call = "SIOCSIFTXQLEN";
	r = set_backlog(sock, &request);
	if (r < 0)
		return r;
	*ret_call = "SIOCSIFADDR";
	r = set_address(sock, &request, SIOCSIFADDR, address);
	if (r < 0)
		return r;
	*ret_call = "SIOCSIFNETMASK";
	r = set_address(sock, &request, SIOCSIFNETMASK, netmask(prefix));
	if (r < 0)
		return r;
	*ret_call = "SIOCGIFFLAGS";
	if (ioctl(sock, SIOCGIFFLAGS, &request) < 0)
		return -errno;
	request.ifr_flags |= IFF_UP | IFF_MULTICAST;
	*ret_call = "SIOCSIFFLAGS";
	return ioctl(sock, SIOCSIFFLAGS, &request) < 0 ? -errno : 0;
}

/* Only spares us the kernel's router solicitations: its failure does no harm. */
static void disable_ipv6(const char *interface)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/disable_ipv6", interface);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	if (write(fd, "1", 1) < 0)
		errno = 0;
	close(fd);
}

int io_tap_device_open(const char *interface, uint32_t address, unsigned int prefix, int *ret_fd,
		       struct fault *fault)
{
	const char *call = "socket()";
	int fd = -1, sock, r;

	r = attach(interface, &fd, fault);
	if (r < 0)
		return r;
	disable_ipv6(interface);
	sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	r = sock < 0 ? -errno : configure(sock, interface, address, prefix, &call);
	if (sock >= 0)
		close(sock);
	if (r < 0) {
		close(fd);
		return fault_set(fault, r, "%s: %s: %s", interface, call, strerror(-r));
	}
	*ret_fd = fd;
	return 0;
}

static bool has_address(int sock, struct ifreq *request, unsigned long call, uint32_t address)
{
	const struct sockaddr_in *in = (const struct sockaddr_in *)&request->ifr_addr;

	return ioctl(sock, call, request) == 0 && in->sin_family == AF_INET &&
	       in->sin_addr.s_addr == htonl(address);
}

/* The kernel would send from our address, so through our interface. */
static bool reaches(uint32_t address, uint32_t peer)
{
	struct sockaddr_in in = {
		.sin_family = AF_INET, .sin_port = htons(9), .sin_addr.s_addr = htonl(peer)};
	socklen_t len = sizeof(in);
	int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool ok = sock >= 0 && connect(sock, (struct sockaddr *)&in, len) == 0 &&
		  getsockname(sock, (struct sockaddr *)&in, &len) == 0 &&
		  in.sin_addr.s_addr == htonl(address);

	if (sock >= 0)
		close(sock);
	return ok;
}

static struct io_tap_device_change look(int sock, const char *interface, uint32_t address,
					uint32_t peer, unsigned int prefix)
{
	struct ifreq request = {0};

	snprintf(request.ifr_name, IFNAMSIZ, "%s", interface);
	if (ioctl(sock, SIOCGIFFLAGS, &request) == 0) {
		if (!(request.ifr_flags & IFF_UP))
			return (struct io_tap_device_change){"link", "was down"};
		if (!(request.ifr_flags & IFF_MULTICAST))
			return (struct io_tap_device_change){"multicast", "was off"};
	}
	if (ioctl(sock, SIOCGIFMTU, &request) == 0 && request.ifr_mtu != MTU)
		return (struct io_tap_device_change){"MTU", "was changed"};
	if (!has_address(sock, &request, SIOCGIFADDR, address) ||
	    !has_address(sock, &request, SIOCGIFNETMASK, netmask(prefix)))
		return (struct io_tap_device_change){"address", "was removed"};
	if (!reaches(address, peer))
		return (struct io_tap_device_change){"route", "was removed"};
	return (struct io_tap_device_change){0};
}

/* An address that is set anew brings its route along. */
static int set_anew(int sock, const char *interface, uint32_t address, unsigned int prefix)
{
	struct ifreq request = {0};
	const char *call;
	int r;

	snprintf(request.ifr_name, IFNAMSIZ, "%s", interface);
	r = set_address(sock, &request, SIOCSIFADDR, 0);
	return r < 0 ? r : configure(sock, interface, address, prefix, &call);
}

int io_tap_device_keep(const char *interface, unsigned int index, uint32_t address, uint32_t peer,
		       unsigned int prefix, struct io_tap_device_change *ret_change)
{
	int sock, r = 0;

	*ret_change = (struct io_tap_device_change){0};
	if (if_nametoindex(interface) != index)
		return -ENODEV;
	sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (sock < 0)
		return -errno;
	*ret_change = look(sock, interface, address, peer, prefix);
	if (ret_change->what)
		r = set_anew(sock, interface, address, prefix);
	close(sock);
	return r;
}
