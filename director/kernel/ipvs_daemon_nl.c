/* IPVS's sync threads, and the service that probes it, by generic netlink. */
#include "director/kernel/ipvs_daemon.h"

#include <errno.h>
#include <linux/ip_vs.h>
#include <netinet/in.h>
#include <netlink/genl/ctrl.h>
#include <netlink/genl/genl.h>
#include <stdlib.h>

struct ipvs_daemon {
	struct nl_sock *sock;
	int family;
};

static const uint32_t role_states[IPVS_DAEMON_ROLES] = {
	[IPVS_DAEMON_MASTER] = IP_VS_STATE_MASTER,
	[IPVS_DAEMON_BACKUP] = IP_VS_STATE_BACKUP,
};

int ipvs_daemon_open(struct ipvs_daemon **ret_daemon)
{
	struct ipvs_daemon *daemon = calloc(1, sizeof(*daemon));
	int r = -ENOMEM;

	if (!daemon)
		return -ENOMEM;
	daemon->sock = nl_socket_alloc();
	if (!daemon->sock)
		goto fail;
	if (genl_connect(daemon->sock) < 0) {
		r = -errno; /* libnl's own number keeps less */
		goto fail;
	}
	r = -EPROTONOSUPPORT;
	daemon->family = genl_ctrl_resolve(daemon->sock, IPVS_GENL_NAME);
	if (daemon->family < 0)
		goto fail;
	*ret_daemon = daemon;
	return 0;
fail:
	ipvs_daemon_close(daemon);
	return r;
}

void ipvs_daemon_close(struct ipvs_daemon *daemon)
{
	if (!daemon)
		return;
	nl_socket_free(daemon->sock);
	free(daemon);
}

/* An exchange: the answer's first attribute level goes to on_reply. */
struct exchange {
	void (*on_reply)(struct nlattr **attrs, void *arg);
	void *arg;
	int result; /* 1: not over yet */
};

static int take_reply(struct nl_msg *msg, void *arg)
{
	struct nlattr *attrs[IPVS_CMD_ATTR_MAX + 1 > IPVS_INFO_ATTR_MAX + 1
				     ? IPVS_CMD_ATTR_MAX + 1
				     : IPVS_INFO_ATTR_MAX + 1];
	struct exchange *exchange = arg;

	if (exchange->on_reply &&
	    genlmsg_parse(nlmsg_hdr(msg), 0, attrs, ARRAY_SIZE(attrs) - 1, NULL) == 0)
		exchange->on_reply(attrs, exchange->arg);
	return NL_OK;
}

static int take_end(struct nl_msg *msg, void *arg)
{
	struct exchange *exchange = arg;

	(void)msg;
	exchange->result = 0;
	return NL_STOP;
}

/* libnl's own codes keep less than the kernel's. */
static int take_error(struct sockaddr_nl *from, struct nlmsgerr *error, void *arg)
{
	struct exchange *exchange = arg;

	(void)from;
	exchange->result = error->error;
	return NL_STOP;
}

/* Sends msg, which it frees, and waits. 0 or a negative errno of the kernel's. */
static int talk(struct ipvs_daemon *daemon, struct nl_msg *msg,
		void (*on_reply)(struct nlattr **attrs, void *arg), void *arg)
{
	struct exchange exchange = {.on_reply = on_reply, .arg = arg, .result = 1};
	struct nl_cb *cb = nl_cb_alloc(NL_CB_DEFAULT);

	if (!cb || nl_send_auto(daemon->sock, msg) < 0) {
		exchange.result = cb ? -EIO : -ENOMEM;
		goto out;
	}
	nl_cb_set(cb, NL_CB_VALID, NL_CB_CUSTOM, take_reply, &exchange);
	nl_cb_set(cb, NL_CB_FINISH, NL_CB_CUSTOM, take_end, &exchange);
	nl_cb_set(cb, NL_CB_ACK, NL_CB_CUSTOM, take_end, &exchange);
	nl_cb_err(cb, NL_CB_CUSTOM, take_error, &exchange);
	while (exchange.result > 0)
		if (nl_recvmsgs(daemon->sock, cb) < 0 && exchange.result > 0)
			exchange.result = -EIO;
out:
	nl_cb_put(cb);
	nlmsg_free(msg);
	return exchange.result;
}

static struct nl_msg *request(struct ipvs_daemon *daemon, uint8_t command, int flags)
{
	struct nl_msg *msg = nlmsg_alloc();

	if (!msg || !genlmsg_put(msg, NL_AUTO_PORT, NL_AUTO_SEQ, daemon->family, 0, flags, command,
				 IPVS_GENL_VERSION))
		abort(); /* a page of memory, and a header in it */
	return msg;
}

