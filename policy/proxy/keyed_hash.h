/*
 * A keyed hash of byte strings that hostile peers choose: SipHash-2-4 (Aumasson and Bernstein, INDOCRYPT 2012). Without
 * the key, which is random in each process, nobody can prepare strings that collide in a table.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct keyed_hash {
	uint64_t key[2];
};

/* Fills *hash with a fresh random key. Returns 0 or -errno of getrandom(2). */
int keyed_hash_init(struct keyed_hash *hash);

/* The hash of bytes[0..length). */
uint64_t keyed_hash(const struct keyed_hash *hash, const void *bytes, size_t length);
