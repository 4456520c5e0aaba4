/* SipHash-2-4: see keyed_hash.h. */
#include "policy/proxy/keyed_hash.h"

#include <endian.h>
#include <errno.h>
#include <string.h>
#include <sys/random.h>

int keyed_hash_init(struct keyed_hash *hash)
{
	ssize_t got;

	do {
		got = getrandom(hash->key, sizeof(hash->key), 0);
	} while (got < 0 && errno == EINTR);
	/* getrandom(2): up to 256 bytes come whole once the pool is initialised. */
	return got < 0 ? -errno : 0;
}

static uint64_t rotate(uint64_t x, unsigned bits)
{
	return x << bits | x >> (64 - bits);
}

static void rounds(uint64_t v[4], int n)
{
	while (n-- > 0) {
		v[0] += v[1];
		v[2] += v[3];
		v[1] = rotate(v[1], 13) ^ v[0];
		v[3] = rotate(v[3], 16) ^ v[2];
		v[0] = rotate(v[0], 32);
		v[2] += v[1];
		v[0] += v[3];
		v[1] = rotate(v[1], 17) ^ v[2];
		v[3] = rotate(v[3], 21) ^ v[0];
		v[2] = rotate(v[2], 32);
	}
}

static void absorb(uint64_t v[4], uint64_t word)
{
	v[3] ^= word;
	rounds(v, 2);
	v[0] ^= word;
}

uint64_t keyed_hash(const struct keyed_hash *hash, const void *bytes, size_t length)
{
	const unsigned char *at = bytes;
	uint64_t k0 = hash->key[0], k1 = hash->key[1];
	/* "somepseudorandomlygeneratedbytes", the constants of the paper */
	uint64_t v[4] = { k0 ^ 0x736f6d6570736575u, k1 ^ 0x646f72616e646f6du, k0 ^ 0x6c7967656e657261u,
			  k1 ^ 0x7465646279746573u };
	uint64_t word;
	size_t left = length;

	for (; left >= sizeof(word); at += sizeof(word), left -= sizeof(word)) {
		memcpy(&word, at, sizeof(word));
		absorb(v, le64toh(word));
	}
	word = (uint64_t)(length & 0xff) << 56;
	for (size_t i = 0; i < left; i++)
		word |= (uint64_t)at[i] << (8 * i);
	absorb(v, word);
	v[2] ^= 0xff;
	rounds(v, 4);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}
