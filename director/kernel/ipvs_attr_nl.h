/* Services and real servers as attributes of IPVS's generic netlink messages (linux/ip_vs.h), both
 * ways. Only ipvs_nl.c includes this. */
#ifndef DIRECTOR_KERNEL_IPVS_ATTR_NL_H
#define DIRECTOR_KERNEL_IPVS_ATTR_NL_H

#include <netlink/msg.h>

#include "director/service/service.h"

/* Read from a message of a dump. The service comes without real servers. family: of a real server
 * whose kernel does not say. 0, or -EPROTO: not what the kernel sends. */
int ipvs_attr_get_service(struct nlmsghdr *header, struct service *ret_service);
int ipvs_attr_get_real(struct nlmsghdr *header, uint8_t family, struct real_server *ret_real);

/* whole: with all settings; otherwise only its key. 0, or -ENOMEM. */
int ipvs_attr_put_service(struct nl_msg *msg, const struct service *service, bool whole);
int ipvs_attr_put_real(struct nl_msg *msg, const struct real_server *real, bool whole);

#endif
