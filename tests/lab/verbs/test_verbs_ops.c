/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * In the guest: the verbs ops between two hosts with SoftRoCE, one thread driving both: devices,
 * set-up, writes, messages. Queues are in test_verbs_flow.c, what breaks a path in
 * test_verbs_faults.c.
 *
 *   test_verbs_ops          all of it
 *   test_verbs_ops PATTERN  the tests whose names match
 */
#include "rig.h"

#include <netinet/in.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/wait.h>

static struct side a, b;
static struct end x, y, x2, y2;

static int setup(void **state)
{
	(void)state;
	side_open(&a, "a", "rxe_a");
	side_open(&b, "b", "rxe_b");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	side_close(&a);
	side_close(&b);
	return 0;
}

/* ---- devices ---- */

struct found {
	int count;
	struct nmt_info info[8];
};

static int keep(void *arg, const struct nmt_info *info)
{
	struct found *f = arg;

	f->info[f->count++ % 8] = *info;
	return 0;
}

static const struct nmt_info *find(const struct found *f, const char *device)
{
	for (int i = 0; i < f->count; i++)
		if (!strcmp(f->info[i].device, device))
			return &f->info[i];
	fail_msg("%s is not listed", device);
	return NULL;
}

/* Both hosts see both devices; only one has an address there. */
static void test_query(void **state)
{
	struct found f = { 0 };
	const struct nmt_info *i;

	(void)state;
	side_enter(&a);
	assert_int_equal(nmti_provider_verbs.query(a.ctx, keep, &f), 0);
	assert_int_equal(f.count, 2);
	i = find(&f, "rxe_a");
	assert_int_equal(i->status, 0);
	assert_string_equal(i->reason, "");
	assert_int_equal(i->mtu, 4096);
	assert_true(i->flags & NMT_INFO_UP);
	assert_true(i->speed_mbps > 0);
	assert_int_equal(i->numa_node, -1);
	i = find(&f, "rxe_b");
	assert_int_equal(i->status, -EADDRNOTAVAIL);
	assert_non_null(strstr(i->reason, "address"));
}

/* What a person is told who may not use the devices; asked by a process that is nobody. */
static int refused(void)
{
	struct found f = { 0 };

	if (setuid(65534) || nmti_provider_verbs.query(a.ctx, keep, &f))
		return 1;
	for (int i = 0; i < f.count; i++) {
		if (f.info[i].status == -EACCES && strstr(f.info[i].reason, "permission"))
			continue;
		printf("%s: %d %s\n", f.info[i].device, f.info[i].status, f.info[i].reason);
		fflush(stdout);
		return 2;
	}
	return f.count == 2 ? 0 : 3;
}

static void test_query_refused(void **state)
{
	pid_t pid;
	int status;

	(void)state;
	assert_int_equal(chmod("/dev/infiniband", 0755), 0);
	assert_int_equal(rig_shell("chmod 600 /dev/infiniband/*"), 0);
	pid = fork();
	if (!pid)
		_exit(refused());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(rig_shell("chmod 666 /dev/infiniband/*"), 0);
	assert_int_equal(status, 0);
}

static void test_open(void **state)
{
	struct side s;

	(void)state;
	assert_int_equal(side_try(&s, "a", "mlx9_9"), -ENODEV);
	assert_true(side_logged(&s, "no device called mlx9_9"));
	side_close(&s);
	assert_int_equal(side_try(&s, "a", "rxe_b"), -ENODEV);
	assert_true(side_logged(&s, "rxe_b: no interface here"));
	side_close(&s);
	side_open(&s, "b", "");
	assert_string_equal(s.dev->port.name, "rxe_b");
	side_close(&s);
	side_open(&s, "a", "rxe_a:1");
	assert_string_equal(s.dev->port.name, "rxe_a");
	assert_int_equal(s.limits.inline_max, 512);
	assert_int_equal(s.limits.ctrl_max, 256);
	assert_in_range(s.limits.send_depth, 2, 32767);
	assert_in_range(s.limits.recv_slots, 64, 32767);
	assert_true(s.limits.write_max >= 1 << 20);
	assert_int_equal(s.limits.numa, -1);
	side_close(&s);
}

