#include "proto/smtp_dots.h"

#include <string.h>

#define STEP_MAX	3		/* a line's end owed, or a dot and one octet */

/* How many of n octets go out as they are: up to a line's end. */
static size_t
run(const char *p, size_t n)
{
	const char *end = memchr(p, '\r', n);

	if (end != NULL)
		n = (size_t)(end - p);
	end = memchr(p, '\n', n);
	return end != NULL ? (size_t)(end - p) : n;
}

static void
end_line(struct smtp_dots *d, struct buf *out)
{
	buf_add(out, "\r\n", 2);
	d->inside = d->cr = false;
}

size_t
smtp_dots_add(struct smtp_dots *d, const char *p, size_t n, struct buf *out)
{
	size_t used = 0;

	while (used < n && out->max - out->n >= STEP_MAX) {
		size_t k;

		if (d->cr) {
			end_line(d, out);
			used += p[used] == '\n';
		} else if (p[used] == '\r') {
			d->cr = true;
			used++;
		} else if (p[used] == '\n') {
			end_line(d, out);
			used++;
		} else {
			if (!d->inside && p[used] == '.')
				buf_add(out, ".", 1);
			d->inside = true;
			k = n - used < out->max - out->n ? n - used : out->max - out->n;
			k = run(p + used, k);
			buf_add(out, p + used, k);
			used += k;
		}
		if (out->failed)
			return used;
	}
	return used;
}

bool
smtp_dots_end(struct smtp_dots *d, struct buf *out)
{
	if (out->max - out->n < SMTP_DOTS_END)
		return false;
	if (d->inside || d->cr)
		end_line(d, out);
	return buf_add(out, ".\r\n", 3);
}
