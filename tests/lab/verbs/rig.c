/* SPDX-License-Identifier: BSD-2-Clause */
/* See rig.h. */
#include "rig.h"

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/wait.h>

const struct nmti_rma_ops *const ops = &nmti_verbs_ops;
struct counts counts;

/* ---- sides ---- */

static void log_line(void *arg, enum nmt_log_level level, const char *line)
{
	struct side *s = arg;
	int room = (int)(sizeof(s->log) - s->log_len);

	if (getenv("RIG_VERBOSE"))
		fprintf(stderr, "%s %d: %s\n", s->host, level, line);
	if (room > 600)
		s->log_len += (size_t)snprintf(s->log + s->log_len, (size_t)room, "%s\n", line);
}

bool side_logged(const struct side *s, const char *word)
{
	return strstr(s->log, word);
}

void side_enter(struct side *s)
{
	static char now;

	if (now == s->host[0])
		return;
	if (setns(s->ns, CLONE_NEWNET))
		fail_msg("setns %s: %m", s->host);
	now = s->host[0];
}

int side_try(struct side *s, const char *host, const char *device)
{
	struct nmt_ctx_attr attr = { .size = sizeof(attr), .log = log_line, .log_arg = s,
				     .log_level = NMT_LOG_DEBUG + 1 };
	char path[64];
	int rc;

	memset(s, 0, sizeof(*s));
	snprintf(s->host, sizeof(s->host), "%s", host);
	snprintf(path, sizeof(path), "/run/netns/%s", host);
	s->ns = open(path, O_RDONLY | O_CLOEXEC);
	if (s->ns < 0)
		fail_msg("%s: %m", path);
	side_enter(s);
	assert_int_equal(nmt_ctx_open(&attr, &s->ctx), 0);
	assert_int_equal(nmt_domain_open(s->ctx, "tcp", NULL, &s->dom), 0);
	s->pd.dom = s->dom;
	s->pd.ctx = s->ctx;
	rc = ops->open(&s->pd, device, &s->limits, &s->dev);
	if (rc)
		return rc;
	rc = ops->address(s->dev, s->blob, sizeof(s->blob));
	assert_in_range(rc, 24, NMTI_RMA_BLOB_MAX);
	s->blob_len = (uint32_t)rc;
	return 0;
}

void side_open(struct side *s, const char *host, const char *device)
{
	int rc = side_try(s, host, device);

	if (rc)
		fail_msg("open %s on host %s: %s\n%s", device, host, strerror(-rc), s->log);
}

void side_close(struct side *s)
{
	side_enter(s);
	if (s->dev)
		ops->close(s->dev);
	assert_int_equal(nmt_domain_close(s->dom), 0);
	assert_int_equal(nmt_ctx_close(s->ctx), 0);
	close(s->ns);
	s->dev = NULL;
}

/* ---- counting, between libibverbs and the driver ---- */

static int (*driver_send)(struct ibv_qp *qp, struct ibv_send_wr *wr, struct ibv_send_wr **bad);
static int (*driver_srq)(struct ibv_srq *srq, struct ibv_recv_wr *wr, struct ibv_recv_wr **bad);
static int (*driver_recv)(struct ibv_qp *qp, struct ibv_recv_wr *wr, struct ibv_recv_wr **bad);

static int count_send(struct ibv_qp *qp, struct ibv_send_wr *wr, struct ibv_send_wr **bad)
{
	unsigned int n = 0;

	for (struct ibv_send_wr *i = wr; i; i = i->next, n++)
		counts.signalled += !!(i->send_flags & IBV_SEND_SIGNALED);
	counts.doorbells++;
	counts.requests += n;
	counts.longest = n > counts.longest ? n : counts.longest;
	return driver_send(qp, wr, bad);
}

static int count_recv(struct ibv_qp *qp, struct ibv_recv_wr *wr, struct ibv_recv_wr **bad)
{
	counts.recv_calls++;
	for (struct ibv_recv_wr *i = wr; i; i = i->next)
		counts.recvs++;
	return driver_recv(qp, wr, bad);
}

