#ifndef PROTO_KEY_LISTS_H
#define PROTO_KEY_LISTS_H

#include <jansson.h>
#include <stddef.h>

#include "proto/age.h"
#include "proto/pairing.h"

/* Public keys as JSON: lists of their texts.  The caller's; NULL: memory is out. */
json_t	*pins_json(const struct pin *, size_t n);
json_t	*recipients_json(const struct age_recipient *, size_t n);

#endif
