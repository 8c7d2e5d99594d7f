/* json.h - the decoder, for C callers. */
#ifndef EB_JSON_H
#define EB_JSON_H

#include <lua.h>
#include <stdbool.h>
#include <stddef.h>

/* Push the value of text[0..n), or push a message (what is wrong, at which byte) and return
 * false.  Raises only when out of memory. */
bool json_decode(lua_State *L, const char *text, size_t n);

#endif
