/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The server: one client at a time, any number of measurements for each. The main thread does the
 * control stream; workers do the measured part.
 */
#include "server.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl.h"
#include "die.h"
#include "monitor.h"
#include "run.h"

#define HELLO_TIMEOUT INT64_C(10000000000)
#define SETUP_TIMEOUT INT64_C(30000000000)

struct server {
	const struct perf_options *o;
	struct nmt_ctx *ctx;
	struct ctl ctl;
};

/* For the signal handler: the domain to wake, and whether a signal has come. */
static struct nmt_domain *signal_dom;
static volatile sig_atomic_t signalled;

static void on_signal(int sig)
{
	signalled = sig;
	nmt_wake(signal_dom);
}

static void catch_signals(struct nmt_domain *dom)
{
	struct sigaction sa = { .sa_handler = on_signal };

	signal_dom = dom;
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
}

/* ---- listening ---- */

static void write_port_file(const char *path, const char *addr)
{
	char temporary[4096];
	FILE *f;

	snprintf(temporary, sizeof(temporary), "%s.tmp", path);
	f = fopen(temporary, "w");
	if (!f || fprintf(f, "%s\n%s\n", strrchr(addr, ':') + 1, addr) < 0 || fclose(f) != 0 ||
	    rename(temporary, path) < 0)
		tk_die(TK_EXIT_FAILURE, "cannot write %s: %s", path, strerror(errno));
}

static void open_control(struct server *sv)
{
	struct nmt_domain_attr dattr = NMT_DOMAIN_ATTR_INIT;
	struct nmt_stream_attr attr = NMT_STREAM_ATTR_INIT;
	char addr[NMT_ADDR_MAX];
	int err;

	dattr.spin_ns = -1;
	err = nmt_domain_open(sv->ctx, "tcp", &dattr, &sv->ctl.dom);
	if (err < 0)
		tk_die(TK_EXIT_FAILURE, "cannot open provider tcp: %s", nmt_strerror(err));
	attr.mode = NMT_MODE_RAW;
	attr.linger = CTL_LINGER;
	attr.bind_device = sv->o->stream.attr.bind_device;
	setup_addr(addr, sizeof(addr), sv->o->listen_host, (uint16_t)sv->o->port);
	err = nmt_listen(sv->ctl.dom, addr, &attr, &sv->ctl.listener);
	if (err < 0)
		tk_die(TK_EXIT_FAILURE, "cannot listen on %s: %s%s", addr, nmt_strerror(err),
		       err == -EADDRINUSE ? "; choose another port with -p" : "");
	nmt_listener_addr(sv->ctl.listener, addr, sizeof(addr));
	if (sv->o->port_file)
		write_port_file(sv->o->port_file, addr);
	printf("nmt_perf: listening on %s\n", addr);
	fflush(stdout);
}

/* ---- one measurement ---- */

static int send_ready(struct server *sv, const struct run *run, int err)
{
	struct wire_ready ready = { .status = (uint32_t)-err };

	snprintf(ready.text, sizeof(ready.text), "%s", run->text);
	for (uint32_t i = 0; err == 0 && i < run->nworkers; i++)
		ready.port[i] = run->workers[i].port;
	ready.ports = err == 0 ? run->nworkers : 0;
	return ctl_send(&sv->ctl, MSG_READY, &ready);
}

/*
 * The server's own --provider and --bind-device win; a device of the client is not ours. After
 * "ofi/" comes no device, but a provider of libfabric: both ends need the same.
 */
static void localise(const struct server *sv, struct perf_params *p)
{
	const char *own = sv->o->stream.provider;

	if (own)
		snprintf(p->provider, sizeof(p->provider), "%s", own);
	else if (strncmp(p->provider, "ofi/", 4) != 0)
		p->provider[strcspn(p->provider, "/")] = '\0';
}

static int prepare(struct server *sv, struct run *run, struct perf_params *p)
{
	int err = params_check(p, run->text, sizeof(run->text));

	if (err < 0)
		return err;
	localise(sv, p);
	run->ctx = sv->ctx;
	run->main_dom = sv->ctl.dom;
	run->attr.bind_device = sv->o->stream.attr.bind_device;
	snprintf(run->listen_host, sizeof(run->listen_host), "%s", sv->o->listen_host);
	err = run_open(run, p, true);
	for (uint32_t i = 0; err == 0 && i < run->nworkers; i++)
		err = run->test->listen(&run->workers[i],
					sv->o->data_port ? (uint16_t)(sv->o->data_port + i) : 0);
	return err;
}

static int take_message(struct run *run, int type)
{
	switch (type) {
	case 0:
		return 0;
	case MSG_MARK:
		run_begin(run);
		return 0;
	case MSG_STOP:
		run_end(run);
		run_phase(run, PHASE_STOP);
		return 0;
	default:
		return -EPROTO;
	}
}