static void test_knobs(void **state)
{
	struct side s;

	(void)state;
	setenv("NMT_VERBS_INLINE", "100", 1);
	setenv("NMT_VERBS_SEND_DEPTH", "12", 1);
	setenv("NMT_VERBS_TIMEOUT", "banana", 1);
	side_open(&s, "a", "rxe_a");
	assert_int_equal(s.limits.inline_max, 100);
	assert_int_equal(s.limits.send_depth, 12);
	assert_true(side_logged(&s, "NMT_VERBS_TIMEOUT=banana"));
	side_close(&s);
	unsetenv("NMT_VERBS_INLINE");
	unsetenv("NMT_VERBS_SEND_DEPTH");
	unsetenv("NMT_VERBS_TIMEOUT");
	setenv("NMT_VERBS_GID_INDEX", "200", 1);
	assert_int_equal(side_try(&s, "a", "rxe_a"), -ENODEV);
	assert_true(side_logged(&s, "NMT_VERBS_GID_INDEX"));
	side_close(&s);
	setenv("NMT_VERBS_GID_INDEX", "1", 1);
	side_open(&s, "a", "rxe_a");
	assert_int_equal(s.dev->port.naddrs, 1);
	assert_int_equal(s.dev->port.addrs[0].gid_type, IBV_GID_TYPE_ROCE_V2);
	side_close(&s);
	unsetenv("NMT_VERBS_GID_INDEX");
}

/* ---- set-up ---- */

static void test_connect(void **state)
{
	struct nmt_stream_info info = NMT_STREAM_INFO_INIT;

	(void)state;
	ends_join(&x, &a, &y, &b, NULL);
	ops->describe(x.ep, &info);
	assert_string_equal(info.device, "rxe_a");
	assert_true(side_logged(&a, "MTU 4096"));
	ends_part(&x, &y);
}

/* The kernel alone would take the whole limit of the resolution, 2 s, to see the neighbour's answer. */
static void test_connect_new_neighbour(void **state)
{
	int64_t before;

	(void)state;
	assert_int_equal(rig_shell("ip -n a neigh flush all && ip -n b neigh flush all"), 0);
	before = nmti_now();
	ends_join(&x, &a, &y, &b, NULL);
	assert_in_range(nmti_now() - before, 0, 1500 * MS);
	ends_part(&x, &y);
}

static void test_connect_no_neighbour(void **state)
{
	struct nmti_rma_ep_attr attr = rig_attr(&x, NULL);
	static struct side nobody;

	(void)state;
	memcpy(nobody.blob, b.blob, b.blob_len);
	nobody.blob[1] = 1; /* addresses */
	nobody.blob_len = 24;
	nobody.blob[nobody.blob[4] == 4 ? 11 : 23] = 0x99; /* the last byte of the first */
	assert_int_equal(end_connect(&x, &a, &nobody, &attr), 0);
	RIG_UNTIL(&a, &b, 10 * SEC, x.failed || x.connected);
	assert_int_equal(x.connected, 0);
	assert_non_null(strstr(x.text, "rdma_resolve_addr"));
	end_destroy(&x);
}

/* Not expected at first: the connect comes through once it is. */
static void test_connect_early(void **state)
{
	struct nmti_rma_ep_attr attr = rig_attr(&x, NULL), peer = attr;

	(void)state;
	assert_int_equal(end_connect(&x, &a, &b, &attr), 0);
	RIG_FOR(&a, &b, 400 * MS);
	assert_int_equal(x.connected + x.failed, 0);
	assert_true(side_logged(&b, "nobody expects its token"));
	assert_int_equal(end_expect(&y, &b, &peer), 0);
	RIG_UNTIL(&a, &b, RIG_LIMIT, x.connected && y.connected);
	ends_part(&x, &y);
}

/* A wrong token, rail or epoch is refused, and whoever is expected still can come. */
static void test_connect_wrong(void **state)
{
	struct nmti_rma_ep_attr right = rig_attr(&y, NULL), wrong;
	uint8_t token[NMTI_RMA_TOKEN];

	(void)state;
	assert_int_equal(end_expect(&y, &b, &right), 0);
	for (int i = 0; i < 3; i++) {
		wrong = right;
		memcpy(token, right.token, sizeof(token));
		token[15] ^= i == 0;
		wrong.token = token;
		wrong.rail = i == 1;
		wrong.epoch = i == 2;
		assert_int_equal(end_connect(&x, &a, &b, &wrong), 0);
		RIG_UNTIL(&a, &b, RIG_LIMIT, x.failed || x.connected);
		assert_int_equal(x.connected, 0);
		assert_int_equal(x.status, -ECONNREFUSED);
		assert_non_null(strstr(x.text, "rxe_a 10.77.0.1:0 -> 10.77.0.2"));
		assert_non_null(strstr(x.text, "does not expect"));
		end_destroy(&x);
		assert_int_equal(y.connected + y.failed, 0);
	}
	wrong = right;
	assert_int_equal(end_connect(&x, &a, &b, &wrong), 0);
	RIG_UNTIL(&a, &b, RIG_LIMIT, x.connected && y.connected);
	ends_part(&x, &y);
}

