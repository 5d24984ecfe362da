/* SPDX-License-Identifier: BSD-2-Clause */
/* The circular list: order, taking out twice, splicing, popping. */
#include "unit.h"

struct item {
	int n;
	struct nmti_list node;
};

static void check(struct nmti_list *head, const int *want, int count)
{
	struct nmti_list *node = head->next, *back = head->prev;

	for (int i = 0; i < count; i++, node = node->next)
		assert_int_equal(nmti_container(node, struct item, node)->n, want[i]);
	assert_ptr_equal(node, head);
	for (int i = count; i-- > 0; back = back->prev)
		assert_int_equal(nmti_container(back, struct item, node)->n, want[i]);
	assert_ptr_equal(back, head);
}

static void make(struct nmti_list *head, struct item *items, int count, int first)
{
	nmti_list_init(head);
	for (int i = 0; i < count; i++) {
		items[i].n = first + i;
		nmti_list_add_tail(&items[i].node, head);
	}
}

static void test_empty(void **state)
{
	struct nmti_list head;

	(void)state;
	nmti_list_init(&head);
	assert_true(nmti_list_empty(&head));
	assert_null(nmti_list_pop(&head));
	check(&head, NULL, 0);
}

static void test_order(void **state)
{
	struct nmti_list head;
	struct item items[3];

	(void)state;
	make(&head, items, 3, 1);
	assert_false(nmti_list_empty(&head));
	check(&head, (int[]){ 1, 2, 3 }, 3);
}

static void test_del(void **state)
{
	struct nmti_list head;
	struct item items[3];

	(void)state;
	make(&head, items, 3, 1);
	nmti_list_del(&items[1].node);
	check(&head, (int[]){ 1, 3 }, 2);
	assert_true(nmti_list_empty(&items[1].node));
	nmti_list_del(&items[1].node); /* again: harmless */
	check(&head, (int[]){ 1, 3 }, 2);
	nmti_list_del(&items[0].node);
	nmti_list_del(&items[2].node);
	assert_true(nmti_list_empty(&head));
}

static void test_splice(void **state)
{
	struct nmti_list to, from;
	struct item a[2], b[3];

	(void)state;
	make(&to, a, 2, 1);
	make(&from, b, 3, 3);
	nmti_list_splice_tail(&from, &to);
	check(&to, (int[]){ 1, 2, 3, 4, 5 }, 5);
	check(&from, NULL, 0);
	nmti_list_splice_tail(&from, &to); /* of nothing */
	check(&to, (int[]){ 1, 2, 3, 4, 5 }, 5);
	nmti_list_splice_tail(&to, &from); /* into nothing */
	check(&from, (int[]){ 1, 2, 3, 4, 5 }, 5);
	check(&to, NULL, 0);
}

static void test_pop(void **state)
{
	struct nmti_list head, *node;
	struct item items[3];

	(void)state;
	make(&head, items, 3, 1);
	for (int i = 0; i < 3; i++) {
		node = nmti_list_pop(&head);
		assert_ptr_equal(node, &items[i].node);
		assert_true(nmti_list_empty(node));
	}
	assert_null(nmti_list_pop(&head));
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_empty), cmocka_unit_test(test_order), cmocka_unit_test(test_del),
	cmocka_unit_test(test_splice), cmocka_unit_test(test_pop),
};

UNIT_MAIN(tests)
