/* Writes the corpora of the targets that need true keys and signatures: the same bytes in every
 * run. If --check is given it compares instead, so that a change of the wire does not leave the
 * fuzzer with streams that stop at the first frame.
 *
 *	make_proto_corpus [--check] tests/fuzz/corpus */
#include <sys/stat.h>

#include "proto/identity/armor.h"
#include "tests/fuzz/packet_sample.h"
#include "tests/fuzz/session_streams.h"

struct corpus {
	const char *dir;
	bool check;
	unsigned int stale;
};

struct input {
	uint8_t data[4096];
	size_t len;
};

static void add(struct input *input, const void *data, size_t len)
{
	if (len > sizeof(input->data) - input->len)
		abort();
	memcpy(input->data + input->len, data, len);
	input->len += len;
}

static bool same(const char *path, const struct input *input)
{
	uint8_t data[sizeof(input->data) + 1];
	FILE *file = fopen(path, "rb");
	size_t len;

	if (!file)
		return false;
	len = fread(data, 1, sizeof(data), file);
	fclose(file);
	return len == input->len && memcmp(data, input->data, len) == 0;
}

static void put(struct corpus *corpus, const char *target, const char *name, struct input *input)
{
	char path[4096];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", corpus->dir, target);
	if (!corpus->check)
		mkdir(path, 0755);
	snprintf(path, sizeof(path), "%s/%s/%s", corpus->dir, target, name);
	if (corpus->check && !same(path, input)) {
		fprintf(stderr, "%s is not what this build makes\n", path);
		corpus->stale++;
	} else if (!corpus->check) {
		file = fopen(path, "wb");
		if (!file || fwrite(input->data, 1, input->len, file) != input->len ||
		    fclose(file) != 0) {
			perror(path);
			exit(1);
		}
	}
	input->len = 0;
}

static void session(struct corpus *corpus, const struct streams *streams, bool dialer)
{
	const struct streams_side *peer = &streams->sides[!dialer];
	struct input input = {0};
	uint8_t head[2] = {dialer, 0};

	add(&input, head, 2);
	add(&input, peer->opening, peer->opening_len);
	add(&input, peer->frames, peer->frames_len);
	put(corpus, "session", dialer ? "dialer" : "acceptor", &input);

	head[0] |= STREAMS_OPEN;
	head[1] = 7;
	add(&input, head, 2);
	add(&input, peer->frames, peer->frames_len);
	put(corpus, "session", dialer ? "dialer-open" : "acceptor-open", &input);
}

static void certificates(struct corpus *corpus, const struct identity *d1)
{
	struct certificate want = d1->certificate, made;
	struct cluster_key cluster;
	struct input input = {0};

	add(&input, d1->certificate.bytes, d1->certificate.len);
	put(corpus, "certificate", "d1", &input);

	/* By another key: the target takes d1's for the only true one. */
	fixture_cluster(2, &cluster);
	memset(want.name, 'z', CERTIFICATE_NAME_MAX);
	want.address_count = CERTIFICATE_ADDRESSES_MAX;
	for (uint8_t i = 0; i < CERTIFICATE_ADDRESSES_MAX; i++)
		want.addresses[i] = (struct ip_addr){.family = AF_INET6, .bytes = {0x20, i}};
	if (certificate_issue(&want, cluster.secret, &made) != 0)
		abort();
	add(&input, made.bytes, made.len);
	put(corpus, "certificate", "largest", &input);
}

static void armor(struct corpus *corpus, uint8_t which, const char *label, const char *name,
		  const uint8_t *bytes, size_t len)
{
	char text[ARMOR_TEXT_MAX];
	struct input input = {0};
	size_t text_len;

	if (armor_format(label, bytes, len, text, sizeof(text), &text_len) != 0)
		abort();
	add(&input, &which, 1);
	add(&input, text, text_len);
	put(corpus, "identity_text", name, &input);
}

static void texts(struct corpus *corpus, const struct identity *d1)
{
	struct cluster_key cluster;
	struct input input = {0};

	fixture_cluster(1, &cluster);
	armor(corpus, 0, ARMOR_CLUSTER_KEY, "cluster.key", cluster.secret, KEYGEN_CLUSTER_SEED);
	armor(corpus, 1, ARMOR_CLUSTER_PUBLIC, "cluster.pub", cluster.public_key, SIGN_PUBLIC_SIZE);
	armor(corpus, 2, ARMOR_NODE_KEY, "key", d1->seed, KEYGEN_NODE_SEED);
	armor(corpus, 3, ARMOR_CERTIFICATE, "certificate", d1->certificate.bytes,
	      d1->certificate.len);
	add(&input,
	    "\4"
	    "1800000001\n",
	    12);
	put(corpus, "identity_text", "epoch", &input);
}

static void packet(struct corpus *corpus)
{
	struct packet_sample sample;
	struct input input = {0};

	packet_sample_init(&sample);
	add(&input, sample.data, sample.len);
	put(corpus, "packet", "true", &input);
}

int main(int argc, char **argv)
{
	static struct streams streams;
	struct corpus corpus = {.check = argc == 3 && strcmp(argv[1], "--check") == 0};

	if (argc != 2 + corpus.check) {
		fprintf(stderr, "usage: make_proto_corpus [--check] CORPUS-DIRECTORY\n");
		return 2;
	}
	corpus.dir = argv[argc - 1];
	streams_init(&streams);
	session(&corpus, &streams, false);
	session(&corpus, &streams, true);
	certificates(&corpus, &streams.sides[0].identity);
	texts(&corpus, &streams.sides[0].identity);
	packet(&corpus);
	return corpus.stale ? 1 : 0;
}
