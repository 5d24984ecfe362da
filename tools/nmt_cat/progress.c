/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The progress line on standard error: a bar when the total is known, bytes, rate, time to go.
 */
#include "progress.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "units.h"

#define BAR_WIDTH 24
/* Weight of the newest period in the shown rate. */
#define RATE_WEIGHT 0.3

int64_t cat_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * INT64_C(1000000000) + ts.tv_nsec;
}

void progress_start(struct progress *p, bool on, uint64_t total)
{
	p->on = on;
	p->shown = false;
	p->rate = 0;
	p->last_bytes = 0;
	p->total = total;
	p->start = p->last_time = cat_now();
	p->next = p->start + PROGRESS_PERIOD;
}

static void measure(struct progress *p, uint64_t bytes, int64_t now)
{
	double rate = (double)(bytes - p->last_bytes) * 1e9 / (double)(now - p->last_time);

	p->rate = p->rate > 0 ? p->rate + RATE_WEIGHT * (rate - p->rate) : rate;
	p->last_bytes = bytes;
	p->last_time = now;
}

/* "[#####-----]  50%  " */
static void format_bar(const struct progress *p, uint64_t bytes, char *buf, size_t len)
{
	double part = bytes >= p->total ? 1.0 : (double)bytes / (double)p->total;
	int full = (int)(part * BAR_WIDTH);
	char bar[BAR_WIDTH + 1];

	memset(bar, '-', BAR_WIDTH);
	memset(bar, '#', (size_t)full);
	bar[BAR_WIDTH] = '\0';
	snprintf(buf, len, "[%s] %3d%%  ", bar, (int)(part * 100));
}

static void show(struct progress *p, uint64_t bytes)
{
	char bar[BAR_WIDTH + 16] = "", amount[32], rate[32], eta[32] = "", left[16];

	tk_format_bytes(amount, sizeof(amount), bytes);
	tk_format_rate(rate, sizeof(rate), p->rate);
	if (p->total)
		format_bar(p, bytes, bar, sizeof(bar));
	if (p->total > bytes && p->rate > 1) {
		tk_format_duration(left, sizeof(left),
				   (int64_t)((double)(p->total - bytes) / p->rate * 1e9));
		snprintf(eta, sizeof(eta), "  %s to go", left);
	}
	fprintf(stderr, "\r\033[K%s%s  %s%s", bar, amount, rate, eta);
	fflush(stderr);
	p->shown = true;
}

void progress_update(struct progress *p, uint64_t bytes, int64_t now)
{
	if (!p->on || now < p->next)
		return;
	measure(p, bytes, now);
	show(p, bytes);
	p->next = now + PROGRESS_PERIOD;
}

void progress_clear(struct progress *p)
{
	if (p->shown)
		fputs("\r\033[K", stderr);
	p->shown = false;
}

void progress_finish(struct progress *p, uint64_t bytes)
{
	int64_t ns = cat_now() - p->start;
	char amount[32], rate[32];

	if (!p->on)
		return;
	progress_clear(p);
	tk_format_bytes(amount, sizeof(amount), bytes);
	tk_format_rate(rate, sizeof(rate), (double)bytes * 1e9 / (double)(ns > 0 ? ns : 1));
	fprintf(stderr, "%s in %.2f s, %s\n", amount, (double)ns / 1e9, rate);
}

void progress_log(void *arg, enum nmt_log_level level, const char *line)
{
	struct progress *p = arg;

	p->log_errors += level == NMT_LOG_ERROR;
	progress_clear(p);
	fprintf(stderr, "%s: %s\n", program_invocation_short_name, line);
}
