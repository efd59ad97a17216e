#include "tests/sim/membership_sim_private.h"

static bool sim_chance(struct sim *sim, unsigned int of_1000)
{
	return of_1000 && sim_random(sim, 1000) < of_1000;
}

static bool earlier(const struct event *a, const struct event *b)
{
	return a->time < b->time || (a->time == b->time && a->order < b->order);
}

void sim_push(struct sim *sim, struct event event)
{
	size_t i = sim->heap_len++, up;

	if (i == sim->heap_cap) {
		sim->heap_cap = MAX(2 * sim->heap_cap, (size_t)1024);
		sim->heap = realloc(sim->heap, sim->heap_cap * sizeof(event));
		assert(sim->heap);
	}
	event.order = ++sim->order;
	for (; i > 0; i = up) {
		up = (i - 1) / 2;
		if (!earlier(&event, &sim->heap[up]))
			break;
		sim->heap[i] = sim->heap[up];
	}
	sim->heap[i] = event;
}

struct event sim_pop(struct sim *sim)
{
	struct event top = sim->heap[0], last = sim->heap[--sim->heap_len];
	size_t i = 0, child;

	while ((child = 2 * i + 1) < sim->heap_len) {
		if (child + 1 < sim->heap_len && earlier(&sim->heap[child + 1], &sim->heap[child]))
			child++;
		if (!earlier(&sim->heap[child], &last))
			break;
		sim->heap[i] = sim->heap[child];
		i = child;
	}
	sim->heap[i] = last;
	return top;
}

static uint8_t *copy(const uint8_t *data, size_t len)
{
	uint8_t *to = malloc(MAX(len, (size_t)1));

	assert(to);
	memcpy(to, data, len);
	return to;
}

static usec_t sim_delay(struct sim *sim)
{
	return 100 + sim_random(sim, 400);
}

static bool is_cut(const struct sim *sim, unsigned int from, unsigned int to, enum sim_way way,
		   unsigned int net)
{
	return ((unsigned int)sim->cuts[from * 2 * sim->count + to] >> 2 * net & way) != 0;
}

static bool find_endpoint(const struct sim *sim, const struct endpoint *endpoint,
			  unsigned int *ret_host, unsigned int *ret_net)
{
	unsigned int n = endpoint->ip.bytes[2] * 256u + endpoint->ip.bytes[3];

	if (endpoint->ip.family != AF_INET || n >= 2 * sim->count || endpoint->port != PORT)
		return false;
	*ret_host = n;
	*ret_net = endpoint->ip.bytes[1];
	return *ret_net < NETS;
}

void sim_transmit(struct sim *sim, unsigned int from, const struct membership_target *target,
		  const uint8_t *data, size_t len)
{
	unsigned int to, net, copies = 1;
	struct event event;

	sim->status.datagrams++;
	sim->status.bytes += len + 28;
	if (!find_endpoint(sim, &target->remote, &to, &net))
		return;
	if (sim->tap)
		sim->tap(sim, from, to, data, len, sim->tap_arg);
	if (sim_chance(sim, sim->repeat))
		copies = 2;
	for (; copies > 0; copies--) {
		if (is_cut(sim, from, to, SIM_UDP, net) || sim_chance(sim, sim->loss))
			continue;
		event = (struct event){.time = sim->time + sim_delay(sim),
				       .type = DATAGRAM,
				       .to = to,
				       .from = from,
				       .local = net,
				       .data = copy(data, len),
				       .len = len};
		if (sim_chance(sim, sim->corrupt)) {
			size_t at = sim_random(sim, len);

			event.data[at] ^= (uint8_t)(1 + sim_random(sim, 255));
		}
		sim_push(sim, event);
	}
}

void sim_inject(struct sim *sim, unsigned int to, const uint8_t *data, size_t len)
{
	sim_push(sim, (struct event){.time = sim->time,
				     .type = DATAGRAM,
				     .to = to,
				     .from = to,
				     .data = copy(data, len),
				     .len = len});
}

void sim_tap(struct sim *sim,
	     void (*tap)(struct sim *, unsigned int, unsigned int, const uint8_t *, size_t, void *),
	     void *arg)
{
	sim->tap = tap;
	sim->tap_arg = arg;
}

static void stream_event(struct sim *sim, struct link *link, unsigned int to, enum type type,
			 usec_t time)
{
	sim_push(sim, (struct event){.time = time, .type = type, .to = to, .link = link});
}

