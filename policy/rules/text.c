/* Small questions about bytes: see text.h. */
#include "policy/rules/text.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

bool text_is_alnum(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

char text_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

bool text_same_letters(const char *a, const char *b)
{
	while (*a && text_lower(*a) == text_lower(*b)) {
		a++;
		b++;
	}
	return *a == *b;
}

bool text_is_ascii(const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		if ((unsigned char)text[i] >= 0x80)
			return false;
	}
	return true;
}

bool text_is_token(const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		if (!text_is_alnum(text[i]) && (text[i] == '\0' || !strchr("!#$%&'*+-.^_`|~", text[i])))
			return false;
	}
	return length > 0;
}

int text_hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = text_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

size_t text_utf8(const char *text, size_t length, uint32_t *ret_code)
{
	static const uint32_t smallest[] = { 0, 0, 0x80, 0x800, 0x10000 };
	unsigned char first;
	uint32_t code;
	size_t size;

	if (length == 0)
		return 0;
	first = (unsigned char)text[0];
	if (first < 0x80) {
		*ret_code = first;
		return 1;
	}
	size = (first & 0xe0) == 0xc0 ? 2 : (first & 0xf0) == 0xe0 ? 3 : (first & 0xf8) == 0xf0 ? 4 : 0;
	if (size == 0 || size > length)
		return 0;
	code = first & (0x7fu >> size);
	for (size_t i = 1; i < size; i++) {
		if (((unsigned char)text[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | ((unsigned char)text[i] & 0x3f);
	}
	if (code < smallest[size] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
		return 0;
	*ret_code = code;
	return size;
}

const char *text_show(const char *text, size_t length, char ret[TEXT_SHOWN_MAX])
{
	size_t used = 0;

	for (size_t i = 0; i < length;) {
		uint32_t code;
		size_t size = text_utf8(text + i, length - i, &code);

		if (used + sizeof("\\xHH...") > TEXT_SHOWN_MAX) {
			strcpy(ret + used, "...");
			return ret;
		}
		if (size == 0 || code < 0x20 || (code >= 0x7f && code < 0xa0)) {
			used += (size_t)snprintf(ret + used, TEXT_SHOWN_MAX - used, "\\x%02x", (unsigned char)text[i]);
			i++;
			continue;
		}
		memcpy(ret + used, text + i, size);
		used += size;
		i += size;
	}
	ret[used] = '\0';
	return ret;
}

int text_parse_port(const char *text, size_t length, uint16_t *ret)
{
	unsigned int value = 0;

	if (length == 0 || length > 5 || text[0] == '0')
		return -EINVAL;
	for (size_t i = 0; i < length; i++) {
		if (text[i] < '0' || text[i] > '9')
			return -EINVAL;
		value = value * 10 + (unsigned int)(text[i] - '0');
	}
	if (value > UINT16_MAX)
		return -EINVAL;
	*ret = (uint16_t)value;
	return 0;
}
