#include "director/checker/grpc_health.h"

#define FRAME 5          /* a flag for compression, the message's length */
#define TAG_SERVICE 0x0a /* field 1, with a length */
#define TAG_STATUS 0x08  /* field 1, a number */
#define VARINT_MAX 10

int grpc_health_request(const char *service, uint8_t request[GRPC_HEALTH_REQUEST_MAX])
{
	size_t name = service ? strlen(service) : 0, len = 0;
	uint8_t *message = request + FRAME;

	if (name > GRPC_HEALTH_SERVICE_MAX)
		return -EINVAL;
	if (name) {
		message[len++] = TAG_SERVICE;
		if (name > 127)
			message[len++] = (uint8_t)(name | 0x80);
		message[len++] = (uint8_t)(name > 127 ? name >> 7 : name);
		memcpy(message + len, service, name);
		len += name;
	}
	request[0] = 0;
	store_be32(request + 1, (uint32_t)len);
	return (int)(FRAME + len);
}

struct cursor {
	const uint8_t *at, *end;
};

static bool varint_read(struct cursor *cursor, uint64_t *ret_value)
{
	uint64_t value = 0;

	for (unsigned int i = 0; i < VARINT_MAX && cursor->at < cursor->end; i++) {
		uint8_t byte = *cursor->at++;

		value |= (uint64_t)(byte & 0x7f) << (7 * i);
		if (byte < 0x80) {
			*ret_value = value;
			return true;
		}
	}
	return false;
}

static bool bytes_skip(struct cursor *cursor, uint64_t bytes)
{
	if (bytes > (uint64_t)(cursor->end - cursor->at))
		return false;
	cursor->at += bytes;
	return true;
}

/* The value of a field that is not the status. */
static bool field_skip(struct cursor *cursor, uint64_t tag)
{
	uint64_t value;

	switch (tag & 7) {
	case 0:
		return varint_read(cursor, &value);
	case 1:
		return bytes_skip(cursor, 8);
	case 2:
		return varint_read(cursor, &value) && bytes_skip(cursor, value);
	case 5:
		return bytes_skip(cursor, 4);
	default:
		return false;
	}
}

int grpc_health_response(const uint8_t *data, size_t len)
{
	struct cursor cursor = {data + MIN(len, (size_t)FRAME), data + len};
	uint64_t tag, status = 0;

	if (len < FRAME || data[0] != 0 || load_be32(data + 1) != len - FRAME)
		return -EINVAL;
	while (cursor.at < cursor.end) {
		if (!varint_read(&cursor, &tag) || tag >> 3 == 0)
			return -EINVAL;
		if (tag == TAG_STATUS ? !varint_read(&cursor, &status) : !field_skip(&cursor, tag))
			return -EINVAL;
	}
	return status > INT32_MAX ? -EINVAL : (int)status;
}

const char *grpc_health_status_name(int status)
{
	static const char *const names[] = {"UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"};

	return status >= 0 && (size_t)status < ARRAY_SIZE(names) ? names[status] : "another status";
}
