/* What is known of kernels by their version. Memory only; uname(2) has the texts. */
#ifndef DIRECTOR_KERNEL_FACTS_H
#define DIRECTOR_KERNEL_FACTS_H

#include <stdbool.h>
#include <stdint.h>

/* True if its master sync thread damages the sequence numbers of connections that an application
 * helper rewrites (FTP behind nat): hton_seq() in net/netfilter/ipvs/ip_vs_sync.c was reversed
 * until Debian's 6.1.190 and 6.12.111. release, version: utsname's; Debian's version is in the
 * latter. Of kernels newer than the 6.12 series nothing is known: false. */
bool kernel_facts_damage_ftp(const char *release, const char *version);

/* Buckets that the kernel's connection table may have. listed: what netlink tells (GET_INFO); bits:
 * the text of the module's parameter conn_tab_bits, NULL: not to be read. From 7.1 on the table
 * starts small and grows, and what is listed is its present size. */
uint32_t kernel_facts_table_size(uint32_t listed, const char *bits);

#endif
