#ifndef KIT_TUNNEL_ENDS_H
#define KIT_TUNNEL_ENDS_H

/*
 * Two ends on the kit's loop over loopback TCP, as in the tunnel: home dials (TLS
 * client, HTTP server), the edge is dialled (TLS server, HTTP client).
 */
#include "kit/loop.h"
#include "kit/net_keys.h"
#include "net/h2.h"
#include "net/tls.h"

struct h2_end {
	struct h2	*h2;		/* NULL once closed */
	bool		 ready;
	unsigned	 closed;	/* how often */
	char		 why[512];
	bool		 refuse_secured;
	char		 alpn[32];
	/* what the serving side does with a request */
	void		(*serve)(struct h2_end *, struct h2_stream *, const struct h2_head *, bool);
	unsigned	 requests, open, streams_closed;
	size_t		 octets;	/* received by all streams */
};

/* One stream as its owner sees it. */
struct stream {
	struct h2_end	*end;
	struct h2_stream *s;
	unsigned	 status;
	size_t		 to_send, sent, got, taken;
	bool		 ended, stall, echo;
	unsigned	 closed;
	bool		 well;
	char		 text[256];
	size_t		 text_n;
	char		 out[256];	/* to be pulled */
	size_t		 out_n;
	bool		 out_eof;
};

extern struct tunnel_ends {
	struct h2_end	 home, edge;
	SSL_CTX		*home_ctx, *edge_ctx;
	int		 fds[2];	/* of home and of the edge */
	struct net_key	 home_key, edge_key;
	struct pin	 home_pin, edge_pin;
} tunnel;

extern struct stream *served[];		/* as home's requests came; freed by serve_free */
extern unsigned nserved;

extern const struct h2_ops tunnel_ops;
extern const struct h2_stream_ops stream_ops;

int	tunnel_setup(void **state);
int	tunnel_teardown(void **state);
void	tunnel_start(unsigned ping_ms);
/* For one end, which believes in the other's pin and speaks the protocol with it. */
SSL_CTX	*tunnel_ctx(const struct net_key *, bool server, const char *protocol, struct pin *peer);

/* What the asking side does. */
bool	stream_put(struct stream *, struct h2_end *, const char *path, size_t body);
void	stream_say(struct stream *, const char *text, bool eof);
ssize_t	stream_pull_text(void *arg, void *out, size_t max, bool *eof);

/* What the serving side does: takes a stream, and one way to answer, 201 when it has all. */
void	stream_own(struct stream *, struct h2_end *, struct h2_stream *);
void	serve_put(struct h2_end *, struct h2_stream *, const struct h2_head *, bool has_body);
void	serve_free(void);

#endif
