/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fuzz target of the bootstrap codec. The input is taken three ways: as bytes from a peer, given to
 * every decoder; as a run of messages, the way a connection brings them; and as a C struct, given
 * to the encoders. What a decoder accepts must encode to the same bytes, extensions and unprintable
 * text aside; what an encoder accepts must decode to the same struct.
 */
#include <stdlib.h>
#include <string.h>

#include "../unit/bootmsg.h"

#define must(cond) ((cond) ? (void)0 : abort())

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The body that was encoded is the start of the body that came; extensions follow it. */
static void same_body(const struct codec *c, const uint8_t *in, const uint8_t *out, size_t len)
{
	bool text = c == &messages[NMTI_MSG_DECLINE - 1];

	for (size_t i = NMTI_MSG_HDR_LEN; i < len; i++)
		must(out[i] == in[i] || (text && out[i] == '?'));
}

static void decode_one(const struct codec *c, const uint8_t *data, size_t size)
{
	uint8_t buf[NMTI_MSG_MAX];
	union msg m, again;
	int len;

	if (c->decode(data, size, &m))
		return;
	len = c->encode(&m, buf, sizeof(buf));
	must(len > NMTI_MSG_HDR_LEN && (size_t)len <= size);
	must(nmti_msg_peek(data, size, NULL) == (int)size);
	must(nmti_msg_peek(buf, (size_t)len, NULL) == len);
	same_body(c, data, buf, (size_t)len);
	if ((size_t)len == size)
		must(!memcmp(buf, data, NMTI_MSG_HDR_LEN));
	must(!c->decode(buf, (size_t)len, &again));
	must(!memcmp(&m, &again, c->size));
}

/* Once a struct went through the wire, it must go through unchanged. */
static void encode_one(const struct codec *c, const uint8_t *data, size_t size)
{
	uint8_t first[NMTI_MSG_MAX], second[NMTI_MSG_MAX];
	union msg m;
	int len;

	memset(&m, 0, sizeof(m));
	memcpy(&m, data, size < c->size ? size : c->size);
	len = c->encode(&m, first, sizeof(first));
	if (len < 0)
		return;
	must(!c->decode(first, (size_t)len, &m));
	must(c->encode(&m, second, sizeof(second)) == len);
	must(!memcmp(first, second, (size_t)len));
	must(c->encode(&m, second, (size_t)len - 1) < 0);
}

static void magic_and_record(const uint8_t *data, size_t size)
{
	uint8_t hdr[NMTI_REC_HDR_LEN];
	uint32_t len;
	bool eor;

	if (nmti_magic_match(data, size) == NMTI_MAGIC_LEN)
		must(!memcmp(data, NMTI_MAGIC, NMTI_MAGIC_LEN));
	if (size < NMTI_REC_HDR_LEN || nmti_rec_get(data, &len, &eor))
		return;
	nmti_rec_put(hdr, len, eor);
	must(!memcmp(hdr, data, NMTI_REC_HDR_LEN));
}

static void run_of_messages(const uint8_t *data, size_t size)
{
	struct nmti_msg_hdr hdr;
	union msg m;
	int len;

	while ((len = nmti_msg_peek(data, size, &hdr)) > 0) {
		must((size_t)len <= size && len <= NMTI_MSG_MAX);
		messages[hdr.type - 1].decode(data, (size_t)len, &m);
		data += len;
		size -= (size_t)len;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	for (size_t i = 0; i < BOOTMSG_COUNT; i++) {
		decode_one(&messages[i], data, size);
		encode_one(&messages[i], data, size);
	}
	magic_and_record(data, size);
	run_of_messages(data, size);
	return 0;
}
