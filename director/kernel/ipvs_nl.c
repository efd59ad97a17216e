/* IPVS's services and real servers by generic netlink: lists them, and applies the changes of a
 * plan. */
#include "director/kernel/ipvs.h"

#include <errno.h>
#include <linux/ip_vs.h>
#include <netlink/genl/ctrl.h>
#include <netlink/genl/genl.h>
#include <stdio.h>
#include <stdlib.h>

#include "director/kernel/ipvs_attr_nl.h"

#define BATCH_BYTES 16384
#define BATCH_MESSAGES 64
#define DUMP_ATTEMPTS 10

struct ipvs {
	struct nl_sock *socket;
	int family;
	uint32_t seq; /* of the last message */
	uint64_t sent;
};

/* Messages for one write, and the operations they belong to. */
struct batch {
	struct ipvs *ipvs;
	const struct plan_op *ops[BATCH_MESSAGES]; /* of each message */
	unsigned int count;
	uint32_t first; /* seq of ops[0] */
	size_t used;
	uint8_t bytes[BATCH_BYTES];
	struct ipvs_error *error;
	int first_error;
};

/* libnl's errors are fewer than errno's; only of the socket itself, the kernel's come through. */
static int nl_errno(int nle)
{
	switch (-nle) {
	case NLE_PERM:
	case NLE_NOACCESS:
		return -EPERM;
	case NLE_NOMEM:
		return -ENOBUFS;
	case NLE_OBJ_NOTFOUND:
		return -ENOENT;
	default:
		return -EIO;
	}
}

static int say(struct ipvs_error *ret_error, int error, const char *what)
{
	const char *why = strerror(-error), *remedy = "the log of the kernel may say more";

	if (error == -EPERM) {
		why = "not permitted";
		remedy = "run lvsmeshd as root or with CAP_NET_ADMIN";
	} else if (error == -ENOENT) {
		why = "this kernel has no IPVS";
		remedy = "run modprobe ip_vs";
	} else if (error == -EAGAIN) {
		why = "it kept changing";
		remedy = "find the other program that changes IPVS";
	}
	snprintf(ret_error->text, sizeof(ret_error->text), "%s: %s; %s", what, why, remedy);
	return error;
}

static int say_why(struct ipvs_error *ret_error, int error, const char *what, const char *remedy)
{
	snprintf(ret_error->text, sizeof(ret_error->text), "%s: %s; %s", what, strerror(-error),
		 remedy);
	return error;
}

int ipvs_open(struct ipvs **ret_ipvs, struct ipvs_error *ret_error)
{
	struct ipvs *ipvs = calloc(1, sizeof(*ipvs));
	int r;

	*ret_error = (struct ipvs_error){0};
	if (!ipvs)
		return say(ret_error, -ENOMEM, "open IPVS");
	ipvs->socket = nl_socket_alloc();
	errno = ENOBUFS;
	if (!ipvs->socket || genl_connect(ipvs->socket) < 0) {
		r = -errno; /* libnl's own number keeps less */
		ipvs_close(ipvs);
		return say_why(ret_error, r, "netlink socket", "see the limits of lvsmeshd");
	}
	r = ipvs->family = genl_ctrl_resolve(ipvs->socket, IPVS_GENL_NAME);
	if (r < 0) {
		ipvs_close(ipvs);
		return say(ret_error, nl_errno(r), "open IPVS");
	}
	*ret_ipvs = ipvs;
	return 0;
}

void ipvs_close(struct ipvs *ipvs)
{
	if (!ipvs)
		return;
	nl_socket_free(ipvs->socket);
	free(ipvs);
}

static struct nl_msg *new_message(struct ipvs *ipvs, uint8_t command, int flags)
{
	struct nl_msg *msg = nlmsg_alloc();

	if (msg && !genlmsg_put(msg, 0, ++ipvs->seq, ipvs->family, 0, NLM_F_REQUEST | flags,
				command, IPVS_GENL_VERSION)) {
		nlmsg_free(msg);
		return NULL;
	}
	return msg;
}

/* Called for every message of an answer. */
typedef int (*take_t)(struct nlmsghdr *header, void *context);