static void test_blob(void **state)
{
	struct nmti_rma_ep_attr attr = rig_attr(&x, NULL);
	uint8_t blob[NMTI_RMA_BLOB_MAX];

	(void)state;
	side_enter(&a);
	for (uint32_t len = 0; len < b.blob_len; len++)
		assert_int_equal(ops->connect(a.dev, &attr, b.blob, len, &x.ep), -EPROTO);
	for (int i = 0; i < 6; i++) {
		static const uint8_t at[] = { 0, 1, 1, 4, 5, 5 }, value[] = { 2, 0, 9, 5, 33, 255 };

		memcpy(blob, b.blob, b.blob_len);
		blob[at[i]] = value[i];
		assert_int_equal(ops->connect(a.dev, &attr, blob, b.blob_len, &x.ep), -EPROTO);
	}
	assert_int_equal(ops->address(a.dev, blob, 23), -ENOSPC);
}

static void test_attr(void **state)
{
	struct nmti_rma_ep_attr good = rig_attr(&x, NULL), bad[5];

	(void)state;
	for (int i = 0; i < 5; i++)
		bad[i] = good;
	bad[0].run_slots = bad[0].ctrl_slots = 0;
	bad[1].send_depth = 1;
	bad[2].send_depth = a.limits.send_depth + 1;
	bad[3].ctrl_max = VERBS_MSG_MAX + 1;
	bad[4].run_slots = UINT16_MAX;
	for (int i = 0; i < 5; i++)
		assert_int_equal(end_expect(&x, &a, &bad[i]), -EINVAL);
	assert_true(nmti_list_empty(&a.dev->eps));
}

/* A connection that nobody of this library makes: nothing happens but a refusal. */
static enum rdma_cm_event_type knock(const void *data, uint8_t len)
{
	struct sockaddr_in to = { .sin_family = AF_INET };
	struct rdma_conn_param param = { .private_data = data, .private_data_len = len,
					 .retry_count = 7, .qp_num = 77 };
	struct rdma_event_channel *ch = rdma_create_event_channel();
	struct rdma_cm_event *ev;
	struct rdma_cm_id *id;
	enum rdma_cm_event_type type;

	memcpy(&to.sin_port, b.blob + 6, 2);
	memcpy(&to.sin_addr, b.blob + 8, 4);
	side_enter(&a);
	assert_int_equal(rdma_create_id(ch, &id, NULL, RDMA_PS_TCP), 0);
	assert_int_equal(rdma_resolve_addr(id, NULL, (struct sockaddr *)&to, 2000), 0);
	for (;;) {
		assert_int_equal(rdma_get_cm_event(ch, &ev), 0);
		type = ev->event;
		rdma_ack_cm_event(ev);
		if (type == RDMA_CM_EVENT_ADDR_RESOLVED)
			assert_int_equal(rdma_resolve_route(id, 2000), 0);
		else if (type == RDMA_CM_EVENT_ROUTE_RESOLVED)
			break;
	}
	assert_int_equal(rdma_connect(id, &param), 0);
	for (int64_t until = nmti_now() + RIG_LIMIT; nmti_now() < until;) {
		struct pollfd p = { .fd = ch->fd, .events = POLLIN };

		side_step(&b);
		if (poll(&p, 1, 1) == 1)
			break;
	}
	assert_int_equal(rdma_get_cm_event(ch, &ev), 0);
	type = ev->event;
	rdma_ack_cm_event(ev);
	rdma_destroy_id(id);
	rdma_destroy_event_channel(ch);
	return type;
}

