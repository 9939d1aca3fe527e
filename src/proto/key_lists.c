#include "proto/key_lists.h"

static json_t *
add(json_t *list, const char *text)
{
	if (json_array_append_new(list, json_string(text)) == 0)
		return list;
	json_decref(list);
	return NULL;
}

json_t *
pins_json(const struct pin *pins, size_t n)
{
	json_t *list = json_array();
	char text[PIN_TEXT_MAX];

	for (size_t i = 0; i < n && list != NULL; i++) {
		pin_print(&pins[i], text);
		list = add(list, text);
	}
	return list;
}

json_t *
recipients_json(const struct age_recipient *recipients, size_t n)
{
	json_t *list = json_array();
	char text[AGE_TEXT_MAX];

	for (size_t i = 0; i < n && list != NULL; i++) {
		age_recipient_print(&recipients[i], text);
		list = add(list, text);
	}
	return list;
}