static int count_srq(struct ibv_srq *srq, struct ibv_recv_wr *wr, struct ibv_recv_wr **bad)
{
	counts.recv_calls++;
	for (struct ibv_recv_wr *i = wr; i; i = i->next)
		counts.recvs++;
	return driver_srq(srq, wr, bad);
}

void rig_count(struct side *s)
{
	struct ibv_context_ops *o = &s->dev->port.ctx->ops;

	memset(&counts, 0, sizeof(counts));
	if (o->post_send == count_send)
		return;
	driver_send = o->post_send;
	driver_recv = o->post_recv;
	o->post_send = count_send;
	o->post_recv = count_recv;
	driver_srq = o->post_srq_recv;
	o->post_srq_recv = count_srq;
}

/* ---- completions ---- */

void side_told(struct side *s, const struct nmti_rma_wc *wc)
{
	struct end *e = wc->owner;

	assert_ptr_equal(e->side, s);
	assert_ptr_equal(e->ep, wc->ep);
	assert_false(e->strict);
	assert_int_equal(e->drained, 0); /* DRAINED is the last word */
	switch (wc->event) {
	case NMTI_RMA_CONNECTED:
		assert_int_equal(e->connected + e->imms + e->msgs, 0);
		e->connected++;
		break;
	case NMTI_RMA_WRITTEN:
		assert_true(wc->number > e->number);
		e->number = wc->number;
		e->written++;
		break;
	case NMTI_RMA_IMM:
		assert_int_equal(e->connected, 1);
		e->imm[e->imms % RIG_EVENTS].imm = wc->imm;
		e->imm[e->imms++ % RIG_EVENTS].len = wc->len;
		break;
	case NMTI_RMA_MESSAGE:
		assert_int_equal(e->connected, 1);
		assert_true(wc->len <= VERBS_MSG_MAX);
		e->msg[e->msgs % 64].len = wc->len;
		memcpy(e->msg[e->msgs++ % 64].data, wc->data, wc->len);
		break;
	case NMTI_RMA_DRAINED:
		e->drained++;
		break;
	case NMTI_RMA_FAILED:
		assert_int_equal(e->failed, 0);
		assert_true(wc->status < 0);
		assert_non_null(wc->text);
		e->failed++;
		e->failed_at = nmti_now();
		e->status = wc->status;
		snprintf(e->text, sizeof(e->text), "%s", wc->text);
		break;
	default:
		fail_msg("event %d", wc->event);
	}
}

void side_step(struct side *s)
{
	struct nmti_rma_wc wc[32];
	struct nmt_event ev;
	int n;

	if (!s)
		return;
	side_enter(s);
	assert_int_equal(nmt_poll(s->dom, &ev, 1, 0), 0);
	n = ops->poll(s->dev, wc, 32);
	assert_in_range(n, 0, 32);
	for (int i = 0; i < n; i++)
		side_told(s, &wc[i]);
	ops->repost(s->dev); /* as before each word of credit, of which these tests know without one */
}

/* ---- endpoints ---- */

static const uint8_t default_token[NMTI_RMA_TOKEN] = "0123456789abcde";

struct nmti_rma_ep_attr rig_attr(struct end *e, const uint8_t *token)
{
	return (struct nmti_rma_ep_attr){ .run_slots = 32, .ctrl_slots = 8,
		.ctrl_max = VERBS_MSG_MAX, .send_depth = 64,
		.token = token ? token : default_token, .owner = e };
}

static void end_init(struct end *e, struct side *s, struct nmti_rma_ep_attr *attr)
{
	memset(e, 0, sizeof(*e));
	e->side = s;
	attr->owner = e;
	side_enter(s);
}

int end_connect(struct end *e, struct side *from, struct side *to, struct nmti_rma_ep_attr *attr)
{
	end_init(e, from, attr);
	return ops->connect(from->dev, attr, to->blob, to->blob_len, &e->ep);
}

