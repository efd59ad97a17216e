/* The keys that only some types of check have. */
#include <ctype.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "director/config/config_check_private.h"

#define BODY_MAX_DEFAULT 65536
#define BODY_MAX_MAX (16u << 20)
#define REDIRECTS_MAX 10
#define LABEL_MAX 63

/* Bytes, as text or in hexadecimal; either of its own stands for both of the inherited keys.
 * *ret_data stays NULL if there are none. */
static int read_data(const struct check_reader *reader, const char *key, const char *key_hex,
		     uint8_t **ret_data, size_t *ret_len)
{
	bool own = config_check_owns(reader, key) || config_check_owns(reader, key_hex);
	const char *text = NULL, *hex = NULL;
	size_t len;

	if (!own || config_check_owns(reader, key))
		text = config_check_text(reader, key);
	if (!own || config_check_owns(reader, key_hex))
		hex = config_check_text(reader, key_hex);
	if (text && hex)
		return config_check_refuse(reader, key_hex,
					   "%s and %s are two of one thing; write "
					   "only one of them",
					   key, key_hex);
	if (hex && (strlen(hex) % 2 != 0 || hex[strspn(hex, "0123456789abcdefABCDEF")] != '\0'))
		return config_check_refuse(reader, key_hex,
					   "%s is not a number of bytes in hexadecimal; write "
					   "two digits for each, like 0d0a",
					   key_hex);
	if (!text && !hex)
		return 0;
	len = text ? strlen(text) : strlen(hex) / 2;
	*ret_data = malloc(len + 1);
	if (!*ret_data)
		return -ENOMEM;
	if (text)
		memcpy(*ret_data, text, len);
	else
		sodium_hex2bin(*ret_data, len, hex, 2 * len, NULL, NULL, NULL);
	*ret_len = len;
	return 0;
}

static int read_tcp(const struct check_reader *reader)
{
	struct check *check = reader->check;
	int r = read_data(reader, "send", "send-hex", &check->send, &check->send_len);

	return r < 0 ? r
		     : read_data(reader, "expect", "expect-hex", &check->expect,
				 &check->expect_len);
}

static int read_udp(const struct check_reader *reader)
{
	struct check *check = reader->check;
	int r = read_data(reader, "payload", "payload-hex", &check->send, &check->send_len);

	if (r == 0 && !check->send)
		r = config_check_refuse(reader, "type",
					"a check of type udp has to send something that is "
					"answered; write payload: and a text, or payload-hex:");
	return r < 0 ? r
		     : read_data(reader, "expect", "expect-hex", &check->expect,
				 &check->expect_len);
}

static int read_agent(const struct check_reader *reader)
{
	struct check *check = reader->check;

	/* The real server's own port speaks another protocol. */
	if (check->port == 0)
		return config_check_refuse(reader, "type",
					   "an agent has a port of its own; write one like "
					   "port: 8081");
	return read_data(reader, "send", "send-hex", &check->send, &check->send_len);
}

/* Visible ASCII characters, none of them in `without`. */
static bool is_word(const char *text, const char *without)
{
	for (const char *c = text; *c; c++)
		if (!isascii(*c) || !isgraph(*c) || strchr(without, *c))
			return false;
	return *text != '\0';
}

static int read_host(const struct check_reader *reader)
{
	const char *host = config_check_text(reader, "host");

	if (host && !is_word(host, "/?#@\\"))
		return config_check_refuse(reader, "host",
					   "host \"%.64s\" is not a host's name; write one like "
					   "www.example.com",
					   host);
	return config_check_copy(reader, "host", &reader->check->host);
}

/* "200" or "200-299" */
static bool parse_status(const char *text, struct check_range *ret_range)
{
	char *end;
	unsigned long first = strtoul(text, &end, 10), last = first;

	if (!isdigit((unsigned char)text[0]))
		return false;
	if (*end == '-' && isdigit((unsigned char)end[1]))
		last = strtoul(end + 1, &end, 10);
	if (*end != '\0' || first < 100 || last > 599 || first > last)
		return false;
	*ret_range = (struct check_range){(uint16_t)first, (uint16_t)last};
	return true;
}

static int read_statuses(const struct check_reader *reader)
{
	outline_node_t list = config_check_find(reader, "status"), item;
	struct check *check = reader->check;

	check->statuses[0] = (struct check_range){200, 299};
	check->n_statuses = 1;
	for (unsigned int i = 0; (item = outline_item(reader->outline, list, i)); i++) {
		const char *text = outline_text(reader->outline, item);

		if (!parse_status(text, &check->statuses[i]))
			return outline_refuse(reader->outline, reader->fault, item,
					      "status \"%s\" is not one of 100 to 599; write one "
					      "like 200, or a range like 200-299",
					      text);
		check->n_statuses = i + 1;
	}
	return 0;
}

