/* json.c - core.json: RFC 8259 and nothing more, straight into Lua values; jsonwrite.c writes
 * them back.
 *
 * Every id must be exact, so an integer that fits 64 bits is a Lua integer and a larger one is
 * its decimal string; what has a fraction or an exponent is a float.  Doubtful text is refused
 * with the byte (counted from 1) where it goes wrong, a repeated key too: readers that each pick
 * a different one of the two are how checks get bypassed.  null is a light userdata, since a nil
 * would vanish from its table.  Decoded arrays carry the metatable of json.list, so that an
 * empty one is written as [] again.
 */
#include "json.h"

#include "loop.h"
#include "utf8.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 1000 /* C recurses once for each level */

struct reader {
	lua_State *L;
	const char *wrong; /* what is wrong at `at` */
	const char *at, *end;
	int depth; /* levels that may still be opened */
};

static bool read_value(struct reader *r);

static bool refuse(struct reader *r, const char *at, const char *wrong)
{
	r->at = at;
	r->wrong = wrong;
	return false;
}

static int peek(const struct reader *r)
{
	return r->at < r->end ? (unsigned char)*r->at : -1;
}

static int skip_space(struct reader *r)
{
	static const char spaces[] = { ' ', '\t', '\n', '\r' };

	while (r->at < r->end && memchr(spaces, *r->at, sizeof spaces))
		r->at++;
	return peek(r);
}

static bool hex4(const char *p, const char *end, uint32_t *value)
{
	static const char digits[] = "0123456789abcdefABCDEF";

	*value = 0;
	if (end - p < 4)
		return false;
	for (int i = 0; i < 4; i++) {
		const char *found = memchr(digits, p[i], sizeof digits - 1);

		if (!found)
			return false;
		uint32_t digit = (uint32_t)(found - digits);
		*value = *value << 4 | (digit < 16 ? digit : digit - 6);
	}
	return true;
}

