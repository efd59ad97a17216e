#include "director/control/io_control.h"

#include <errno.h>
#include <libgen.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "director/io_clock.h"

#define BACKLOG 64

struct client {
	uv_pipe_t pipe;
	uv_timer_t timer;
	uv_idle_t idle; /* the answer's next piece has to wait for the next turn */
	struct io_control *control;
	unsigned int handles;
	bool closing;
	pid_t process;  /* whose client it is */
	uint64_t since; /* ms, of the loop: connected, or took something of its answer */

	size_t asked; /* bytes of the request */
	char request[CONTROL_REQUEST_MAX];
	struct control_answer *answer;
	bool follows; /* events */
	bool waiting; /* for the next one */
	bool last;    /* the buffer being written is the last */
	uv_write_t write;
	char chunk[IO_CONTROL_PIECE];
};

struct io_control {
	uv_pipe_t listener;
	uv_idle_t next;       /* while connections were taken in this turn */
	unsigned int accepts; /* in this turn */
	bool pending;         /* libuv holds one more, for the next turn */
	struct control_source source;
	struct client *clients[IO_CONTROL_CLIENTS];
	size_t handles; /* the listener, next, and a client each */
	uint64_t refused[CONTROL_E_MAX];
	void (*done)(void *context);
	void *context;
};

static void finish(struct io_control *control)
{
	if (--control->handles > 0)
		return;
	if (control->done)
		control->done(control->context);
	free(control);
}

static void client_freed(uv_handle_t *handle)
{
	struct client *client = handle->data;
	struct io_control *control = client->control;

	if (--client->handles > 0)
		return;
	control_answer_free(client->answer);
	free(client);
	finish(control);
}

static void client_close(struct client *client)
{
	struct io_control *control = client->control;

	if (client->closing)
		return;
	client->closing = true;
	for (unsigned int i = 0; i < IO_CONTROL_CLIENTS; i++)
		if (control->clients[i] == client)
			control->clients[i] = NULL;
	uv_close((uv_handle_t *)&client->pipe, client_freed);
	uv_close((uv_handle_t *)&client->timer, client_freed);
	uv_close((uv_handle_t *)&client->idle, client_freed);
}

static void expired(uv_timer_t *timer)
{
	struct client *client = timer->data;

	client->control->refused[CONTROL_E_SLOW]++;
	client_close(client);
}

static void proceed(struct client *client);

static void next_turn(uv_idle_t *idle)
{
	struct client *client = idle->data;

	uv_idle_stop(idle);
	proceed(client);
}

/* libuv calls this again and again in one turn as long as the socket has room. */
static void written(uv_write_t *write, int status)
{
	struct client *client = container_of(write, struct client, write);

	if (client->closing)
		return;
	if (status < 0 || client->last) {
		client_close(client);
		return;
	}
	client->since = uv_now(write->handle->loop);
	uv_timer_again(&client->timer);
	uv_idle_start(&client->idle, next_turn);
}

static void chunk_write(struct client *client, size_t len)
{
	uv_buf_t buf = uv_buf_init(client->chunk, (unsigned int)len);

	if (uv_write(&client->write, (uv_stream_t *)&client->pipe, &buf, 1, written) < 0)
		client_close(client);
}

static void proceed(struct client *client)
{
	enum control_progress progress;
	size_t len = control_answer_read(client->answer, clock_now(), client->chunk,
					 sizeof(client->chunk), &progress);

	client->last = progress == CONTROL_END;
	client->waiting = len == 0 && progress == CONTROL_WAIT;
	if (client->waiting)
		uv_timer_stop(&client->timer);
	else if (len > 0)
		chunk_write(client, len);
	else if (client->last)
		client_close(client);
	else
		uv_idle_start(&client->idle, next_turn);
}

void io_control_wake(struct io_control *control)
{
	for (unsigned int i = 0; i < IO_CONTROL_CLIENTS; i++) {
		struct client *client = control->clients[i];

		if (!client || !client->waiting)
			continue;
		uv_timer_again(&client->timer);
		proceed(client);
	}
}

static void refuse(struct client *client, int error)
{
	size_t len = control_answer_refuse(error, client->chunk, sizeof(client->chunk));

	client->control->refused[error]++;
	client->last = true;
	chunk_write(client, len);
}

static void follower_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
	struct client *client = handle->data;

	(void)suggested;
	*buf = uv_buf_init(client->request, sizeof(client->request));
}

/* A follower sends no more requests: its socket is read only to notice its end. */
static void follower_read(uv_stream_t *stream, ssize_t len, const uv_buf_t *buf)
{
	(void)buf;
	if (len != 0)
		client_close(stream->data);
}

