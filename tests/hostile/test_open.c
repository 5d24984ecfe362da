/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Hostile peers of a stream that is open: broken messages on the control channel, wrong ends,
 * broken record headers. Each case runs with the attacker as client and as server, bare and with
 * records. The victim must see -ECONNRESET, after the bytes that came before the attack, and never
 * an orderly end.
 */
#include "foe.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define BOTH 0
#define RECORDS_ONLY 1

struct open_case {
	const char *name;
	int records;                        /* BOTH, RECORDS_ONLY */
	void (*attack)(struct foe *f);      /* NULL: the bytes below go on the control channel */
	const char *ctl;
	size_t n;
};

static struct rig rig;

/* ---- attacks that are more than bytes -------------------------------------------------------- */

static uint64_t records(const struct foe *f)
{
	return f->select.features & NMTI_FEAT_RECORDS ? 1 : 0;
}

/* End the last record, if there are any, so that only what an attack says is wrong. */
static void end_record(struct foe *f)
{
	if (records(f))
		foe_send_stream(f, 0, true);
}

static void fin_too_far(struct foe *f)
{
	end_record(f);
	foe_send_fin(f, f->sent + 1, records(f));
	shutdown(f->data, SHUT_WR);
}

static void fin_too_short(struct foe *f)
{
	end_record(f);
	foe_send_fin(f, f->sent - 1, records(f));
	shutdown(f->data, SHUT_WR);
}

static void fin_of_nothing(struct foe *f)
{
	end_record(f);
	foe_send_fin(f, 0, 0);
	shutdown(f->data, SHUT_WR);
}

static void fin_huge(struct foe *f)
{
	end_record(f);
	foe_send_fin(f, UINT64_MAX, records(f));
	shutdown(f->data, SHUT_WR);
}

static void fin_with_wrong_records(struct foe *f)
{
	end_record(f);
	foe_send_fin(f, f->sent, records(f) + 1);
	shutdown(f->data, SHUT_WR);
}

static void fin_late(struct foe *f)
{
	end_record(f);
	shutdown(f->data, SHUT_WR);
	foe_send_fin(f, f->sent + 5, records(f));
}

static void bytes_behind_fin(struct foe *f)
{
	end_record(f);
	foe_send_fin(f, f->sent, records(f));
	foe_send_stream(f, 100, true);
	shutdown(f->data, SHUT_WR);
}

static void fin_twice(struct foe *f)
{
	foe_send_fin(f, f->sent + 10, records(f));
	foe_send_fin(f, f->sent + 10, records(f));
}

static void fin_then_abort(struct foe *f)
{
	foe_send_fin(f, f->sent + 10, records(f));
	foe_send_abort(f, 0);
}

static void fin_then_closed_then_more(struct foe *f)
{
	foe_send_fin(f, f->sent + 10, records(f));
	foe_send_abort(f, NMT_WHY_CLOSED);
	foe_send_abort(f, NMT_WHY_CLOSED);
}

static void fin_then_closed_then_wrong_end(struct foe *f)
{
	end_record(f);
	foe_send_fin(f, f->sent + 10, records(f));
	foe_send_abort(f, NMT_WHY_CLOSED);
	shutdown(f->data, SHUT_WR);
}

static void abort_then_more(struct foe *f)
{
	foe_send_abort(f, NMT_WHY_SHUTDOWN);
	foe_send_fin(f, f->sent, records(f));
}

static void control_closed(struct foe *f)
{
	foe_shut(&f->ctl);
}

static void control_reset(struct foe *f)
{
	foe_reset(&f->ctl);
}

static void control_closed_after_fin(struct foe *f)
{
	foe_send_fin(f, f->sent + 10, records(f));
	foe_shut(&f->ctl);
}

static void data_closed(struct foe *f)
{
	end_record(f);
	shutdown(f->data, SHUT_WR);
	foe_shut(&f->ctl);
}

static void data_reset(struct foe *f)
{
	foe_reset(&f->data);
}

static void both_reset(struct foe *f)
{
	foe_reset(&f->data);
	foe_reset(&f->ctl);
}

static void ends_within_a_run(struct foe *f)
{
	uint8_t buf[NMTI_REC_HDR_LEN + 3];

	nmti_rec_put(buf, 10, true);
	for (int i = 0; i < 3; i++)
		buf[NMTI_REC_HDR_LEN + i] = side_byte(f->seed, f->sent++);
	foe_send(f->data, buf, sizeof(buf));
	foe_send_fin(f, f->sent, 0);
	shutdown(f->data, SHUT_WR);
}

static void ends_within_a_header(struct foe *f)
{
	uint8_t hdr[NMTI_REC_HDR_LEN];

	end_record(f);
	nmti_rec_put(hdr, 10, true);
	foe_send(f->data, hdr, 5);
	foe_send_fin(f, f->sent, 1);
	shutdown(f->data, SHUT_WR);
}