static void test_strangers(void **state)
{
	struct nmti_rma_ep_attr attr = rig_attr(&y, NULL), peer = attr;
	uint8_t data[56] = { 1, 0, 0, 5 };

	(void)state;
	assert_int_equal(end_expect(&y, &b, &attr), 0);
	assert_int_equal(knock(NULL, 0), RDMA_CM_EVENT_REJECTED);
	memset(data + 4, 0xff, 50);
	assert_int_equal(knock(data, 56), RDMA_CM_EVENT_REJECTED);
	memcpy(data + 4, attr.token, NMTI_RMA_TOKEN);
	data[0] = 2; /* version */
	assert_int_equal(knock(data, 20), RDMA_CM_EVENT_REJECTED);
	data[0] = 1;
	data[3] = 0; /* MTU */
	assert_int_equal(knock(data, 20), RDMA_CM_EVENT_REJECTED);
	data[3] = 6;
	assert_int_equal(knock(data, 20), RDMA_CM_EVENT_REJECTED);
	assert_int_equal(y.connected + y.failed, 0);
	assert_int_equal(end_connect(&x, &a, &b, &peer), 0);
	RIG_UNTIL(&a, &b, RIG_LIMIT, x.connected && y.connected);
	ends_part(&x, &y);
}

/* A smaller MTU on one side holds for both. */
static void test_mtu(void **state)
{
	struct mem from, to;
	struct side s;

	(void)state;
	setenv("NMT_VERBS_MTU", "1024", 1);
	side_open(&s, "a", "rxe_a");
	unsetenv("NMT_VERBS_MTU");
	for (int turn = 0; turn < 2; turn++) {
		struct side *first = turn ? &b : &s, *second = turn ? &s : &b;

		ends_join(&x, first, &y, second, NULL);
		assert_int_equal(x.ep->mtu, IBV_MTU_1024);
		assert_int_equal(y.ep->mtu, IBV_MTU_1024);
		mem_new(&from, first, 10000);
		mem_new(&to, second, 10000);
		memset(from.p, 7, 10000);
		side_enter(first);
		assert_int_equal(end_write(&x, &from.reg, 0, 10000, &to.reg, 0, 1, 0), 0);
		RIG_UNTIL(first, second, RIG_LIMIT, y.imms);
		assert_memory_equal(from.p, to.p, 10000);
		ends_part(&x, &y);
		mem_free(&from);
		mem_free(&to);
	}
	side_close(&s);
}

/* The knobs of a path arrive at the queue pair; rails differ in their flow label. */
static void test_path_knobs(void **state)
{
	static const char *const knobs[][2] = {
		{ "NMT_VERBS_TRAFFIC_CLASS", "104" }, { "NMT_VERBS_SL", "3" }, /* rxe hides it */
		{ "NMT_VERBS_FLOW_LABEL", "700" }, { "NMT_VERBS_TIMEOUT", "12" },
		{ "NMT_VERBS_RETRY_COUNT", "2" },
	};
	struct nmti_rma_ep_attr attr = rig_attr(&x, NULL);
	struct ibv_qp_init_attr init;
	struct ibv_qp_attr qp;
	uint32_t label;
	struct side s;

	(void)state;
	for (size_t i = 0; i < sizeof(knobs) / sizeof(knobs[0]); i++)
		setenv(knobs[i][0], knobs[i][1], 1);
	side_open(&s, "a", "rxe_a");
	for (size_t i = 0; i < sizeof(knobs) / sizeof(knobs[0]); i++)
		unsetenv(knobs[i][0]);
	attr.rail = 2;
	ends_join(&x, &s, &y, &b, &attr);
	assert_int_equal(ibv_query_qp(x.ep->qp, &qp, IBV_QP_AV | IBV_QP_TIMEOUT, &init), 0);
	assert_int_equal(qp.ah_attr.grh.traffic_class, 104);
	assert_int_equal(qp.ah_attr.grh.flow_label, 702);
	assert_int_equal(qp.timeout, 12);
	assert_int_equal(qp.retry_cnt, 2);
	assert_int_equal(qp.rnr_retry, 6);
	ends_part(&x, &y);
	side_close(&s);
	/* By default the token, the rail and the epoch make it. */
	ends_join(&x, &a, &y, &b, NULL);
	ends_join(&x2, &a, &y2, &b, &attr);
	assert_int_equal(ibv_query_qp(x.ep->qp, &qp, IBV_QP_AV, &init), 0);
	label = qp.ah_attr.grh.flow_label;
	assert_true(label != 0);
	assert_int_equal(ibv_query_qp(x2.ep->qp, &qp, IBV_QP_AV, &init), 0);
	assert_true(qp.ah_attr.grh.flow_label != 0);
	assert_true(qp.ah_attr.grh.flow_label != label);
	ends_part(&x, &y);
	ends_part(&x2, &y2);
}