/* A lost segment of a handshake comes a second later, any other 200 ms later. */
static usec_t tcp_delay(struct sim *sim, unsigned int segments, usec_t again)
{
	usec_t time = 0;

	for (unsigned int i = 0; i < segments; i++) {
		time += sim_delay(sim);
		while (sim_chance(sim, sim->loss))
			time += again;
	}
	return time;
}

void sim_dial(struct sim *sim, unsigned int from, const struct membership_dialling *dialling)
{
	struct link *link;
	unsigned int to, net;

	sim->status.streams++;
	if (!find_endpoint(sim, &dialling->remote, &to, &net) ||
	    is_cut(sim, from, to, SIM_TCP, net) || is_cut(sim, to, from, SIM_TCP, net) ||
	    sim->hosts[to].host_down)
		return;
	link = calloc(1, sizeof(*link));
	assert(link);
	*link = (struct link){
		.a = from, .b = to, .na = dialling->stream, .net = net, .next = sim->links};
	sim->links = link;
	if (!sim->hosts[to].core) {
		stream_event(sim, link, from, REFUSED, sim->time + tcp_delay(sim, 2, USEC_PER_SEC));
		return;
	}
	stream_event(sim, link, to, OPENED,
		     sim->time + tcp_delay(sim, 2, USEC_PER_SEC) + tcp_delay(sim, 3, 200000));
}

void sim_end(struct sim *sim, unsigned int n, unsigned int stream)
{
	struct link *link = sim->hosts[n].links[stream];

	sim->hosts[n].links[stream] = NULL;
	if (!link)
		return;
	if (n == link->a) {
		link->closed_a = true;
		if (!link->closed_b)
			stream_event(sim, link, link->b, CLOSED,
				     MAX(sim->time + sim_delay(sim), link->last_b));
	} else {
		link->closed_b = true;
		if (!link->closed_a)
			stream_event(sim, link, link->a, CLOSED,
				     MAX(sim->time + sim_delay(sim), link->last_a));
	}
}

void sim_send_frames(struct sim *sim, unsigned int n, unsigned int stream)
{
	static uint8_t data[MEMBERSHIP_BODY_MAX];
	struct link *link = sim->hosts[n].links[stream];
	uint8_t kind;
	size_t len;

	while (membership_frame(sim->hosts[n].core, stream, data, &kind, &len) == 0) {
		unsigned int to = link && n == link->a ? link->b : link ? link->a : 0;
		usec_t *last = link && n == link->a ? &link->last_b : link ? &link->last_a : NULL;

		sim->status.stream_bytes += len + 21;
		if (!link || is_cut(sim, n, to, SIM_TCP, link->net))
			continue;
		*last = MAX(*last, sim->time) + tcp_delay(sim, 1, 200000);
		sim_push(sim, (struct event){.time = *last,
					     .type = FRAME,
					     .to = to,
					     .link = link,
					     .kind = kind,
					     .data = copy(data, len),
					     .len = len});
	}
}

void sim_loss(struct sim *sim, unsigned int loss, unsigned int repeat, unsigned int corrupt)
{
	sim->loss = loss;
	sim->repeat = repeat;
	sim->corrupt = corrupt;
}

void sim_cut(struct sim *sim, unsigned int a, unsigned int b, enum sim_way way, unsigned int net,
	     bool cut)
{
	size_t at = a * 2 * sim->count + b;
	uint8_t bits = (uint8_t)(net == 2 ? way | way << 2 : way << 2 * net);

	sim->cuts[at] = (uint8_t)(cut ? sim->cuts[at] | bits : sim->cuts[at] & ~bits);
	sim->mended[at] = sim->time;
}

void sim_partition(struct sim *sim, uint64_t bits, bool cut)
{
	for (unsigned int a = 0; a < sim->count; a++)
		for (unsigned int b = 0; b < sim->count; b++)
			if ((bits >> a & 1) != (bits >> b & 1))
				sim_cut(sim, a, b, SIM_BOTH, 2, cut);
}

void sim_heal(struct sim *sim)
{
	for (unsigned int a = 0; a < 2 * sim->count; a++)
		for (unsigned int b = 0; b < 2 * sim->count; b++)
			if (sim->cuts[a * 2 * sim->count + b])
				sim_cut(sim, a, b, SIM_BOTH, 2, false);
}
