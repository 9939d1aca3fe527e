#ifndef HOME_FETCH_H
#define HOME_FETCH_H

#include "home/drain.h"
#include "home/listing.h"
#include "net/s3.h"

/*
 * One object's way home out of a bucket: its octets go into the spool as they come and are not
 * opened; its MAC is judged under the keys of the edge that it names; and only when the spool
 * has it durably, or had it before by whatever road, it is deleted there.
 *
 * The key of the ledger is (signer, id), as it is by the tunnel: what came twice is one
 * message.  Nothing that the spool does not have is ever deleted.
 *
 * What is deleted is what was taken: by If-Match, where the store knows it, so that an object that
 * was put there meanwhile stays for the next look.  One that refuses conditions, or the very ETag
 * that it names, is asked without.
 *
 * A message of the older pipeline (home/old_mail.h) is sealed here on its way.  Its name says
 * nothing of its recipient, so that another may have been put over it meanwhile: its metadata
 * is looked at again before it is deleted.
 */
#define FETCH_KEY_MAX	(S3_KEY_MAX + 1)

enum fetched {
	FETCH_TAKEN = 0,	/* durable here, and gone there */
	FETCH_LEFT,		/* durable here, and still there: answer says why */
	FETCH_GONE,		/* somebody else had it first, or another is there now */
	FETCH_ASIDE,		/* no mail of ours, or not for this home: words say why */
	FETCH_FAILED,		/* answer says why; another time */
	FETCH_UNKEPT,		/* home has no room or no writer: words; another time */
};

struct fetch_end {
	enum fetched	 what;
	bool		 before;	/* of TAKEN and LEFT: it had come home already */
	bool		 no_conditions;	/* it went without If-Match alone: spare the question */
	char		 signer[256];	/* "" not known */
	struct s3_answer answer;
	struct why	 words;
};

struct fetch;
/* Exactly once, from the loop, never from inside a call made here; then the fetch is gone. */
typedef void fetch_fn(void *arg, const struct listed *, const struct fetch_end *);

struct fetch_from {
	struct drain_proc *drain;
	struct s3	*s3;
	const char	*prefix;	/* "pending/"; lives as long as the fetch */
	/* Where it is copied before it is deleted there; NULL: it is not. */
	const char	*processed;
	const char	*old;		/* the worker that LISTED_OLD is signed by; NULL: none */
	bool		 no_conditions;	/* as a fetch before it found */
};

/*
 * taken: it is durable here already, and only to be deleted: by its name, size and time, as listed,
 * for the ETag that it had is not remembered.  NULL with why.
 */
struct fetch *fetch_new(const struct fetch_from *, const struct listed *, bool taken, fetch_fn *,
    void *arg, struct why *);

#endif