/* ---- writes ---- */

#define GUARD 64

static void write_one(struct end *from, struct end *to, struct mem *src, struct mem *dst,
		      uint32_t len, uint32_t skew, uint32_t flags)
{
	uint32_t imm = (uint32_t)rig_random();
	size_t total = GUARD + skew + len + GUARD;

	for (size_t i = 0; i < len + skew; i++)
		src->p[i] = (uint8_t)rig_random();
	memset(dst->p, 0xa5, total);
	side_enter(from->side);
	assert_int_equal(end_write(from, &src->reg, skew, len, &dst->reg, GUARD + skew, imm,
				   flags), 0);
	to->imms = 0;
	RIG_UNTIL(from->side, to->side, RIG_LIMIT, to->imms);
	assert_int_equal(to->imm[0].imm, imm);
	assert_int_equal(to->imm[0].len, len);
	assert_memory_equal(dst->p + GUARD + skew, src->p + skew, len);
	for (size_t i = 0; i < GUARD + skew; i++)
		assert_int_equal(dst->p[i], 0xa5);
	for (size_t i = GUARD + skew + len; i < total; i++)
		assert_int_equal(dst->p[i], 0xa5);
}

static void test_write(void **state)
{
	static const uint32_t sizes[] = { 0, 1, 2, 3, 63, 64, 65, 255, 256, 511, 512, 513, 1000,
					  4095, 4096, 4097, 8191, 8192, 8193, 65535, 65536,
					  100001, 1 << 20, (3 << 20) + 1 };
	struct mem ma, mb;

	(void)state;
	ends_join(&x, &a, &y, &b, NULL);
	mem_new(&ma, &a, 4 << 20);
	mem_new(&mb, &b, 4 << 20);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		write_one(&x, &y, &ma, &mb, sizes[i], (uint32_t)i, 0);
		write_one(&y, &x, &mb, &ma, sizes[i], (uint32_t)i * 7, NMTI_RMA_SIGNAL);
		if (sizes[i] <= a.limits.inline_max)
			write_one(&x, &y, &ma, &mb, sizes[i], 5, NMTI_RMA_INLINE);
	}
	ends_part(&x, &y);
	mem_free(&ma);
	mem_free(&mb);
}

/* Longer than any window will have it. */
static void test_write_long(void **state)
{
	size_t len = (32 << 20) + 5;
	struct mem ma, mb;

	(void)state;
	assert_true(a.limits.write_max >= len);
	ends_join(&x, &a, &y, &b, NULL);
	mem_new(&ma, &a, len);
	mem_new(&mb, &b, len);
	memset(ma.p, 0x5a, len);
	side_enter(&a);
	assert_int_equal(end_write(&x, &ma.reg, 0, (uint32_t)len, &mb.reg, 0, 3,
				   NMTI_RMA_SIGNAL), 0);
	RIG_UNTIL(&a, &b, RIG_LIMIT, y.imms && x.number == 1);
	assert_int_equal(y.imm[0].len, len);
	assert_memory_equal(ma.p, mb.p, len);
	ends_part(&x, &y);
	mem_free(&ma);
	mem_free(&mb);
}

/* Memory of an inline request is the caller's at once, also in a chain that has not gone yet. */
static void test_inline_free(void **state)
{
	uint8_t bytes[512];
	struct nmti_rma_local local = { .addr = bytes };
	uint64_t number;
	struct mem mb;

	(void)state;
	ends_join(&x, &a, &y, &b, NULL);
	mem_new(&mb, &b, 8192);
	side_enter(&a);
	for (uint32_t i = 0; i < 20; i++) {
		memset(bytes, (int)i + 1, sizeof(bytes));
		local.len = 64 + i % 3 * 100;
		assert_int_equal(ops->write(x.ep, &local, mb.reg.base + i * 300, mb.reg.key, i,
					    NMTI_RMA_INLINE | NMTI_RMA_MORE, &number), 0);
		assert_int_equal(number, i + 1);
	}
	memset(bytes, 0xee, sizeof(bytes));
	ops->kick(x.ep);
	RIG_UNTIL(&a, &b, RIG_LIMIT, y.imms == 20);
	for (uint32_t i = 0; i < 20; i++) {
		assert_int_equal(y.imm[i].imm, i);
		for (uint32_t k = 0; k < 64 + i % 3 * 100; k++)
			assert_int_equal(mb.p[i * 300 + k], i + 1);
	}
	ends_part(&x, &y);
	mem_free(&mb);
}