/* false: there is no place for one more. */
static bool follower_admit(struct client *client)
{
	struct io_control *control = client->control;
	unsigned int followers = 0;

	for (unsigned int i = 0; i < IO_CONTROL_CLIENTS; i++)
		followers += control->clients[i] && control->clients[i]->follows;
	client->follows = followers < IO_CONTROL_FOLLOWERS;
	return client->follows &&
	       uv_read_start((uv_stream_t *)&client->pipe, follower_alloc, follower_read) == 0;
}

/* A client that gave up waiting reports that its command failed, so it must not be carried out. One
 * that has only finished writing is still there: POLLHUP distinguishes them. */
static bool client_gone(const struct client *client)
{
	struct pollfd poll_fd = {.events = POLLHUP};

	return uv_fileno((const uv_handle_t *)&client->pipe, &poll_fd.fd) < 0 ||
	       (poll(&poll_fd, 1, 0) == 1 && poll_fd.revents & POLLHUP);
}

static void request_take(struct client *client, size_t len)
{
	struct io_control *control = client->control;
	struct control_request request;
	int r = control_request_parse(client->request, len, &request);

	if (client_gone(client)) {
		control->refused[CONTROL_E_GONE]++;
		client_close(client);
		return;
	}
	if (r < 0) {
		refuse(client, -r);
		return;
	}
	if (request.follow && !follower_admit(client)) {
		refuse(client, CONTROL_E_BUSY);
		return;
	}
	if (control_answer_new(&control->source, &request, clock_now(), &client->answer) < 0)
		client_close(client);
	else
		proceed(client);
}

static void request_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
	struct client *client = handle->data;

	(void)suggested;
	buf->base = client->request + client->asked;
	buf->len = sizeof(client->request) - client->asked;
}

static void request_read(uv_stream_t *stream, ssize_t len, const uv_buf_t *buf)
{
	struct client *client = stream->data;
	char *end;

	(void)buf;
	if (len < 0) {
		client_close(client);
		return;
	}
	client->asked += (size_t)len;
	end = memchr(client->request, '\n', client->asked);
	if (!end && client->asked < sizeof(client->request))
		return;
	uv_read_stop(stream);
	if (end)
		request_take(client, (size_t)(end - client->request));
	else
		refuse(client, CONTROL_E_OVERLONG);
}

static struct client *client_new(struct io_control *control)
{
	struct client *client = calloc(1, sizeof(*client));
	uv_loop_t *loop = control->listener.loop;

	if (!client)
		return NULL;
	client->control = control;
	if (uv_pipe_init(loop, &client->pipe, 0) < 0) {
		free(client);
		return NULL;
	}
	uv_timer_init(loop, &client->timer);
	uv_idle_init(loop, &client->idle);
	client->handles = 3;
	client->pipe.data = client->timer.data = client->idle.data = client;
	control->handles++;
	return client;
}

static bool is_idle(const struct client *client)
{
	uint64_t now = uv_now(client->timer.loop);

	if (client->waiting || client->last)
		return false;
	return !client->answer || now >= client->since + IO_CONTROL_STALLED_MS;
}

static unsigned int places_of(const struct io_control *control, pid_t process)
{
	unsigned int places = 0;

	for (unsigned int i = 0; i < IO_CONTROL_CLIENTS; i++)
		places += control->clients[i] && control->clients[i]->process == process;
	return places;
}

/* Evicts an idle client, the oldest of the process that has the most places. */
static unsigned int place_evict(struct io_control *control)
{
	unsigned int place = IO_CONTROL_CLIENTS, most = 0;
	char text[256];
	uv_buf_t buf;

	for (unsigned int i = 0; i < IO_CONTROL_CLIENTS; i++) {
		const struct client *client = control->clients[i];
		unsigned int places;

		if (!is_idle(client))
			continue;
		places = places_of(control, client->process);
		if (places > most ||
		    (places == most && client->since < control->clients[place]->since)) {
			place = i;
			most = places;
		}
	}
	if (place == IO_CONTROL_CLIENTS)
		return place;
	control->refused[CONTROL_E_EVICTED]++;
	buf = uv_buf_init(
		text, (unsigned int)control_answer_refuse(CONTROL_E_EVICTED, text, sizeof(text)));
	if (!control->clients[place]->answer)
		uv_try_write((uv_stream_t *)&control->clients[place]->pipe, &buf, 1);
	client_close(control->clients[place]);
	return place;
}

