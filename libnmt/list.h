/* SPDX-License-Identifier: BSD-2-Clause */
/* Circular doubly linked list with a head, after the Linux kernel's; struct nmti_list is in provider.h. */
#ifndef NMTI_LIST_H
#define NMTI_LIST_H

#include <stdbool.h>
#include <stddef.h>

#include <nmt/provider.h>

#define nmti_container(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

static inline void nmti_list_init(struct nmti_list *l)
{
	l->next = l->prev = l;
}

static inline bool nmti_list_empty(const struct nmti_list *l)
{
	return l->next == l;
}

static inline void nmti_list_add_tail(struct nmti_list *node, struct nmti_list *head)
{
	node->prev = head->prev;
	node->next = head;
	head->prev->next = node;
	head->prev = node;
}

/* Take a node out and leave it as a list of its own, so that it may be taken out again. */
static inline void nmti_list_del(struct nmti_list *node)
{
	node->prev->next = node->next;
	node->next->prev = node->prev;
	nmti_list_init(node);
}

/* Move all of FROM, which may be empty, to the end of TO. */
static inline void nmti_list_splice_tail(struct nmti_list *from, struct nmti_list *to)
{
	if (nmti_list_empty(from))
		return;
	from->next->prev = to->prev;
	to->prev->next = from->next;
	from->prev->next = to;
	to->prev = from->prev;
	nmti_list_init(from);
}

static inline struct nmti_list *nmti_list_pop(struct nmti_list *head)
{
	struct nmti_list *node = head->next;

	if (node == head)
		return NULL;
	nmti_list_del(node);
	return node;
}

#endif
