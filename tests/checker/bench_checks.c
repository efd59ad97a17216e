/* The rate and the punctuality of checks: the core (director/check) and the checker
 * (director/checker) in one loop, against a server of this program's own on the loopback.
 *
 *	bench_checks schedule TARGETS HANGING SECONDS
 *	bench_checks http|https CHECKS PORT
 *
 * schedule: so many tcp checks at 1 s, of real servers with addresses of their own; HANGING of them
 * are ports whose handshake never ends. A check is on time if it begins within 5 % of its interval
 * after it is due. http, https: so many checks, 100 at a time. Figures are lines of JSON. */
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "director/check/health.h"
#include "director/checker/io_checker.h"
#include "director/io_clock.h"

#define INTERVAL USEC_PER_SEC
#define LATE (INTERVAL / 20)
#define WARM_UP (5 * USEC_PER_SEC) /* first checks, and verdicts on those that hang */
#define PROBE_MS 5
#define PROBES_MAX 100000
#define SERVICE_REALS 100
#define AT_ONCE 100

struct bench {
	uv_loop_t loop;
	struct health *health;
	struct io_checker *checker;
	uv_timer_t timer, probe, end;
	uv_prepare_t prepare;
	usec_t began, probe_due, cpu;
	uint64_t probe_ns;
	usec_t *begun; /* of each target; 0: not yet */
	usec_t *late;  /* of each check */
	size_t n_late, late_max;
	usec_t probes[PROBES_MAX]; /* how late each was */
	size_t n_probes;
	unsigned int checks, wanted, up;
	bool news; /* results that drive() has not seen */
	struct check check;
	struct endpoint endpoint;
};

static int order(const void *a, const void *b)
{
	usec_t x = *(const usec_t *)a, y = *(const usec_t *)b;

	return x < y ? -1 : x > y;
}

static double ms(usec_t *values, size_t count, double share)
{
	qsort(values, count, sizeof(*values), order);
	return count ? (double)values[(size_t)((double)(count - 1) * share)] / 1000 : 0;
}

static void figure(const char *metric, double value, const char *unit, const char *more)
{
	printf("{\"bench\": \"director\", \"metric\": \"%s\", \"value\": %.4g, \"unit\": "
	       "\"%s\"%s}\n",
	       metric, value, unit, more);
}

static unsigned int files_open(void)
{
	unsigned int count = 0;
	struct rlimit files;

	getrlimit(RLIMIT_NOFILE, &files);
	for (int fd = 0; fd < 65536 && (rlim_t)fd < files.rlim_cur; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

/* A socket of the loopback that listens. */
static int listen_at(int backlog, uint16_t *ret_port)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	socklen_t len = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&address, len) < 0 || listen(fd, backlog) < 0 ||
	    getsockname(fd, (struct sockaddr *)&address, &len) < 0) {
		perror("listen");
		exit(1);
	}
	*ret_port = ntohs(address.sin_port);
	return fd;
}

/* One of two processors: this process has the last, its servers the first. */
static void processor_take(bool last)
{
	cpu_set_t all, one;

	CPU_ZERO(&one);
	if (sched_getaffinity(0, sizeof(all), &all) < 0)
		return;
	for (size_t i = 0; i < CPU_SETSIZE; i++) {
		if (!CPU_ISSET(i, &all))
			continue;
		if (last || CPU_COUNT(&one) == 0) {
			CPU_ZERO(&one);
			CPU_SET(i, &one);
		}
	}
	sched_setaffinity(0, sizeof(one), &one);
}

/* Takes what comes: a check without expect resets it. */
static void serve(int fd)
{
	int connection;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while ((connection = accept(fd, NULL, NULL)) >= 0 || errno == ECONNABORTED)
		close(connection);
	_exit(1);
}

