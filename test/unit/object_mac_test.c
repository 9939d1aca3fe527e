#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/codec.h"
#include "proto/object_mac.h"

static const unsigned char key_octets[SECRET_LEN] = {
	0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,
	16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31,
};

static struct uuid
some_id(void)
{
	struct uuid id;

	assert_true(uuid_parse(SPAN_LIT("0193e4a0-0000-7000-8000-000000000001"), &id));
	return id;
}

/* The figure is from Python's hmac and hashlib. */
static void
known_answer(void **state)
{
	struct object_mac *m = object_mac_new();
	struct secret key;
	unsigned char mac[OBJECT_MAC_LEN];
	char hex[2 * OBJECT_MAC_LEN + 1];

	secret_set(&key, key_octets);
	object_mac_add(m, "sealed ", 7);
	object_mac_add(m, "bytes", 5);
	assert_true(object_mac_end(m, &key, some_id(), mac));
	hex_encode(mac, sizeof(mac), hex);
	assert_string_equal(hex,
	    "302bd7b3d7332bf9dc48447920ba30dc2d5f735583bcf107acf48af5f5ca6635");
	object_mac_free(&m);
	assert_null(m);
}

static void
either_of_two_keys_will_do(void **state)
{
	struct object_mac *m = object_mac_new();
	struct secret keys[3] = { 0 };
	struct uuid id = some_id(), another = id;
	unsigned char mac[OBJECT_MAC_LEN], again[OBJECT_MAC_LEN];

	secret_set(&keys[0], key_octets);
	secret_set(&keys[1], key_octets);
	keys[1].b[0] = 99;
	assert_true(object_mac_end(m, &keys[1], id, mac));
	assert_true(object_mac_end(m, &keys[1], id, again));
	assert_memory_equal(mac, again, sizeof(mac));
	assert_true(object_mac_check(m, keys, 2, id, mac));
	assert_false(object_mac_check(m, keys, 1, id, mac));
	assert_false(object_mac_check(m, keys, 0, id, mac));
	another.b[15] ^= 1;
	assert_false(object_mac_check(m, keys, 2, another, mac));
	/* A key that was never set proves nothing, not even by its zeroes. */
	assert_false(object_mac_end(m, &keys[2], id, mac));
	assert_false(object_mac_check(m, &keys[2], 1, id, mac));
	object_mac_free(&m);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_answer),
		cmocka_unit_test(either_of_two_keys_will_do),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
