#ifndef STORE_MAILDIR_H
#define STORE_MAILDIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"
#include "base/uuid.h"
#include "base/why.h"
#include "store/sys.h"

/*
 * Delivery into maildir/USER/{tmp,new,cur}, exactly once (doc/STORE):
 *
 *	maildir_begin/_write/_end	tmp/NAME is written, CRLF becomes LF
 *	maildir_sync_tmp		tmp/NAMEs and their directories are on disk
 *	(the ledger commits `staged` with NAME)
 *	maildir_publish			rename tmp/NAME -> new/NAME
 *	maildir_sync_new		the directories are on disk
 *	(the ledger commits `delivered`)
 *
 * On recovery a `staged` row whose tmp/NAME is gone was delivered, whatever the
 * reader has done with it since; one whose tmp/NAME is there is published again.
 * It was, for as long as a reader leaves tmp alone: the format has him take away what
 * lies there for 36 hours, and Dovecot and others do.  After MAILDIR_TMP_MS a tmp/NAME
 * that is gone says nothing any more, unless NAME is found in new or cur.
 * A NAME tells the folder that it was staged in by a tag of its path: where
 * deliver.maildir has changed since, that its tmp/NAME is not here says nothing.
 * tmp must be synced before `staged` commits: otherwise a power cut could lose
 * the file and keep the row, and that row would be read as delivered.
 *
 * Syncing is shared: many deliveries are begun, then synced at once (one syncfs
 * from MAILDIR_SYNCFS_FROM of them on, or when directories were made; else
 * fsync of each file and directory).  A mailbox on a file system of its own
 * below the folder is always synced file by file: syncfs would not reach it.
 *
 * A user's name may end in MAILDIR_JUNK: that is his folder Junk, as Maildir++ has it.
 *
 * A directory of the folder that is a symbolic link is refused: whoever owns a
 * mailbox must not lead us elsewhere.  Directories are made 0770 and files 0660, less the
 * process's umask: 007 where home was started with one that leaves the group everything, so
 * that the operator decides whether a group may read; else 077.
 */
#define MAILDIR_NAME_MAX	128
#define MAILDIR_JUNK		"/.Junk"	/* never a mailbox's: its name is one component */
#define MAILDIR_SYNCFS_FROM	16
#define MAILDIR_TMP_MS		(24ll * 3600 * 1000)	/* less than a reader's 36 hours */
#define MAILDIR_DIRS_MAX	64	/* mailboxes that stay open, two descriptors each */

struct maildir;				/* the folder of users, opened */
struct maildir_file;			/* one tmp/NAME being written */

/* path must exist. */
struct maildir *maildir_new(const struct sys *, const char *path, struct why *);
void	maildir_free(struct maildir **);

/*
 * Makes USER/{tmp,new,cur} where they are missing.  name receives the file name,
 * unique by id, delivery part, folder and host: the same delivery tried again after a
 * crash takes the same name, so that a leftover tmp file is replaced.  Two
 * objects must therefore never come with one id: where several edges name
 * objects, the caller mixes the signer in.
 */
struct maildir_file *maildir_begin(struct maildir *, const char *user, struct uuid id,
    unsigned part, char name[MAILDIR_NAME_MAX], struct why *);
/* CRLF becomes LF across any cut. */
int	maildir_write(struct maildir_file *, const void *, size_t, struct why *);
/* The file is whole.  -1: tmp/NAME was removed again; freed either way. */
int	maildir_end(struct maildir_file **, struct why *);
void	maildir_abort(struct maildir_file **);			/* removes tmp/NAME */

/*
 * For everything ended since the last call.  -1: none of it may be called staged,
 * and asking again does not help (the kernel forgets pages it could not write):
 * begin each of those deliveries anew.
 */
int	maildir_sync_tmp(struct maildir *, struct why *);
/* 0 also when tmp/NAME is gone already: it was published before.  Never makes a directory. */
int	maildir_publish(struct maildir *, const char *user, const char *name, struct why *);
/* For everything published since the last success. -1: not known to be durable; ask again. */
int	maildir_sync_new(struct maildir *, struct why *);
/* 1 tmp/NAME is there, 0 gone, -1 cannot tell: a mailbox that is not there tells nothing. */
int	maildir_staged(struct maildir *, const char *user, const char *name, struct why *);
/* 1 NAME is in none of tmp, new and cur, 0 it is in one of them, -1 cannot tell. */
int	maildir_lost(struct maildir *, const char *user, const char *name, struct why *);
/* Whether NAME was made in this folder, by its path: only then maildir_staged's 0 is an answer. */
bool	maildir_ours(const struct maildir *, const char *name);
/* Removes tmp/NAME of a delivery that will not be made. */
int	maildir_unstage(struct maildir *, const char *user, const char *name, struct why *);

#endif
