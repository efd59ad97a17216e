/* The settings of the kernel that ./tap_setup.c makes. */
#ifndef TESTS_BESIDE_TAP_SETUP_H
#define TESTS_BESIDE_TAP_SETUP_H

struct beside {
	char stats[256]; /* a file of this director's */
	char times[256]; /* a file of all directors' */
	int kernel_cpu;
};

extern struct beside beside;

#endif