/* Sends one request and reads its answer to the end. 0; -errno of the kernel's or of `take`;
 * -EINTR: something changed meanwhile. */
static int ask(struct ipvs *ipvs, struct nl_msg *msg, take_t take, void *context)
{
	struct sockaddr_nl from;
	bool done = false, interrupted = false;
	int r = nl_sendto(ipvs->socket, nlmsg_hdr(msg), nlmsg_hdr(msg)->nlmsg_len);

	r = r < 0 ? nl_errno(r) : 0;
	while (!done && r == 0) {
		struct nlmsghdr *header;
		unsigned char *data = NULL;
		int left = nl_recv(ipvs->socket, &from, &data, NULL);

		if (left <= 0)
			return left ? nl_errno(left) : -EIO;
		header = (struct nlmsghdr *)data;
		for (; nlmsg_ok(header, left); header = nlmsg_next(header, &left)) {
			if (header->nlmsg_seq != ipvs->seq)
				continue;
			interrupted |= (header->nlmsg_flags & NLM_F_DUMP_INTR) != 0;
			if (header->nlmsg_type == NLMSG_ERROR)
				r = ((struct nlmsgerr *)nlmsg_data(header))->error;
			else if (header->nlmsg_type != NLMSG_DONE && r == 0)
				r = take(header, context);
			done |= header->nlmsg_type == NLMSG_ERROR ||
				header->nlmsg_type == NLMSG_DONE;
		}
		free(data);
	}
	return r == 0 && interrupted ? -EINTR : r;
}

static int take_info(struct nlmsghdr *header, void *context)
{
	struct nlattr *attrs[IPVS_INFO_ATTR_MAX + 1];
	struct ipvs_info *info = context;

	if (genlmsg_parse(header, 0, attrs, IPVS_INFO_ATTR_MAX, NULL) < 0 ||
	    !attrs[IPVS_INFO_ATTR_VERSION] || !attrs[IPVS_INFO_ATTR_CONN_TAB_SIZE])
		return -EPROTO;
	info->version = nla_get_u32(attrs[IPVS_INFO_ATTR_VERSION]);
	info->conn_tab_size = nla_get_u32(attrs[IPVS_INFO_ATTR_CONN_TAB_SIZE]);
	return 0;
}

int ipvs_get_info(struct ipvs *ipvs, struct ipvs_info *ret_info, struct ipvs_error *ret_error)
{
	struct nl_msg *msg = new_message(ipvs, IPVS_CMD_GET_INFO, NLM_F_ACK);
	struct ipvs_info info = {0};
	int r = msg ? ask(ipvs, msg, take_info, &info) : -ENOMEM;

	nlmsg_free(msg);
	if (r < 0)
		return say(ret_error, r, "ask IPVS for its version");
	*ret_info = info;
	return 0;
}

static int take_service(struct nlmsghdr *header, void *context)
{
	struct service service;
	int r = ipvs_attr_get_service(header, &service);

	if (r < 0)
		return r;
	return service_set_add(context, &service) ? 0 : -ENOMEM;
}

static int take_real(struct nlmsghdr *header, void *context)
{
	struct service *service = context;
	struct real_server real;
	int r = ipvs_attr_get_real(header, service->key.vip.ip.family, &real);

	if (r < 0)
		return r;
	return service_add(service, &real) ? 0 : -ENOMEM;
}

static void reverse_reals(struct service *service)
{
	for (size_t i = 0, j = service->n_real_servers; i + 1 < j; i++) {
		struct real_server real = service->real_servers[--j];

		service->real_servers[j] = service->real_servers[i];
		service->real_servers[i] = real;
	}
}

static int dump_reals(struct ipvs *ipvs, struct service *service)
{
	struct nl_msg *msg = new_message(ipvs, IPVS_CMD_GET_DEST, NLM_F_DUMP);
	int r = msg ? ipvs_attr_put_service(msg, service, false) : -ENOMEM;

	if (r == 0)
		r = ask(ipvs, msg, take_real, service);
	nlmsg_free(msg);
	/* The kernel adds at the head of its list. */
	reverse_reals(service);
	return r;
}

