/*
 * libFuzzer entry for helper/config.c: the first octet says what kind of file helper.conf is, the rest is in it. What
 * is accepted must be what a second reading, by the letter of helper/README.md, accepts, with the same meaning.
 */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "helper/config.h"
#include "shared/cleanup.h"
#include "tests/fuzz/fake_kernel.h"
#include "tests/fuzz/fuzz.h"

#define FILE_MAX_OCTETS 8191

void fake_received(void)
{
}

void fake_answering(__attribute__((unused)) const struct msghdr *message)
{
}

/* A part of a line. */
struct span {
	const char *at;
	size_t length;
};

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static struct span trim(struct span s)
{
	while (s.length > 0 && is_blank(s.at[0])) {
		s.at++;
		s.length--;
	}
	while (s.length > 0 && is_blank(s.at[s.length - 1]))
		s.length--;
	return s;
}

static bool is(struct span s, const char *word)
{
	return s.length == strlen(word) && memcmp(s.at, word, s.length) == 0;
}

static bool read_number(struct span s, uint64_t min, uint64_t max, uint32_t *ret)
{
	uint64_t value = 0;

	for (size_t i = 0; i < s.length; i++) {
		if (!isdigit((unsigned char)s.at[i]))
			return false;
		value = value * 10 + (uint64_t)(s.at[i] - '0');
		if (value > UINT32_MAX)
			return false;
	}
	*ret = (uint32_t)value;
	return s.length > 0 && value >= min && value <= max;
}

static bool overlaps(uint32_t first, uint32_t last, uint32_t network, unsigned int length)
{
	return first <= (network | UINT32_MAX >> length) && last >= network;
}

static bool read_pool(struct span s, struct config *c)
{
	const char *slash = memchr(s.at, '/', s.length);
	char text[INET_ADDRSTRLEN] = "";
	struct in_addr address;
	uint32_t bits, last;

	if (!slash || (size_t)(slash - s.at) >= sizeof(text))
		return false;
	memcpy(text, s.at, (size_t)(slash - s.at));
	if (inet_pton(AF_INET, text, &address) != 1 ||
	    !read_number((struct span){ slash + 1, s.length - (size_t)(slash + 1 - s.at) }, 15, 30, &bits))
		return false;
	c->pool = ntohl(address.s_addr);
	c->indexes = 1u << (32 - bits) >> 1;
	last = c->pool | UINT32_MAX >> bits;
	return (c->pool & UINT32_MAX >> bits) == 0 && !overlaps(c->pool, last, 0, 8) &&
	       !overlaps(c->pool, last, 0x7f000000, 8) && !overlaps(c->pool, last, 0xe0000000, 3) &&
	       !overlaps(c->pool, last, NAMES_NETWORK, 16);
}

static bool read_group(struct span s, struct config *c)
{
	static const struct {
		const char *name;
		gid_t number;
	} groups[] = { { "root", 0 }, { "staff", 50 }, { "others", 60 } };

	c->restricted = true;
	for (size_t i = 0; i < 3; i++) {
		if (is(s, groups[i].name)) {
			c->group = groups[i].number;
			return true;
		}
	}
	return read_number(s, 0, UINT32_MAX - 1, &c->group);
}

/* True if the line is nothing or a setting that was not there before. */
static bool read_line(struct span line, struct config *c, bool seen[4])
{
	const char *hash = memchr(line.at, '#', line.length), *equals;
	struct span key, value;
	int setting;

	for (size_t i = 0; i < line.length; i++) {
		if ((unsigned char)line.at[i] < ' ' && line.at[i] != '\t')
			return false;
	}
	if (hash)
		line.length = (size_t)(hash - line.at);
	if (trim(line).length == 0)
		return true;
	equals = memchr(line.at, '=', line.length);
	if (!equals)
		return false;
	key = trim((struct span){ line.at, (size_t)(equals - line.at) });
	value = trim((struct span){ equals + 1, line.length - (size_t)(equals + 1 - line.at) });
	setting = is(key, "pool")               ? 0
		  : is(key, "sessions-per-uid") ? 1
		  : is(key, "sessions-total")   ? 2
		  : is(key, "allowed-group")    ? 3
						: -1;
	if (setting < 0 || seen[setting] || value.length == 0 || value.length > 63)
		return false;
	seen[setting] = true;
	if (setting == 0)
		return read_pool(value, c);
	if (setting == 3)
		return read_group(value, c);
	return read_number(value, 1, CABLE_INDEX_MAX, setting == 1 ? &c->per_user : &c->in_total);
}

/* The second reading. Returns the number of the bad line, or 0. */
static uint32_t read_again(const char *text, size_t length, struct config *c)
{
	bool seen[4] = { false };
	uint32_t n = 0;

	*c = (struct config){ .pool = CABLE_NETWORK, .indexes = CABLE_INDEX_COUNT, .per_user = 64, .in_total = 1000 };
	for (const char *at = text, *end = text + length; at < end;) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));
		struct span line = { at, (size_t)((newline ? newline : end) - at) };

		n++;
		if (!read_line(line, c, seen))
			return n;
		at += line.length + 1;
	}
	return 0;
}

static void check_same(const struct config *a, const struct config *b)
{
	require(a->pool == b->pool && a->indexes == b->indexes && a->indexes <= CABLE_INDEX_MAX);
	require(a->per_user == b->per_user && a->in_total == b->in_total);
	require(a->restricted == b->restricted && (!a->restricted || a->group == b->group));
}

static void check_permits(const struct config *c)
{
	bool member = c->group == 1000 || c->group == 50 || c->group == 100;

	require(config_permits(c, 0));
	require(config_permits(c, 1000) == (!c->restricted || member));
}

/* What is in the file: the input, behind so many empty lines that it has all octets it may have, or one more. */
static void fill(const uint8_t *data, size_t size, unsigned int kind)
{
	size_t padding = kind < 0xf0 ? 0 : FILE_MAX_OCTETS + (kind & 1) - size;

	memset(fake.config, '\n', padding);
	memcpy(fake.config + padding, data, size);
	fake.config_length = padding + size;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const mode_t modes[] = { S_IFREG | 0644, S_IFREG | 0664, S_IFREG | 0646, S_IFDIR | 0755,
					S_IFIFO | 0644 };
	struct helper_failed failed = { 0 };
	struct config config, again;
	uint32_t bad;
	bool trusted;
	int r;

	if (size < 1 || size > FILE_MAX_OCTETS)
		return 0;
	fake_reset();
	fake.has_config = true;
	fake.config_owner = data[0] & 1 && data[0] < 0xf0;
	fake.config_mode = modes[data[0] < 0xf0 ? data[0] / 2 % array_size(modes) : 0];
	fill(data + 1, size - 1, data[0]);
	trusted = fake.config_owner == 0 && fake.config_mode == modes[0];

	fake.active = true;
	r = config_read(HELPER_CONFIG_PATH, &config, &failed);
	bad = trusted ? read_again((const char *)fake.config, fake.config_length, &again) : read_again("", 0, &again);
	if (trusted && fake.config_length > FILE_MAX_OCTETS) {
		require(r == -EFBIG && failed.failure == HELPER_FAILURE_CONFIG_FILE);
	} else if (bad > 0) {
		require(r == -EINVAL && failed.failure == HELPER_FAILURE_CONFIG_LINE && failed.detail == bad);
	} else {
		require(r == 0 && failed.detail == 0 && config.ignored == !trusted);
		check_same(&config, &again);
		check_permits(&config);
	}
	fake.active = false;
	return 0;
}