static pid_t process_of(const struct client *client)
{
	struct ucred credentials = {0};
	socklen_t len = sizeof(credentials);
	uv_os_fd_t fd;

	/* an unknown process shares its places with all unknown ones */
	if (uv_fileno((const uv_handle_t *)&client->pipe, &fd) == 0)
		(void)!getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &len);
	return credentials.pid;
}

/* False: no memory, it is tried again in the next turn. */
static bool client_take(struct io_control *control)
{
	struct client *client = client_new(control);
	unsigned int i = 0;

	if (!client)
		return false;
	uv_timer_start(&client->timer, expired, IO_CONTROL_TIMEOUT_MS, IO_CONTROL_TIMEOUT_MS);
	if (uv_accept((uv_stream_t *)&control->listener, (uv_stream_t *)&client->pipe) < 0) {
		client_close(client);
		return true;
	}
	client->since = uv_now(control->listener.loop);
	client->process = process_of(client);
	while (i < IO_CONTROL_CLIENTS && control->clients[i])
		i++;
	if (i == IO_CONTROL_CLIENTS)
		i = place_evict(control);
	if (i == IO_CONTROL_CLIENTS) {
		refuse(client, CONTROL_E_BUSY);
		return true;
	}
	control->clients[i] = client;
	if (uv_read_start((uv_stream_t *)&client->pipe, request_alloc, request_read) < 0)
		client_close(client);
	return true;
}

static void accept_next(uv_idle_t *idle)
{
	struct io_control *control = container_of(idle, struct io_control, next);

	control->accepts = control->pending;
	if (control->pending)
		control->pending = !client_take(control);
	else
		uv_idle_stop(idle);
}

/* Those beyond the turn's share wait, so that clients that have asked are read before more
 * connections can evict them: libuv stops listening until the one it holds is accepted. */
static void incoming(uv_stream_t *listener, int status)
{
	struct io_control *control = container_of(listener, struct io_control, listener);

	if (status < 0)
		return;
	uv_idle_start(&control->next, accept_next);
	control->pending = control->accepts++ >= IO_CONTROL_ACCEPTS || !client_take(control);
}

/* A socket without a listener is left over from a daemon that was killed. */
static int leftover_remove(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct stat st;
	int fd, r;

	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	r = connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0;
	close(fd);
	if (r != -ECONNREFUSED)
		return -EADDRINUSE;
	return unlink(path) < 0 ? -errno : 0;
}

static int directory_make(const char *path)
{
	char copy[sizeof(((struct sockaddr_un *)NULL)->sun_path)];

	snprintf(copy, sizeof(copy), "%s", path);
	return mkdir(dirname(copy), 0755) < 0 && errno != EEXIST ? -errno : 0;
}

static int socket_listen(struct io_control *control, const char *path)
{
	int r = directory_make(path);
	mode_t mask;

	if (r == 0)
		r = leftover_remove(path);
	if (r < 0)
		return r;
	mask = umask(0177);
	r = uv_pipe_bind(&control->listener, path);
	umask(mask);
	return r < 0 ? r : uv_listen((uv_stream_t *)&control->listener, BACKLOG, incoming);
}

static void handle_freed(uv_handle_t *handle)
{
	finish(handle->data);
}

static void listener_close(struct io_control *control)
{
	control->listener.data = control->next.data = control;
	uv_close((uv_handle_t *)&control->listener, handle_freed);
	uv_close((uv_handle_t *)&control->next, handle_freed);
}

int io_control_open(uv_loop_t *loop, const char *path, const struct control_source *source,
		    struct io_control **ret_control, struct fault *fault)
{
	struct io_control *control = calloc(1, sizeof(*control));
	int r = control ? uv_pipe_init(loop, &control->listener, 0) : -ENOMEM;

	if (r == 0) {
		uv_idle_init(loop, &control->next);
		control->handles = 2;
		control->source = *source;
		r = socket_listen(control, path);
		if (r < 0)
			listener_close(control);
	} else {
		free(control);
	}
	if (r < 0)
		return fault_set(
			fault, r, "%s: %s%s", path, uv_strerror(r),
			r == -EADDRINUSE ? ": another lvsmeshd runs here; stop it, or change "
					   "`control`"
			: r == -EEXIST   ? ": it is not a socket; move it, or change `control`"
					 : "");
	*ret_control = control;
	return 0;
}

void io_control_close(struct io_control *control, void (*done)(void *context), void *context)
{
	control->done = done;
	control->context = context;
	for (unsigned int i = 0; i < IO_CONTROL_CLIENTS; i++)
		if (control->clients[i])
			client_close(control->clients[i]);
	listener_close(control);
}

const uint64_t *io_control_refused(const struct io_control *control)
{
	return control->refused;
}
