#ifndef STORE_DB_VFS_H
#define STORE_DB_VFS_H

/*
 * A VFS for SQLite that stands before another: writes to a database or its log that follow
 * one another are gathered, and reach the file together.  SQLite writes each page of its log
 * in two pieces; a commit of ten messages is fifty system calls without this, and two with it.
 *
 * What is gathered is written before a sync, before anything that would see the file without
 * it, and when DB_GATHER octets are together.  A write that fails is therefore told by one of
 * the calls after it, at the latest by the sync, and tried again by the next.  So it is only for
 * who believes nothing before a sync, and shows nothing to other connections: WAL with
 * synchronous=FULL does neither.
 */
#define DB_GATHER	(64u << 10)	/* a file's, taken with its first write */

/*
 * Registers it before the VFS of that name (NULL: the default) for databases opened from now
 * on, and gives its own name; NULL: there is no such VFS.  Of one thread at a time.
 */
const char *db_vfs(const char *below);

#endif
