/* SPDX-License-Identifier: BSD-2-Clause */
/* Version, and errors and reasons in words. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <nmt/nmt.h>

#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)

uint32_t nmt_version(void)
{
	return NMT_VERSION;
}

const char *nmt_version_string(void)
{
	return TEXT(NMT_VERSION_MAJOR) "." TEXT(NMT_VERSION_MINOR) "." TEXT(NMT_VERSION_PATCH);
}

/* Only where libnmt has more to say than strerror(3). */
static const struct {
	int err;
	const char *text;
} meanings[] = {
	{ EAGAIN, "not now: an event will tell when to try again" },
	{ EBUSY, "still in use: receives are posted, memory is borrowed or a domain is open" },
	{ ECANCELED, "cancelled by the application" },
	{ ECONNABORTED, "closed by abort, or declined by the peer" },
	{ ECONNRESET, "the peer broke the stream, or it was cut without an orderly end" },
	{ EFAULT, "outside the memory region, or no valid address" },
	{ EINVAL, "invalid argument, or a region or token that is not of this context or stream" },
	{ EMSGSIZE, "record longer than the posted receive (NMT_RECV_WHOLE), or message too large" },
	{ ENOBUFS, "the stream holds its share of the pool: release fragments" },
	{ ENODEV, "no such provider or device (nmt_info lists them)" },
	{ ENOENT, "no such name or entry" },
	{ EOPNOTSUPP, "this provider or mode cannot do that (nmt_info lists capabilities)" },
	{ EPIPE, "this direction of the stream has ended" },
	{ EPROTO, "the peer broke the protocol, or does not speak libnmt" },
	{ EPROTONOSUPPORT, "no protocol version or provider in common with the peer" },
	{ ETIMEDOUT, "timed out" },
};

const char *nmt_strerror(int err)
{
	const char *text;

	err = err == INT32_MIN ? EINVAL : abs(err);
	for (size_t i = 0; i < sizeof(meanings) / sizeof(meanings[0]); i++)
		if (meanings[i].err == err)
			return meanings[i].text;
	text = strerrordesc_np(err);
	return text ? text : "unknown error";
}

const char *nmt_reason_str(enum nmt_reason why)
{
	static const char *const text[] = {
		[NMT_WHY_NONE] = "none",
		[NMT_WHY_VERSION] = "no common protocol version",
		[NMT_WHY_NO_PROVIDER] = "no common provider",
		[NMT_WHY_FEATURE] = "a required feature is missing (records, rails)",
		[NMT_WHY_RECV_MODE] = "the receive modes do not fit together",
		[NMT_WHY_BUSY] = "too many handshakes, or no memory",
		[NMT_WHY_MALFORMED] = "a message broke the protocol",
		[NMT_WHY_TIMEOUT] = "the handshake took too long",
		[NMT_WHY_PATH] = "the path could not be brought up",
		[NMT_WHY_TOKEN] = "unknown or used token",
		[NMT_WHY_SHUTDOWN] = "the listener or its domain is closing",
		[NMT_WHY_NOT_BUILT] = "the provider is not in this build",
		[NMT_WHY_NO_DEVICE] = "no device",
		[NMT_WHY_CLOSED] = "closed in order",
	};

	if ((unsigned int)why >= sizeof(text) / sizeof(text[0]))
		return "unknown reason";
	return text[why];
}
