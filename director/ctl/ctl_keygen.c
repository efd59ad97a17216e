/* `lvsmesh keygen`: makes the key of a cluster, and the identity of a director. */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "director/ctl/ctl.h"
#include "proto/identity/identity_file.h"

#define DAYS_DEFAULT 365
#define DAYS_MAX 36500
#define DAY 86400
/* Other directors' clocks may be behind ours. */
#define BACKDATED 3600

static int keygen_cluster_run(int argc, char **argv)
{
	uint8_t seed[KEYGEN_CLUSTER_SEED];
	struct cluster_key cluster;
	struct fault fault;
	int r;

	if (argc != 2) {
		ctl_error("keygen cluster takes one directory; see `lvsmesh keygen --help`");
		return CTL_USAGE;
	}
	randombytes_buf(seed, sizeof(seed));
	identity_keygen_cluster(seed, &cluster);
	r = identity_file_save_cluster(argv[1], &cluster, &fault);
	identity_cluster_key_fini(&cluster);
	sodium_memzero(seed, sizeof(seed));
	if (r < 0) {
		ctl_error("%s", fault.text);
		return CTL_REFUSED;
	}
	printf("Made %s/cluster.key: keep it off the directors: anyone who has it can make more of "
	       "them.\n",
	       argv[1]);
	return CTL_DONE;
}

struct node_options {
	const char *name, *cluster, *output;
	struct ip_addr addresses[CERTIFICATE_ADDRESSES_MAX];
	size_t address_count;
	unsigned long days;
	bool renew;
};

static int address_add(struct node_options *options, const char *text)
{
	if (options->address_count == CERTIFICATE_ADDRESSES_MAX) {
		ctl_error("a certificate has room for %d addresses", CERTIFICATE_ADDRESSES_MAX);
		return CTL_USAGE;
	}
	if (ip_addr_parse(text, &options->addresses[options->address_count]) < 0) {
		ctl_error("--address %s: write an IP address without port, like 192.0.2.11", text);
		return CTL_USAGE;
	}
	options->address_count++;
	return CTL_DONE;
}

static int days_set(struct node_options *options, const char *text)
{
	char *end;

	errno = 0;
	options->days = strtoul(text, &end, 10);
	if (errno || *text < '0' || *text > '9' || *end || options->days < 1 ||
	    options->days > DAYS_MAX) {
		ctl_error("--days %s: write a number from 1 to %d", text, DAYS_MAX);
		return CTL_USAGE;
	}
	return CTL_DONE;
}

static int node_options_parse(int argc, char **argv, struct node_options *options)
{
	static const struct option table[] = {
		{"cluster", required_argument, NULL, 'c'},
		{"address", required_argument, NULL, 'a'},
		{"days", required_argument, NULL, 'd'},
		{"output", required_argument, NULL, 'o'},
		{"renew", no_argument, NULL, 'r'},
		{0},
	};
	int r = CTL_DONE, c;

	optind = 1;
	while (r == CTL_DONE && (c = getopt_long(argc, argv, "", table, NULL)) != -1) {
		switch (c) {
		case 'c':
			options->cluster = optarg;
			break;
		case 'a':
			r = address_add(options, optarg);
			break;
		case 'd':
			r = days_set(options, optarg);
			break;
		case 'o':
			options->output = optarg;
			break;
		case 'r':
			options->renew = true;
			break;
		default:
			r = CTL_USAGE;
		}
	}
	if (r != CTL_DONE)
		return r;
	if (argc - optind != 1 || !options->cluster) {
		ctl_error("keygen node takes a name and --cluster DIR; see `lvsmesh keygen "
			  "--help`");
		return CTL_USAGE;
	}
	options->name = argv[optind];
	if (!certificate_name_valid(options->name, strlen(options->name))) {
		ctl_error("%s: a name is 1 to 63 of a-z, 0-9, dot and hyphen, and begins and ends "
			  "with a letter or digit",
			  options->name);
		return CTL_USAGE;
	}
	return CTL_DONE;
}

static struct keygen_options keygen_of(const struct node_options *options)
{
	uint64_t now = (uint64_t)time(NULL);

