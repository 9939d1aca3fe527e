#ifndef STORE_WIRE_H
#define STORE_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/span.h"
#include "store/spool.h"

/*
 * What a process and its writer say to each other over a channel (net/chan.h):
 * the frame's type is an enum wire_type, its tag names the question.  Integers
 * are big-endian, texts are a u16 length and so many octets without NUL.
 *
 * To the writer, and to its clients as well, a message is input: a decoder takes
 * all of the body or fails, and every text, count and enumerator is in range
 * afterwards.  Whoever sent one that fails is dropped.
 */
enum wire_type {
	/* client -> writer */
	/* meta, mac[32], text file; u64 size with a file, else the sealed octets */
	WM_PUT = 1,
	WM_ASIDE,		/* text reason, then as WM_PUT */
	WM_LIST,		/* text home (empty: all), i64 after, u32 max */
	WM_GET,			/* i64 row */
	WM_DELETE,		/* i64 row */
	WM_RELEASE,		/* i64 row; not answered */
	WM_FAILED,		/* i64 row, text reason; not answered */
	WM_MARK,		/* text home, mark */
	WM_CLAIM,		/* u32 max */
	WM_NOTE_PART,		/* entries that belong to the WM_NOTE that follows; not answered */
	WM_NOTE,		/* entries of one object */
	WM_WATCH,		/* i64 row */
	WM_VERDICT_OVER,	/* i64 row */
	WM_CONFIRM,		/* text signer, id[16] */
	WM_PAIR_CHECK,		/* text name, token[16] */
	WM_PAIR_FINISH,		/* token[16], peer as JSON */
	WM_PEER_UPDATE,		/* peer as JSON */
	WM_ANSWER,		/* u64 question, JSON: of WE_QUESTION; not answered */
	WM_INTERLOCK,		/* text service, report as JSON; empty: forget it; not answered */
	/* text home, u8 enum spool_said, u8 first, u8 last, a piece of it; not answered; edge */
	WM_SAID,

	/* writer -> client, with the question's tag */
	WA_KEPT = 64,		/* u8 enum kept, i64 row, text why */
	WA_DONE,		/* u8 ok, text why */
	WA_LIST,		/* u8 ok, u32 n, objects */
	WA_CONTENT,		/* u8 ok, text why, then the octets; or a descriptor */
	WA_JOB_PART,		/* entries that belong to the WA_JOB that follows */
	/* object, u8 ok, entries with a u16 count in front, then the octets; or a descriptor */
	WA_JOB,
	WA_JOBS_END,
	WA_OUTCOME,		/* u8 enum outcome, reply */
	WA_MARKED,		/* u8 enum marked, text why */
	WA_PAIRED,		/* text error, peer as JSON if there is none */

	/* writer -> client, unasked; tag 0 */
	WE_HELLO = 128,		/* first of all, but for the limits */
	WE_LIMITS,		/* u64 reserve, u8 share (hold {...}), and after each reload */
	WE_WORK,
	WE_PEER,		/* peer as JSON */
	WE_PEER_GONE,		/* text name */
	WE_PEERS_KNOWN,
	WE_LEDGER,		/* mark */
	WE_PAIRING,		/* u8 */
	WE_ROOM,		/* u64 octets; to an edge's clients */
	WE_INTERLOCK,		/* u64 run: the operator wants the interlock now; home */
	WE_AGAIN,		/* edge: the operator wants what waits to be tried now */
	WE_QUESTION,		/* u64 question, JSON: an operator's, for whom it concerns; home */
	WE_BANS,		/* home: u8 anew, u8 whole, bans to the end */
	WE_SAID,		/* edge: text home, u8 enum spool_said, and a descriptor */
};

/* sealed octets in a message; larger ones are files whatever the threshold says */
#define WIRE_INLINE_MAX	(768u << 10)
/* parts of one object; RFC 5321 asks for 100 recipients, we take 1,000 by default */
#define WIRE_ENTRIES_MAX 4096
#define WIRE_PART	(256u << 10)	/* octets of entries in one message */
/* everything of a message but content, entries, lists and peers */
#define WIRE_HEAD_MAX	4096
#define WIRE_PEER_MAX	(64u << 10)
#define WIRE_LIST_MAX	1000		/* objects in one WA_LIST */
#define WIRE_BAN_LEN	26		/* octets of a ban */
#define WIRE_BANS_MAX	10000		/* in one WE_BANS */
#define WIRE_SAID_PART	(512u << 10)	/* octets of what a home said in one message */
#define WIRE_FILE_LEN	32
#define WIRE_REASON_MAX	256

struct wire_out {
	unsigned char	b[WIRE_HEAD_MAX];
	size_t		n;
	bool		full;		/* a bug of ours: checked by wire_span */
};

void	wire_u8(struct wire_out *, unsigned);
void	wire_u16(struct wire_out *, unsigned);
void	wire_u32(struct wire_out *, uint32_t);
void	wire_u64(struct wire_out *, uint64_t);
void	wire_octets(struct wire_out *, const void *, size_t);
void	wire_text(struct wire_out *, const char *);
void	wire_meta(struct wire_out *, const struct spool_meta *);
void	wire_object(struct wire_out *, const struct spool_object *);
void	wire_entry(struct wire_out *, const struct ledger_entry *);
void	wire_reply(struct wire_out *, const struct smtp_reply *);
void	wire_ban(struct wire_out *, const struct spool_ban *);
void	wire_mark(struct wire_out *, const struct ledger_mark *);
struct span wire_span(const struct wire_out *);

struct wire_in {
	const unsigned char *p;
	size_t		 n;		/* left */
	bool		 bad;		/* stays; what was read since is zero */
};

struct wire_in	wire_in(struct span);
unsigned	wire_get_u8(struct wire_in *);
unsigned	wire_get_u16(struct wire_in *);
uint32_t	wire_get_u32(struct wire_in *);
uint64_t	wire_get_u64(struct wire_in *);
int64_t		wire_get_row(struct wire_in *);		/* 0 or above */
void		wire_get_octets(struct wire_in *, void *, size_t);
/* no NUL, no control octets but \n and tab, fits */
void		wire_get_text(struct wire_in *, char *out, size_t max);
void		wire_get_meta(struct wire_in *, struct spool_meta *);
void		wire_get_object(struct wire_in *, struct spool_object *);
void		wire_get_entry(struct wire_in *, struct ledger_entry *);
void		wire_get_reply(struct wire_in *, struct smtp_reply *);
void		wire_get_ban(struct wire_in *, struct spool_ban *);
void		wire_get_mark(struct wire_in *, struct ledger_mark *);
unsigned	wire_get_enum(struct wire_in *, unsigned most);
struct span	wire_rest(struct wire_in *);		/* all that is left */
bool		wire_done(const struct wire_in *);	/* nothing bad, nothing left */

#endif