/* Whether it is time to start; a set-up that takes too long fails. */
static int check_setup(struct server *sv, struct run *run, int64_t since)
{
	if (atomic_load(&run->phase) != PHASE_SETUP)
		return 0;
	if (clock_ns() - since > SETUP_TIMEOUT)
		return -ETIMEDOUT;
	if (atomic_load(&run->ready) < run->nworkers)
		return 0;
	run_phase(run, PHASE_WARM);
	return ctl_send(&sv->ctl, MSG_STARTED, NULL);
}

/* Steer until all workers have finished. Negative: the client is gone, or talks nonsense. */
static int steer(struct server *sv, struct run *run, struct monitor *m)
{
	struct wire_interval interval;
	union ctl_body body;
	int64_t since = clock_ns();
	int err;

	while (atomic_load(&run->finished) < run->nworkers) {
		err = ctl_next(&sv->ctl, &body, MONITOR_SAMPLE_NS);
		if (err >= 0)
			err = take_message(run, err);
		if (err == 0)
			err = check_setup(sv, run, since);
		if (err == 0 && atomic_load(&run->failed))
			return 0;
		if (err == 0)
			err = monitor_tick(m, &interval);
		if (err == 1)
			err = ctl_send(&sv->ctl, MSG_INTERVAL, &interval);
		if (err == 0 && signalled)
			err = -EINTR;
		if (err < 0)
			return err;
	}
	return 0;
}

static int send_result(struct server *sv, struct run *run, const struct monitor *m)
{
	struct wire_result result;

	run_result(run, &result);
	result.peak = m->peak;
	return ctl_send(&sv->ctl, MSG_RESULT, &result);
}

static int serve_run(struct server *sv, struct run *run)
{
	struct monitor m;
	int err = run_start(run);

	monitor_start(&m, run);
	if (err == 0)
		err = steer(sv, run, &m);
	if (err == -ETIMEDOUT && !run->error) {
		run->error = err;
		snprintf(run->text, sizeof(run->text), "nothing moved for %.1f s",
			 (double)run->p.stall_ns * 1e-9);
	}
	if (err < 0 || atomic_load(&run->failed))
		run_phase(run, PHASE_ABORT);
	run_join(run);
	run_begin(run);
	run_end(run);
	if (err == 0 || err == -ETIMEDOUT)
		err = send_result(sv, run, &m);
	return err;
}

/* 0: the client may ask for more. */
static int serve_params(struct server *sv, struct perf_params *p)
{
	struct run *run = calloc(1, sizeof(*run));
	int err, sent;

	if (!run)
		return -ENOMEM;
	err = prepare(sv, run, p);
	sent = send_ready(sv, run, err);
	if (err == 0 && sent == 0)
		sent = serve_run(sv, run);
	if (err < 0 || run->error)
		tk_warn("%s: %s", err < 0 ? "a client was refused" : "a measurement failed",
			run->text);
	run_close(run);
	free(run);
	return sent;
}

/* ---- clients ---- */

static int serve_client(struct server *sv)
{
	union ctl_body body;
	int type = ctl_hello(&sv->ctl, HELLO_TIMEOUT);
	int64_t idle = clock_ns();

	while (type >= 0 && !signalled) {
		type = ctl_next(&sv->ctl, &body, MONITOR_SAMPLE_NS);
		if (type == MSG_PARAMS) {
			type = serve_params(sv, &body.params);
			idle = clock_ns();
		} else if (type != 0 && type != MSG_STOP && type != MSG_MARK) {
			type = type < 0 ? type : -EPROTO;
		} else if (clock_ns() - idle > SETUP_TIMEOUT) {
			type = -ETIMEDOUT;
		}
	}
	return type;
}

static int next_client(struct server *sv)
{
	struct nmt_stream *s;
	int err = nmt_accept(sv->ctl.listener, NULL, &s);

	if (err == 0) {
		ctl_attach(&sv->ctl, s);
		return 1;
	}
	sv->ctl.waiting = false;
	return err == -EAGAIN ? 0 : err;
}

static int serve_all(struct server *sv)
{
	int err;

	while (!signalled) {
		err = next_client(sv);
		if (err == 0)
			err = ctl_turn(&sv->ctl, NMT_FOREVER);
		if (err < 0)
			return err;
		if (!sv->ctl.stream)
			continue;
		err = serve_client(sv);
		ctl_detach(&sv->ctl);
		if (err < 0 && err != -ENOTCONN && !signalled)
			tk_warn("a client was dropped: %s", nmt_strerror(err));
		if (sv->o->once)
			return err == -ENOTCONN ? 0 : err;
	}
	return 0;
}

int server_main(const struct perf_options *o)
{
	struct server sv = { .o = o };
	int err;

	sv.ctx = tk_ctx_open(&o->stream, NULL, NULL);
	open_control(&sv);
	catch_signals(sv.ctl.dom);
	err = serve_all(&sv);
	signal(SIGINT, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	nmt_domain_close(sv.ctl.dom);
	nmt_ctx_close(sv.ctx);
	return err < 0 ? TK_EXIT_FAILURE : TK_EXIT_OK;
}
