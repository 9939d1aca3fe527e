#ifndef PROTO_S3_KEYS_H
#define PROTO_S3_KEYS_H

#include "base/span.h"
#include "base/why.h"

/*
 * What a store knows us by.  The text of a credentials file is either two lines, the access
 * key id and the secret, or `name = value` lines as the AWS tools write them:
 * aws_access_key_id, aws_secret_access_key and perhaps aws_session_token, with or without
 * `aws_`, below at most one heading in brackets.  `#` begins a comment line.
 */
#define S3_KEYS_FILE_MAX 8192		/* a session token of Amazon's has up to 4 KB, say */

struct s3_keys {
	char	id[129];
	char	secret[257];
	char	token[4097];		/* "": none */
};

/* -1 with why, which names no octet of the text. */
int	s3_keys_parse(struct span text, struct s3_keys *, struct why *);
void	s3_keys_fini(struct s3_keys *);		/* wipes */

#endif