static void header(struct foe *f, const char *hdr)
{
	end_record(f);
	foe_send(f->data, hdr, NMTI_REC_HDR_LEN);
}

static void header_mark(struct foe *f)
{
	header(f, "MN\1\0\0\0\0\4");
}

static void header_version(struct foe *f)
{
	header(f, "NM\2\0\0\0\0\4");
}

static void header_flags(struct foe *f)
{
	header(f, "NM\1\2\0\0\0\4");
}

static void header_empty(struct foe *f)
{
	header(f, "NM\1\0\0\0\0\0");
}

static void header_text(struct foe *f)
{
	header(f, "GET / HT");
}

/* ---- the table ------------------------------------------------------------------------------- */

#define CTL(bytes) NULL, (bytes), sizeof(bytes) - 1
#define DO(fn) (fn), NULL, 0
#define ZERO8 "\0\0\0\0\0\0\0\0"

static const struct open_case cases[] = {
	{ "garbage on the control channel", BOTH, CTL("what is this? it is no message") },
	{ "zeros on the control channel", BOTH, CTL(ZERO8 ZERO8) },
	{ "unknown type", BOTH, CTL("\0\x63\1\0\0\0\0\x08" ZERO8) },
	{ "header version 2", BOTH, CTL("\0\6\2\0\0\0\0\x10" ZERO8 ZERO8) },
	{ "flags", BOTH, CTL("\0\6\1\1\0\0\0\x10" ZERO8 ZERO8) },
	{ "FIN of 17 bytes", BOTH, CTL("\0\6\1\0\0\0\0\x11" ZERO8 ZERO8 "\0") },
	{ "FIN of 15 bytes", BOTH, CTL("\0\6\1\0\0\0\0\x0f" ZERO8 "\0\0\0\0\0\0\0") },
	{ "FIN of 4 GiB", BOTH, CTL("\0\6\1\0\xff\xff\xff\xff") },
	{ "ABORT with its zero field set", BOTH, CTL("\0\7\1\0\0\0\0\x08\0\0\0\1\0\0\0\0") },
	{ "ABORT", BOTH, CTL("\0\7\1\0\0\0\0\x08" ZERO8) },
	{ "ABORT for an unknown reason", BOTH, CTL("\0\7\1\0\0\0\0\x08\xff\xff\0\0\0\0\0\0") },
	{ "ABORT that says closed, without a FIN", BOTH,
	  CTL("\0\7\1\0\0\0\0\x08\0\x0d\0\0\0\0\0\0") },
	{ "second CONFIRM", BOTH, CTL("\0\4\1\0\0\0\0\x08\0\0\0\1\0\0\0\0") },
	{ "CONFIRM that takes it back", BOTH, CTL("\0\4\1\0\0\0\0\x08\0\x08\0\0\0\0\0\0") },
	{ "JOIN on the control channel", BOTH,
	  CTL("\0\5\1\0\0\0\0\x28" ZERO8 ZERO8 ZERO8 ZERO8 "\0\0\0\1\0\0\0\0") },
	{ "DECLINE when it is open", BOTH, CTL("\0\3\1\0\0\0\0\x04\0\5\0\0") },
	{ "FIN beyond the bytes", BOTH, DO(fin_too_far) },
	{ "FIN before the bytes", BOTH, DO(fin_too_short) },
	{ "FIN of nothing", BOTH, DO(fin_of_nothing) },
	{ "FIN of 2^64-1", BOTH, DO(fin_huge) },
	{ "FIN with one record too many", BOTH, DO(fin_with_wrong_records) },
	{ "wrong FIN after the end of the data", BOTH, DO(fin_late) },
	{ "bytes behind FIN", BOTH, DO(bytes_behind_fin) },
	{ "FIN twice", BOTH, DO(fin_twice) },
	{ "FIN, then ABORT", BOTH, DO(fin_then_abort) },
	{ "ABORT, then more", BOTH, DO(abort_then_more) },
	{ "closed twice", BOTH, DO(fin_then_closed_then_more) },
	{ "closed, but not where FIN said", BOTH, DO(fin_then_closed_then_wrong_end) },
	{ "control channel closed", BOTH, DO(control_closed) },
	{ "control channel reset", BOTH, DO(control_reset) },
	{ "control channel closed after a FIN that is ahead", BOTH, DO(control_closed_after_fin) },
	{ "data socket and control channel closed without FIN", BOTH, DO(data_closed) },
	{ "data socket reset", BOTH, DO(data_reset) },
	{ "both reset", BOTH, DO(both_reset) },
	{ "end within a run", RECORDS_ONLY, DO(ends_within_a_run) },
	{ "end within a record header", RECORDS_ONLY, DO(ends_within_a_header) },
	{ "record header with another mark", RECORDS_ONLY, DO(header_mark) },
	{ "record header of version 2", RECORDS_ONLY, DO(header_version) },
	{ "record header with unknown flags", RECORDS_ONLY, DO(header_flags) },
	{ "run of nothing", RECORDS_ONLY, DO(header_empty) },
	{ "text instead of a record header", RECORDS_ONLY, DO(header_text) },
};

