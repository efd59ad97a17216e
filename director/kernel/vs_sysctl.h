/* Kernel settings in one directory, net/ipv4/vs for one, that are ours while we run. Their former
 * values are kept in a file, so that after a crash our own values are not taken for the operator's.
 */
#ifndef DIRECTOR_KERNEL_VS_SYSCTL_H
#define DIRECTOR_KERNEL_VS_SYSCTL_H

#include "proto/base.h"

#define VS_SYSCTL_VALUE 32
#define VS_SYSCTL_NAME 40
/* A file has so many at most, far more than we set. */
#define VS_SYSCTL_SAVED_MAX 32

struct vs_sysctl {
	const char *name;
	char value[VS_SYSCTL_VALUE];
	bool optional; /* only a wish: kernels from 6.11 on keep some from user namespaces */
};

/* The file is damaged: the values of before us are lost. */
enum vs_sysctl_error { VS_SYSCTL_E_DAMAGED = 1 };

struct vs_sysctl_paths {
	const char *root; /* "/proc/sys" */
	const char *dir;  /* below it: "net/ipv4/vs"; names are relative to it */
	const char *save; /* the file; its directory exists */
};

/* The first line of a setting. 0, or a negative errno. */
int vs_sysctl_read(const struct vs_sysctl_paths *paths, const char *name,
		   char ret_value[VS_SYSCTL_VALUE]);

/* Sets all, after it has written the former values of those that differ to the file. Values in the
 * file are older, and stay, if they are of the same boot. 0; VS_SYSCTL_E_DAMAGED, and all are set;
 * or a negative errno and *ret_failed is the setting at fault, NULL: the file. Those set before
 * stay set: call restore.
 * An optional setting that may not be written is passed over; vs_sysctl_keep() leaves it alone. */
int vs_sysctl_set(const struct vs_sysctl_paths *paths, const struct vs_sysctl *settings, size_t n,
		  const char **ret_failed);

/* Sets those again that another process has changed since, and calls changed() for each: its value,
 * and r, 0 or the negative errno of setting it. One that can't be read is skipped. */
void vs_sysctl_keep(const struct vs_sysctl_paths *paths, const struct vs_sysctl *settings, size_t n,
		    void (*changed)(void *ctx, const struct vs_sysctl *setting, const char *was,
				    int r),
		    void *ctx);

/* The names in the file, of this boot: what a former process set, and did not restore. Returns how
 * many there are. */
size_t vs_sysctl_saved(const struct vs_sysctl_paths *paths,
		       char ret_names[VS_SYSCTL_SAVED_MAX][VS_SYSCTL_NAME]);

/* Restores the file's values of settings that still have our value: a value that another process
 * set meanwhile stays. Removes the file. 0, or the first negative errno; it goes on after one. */
int vs_sysctl_restore(const struct vs_sysctl_paths *paths, const struct vs_sysctl *settings,
		      size_t n);

#endif
