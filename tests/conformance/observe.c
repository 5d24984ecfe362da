/* SPDX-License-Identifier: BSD-2-Clause */
/* nmt_stream_info, nmt_stats and options tell what is so; no copies where none are promised. */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>

#include "suite.h"

/* "auto" may have wanted a better provider: then it says which. Where the ends differ one does. */
static void auto_tells(const struct env *env, const struct nmt_stream_info *info)
{
	const char *server = env->cfg->server;

	assert_true(info->why == NMT_WHY_NONE || info->why_text[0]);
	if (!strcmp(server, env->cfg->spec))
		return;
	assert_string_equal(info->provider, server);
	if (strcmp(server, "tcp")) {
		assert_int_equal(info->why, NMT_WHY_NONE);
		return;
	}
	assert_int_equal(info->why, NMT_WHY_NO_PROVIDER);
	assert_non_null(strstr(info->why_text, "the peer does not have verbs"));
}

static void t_info_tells_the_path(struct env *env)
{
	struct nmt_stream_info c, s;
	struct pair p;

	pair_open(env, &p);
	c = end_info(p.c);
	s = end_info(p.s);
	assert_int_equal(c.mode, env->cfg->mode);
	assert_int_equal(s.mode, env->cfg->mode);
	assert_string_equal(c.provider, s.provider);
	assert_true(c.provider[0] && c.rails == env->cfg->rails);
	assert_string_equal(c.local, s.peer);
	assert_string_equal(c.peer, s.local);
	assert_int_equal(s.recv_mode, env->cfg->recv);
	if (!strncmp(env->cfg->spec, "auto", 4))
		auto_tells(env, &c);
	else
		assert_int_equal(c.why, NMT_WHY_NONE);
	assert_int_equal(!!(c.flags & NMT_STREAM_RECORDS), env->cfg->records);
	assert_int_equal(!!(c.caps & NMT_CAP_RECORDS), env->cfg->records);
	if (env->cfg->mode == NMT_MODE_RAW)
		assert_true(c.caps & NMT_CAP_RAW);
}

static void t_info_tells_what_is_waited_for(struct env *env)
{
	struct pair p;

	pair_open(env, &p);
	end_fill(p.c, 1, 0);
	assert_true(end_info(p.c).waits & (NMT_WAIT_WINDOW | NMT_WAIT_QUEUE));
	assert_true(end_info(p.c).unacked > 0 || end_info(p.c).unsent > 0);
}

/* SIZE says how much of the struct is filled: a program built with an older header is safe. */
static void t_info_and_stats_honour_size(struct env *env)
{
	struct nmt_stream_info info;
	struct nmt_stats st;
	struct pair p;

	pair_open(env, &p);
	memset(&info, 0x77, sizeof(info));
	info.size = offsetof(struct nmt_stream_info, local);
	assert_ok(env, nmt_stream_info(p.c->s, &info));
	assert_int_equal(info.state, NMT_STATE_OPEN);
	assert_int_equal((unsigned char)info.local[0], 0x77);
	memset(&st, 0x77, sizeof(st));
	st.size = offsetof(struct nmt_stats, tx_ops);
	assert_ok(env, nmt_stats(env->dom[CLIENT], p.c->s, &st));
	assert_int_equal(st.tx_bytes, 0);
	assert_int_equal(st.tx_ops, UINT64_C(0x7777777777777777));
}

static void t_bytes_are_counted(struct env *env)
{
	struct nmt_stats st = NMT_STATS_INIT;
	struct pair p;

	pair_open(env, &p);
	end_put_pattern(p.c, 1, 0, 10000);
	end_expect(p.s, 1, 0, 10000);
	assert_int_equal(STAT(p.c, tx_bytes), 10000);
	assert_int_equal(STAT(p.s, rx_bytes), 10000);
	assert_int_equal(STAT(p.c, rx_bytes), 0);
	assert_true(STAT(p.c, tx_ops) > 0 && STAT(p.s, rx_ops) > 0);
	if (config_has(env->cfg) & T_KERNEL)
		assert_true(STAT(p.c, tx_syscalls) > 0 && STAT(p.s, rx_syscalls) > 0);
	assert_ok(env, nmt_stats(env->dom[CLIENT], NULL, &st));
	assert_int_equal(st.tx_bytes, 10000);
	assert_int_equal(st.streams, 1);
	assert_int_equal(st.connects, 1);
}

static void t_counters_of_closed_streams_stay(struct env *env)
{
	struct nmt_stats st = NMT_STATS_INIT;
	struct pair p;

	for (int i = 0; i < 3; i++) {
		pair_open(env, &p);
		pair_works(&p, 5000);
		pair_close(&p);
	}
	assert_ok(env, nmt_stats(env->dom[SERVER], NULL, &st));
	assert_int_equal(st.rx_bytes, 15000);
	assert_int_equal(st.tx_bytes, 15000);
	assert_int_equal(st.accepts, 3);
	assert_int_equal(st.streams, 0);
	assert_int_equal(st.pool_held, 0);
	assert_int_equal(st.pool_reserved, 0);
}

