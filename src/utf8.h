/* utf8.h - one character of strict UTF-8: no overlong forms, no surrogates, nothing above
 * U+10FFFF.  Two rooms need it (json.c, log.c) and neither may know the other. */
#ifndef EB_UTF8_H
#define EB_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* The bytes of the character at s[0..n), which goes to *point; 0 when it is not valid. */
static inline size_t utf8_decode(const char *s, size_t n, uint32_t *point)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	unsigned char c = n ? (unsigned char)*s : 0xff;
	size_t length = c < 0x80 ? 1 : 2u + (c >= 0xe0) + (c >= 0xf0);
	uint32_t value = c;

	if ((c >= 0x80 && c < 0xc0) || c >= 0xf8 || length > n)
		return 0;
	if (length > 1)
		value &= 0x7fu >> length;
	for (size_t i = 1; i < length; i++) {
		c = (unsigned char)s[i];
		if ((c & 0xc0) != 0x80)
			return 0;
		value = value << 6 | (c & 0x3fu);
	}
	if (value < least[length] || value > 0x10ffff || (value >= 0xd800 && value < 0xe000))
		return 0;
	*point = value;
	return length;
}

/* Write a valid code point, return how many bytes. */
static inline size_t utf8_encode(uint32_t point, char out[4])
{
	static const unsigned char lead[] = { 0, 0, 0xc0, 0xe0, 0xf0 };
	size_t length = point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;

	for (size_t i = length; i-- > 1; point >>= 6)
		out[i] = (char)(0x80 | (point & 0x3f));
	out[0] = (char)(lead[length] | point);
	return length;
}

#endif
