/* json.h - the decoder, for C callers, and what the two files of core.json share. */
#ifndef EB_JSON_H
#define EB_JSON_H

#include <lua.h>
#include <stdbool.h>
#include <stddef.h>

#define JSON_LIST "core.json.list" /* metatable of lists: an empty one is [] and not {} */
#define JSON_DEPTH 64

/* Push the value of text[0..n), or push a message (what is wrong, at which byte) and return
 * false.  Raises only when out of memory. */
bool json_decode(lua_State *L, const char *text, size_t n);

/* json.encode */
int json_encode(lua_State *L);

#endif
