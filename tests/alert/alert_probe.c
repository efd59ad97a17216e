/* alert_probe SOCKET TIMEOUT GRACE: io_alert and a control socket on a loop, driven by lines on
 * standard input; each is answered by one line:
 *
 *	raise KIND SUBJECT	1 when it was reported at once
 *	exec [PATH ARGUMENT...]
 *	webhook [URL]
 *	counters		"group/name value ..."
 *	late			how many ms the loop did not turn at most, since this was asked
 *
 * At the end of its input it closes all and exits. TIMEOUT and GRACE are in ms; retries come soon.
 * A look-up of the name slow.test takes its time. */
#include <dlfcn.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "director/control/io_control.h"
#include "director/event/io_alert.h"
#include "director/io_clock.h"

#define LOOKUP_S 8
#define TURN_MS 5

struct probe {
	uv_loop_t loop;
	struct io_alert *alert;
	struct io_control *control;
	uv_pipe_t input;
	uv_timer_t turn;
	uint64_t turned, late;
	char line[4096];
	size_t len;
};

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
		struct addrinfo **ret_info)
{
	int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);

	if (node && strcmp(node, "slow.test") == 0) {
		sleep(LOOKUP_S);
		return EAI_FAIL;
	}
	*(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
	return real(node, service, hints, ret_info);
}

static void facts(void *context, struct status_facts *ret_facts)
{
	struct probe *probe = context;

	memset(ret_facts, 0, sizeof(*ret_facts));
	ret_facts->events = io_alert_log(probe->alert);
}

static void told(void *context)
{
	struct probe *probe = context;

	io_control_wake(probe->control);
}

static void do_raise(struct probe *probe, char **words)
{
	uint64_t end = event_log_end(io_alert_log(probe->alert));
	enum event_kind kind;
	struct event event;

	if (!words[1] || !words[2] || !event_kind_find(words[1], &kind)) {
		printf("usage\n");
		return;
	}
	event_init(&event, kind, words[2], "It happened to %s.", words[2]);
	event_text(&event, "member", words[2]);
	io_alert_raise(probe->alert, &event);
	printf("%d\n", event_log_end(io_alert_log(probe->alert)) > end);
}

static void do_counters(const struct probe *probe)
{
	struct counter counter;

	for (unsigned int i = 0, n = 0; io_alert_counter(probe->alert, &n, &counter); n = ++i)
		printf("%s/%s %llu ", counter.group, counter.name,
		       (unsigned long long)counter.value);
	printf("\n");
}

static void do_line(struct probe *probe, char *line)
{
	static struct config_alerts config;
	static char *exec[16], text[4096], url[2048];
	char *words[16] = {NULL}, **kept = words;
	unsigned int count = 0;

	if (strncmp(line, "exec", 4) == 0) {
		snprintf(text, sizeof(text), "%s", line);
		line = text;
		kept = exec;
	}
	for (char *word = strtok(line, " "); word && count < 15; word = strtok(NULL, " "))
		kept[count++] = word;
	kept[count] = NULL;
	if (kept == exec) {
		config.exec = count > 1 ? exec + 1 : NULL;
		printf("%d\n", io_alert_config(probe->alert, &config));
	} else if (count > 0 && strcmp(words[0], "webhook") == 0) {
		snprintf(url, sizeof(url), "%s", count > 1 ? words[1] : "");
		config.webhook = count > 1 ? url : NULL;
		printf("%d\n", io_alert_config(probe->alert, &config));
	} else if (count > 0 && strcmp(words[0], "raise") == 0) {
		do_raise(probe, words);
	} else if (count > 0 && strcmp(words[0], "counters") == 0) {
		do_counters(probe);
	} else {
		printf("%llu\n", (unsigned long long)probe->late);
		probe->late = 0;
	}
	fflush(stdout);
}

static void closed(void *context)
{
	(void)context;
}

static void input_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
	struct probe *probe = handle->data;

	(void)suggested;
	*buf = uv_buf_init(probe->line + probe->len,
			   (unsigned int)(sizeof(probe->line) - 1 - probe->len));
}

static void input_read(uv_stream_t *stream, ssize_t len, const uv_buf_t *buf)
{
	struct probe *probe = stream->data;
	char *end;

	(void)buf;
	if (len < 0) {
		uv_close((uv_handle_t *)stream, NULL);
		uv_close((uv_handle_t *)&probe->turn, NULL);
		io_control_close(probe->control, closed, NULL);
		io_alert_close(probe->alert, closed, NULL);
		return;
	}
	probe->len += (size_t)len;
	while ((end = memchr(probe->line, '\n', probe->len))) {
		size_t used = (size_t)(end - probe->line) + 1;

		*end = '\0';
		do_line(probe, probe->line);
		probe->len -= used;
		memmove(probe->line, probe->line + used, probe->len);
	}
}

static void turned(uv_timer_t *timer)
{
	struct probe *probe = timer->data;
	uint64_t now = uv_hrtime() / 1000000;

	probe->late = MAX(probe->late, now - probe->turned);
	probe->turned = now;
}

static int probe_open(struct probe *probe, char **argv)
{
	const struct control_source source = {.context = probe, .facts = facts};
	struct io_alert_options options;
	struct fault fault;

	io_alert_options_init(&options);
	options.loop = &probe->loop;
	options.director = "d1";
	options.epoch = 9;
	options.context = probe;
	options.told = told;
	options.exec_timeout_ms = options.webhook_timeout_ms = strtoull(argv[2], NULL, 10);
	options.grace_ms = strtoull(argv[3], NULL, 10);
	options.webhook_retry_ms = 20;
	options.webhook_retry_max_ms = 100;
	options.webhook_attempts = 5;
	if (io_alert_open(&options, &probe->alert) < 0)
		return -1;
	return io_control_open(&probe->loop, argv[1], &source, &probe->control, &fault);
}

int main(int argc, char **argv)
{
	static struct probe probe;

	if (argc != 4)
		return 2;
	uv_loop_init(&probe.loop);
	if (probe_open(&probe, argv) < 0)
		return 1;
	uv_pipe_init(&probe.loop, &probe.input, 0);
	uv_pipe_open(&probe.input, STDIN_FILENO);
	uv_timer_init(&probe.loop, &probe.turn);
	probe.input.data = probe.turn.data = &probe;
	probe.turned = uv_hrtime() / 1000000;
	uv_timer_start(&probe.turn, turned, TURN_MS, TURN_MS);
	uv_read_start((uv_stream_t *)&probe.input, input_alloc, input_read);
	uv_run(&probe.loop, UV_RUN_DEFAULT);
	return uv_loop_close(&probe.loop) == 0 ? 0 : 1;
}
