/* jsonwrite.c - core.json's other half: Lua values as one line of JSON, keys sorted, so that equal
 * values are equal texts.
 */
#include "json.h"

#include "loop.h"
#include "utf8.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct writer {
	lua_State *L;
	char *s; /* memory of the userdata at index `box` */
	size_t n, size;
	int box, depth;
};

struct key {
	const char *s; /* borrowed from the table */
	size_t n;
};

static void write_value(struct writer *w);

static void put(struct writer *w, const char *s, size_t n)
{
	if (w->size - w->n < n) {
		size_t size = (w->n + n) * 2;
		char *larger = lua_newuserdatauv(w->L, size, 0);

		memcpy(larger, w->s, w->n);
		lua_replace(w->L, w->box);
		w->s = larger;
		w->size = size;
	}
	memcpy(w->s + w->n, s, n);
	w->n += n;
}

static void write_string(struct writer *w, const char *s, size_t n)
{
	static const char plain[] = "\"\\\b\f\n\r\t", letters[] = "\"\\bfnrt";
	char escape[8];
	uint32_t point = 0;

	put(w, "\"", 1);
	for (size_t step; n > 0; s += step, n -= step) {
		const char *found = memchr(plain, *s, sizeof plain - 1);

		step = utf8_decode(s, n, &point);
		if (step == 0)
			luaL_error(w->L, "json.encode: a string that is not UTF-8");
		if (found)
			put(w, escape, (size_t)sprintf(escape, "\\%c", letters[found - plain]));
		else if (point < 0x20 || point == 0x7f)
			put(w, escape, (size_t)sprintf(escape, "\\u%04x", (unsigned)point & 0xff));
		else
			put(w, s, step);
	}
	put(w, "\"", 1);
}

static void write_number(struct writer *w)
{
	char text[40];
	double value = lua_tonumber(w->L, -1);
	int n = 0;

	if (lua_isinteger(w->L, -1)) {
		n = snprintf(text, sizeof text, LUA_INTEGER_FMT, lua_tointeger(w->L, -1));
		put(w, text, (size_t)n);
		return;
	}
	if (!isfinite(value))
		luaL_error(w->L, "json.encode: a number that is not finite");
	for (int digits = 15; digits <= 17; digits++) {
		n = snprintf(text, sizeof text, "%.*g", digits, value);
		if (strtod(text, NULL) == value)
			break;
	}
	put(w, text, (size_t)n);
	if (!strpbrk(text, ".e")) /* a float stays one when it is read again */
		put(w, ".0", 2);
}

static void write_list(struct writer *w, lua_Integer n)
{
	put(w, "[", 1);
	for (lua_Integer i = 1; i <= n; i++) {
		if (i > 1)
			put(w, ",", 1);
		lua_rawgeti(w->L, -1, i);
		write_value(w);
		lua_pop(w->L, 1);
	}
	put(w, "]", 1);
}

static int compare_keys(const void *a, const void *b)
{
	const struct key *x = a, *y = b;
	int order = memcmp(x->s, y->s, x->n < y->n ? x->n : y->n);

	return order ? order : (x->n > y->n) - (x->n < y->n);
}

static void write_object(struct writer *w, size_t n)
{
	struct key *keys = lua_newuserdatauv(w->L, n * sizeof *keys, 0);
	size_t filled = 0;

	lua_pushnil(w->L);
	while (lua_next(w->L, -3)) {
		if (lua_type(w->L, -2) != LUA_TSTRING)
			luaL_error(
			    w->L, "json.encode: a key that is a %s", luaL_typename(w->L, -2));
		keys[filled].s = lua_tolstring(w->L, -2, &keys[filled].n);
		filled++;
		lua_pop(w->L, 1);
	}
	qsort(keys, n, sizeof *keys, compare_keys);
	put(w, "{", 1);
	for (size_t i = 0; i < n; i++) {
		if (i > 0)
			put(w, ",", 1);
		write_string(w, keys[i].s, keys[i].n);
		put(w, ":", 1);
		lua_pushlstring(w->L, keys[i].s, keys[i].n);
		lua_rawget(w->L, -3);
		write_value(w);
		lua_pop(w->L, 1);
	}
	put(w, "}", 1);
	lua_pop(w->L, 1);
}

static void write_table(struct writer *w)
{
	lua_State *L = w->L;
	lua_Unsigned n = lua_rawlen(L, -1), keys = 0;
	bool marked = false;

	if (w->depth-- == 0)
		luaL_error(L, "json.encode: nested too deep, or a table within itself");
	luaL_checkstack(L, 8, NULL);
	if (lua_getmetatable(L, -1)) {
		marked = luaL_getmetatable(L, JSON_LIST) == LUA_TTABLE && lua_rawequal(L, -1, -2);
		lua_pop(L, 2);
	}
	for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1))
		keys++;
	if (!marked && n == 0)
		write_object(w, (size_t)keys);
	else if (keys == n)
		write_list(w, (lua_Integer)n);
	else
		luaL_error(L, "json.encode: a list with holes or with other keys");
	w->depth++;
}

/* Write the value on top of the stack and leave it there. */
static void write_value(struct writer *w)
{
	size_t n;
	const char *s;

	switch (lua_type(w->L, -1)) {
	case LUA_TBOOLEAN:
		s = lua_toboolean(w->L, -1) ? "true" : "false";
		put(w, s, strlen(s));
		return;
	case LUA_TNUMBER:
		write_number(w);
		return;
	case LUA_TSTRING:
		s = lua_tolstring(w->L, -1, &n);
		write_string(w, s, n);
		return;
	case LUA_TTABLE:
		write_table(w);
		return;
	case LUA_TLIGHTUSERDATA:
		if (!lua_touserdata(w->L, -1)) {
			put(w, "null", 4);
			return;
		}
	}
	luaL_error(w->L, "json.encode: a %s", luaL_typename(w->L, -1));
}

/* json.encode(value) -> string */
int json_encode(lua_State *L)
{
	struct writer w = { .L = L, .size = 256, .box = 1, .depth = JSON_DEPTH };

	luaL_checkany(L, 1);
	lua_settop(L, 1);
	w.s = lua_newuserdatauv(L, w.size, 0);
	lua_insert(L, w.box);
	write_value(&w);
	lua_pushlstring(L, w.s, w.n);
	return 1;
}
