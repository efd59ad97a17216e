/* Facts about kernels by their version. Memory only; uname(2) has the texts. */
#ifndef DIRECTOR_KERNEL_KERNEL_FACTS_H
#define DIRECTOR_KERNEL_KERNEL_FACTS_H

#include <stdbool.h>
#include <stdint.h>

/* True if its master sync thread damages the sequence numbers of connections that an application
 * helper rewrites (FTP behind nat): hton_seq() in net/netfilter/ipvs/ip_vs_sync.c was reversed
 * until Debian's 6.1.190 and 6.12.111. release, version: utsname's; Debian's version is in the
 * latter. Nothing is known of kernels newer than the 6.12 series: false. */
bool kernel_facts_damage_ftp(const char *release, const char *version);

/* Buckets that the kernel's connection table may have. listed: netlink's answer (GET_INFO); bits:
 * the text of the module's parameter conn_tab_bits, NULL: not to be read. A table of 7.1 or later
 * starts small and grows, and `listed` is its present size. */
uint32_t kernel_facts_table_size(uint32_t listed, const char *bits);

#endif
