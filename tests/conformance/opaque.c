/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A memory kind that the CPU cannot touch: its addresses are mapped PROT_NONE, so that any use of
 * one as a pointer crashes, and only copy_in and copy_out reach the bytes, through another mapping
 * of the same memfd. Stands for device memory.
 */
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "suite.h"

#include <nmt/provider.h>

struct opaque {
	struct opaque *next;
	char *wall;  /* the address that people see; faults */
	char *bytes;
	size_t size;
};

/* What opaque_malloc gave out: the "driver" knows its own addresses. */
static struct {
	pthread_mutex_t lock;
	struct opaque *first;
} device = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void unmap(struct opaque *o)
{
	if (o->wall && o->wall != MAP_FAILED)
		munmap(o->wall, o->size);
	if (o->bytes && o->bytes != MAP_FAILED)
		munmap(o->bytes, o->size);
	free(o);
}

static struct opaque *map(size_t size)
{
	struct opaque *o = calloc(1, sizeof(*o));
	int fd = memfd_create("nmt-opaque", MFD_CLOEXEC);
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	if (!o || fd < 0)
		goto fail;
	o->size = (size + page - 1) / page * page;
	if (ftruncate(fd, (off_t)o->size))
		goto fail;
	o->wall = mmap(NULL, o->size, PROT_NONE, MAP_SHARED, fd, 0);
	o->bytes = mmap(NULL, o->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (o->wall != MAP_FAILED && o->bytes != MAP_FAILED)
		return o;
	unmap(o);
	return NULL;
fail:
	free(o);
	if (fd >= 0)
		close(fd);
	return NULL;
}

void *opaque_malloc(size_t size)
{
	struct opaque *o = map(size);

	if (!o)
		return NULL;
	pthread_mutex_lock(&device.lock);
	o->next = device.first;
	device.first = o;
	pthread_mutex_unlock(&device.lock);
	return o->wall;
}

void opaque_free(void *addr)
{
	struct opaque **at = &device.first, *o = NULL;

	pthread_mutex_lock(&device.lock);
	while (*at && (*at)->wall != addr)
		at = &(*at)->next;
	if (*at) {
		o = *at;
		*at = o->next;
	}
	pthread_mutex_unlock(&device.lock);
	if (o)
		unmap(o);
}

static struct opaque *device_find(const char *addr, size_t size)
{
	struct opaque *o;

	pthread_mutex_lock(&device.lock);
	for (o = device.first; o; o = o->next)
		if (addr >= o->wall && addr + size <= o->wall + o->size)
			break;
	pthread_mutex_unlock(&device.lock);
	return o;
}

static void adopt(struct nmt_mr *mr, struct opaque *o, const char *addr)
{
	mr->cpu = NULL;
	mr->dev = (uint64_t)(uintptr_t)addr;
	mr->priv = o;
}

static int opaque_alloc(struct nmt_mr *mr)
{
	struct opaque *o = map(mr->size);

	if (!o)
		return -ENOMEM;
	adopt(mr, o, o->wall);
	return 0;
}

static int opaque_reg(struct nmt_mr *mr, void *addr)
{
	struct opaque *o = device_find(addr, mr->size);

	if (!o)
		return -ENXIO;
	adopt(mr, o, addr);
	return 0;
}

static void opaque_unreg(struct nmt_mr *mr)
{
	if (mr->owned)
		unmap(mr->priv);
}

static char *bytes_at(const struct nmt_mr *mr, uint64_t offset)
{
	const struct opaque *o = mr->priv;

	return o->bytes + (mr->dev - (uint64_t)(uintptr_t)o->wall) + offset;
}

static int opaque_in(struct nmt_mr *mr, uint64_t offset, const void *src, size_t len)
{
	memcpy(bytes_at(mr, offset), src, len);
	return 0;
}

static int opaque_out(const struct nmt_mr *mr, uint64_t offset, void *dst, size_t len)
{
	memcpy(dst, bytes_at(mr, offset), len);
	return 0;
}

static const struct nmt_mem_ops opaque_ops = {
	.kind = OPAQUE_KIND,
	.name = "opaque",
	.alloc = opaque_alloc,
	.reg = opaque_reg,
	.free = opaque_unreg,
	.copy_in = opaque_in,
	.copy_out = opaque_out,
};

int opaque_add(struct nmt_ctx *ctx)
{
	return nmti_mem_kind_add(ctx, &opaque_ops);
}
