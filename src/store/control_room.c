#include "store/control_answer.h"

/* A spool that is full seldom holds its quota to the octet: what comes next does not fit. */
#define FULL_PERCENT	99

const char *
answer_room(enum conf_role role, uint64_t room, uint64_t octets, uint64_t quota)
{
	bool edge = role == CONF_EDGE;

	if (room == 0)
		return edge ?
		    "mail is refused: the disk has less than hold.reserve free. Free room on the "
		    "disk of the state directory, or lower hold.reserve" :
		    "no mail is taken from edges: the disk has less than hold.reserve free. Free "
		    "room on the disk of the state directory, or lower hold.reserve";
	if ((double)octets * 100 >= (double)quota * FULL_PERCENT)
		return edge ?
		    "mail is refused: hold.quota is used up. Let home fetch what is held, or raise "
		    "hold.quota" :
		    "no mail is taken from edges: hold.quota is used up. See posthouse queue for "
		    "what waits, or raise hold.quota";
	return NULL;
}
