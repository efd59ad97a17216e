/* The connection to the control socket of lvsmeshd: sends one request, reads the lines of its
 * answer. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "director/ctl/ctl.h"

#define ANSWER_TIMEOUT 5 /* seconds without a byte */

struct ctl_client {
	FILE *file;
	char *line;
	size_t size;
	bool answered; /* the daemon has sent something */
};

static int socket_open(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct timeval timeout = {.tv_sec = ANSWER_TIMEOUT};
	int fd;

	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	strcpy(address.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) < 0 ||
	    connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		int r = -errno;

		close(fd);
		return r;
	}
	return fd;
}

bool ctl_client_answers(const char *path)
{
	int fd = socket_open(path);

	if (fd >= 0)
		close(fd);
	/* a stopped daemon's backlog is full: it is still there */
	return fd >= 0 || fd == -EAGAIN;
}

/* The daemon looks whether its client is still there before it carries anything out. */
static int no_answer(void)
{
	ctl_error("lvsmeshd has not answered for %d s: it is stopped or overloaded (see systemctl "
		  "status lvsmeshd); it drops the request if it goes on",
		  ANSWER_TIMEOUT);
	return CTL_NO_DAEMON;
}

static int no_daemon(const char *path, int error)
{
	/* The socket's backlog is full, and no process accepts from it. */
	if (error == EAGAIN)
		return no_answer();
	if (error == EACCES || error == EPERM)
		ctl_error("%s: %s: run it as root", path, strerror(error));
	else
		ctl_error("%s: %s: lvsmeshd is not running here (start it: systemctl start "
			  "lvsmeshd), or listens elsewhere (--control PATH)",
			  path, strerror(error));
	return CTL_NO_DAEMON;
}

/* Empty lines only say that the daemon is at work. */
static json_t *line_read(struct ctl_client *client)
{
	ssize_t len;

	do {
		len = getline(&client->line, &client->size, client->file);
	} while (len == 1 && client->line[0] == '\n');
	if (len <= 0 || client->line[len - 1] != '\n')
		return NULL;
	return json_loadb(client->line, (size_t)len, 0, NULL);
}

static int broken(const struct ctl_client *client)
{
	if (errno == EAGAIN && !client->answered)
		return no_answer();
	if (errno == EAGAIN)
		ctl_error("lvsmeshd stopped in the middle of its answer: nothing came for %d s",
			  ANSWER_TIMEOUT);
	else
		ctl_error("lost the connection to lvsmeshd: it exited, or closed the connection "
			  "because its answer was not read for 10 s");
	return CTL_REFUSED;
}

/* A daemon that has closed already may have sent the reason: the answer is read all the same. */
static int question_send(int fd, const json_t *request)
{
	char text[4096];
	size_t len = json_dumpb(request, text, sizeof(text), JSON_COMPACT);

	if (len >= sizeof(text)) {
		ctl_error("the request is too long");
		return CTL_USAGE;
	}
	text[len++] = '\n';
	if (send(fd, text, len, MSG_NOSIGNAL) == (ssize_t)len || errno == EPIPE)
		return CTL_DONE;
	return no_answer();
}

static int head_read(struct ctl_client *client)
{
	static const char *const usage[] = {"filter", "service", "real", "setting"};
	const char *error, *message;
	int r = CTL_REFUSED;
	json_t *head;

	errno = 0;
	head = line_read(client);
	if (!head)
		return broken(client);
	client->answered = true;
	if (json_is_true(json_object_get(head, "ok"))) {
		r = CTL_DONE;
	} else if (json_unpack(head, "{s:s, s:s}", "error", &error, "message", &message) == 0) {
		ctl_error("%s", message);
		for (size_t i = 0; i < sizeof(usage) / sizeof(usage[0]); i++)
			if (strcmp(error, usage[i]) == 0)
				r = CTL_USAGE;
	} else {
		broken(client);
	}
	json_decref(head);
	return r;
}

const char *ctl_text(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

int ctl_client_open(const char *path, json_t *request, struct ctl_client **ret_client)
{
	struct ctl_client *client = NULL;
	int fd = socket_open(path), r;

	if (fd < 0) {
		r = no_daemon(path, -fd);
		goto out;
	}
	r = question_send(fd, request);
	if (r == CTL_DONE) {
		client = calloc(1, sizeof(*client));
		if (!client || !(client->file = fdopen(fd, "r"))) {
			ctl_error("%s", strerror(ENOMEM));
			r = CTL_REFUSED;
		}
	}
	if (r != CTL_DONE) {
		free(client);
		close(fd);
		goto out;
	}
	r = head_read(client);
	if (r == CTL_DONE)
		*ret_client = client;
	else
		ctl_client_close(client);
out:
	json_decref(request);
	return r;
}

int ctl_client_next(struct ctl_client *client, json_t **ret_item)
{
	json_t *item;

	errno = 0;
	item = line_read(client);
	if (!item) {
		broken(client);
		return -1;
	}
	if (json_object_get(item, "end")) {
		json_decref(item);
		return 0;
	}
	*ret_item = item;
	return 1;
}

void ctl_client_wait(struct ctl_client *client)
{
	struct timeval never = {0};

	setsockopt(fileno(client->file), SOL_SOCKET, SO_RCVTIMEO, &never, sizeof(never));
}

void ctl_client_close(struct ctl_client *client)
{
	if (!client)
		return;
	fclose(client->file);
	free(client->line);
	free(client);
}

int ctl_client_print(struct ctl_client *client, const char *name)
{
	const char *separator = "";
	json_t *item;
	int r;

	printf("{\"%s\": [", name);
	while ((r = ctl_client_next(client, &item)) == 1) {
		printf("%s\n", separator);
		json_dumpf(item, stdout, 0);
		json_decref(item);
		separator = ",";
	}
	printf("\n]}\n");
	return r < 0 ? CTL_REFUSED : CTL_DONE;
}
