/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Getting a connected stream: connect, or listen and accept.
 */
#ifndef CAT_LINK_H
#define CAT_LINK_H

#include "loop.h"
#include "options.h"

/*
 * Connect and wait until the stream is open. 0; -EINTR: l->signal; else -errno after a message.
 * Nothing is left behind on failure but events of a dead stream.
 */
int link_connect(struct loop *l, const struct cat_options *o, struct nmt_stream **stream);

/* Listen, tell the user where, write the port file. 0 or -errno after a message. */
int link_listen(struct loop *l, const struct cat_options *o, struct nmt_listener **listener);

/*
 * Wait for a peer that completes its handshake; others are reported and dropped. Results as for
 * link_connect; -ETIMEDOUT: --idle is over.
 */
int link_accept(struct loop *l, const struct cat_options *o, struct nmt_listener *listener,
		struct nmt_stream **stream);

#endif