/* ---- messages ---- */

static void send_all(struct side *s, struct end *from, struct end *to)
{
	uint8_t msg[VERBS_MSG_MAX];

	for (uint32_t len = 0; len <= VERBS_MSG_MAX; len += len < 40 ? 1 : 27) {
		for (uint32_t i = 0; i < len; i++)
			msg[i] = (uint8_t)(len + i);
		side_enter(s);
		assert_int_equal(end_send(from, msg, len, 0), 0);
		memset(msg, 0, sizeof(msg)); /* it was copied */
		to->msgs = 0;
		RIG_UNTIL(from->side, to->side, RIG_LIMIT, to->msgs);
		assert_int_equal(to->msg[0].len, len);
		for (uint32_t i = 0; i < len; i++)
			assert_int_equal(to->msg[0].data[i], (uint8_t)(len + i));
	}
	side_enter(s);
	assert_int_equal(end_send(from, msg, VERBS_MSG_MAX + 1, 0), -EMSGSIZE);
}

static void test_messages(void **state)
{
	(void)state;
	ends_join(&x, &a, &y, &b, NULL);
	send_all(&a, &x, &y);
	send_all(&b, &y, &x);
	ends_part(&x, &y);
}

/* Where they do not fit into a request: as many in flight as there are slots. */
static void test_messages_bounce(void **state)
{
	uint8_t msg[100];
	unsigned int n = 0;
	struct side s;

	(void)state;
	setenv("NMT_VERBS_INLINE", "0", 1);
	side_open(&s, "a", "rxe_a");
	unsetenv("NMT_VERBS_INLINE");
	assert_int_equal(s.limits.inline_max, 0);
	ends_join(&x, &s, &y, &b, NULL);
	send_all(&s, &x, &y);
	send_all(&b, &y, &x);
	y.msgs = 0;
	for (int turn = 0; turn < 5; turn++) {
		side_enter(&s);
		for (;;) {
			memset(msg, (int)n, sizeof(msg));
			if (end_send(&x, msg, sizeof(msg), 0) == -EAGAIN)
				break;
			n++;
			assert_true(n <= 200);
		}
		RIG_UNTIL(&s, &b, RIG_LIMIT, y.msgs == n && x.number == x.ep->number);
		for (unsigned int i = n - 16; i < n; i++)
			for (unsigned int k = 0; k < sizeof(msg); k++)
				assert_int_equal(y.msg[i % 64].data[k], i);
	}
	assert_int_equal(n, 5 * VERBS_MSG_OUT);
	ends_part(&x, &y);
	side_close(&s);
}

/*
 * A receive of its own is too short, which both adapters tell: InfiniBand calls it a length, at the
 * sender an invalid request; SoftRoCE the queue pair's operation, at the sender the peer's. One of a
 * shared queue is not, so the receiving end refuses, and the sender may hear nothing.
 */
static void told_too_long(void)
{
	assert_int_equal(y.msgs + y.imms, 0);
	assert_non_null(strstr(y.text, "rxe_b 10.77.0.2:0 -> 10.77.0.1:"));
	if (y.ep->srq) {
		assert_int_equal(y.status, -EPROTO);
		assert_non_null(strstr(y.text, "longer than its receive"));
		return;
	}
	assert_true(y.status == -EPROTO || y.status == -EIO);
	assert_non_null(strstr(y.text, "longer than its receive"));
	assert_true(x.status == -EPROTO || x.status == -EREMOTEIO);
	assert_non_null(strstr(x.text, "rxe_a 10.77.0.1:0 -> 10.77.0.2:"));
	assert_non_null(strstr(x.text, "the peer's adapter"));
	assert_int_equal(x.number, 0); /* it did not arrive */
}

