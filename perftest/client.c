/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The client: asks the server for a measurement, steers it through its phases by the clock or by
 * counts, and reports what both ends found.
 */
#include "client.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "ctl.h"
#include "die.h"
#include "monitor.h"
#include "report.h"
#include "run.h"

struct client {
	const struct perf_options *o;
	struct nmt_ctx *ctx;
	struct ctl ctl;
	char peer[NMT_ADDR_MAX];
	struct run *run; /* the measurement that goes on */
	struct monitor monitor;
	struct wire_result server;
	uint16_t ports[PERF_MAX_THREADS];
	bool started; /* the server has all streams */
	bool have_result;
	bool stop_sent;
	bool titled;	  /* the title is printed */
	int64_t phase_at; /* when the present phase began */
	char text[1024];  /* why it failed */
};

static int fail(struct client *c, int err, const char *what, const char *why)
{
	if (!c->text[0])
		snprintf(c->text, sizeof(c->text), "%s: %s", what, why);
	return err;
}

/* What an error of the control stream means to people. */
static int control_error(struct client *c, int err)
{
	if (err == -ENOTCONN || err == -ECONNRESET || err == -EPIPE)
		return fail(c, err, c->o->host, "the server went away");
	if (err == -EPROTO)
		return fail(c, err, c->o->host, "no nmt_perf server of this version answers there");
	return fail(c, err, c->o->host, nmt_strerror(err));
}

/* ---- the control stream ---- */

static int connect_control(struct client *c)
{
	struct nmt_domain_attr dattr = NMT_DOMAIN_ATTR_INIT;
	struct nmt_stream_attr attr = NMT_STREAM_ATTR_INIT;
	char addr[NMT_ADDR_MAX + 256];
	struct nmt_stream *s;
	int err;

	dattr.spin_ns = -1;
	err = nmt_domain_open(c->ctx, "tcp", &dattr, &c->ctl.dom);
	if (err < 0)
		return fail(c, err, "cannot open provider tcp", nmt_strerror(err));
	attr.mode = NMT_MODE_RAW;
	attr.bind_device = c->o->stream.attr.bind_device;
	attr.linger = CTL_LINGER;
	attr.connect_timeout = c->o->connect_timeout;
	setup_addr_default(addr, sizeof(addr), c->o->host, (uint16_t)c->o->port);
	err = nmt_connect(c->ctl.dom, addr, &attr, &s);
	if (err < 0)
		return fail(c, err, addr, nmt_strerror(err));
	ctl_attach(&c->ctl, s);
	while (err == 0 && !c->ctl.open && !c->ctl.error)
		err = ctl_turn(&c->ctl, NMT_FOREVER);
	err = err ? err : c->ctl.error;
	return err < 0 ? fail(c, err, addr, nmt_strerror(err)) : 0;
}

static int say_hello(struct client *c)
{
	struct nmt_stream_info info = NMT_STREAM_INFO_INIT;
	struct wire_hello hello = { .kind = HELLO_CONTROL };
	uint8_t buf[WIRE_HELLO_LEN];
	int err = nmt_stream_info(c->ctl.stream, &info);

	snprintf(c->peer, sizeof(c->peer), "%s", info.peer);
	wire_put_hello(buf, &hello);
	if (err == 0)
		err = ctl_send_bytes(&c->ctl, buf, sizeof(buf));
	return err < 0 ? control_error(c, err) : 0;
}

static int wait_ready(struct client *c, const struct perf_params *p)
{
	int64_t end = clock_ns() + c->o->connect_timeout;
	union ctl_body body;
	int type = 0;

	while (type == 0 && clock_ns() < end)
		type = ctl_next(&c->ctl, &body, end - clock_ns());
	if (type == 0)
		return control_error(c, -ETIMEDOUT);
	if (type == MSG_BUSY)
		return fail(c, -EBUSY, c->o->host, "the server is busy with another client");
	if (type != MSG_READY)
		return control_error(c, type < 0 ? type : -EPROTO);
	if (body.ready.status)
		return fail(c, -(int)body.ready.status, "the server refused", body.ready.text);
	if (body.ready.ports != p->threads)
		return control_error(c, -EPROTO);
	memcpy(c->ports, body.ready.port, sizeof(c->ports));
	return 0;
}

/* ---- one measurement ---- */

/* The JSON document alone goes to standard output. */
static bool silent(const struct client *c)
{
	return c->o->json && strcmp(c->o->json, "-") == 0;
}

static void print_title(struct client *c)
{
	if (!c->titled && !silent(c))
		report_title(&c->run->p, &c->run->path);
	c->titled = true;
}

