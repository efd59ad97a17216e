/* lvsmeshd: reads the command line, checks the configuration, and runs the director until it is
 * told to end. */
#include <errno.h>
#include <getopt.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "director/daemon/io_director.h"
#include "director/io_clock.h"
#include "director/io_log.h"
#include "director/kernel/ipvs_daemon.h"
#include "proto/identity/identity_file.h"

/* Two streams with each of 255 peers, the operator's clients, and some for the kernel. */
#define FILES_MIN 1024
/* Four threads' stacks of 8 MB, an idle director, and its first entries. */
#define DATA_MIN (96 << 20)

#define CONFIG_PATH "/etc/lvsmesh/lvsmesh.yaml"

static const char usage[] =
	"Usage: lvsmeshd [-c FILE] [-n]\n"
	"\n"
	"One director of an lvsmesh cluster; see lvsmeshd(8).\n"
	"\n"
	"  -c, --config FILE  the configuration (" CONFIG_PATH ")\n"
	"  -n, --check        check the configuration, and exit\n"
	"      --stop-threads stop the kernel's sync threads that a killed lvsmeshd "
	"left, and exit\n"
	"  -h, --help\n"
	"      --version\n";

enum {
	EXIT_OK,
	EXIT_REFUSED,
	EXIT_USAGE,
};

struct options {
	const char *config;
	bool check, stop_threads;
};

/* -1: go on; else exit with it. */
static int options_parse(int argc, char **argv, struct options *options)
{
	static const struct option table[] = {
		{"config", required_argument, NULL, 'c'}, {"check", no_argument, NULL, 'n'},
		{"stop-threads", no_argument, NULL, 's'}, {"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'v'},      {0},
	};
	int c;

	while ((c = getopt_long(argc, argv, "c:nh", table, NULL)) != -1) {
		switch (c) {
		case 'c':
			options->config = optarg;
			break;
		case 'n':
			options->check = true;
			break;
		case 's':
			options->stop_threads = true;
			break;
		case 'h':
			fputs(usage, stdout);
			return EXIT_OK;
		case 'v':
			printf("lvsmeshd %s\n", LVSMESH_VERSION);
			return EXIT_OK;
		default:
			return EXIT_USAGE;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "lvsmeshd: unexpected argument '%s'; see `lvsmeshd --help`\n",
			argv[optind]);
		return EXIT_USAGE;
	}
	return -1;
}

static int identity_get(const struct config *config, struct identity *identity)
{
	struct fault fault;
	int r;

	if (identity_file_load(config->identity, identity, &fault) < 0) {
		io_log_error("%s", fault.text);
		return EXIT_REFUSED;
	}
	if (strcmp(identity->certificate.name, config->node_name) != 0) {
		io_log_error("%s is the identity of %s, but node.name is %s: change one of them",
			     config->identity, identity->certificate.name, config->node_name);
		identity_fini(identity);
		return EXIT_REFUSED;
	}
	/* it goes on forwarding all the same */
	r = certificate_check_time(&identity->certificate, clock_now().wall);
	if (r)
		io_log_error("%s/certificate %s: peers will refuse this director", config->identity,
			     certificate_error_text(r));
	return EXIT_OK;
}

static int stop_threads(const struct config *config)
{
	int r = ipvs_daemon_stop_left(config->tap.interface);

	if (r == 0)
		return EXIT_OK;
	io_log_error("the kernel's sync threads on %s: %s", config->tap.interface, strerror(-r));
	return EXIT_REFUSED;
}

/* Raises the limit to the most that we may have. A director that runs out of files in the middle of
 * its work neither reaches its peers nor answers its operator. */
static int files_allow(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) < 0) {
		io_log_error("getrlimit(RLIMIT_NOFILE): %s", strerror(errno));
		return EXIT_REFUSED;
	}
	if (files.rlim_max < FILES_MIN) {
		io_log_error("lvsmeshd may open %llu files and needs %d: raise the limit "
			     "(LimitNOFILE= of its unit, or ulimit -Hn)",
			     (unsigned long long)files.rlim_max, FILES_MIN);
		return EXIT_REFUSED;
	}
	files.rlim_cur = files.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &files) < 0) {
		io_log_error("setrlimit(RLIMIT_NOFILE): %s", strerror(errno));
		return EXIT_REFUSED;
	}
	return EXIT_OK;
}

/* libuv and the allocator end the process without a message if a thread gets no stack, which the
 * limit counts. */
static int memory_suffices(void)
{
	struct rlimit data;

	if (getrlimit(RLIMIT_DATA, &data) < 0 || data.rlim_cur >= DATA_MIN)
		return EXIT_OK;
	io_log_error(
		"lvsmeshd may use %llu MB of memory and needs %d: raise the limit (LimitDATA= of "
		"its unit, or ulimit -d)",
		(unsigned long long)data.rlim_cur >> 20, DATA_MIN >> 20);
	return EXIT_REFUSED;
}

int main(int argc, char **argv)
{
	struct options options = {.config = CONFIG_PATH};
	struct config_error error;
	struct identity identity;
	struct config *config;
	int r = options_parse(argc, argv, &options);

	if (r >= 0)
		return r;
	if (config_load(options.config, &config, &error) < 0) {
		io_log_error("%s", error.text);
		return EXIT_REFUSED;
	}
	if (options.stop_threads) {
		r = stop_threads(config);
		config_free(config);
		return r;
	}
	io_director_log_warnings(config);
	if (options.check) {
		config_free(config);
		return EXIT_OK;
	}
	if (sodium_init() < 0) {
		io_log_error("can't initialise libsodium");
		config_free(config);
		return EXIT_REFUSED;
	}
	r = memory_suffices();
	if (r == EXIT_OK)
		r = files_allow();
	if (r == EXIT_OK)
		r = identity_get(config, &identity);
	if (r != EXIT_OK) {
		config_free(config);
		return r;
	}
	r = io_director_run(&(struct io_director_options){.config_path = options.config,
							  .config = config,
							  .identity = &identity,
							  .versions = VERSION_RANGE});
	identity_fini(&identity);
	return r < 0 ? EXIT_REFUSED : EXIT_OK;
}
