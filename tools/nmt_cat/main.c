/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * nmt_cat: netcat for memory. Sends files or standard input over libnmt, receives to a file or
 * standard output.
 *
 * options.c reads the command line, link.c connects or accepts, session.c runs one connection:
 * source.c -> sender.c -> stream -> receiver.c -> sink.c, all on one thread around loop.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "die.h"
#include "link.h"
#include "report.h"
#include "session.h"

struct cat {
	struct cat_options opt;
	struct nmt_ctx *ctx;
	struct nmt_domain *domain;
	struct loop loop;
	struct sender_memory mem;
	struct sink sink;
	struct progress bar;
	uint64_t to_send; /* 0: unknown */
};

/* Files must not get the numbers of standard streams that the caller has closed. */
static void fill_standard_fds(void)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDWR);
	} while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd > STDERR_FILENO)
		close(fd);
}

static uint64_t expected_total(const struct cat *c)
{
	if (cat_sends(&c->opt) && c->to_send)
		return c->to_send;
	return c->opt.has_expect && !cat_sends(&c->opt) ? c->opt.expect : 0;
}

static int run_stream(struct cat *c, struct nmt_stream *stream)
{
	struct session s;

	return session_run(&s, &c->opt, &c->loop, stream, &c->mem, &c->sink, &c->bar,
			   expected_total(c));
}

static int exit_of(const struct cat *c, int err)
{
	if (c->loop.signal)
		return TK_EXIT_SIGNAL + c->loop.signal;
	if (err == -EINVAL) /* of the address or an option */
		return TK_EXIT_USAGE;
	return tk_exit_of(err);
}

static int run_client(struct cat *c)
{
	struct nmt_stream *stream;
	int err = link_connect(&c->loop, &c->opt, &stream);

	return err < 0 ? exit_of(c, err) : run_stream(c, stream);
}

/* With --keep a failed connection is reported and the next one is served. */
static int serve(struct cat *c, struct nmt_listener *listener)
{
	struct nmt_stream *stream;
	int err, result;

	do {
		err = link_accept(&c->loop, &c->opt, listener, &stream);
		if (err < 0)
			return exit_of(c, err);
		if (!c->opt.keep)
			nmt_listener_close(listener);
		result = run_stream(c, stream);
	} while (c->opt.keep && !c->sink.broken && !c->loop.signal);
	return result;
}

static int run_listener(struct cat *c)
{
	struct nmt_listener *listener;
	int err = link_listen(&c->loop, &c->opt, &listener);

	return err < 0 ? exit_of(c, err) : serve(c, listener);
}

/* What can be refused is refused before anything is opened on the network. */
static int prepare(struct cat *c)
{
	int err;

	err = source_check(&c->opt, &c->to_send);
	if (!err)
		err = sink_open(&c->sink, &c->opt);
	if (err)
		return err;
	c->ctx = tk_ctx_open(&c->opt.stream, progress_log, &c->bar);
	c->domain = tk_domain_open(c->ctx, &c->opt.stream);
	err = sender_memory_alloc(&c->mem, c->ctx, &c->opt);
	if (err < 0)
		return err;
	err = loop_init(&c->loop, c->domain,
			c->opt.stream.domain.spin_ns > 0 ? c->opt.stream.domain.spin_ns : 0,
			&c->bar.log_errors);
	if (err < 0)
		tk_warn("cannot watch for signals: %s", strerror(-err));
	return err;
}

/* Regions are free to close only when the domain no longer uses them. */
static void tear_down(struct cat *c)
{
	if (c->domain && c->opt.stats)
		cat_print_stats(c->domain);
	if (c->domain)
		nmt_domain_close(c->domain);
	sender_memory_free(&c->mem);
	if (c->ctx)
		nmt_ctx_close(c->ctx);
	sink_close(&c->sink);
}

int main(int argc, char **argv)
{
	struct cat c = { .sink = { .dir = -1, .io.fd = -1 } };
	int result = TK_EXIT_FAILURE;

	fill_standard_fds();
	cat_options_parse(&c.opt, argc, argv);
	if (prepare(&c) == 0)
		result = c.opt.listen ? run_listener(&c) : run_client(&c);
	tear_down(&c);
	return result;
}
