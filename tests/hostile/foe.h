/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The attacker's side of the hostile-peer tests: plain sockets that speak as much of docs/wire.md
 * as an attack needs, and then something else. It knows nothing of libnmt but the codec.
 */
#ifndef HOSTILE_FOE_H
#define HOSTILE_FOE_H

#include "bootwire.h"
#include "rig.h"

struct foe {
	const char *provider; /* "tcp", or as whatever it speaks */
	int listener; /* as a server */
	uint16_t port;
	int ctl, data; /* -1: not open */
	struct nmti_hello hello;   /* sent or received */
	struct nmti_select select; /* received or sent */
	uint8_t buf[2 * NMTI_MSG_MAX]; /* from the control connection */
	size_t have;
	uint8_t msg[NMTI_MSG_MAX]; /* the message that foe_next() gave */
	size_t msg_len;
	uint8_t seed;  /* of the bytes that it sends */
	uint64_t sent; /* stream bytes */
	struct side victim; /* libnmt's end of the stream that it attacks */
};

/* What foe_next() can say besides an enum nmti_msg_type. */
#define FOE_END 0        /* the victim closed or reset the connection */
#define FOE_SILENCE (-1) /* nothing in time */
#define FOE_BAD (-2)     /* bytes that are no message */

void foe_init(struct foe *f);
/* Close its sockets; orderly for TCP. */
void foe_close(struct foe *f);
void foe_shut(int *fd);  /* close one, if open */
void foe_reset(int *fd); /* the same with RST */

/* A connection to 127.0.0.1:PORT. */
int foe_dial(struct rig *r, uint16_t port);
uint16_t foe_port(const char *addr);
/* All of it has to fit into the socket's buffer. A victim that closed already is no error. */
void foe_send(int fd, const void *buf, size_t len);

/* Opener and message as bytes. */
size_t foe_hello_bytes(const struct foe *f, uint8_t *buf, size_t cap);
size_t foe_join_bytes(const struct foe *f, uint8_t *buf, size_t cap);

/* Next message on the control connection. */
int foe_next(struct rig *r, struct foe *f, int ms);
/* Wait until FD ends, reading and dropping; whether it did. */
bool foe_ends(struct rig *r, int fd, int ms);
/* Wait for the end of the control connection. Reason of a DECLINE before it, or -1. */
int foe_declined(struct rig *r, struct foe *f, int ms);

/* As a client: steps of the ladder. Each is what a good client does, and asserts the answer. */
void foe_hello(struct rig *r, struct foe *f);  /* up to SELECT */
void foe_join(struct rig *r, struct foe *f);   /* up to the server's CONFIRM */
void foe_confirm(struct rig *r, struct foe *f); /* open */
void foe_open_client(struct rig *r, struct foe *f); /* all three */

/* As a server. */
void foe_listen(struct foe *f);
int foe_accept(struct rig *r, struct foe *f); /* the next connection */
void foe_take_hello(struct rig *r, struct foe *f); /* and make the SELECT that fits it */
void foe_called(struct rig *r, struct foe *f); /* nmt_connect, up to the HELLO */
void foe_select(struct rig *r, struct foe *f); /* up to the JOIN */
void foe_open_server(struct rig *r, struct foe *f);
/* The SELECT that a good server would send. */
void foe_good_select(struct foe *f);
/* Wait for the data connection with its JOIN. */
void foe_take_join(struct rig *r, struct foe *f);

void foe_expect_confirm(struct rig *r, struct foe *f);
void foe_send_confirm(struct foe *f, uint16_t status);
void foe_send_fin(struct foe *f, uint64_t offset, uint64_t records);
void foe_send_abort(struct foe *f, uint16_t reason);
/* LEN bytes of the stream: bare, or as one run with a header if records are on. */
void foe_send_stream(struct foe *f, size_t len, bool eor);
/* A stream that is open, with some bytes arrived at the victim. */
void foe_warm_up(struct rig *r, struct foe *f);
/* The victim has received all that was sent, and then an orderly end. */
void foe_expect_end(struct rig *r, struct foe *f);

#endif