static void find_reply(struct nlattr **attrs, void *arg)
{
	char(*interfaces)[IFNAMSIZ] = arg;
	struct nlattr *of[IPVS_DAEMON_ATTR_MAX + 1];

	if (!attrs[IPVS_CMD_ATTR_DAEMON] ||
	    nla_parse_nested(of, IPVS_DAEMON_ATTR_MAX, attrs[IPVS_CMD_ATTR_DAEMON], NULL) < 0 ||
	    !of[IPVS_DAEMON_ATTR_STATE] || !of[IPVS_DAEMON_ATTR_MCAST_IFN])
		return;
	for (int role = 0; role < IPVS_DAEMON_ROLES; role++)
		if (nla_get_u32(of[IPVS_DAEMON_ATTR_STATE]) == role_states[role])
			nla_strlcpy(interfaces[role], of[IPVS_DAEMON_ATTR_MCAST_IFN], IFNAMSIZ);
}

int ipvs_daemon_find(struct ipvs_daemon *daemon, char ret_interfaces[IPVS_DAEMON_ROLES][IFNAMSIZ])
{
	char interfaces[IPVS_DAEMON_ROLES][IFNAMSIZ] = {{0}};
	int r = talk(daemon, request(daemon, IPVS_CMD_GET_DAEMON, NLM_F_DUMP), find_reply,
		     interfaces);

	if (r == 0)
		memcpy(ret_interfaces, interfaces, sizeof(interfaces));
	return r;
}

int ipvs_daemon_start(struct ipvs_daemon *daemon, enum ipvs_daemon_role role,
		      const struct ipvs_daemon_options *options)
{
	struct nl_msg *msg = request(daemon, IPVS_CMD_NEW_DAEMON, NLM_F_ACK);
	struct nlattr *nest = nla_nest_start(msg, IPVS_CMD_ATTR_DAEMON);

	nla_put_u32(msg, IPVS_DAEMON_ATTR_STATE, role_states[role]);
	nla_put_string(msg, IPVS_DAEMON_ATTR_MCAST_IFN, options->interface);
	nla_put_u32(msg, IPVS_DAEMON_ATTR_SYNC_ID, options->syncid);
	nla_put_u16(msg, IPVS_DAEMON_ATTR_SYNC_MAXLEN, options->maxlen);
	nla_put_u32(msg, IPVS_DAEMON_ATTR_MCAST_GROUP, htonl(options->group));
	nla_put_u16(msg, IPVS_DAEMON_ATTR_MCAST_PORT, options->port);
	nla_nest_end(msg, nest);
	return talk(daemon, msg, NULL, NULL);
}

int ipvs_daemon_stop(struct ipvs_daemon *daemon, enum ipvs_daemon_role role)
{
	struct nl_msg *msg = request(daemon, IPVS_CMD_DEL_DAEMON, NLM_F_ACK);
	struct nlattr *nest = nla_nest_start(msg, IPVS_CMD_ATTR_DAEMON);
	int r;

	nla_put_u32(msg, IPVS_DAEMON_ATTR_STATE, role_states[role]);
	nla_nest_end(msg, nest);
	r = talk(daemon, msg, NULL, NULL);
	return r == -ESRCH ? 0 : r;
}

int ipvs_daemon_stop_left(const char *interface)
{
	char interfaces[IPVS_DAEMON_ROLES][IFNAMSIZ];
	struct ipvs_daemon *daemon;
	int r = ipvs_daemon_open(&daemon);

	if (r < 0)
		return r;
	r = ipvs_daemon_find(daemon, interfaces);
	for (int role = 0; role < IPVS_DAEMON_ROLES && r == 0; role++)
		if (strcmp(interfaces[role], interface) == 0)
			r = ipvs_daemon_stop(daemon, (enum ipvs_daemon_role)role);
	ipvs_daemon_close(daemon);
	return r;
}

static void put_address(struct nl_msg *msg, int attribute, uint32_t address)
{
	uint8_t bytes[16] = {0}; /* union nf_inet_addr */

	store_be32(bytes, address);
	nla_put(msg, attribute, sizeof(bytes), bytes);
}

