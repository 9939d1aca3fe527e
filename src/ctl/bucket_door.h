#ifndef CTL_BUCKET_DOOR_H
#define CTL_BUCKET_DOOR_H

#include <uv.h>

#include "base/buf.h"
#include "conf/conf.h"
#include "ctl/names.h"
#include "net/s3.h"

/*
 * A bucket of a configuration, for a command that asks one thing after another: on a loop of its
 * own, with the credentials of the file and no running edge or home.
 */
struct bucket_door {
	const struct conf_bucket *conf;
	uv_loop_t	 loop;
	struct names	 names;
	struct http	*http;
	struct s3	*s3;
	struct buf	 authorities;
	int64_t		 skew_ms;	/* this clock less the store's, where it minded; or 0 */
	struct s3_answer answer;	/* the last */
	bool		 answered, begun;
	void		*of;		/* the asker's, for its callbacks */
};

/* -1 with why: to be closed all the same. */
int	bucket_door_open(struct bucket_door *, const struct conf_common *,
	    const struct conf_bucket *, struct why *);
void	bucket_door_close(struct bucket_door *);

/* Begins the call, with the door as arg and bucket_door_done among its ops. */
typedef struct s3_call *bucket_ask_fn(struct bucket_door *, struct why *);
void	bucket_door_done(void *door, const struct s3_answer *);
/* Waits for its end; asks once more if the store minds our clock. */
enum s3_end bucket_ask(struct bucket_door *, bucket_ask_fn *);

#endif
