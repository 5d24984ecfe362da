/* SPDX-License-Identifier: BSD-2-Clause */
/* What provider ofi puts on a wire, byte by byte, and what it refuses: docs/wire.md, "ofi". */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ofi_wire.h"

static const uint8_t addr_bytes[] = {
	1, 1, 0, 2, 0x11, 0x22, 0x33, 0x44, 3, 4, 0, 0, 't', 'c', 'p', 10, 0, 0, 1,
};

static struct ofi_addr addr(void)
{
	return (struct ofi_addr){ .type = OFI_TYPE_MSG, .format = 2, .fabric = 0x11223344,
				  .plen = 3, .alen = 4, .prov = "tcp", .addr = { 10, 0, 0, 1 } };
}

static void t_address_by_bytes(void **state)
{
	struct ofi_addr m = addr(), back;
	uint8_t buf[64];

	(void)state;
	assert_int_equal(nmti_ofi_addr_encode(&m, buf, sizeof(buf)), sizeof(addr_bytes));
	assert_memory_equal(buf, addr_bytes, sizeof(addr_bytes));
	assert_int_equal(nmti_ofi_addr_decode(buf, sizeof(addr_bytes), &back), 0);
	assert_int_equal(nmti_ofi_addr_encode(&m, buf, sizeof(addr_bytes) - 1), -ENOSPC);
	assert_int_equal(back.type, m.type);
	assert_int_equal(back.format, m.format);
	assert_int_equal(back.fabric, m.fabric);
	assert_int_equal(back.plen, m.plen);
	assert_int_equal(back.alen, m.alen);
	assert_memory_equal(back.prov, m.prov, m.plen);
	assert_memory_equal(back.addr, m.addr, m.alen);
}

static void t_address_refused(void **state)
{
	static const struct {
		uint8_t at, value;
	} bad[] = { { 0, 2 }, { 1, 0 }, { 1, 3 }, { 8, 0 }, { 8, 4 }, { 8, 33 }, { 9, 0 },
		    { 9, 3 }, { 9, 97 }, { 10, 2 }, { 11, 1 } };
	uint8_t buf[sizeof(addr_bytes)];
	struct ofi_addr m;

	(void)state;
	for (uint32_t n = 0; n < sizeof(addr_bytes); n++)
		assert_int_equal(nmti_ofi_addr_decode(addr_bytes, n, &m), -EPROTO);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		memcpy(buf, addr_bytes, sizeof(buf));
		buf[bad[i].at] = bad[i].value;
		assert_int_equal(nmti_ofi_addr_decode(buf, sizeof(buf), &m), -EPROTO);
	}
}

static void t_address_with_notes(void **state)
{
	uint8_t buf[sizeof(addr_bytes)], want[sizeof(addr_bytes)];
	struct ofi_addr m = addr(), back;

	(void)state;
	memcpy(want, addr_bytes, sizeof(want));
	want[10] = 1;
	m.notes = true;
	assert_int_equal(nmti_ofi_addr_encode(&m, buf, sizeof(buf)), sizeof(buf));
	assert_memory_equal(buf, want, sizeof(buf));
	assert_int_equal(nmti_ofi_addr_decode(buf, sizeof(buf), &back), 0);
	assert_true(back.notes);
}

static void t_fit(void **state)
{
	struct ofi_addr a = addr(), b = addr();

	(void)state;
	assert_int_equal(nmti_ofi_addr_fit(&a, &b), 2);
	b.fabric++;
	assert_int_equal(nmti_ofi_addr_fit(&a, &b), 1);
	b.type = OFI_TYPE_RDM;
	assert_int_equal(nmti_ofi_addr_fit(&a, &b), 0);
	b = addr();
	b.notes = true;
	assert_int_equal(nmti_ofi_addr_fit(&a, &b), 0);
	b = addr();
	b.prov[0] = 'u';
	assert_int_equal(nmti_ofi_addr_fit(&a, &b), 0);
}