/* A message longer than the other side said, and one where none are taken. */
static void test_message_too_long(void **state)
{
	struct nmti_rma_ep_attr attr = rig_attr(&x, NULL), peer = attr;
	uint8_t msg[200] = { 1 };

	(void)state;
	for (int i = 0; i < 2; i++) {
		peer.ctrl_max = 64;
		peer.ctrl_slots = i ? 0 : 8;
		assert_int_equal(end_expect(&y, &b, &peer), 0);
		assert_int_equal(end_connect(&x, &a, &b, &attr), 0);
		RIG_UNTIL(&a, &b, RIG_LIMIT, x.connected && y.connected);
		if (i)
			assert_int_equal(end_send(&y, msg, 1, 0), -EMSGSIZE);
		side_enter(&a);
		assert_int_equal(end_send(&x, msg, sizeof(msg), NMTI_RMA_SIGNAL), 0);
		RIG_UNTIL(&a, &b, RIG_LIMIT, y.failed && (x.failed || y.ep->srq));
		print_message("%s\n%s\n", x.text, y.text);
		told_too_long();
		ends_part(&x, &y);
	}
}

/* Messages and writes in one order; a message's bytes stay until the next poll. */
static void test_mixed(void **state)
{
	struct mem ma, mb;
	uint8_t msg[4];

	(void)state;
	ends_join(&x, &a, &y, &b, NULL);
	mem_new(&ma, &a, 4096);
	mem_new(&mb, &b, 4096);
	side_enter(&a);
	for (uint32_t i = 0; i < 30; i++) {
		memset(msg, (int)i, sizeof(msg));
		if (i % 3)
			assert_int_equal(end_write(&x, &ma.reg, 0, i, &mb.reg, 0, i,
						   NMTI_RMA_MORE), 0);
		else
			assert_int_equal(end_send(&x, msg, sizeof(msg), NMTI_RMA_MORE), 0);
	}
	ops->kick(x.ep);
	RIG_UNTIL(&a, &b, RIG_LIMIT, y.imms == 20 && y.msgs == 10);
	for (uint32_t i = 0; i < 20; i++)
		assert_int_equal(y.imm[i].imm, i / 2 * 3 + 1 + i % 2);
	for (uint32_t i = 0; i < 10; i++)
		assert_int_equal(y.msg[i].data[3], i * 3);
	ends_part(&x, &y);
	mem_free(&ma);
	mem_free(&mb);
}

/* ---- nothing is left ---- */

static void test_leaks(void **state)
{
	int fds, qp, cq, mr, qp2, cq2, mr2;
	struct mem m;
	struct side s;

	(void)state;
	rig_objects("rxe_a", &qp, &cq, &mr);
	assert_true(qp >= 0 && cq >= 0 && mr >= 0);
	fds = rig_fds();
	for (int i = 0; i < 10; i++) {
		side_open(&s, "a", "rxe_a");
		ends_join(&x, &s, &y, &b, NULL);
		ends_join(&x2, &b, &y2, &s, NULL);
		mem_new(&m, &s, 100000);
		if (i % 2) {
			ends_part(&x, &y);
			ends_part(&x2, &y2);
		} else {
			end_destroy(&y);
			end_destroy(&x2);
			x.strict = y2.strict = true; /* closing the device ends them */
		}
		mem_free(&m);
		side_close(&s);
	}
	side_step(&b);
	assert_int_equal(rig_fds(), fds);
	rig_objects("rxe_a", &qp2, &cq2, &mr2);
	assert_int_equal(qp, qp2);
	assert_int_equal(cq, cq2);
	assert_int_equal(mr, mr2);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		TEST(test_query),
		TEST(test_query_refused),
		TEST(test_open),
		TEST(test_knobs),
		TEST(test_connect),
		TEST(test_connect_new_neighbour),
		TEST(test_connect_no_neighbour),
		TEST(test_connect_early),
		TEST(test_connect_wrong),
		TEST(test_blob),
		TEST(test_attr),
		TEST(test_strangers),
		TEST(test_mtu),
		TEST(test_path_knobs),
		TEST(test_write),
		TEST(test_write_long),
		TEST(test_inline_free),
		TEST(test_messages),
		TEST(test_messages_bounce),
		TEST(test_message_too_long),
		TEST(test_mixed),
		TEST(test_leaks),
	};

	alarm(240);
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests_name("verbs ops", tests, NULL, NULL);
}