/* One answer a connection. */
static void serve_http(int fd)
{
	static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n";
	char request[4096];
	int connection;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while ((connection = accept(fd, NULL, NULL)) >= 0 || errno == ECONNABORTED) {
		if (read(connection, request, sizeof(request)) > 0)
			(void)!write(connection, answer, sizeof(answer) - 1);
		close(connection);
	}
	_exit(1);
}

static void server_start(int fd, void (*server)(int fd))
{
	if (fork() == 0) {
		processor_take(false);
		server(fd);
	}
	close(fd);
	processor_take(true);
}

/* A port whose queue is full: handshakes do not end. */
static uint16_t port_hanging(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	uint16_t port;

	listen_at(0, &port);
	address.sin_port = htons(port);
	for (unsigned int i = 0; i < 8; i++) {
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

		(void)!connect(fd, (struct sockaddr *)&address, sizeof(address));
	}
	return port;
}

static void drive(struct bench *bench);

static void due(uv_timer_t *timer)
{
	drive(timer->data);
}

static void lateness_note(struct bench *bench, const struct health_run *run, usec_t now)
{
	usec_t before = bench->begun[run->target];

	bench->begun[run->target] = now;
	if (!before || now < bench->began + WARM_UP || bench->n_late == bench->late_max)
		return;
	bench->late[bench->n_late++] = now > before + INTERVAL ? now - before - INTERVAL : 0;
	bench->checks++;
}

/* The daemon's glue does the same after each event. */
static void drive(struct bench *bench)
{
	struct now now = clock_now();
	struct health_notice notice;
	struct health_change change;
	struct health_run run;
	struct fact fact;
	usec_t next;

	health_tick(bench->health, now);
	while (health_due(bench->health, now, &run)) {
		lateness_note(bench, &run, now.mono);
		io_checker_begin(bench->checker,
				 &(struct io_checker_run){.target = run.target,
							  .run = run.run,
							  .check = run.check,
							  .endpoint = run.endpoint,
							  .service = run.service->name,
							  .real = ""});
	}
	while (health_publish(bench->health, now, &fact) || health_change(bench->health, &change) ||
	       health_notice(bench->health, now, &notice))
		;
	next = health_timeout(bench->health);
	uv_update_time(&bench->loop);
	if (next == USEC_NEVER)
		uv_timer_stop(&bench->timer);
	else
		uv_timer_start(&bench->timer, due,
			       next > now.mono ? (next - now.mono) / USEC_PER_MSEC + 1 : 0, 0);
}

static void result(void *context, uint32_t target, uint32_t run, const struct check_result *result)
{
	struct bench *bench = context;

	bench->up += result->state == CHECK_UP;
	health_result(bench->health, target, run, result, clock_now());
	bench->news = true;
}

/* Once for all results of a turn. */
static void turned(uv_prepare_t *prepare)
{
	struct bench *bench = prepare->data;

	if (bench->news)
		drive(bench);
	bench->news = false;
}

/* How late the loop calls what is due: of a timer that is due each PROBE_MS. */
static void probed(uv_timer_t *timer)
{
	struct bench *bench = timer->data;
	usec_t now = uv_hrtime() / 1000;

	if (now > bench->began + WARM_UP && bench->n_probes < PROBES_MAX)
		bench->probes[bench->n_probes++] =
			now > bench->probe_due ? now - bench->probe_due : 0;
	bench->probe_due = now + PROBE_MS * USEC_PER_MSEC;
	uv_update_time(timer->loop);
	uv_timer_start(timer, probed, PROBE_MS, 0);
}