static void t_placed_and_borrowed_without_a_copy(struct env *env)
{
	struct nmt_frag frag = { .len = 64 * KIB };
	struct nmt_mr *mr;
	struct nmt_event ev;
	struct pair p;

	pair_open(env, &p);
	frag.mr = env_mr(env, 64 * KIB, NMT_ACCESS_SEND);
	mr = env_mr(env, 64 * KIB, NMT_ACCESS_RECV);
	mr_pattern(frag.mr, 0, 1, 0, 64 * KIB);
	for (uint64_t i = 0; i < 20; i++) {
		assert_ok(env, nmt_recv_into(p.s->s, mr, 0, 64 * KIB, 0, i));
		assert_ok(env, nmt_send_mr(p.c->s, &frag, 1, 0, i));
		end_wait(p.s, NMT_EV_RECEIVED, &ev);
		assert_int_equal(mr_check(mr, 0, 1, 0, 64 * KIB), -1);
		end_wait(p.c, NMT_EV_SENT, &ev);
	}
	assert_int_equal(STAT(p.c, tx_copied), 0);
	/* Where the peer writes into pool memory itself, a post gathers from there. */
	if (config_has(env->cfg) & (T_KERNEL | T_POSTED))
		assert_int_equal(STAT(p.s, rx_copied), 0);
	assert_int_equal(STAT(p.c, tx_bytes), 20 * 64 * KIB);
	assert_int_equal(STAT(p.s, rx_bytes), 20 * 64 * KIB);
}

/* Memory that neither CPU nor device can touch is staged, and that is told. */
static void t_staging_is_counted(struct env *env)
{
	struct nmt_frag frag = { .len = 10000 };
	struct nmt_event ev;
	struct nmt_mr *mr;
	struct pair p;

	pair_open(env, &p);
	frag.mr = env_mr(env, 10000, NMT_ACCESS_SEND);
	mr = env_mr(env, 10000, NMT_ACCESS_RECV);
	assert_null(nmt_mr_addr(mr));
	assert_ok(env, nmt_recv_into(p.s->s, mr, 0, 10000, 0, 1));
	assert_ok(env, nmt_send_mr(p.c->s, &frag, 1, 0, 1));
	end_wait(p.s, NMT_EV_RECEIVED, &ev);
	end_wait(p.c, NMT_EV_SENT, &ev);
	if (env->cfg->kind != OPAQUE_KIND && end_info(p.c).caps & NMT_CAP_DMABUF) {
		assert_int_equal(STAT(p.c, fallback_staging), 0);
		assert_int_equal(STAT(p.s, fallback_staging), 0);
		return;
	}
	assert_true(STAT(p.c, tx_copied) >= 10000);
	assert_true(STAT(p.s, rx_copied) >= 10000);
	assert_true(STAT(p.c, fallback_staging) > 0);
	assert_true(STAT(p.s, fallback_staging) > 0);
}

/* On loopback the kernel copies zero-copy sends; that is counted and given up. */
static void t_zerocopy_falls_back_on_loopback(struct env *env)
{
	struct nmt_frag frag = { .len = 256 * KIB };
	struct pair_opt opt;
	struct pair p;

	pair_defaults(env, &opt);
	opt.c.zerocopy_min = 1;
	pair_open_opt(env, &p, &opt);
	frag.mr = env_mr(env, 256 * KIB, NMT_ACCESS_SEND);
	mr_pattern(frag.mr, 0, 1, 0, 256 * KIB);
	for (uint64_t i = 0; i < 16; i++) {
		struct nmt_event ev;

		assert_ok(env, nmt_send_mr(p.c->s, &frag, 1, 0, i));
		end_expect(p.s, 1, 0, 256 * KIB);
		end_wait(p.c, NMT_EV_SENT, &ev);
	}
	if (STAT(p.c, zc_sends)) {
		assert_true(STAT(p.c, zc_copied) > 0);
		assert_int_equal(STAT(p.c, fallback_zerocopy), 1);
		assert_true(STAT(p.c, zc_sends) < 16);
	}
	assert_int_equal(STAT(p.c, tx_copied), 0);
}

static void set_and_get(struct env *env, struct end *e, enum nmt_opt opt, int64_t value)
{
	size_t len = sizeof(int64_t);
	int64_t got = -77;

	assert_ok(env, nmt_stream_setopt(e->s, opt, &value, sizeof(value)));
	assert_ok(env, nmt_stream_getopt(e->s, opt, &got, &len));
	if (got != value || len != sizeof(int64_t))
		failf(env, "option %d: set %lld, got %lld", opt, (long long)value, (long long)got);
}

