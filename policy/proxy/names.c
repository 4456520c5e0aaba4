/*
 * Synthetic addresses: see names.h. A name's address is NAMES_NETWORK plus its place in an array, so that the way back
 * is an index (place 0 is the network's own address and marks a free slot); the way there is an open-addressing table
 * of such places under a keyed hash, because the jail chooses the names.
 */
#include "policy/proxy/names.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "policy/proxy/keyed_hash.h"
#include "shared/addresses.h"
#include "shared/cleanup.h"

#define TABLE_MIN 64u

struct names {
	struct keyed_hash hash;
	char **by_place; /* [1..count] are in use */
	size_t capacity; /* of by_place */
	size_t count;
	uint16_t *table;   /* places; 0 is free */
	size_t table_size; /* a power of two, at most 2/3 full */
};

int names_new(struct names **ret)
{
	struct names *names = calloc(1, sizeof(*names));

	if (!names)
		return -ENOMEM;
	names->table_size = TABLE_MIN;
	names->capacity = TABLE_MIN;
	names->table = calloc(names->table_size, sizeof(*names->table));
	names->by_place = calloc(names->capacity, sizeof(*names->by_place));
	if (!names->table || !names->by_place || keyed_hash_init(&names->hash) < 0) {
		names_free(names);
		return -ENOMEM;
	}
	*ret = names;
	return 0;
}

void names_free(struct names *names)
{
	if (!names)
		return;
	for (size_t place = 1; place <= names->count; place++)
		free(names->by_place[place]);
	free(names->by_place);
	free(names->table);
	free(names);
}

/* The slot that holds `host`, or the free one where it belongs. */
static size_t find_slot(const struct names *names, const char *host)
{
	size_t slot = keyed_hash(&names->hash, host, strlen(host)) & (names->table_size - 1);

	while (names->table[slot] != 0 && strcmp(names->by_place[names->table[slot]], host) != 0)
		slot = (slot + 1) & (names->table_size - 1);
	return slot;
}

static int grow_table(struct names *names)
{
	_cleanup_free_ uint16_t *old = NULL;
	uint16_t *table;

	if ((names->count + 1) * 3 <= names->table_size * 2)
		return 0;
	table = calloc(names->table_size * 2, sizeof(*table));
	if (!table)
		return -ENOMEM;
	old = names->table;
	names->table = table;
	names->table_size *= 2;
	for (size_t place = 1; place <= names->count; place++)
		names->table[find_slot(names, names->by_place[place])] = (uint16_t)place;
	return 0;
}

static int grow_places(struct names *names)
{
	char **grown;

	if (names->count + 1 < names->capacity)
		return 0;
	grown = reallocarray(names->by_place, names->capacity * 2, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	names->by_place = grown;
	names->capacity *= 2;
	return 0;
}

int names_assign(struct names *names, const char *host, uint32_t *ret_address)
{
	size_t slot = find_slot(names, host);
	char *copy;
	int r;

	if (names->table[slot] != 0) {
		*ret_address = NAMES_NETWORK + names->table[slot];
		return 0;
	}
	if (names->count == NAMES_MAX)
		return -ENOSPC;
	r = grow_table(names);
	if (r == 0)
		r = grow_places(names);
	if (r < 0)
		return r;
	copy = strdup(host);
	if (!copy)
		return -ENOMEM;
	slot = find_slot(names, host);
	names->by_place[++names->count] = copy;
	names->table[slot] = (uint16_t)names->count;
	*ret_address = NAMES_NETWORK + (uint32_t)names->count;
	return 0;
}

bool names_are_used_up(const struct names *names)
{
	return names->count == NAMES_MAX;
}

const char *names_find(const struct names *names, uint32_t address)
{
	uint32_t place = address & ~NAMES_MASK;

	if ((address & NAMES_MASK) != NAMES_NETWORK || place == 0 || place > names->count)
		return NULL;
	return names->by_place[place];
}
