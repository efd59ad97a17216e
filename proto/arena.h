/* Memory of a fixed size for a protobuf decoder, so that the caller, and not a stranger's message,
 * bounds the memory that decoding uses. No part is freed by itself: the whole decoded message goes
 * with the arena. */
#ifndef PROTO_ARENA_H
#define PROTO_ARENA_H

#include <protobuf-c/protobuf-c.h>

#include "proto/base.h"

struct arena {
	ProtobufCAllocator allocator; /* for protobuf_c_message_unpack() and its kin */
	uint8_t *at, *end;
};

/* data: cap bytes, borrowed, aligned as malloc() would; the decoder gets NULL when they are used
 * up, and refuses the message. Leave the message unfreed. */
void arena_init(struct arena *arena, void *data, size_t cap);

#endif
