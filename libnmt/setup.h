/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Shared by the files that set streams up: connect.c listener.c greet.c bootstrap.c rendezvous.c ctl.c
 * rejoin.c.
 */
#ifndef NMTI_SETUP_H
#define NMTI_SETUP_H

#include "bootwire.h"
#include "internal.h"

/*
 * Messages as they arrive on a socket. The owner gives the buffer; what is behind a message stays
 * in it.
 */
struct nmti_inbox {
	uint8_t *buf;
	uint32_t cap, have;
	bool magic; /* the opener was read, or none is due */
	bool hup;   /* an end was reported: read until it is found, no edge will come */
};

/*
 * Read on; EVENTS are what epoll reported. > 0: a whole message of that length is at the start of
 * buf (drop it with nmti_inbox_next); -EAGAIN; -ECONNRESET: the peer is gone; -EMSGSIZE: longer
 * than the buffer; -EPROTO and the codec's errors.
 */
int nmti_inbox_read(struct nmti_inbox *in, int fd, uint32_t events);
void nmti_inbox_next(struct nmti_inbox *in, int len);

/* Send a whole small message on a fresh socket, FLAGS as send(2): 0 or a negative errno. */
int nmti_msg_send(int fd, const void *msg, int len, int flags);

enum nmti_boot_step {
	BOOT_RESOLVE,  /* client: looking up the name */
	BOOT_CONNECT,  /* client: TCP connect */
	BOOT_SELECT,   /* client: waits for SELECT or DECLINE; server: one of them is due */
	BOOT_DATA,     /* client: the data socket connects */
	BOOT_JOINED,   /* client: JOIN is sent, waits for CONFIRM */
	BOOT_JOIN,     /* server: SELECT is sent, waits for JOIN */
	BOOT_PATH,     /* both: the provider brings a path of its own up */
	BOOT_CONFIRM,  /* server: CONFIRM is sent, and the client's word counts */
	BOOT_FAILED,   /* both: CONFIRM said that this path fails, waits for the peer's */
};

/* A stream being set up. Freed when it is open. */
struct nmti_boot {
	struct nmt_stream *s;
	struct nmti_list node;     /* server in BOOT_JOIN: dom->boots */
	enum nmti_boot_step step;
	struct nmti_source src;    /* look-up, then the (control) connection; fd -1: none */
	struct nmti_source data;   /* client: the data socket */
	struct nmti_timer timer;
	struct nmt_stream_attr attr;
	char *strings;             /* of attr */
	char name[NMTI_HOST_MAX + 8]; /* whom to connect to, for messages */
	struct nmti_lookup *lookup;
	struct nmti_addr addr[NMTI_ADDRS_MAX];
	int naddr, at;
	int last_error;
	struct nmt_pdomain *pd;
	uint8_t token[16];
	uint64_t features;
	uint16_t rails;            /* agreed on */
	uint16_t port;             /* client: the server's rendezvous port */
	uint8_t peer_mode;         /* enum nmt_recv_mode of the peer */
	bool server;
	bool up, peer_up;          /* the path is up here; CONFIRM(0) of the peer has come */
	bool lost;                 /* it was up, and CONFIRM(0) cannot be taken back */
	struct nmti_inbox in;

	/* One offer after the other, until a path comes up. */
	uint8_t next;              /* offers before it were tried, or passed over */
	uint16_t failed_why;       /* enum nmt_reason, of the last path that failed; 0: none did */
	int failed;                /* and the error */
	int early;                 /* server: of this path, before attach returned */
	char failed_what[64];
	uint32_t memory;           /* s->memory before the path */
	struct nmti_timer share;   /* what this path may take of the time */
	struct nmti_timer drop;    /* takes a failed path down, outside of its provider's calls */

	/* Large, and written before they are read. */
	struct nmti_hello hello;
	uint8_t inbuf[NMTI_MSG_MAX];
};

struct nmti_boot *nmti_boot_new(struct nmt_stream *s, const struct nmt_stream_attr *attr);
/* The set-up failed: log WHAT, tell the peer WHY if it can be told, fail the stream. */
void nmti_boot_fail(struct nmti_boot *b, int err, enum nmt_reason why, const char *what);
/* The path that is being brought up failed: the next offer gets its turn, or the set-up fails. */
void nmti_path_failed(struct nmti_boot *b, int err, const char *what);
/* Take the path of an offer down, with all that belongs to it. Not inside of its provider. */
void nmti_path_drop(struct nmti_boot *b);
/* Close the descriptor of a source, if there is one. */
void nmti_source_close(struct nmt_domain *dom, struct nmti_source *src);
/* Client: the control connection is up. */
void nmti_boot_client(struct nmti_boot *b);
/* Server: FD said HELLO. Takes FD over. */
int nmti_boot_server(struct nmt_stream *s, const struct nmt_stream_attr *attr, int fd,
		     const struct nmti_hello *hello);