static int dump_once(struct ipvs *ipvs, struct service_set *set)
{
	struct nl_msg *msg = new_message(ipvs, IPVS_CMD_GET_SERVICE, NLM_F_DUMP);
	int r = msg ? ask(ipvs, msg, take_service, set) : -ENOMEM;

	nlmsg_free(msg);
	for (size_t i = 0; r == 0 && i < set->count; i++)
		r = dump_reals(ipvs, &set->services[i]);
	return r;
}

static int compare_services(const void *a, const void *b)
{
	const struct service *sa = a, *sb = b;

	return service_key_compare(&sa->key, &sb->key);
}

int ipvs_dump(struct ipvs *ipvs, struct service_set *ret_set, struct ipvs_error *ret_error)
{
	struct service_set set = {0};
	int r = -EINTR;

	for (int i = 0; r == -EINTR && i < DUMP_ATTEMPTS; i++) {
		service_set_fini(&set);
		r = dump_once(ipvs, &set);
	}
	if (r < 0) {
		service_set_fini(&set);
		return say(ret_error, r == -EINTR ? -EAGAIN : r, "list the services of IPVS");
	}
	if (set.count > 0)
		qsort(set.services, set.count, sizeof(*set.services), compare_services);
	*ret_set = set;
	return 0;
}

static void blame(struct batch *batch, const struct plan_op *op, int error)
{
	const struct service *service = op->service;
	char key[SERVICE_TEXT], real[ENDPOINT_TEXT], remedy[128], *text = batch->error->text;
	size_t size = sizeof(batch->error->text);
	const char *why = strerror(-error);
	bool adds = op->kind == PLAN_ADD_SERVICE || op->kind == PLAN_EDIT_SERVICE;
	int used;

	if (batch->error->failed++ > 0)
		return;
	batch->first_error = error;
	snprintf(remedy, sizeof(remedy), "lvsmeshd tries again every 5 seconds");
	if (error == -EPERM) {
		why = "not permitted";
		snprintf(remedy, sizeof(remedy), "run lvsmeshd as root or with CAP_NET_ADMIN");
	} else if (error == -ENOENT && adds) {
		why = service->engine[0] ? "the kernel lacks its scheduler or persistence engine"
					 : "the kernel lacks its scheduler";
		snprintf(remedy, sizeof(remedy), "run modprobe ip_vs_%s%s%s", service->scheduler,
			 service->engine[0] ? " and modprobe ip_vs_pe_" : "", service->engine);
	} else if (error == -EINVAL && op->real) {
		why = "the kernel says that it is not a unicast address";
		snprintf(remedy, sizeof(remedy), "look at ip route get %s",
			 ip_addr_format(&op->real->endpoint.ip, real));
	}
	used = snprintf(text, size, "%s ", plan_kind_name(op->kind));
	if (op->real)
		used += snprintf(text + used, size - (size_t)used, "real server %s of ",
				 endpoint_format(&op->real->endpoint, real));
	snprintf(text + used, size - (size_t)used, "%s: %s; %s",
		 service_key_format(&service->key, key), why, remedy);
}

/* Every message is answered, in turn, before the write returns. */
static void read_answers(struct batch *batch)
{
	unsigned int answered = 0;
	struct sockaddr_nl from;

	while (answered < batch->count) {
		struct nlmsghdr *header;
		unsigned char *data = NULL;
		int left = nl_recv(batch->ipvs->socket, &from, &data, NULL);

		if (left <= 0) {
			blame(batch, batch->ops[answered], left ? nl_errno(left) : -EIO);
			return;
		}
		header = (struct nlmsghdr *)data;
		for (; nlmsg_ok(header, left); header = nlmsg_next(header, &left)) {
			uint32_t index = header->nlmsg_seq - batch->first;
			int error;

			if (header->nlmsg_type != NLMSG_ERROR || index >= batch->count)
				continue;
			error = ((struct nlmsgerr *)nlmsg_data(header))->error;
			if (error < 0)
				blame(batch, batch->ops[index], error);
			answered++;
		}
		free(data);
	}
}

