#ifndef CTL_FINDING_H
#define CTL_FINDING_H

/*
 * One thing that was looked at, and what came of it: told as it is found, by what looks to
 * whoever shows it (`bucket check`, `doctor`).
 */
enum finding_state {
	FINDING_OK = 0,
	FINDING_WARN,		/* it works, and somebody should know; or it could not be seen */
	FINDING_FAIL,		/* something has to be mended */
};

struct finding {		/* borrowed during the call; a stranger's octets may be in it */
	enum finding_state state;
	const char	*check;		/* what was looked at: "tls.key", "write" */
	const char	*text;		/* what is so */
	const char	*advice;	/* what to do; "": nothing, or the text says it */
};

struct findings {		/* whoever is told */
	void	(*tell)(void *arg, const struct finding *);
	void	(*wait)(void *arg);	/* twice a second, while others are waited for */
	void	*arg;
};

void	finding_tell(const struct findings *, enum finding_state, const char *check,
	    const char *advice, const char *format, ...) __attribute__((format(printf, 5, 6)));
/*
 * Words that say what to do behind the first mark, ": " say: the advice is what follows it.
 * Without one it is `otherwise`.
 */
void	finding_tell_words(const struct findings *, enum finding_state, const char *check,
	    const char *words, const char *mark, const char *otherwise);

#endif
