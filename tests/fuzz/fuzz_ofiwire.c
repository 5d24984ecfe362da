/* SPDX-License-Identifier: BSD-2-Clause */
/* The decoders of provider ofi: what they take encodes to the same bytes. */
#include <stdlib.h>
#include <string.h>

#include "../../providers/ofi/ofi_wire.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void address(const uint8_t *data, size_t size)
{
	uint8_t buf[OFI_ADDR_HEAD + OFI_PROV_MAX + OFI_ADDR_MAX];
	struct ofi_addr m;

	if (nmti_ofi_addr_decode(data, (uint32_t)size, &m))
		return;
	if (nmti_ofi_addr_encode(&m, buf, sizeof(buf)) != (int)size || memcmp(buf, data, size))
		abort();
	if (nmti_ofi_addr_fit(&m, &m) != 2)
		abort();
}

static void hello(const uint8_t *data, size_t size)
{
	uint8_t buf[OFI_HELLO_LEN];
	struct ofi_hello m;

	if (nmti_ofi_hello_decode(data, (uint32_t)size, &m))
		return;
	nmti_ofi_hello_encode(&m, buf);
	if (memcmp(buf, data, sizeof(buf)))
		abort();
}

static void head(const uint8_t *data, size_t size)
{
	uint8_t buf[OFI_NOTE_LEN];
	struct ofi_head m;
	uint32_t len;

	if (nmti_ofi_head_decode(data, (uint32_t)size, &m))
		return;
	len = nmti_ofi_head_encode(&m, buf);
	if (len > size || memcmp(buf, data, len))
		abort();
	if (m.kind == OFI_NOTE && (ofi_data_id(m.data) != m.id || len != size))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	address(data, size);
	hello(data, size);
	head(data, size);
	return 0;
}
