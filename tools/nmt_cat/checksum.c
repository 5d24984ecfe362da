/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Running checksum of one direction: xxHash computes XXH3, OpenSSL computes SHA-256.
 */
#include "checksum.h"

#include <ctype.h>
#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

static const struct {
	const char *name;
	enum checksum_kind kind;
	size_t digits;
} kinds[] = {
	{ "xxh3", CHECKSUM_XXH3, 16 },
	{ "sha256", CHECKSUM_SHA256, 64 },
};
#define N_KINDS (sizeof(kinds) / sizeof(kinds[0]))

static void *xxh3_new(void)
{
	XXH3_state_t *s = XXH3_createState();

	if (s)
		XXH3_64bits_reset(s);
	return s;
}

static void *sha256_new(void)
{
	EVP_MD_CTX *s = EVP_MD_CTX_new();

	if (s && !EVP_DigestInit_ex(s, EVP_sha256(), NULL)) {
		EVP_MD_CTX_free(s);
		return NULL;
	}
	return s;
}

int checksum_init(struct checksum *c, enum checksum_kind kind)
{
	memset(c, 0, sizeof(*c));
	c->kind = kind;
	if (kind == CHECKSUM_NONE)
		return 0;
	c->state = kind == CHECKSUM_XXH3 ? xxh3_new() : sha256_new();
	return c->state ? 0 : -ENOMEM;
}

void checksum_update(struct checksum *c, const void *data, size_t len)
{
	c->bytes += len;
	if (c->kind == CHECKSUM_XXH3)
		XXH3_64bits_update(c->state, data, len);
	else if (c->kind == CHECKSUM_SHA256)
		EVP_DigestUpdate(c->state, data, len);
}

static void hex(char *dst, const unsigned char *src, size_t n)
{
	for (size_t i = 0; i < n; i++)
		sprintf(dst + 2 * i, "%02x", src[i]);
}

/* The digest so far; the running state goes on. Returns its length. */
static size_t digest(const struct checksum *c, unsigned char *out)
{
	XXH64_canonical_t canonical;
	EVP_MD_CTX *copy;
	unsigned int n = 0;

	if (c->kind == CHECKSUM_XXH3) {
		XXH64_canonicalFromHash(&canonical, XXH3_64bits_digest(c->state));
		memcpy(out, canonical.digest, sizeof(canonical.digest));
		return sizeof(canonical.digest);
	}
	copy = EVP_MD_CTX_new();
	if (copy && EVP_MD_CTX_copy_ex(copy, c->state))
		EVP_DigestFinal_ex(copy, out, &n);
	EVP_MD_CTX_free(copy);
	return n;
}

void checksum_text(const struct checksum *c, char *buf, size_t len)
{
	unsigned char bytes[EVP_MAX_MD_SIZE];
	char digits[2 * EVP_MAX_MD_SIZE + 1] = "";

	buf[0] = '\0';
	if (c->kind == CHECKSUM_NONE)
		return;
	hex(digits, bytes, digest(c, bytes));
	snprintf(buf, len, "%s:%s", kinds[c->kind - 1].name, digits);
}

void checksum_free(struct checksum *c)
{
	if (c->kind == CHECKSUM_XXH3)
		XXH3_freeState(c->state);
	else if (c->kind == CHECKSUM_SHA256)
		EVP_MD_CTX_free(c->state);
	c->state = NULL;
	c->kind = CHECKSUM_NONE;
}

int checksum_parse_kind(const char *text, enum checksum_kind *kind)
{
	for (size_t i = 0; i < N_KINDS; i++) {
		if (strcmp(text, kinds[i].name) == 0) {
			*kind = kinds[i].kind;
			return 0;
		}
	}
	return -EINVAL;
}

/* Which kind DIGITS belongs to: named by PREFIX of length N, or by its own length. */
static int kind_of(const char *prefix, size_t n, const char *digits)
{
	for (size_t i = 0; i < N_KINDS; i++) {
		bool named = n == strlen(kinds[i].name) && !strncmp(prefix, kinds[i].name, n);

		if (strlen(digits) == kinds[i].digits && (n == 0 || named))
			return (int)i;
	}
	return -EINVAL;
}

int checksum_parse(const char *text, enum checksum_kind *kind, char *buf, size_t len)
{
	const char *colon = strchr(text, ':');
	const char *digits = colon ? colon + 1 : text;
	int i = kind_of(text, colon ? (size_t)(colon - text) : 0, digits);

	if (i < 0 || strspn(digits, "0123456789abcdefABCDEF") != strlen(digits))
		return -EINVAL;
	*kind = kinds[i].kind;
	snprintf(buf, len, "%s:%s", kinds[i].name, digits);
	for (char *p = buf; *p; p++)
		*p = (char)tolower((unsigned char)*p);
	return 0;
}