static void flush(struct batch *batch)
{
	int r;

	if (batch->count == 0)
		return;
	r = nl_sendto(batch->ipvs->socket, batch->bytes, batch->used);
	if (r < 0)
		blame(batch, batch->ops[0], nl_errno(r));
	else
		read_answers(batch);
	batch->ipvs->sent += batch->count;
	batch->count = 0;
	batch->used = 0;
}

static const struct service *service_of(const struct plan_op *op, struct service *plain)
{
	if (op->kind != PLAN_PLAIN_SERVICE)
		return op->service;
	*plain = *op->service;
	strcpy(plain->scheduler, "rr");
	plain->flags &= SERVICE_ONE_PACKET;
	return plain;
}

static void append(struct batch *batch, const struct plan_op *op, const struct real_server *real,
		   uint8_t command, bool whole)
{
	uint32_t seq = batch->ipvs->seq;
	struct nl_msg *msg = new_message(batch->ipvs, command, NLM_F_ACK);
	struct service plain;
	int r = msg ? 0 : -ENOMEM;

	if (r == 0)
		r = ipvs_attr_put_service(msg, service_of(op, &plain), whole && !real);
	if (r == 0 && real)
		r = ipvs_attr_put_real(msg, real, whole);
	if (r < 0) {
		batch->ipvs->seq = seq;
		blame(batch, op, r);
	} else {
		struct nlmsghdr *header = nlmsg_hdr(msg);

		if (batch->count == 0)
			batch->first = header->nlmsg_seq;
		memcpy(batch->bytes + batch->used, header, header->nlmsg_len);
		batch->used += NLMSG_ALIGN(header->nlmsg_len);
		batch->ops[batch->count++] = op;
	}
	nlmsg_free(msg);
}

/* The weight that mh is to remember beside weight 0 comes first. */
static void append_real(struct batch *batch, const struct plan_op *op, uint8_t command)
{
	struct real_server first = *op->real;

	if (first.weight == 0 && first.table_weight) {
		first.weight = first.table_weight;
		append(batch, op, &first, command, true);
		command = IPVS_CMD_SET_DEST;
	}
	append(batch, op, op->real, command, true);
}

static void append_op(struct batch *batch, const struct plan_op *op)
{
	switch (op->kind) {
	case PLAN_ADD_SERVICE:
		append(batch, op, NULL, IPVS_CMD_NEW_SERVICE, true);
		break;
	case PLAN_EDIT_SERVICE:
	case PLAN_PLAIN_SERVICE:
		append(batch, op, NULL, IPVS_CMD_SET_SERVICE, true);
		break;
	case PLAN_DELETE_SERVICE:
		append(batch, op, NULL, IPVS_CMD_DEL_SERVICE, false);
		break;
	case PLAN_ADD_REAL:
		append_real(batch, op, IPVS_CMD_NEW_DEST);
		break;
	case PLAN_EDIT_REAL:
		append(batch, op, op->real, IPVS_CMD_SET_DEST, true);
		break;
	case PLAN_SHARE_REAL:
		append_real(batch, op, IPVS_CMD_SET_DEST);
		break;
	case PLAN_DELETE_REAL:
		append(batch, op, op->real, IPVS_CMD_DEL_DEST, false);
		break;
	case PLAN_MOVE_REAL:
		append(batch, op, op->real, IPVS_CMD_DEL_DEST, false);
		append_real(batch, op, IPVS_CMD_NEW_DEST);
		break;
	}
}

int ipvs_apply(struct ipvs *ipvs, const struct plan *plan, struct ipvs_error *ret_error)
{
	struct batch *batch = calloc(1, sizeof(*batch));
	int r;

	*ret_error = (struct ipvs_error){0};
	if (!batch)
		return say(ret_error, -ENOMEM, "program IPVS");
	batch->ipvs = ipvs;
	batch->error = ret_error;
	for (size_t i = 0; i < plan->count; i++) {
		/* Three messages of an operation always fit. */
		if (batch->count + 3 > BATCH_MESSAGES || batch->used + 1024 > BATCH_BYTES)
			flush(batch);
		append_op(batch, &plan->ops[i]);
	}
	flush(batch);
	r = batch->first_error;
	free(batch);
	return r;
}

uint64_t ipvs_sent(const struct ipvs *ipvs)
{
	return ipvs->sent;
}