static bool is_header(const char *text)
{
	size_t name = strcspn(text, ":");

	for (size_t i = 0; i < name; i++)
		if (!isalnum((unsigned char)text[i]) && !strchr("!#$%&'*+-.^_`|~", text[i]))
			return false;
	for (const char *c = text; *c; c++)
		if (iscntrl((unsigned char)*c) && *c != '\t')
			return false;
	return name > 0 && text[name] == ':';
}

/* Copies a list of texts, with a NULL behind the last. */
static int copy_list(const struct check_reader *reader, outline_node_t list, char ***ret_list)
{
	size_t count = 0;

	while (outline_item(reader->outline, list, count))
		count++;
	if (count == 0)
		return 0;
	*ret_list = calloc(count + 1, sizeof(char *));
	for (size_t i = 0; *ret_list && i < count; i++) {
		(*ret_list)[i] = strdup(
			outline_text(reader->outline, outline_item(reader->outline, list, i)));
		if (!(*ret_list)[i])
			return -ENOMEM;
	}
	return *ret_list ? 0 : -ENOMEM;
}

static int read_headers(const struct check_reader *reader)
{
	outline_node_t list = config_check_find(reader, "headers"), item;

	for (unsigned int i = 0; (item = outline_item(reader->outline, list, i)); i++) {
		const char *text = outline_text(reader->outline, item);

		if (!is_header(text))
			return outline_refuse(reader->outline, reader->fault, item,
					      "\"%.64s\" is not a header; write one like "
					      "\"X-Check: lvsmesh\"",
					      text);
		if (strncasecmp(text, "host:", 5) == 0)
			return outline_refuse(reader->outline, reader->fault, item,
					      "the header Host has a key of its own; write host:%s",
					      text + 5);
	}
	return copy_list(reader, list, &reader->check->headers);
}

