/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libfabric is loaded when something of it is first asked for, not with libnmt: with it come the
 * libraries of all its providers, and one of them (libinfinipath) gives the process handlers for
 * signals that print a backtrace and exit. Whoever streams over TCP must not get those. What the
 * signals did before is put back. Loaded once a process and never unloaded, as libfabric's providers
 * cannot be.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>

#include "ofi.h"

#define LIBRARY "libfabric.so.1"

static struct {
	int (*getinfo)(uint32_t version, const char *node, const char *service, uint64_t flags,
		       const struct fi_info *hints, struct fi_info **info);
	void (*freeinfo)(struct fi_info *info);
	struct fi_info *(*dupinfo)(const struct fi_info *info);
	int (*fabric)(struct fi_fabric_attr *attr, struct fid_fabric **fabric, void *context);
	const char *(*strerror)(int err);
	uint32_t (*version)(void);
	char reason[128]; /* why it is not there; empty: it is */
} lib;

static const int touched[] = { SIGABRT, SIGBUS, SIGILL, SIGINT, SIGSEGV, SIGTERM };
#define TOUCHED (sizeof(touched) / sizeof(touched[0]))

static void *load(void)
{
	struct sigaction before[TOUCHED];
	void *so;

	for (size_t i = 0; i < TOUCHED; i++)
		sigaction(touched[i], NULL, &before[i]);
	so = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
	for (size_t i = 0; i < TOUCHED; i++)
		sigaction(touched[i], &before[i], NULL);
	return so;
}

static bool find(void *so, const char *name, void *to)
{
	void *at = dlsym(so, name);

	memcpy(to, &at, sizeof(at));
	return at;
}

/* Its structures only grow, so a later one than that of the headers does. */
static void once(void)
{
	void *so = load();

	if (!so) {
		snprintf(lib.reason, sizeof(lib.reason), "%.120s", dlerror());
		return;
	}
	if (!find(so, "fi_getinfo", &lib.getinfo) || !find(so, "fi_freeinfo", &lib.freeinfo) ||
	    !find(so, "fi_dupinfo", &lib.dupinfo) || !find(so, "fi_fabric", &lib.fabric) ||
	    !find(so, "fi_strerror", &lib.strerror) || !find(so, "fi_version", &lib.version))
		snprintf(lib.reason, sizeof(lib.reason), LIBRARY " is not libfabric");
	else if (FI_VERSION_LT(lib.version(), FI_VERSION(FI_MAJOR_VERSION, FI_MINOR_VERSION)))
		snprintf(lib.reason, sizeof(lib.reason), LIBRARY " is %u.%u, libnmt was built with %u.%u",
			 FI_MAJOR(lib.version()), FI_MINOR(lib.version()), FI_MAJOR_VERSION,
			 FI_MINOR_VERSION);
}

const char *nmti_ofi_missing(void)
{
	static pthread_once_t loaded = PTHREAD_ONCE_INIT;

	pthread_once(&loaded, once);
	return lib.reason[0] ? lib.reason : NULL;
}

int nmti_ofi_getinfo(const struct fi_info *hints, struct fi_info **list)
{
	return lib.getinfo(OFI_API, NULL, NULL, 0, hints, list);
}

void nmti_ofi_freeinfo(struct fi_info *info)
{
	lib.freeinfo(info);
}

struct fi_info *nmti_ofi_dupinfo(const struct fi_info *info)
{
	return lib.dupinfo(info);
}

int nmti_ofi_fabric(struct fi_fabric_attr *attr, struct fid_fabric **fabric, void *context)
{
	return lib.fabric(attr, fabric, context);
}

const char *nmti_ofi_strerror(int err)
{
	return lib.strerror(err);
}