static void open_foe(struct foe *f, bool as_server)
{
	foe_init(f);
	if (as_server)
		foe_open_server(&rig, f);
	else
		foe_open_client(&rig, f);
	foe_warm_up(&rig, f);
}

static void run_case(const struct open_case *c, bool as_server)
{
	struct counts before = rig_counts(&rig);
	struct foe f;
	int64_t start;

	open_foe(&f, as_server);
	start = rig_now();
	if (c->attack)
		c->attack(&f);
	else
		foe_send(f.ctl, c->ctl, c->n);
	assert_int_equal(side_await_error(&rig, &f.victim, REACT_MS), -ECONNRESET);
	assert_in_range(rig_now() - start, 0, REACT_MS * MS);
	assert_int_not_equal(f.victim.recv_result, 0);
	assert_false(f.victim.corrupt);
	assert_true(f.victim.received >= 1000);
	pair_move(&rig, &rig.good, MIB);
	side_close(&rig, &f.victim);
	if (f.ctl >= 0)
		assert_true(foe_ends(&rig, f.ctl, REACT_MS));
	foe_close(&f);
	rig_prove(&rig);
	rig_settle(&rig, &before);
}

/* A case in one of its four settings. */
struct setting {
	const struct open_case *c;
	bool as_server;
	uint32_t flags;
	char name[96];
};

static void test_case(void **state)
{
	const struct setting *set = *state;
	const struct rig_options opt = { .flags = set->flags };

	rig_open(&rig, &opt);
	run_case(set->c, set->as_server);
	rig_close(&rig);
}

static bool make_setting(struct setting *set, const struct open_case *c, int which)
{
	set->c = c;
	set->as_server = which & 1;
	set->flags = which & 2 ? NMT_STREAM_RECORDS : 0;
	snprintf(set->name, sizeof(set->name), "%s (attacker: %s, %s)", c->name,
		 set->as_server ? "server" : "client", set->flags ? "records" : "bare");
	return set->flags || c->records == BOTH;
}

/* ---- ends ------------------------------------------------------------------------------------ */

/* An attacker that behaves gets an orderly end: the cases above fail for what they do. */
static void orderly(bool as_server, uint32_t flags, bool fin_first)
{
	const struct rig_options opt = { .flags = flags };
	struct counts before;
	struct nmti_fin fin;
	struct foe f;

	rig_open(&rig, &opt);
	before = rig_counts(&rig);
	open_foe(&f, as_server);
	end_record(&f);
	if (fin_first)
		foe_send_fin(&f, f.sent, records(&f));
	shutdown(f.data, SHUT_WR);
	rig_run(&rig, 5);
	if (!fin_first) {
		assert_int_equal(f.victim.recv_result, NO_RESULT);
		foe_send_fin(&f, f.sent, records(&f));
	}
	foe_expect_end(&rig, &f);
	assert_int_equal(nmt_shutdown(f.victim.stream, SHUT_WR), 0);
	assert_int_equal(foe_next(&rig, &f, REACT_MS), NMTI_MSG_FIN);
	assert_int_equal(nmti_fin_decode(f.msg, f.msg_len, &fin), 0);
	assert_int_equal(fin.offset, 0);
	assert_int_equal(fin.records, 0);
	assert_true(foe_ends(&rig, f.data, REACT_MS));
	foe_close(&f);
	side_close(&rig, &f.victim);
	assert_int_equal(f.victim.close_status, 0);
	rig_prove(&rig);
	rig_settle(&rig, &before);
	rig_close(&rig);
}

static void test_orderly_end(void **state)
{
	(void)state;
	for (int i = 0; i < 8; i++)
		orderly(i & 1, i & 2 ? NMT_STREAM_RECORDS : 0, i & 4);
}