static void print_interval(struct client *c, const struct wire_interval *interval)
{
	print_title(c);
	if (!silent(c))
		report_interval(c->o, interval);
}

static int take_message(struct client *c, int type, const union ctl_body *body)
{
	switch (type) {
	case 0:
		return 0;
	case MSG_STARTED:
		c->started = true;
		return 0;
	case MSG_INTERVAL:
		if (!params_is_latency(&c->run->p))
			print_interval(c, &body->interval);
		return 0;
	case MSG_RESULT:
		c->server = body->result;
		c->have_result = true;
		if (!body->result.status)
			return 0;
		return fail(c, -(int)body->result.status, "the server failed", body->result.text);
	default:
		return control_error(c, type < 0 ? type : -EPROTO);
	}
}

static int send_control(struct client *c, uint32_t type)
{
	int err = ctl_send(&c->ctl, type, NULL);

	return err < 0 ? control_error(c, err) : 0;
}

static bool phase_over(const struct client *c, uint64_t ns)
{
	return !c->run->p.iterations && clock_ns() - c->phase_at >= (int64_t)ns;
}

/* conn: the server goes on until the client's last connection is over. */
static int stop_server(struct client *c)
{
	bool finished = atomic_load(&c->run->finished) == c->run->nworkers;
	bool early = c->run->p.test != TEST_CONN && !c->run->p.iterations;

	if (c->stop_sent || !(early || finished))
		return 0;
	c->stop_sent = true;
	return send_control(c, MSG_STOP);
}

static int next_phase(struct client *c)
{
	struct run *run = c->run;
	int err = 0;

	switch (atomic_load(&run->phase)) {
	case PHASE_SETUP:
		if (!c->started || atomic_load(&run->ready) < run->nworkers)
			return 0;
		run_phase(run, PHASE_WARM);
		break;
	case PHASE_WARM:
		if (!phase_over(c, run->p.warm_ns))
			return 0;
		err = send_control(c, MSG_MARK);
		run_begin(run);
		break;
	case PHASE_MEASURE:
		if (phase_over(c, run->p.duration_ns)) {
			run_end(run);
			run_phase(run, PHASE_STOP);
		} else if (atomic_load(&run->finished) < run->nworkers) {
			return 0;
		}
		return stop_server(c);
	default:
		return stop_server(c);
	}
	c->phase_at = clock_ns();
	return err;
}

/* Until the clock matters again: phases end on time, the monitor looks now and then. */
static int64_t turn_time(const struct client *c)
{
	const struct perf_params *p = &c->run->p;
	int phase = atomic_load(&c->run->phase);
	int64_t left = MONITOR_SAMPLE_NS;

	if (p->iterations || (phase != PHASE_WARM && phase != PHASE_MEASURE))
		return left;
	left = (int64_t)(phase == PHASE_WARM ? p->warm_ns : p->duration_ns) -
	       (clock_ns() - c->phase_at);
	if (left < 0)
		left = 0;
	return left < MONITOR_SAMPLE_NS ? left : MONITOR_SAMPLE_NS;
}

static int watch(struct client *c)
{
	struct wire_interval interval;
	int err = monitor_tick(&c->monitor, &interval);

	if (err == 1 && params_is_latency(&c->run->p))
		print_interval(c, &interval);
	if (err == -ETIMEDOUT)
		return fail(c, err, c->o->host, "nothing moves any more (--stall)");
	return 0;
}

/* Our streams broke: the server may know better why, and says so at once. */
static int explain(struct client *c)
{
	int64_t end = clock_ns() + 1000000000;
	union ctl_body body;
	int err = 0;

	if (c->run->error != -ECONNRESET && c->run->error != -EPIPE)
		return c->run->error;
	while (err == 0 && !c->have_result && clock_ns() < end)
		err = take_message(c, ctl_next(&c->ctl, &body, end - clock_ns()), &body);
	return err ? err : c->run->error;
}

static int steer(struct client *c)
{
	struct run *run = c->run;
	union ctl_body body;
	int err = 0;

	while (err == 0 && !(c->have_result && atomic_load(&run->finished) == run->nworkers)) {
		err = ctl_next(&c->ctl, &body, turn_time(c));
		if (atomic_load(&run->failed) && err == 0)
			return explain(c);
		err = take_message(c, err, &body);
		if (err == 0)
			err = next_phase(c);
		if (err == 0)
			err = watch(c);
	}
	return err;
}

