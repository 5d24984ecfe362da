/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The headers of names.h, and which names are safe. No I/O here.
 */
#include "names.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

static const char header_magic[8] = { 'n', 'm', 't', '_', 'c', 'a', 't', 1 };
static const char answer_magic[8] = { 'n', 'm', 't', '_', 'c', 'a', 't', 2 };

static void put64(unsigned char *p, uint64_t v)
{
	v = htobe64(v);
	memcpy(p, &v, sizeof(v));
}

static void put32(unsigned char *p, uint32_t v)
{
	v = htobe32(v);
	memcpy(p, &v, sizeof(v));
}

static uint64_t get64(const unsigned char *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return be64toh(v);
}

static uint32_t get32(const unsigned char *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return be32toh(v);
}

void names_put_header(unsigned char *buf, const struct names_header *h)
{
	memcpy(buf, header_magic, 8);
	put64(buf + 8, h->size);
	put32(buf + 16, h->mode);
	put32(buf + 20, h->name_len);
}

int names_get_header(const unsigned char *buf, struct names_header *h)
{
	h->size = get64(buf + 8);
	h->mode = get32(buf + 16);
	h->name_len = get32(buf + 20);
	if (memcmp(buf, header_magic, 8) != 0 || h->size > INT64_MAX || h->mode > 0777 ||
	    h->name_len > NAMES_MAX)
		return -EPROTO;
	return 0;
}

void names_put_answer(unsigned char *buf, const struct names_answer *a)
{
	memcpy(buf, answer_magic, 8);
	put64(buf + 8, a->files);
	put64(buf + 16, a->bytes);
}

int names_get_answer(const unsigned char *buf, struct names_answer *a)
{
	a->files = get64(buf + 8);
	a->bytes = get64(buf + 16);
	return memcmp(buf, answer_magic, 8) == 0 ? 0 : -EPROTO;
}

bool names_allowed(const char *name, size_t len)
{
	if (len < 1 || len > NAMES_MAX)
		return false;
	if (name[0] == '.' && (len == 1 || (len == 2 && name[1] == '.')))
		return false;
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)name[i];

		if (c < 0x20 || c == 0x7f || c == '/')
			return false;
	}
	return true;
}

const char *names_base(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}
