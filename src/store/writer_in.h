#ifndef STORE_WRITER_IN_H
#define STORE_WRITER_IN_H

#include <uv.h>

#include "net/chan.h"
#include "store/control.h"
#include "store/db.h"
#include "store/peers.h"
#include "store/wire.h"
#include "store/writer.h"

/* Shared by writer*.c alone. */

struct client;

/* What a client is told once the batch is durable; on failure `failed` goes out instead. */
struct answer {
	struct answer	*next;
	struct client	*client;	/* NULL: it went away meanwhile */
	uint64_t	 tag;
	enum wire_type	 type;		/* of the answer: how a failure of the batch is said */
	struct buf	 body;
	/* Reads wait for the commit as well, so that nothing is seen that might be undone. */
	void		(*read)(struct client *, struct answer *);
	int64_t		 row;
	unsigned	 max;
	char		 home[PAIRING_NAME_MAX + 1];
};

/* A row in a client's hands. */
struct held_row {
	struct held_row	*next;
	int64_t		 row;
	uint64_t	 tag;		/* of a watch */
};

#define ROW_BUCKETS 256
struct row_set {
	struct held_row	*bucket[ROW_BUCKETS];
	size_t		 n;
};

struct client {
	struct client	*next;
	struct writer	*w;
	struct chan	*chan;
	struct row_set	 hidden;	/* edge: their verdicts are open */
	struct row_set	 claimed;	/* home: given to this courier */
	struct row_set	 watched;	/* home: whose outcome it waits for */
	struct ledger_entry *parts;	/* of WM_NOTE_PART */
	size_t		 nparts;
};

struct writer {
	uv_loop_t	*loop;
	struct writer_conf conf;
	struct db	*db;
	struct peers	*peers;
	struct control	*control;
	struct client	*clients;
	struct answer	*answers, **answers_end;	/* the batch */
	uv_check_t	 check;		/* after all that came in this turn: commit */
	uv_timer_t	 tick;		/* housekeeping, once a second */
	uv_timer_t	 due;		/* home: the next deferred row */
	struct held_row	*settled;	/* rows whose watchers are told after the commit */
	struct ledger_mark told;	/* the mark that clients know */
	bool		 work;		/* tell everyone after the commit */
	bool		 busy;		/* something came since the last tick */
	bool		 failing;	/* said already */
};

/* Adds an answer to the batch.  NULL when memory is out: the client is dropped, as it can never be told. */
struct answer *writer_answer(struct client *, uint64_t tag, enum wire_type);
void	writer_answer_kept(struct client *, uint64_t tag, enum kept, int64_t row, const struct why *);
void	writer_answer_done(struct client *, uint64_t tag, bool ok, const struct why *);
void	writer_answer_outcome(struct client *, uint64_t tag, enum outcome, const struct smtp_reply *);
void	writer_send_head(struct client *, enum wire_type, uint64_t tag, const struct wire_out *, struct span tail, int fd);
/* A change failed: all of this batch is undone, and each of its owners told so. */
void	writer_undo(struct writer *, const struct why *);
void	writer_settled(struct writer *, int64_t row);
/* A message from a client. False: it is malformed, drop the client. */
bool	writer_question(struct client *, const struct chan_msg *);

bool	rows_add(struct row_set *, int64_t row, uint64_t tag);
bool	rows_has(const struct row_set *, int64_t row);
bool	rows_take(struct row_set *, int64_t row, uint64_t *tag);	/* removes one */
void	rows_clear(struct row_set *);

#endif
