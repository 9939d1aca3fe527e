#include "store/control_answer.h"

/* A spool that is full seldom holds its quota to the octet: what comes next does not fit. */
#define FULL_PERCENT	99
#define NEARLY_PERCENT	80	/* somebody should look before mail is refused */

enum used
answer_used(uint64_t octets, uint64_t quota, int *percent)
{
	double part = quota > 0 ? (double)octets / (double)quota * 100 : 100;

	*percent = part < 100 ? (int)part : 100;
	return part >= FULL_PERCENT ? USED_UP : part >= NEARLY_PERCENT ? USED_NEARLY : USED_LITTLE;
}

const char *
answer_room(enum conf_role role, uint64_t room, uint64_t octets, uint64_t quota)
{
	bool edge = role == CONF_EDGE;
	int percent;

	if (room == 0)
		return edge ?
		    "mail is refused: the disk has less than hold.reserve free. Free room on the "
		    "disk of the state directory, or lower hold.reserve" :
		    "no mail is taken from edges: the disk has less than hold.reserve free. Free "
		    "room on the disk of the state directory, or lower hold.reserve";
	if (answer_used(octets, quota, &percent) == USED_UP)
		return edge ?
		    "mail is refused: hold.quota is used up. Let home fetch what is held, or raise "
		    "hold.quota" :
		    "no mail is taken from edges: hold.quota is used up. See posthouse queue for "
		    "what waits, or raise hold.quota";
	return NULL;
}
