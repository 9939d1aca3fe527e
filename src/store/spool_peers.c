/*
 * Who is known of the writer's peers.  It says `gone` to those who listen at that moment;
 * what a pairing lost while there was no writer is told by nobody, so that the next one's
 * list is compared: a peer that it does not name is unpaired, and whoever would go on
 * knowing it would go on letting it in.
 */
#include <stdlib.h>
#include <string.h>

#include "store/spool_in.h"

/* Where it is, or where it would be. */
static struct spool_known **
find(struct spool *s, const char *name)
{
	struct spool_known **at = &s->known;

	while (*at != NULL && strcmp((*at)->name, name) != 0)
		at = &(*at)->next;
	return at;
}

static void
drop(struct spool_known **at)
{
	struct spool_known *k = *at;

	*at = k->next;
	free(k);
}

void
spool_peers_anew(struct spool *s)
{
	for (struct spool_known *k = s->known; k != NULL; k = k->next)
		k->named = false;
}

void
spool_peer_named(struct spool *s, const char *name)
{
	struct spool_known **at = find(s, name);

	if (*at == NULL) {
		if ((*at = calloc(1, sizeof(**at))) == NULL)
			abort();
		span_copy(span_str(name), (*at)->name, sizeof((*at)->name));
	}
	(*at)->named = true;
}

void
spool_peer_forget(struct spool *s, const char *name)
{
	struct spool_known **at = find(s, name);

	if (*at != NULL)
		drop(at);
}

bool
spool_peer_unnamed(struct spool *s, char name[SPOOL_PEER_NAME])
{
	struct spool_known **at = &s->known;

	while (*at != NULL && (*at)->named)
		at = &(*at)->next;
	if (*at == NULL)
		return false;
	memcpy(name, (*at)->name, SPOOL_PEER_NAME);
	drop(at);
	return true;
}

void
spool_peers_free(struct spool *s)
{
	while (s->known != NULL)
		drop(&s->known);
}
