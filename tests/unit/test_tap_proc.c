#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "director/tap/tap_proc.h"

static const char stats[] = "       Total Incoming Outgoing         Incoming         Outgoing\n"
			    "CPU    Conns  Packets  Packets            Bytes            Bytes\n"
			    "  0       1F      A00        0                0                0\n"
			    "  1        2 1000000FF        0               FF                0\n"
			    "  A        1        1        0                0                0\n"
			    "  ~        7        7        7                7                7\n"
			    "\n"
			    "     Conns/s   Pkts/s   Pkts/s          Bytes/s          Bytes/s\n"
			    "           9        9        9                9                9\n";

static void test_stats(void **state)
{
	uint64_t conns = 0, packets = 0;

	(void)state;
	assert_int_equal(tap_proc_stats(stats, strlen(stats), &conns, &packets), 0);
	assert_int_equal(conns, 0x22);
	assert_int_equal(packets, 0x100000b00);
}

static void test_stats_refused(void **state)
{
	uint64_t conns = 5, packets = 6;

	(void)state;
	assert_int_equal(tap_proc_stats("", 0, &conns, &packets), -EBADMSG);
	/* Headings and totals only. */
	assert_int_equal(tap_proc_stats(stats, 120, &conns, &packets), -EBADMSG);
	assert_int_equal(tap_proc_stats("  ~ 1 2 3\n", 10, &conns, &packets), -EBADMSG);
	assert_int_equal(conns, 5);
	assert_int_equal(packets, 6);
}

static const char sockets[] = /* three backups, a user's socket, the master's */
	"   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  "
	"timeout inode ref pointer drops            \n"
	" 1361: 0175FEA9:2290 00000000:0000 07 00000000:00000011 00:00000000 00000000     0        "
	"0 "
	"9 2 0000000000000000 8         \n"
	" 1362: 510000E0:2290 00000000:0000 07 00000000:00034500 00:00000000 00000000     0        "
	"0 "
	"10 2 0000000000000000 4294967295         \n"
	" 1363: 510000E0:2291 00000000:0000 07 00000000:00000022 00:00000000 00000000     0        "
	"0 "
	"11 2 0000000000000000 7         \n"
	" 1364: 0175FEA9:CFB8 510000E0:2290 01 00000000:00000000 00:00000000 00000000  1000        "
	"0 "
	"12 2 0000000000000000 0         \n"
	" 1365: 0175FEA9:CFB9 510000E0:2290 01 00000000:00000000 00:00000000 00000000     0        "
	"0 "
	"13 2 0000000000000000 0         \n";

static void test_sender(void **state)
{
	uint16_t port = 0;

	(void)state;
	assert_int_equal(
		tap_proc_sender(sockets, strlen(sockets), 0xa9fe7501, 0xe0000051, 8848, &port), 0);
	assert_int_equal(port, 0xcfb9);
	assert_int_equal(
		tap_proc_sender(sockets, strlen(sockets), 0xa9fe7501, 0xe0000051, 8849, &port),
		-ENOENT);
	assert_int_equal(
		tap_proc_sender(sockets, strlen(sockets), 0xa9fe7502, 0xe0000051, 8848, &port),
		-ENOENT);
}

static void test_socket(void **state)
{
	uint32_t queue = 0, drops = 0;

	(void)state;
	assert_int_equal(
		tap_proc_socket(sockets, strlen(sockets), 0xe0000051, 8848, &queue, &drops), 0);
	assert_int_equal(queue, 0x34500);
	assert_int_equal(drops, 4294967295);
	assert_int_equal(
		tap_proc_socket(sockets, strlen(sockets), 0xe0000051, 8849, &queue, &drops), 0);
	assert_int_equal(queue, 0x22);
	assert_int_equal(drops, 7);
	assert_int_equal(
		tap_proc_socket(sockets, strlen(sockets), 0xe0000052, 8848, &queue, &drops),
		-ENOENT);
}

/* A text that is cut off anywhere: the right answer or none. */
static void test_socket_truncated(void **state)
{
	(void)state;
	for (size_t len = 0; len < strlen(sockets); len++) {
		uint32_t queue = 1, drops = 2;
		int r = tap_proc_socket(sockets, len, 0xe0000051, 8849, &queue, &drops);

		assert_true(r == -ENOENT || (r == 0 && queue == 0x22));
	}
}

static const char devices[] =
	"Inter-|   Receive                                                |  Transmit\n"
	" face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs "
	"drop fifo colls carrier compressed\n"
	"    lo:      96       1    0    0    0     0          0         0       96       1    0   "
	" "
	"0    0     0       0          0\n"
	"lvsmesh-tap: 1 2 3 4 5 6 7 8 9 10 11 4294967299 13 14 15 16\n"
	"lvsmesh-tap2: 1 2 3 4 5 6 7 8 9 10 11\n";

static void test_device(void **state)
{
	uint64_t drops = 1;

	(void)state;
	assert_int_equal(tap_proc_device(devices, strlen(devices), "lo", &drops), 0);
	assert_int_equal(drops, 0);
	assert_int_equal(tap_proc_device(devices, strlen(devices), "lvsmesh-tap", &drops), 0);
	assert_int_equal(drops, 4294967299);
	assert_int_equal(tap_proc_device(devices, strlen(devices), "lvsmesh", &drops), -ENOENT);
	assert_int_equal(tap_proc_device(devices, strlen(devices), "lvsmesh-tap2", &drops),
			 -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stats),  cmocka_unit_test(test_stats_refused),
		cmocka_unit_test(test_socket), cmocka_unit_test(test_socket_truncated),
		cmocka_unit_test(test_sender), cmocka_unit_test(test_device),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
