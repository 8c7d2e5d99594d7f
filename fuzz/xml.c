/* xml.c - fuzzes core.xml.  What it accepts, libxml2 reads again into a tree, of which the tables
 * must hold what the shape names and nothing else.  A byte behind the document, or one missing
 * from it, and it is refused; a refusal is one line of ASCII with a byte that is there.
 */
#include "fuzz.h"
#include "loop.h"

#include <libxml/parser.h>
#include <libxml/tree.h>
#include <string.h>

static const char shape[] =
    "return { a = { b = true, c = { { d = true, c = { true } } }, a = { a = { { a = true } } } },"
    " b = true, ErrorResponse = { Error = { Code = true, Message = true } },"
    " DescribeInstancesResponse = { nextToken = true,"
    " reservationSet = { item = { { instancesSet = { item = { { instanceId = true } } } } } } } }";

static lua_State *L;

/* Push the two or more results of xml.decode, return the index of the first. */
static int decode(const char *text, size_t n)
{
	int at = lua_gettop(L) + 1;

	lua_getglobal(L, "xml");
	lua_getfield(L, -1, "decode");
	lua_remove(L, -2);
	lua_pushlstring(L, text, n);
	lua_getglobal(L, "shape");
	fuzz_call(L, 2);
	return at;
}

static bool accepts(const char *text, size_t n)
{
	int at = decode(text, n);
	bool ok = lua_istable(L, at);

	lua_settop(L, at - 1);
	return ok;
}

static void check_refusal(int at, size_t n)
{
	static const char start[] = "bad XML at byte ";
	const char *message = lua_tostring(L, at + 1);

	MUST(lua_gettop(L) == at + 2 && lua_isnil(L, at));
	MUST(strcmp(lua_tostring(L, at + 2), "parse") == 0);
	MUST(strncmp(message, start, strlen(start)) == 0);
	unsigned long long byte = strtoull(message + strlen(start), NULL, 10);
	MUST(byte >= 1 && byte <= n + 1);
	for (const char *p = message; *p; p++)
		MUST(*p >= ' ' && *p <= '~');
}

static void check(int wanted, int value, xmlNode *node);

/* The field of that name against the children of the node; what is wanted of it is on top. */
static void check_field(const char *name, int value, xmlNode *node)
{
	int wanted = lua_gettop(L);
	bool list = lua_istable(L, wanted) && lua_geti(L, wanted, 1) != LUA_TNIL;
	lua_Integer count = 0;

	lua_getfield(L, value, name);
	int field = lua_gettop(L);
	MUST(!list || lua_istable(L, field));
	for (xmlNode *child = node->children; child; child = child->next) {
		if (child->type != XML_ELEMENT_NODE || strcmp((const char *)child->name, name) != 0)
			continue;
		count++;
		if (list)
			lua_geti(L, field, count);
		check(list ? wanted + 1 : wanted, lua_gettop(L), child);
	}
	MUST(list ? luaL_len(L, field) == count : count == !lua_isnil(L, field));
	lua_settop(L, wanted);
}

static void check(int wanted, int value, xmlNode *node)
{
	int top = lua_gettop(L), fields = 0;
	size_t n;

	luaL_checkstack(L, 20, NULL);
	if (lua_isboolean(L, wanted)) {
		MUST(lua_type(L, value) == LUA_TSTRING);
		const char *text = lua_tolstring(L, value, &n);
		xmlChar *content = xmlNodeGetContent(node);
		MUST(content && n == strlen((char *)content) && memcmp(content, text, n) == 0);
		xmlFree(content);
		return;
	}
	MUST(lua_istable(L, value));
	for (lua_pushnil(L); lua_next(L, wanted); lua_settop(L, top + 1)) {
		check_field(lua_tostring(L, top + 1), value, node);
		fields += lua_getfield(L, value, lua_tostring(L, top + 1)) != LUA_TNIL;
	}
	for (lua_pushnil(L); lua_next(L, value); lua_pop(L, 1))
		fields--;
	MUST(fields == 0);
}

/* Whether only comments, instructions and space stand there. */
static bool is_rest(const char *text, size_t n)
{
	lua_pushliteral(L, "<b/>");
	lua_pushlstring(L, text, n);
	lua_concat(L, 2);
	const char *whole = lua_tolstring(L, -1, &n);
	bool ok = accepts(whole, n);
	lua_pop(L, 1);
	return ok;
}

static void check_value(int at, const char *text, size_t n)
{
	int options =
	    XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING | XML_PARSE_IGNORE_ENC;
	xmlDoc *doc = xmlReadMemory(text, (int)n, NULL, NULL, options);

	MUST(doc);
	lua_getglobal(L, "shape");
	check(lua_gettop(L), at, (xmlNode *)doc);
	xmlFreeDoc(doc);
	lua_pushlstring(L, text, n);
	lua_pushliteral(L, "x");
	lua_concat(L, 2);
	MUST(!accepts(lua_tostring(L, -1), n + 1));
	for (size_t cut = 1; cut < n; cut = cut * 2 + 1)
		MUST(!accepts(text, n - cut) || is_rest(text + n - cut, cut));
}

static void check_escape(const char *text, size_t n)
{
	lua_settop(L, 0);
	lua_pushliteral(L, "<b>");
	lua_getglobal(L, "xml");
	lua_getfield(L, 2, "escape");
	lua_remove(L, 2);
	lua_pushlstring(L, text, n);
	if (lua_pcall(L, 1, 1, 0) != LUA_OK)
		return;
	lua_pushliteral(L, "</b>");
	lua_concat(L, 3);
	size_t m;
	const char *whole = lua_tolstring(L, 1, &m);
	int at = decode(whole, m);
	MUST(lua_istable(L, at) && lua_getfield(L, at, "b") == LUA_TSTRING);
	lua_pushlstring(L, text, n);
	MUST(lua_rawequal(L, -1, -2));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const char *text = n ? (const char *)data : "";

	L = fuzz_state();
	luaL_requiref(L, "xml", luaopen_core_xml, 1);
	MUST(luaL_dostring(L, shape) == LUA_OK);
	lua_setglobal(L, "shape");
	int at = decode(text, n);
	if (lua_istable(L, at))
		check_value(at, text, n);
	else
		check_refusal(at, n);
	check_escape(text, n);
	fuzz_state(); /* what is left over now is a leak, and is searched for, which takes long */
	return 0;
}