static void t_options_can_be_set_and_read(struct env *env)
{
	size_t len = sizeof(int64_t);
	char text[32];
	int64_t v = 0;
	struct pair p;

	pair_open(env, &p);
	set_and_get(env, p.c, NMT_OPT_SEND_TIMEOUT, SEC);
	set_and_get(env, p.c, NMT_OPT_RECV_TIMEOUT, 2 * SEC);
	set_and_get(env, p.c, NMT_OPT_LINGER, 3 * SEC);
	set_and_get(env, p.c, NMT_OPT_ZEROCOPY_MIN, 5000);
	set_and_get(env, p.c, NMT_OPT_NODELAY, 0);
	set_and_get(env, p.c, NMT_OPT_NODELAY, 1);
	set_and_get(env, p.c, NMT_OPT_KEEPALIVE_IDLE, 30);
	set_and_get(env, p.c, NMT_OPT_USER_TIMEOUT, 7000);
	set_and_get(env, p.c, NMT_OPT_TOS, 0x10);
	assert_ok(env, nmt_stream_getopt(p.c->s, NMT_OPT_SNDBUF, &v, &len));
	assert_true(v > 0);
	len = sizeof(text);
	assert_ok(env, nmt_stream_getopt(p.c->s, NMT_OPT_CONGESTION, text, &len));
	assert_true(len > 1 && text[0]);
	assert_ok(env, nmt_stream_setopt(p.c->s, NMT_OPT_CONGESTION, "reno", 4));
	pair_works(&p, 1000);
}

static void t_raw_stream_has_a_socket(struct env *env)
{
	int fd, v = 0;
	socklen_t len = sizeof(v);
	struct pair p;

	pair_open(env, &p);
	fd = nmt_stream_fd(p.c->s);
	assert_true(fd >= 0);
	assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &v, &len), 0);
	assert_true(v != 0);
}

static void t_other_streams_have_no_socket(struct env *env)
{
	struct pair p;

	pair_open(env, &p);
	assert_err(env, nmt_stream_fd(p.c->s), -EOPNOTSUPP);
}

static void t_attributes_reach_the_socket(struct env *env)
{
	struct pair_opt opt;
	socklen_t len = sizeof(int);
	struct pair p;
	int v;

	pair_defaults(env, &opt);
	opt.c.flags |= NMT_STREAM_NAGLE;
	opt.c.keepalive_idle = 33;
	opt.c.user_timeout_ms = 4444;
	pair_open_opt(env, &p, &opt);
	assert_int_equal(getsockopt(nmt_stream_fd(p.c->s), IPPROTO_TCP, TCP_NODELAY, &v, &len), 0);
	assert_int_equal(v, 0);
	assert_int_equal(getsockopt(nmt_stream_fd(p.c->s), IPPROTO_TCP, TCP_KEEPIDLE, &v, &len), 0);
	assert_int_equal(v, 33);
	assert_int_equal(getsockopt(nmt_stream_fd(p.c->s), IPPROTO_TCP, TCP_USER_TIMEOUT, &v, &len),
			 0);
	assert_int_equal(v, 4444);
}

static void t_getinfo_lists_the_provider(struct env *env)
{
	struct nmt_hints hints = NMT_HINTS_INIT;
	struct nmt_info *list, *i;
	unsigned int n = 0;

	env_open(env, NULL);
	hints.spec = env->cfg->spec;
	assert_ok(env, nmt_getinfo(env->ctx, &hints, &list));
	for (i = list; i; i = i->next, n++) {
		assert_int_equal(i->status, 0);
		assert_true(i->provider[0] && i->device[0] && i->caps);
	}
	assert_true(n > 0);
	nmt_freeinfo(list);
	hints.spec = "no-such";
	assert_err(env, nmt_getinfo(env->ctx, &hints, &list), -ENODEV);
	hints.spec = env->cfg->spec;
	hints.caps = UINT64_C(1) << 63;
	assert_err(env, nmt_getinfo(env->ctx, &hints, &list), -ENOENT);
}

const struct test tests_observe[] = {
	TEST(t_info_tells_the_path, 0),
	TEST(t_info_tells_what_is_waited_for, T_HOST),
	TEST(t_info_and_stats_honour_size, T_HOST),
	TEST(t_bytes_are_counted, 0),
	TEST(t_counters_of_closed_streams_stay, T_HOST),
	TEST(t_placed_and_borrowed_without_a_copy, T_CPU),
	TEST(t_staging_is_counted, T_OPAQUE),
	TEST(t_zerocopy_falls_back_on_loopback, T_CPU),
	TEST(t_options_can_be_set_and_read, T_HOST | T_KERNEL),
	TEST(t_raw_stream_has_a_socket, T_HOST | T_RAW),
	TEST(t_other_streams_have_no_socket, T_HOST | T_NEGOTIATED),
	TEST(t_attributes_reach_the_socket, T_HOST | T_RAW),
	TEST(t_getinfo_lists_the_provider, T_HOST),
	TESTS_END,
};
