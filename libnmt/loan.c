/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Loans: what nmt_recv_frags lends. A token is (generation << 32 | slot), so that a token given
 * back twice, or to another stream, is told from a valid one.
 */
#include <stdlib.h>

#include "internal.h"

#define LOANS_FIRST 64u
#define LOANS_MAX (UINT32_C(1) << 30)

static int loans_grow(struct nmti_loans *l)
{
	uint32_t count = l->count ? 2 * l->count : LOANS_FIRST;
	struct nmti_loan *slot;

	if (count > LOANS_MAX)
		return -ENOMEM;
	slot = realloc(l->slot, count * sizeof(*slot));
	if (!slot)
		return -ENOMEM;
	memset(slot + l->count, 0, (count - l->count) * sizeof(*slot));
	for (uint32_t i = count - 1; i > 0 && i >= l->count; i--) {
		slot[i].next = l->free;
		l->free = i;
	}
	l->slot = slot;
	l->count = count;
	return 0;
}

void nmti_loans_fini(struct nmt_domain *dom)
{
	free(dom->loans.slot);
}

static void loan_link(struct nmti_loans *l, struct nmt_stream *s, uint32_t i)
{
	l->slot[i].prev = 0;
	l->slot[i].next = s->loan_first;
	if (s->loan_first)
		l->slot[s->loan_first].prev = i;
	s->loan_first = i;
}

static void loan_unlink(struct nmti_loans *l, struct nmt_stream *s, uint32_t i)
{
	struct nmti_loan *loan = &l->slot[i];

	if (loan->prev)
		l->slot[loan->prev].next = loan->next;
	else
		s->loan_first = loan->next;
	if (loan->next)
		l->slot[loan->next].prev = loan->prev;
}

int nmti_lend(struct nmt_stream *s, struct nmti_cell *cell, uint32_t pos, uint32_t len,
	      uint32_t flags, struct nmt_frag *frag)
{
	struct nmti_loans *l = &s->dom->loans;
	struct nmti_loan *loan;
	uint32_t i;

	if (!l->free && loans_grow(l))
		return -ENOMEM;
	i = l->free;
	loan = &l->slot[i];
	l->free = loan->next;
	loan->cell = cell;
	loan->owner = s;
	loan->len = len;
	loan->gen++;
	loan_link(l, s, i);
	cell->refs++;
	s->lent += len;
	frag->mr = cell->mr;
	frag->offset = cell->offset + pos;
	frag->len = len;
	frag->flags = flags;
	frag->token = (uint64_t)loan->gen << 32 | i;
	frag->reserved = 0;
	return 0;
}

static void loan_return(struct nmti_loans *l, struct nmt_stream *s, uint32_t i)
{
	struct nmti_loan *loan = &l->slot[i];
	struct nmti_cell *cell = loan->cell;

	loan_unlink(l, s, i);
	s->lent -= loan->len;
	loan->owner = NULL;
	loan->marked = false;
	loan->next = l->free;
	l->free = i;
	nmti_cell_put(cell);
}

/* The slot of a token that S may give back and has not named before in this call, else 0. */
static uint32_t loan_claim(struct nmti_loans *l, const struct nmt_stream *s, uint64_t token)
{
	uint32_t i = (uint32_t)token;
	struct nmti_loan *loan;

	if (!i || i >= l->count)
		return 0;
	loan = &l->slot[i];
	if (loan->owner != s || loan->gen != token >> 32 || loan->marked)
		return 0;
	loan->marked = true;
	return i;
}

int nmti_release(struct nmt_stream *s, const struct nmt_frag *frags, int n)
{
	struct nmti_loans *l = &s->dom->loans;
	int i;

	for (i = 0; i < n; i++)
		if (!loan_claim(l, s, frags[i].token))
			break;
	if (i < n) {
		while (i--)
			l->slot[(uint32_t)frags[i].token].marked = false;
		return -EINVAL;
	}
	for (i = 0; i < n; i++)
		loan_return(l, s, (uint32_t)frags[i].token);
	return 0;
}

void nmti_loans_drop(struct nmt_stream *s)
{
	while (s->loan_first)
		loan_return(&s->dom->loans, s, s->loan_first);
}