/* FIN cut at each byte, then the control channel closes: never an orderly end. */
static void test_fin_truncated(void **state)
{
	struct counts before;
	struct nmti_fin fin = { 0 };
	uint8_t buf[64];
	struct foe f;
	int len;

	(void)state;
	rig_open(&rig, NULL);
	for (int cut = 0; cut < 24; cut++) {
		before = rig_counts(&rig);
		open_foe(&f, cut & 1);
		fin.offset = f.sent;
		len = nmti_fin_encode(&fin, buf, sizeof(buf));
		assert_true(cut < len);
		foe_send(f.ctl, buf, (size_t)cut);
		shutdown(f.data, SHUT_WR);
		rig_run(&rig, 2);
		foe_shut(&f.ctl);
		assert_int_equal(side_await_error(&rig, &f.victim, REACT_MS), -ECONNRESET);
		assert_int_not_equal(f.victim.recv_result, 0);
		pair_move(&rig, &rig.good, MIB);
		side_close(&rig, &f.victim);
		foe_close(&f);
		rig_settle(&rig, &before);
	}
	rig_prove(&rig);
	rig_close(&rig);
}

/* A second FIN after an orderly end breaks what is left of the stream: its other direction. */
static void test_second_fin_after_end(void **state)
{
	struct counts before;
	struct foe f;
	int64_t end;
	ssize_t n = 1;

	(void)state;
	rig_open(&rig, NULL);
	before = rig_counts(&rig);
	open_foe(&f, false);
	foe_send_fin(&f, f.sent, 0);
	shutdown(f.data, SHUT_WR);
	foe_expect_end(&rig, &f);
	assert_int_equal(nmt_send(f.victim.stream, "still", 5, 0), 5);
	foe_send_fin(&f, f.sent, 0);
	for (end = rig_now() + REACT_MS * MS; n > 0 && rig_now() < end;) {
		rig_turn(&rig);
		n = nmt_send(f.victim.stream, "x", 1, 0);
	}
	assert_int_equal(n, -ECONNRESET);
	pair_move(&rig, &rig.good, MIB);
	side_close(&rig, &f.victim);
	foe_close(&f);
	rig_prove(&rig);
	rig_settle(&rig, &before);
	rig_close(&rig);
}

/* FIN and "closed": what was sent arrives, and what the victim sends then is -EPIPE. */
static void test_closed_in_order(void **state)
{
	struct counts before;
	struct foe f;
	int64_t end;
	ssize_t n = 1;

	(void)state;
	rig_open(&rig, NULL);
	before = rig_counts(&rig);
	open_foe(&f, false);
	foe_send_fin(&f, f.sent, 0);
	foe_send_abort(&f, NMT_WHY_CLOSED);
	shutdown(f.data, SHUT_WR);
	foe_expect_end(&rig, &f);
	for (end = rig_now() + REACT_MS * MS; n > 0 && rig_now() < end;) {
		rig_turn(&rig);
		n = nmt_send(f.victim.stream, "x", 1, 0);
	}
	assert_int_equal(n, -EPIPE);
	assert_int_equal(f.victim.error, 0);
	foe_close(&f);
	side_close(&rig, &f.victim);
	rig_prove(&rig);
	rig_settle(&rig, &before);
	rig_close(&rig);
}

/* A peer that never reads stops its own stream and nothing else; an abort frees it at once. */
static void test_never_reads(void **state)
{
	static const char block[65536];
	struct counts before;
	uint64_t taken = 0;
	struct foe f;
	ssize_t n;

	(void)state;
	rig_open(&rig, NULL);
	before = rig_counts(&rig);
	open_foe(&f, false);
	while ((n = nmt_send(f.victim.stream, block, sizeof(block), 0)) > 0)
		taken += (uint64_t)n;
	assert_int_equal(n, -EAGAIN);
	assert_in_range(taken, 1, 64 * MIB);
	pair_move(&rig, &rig.good, MIB);
	assert_int_equal(nmt_abort(f.victim.stream), 0);
	f.victim.stream = NULL;
	assert_true(rig_until(&rig, &f.victim.closed, REACT_MS));
	assert_int_equal(f.victim.close_status, -ECONNABORTED);
	assert_int_equal(foe_next(&rig, &f, REACT_MS), NMTI_MSG_ABORT);
	foe_close(&f);
	rig_prove(&rig);
	rig_settle(&rig, &before);
	rig_close(&rig);
}

int main(int argc, char **argv)
{
	static struct setting settings[4 * ARRAY_SIZE(cases)];
	struct CMUnitTest tests[5 + ARRAY_SIZE(settings)] = {
		cmocka_unit_test(test_orderly_end),
		cmocka_unit_test(test_fin_truncated),
		cmocka_unit_test(test_second_fin_after_end),
		cmocka_unit_test(test_closed_in_order),
		cmocka_unit_test(test_never_reads),
	};
	size_t n = 5;

	for (size_t i = 0; i < ARRAY_SIZE(settings); i++) {
		struct setting *set = &settings[i];

		if (make_setting(set, &cases[i / 4], i % 4))
			tests[n++] = rig_test(set->name, test_case, set);
	}
	return rig_run_tests(argc, argv, tests, n);
}