static int read_request(const struct check_reader *reader)
{
	const char *method = config_check_text(reader, "method");
	const char *path = config_check_text(reader, "path");
	struct check *check = reader->check;
	int r;

	if (method && (!is_word(method, "") ||
		       strspn(method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ-_") != strlen(method)))
		return config_check_refuse(reader, "method",
					   "method \"%s\" is not a method of HTTP; write one like "
					   "GET or HEAD",
					   method);
	if (path && (path[0] != '/' || !is_word(path, "#")))
		return config_check_refuse(reader, "path",
					   "path \"%.64s\" is not the path of a URL; write one "
					   "like /healthz",
					   path);
	check->method = strdup(method ? method : "GET");
	check->path = strdup(path ? path : "/");
	r = check->method && check->path ? 0 : -ENOMEM;
	if (r == 0)
		r = read_host(reader);
	return r < 0 ? r : read_headers(reader);
}

static int read_response(const struct check_reader *reader)
{
	struct check *check = reader->check;
	uint32_t body_max = BODY_MAX_DEFAULT;
	int r = read_statuses(reader);

	if (r == 0)
		r = config_check_copy(reader, "body", &check->body);
	if (r == 0 && check->body && strcmp(check->method, "HEAD") == 0)
		r = config_check_refuse(reader, "body",
					"an answer to HEAD has no body; write method: GET, or "
					"leave body out");
	if (r == 0)
		r = config_check_number(reader, "body-max", 1, BODY_MAX_MAX, &body_max);
	if (r == 0)
		r = config_check_number(reader, "redirects", 0, REDIRECTS_MAX,
					&check->redirects_max);
	check->body_max = body_max;
	return r;
}

static bool is_false(const struct check_reader *reader, const char *key)
{
	const char *text = config_check_text(reader, key);

	return text && strcmp(text, "false") == 0;
}

static int read_tls(const struct check_reader *reader)
{
	const char *ca = config_check_text(reader, "ca"), *sni = config_check_text(reader, "sni");
	struct check *check = reader->check;
	int r;

	check->verify = !is_false(reader, "verify");
	if (sni && !is_word(sni, "/?#@\\:"))
		return config_check_refuse(reader, "sni",
					   "sni \"%.64s\" is not a host's name; write one like "
					   "www.example.com",
					   sni);
	if (ca && ca[0] != '/')
		return config_check_refuse(
			reader, "ca", "ca \"%.64s\" is not an absolute path; write /%.64s", ca, ca);
	if (!check->verify && config_check_owns(reader, "ca"))
		return config_check_refuse(reader, "ca",
					   "ca does nothing with verify: false; leave one out");
	if (check->verify && !sni && !check->host)
		return config_check_refuse(reader, "type",
					   "the certificate's name can't be verified without a "
					   "name; write one like sni: www.example.com, or verify: "
					   "false");
	r = check->verify ? config_check_copy(reader, "ca", &check->ca) : 0;
	return r < 0 ? r : config_check_copy(reader, "sni", &check->sni);
}

static int read_http(const struct check_reader *reader)
{
	const char *http2 = config_check_text(reader, "http2");
	int r = read_request(reader);

	reader->check->http2 = http2 && strcmp(http2, "true") == 0;
	if (r == 0)
		r = read_response(reader);
	if (r == 0 && reader->check->type == CHECK_HTTPS)
		r = read_tls(reader);
	return r;
}

static int read_grpc_tls(const struct check_reader *reader)
{
	static const char *const keys[] = {"verify", "ca", "sni"};
	const char *tls = config_check_text(reader, "tls");

	reader->check->tls = tls && strcmp(tls, "true") == 0;
	if (reader->check->tls)
		return read_tls(reader);
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (config_check_owns(reader, keys[i]))
			return config_check_refuse(reader, keys[i],
						   "%s does nothing without TLS; write tls: true "
						   "too, or leave it out",
						   keys[i]);
	return 0;
}

static int read_grpc(const struct check_reader *reader)
{
	int r = read_host(reader);

	if (r == 0)
		r = read_grpc_tls(reader);
	reader->check->http2 = true;
	reader->check->body_max = BODY_MAX_DEFAULT;
	return r < 0 ? r : config_check_copy(reader, "service", &reader->check->grpc_service);
}

/* Labels of letters, digits, - and _, with or without a final dot; "." is the root. */
static bool is_dns_name(const char *name)
{
	size_t label = 0;

	if (strcmp(name, ".") == 0)
		return true;
	if (strlen(name) > 253 + (name[strlen(name) - 1] == '.'))
		return false;
	for (const char *c = name; *c; c++) {
		if (*c == '.' && label == 0)
			return false;
		label = *c == '.' ? 0 : label + 1;
		if (label > LABEL_MAX || (*c != '.' && *c != '-' && *c != '_' &&
					  !(isascii(*c) && isalnum((unsigned char)*c))))
			return false;
	}
	return true;
}

static int read_dns(const struct check_reader *reader)
{
	const char *name = config_check_text(reader, "name");
	const char *type = config_check_text(reader, "query-type");
	const char *rcode = config_check_text(reader, "rcode");
	struct check *check = reader->check;

	if (!name)
		return config_check_refuse(reader, "type",
					   "a check of type dns needs a name to ask for; write one "
					   "like name: www.example.com");
	if (!is_dns_name(name))
		return config_check_refuse(reader, "name",
					   "name \"%.64s\" is not a name of the DNS; write one "
					   "like www.example.com",
					   name);
	check->qtype = (uint16_t)config_check_word("query-type", type ? type : "A");
	check->rcode = (uint8_t)config_check_word("rcode", rcode ? rcode : "noerror");
	return config_check_copy(reader, "name", &check->name);
}

static int read_exec(const struct check_reader *reader)
{
	outline_node_t list = config_check_find(reader, "command");
	const char *program = outline_text(reader->outline, outline_item(reader->outline, list, 0));

	if (!program)
		return config_check_refuse(reader, "type",
					   "a check of type exec needs a program; write one like "
					   "command: [/usr/local/bin/check]");
	if (program[0] != '/')
		return config_check_refuse(reader, "command",
					   "command begins with \"%.64s\", which is not an "
					   "absolute path; write [/%.64s, ...]",
					   program, program);
	return copy_list(reader, list, &reader->check->command);
}

static int read_nothing(const struct check_reader *reader)
{
	(void)reader;
	return 0;
}

int config_check_type_read(const struct check_reader *reader)
{
	static int (*const readers[CHECK_TYPES])(const struct check_reader *) = {
		[CHECK_TCP] = read_tcp,      [CHECK_HTTP] = read_http, [CHECK_HTTPS] = read_http,
		[CHECK_GRPC] = read_grpc,    [CHECK_DNS] = read_dns,   [CHECK_UDP] = read_udp,
		[CHECK_PING] = read_nothing, [CHECK_EXEC] = read_exec, [CHECK_AGENT] = read_agent,
	};

	return readers[reader->check->type](reader);
}