static void figures(struct bench *bench, const char *more)
{
	usec_t measured = uv_hrtime() / 1000 - bench->began;
	size_t on_time = 0;
	struct rusage usage;

	for (size_t i = 0; i < bench->n_late; i++)
		on_time += bench->late[i] <= LATE;
	getrusage(RUSAGE_SELF, &usage);
	figure("checks_on_time_share", (double)on_time / (double)bench->n_late, "share", more);
	figure("checks_late_p99_ms", ms(bench->late, bench->n_late, 0.99), "ms", more);
	figure("checks_late_max_ms", ms(bench->late, bench->n_late, 1), "ms", more);
	figure("loop_p99_ms", ms(bench->probes, bench->n_probes, 0.99), "ms", more);
	figure("loop_max_ms", ms(bench->probes, bench->n_probes, 1), "ms", more);
	figure("checks_per_s", (double)bench->checks * 1e6 / (double)(measured - WARM_UP), "1/s",
	       more);
	figure("cpu_us_per_check",
	       (double)(clock_cpu() - bench->cpu) / (double)bench->n_late *
		       (double)(measured - WARM_UP) / (double)measured,
	       "us", more);
	figure("resident_mb", (double)usage.ru_maxrss / 1024, "MB", more);
	figure("descriptors", files_open(), "1", more);
}

static void over(uv_timer_t *timer)
{
	uv_stop(timer->loop);
}

static void services_make(struct bench *bench, unsigned int targets, unsigned int hanging,
			  struct service_set *set)
{
	uint16_t good, hangs = port_hanging();
	int fd = listen_at(4096, &good);

	server_start(fd, serve);
	for (unsigned int i = 0; i < targets; i++) {
		struct service service = {
			.key = {.vip = {.ip = {AF_INET, {192, 0, 2, 1}}, .port = (uint16_t)(1 + i)},
				.protocol = IPPROTO_TCP},
			.health = {.checkers = 3, .panic_threshold = 100}};
		struct real_server real = {.weight = 1, .check = &bench->check};

		if (i % SERVICE_REALS == 0)
			service_set_add(set, &service);
		real.endpoint =
			(struct endpoint){.ip = {AF_INET, {127, 1, (uint8_t)(i >> 8), (uint8_t)i}},
					  .port = i % (targets / hanging) == 0 ? hangs : good};
		service_add(&set->services[set->count - 1], &real);
	}
	service_set_sort(set);
}

static int schedule_run(struct bench *bench, unsigned int targets, unsigned int hanging,
			unsigned int seconds)
{
	static struct service_set set;
	char more[128];

	bench->check = (struct check){.type = CHECK_TCP,
				      .interval = INTERVAL,
				      .fast_interval = INTERVAL,
				      .timeout = INTERVAL,
				      .fall = 3,
				      .rise = 2};
	check_digest_make(&bench->check);
	services_make(bench, targets, hanging, &set);
	bench->begun = calloc(targets, sizeof(usec_t));
	bench->late_max = (size_t)targets * (seconds + 1);
	bench->late = calloc(bench->late_max, sizeof(usec_t));
	if (health_new(&(struct health_options){.self = 1, .now = clock_now()}, &bench->health) < 0)
		return 1;
	bench->began = uv_hrtime() / 1000;
	bench->cpu = clock_cpu();
	health_members(bench->health, NULL, 0, clock_now());
	health_config(bench->health, &set, clock_now());
	uv_timer_start(&bench->timer, due, 0, 0);
	uv_prepare_init(&bench->loop, &bench->prepare);
	bench->prepare.data = bench;
	uv_prepare_start(&bench->prepare, turned);
	bench->probe_due = bench->began + PROBE_MS * USEC_PER_MSEC;
	uv_timer_start(&bench->probe, probed, PROBE_MS, 0);
	uv_timer_start(&bench->end, over, WARM_UP / USEC_PER_MSEC + (uint64_t)seconds * 1000, 0);
	uv_run(&bench->loop, UV_RUN_DEFAULT);
	snprintf(more, sizeof(more),
		 ", \"part\": \"checks\", \"type\": \"tcp\", \"targets\": %u, "
		 "\"hanging\": %u",
		 targets, hanging);
	figures(bench, more);
	return 0;
}