/* The bytes of the escape at p, whose character goes to *point; 0 when it is bad. */
static size_t read_escape(const char *p, const char *end, uint32_t *point)
{
	static const char letters[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
	uint32_t low;

	if (end - p < 2)
		return 0;
	if (p[1] != 'u') {
		const char *found = memchr(letters, p[1], sizeof letters - 1);

		if (found)
			*point = (uint32_t)values[found - letters];
		return found ? 2 : 0;
	}
	if (!hex4(p + 2, end, point))
		return 0;
	if (*point < 0xd800 || *point > 0xdfff)
		return 6;
	if (*point > 0xdbff || end - p < 12 || p[6] != '\\' || p[7] != 'u' ||
	    !hex4(p + 8, end, &low) || low < 0xdc00 || low > 0xdfff)
		return 0;
	*point = 0x10000 + ((*point - 0xd800) << 10) + (low - 0xdc00);
	return 12;
}

/* Find the closing quote; all before it is checked, so that the copy cannot fail. */
static const char *check_string(struct reader *r, bool *escaped)
{
	const char *p = r->at + 1;
	uint32_t point;

	*escaped = false;
	while (p < r->end && *p != '"') {
		bool escape = *p == '\\';
		size_t left = (size_t)(r->end - p);
		size_t n = escape ? read_escape(p, r->end, &point) : utf8_decode(p, left, &point);

		if ((unsigned char)*p < 0x20)
			return refuse(r, p, "a bare control character"), NULL;
		if (n == 0)
			return refuse(r, p, escape ? "a bad escape" : "invalid UTF-8"), NULL;
		*escaped = *escaped || escape;
		p += n;
	}
	if (p == r->end)
		return refuse(r, p, "the text ends inside a string"), NULL;
	return p;
}

static void push_unescaped(lua_State *L, const char *p, const char *end)
{
	luaL_Buffer b;
	uint32_t point;
	char *out = luaL_buffinitsize(L, &b, (size_t)(end - p));
	size_t n = 0;

	while (p < end) {
		if (*p != '\\') {
			out[n++] = *p++;
			continue;
		}
		p += read_escape(p, end, &point);
		n += utf8_encode(point, out + n);
	}
	luaL_pushresultsize(&b, n);
}

static bool read_string(struct reader *r)
{
	bool escaped;
	const char *first = r->at + 1, *quote = check_string(r, &escaped);

	if (!quote)
		return false;
	if (escaped)
		push_unescaped(r->L, first, quote);
	else
		lua_pushlstring(r->L, first, (size_t)(quote - first));
	r->at = quote + 1;
	return true;
}

static void push_integer(lua_State *L, const char *s, size_t n)
{
	bool negative = *s == '-';
	lua_Unsigned most = (lua_Unsigned)LUA_MAXINTEGER + negative, value = 0;

	for (size_t i = negative; i < n; i++) {
		lua_Unsigned digit = (lua_Unsigned)(s[i] - '0');

		if (value > (most - digit) / 10) {
			lua_pushlstring(L, s, n);
			return;
		}
		value = value * 10 + digit;
	}
	lua_pushinteger(L, (lua_Integer)(negative ? 0 - value : value));
}

/* Skip digits; false when there is none. */
static bool skip_digits(const char **p, const char *end)
{
	const char *first = *p;

	while (*p < end && **p >= '0' && **p <= '9')
		(*p)++;
	return *p > first;
}

static bool read_number(struct reader *r)
{
	const char *p = r->at, *whole = p + (*p == '-');
	bool integer = true;

	p = whole;
	if (!skip_digits(&p, r->end) || (*whole == '0' && p - whole > 1))
		return refuse(r, r->at, "a malformed number");
	if (p < r->end && *p == '.') {
		integer = false;
		p++;
		if (!skip_digits(&p, r->end))
			return refuse(r, r->at, "a malformed number");
	}
	if (p < r->end && (*p == 'e' || *p == 'E')) {
		integer = false;
		p++;
		if (p < r->end && (*p == '+' || *p == '-'))
			p++;
		if (!skip_digits(&p, r->end))
			return refuse(r, r->at, "a malformed number");
	}
	if (integer) {
		push_integer(r->L, r->at, (size_t)(p - r->at));
	} else {
		/* the copy ends in a NUL, as strtod needs it */
		const char *copy = lua_pushlstring(r->L, r->at, (size_t)(p - r->at));
		double value = strtod(copy, NULL);

		lua_pop(r->L, 1);
		if (isinf(value))
			return refuse(r, r->at, "a number too large for a float");
		lua_pushnumber(r->L, value);
	}
	r->at = p;
	return true;
}

static bool read_word(struct reader *r, const char *word)
{
	size_t n = strlen(word);

	if ((size_t)(r->end - r->at) < n || memcmp(r->at, word, n) != 0)
		return refuse(r, r->at, "not a value");
	if (*word == 'n')
		lua_pushlightuserdata(r->L, NULL);
	else
		lua_pushboolean(r->L, *word == 't');
	r->at += n;
	return true;
}

static bool read_list(struct reader *r)
{
	lua_newtable(r->L);
	luaL_setmetatable(r->L, JSON_LIST);
	r->at++;
	if (skip_space(r) == ']') {
		r->at++;
		return true;
	}
	for (lua_Integer i = 1;; i++) {
		if (!read_value(r))
			return false;
		lua_rawseti(r->L, -2, i);
		int c = skip_space(r);
		if (c != ',' && c != ']')
			return refuse(r, r->at, "expected , or ]");
		r->at++;
		if (c == ']')
			return true;
	}
}

static bool read_pair(struct reader *r)
{
	if (skip_space(r) != '"')
		return refuse(r, r->at, "expected a key in quotes");
	const char *key = r->at;
	if (!read_string(r))
		return false;
	lua_pushvalue(r->L, -1);
	if (lua_rawget(r->L, -3) != LUA_TNIL)
		return refuse(r, key, "a key that was there before");
	lua_pop(r->L, 1);
	if (skip_space(r) != ':')
		return refuse(r, r->at, "expected :");
	r->at++;
	if (!read_value(r))
		return false;
	lua_rawset(r->L, -3);
	return true;
}

static bool read_object(struct reader *r)
{
	lua_newtable(r->L);
	r->at++;
	if (skip_space(r) == '}') {
		r->at++;
		return true;
	}
	for (;;) {
		if (!read_pair(r))
			return false;
		int c = skip_space(r);
		if (c != ',' && c != '}')
			return refuse(r, r->at, "expected , or }");
		r->at++;
		if (c == '}')
			return true;
	}
}

static bool read_value(struct reader *r)
{
	int c = skip_space(r);
	bool ok;

	switch (c) {
	case -1:
		return refuse(r, r->at, "the text ends too early");
	case '"':
		return read_string(r);
	case 't':
		return read_word(r, "true");
	case 'f':
		return read_word(r, "false");
	case 'n':
		return read_word(r, "null");
	case '[':
	case '{':
		if (r->depth == 0 || !lua_checkstack(r->L, 8))
			return refuse(r, r->at, "nested too deep");
		r->depth--;
		ok = c == '[' ? read_list(r) : read_object(r);
		r->depth++;
		return ok;
	default:
		if (c == '-' || (c >= '0' && c <= '9'))
			return read_number(r);
		return refuse(r, r->at, "not a value");
	}
}

static bool decode(lua_State *L, const char *text, size_t n, int depth)
{
	struct reader r = { .L = L, .at = text, .end = text + n, .depth = depth };
	int top = lua_gettop(L);

	luaL_checkstack(L, 8, NULL);
	luaL_newmetatable(L, JSON_LIST);
	lua_pop(L, 1);
	if (read_value(&r) && (skip_space(&r) == -1 || refuse(&r, r.at, "text after the value")))
		return true;
	lua_settop(L, top);
	lua_Integer byte = r.at - text + 1;
	lua_pushfstring(L, "bad JSON at byte %I: %s", byte, r.wrong);
	return false;
}

bool json_decode(lua_State *L, const char *text, size_t n)
{
	return decode(L, text, n, JSON_DEPTH);
}

/* json.decode(text, depth = 64) -> value | nil, message, code */
static int json_decode_lua(lua_State *L)
{
	size_t n;
	const char *text = luaL_checklstring(L, 1, &n);
	lua_Integer depth = luaL_optinteger(L, 2, JSON_DEPTH);

	luaL_argcheck(L, depth >= 0 && depth <= DEPTH_MAX, 2, "depth out of range");
	if (decode(L, text, n, (int)depth))
		return 1;
	return fail(L, "parse", "%s", lua_tostring(L, -1));
}

/* json.list(table) -> table */
static int json_list(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TTABLE);
	lua_settop(L, 1);
	luaL_newmetatable(L, JSON_LIST);
	lua_setmetatable(L, 1);
	return 1;
}

int luaopen_core_json(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{ "decode", json_decode_lua },
		{ "encode", json_encode },
		{ "list", json_list },
		{ NULL, NULL },
	};

	luaL_newlib(L, functions);
	lua_pushlightuserdata(L, NULL);
	lua_setfield(L, -2, "null");
	return 1;
}