	return (struct keygen_options){
		.name = options->name,
		.addresses = options->addresses,
		.address_count = options->address_count,
		.not_before = now - BACKDATED,
		.not_after = now + options->days * DAY,
		.serial = now * 1000000,
	};
}

/* The certificate suffices: the secret keys stay on their director. */
static int node_renew(const struct node_options *options, const struct cluster_key *cluster,
		      const char *dir)
{
	struct keygen_options keygen = keygen_of(options);
	struct certificate former, renewed;
	struct fault fault;
	int r = identity_file_load_certificate(dir, &former, &fault);

	if (r == -ENOENT)
		ctl_error("%s/certificate is missing: copy it from the director, where it is "
			  "/etc/lvsmesh/identity/certificate",
			  dir);
	else if (r < 0)
		ctl_error("%s", fault.text);
	else if (strcmp(former.name, options->name) != 0)
		ctl_error("%s/certificate is the certificate of %s", dir, former.name);
	if (r < 0 || strcmp(former.name, options->name) != 0)
		return CTL_REFUSED;
	r = identity_keygen_renew(cluster, &keygen, &former, &renewed);
	if (r > 0) {
		ctl_error("%s/certificate %s", dir, certificate_error_text(r));
		return CTL_REFUSED;
	}
	if (identity_file_save_certificate(dir, &renewed, &fault) < 0) {
		ctl_error("%s", fault.text);
		return CTL_REFUSED;
	}
	printf("Renewed %s/certificate, valid for %lu days: copy it to the director as "
	       "/etc/lvsmesh/identity/certificate and restart lvsmeshd there.\n",
	       dir, options->days);
	return CTL_DONE;
}

static int node_make(const struct node_options *options, const struct cluster_key *cluster,
		     const char *dir)
{
	struct keygen_options keygen = keygen_of(options);
	uint8_t seed[KEYGEN_NODE_SEED];
	struct fault fault;
	struct identity identity;
	int r;

	randombytes_buf(seed, sizeof(seed));
	r = identity_keygen_node(cluster, &keygen, seed, &identity);
	sodium_memzero(seed, sizeof(seed));
	if (r) {
		ctl_error("%s: the certificate %s", options->name, certificate_error_text(r));
		return CTL_REFUSED;
	}
	r = identity_file_save(dir, &identity, &fault);
	identity_fini(&identity);
	if (r < 0) {
		ctl_error("%s", fault.text);
		return CTL_REFUSED;
	}
	printf("Made %s, valid for %lu days: copy it to the director as /etc/lvsmesh/identity.\n",
	       dir, options->days);
	return CTL_DONE;
}

static int keygen_node_run(int argc, char **argv)
{
	struct node_options options = {.days = DAYS_DEFAULT};
	char dir[PATH_MAX];
	struct fault fault;
	struct cluster_key cluster;
	int r = node_options_parse(argc, argv, &options);

	if (r != CTL_DONE)
		return r;
	if (options.output)
		r = snprintf(dir, sizeof(dir), "%s", options.output);
	else
		r = snprintf(dir, sizeof(dir), "%s/%s", options.cluster, options.name);
	if (r < 0 || (size_t)r >= sizeof(dir)) {
		ctl_error("%s: %s", options.name, strerror(ENAMETOOLONG));
		return CTL_USAGE;
	}
	if (identity_file_load_cluster(options.cluster, &cluster, &fault) < 0) {
		ctl_error("%s", fault.text);
		return CTL_REFUSED;
	}
	r = options.renew ? node_renew(&options, &cluster, dir)
			  : node_make(&options, &cluster, dir);
	identity_cluster_key_fini(&cluster);
	return r;
}

int ctl_keygen(int argc, char **argv)
{
	if (sodium_init() < 0) {
		ctl_error("can't initialise libsodium");
		return CTL_REFUSED;
	}
	if (argc >= 2 && strcmp(argv[1], "cluster") == 0)
		return keygen_cluster_run(argc - 1, argv + 1);
	if (argc >= 2 && strcmp(argv[1], "node") == 0)
		return keygen_node_run(argc - 1, argv + 1);
	ctl_error("keygen makes a cluster or a node; see `lvsmesh keygen --help`");
	return CTL_USAGE;
}