static int start(struct client *c, const struct perf_params *p)
{
	struct run *run = c->run;
	int err = ctl_send(&c->ctl, MSG_PARAMS, p);

	if (err < 0 && err != -EPIPE) /* then the server has said why, perhaps */
		return control_error(c, err);
	err = wait_ready(c, p);
	if (err < 0)
		return err;
	run->ctx = c->ctx;
	run->main_dom = c->ctl.dom;
	run->ports = c->ports;
	run->attr = c->o->stream.attr;
	snprintf(run->peer, sizeof(run->peer), "%s", c->peer);
	err = run_open(run, p, false);
	if (err == 0)
		err = run_start(run);
	c->phase_at = clock_ns();
	return err;
}

static void fill_row(const struct client *c, struct row *row)
{
	const struct run *run = c->run;

	row->p = run->p;
	row->server = c->server;
	run_result(run, &row->client);
	row->client.peak = c->monitor.peak;
	row->path = run->path;
	hist_init(&row->hist);
	for (uint32_t i = 0; i < run->nworkers; i++) {
		if (run->workers[i].hist)
			hist_merge(&row->hist, run->workers[i].hist);
	}
}

/* Nothing moved: say what the first stream waited for. */
static void add_waits(struct client *c)
{
	size_t len = strlen(c->text);
	char waits[256];

	path_waits(&c->run->path, waits, sizeof(waits));
	if (waits[0])
		snprintf(c->text + len, sizeof(c->text) - len, "; the first stream waits for: %s",
			 waits);
}

static int measure(struct client *c, const struct perf_params *p, struct row *row)
{
	struct run *run = calloc(1, sizeof(*run));
	int err;

	if (!run)
		return fail(c, -ENOMEM, "nmt_perf", strerror(ENOMEM));
	c->run = run;
	c->started = c->have_result = c->stop_sent = false;
	monitor_start(&c->monitor, run);
	err = start(c, p);
	if (err == 0)
		err = steer(c);
	if (err < 0)
		run_phase(run, PHASE_ABORT);
	run_join(run);
	if (err == -ETIMEDOUT)
		add_waits(c);
	if (run->error && (err == 0 || err == run->error))
		err = fail(c, run->error, c->o->host, run->text);
	run_begin(run);
	run_end(run);
	if (err == 0) {
		print_title(c);
		fill_row(c, row);
	}
	run_close(run);
	free(run);
	c->run = NULL;
	return err;
}

/* ---- rows ---- */

static int one_row(struct client *c, uint64_t size, struct row *row, struct json_object *doc)
{
	bool first = size == (c->o->sweep ? 2 : c->o->params.size);
	struct perf_params p;
	int err;

	options_row(c->o, size, &p);
	if (getrandom(&p.session, sizeof(p.session), 0) < 0)
		return fail(c, -errno, "nmt_perf", "no random numbers from the kernel");
	err = measure(c, &p, row);
	if (err < 0)
		return err;
	if (doc)
		report_json_row(doc, c->o, row);
	if (silent(c))
		return 0;
	if (first)
		report_columns(c->o);
	report_row(c->o, row);
	return 0;
}

static int all_rows(struct client *c, struct row *row, struct json_object *doc)
{
	uint64_t size = c->o->sweep ? 2 : c->o->params.size;
	uint64_t last = c->o->sweep ? 8 << 20 : size;
	int err = 0;

	for (; err == 0 && size <= last; size *= 2)
		err = one_row(c, size, row, doc);
	if (err == 0 && !silent(c))
		report_tail(c->o, row);
	return err;
}

static int write_json(struct client *c, struct json_object *doc)
{
	int err = report_json_write(doc, c->o);

	return err < 0 ? fail(c, err, c->o->json, strerror(-err)) : 0;
}

static int exit_code(int err)
{
	return err == -EBADMSG ? TK_EXIT_MISMATCH : tk_exit_of(err);
}

int client_main(const struct perf_options *o)
{
	struct json_object *doc = o->json ? report_json_new(o) : NULL;
	struct client *c = calloc(1, sizeof(*c));
	struct row *row = calloc(1, sizeof(*row));
	int err;

	if (!c || !row)
		tk_die(TK_EXIT_FAILURE, "%s", strerror(ENOMEM));
	c->o = o;
	c->ctx = tk_ctx_open(&o->stream, NULL, NULL);
	err = connect_control(c);
	if (err == 0)
		err = say_hello(c);
	if (err == 0)
		err = all_rows(c, row, doc);
	if (err == 0 && doc)
		err = write_json(c, doc);
	else
		json_object_put(doc);
	if (err < 0)
		tk_warn("%s", c->text[0] ? c->text : nmt_strerror(err));
	ctl_detach(&c->ctl);
	if (c->ctl.dom)
		nmt_domain_close(c->ctl.dom);
	nmt_ctx_close(c->ctx);
	free(row);
	free(c);
	return exit_code(err);
}