static struct nl_msg *probe_request(struct ipvs_daemon *daemon, uint8_t command,
				    const struct ipvs_daemon_probe *probe)
{
	struct ip_vs_flags flags = {.flags = 0, .mask = ~(__u32)0};
	struct nl_msg *msg = request(daemon, command, NLM_F_ACK);
	struct nlattr *nest = nla_nest_start(msg, IPVS_CMD_ATTR_SERVICE);

	nla_put_u16(msg, IPVS_SVC_ATTR_AF, AF_INET);
	nla_put_u16(msg, IPVS_SVC_ATTR_PROTOCOL, IPPROTO_TCP);
	put_address(msg, IPVS_SVC_ATTR_ADDR, probe->address);
	nla_put_u16(msg, IPVS_SVC_ATTR_PORT, htons(probe->port));
	nla_put_string(msg, IPVS_SVC_ATTR_SCHED_NAME, "rr");
	nla_put(msg, IPVS_SVC_ATTR_FLAGS, sizeof(flags), &flags);
	nla_put_u32(msg, IPVS_SVC_ATTR_TIMEOUT, 0);
	nla_put_u32(msg, IPVS_SVC_ATTR_NETMASK, UINT32_MAX);
	nla_nest_end(msg, nest);
	return msg;
}

int ipvs_daemon_add_probe(struct ipvs_daemon *daemon, const struct ipvs_daemon_probe *probe)
{
	struct nl_msg *msg;
	struct nlattr *nest;
	int r = ipvs_daemon_remove_probe(daemon, probe);

	if (r == 0)
		r = talk(daemon, probe_request(daemon, IPVS_CMD_NEW_SERVICE, probe), NULL, NULL);
	if (r < 0)
		return r;
	msg = probe_request(daemon, IPVS_CMD_NEW_DEST, probe);
	nest = nla_nest_start(msg, IPVS_CMD_ATTR_DEST);
	put_address(msg, IPVS_DEST_ATTR_ADDR, probe->server);
	nla_put_u16(msg, IPVS_DEST_ATTR_ADDR_FAMILY, AF_INET);
	nla_put_u16(msg, IPVS_DEST_ATTR_PORT, htons(probe->port));
	nla_put_u32(msg, IPVS_DEST_ATTR_FWD_METHOD, IP_VS_CONN_F_DROUTE);
	nla_put_u32(msg, IPVS_DEST_ATTR_WEIGHT, 1);
	nla_put_u32(msg, IPVS_DEST_ATTR_U_THRESH, 0);
	nla_put_u32(msg, IPVS_DEST_ATTR_L_THRESH, 0);
	nla_nest_end(msg, nest);
	return talk(daemon, msg, NULL, NULL);
}

int ipvs_daemon_remove_probe(struct ipvs_daemon *daemon, const struct ipvs_daemon_probe *probe)
{
	int r = talk(daemon, probe_request(daemon, IPVS_CMD_DEL_SERVICE, probe), NULL, NULL);

	return r == -ESRCH ? 0 : r;
}

int ipvs_daemon_find_probe(struct ipvs_daemon *daemon, const struct ipvs_daemon_probe *probe)
{
	return talk(daemon, probe_request(daemon, IPVS_CMD_GET_SERVICE, probe), NULL, NULL);
}

static void conns_reply(struct nlattr **attrs, void *arg)
{
	struct nlattr *of[IPVS_DEST_ATTR_MAX + 1];
	uint32_t *count = arg;

	if (!attrs[IPVS_CMD_ATTR_DEST] ||
	    nla_parse_nested(of, IPVS_DEST_ATTR_MAX, attrs[IPVS_CMD_ATTR_DEST], NULL) < 0 ||
	    !of[IPVS_DEST_ATTR_ACTIVE_CONNS] || !of[IPVS_DEST_ATTR_INACT_CONNS])
		return;
	*count += nla_get_u32(of[IPVS_DEST_ATTR_ACTIVE_CONNS]) +
		  nla_get_u32(of[IPVS_DEST_ATTR_INACT_CONNS]);
}

int ipvs_daemon_probe_conns(struct ipvs_daemon *daemon, const struct ipvs_daemon_probe *probe,
			    uint32_t *ret_count)
{
	struct nl_msg *msg = probe_request(daemon, IPVS_CMD_GET_DEST, probe);
	uint32_t count = 0;
	int r;

	nlmsg_hdr(msg)->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	r = talk(daemon, msg, conns_reply, &count);
	if (r == 0)
		*ret_count = count;
	return r;
}

static void table_size_reply(struct nlattr **attrs, void *arg)
{
	if (attrs[IPVS_INFO_ATTR_CONN_TAB_SIZE])
		*(uint32_t *)arg = nla_get_u32(attrs[IPVS_INFO_ATTR_CONN_TAB_SIZE]);
}

int ipvs_daemon_table_size(struct ipvs_daemon *daemon, uint32_t *ret_size)
{
	uint32_t size = 0;
	int r = talk(daemon, request(daemon, IPVS_CMD_GET_INFO, NLM_F_ACK), table_size_reply,
		     &size);

	if (r == 0)
		*ret_size = size;
	return r;
}