static void one_begin(struct bench *bench, uint32_t target)
{
	bench->wanted--;
	io_checker_begin(bench->checker, &(struct io_checker_run){.target = target,
								  .check = &bench->check,
								  .endpoint = bench->endpoint,
								  .service = "",
								  .real = ""});
}

static void one_ended(void *context, uint32_t target, uint32_t run,
		      const struct check_result *result)
{
	struct bench *bench = context;

	(void)run;
	bench->checks++;
	bench->up += result->state == CHECK_UP;
	if (result->state != CHECK_UP)
		fprintf(stderr, "%s\n", result->reason);
	if (bench->wanted)
		one_begin(bench, target);
	else
		uv_stop(&bench->loop);
}

static int rate_run(struct bench *bench, const char *name, unsigned int checks, unsigned int port)
{
	static struct check_range range = {200, 299};
	char more[96];
	uint16_t own;
	usec_t cpu;

	bench->check = (struct check){.type = strcmp(name, "https") == 0 ? CHECK_HTTPS : CHECK_HTTP,
				      .timeout = 5 * USEC_PER_SEC,
				      .path = (char *)"/",
				      .host = (char *)"www.example",
				      .verify = getenv("CA") != NULL,
				      .ca = getenv("CA"),
				      .n_statuses = 1,
				      .body_max = 65536};
	bench->check.statuses[0] = range;
	bench->endpoint =
		(struct endpoint){.ip = {AF_INET, {127, 0, 0, 1}}, .port = (uint16_t)port};
	if (!port) {
		server_start(listen_at(4096, &own), serve_http);
		bench->endpoint.port = own;
	}
	bench->wanted = checks;
	cpu = clock_cpu();
	for (uint32_t i = 0; i < AT_ONCE; i++)
		one_begin(bench, i);
	bench->began = uv_hrtime() / 1000;
	bench->probe_due = bench->began + PROBE_MS * USEC_PER_MSEC;
	bench->began -= WARM_UP;
	uv_update_time(&bench->loop);
	uv_timer_start(&bench->probe, probed, PROBE_MS, 0);
	uv_run(&bench->loop, UV_RUN_DEFAULT);
	cpu = clock_cpu() - cpu;
	snprintf(more, sizeof(more), ", \"part\": \"checks\", \"type\": \"%s\", \"at_once\": %d",
		 name, AT_ONCE);
	figure("checks_per_s_and_core", (double)bench->checks * 1e6 / (double)cpu, "1/s", more);
	figure("checks_up_share", (double)bench->up / (double)bench->checks, "share", more);
	figure("loop_p99_ms", ms(bench->probes, bench->n_probes, 0.99), "ms", more);
	figure("loop_max_ms", ms(bench->probes, bench->n_probes, 1), "ms", more);
	return 0;
}

int main(int argc, char **argv)
{
	static struct bench bench;
	bool schedule = argc == 5 && strcmp(argv[1], "schedule") == 0;
	struct io_checker_options options = {
		.loop = &bench.loop, .result = schedule ? result : one_ended, .context = &bench};
	struct rlimit files;
	int r;

	if (argc < 4)
		return 2;
	signal(SIGPIPE, SIG_IGN);
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	uv_loop_init(&bench.loop);
	if (io_checker_open(&options, &bench.checker) < 0)
		return 1;
	uv_timer_init(&bench.loop, &bench.timer);
	uv_timer_init(&bench.loop, &bench.probe);
	uv_timer_init(&bench.loop, &bench.end);
	bench.timer.data = bench.probe.data = bench.end.data = &bench;
	if (schedule)
		r = schedule_run(&bench, (unsigned int)atoi(argv[2]), (unsigned int)atoi(argv[3]),
				 (unsigned int)atoi(argv[4]));
	else
		r = rate_run(&bench, argv[1], (unsigned int)atoi(argv[2]),
			     (unsigned int)atoi(argv[3]));
	fflush(stdout);
	_exit(r);
}