/* The data socket for a stream in BOOT_JOIN came. Takes FD over. */
void nmti_boot_join(struct nmti_boot *b, int fd);
/* Which offer of HELLO, from *INDEX on, suits a stream with ATTR in DOM; a reason when none does. */
enum nmt_reason nmti_choose(struct nmt_domain *dom, const struct nmt_stream_attr *attr,
			    const struct nmti_hello *hello, uint8_t *index);
/* What a stream with ATTR offers and requires. */
uint64_t nmti_features(const struct nmt_stream_attr *attr);
void nmti_decline(int fd, enum nmt_reason why);

/* Opener and JOIN of rail 0 on a fresh connection: 0 or a negative errno. */
int nmti_join_send(int fd, const uint8_t *session, const uint8_t *token, uint16_t kind);
/* Takes the same time whether and where they differ. */
bool nmti_same_secret(const uint8_t *a, const uint8_t *b, size_t len);

/* How the control channel of a stream without data sockets comes back. */
struct nmti_rejoin {
	struct nmt_stream *s;
	struct nmti_list node;     /* server: dom->rejoins, which a JOIN may name */
	struct nmti_source src;    /* client: the connection that is to be it; fd -1: none */
	struct nmti_timer retry;   /* client: the next try, or the end of this connect */
	struct nmti_timer limit;   /* the time to come back in */
	int64_t until;             /* when the recovery time is over */
	struct nmt_stream_attr attr;
	char *strings;             /* of attr */
	struct sockaddr_storage addr; /* client: the server's rendezvous port */
	socklen_t len;
	char local[NMT_ADDR_MAX], peer[NMT_ADDR_MAX]; /* of the first channel */
	uint8_t session[16], token[16];
	bool server;
	bool away;                 /* the channel is lost and not back */
	bool closed;               /* by an end or a reset, so the network was there */
	bool hurried;              /* the path is lost as well: less time */
	bool joined, late;         /* client: JOIN is sent; and the time is over */
	uint8_t refusals, silences, tries;
	uint16_t said_len;
	uint8_t said[NMTI_MSG_HDR_LEN + 32 + NMTI_BLOB_MAX]; /* the last RESUME, to be said again */
	struct nmti_inbox in;
	uint8_t buf[NMTI_MSG_HDR_LEN + 64]; /* CONFIRM */
};

/* FD is the first channel. NULL: no memory. */
struct nmti_rejoin *nmti_rejoin_new(struct nmti_boot *b, int fd);
void nmti_rejoin_free(struct nmti_rejoin *r);
/* The channel broke (CLOSED: by an end or a reset of the peer's kernel): get it back, or wait for it. */
void nmti_rejoin_start(struct nmti_rejoin *r, bool closed);
/* The provider says MSG of the path: kept, if it has to be said again on the next channel. */
void nmti_rejoin_path(struct nmti_rejoin *r, const void *msg, int len);
/* The stream that JOIN names, or NULL. */
struct nmti_rejoin *nmti_rejoin_find(struct nmt_domain *dom, const struct nmti_join *m);
/* Server: FD showed its token. Takes FD over. */
void nmti_rejoin_take(struct nmti_rejoin *r, int fd);
/* The channel is back, on FD, where BYTES came already; or it is gone for good, for which ERR and WHAT. */
void nmti_ctl_back(struct nmt_stream *s, int fd, const void *bytes, size_t len);
void nmti_ctl_gone(struct nmt_stream *s, int err, const char *what);

/*
 * The rendezvous port of the domain (opened now if need be), or a negative errno. Connections to
 * it that stay silent for PATIENCE are dropped.
 */
int nmti_rdv_port(struct nmt_domain *dom, int64_t patience);

/* A connection that a negotiated or either listener has taken and not handed out yet. */
struct nmti_greet {
	struct nmti_list node;
	struct nmt_listener *l;
	struct nmti_source src;
	struct nmti_timer timer;
	bool raw;                  /* not a libnmt client */
	struct nmti_inbox in;
	struct nmti_hello hello;
	uint8_t inbuf[NMTI_MAGIC_LEN + NMTI_MSG_MAX];
};

void nmti_greets_drop(struct nmt_listener *l);  /* all of them, queued ones too */
void nmti_greet_accept(struct nmt_listener *l); /* take connections from the kernel */
void nmti_greet_free(struct nmti_greet *g);     /* closes its socket unless that is -1 */
int nmti_accept_error(struct nmt_listener *l, int err);

#endif
