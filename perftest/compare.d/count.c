/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * nmt_count.so: preloaded into a program, counts its calls of the allocator, of locks and of memory
 * copies, and writes them at exit to the file that NMT_COUNT_FILE names, one "name value" a line.
 * Copies of up to 256 bytes are not counted: the compiler may do them without a call. A copy is
 * counted for the object that called it: libnmt, or any other.
 */
#include <dlfcn.h>
#include <link.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))
#define SMALL 256

enum counter {
	ALLOCS,
	FREES,
	ALLOC_BYTES,
	LOCKS,
	LOCKS_LIB,
	COPIES_LIB,
	COPIED_LIB,
	COPIES_OTHER,
	COPIED_OTHER,
	COUNTERS,
};

static const char *const names[COUNTERS] = {
	"allocs", "frees", "alloc_bytes", "locks", "lib_locks", "lib_copies", "lib_copied", "copies", "copied",
};

static atomic_uint_fast64_t counters[COUNTERS];
static uintptr_t lib_begin, lib_end; /* where libnmt is mapped */

static void count(enum counter c, uint64_t n)
{
	atomic_fetch_add_explicit(&counters[c], n, memory_order_relaxed);
}

/* ---- the allocator: glibc's own names, so that nothing has to be looked up ---- */

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);
extern void __libc_free(void *);

static void count_alloc(size_t size)
{
	count(ALLOCS, 1);
	count(ALLOC_BYTES, size);
}

EXPORT void *malloc(size_t size)
{
	count_alloc(size);
	return __libc_malloc(size);
}

EXPORT void *calloc(size_t n, size_t size)
{
	count_alloc(n * size);
	return __libc_calloc(n, size);
}

EXPORT void *realloc(void *old, size_t size)
{
	count_alloc(size);
	return __libc_realloc(old, size);
}

EXPORT void *memalign(size_t align, size_t size)
{
	count_alloc(size);
	return __libc_memalign(align, size);
}

EXPORT void *aligned_alloc(size_t align, size_t size)
{
	return memalign(align, size);
}

EXPORT int posix_memalign(void **out, size_t align, size_t size)
{
	void *p = memalign(align, size);

	if (!p)
		return 12; /* ENOMEM */
	*out = p;
	return 0;
}

EXPORT void free(void *p)
{
	if (p)
		count(FREES, 1);
	__libc_free(p);
}

/* ---- functions that the next library has ---- */

static void *next_of(const char *name)
{
	void *f = dlsym(RTLD_NEXT, name);

	if (!f)
		abort();
	return f;
}

#define CALLER __builtin_extract_return_addr(__builtin_return_address(0))

static int from_lib(const void *caller)
{
	return (uintptr_t)caller >= lib_begin && (uintptr_t)caller < lib_end;
}

#define LOCK(name, type)                                        \
	EXPORT int name(type *lock)                             \
	{                                                       \
		static int (*next)(type *);                     \
                                                                \
		if (!next)                                      \
			next = (int (*)(type *))next_of(#name); \
		count(LOCKS, 1);                                \
		count(LOCKS_LIB, (uint64_t)from_lib(CALLER));   \
		return next(lock);                              \
	}

LOCK(pthread_mutex_lock, pthread_mutex_t)
LOCK(pthread_mutex_trylock, pthread_mutex_t)
LOCK(pthread_spin_lock, pthread_spinlock_t)
LOCK(pthread_spin_trylock, pthread_spinlock_t)
LOCK(pthread_rwlock_rdlock, pthread_rwlock_t)
LOCK(pthread_rwlock_wrlock, pthread_rwlock_t)
LOCK(pthread_rwlock_tryrdlock, pthread_rwlock_t)
LOCK(pthread_rwlock_trywrlock, pthread_rwlock_t)

/* ---- copies ---- */

typedef void *copy_fn(void *, const void *, size_t);
static copy_fn *next_move;

/* Before the constructor has run: in the direction that overlapping memory allows. */
static void *slow_move(void *to, const void *from, size_t n)
{
	volatile char *d = to;
	const char *s = from;

	for (size_t i = 0; d < s && i < n; i++)
		d[i] = s[i];
	for (size_t i = n; d > s && i > 0; i--)
		d[i - 1] = s[i - 1];
	return to;
}

static void *counted_move(void *to, const void *from, size_t n, void *caller)
{
	int other = !from_lib(caller);

	if (n > SMALL) {
		count(other ? COPIES_OTHER : COPIES_LIB, 1);
		count(other ? COPIED_OTHER : COPIED_LIB, n);
	}
	return next_move ? next_move(to, from, n) : slow_move(to, from, n);
}

EXPORT void *memcpy(void *restrict to, const void *restrict from, size_t n)
{
	return counted_move(to, from, n, CALLER);
}

EXPORT void *memmove(void *to, const void *from, size_t n)
{
	return counted_move(to, from, n, CALLER);
}

EXPORT void *mempcpy(void *restrict to, const void *restrict from, size_t n)
{
	return (char *)counted_move(to, from, n, CALLER) + n;
}

EXPORT void *__memcpy_chk(void *to, const void *from, size_t n, size_t room)
{
	if (n > room)
		abort();
	return counted_move(to, from, n, CALLER);
}

EXPORT void *__memmove_chk(void *to, const void *from, size_t n, size_t room)
{
	if (n > room)
		abort();
	return counted_move(to, from, n, CALLER);
}

/* ---- beginning and end ---- */

static int find_lib(struct dl_phdr_info *info, size_t size, void *arg)
{
	(void)size;
	(void)arg;
	if (!strstr(info->dlpi_name, "libnmt.so"))
		return 0;
	lib_begin = info->dlpi_addr;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		uintptr_t end =
			info->dlpi_addr + info->dlpi_phdr[i].p_vaddr + info->dlpi_phdr[i].p_memsz;

		if (info->dlpi_phdr[i].p_type == PT_LOAD && end > lib_end)
			lib_end = end;
	}
	return 1;
}

__attribute__((constructor)) static void begin(void)
{
	next_move = (copy_fn *)next_of("memmove");
	dl_iterate_phdr(find_lib, NULL);
}

__attribute__((destructor)) static void end(void)
{
	const char *path = getenv("NMT_COUNT_FILE");
	uint64_t values[COUNTERS];
	FILE *f;

	for (int i = 0; i < COUNTERS; i++)
		values[i] = atomic_load(&counters[i]);
	f = path ? fopen(path, "w") : NULL;
	if (!f)
		return;
	for (int i = 0; i < COUNTERS; i++)
		fprintf(f, "%s %llu\n", names[i], (unsigned long long)values[i]);
	fprintf(f, "libnmt %d\n", lib_end != 0);
	fclose(f);
}