static void t_hello_by_bytes(void **state)
{
	static const uint8_t bytes[OFI_HELLO_LEN] = {
		1, 2, 3, 4, 0, 2, 0, 1, 0, 0, 0, 9, 0, 0, 0, 1,
		0, 0, 0, 0, 0, 0, 0x10, 0, 1, 2, 3, 4, 5, 6, 7, 8,
		'0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f',
	};
	struct ofi_hello m = { .kind = OFI_ANSWER, .rail = 3, .epoch = 4, .why = 1, .id = 0x20001,
			       .to = 9, .scratch = 0x1000, .key = 0x0102030405060708 }, back;
	uint8_t buf[OFI_HELLO_LEN];

	(void)state;
	memcpy(m.token, "0123456789abcdef", OFI_TOKEN);
	nmti_ofi_hello_encode(&m, buf);
	assert_memory_equal(buf, bytes, sizeof(bytes));
	assert_int_equal(nmti_ofi_hello_decode(buf, sizeof(buf), &back), 0);
	assert_int_equal(back.kind, m.kind);
	assert_int_equal(back.id, m.id);
	assert_int_equal(back.to, m.to);
	assert_int_equal(back.key, m.key);
	assert_int_equal(back.scratch, m.scratch);
	assert_memory_equal(back.token, m.token, OFI_TOKEN);
	assert_int_equal(nmti_ofi_hello_decode(buf, OFI_HELLO_LEN - 1, &back), -EPROTO);
	for (uint8_t at = 0; at < 2; at++) {
		memcpy(buf, bytes, sizeof(buf));
		buf[at] = 9; /* version, kind */
		assert_int_equal(nmti_ofi_hello_decode(buf, sizeof(buf), &back), -EPROTO);
	}
	memcpy(buf, bytes, sizeof(buf));
	buf[5] = 4; /* an id beyond 18 bits */
	assert_int_equal(nmti_ofi_hello_decode(buf, sizeof(buf), &back), -EPROTO);
}

static void t_completion_data(void **state)
{
	const uint32_t ids[] = { 0, 1, OFI_IDS - 1 }, lens[] = { 0, 1, OFI_WRITE_MAX };
	const uint32_t imms[] = { 0, 0x000fffff, 0xf0000000, 0x300abcde };

	(void)state;
	assert_int_equal(ofi_data_pack(1, 0x30000002, 3), UINT64_C(0x3000020000400003));
	for (int i = 0; i < 3; i++)
		for (int k = 0; k < 3; k++)
			for (int n = 0; n < 4; n++) {
				uint64_t d = ofi_data_pack(ids[i], imms[n] | 0x07700000, lens[k]);

				assert_int_equal(ofi_data_id(d), ids[i]);
				assert_int_equal(ofi_data_len(d), lens[k]);
				assert_int_equal(ofi_data_imm(d, 0x77), imms[n] | 0x07700000);
			}
}

static const uint8_t note_bytes[OFI_NOTE_LEN] = {
	1, 7, 0, 0, 0, 0, 0, 1, 0x30, 0, 2, 0, 0, 0x40, 0, 3,
};

static void t_heads_by_bytes(void **state)
{
	static const uint8_t message[OFI_MSG_HEAD] = { 1, 6, 0, 0, 0, 2, 0, 1 };
	struct ofi_head m = { .kind = OFI_MESSAGE, .id = 0x20001 }, back;
	uint8_t buf[OFI_NOTE_LEN];

	(void)state;
	assert_int_equal(nmti_ofi_head_encode(&m, buf), sizeof(message));
	assert_memory_equal(buf, message, sizeof(message));
	assert_int_equal(nmti_ofi_head_decode(message, sizeof(message), &back), 0);
	assert_int_equal(back.kind, OFI_MESSAGE);
	assert_int_equal(back.id, m.id);
	m = (struct ofi_head){ .kind = OFI_NOTE, .id = 1, .data = ofi_data_pack(1, 0x30000002, 3) };
	assert_int_equal(nmti_ofi_head_encode(&m, buf), sizeof(note_bytes));
	assert_memory_equal(buf, note_bytes, sizeof(note_bytes));
	assert_int_equal(nmti_ofi_head_decode(note_bytes, sizeof(note_bytes), &back), 0);
	assert_int_equal(back.id, 1);
	assert_int_equal(back.data, m.data);
}

static void t_heads_refused(void **state)
{
	static const struct {
		uint8_t at, value;
	} bad[] = { { 0, 2 }, { 1, 4 }, { 1, 8 }, { 2, 1 }, { 3, 1 }, { 7, 2 }, { 11, 1 },
		    { 13, 0x7f } };
	uint8_t buf[OFI_NOTE_LEN + 1] = { 0 };
	struct ofi_head m;

	(void)state;
	for (uint32_t n = 0; n <= sizeof(buf); n++) {
		memcpy(buf, note_bytes, sizeof(note_bytes));
		assert_int_equal(nmti_ofi_head_decode(buf, n, &m),
				 n == OFI_NOTE_LEN ? 0 : -EPROTO);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		memcpy(buf, note_bytes, sizeof(note_bytes));
		buf[bad[i].at] = bad[i].value;
		if (bad[i].at == 13) /* longer than a run can be */
			buf[14] = buf[15] = 0xff;
		assert_int_equal(nmti_ofi_head_decode(buf, OFI_NOTE_LEN, &m), -EPROTO);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_address_by_bytes), cmocka_unit_test(t_address_refused),
		cmocka_unit_test(t_address_with_notes),
		cmocka_unit_test(t_fit), cmocka_unit_test(t_hello_by_bytes),
		cmocka_unit_test(t_completion_data), cmocka_unit_test(t_heads_by_bytes),
		cmocka_unit_test(t_heads_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
