/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * After a connection that ended in order. The answer of a --dir receiver is no payload: it is
 * neither counted nor printed as received.
 */
#include "verdict.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "die.h"

static void print_sum(const struct checksum *c, const char *which)
{
	char text[CHECKSUM_TEXT];

	checksum_text(c, text, sizeof(text));
	fprintf(stderr, "%s  %" PRIu64 "%s%s\n", text, c->bytes, *which ? "  " : "", which);
}

/* The direction that carried bytes; with a word each when both did. */
static void print_sums(const struct cat_options *o, const struct checksum *sent,
		       const struct checksum *got)
{
	bool both = sent->bytes && got->bytes && !o->names;
	bool was_sent = o->names || sent->bytes || (!got->bytes && cat_sends(o));

	if (both) {
		print_sum(sent, "sent");
		print_sum(got, "received");
	} else {
		print_sum(was_sent ? sent : got, "");
	}
}

static int check_expected(const struct cat_options *o, const struct checksum *c, const char *what)
{
	char text[CHECKSUM_TEXT];
	int result = TK_EXIT_OK;

	if (o->has_expect && c->bytes != o->expect) {
		tk_warn("%" PRIu64 " bytes were %s, expected %" PRIu64, c->bytes, what, o->expect);
		result = TK_EXIT_MISMATCH;
	}
	checksum_text(c, text, sizeof(text));
	if (o->expect_sum[0] && strcmp(text, o->expect_sum) != 0) {
		tk_warn("the checksum of what was %s is %s, expected %s", what, text,
			o->expect_sum);
		result = TK_EXIT_MISMATCH;
	}
	return result;
}

static int check_answer(const struct sender *tx, const struct receiver *rx)
{
	const struct names_answer *sent = &tx->src.sent, *got = &rx->sink->got;

	if (sent->files == got->files && sent->bytes == got->bytes)
		return TK_EXIT_OK;
	tk_warn("the receiver wrote %" PRIu64 " files, %" PRIu64 " bytes; sent were %" PRIu64
		" and %" PRIu64,
		got->files, got->bytes, sent->files, sent->bytes);
	return TK_EXIT_FAILURE;
}

int verdict(const struct cat_options *o, const struct sender *tx, const struct receiver *rx)
{
	bool sending = o->send_only || o->names;
	int result = TK_EXIT_OK;

	if (o->print_sum)
		print_sums(o, &tx->sum, &rx->sum);
	if (o->names)
		result = check_answer(tx, rx);
	if (result != TK_EXIT_OK)
		return result;
	return check_expected(o, sending ? &tx->sum : &rx->sum, sending ? "sent" : "received");
}