int end_expect(struct end *e, struct side *s, struct nmti_rma_ep_attr *attr)
{
	end_init(e, s, attr);
	return ops->expect(s->dev, attr, &e->ep);
}

void end_destroy(struct end *e)
{
	side_enter(e->side);
	e->strict = true;
	ops->destroy(e->ep);
	e->ep = NULL;
}

void ends_join(struct end *x, struct side *a, struct end *y, struct side *b,
	       const struct nmti_rma_ep_attr *attr)
{
	struct nmti_rma_ep_attr own = attr ? *attr : rig_attr(x, NULL);

	assert_int_equal(end_expect(y, b, &own), 0);
	assert_int_equal(end_connect(x, a, b, &own), 0);
	RIG_UNTIL(a, b, RIG_LIMIT, (x->connected && y->connected) || x->failed || y->failed);
	if (x->failed || y->failed)
		fail_msg("not connected: %s%s", x->text, y->text);
}

void ends_part(struct end *x, struct end *y)
{
	side_enter(x->side);
	ops->fence(x->ep);
	side_enter(y->side);
	ops->fence(y->ep);
	RIG_UNTIL(x->side, y->side, RIG_LIMIT, x->drained && y->drained);
	assert_false(side_logged(x->side, "did not drain"));
	assert_false(side_logged(y->side, "did not drain"));
	end_destroy(x);
	end_destroy(y);
}

int end_write(struct end *e, struct nmti_rma_reg *from, uint64_t offset, uint32_t len,
	      const struct nmti_rma_reg *to, uint64_t to_offset, uint32_t imm, uint32_t flags)
{
	struct nmti_rma_local local = { .reg = from, .offset = offset, .len = len };
	uint64_t number = 0;

	if (flags & NMTI_RMA_INLINE)
		local.addr = (const void *)(uintptr_t)(from->base + offset);
	return ops->write(e->ep, &local, to->base + to_offset, to->key, imm, flags, &number);
}

int end_send(struct end *e, const void *msg, uint32_t len, uint32_t flags)
{
	uint64_t number;

	return ops->send(e->ep, msg, len, flags, &number);
}

/* ---- memory ---- */

void mem_new(struct mem *m, struct side *s, size_t len)
{
	const char *reason;

	m->side = s;
	m->len = len;
	assert_int_equal(nmt_mr_alloc(s->ctx, NMT_MEM_HOST, len, NMT_ACCESS_ALL, &m->mr), 0);
	m->p = nmt_mr_addr(m->mr);
	assert_int_equal(ops->reg(s->dev, m->mr, 0, len, true, &m->reg, &reason), 0);
	assert_true(m->reg.key != 0);
}

void mem_free(struct mem *m)
{
	ops->dereg(m->side->dev, &m->reg);
	assert_int_equal(nmt_mr_close(m->mr), 0);
}

/* ---- odds and ends ---- */

uint64_t rig_random(void)
{
	static uint64_t state;

	if (!state) {
		const char *seed = getenv("NMT_SEED");

		state = seed ? strtoull(seed, NULL, 0) | 1 : 88172645463325252u;
	}
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

int rig_shell(const char *fmt, ...)
{
	char cmd[512];
	va_list ap;
	int rc;

	va_start(ap, fmt);
	vsnprintf(cmd, sizeof(cmd), fmt, ap);
	va_end(ap);
	rc = system(cmd);
	return WIFEXITED(rc) ? WEXITSTATUS(rc) : -1;
}

int rig_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static int number_after(const char *line, const char *word)
{
	const char *at = strstr(line, word);

	return at ? atoi(at + strlen(word)) : -1;
}

void rig_objects(const char *device, int *qp, int *cq, int *mr)
{
	char cmd[128], line[512] = "";
	FILE *f;

	snprintf(cmd, sizeof(cmd), "rdma res show %s", device);
	f = popen(cmd, "r");
	assert_non_null(f);
	assert_non_null(fgets(line, sizeof(line), f));
	pclose(f);
	*qp = number_after(line, " qp ");
	*cq = number_after(line, " cq ");
	*mr = number_after(line, " mr ");
}
