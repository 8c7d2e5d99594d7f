/* xml.c - core.xml: libxml2 reads, and a shape says what of it becomes Lua values.
 *
 * libxml2's callbacks only write down which named elements they met; tables are made from that
 * once the whole document was read and found well-formed.  So half a document never becomes half
 * an answer, and Lua, which leaves by a jump when memory ends, never runs within libxml2's frames.
 * The names of the shape are interned in the parser's own dictionary: to find an element is to
 * compare a few pointers, and what the shape does not name costs no more than that.
 *
 * Answers of services need no DTD, so a DOCTYPE is an error, and with it go all entities but the
 * five.  The text is UTF-8, whatever it says of itself: no converter is ever loaded for it.
 *
 * libxml2 is loaded with this module and not with the program: with what it brings along it costs
 * 2 ms and 2 MB, and most runs never meet XML.
 */
#include "loop.h"
#include "utf8.h"

#include <dlfcn.h>
#include <libxml/parser.h>
#include <libxml/parserInternals.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define READER "core.xml.reader"
#define DEPTH 64
#define FIELDS 64 /* names that one element of a shape may have: bits of `seen` */

#if LIBXML_VERSION < 21400
#define LIBRARY "libxml2.so.2"
#else
#define LIBRARY "libxml2.so.16"
#endif

#define FUNCTIONS(each)                                                                            \
	each(xmlByteConsumed) each(xmlCreateMemoryParserCtxt) each(xmlCtxtUseOptions)              \
	    each(xmlDictLookup) each(xmlFreeDoc) each(xmlFreeParserCtxt) each(xmlParseDocument)    \
		each(xmlStopParser)
#define MEMBER(name) __typeof__(name) *(name);
#define ENTRY(name) { #name, &libxml.name },

static struct {
	void *loaded;
	FUNCTIONS(MEMBER)
} libxml;

struct node { /* of a shape */
	const xmlChar *name;
	int key; /* index of the name on the stack */
	bool list, text;
	size_t n;
	struct node *fields; /* of an element */
};

struct record { /* a named element of the document; its fields follow it */
	const struct node *node;
	size_t at;  /* text: its first byte; element: how many fields there are */
	size_t end; /* text: after its last byte; element: after its last record */
};

struct frame { /* an open element */
	const struct node *node;
	size_t record;
	uint64_t seen;
};

struct reader {
	xmlParserCtxt *parser;
	struct record *records;
	size_t filled, room;
	char *text;
	size_t text_filled, text_room;
	struct frame frames[DEPTH + 1]; /* the first is around the root */
	size_t depth, unnamed; /* open elements; those within one that the shape does not name */
	bool starved;
	char wrong[200]; /* what is, first */
	long byte;
};

static void load(lua_State *L)
{
	const struct {
		const char *name;
		void *to;
	} entries[] = { FUNCTIONS(ENTRY) };

	if (libxml.loaded)
		return;
	void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
	if (!library)
		luaL_error(L, "XML needs libxml2, which cannot be loaded: %s", dlerror());
	for (size_t i = 0; i < sizeof entries / sizeof *entries; i++) {
		void *function = dlsym(library, entries[i].name);

		if (!function)
			luaL_error(L, "libxml2 has no %s", entries[i].name);
		memcpy(entries[i].to, &function, sizeof function);
	}
	libxml.loaded = library;
}

static int reader_gc(lua_State *L)
{
	struct reader *r = luaL_checkudata(L, 1, READER);

	if (r->parser) {
		libxml.xmlFreeDoc(r->parser->myDoc);
		libxml.xmlFreeParserCtxt(r->parser);
	}
	free(r->records);
	free(r->text);
	*r = (struct reader){ 0 };
	return 0;
}

/* The document. */

/* Keep the first fault, as one line of ASCII whatever the document has, and read no further. */
static void refuse(struct reader *r, const char *format, const void *name)
{
	if (*r->wrong)
		return;
	snprintf(r->wrong, sizeof r->wrong, format, name);
	r->wrong[strcspn(r->wrong, "\n")] = '\0';
	for (char *p = r->wrong; *p; p++)
		if (*p < ' ' || *p > '~')
			*p = '?';
	r->byte = libxml.xmlByteConsumed(r->parser);
	libxml.xmlStopParser(r->parser);
}

/* Make room for n things, of which there are `*room` already; NULL when out of memory. */
static void *larger(struct reader *r, void *list, size_t n, size_t *room, size_t size)
{
	size_t more = 2 * n + 256;

	if (n <= *room)
		return list;
	void *new = realloc(list, more * size);
	if (new)
		*room = more;
	r->starved = r->starved || !new;
	return new;
}

static const struct node *find(const struct node *node, const xmlChar *name)
{
	for (size_t i = 0; i < node->n; i++)
		if (node->fields[i].name == name)
			return &node->fields[i];
	return NULL;
}

/* Write down that an element begins. */
static void begin(struct reader *r, const struct node *node)
{
	struct frame *above = &r->frames[r->depth];
	uint64_t bit = (uint64_t)1 << (node - above->node->fields);

	if (above->seen & bit && !node->list) {
		refuse(r, "a second <%s>", node->name);
		return;
	}
	above->seen |= bit;
	struct record *records = larger(r, r->records, r->filled + 1, &r->room, sizeof *r->records);
	if (!records) {
		refuse(r, "out of memory%s", "");
		return;
	}
	r->records = records;
	records[r->filled] = (struct record){ .node = node, .at = r->text_filled };
	r->frames[++r->depth] = (struct frame){ .node = node, .record = r->filled++ };
}

static void element_began(void *user, const xmlChar *name, const xmlChar *prefix,
    const xmlChar *uri, int namespaces, const xmlChar **namespace, int attributes, int defaulted,
    const xmlChar **attribute)
{
	struct reader *r = user;
	const struct node *within = r->frames[r->depth].node;

	(void)prefix, (void)uri, (void)namespaces, (void)namespace;
	(void)attributes, (void)defaulted, (void)attribute;
	if (r->depth + r->unnamed == DEPTH) {
		refuse(r, "nested too deep%s", "");
		return;
	}
	const struct node *node = r->unnamed ? NULL : find(within, name);
	if (node)
		begin(r, node);
	else if (within->text)
		refuse(r, "an element where <%s> has text", within->name);
	else if (r->depth == 0)
		refuse(r, "the document is a <%s>, which was not asked for", name);
	else
		r->unnamed++;
}

static void element_ended(
    void *user, const xmlChar *name, const xmlChar *prefix, const xmlChar *uri)
{
	struct reader *r = user;

	(void)name, (void)prefix, (void)uri;
	if (*r->wrong)
		return;
	if (r->unnamed) {
		r->unnamed--;
		return;
	}
	const struct frame *frame = &r->frames[r->depth--];
	struct record *record = &r->records[frame->record];
	record->end = frame->node->text ? r->text_filled : r->filled;
	if (frame->node->text)
		return;
	record->at = 0;
	for (size_t i = 0; i < frame->node->n; i++)
		record->at += frame->node->fields[i].list || frame->seen >> i & 1;
}

static void text_came(void *user, const xmlChar *s, int n)
{
	struct reader *r = user;

	if (*r->wrong || r->unnamed || !r->frames[r->depth].node->text)
		return;
	char *text = larger(r, r->text, r->text_filled + (size_t)n, &r->text_room, 1);
	if (!text) {
		refuse(r, "out of memory%s", "");
		return;
	}
	r->text = text;
	memcpy(text + r->text_filled, s, (size_t)n);
	r->text_filled += (size_t)n;
}

static void doctype_came(
    void *user, const xmlChar *name, const xmlChar *public_id, const xmlChar *system_id)
{
	(void)name, (void)public_id, (void)system_id;
	refuse(user, "a DOCTYPE%s", "");
}

static void error_came(void *user, xmlError *error)
{
	struct reader *r = user;

	if (error->level < XML_ERR_ERROR || *r->wrong)
		return;
	refuse(r, "%s", error->message ? error->message : "cause unknown");
}

/* NULL, or what a first look finds: nothing below has to guess the encoding. */
static const char *look(const char *text, size_t n, size_t *at)
{
	const char *nul = memchr(text, '\0', n);

	*at = n >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
	if (nul) {
		*at = (size_t)(nul - text);
		return "a NUL";
	}
	size_t start = *at + strspn(text + *at, " \t\r\n");
	if (start == n || text[start] != '<')
		return "it does not begin with <";
	return n < INT_MAX ? NULL : "it is too long";
}

static void read_document(struct reader *r)
{
	static const xmlSAXHandler handler = {
		.initialized = XML_SAX2_MAGIC,
		.startElementNs = element_began,
		.endElementNs = element_ended,
		.characters = text_came,
		.ignorableWhitespace = text_came,
		.internalSubset = doctype_came,
		.serror = error_came,
	};

	*r->parser->sax = handler;
	r->parser->userData = r;
	libxml.xmlCtxtUseOptions(r->parser, XML_PARSE_NONET | XML_PARSE_IGNORE_ENC);
	libxml.xmlParseDocument(r->parser);
	if (!r->parser->wellFormed && !*r->wrong)
		refuse(r, "not well-formed%s", "");
}

/* The shape. */

static void read_fields(lua_State *L, struct reader *r, struct node *node, int shape, int depth);

static size_t count(lua_State *L, int table)
{
	size_t n = 0;

	for (lua_pushnil(L); lua_next(L, table); lua_pop(L, 1))
		n++;
	return n;
}

/* Fill in what the shape at the index says of a node. */
static void read_shape(lua_State *L, struct reader *r, struct node *node, int shape, int depth)
{
	node->list = lua_istable(L, shape) && lua_rawlen(L, shape) == 1 && count(L, shape) == 1;
	if (node->list) {
		lua_rawgeti(L, shape, 1);
		shape = lua_gettop(L);
	}
	node->text = lua_isboolean(L, shape) && lua_toboolean(L, shape);
	if (node->text)
		return;
	if (!lua_istable(L, shape) || lua_rawlen(L, shape) > 0)
		luaL_error(L, "a shape is true, a table of shapes by name, or { shape }");
	read_fields(L, r, node, shape, depth);
}

/* Names, shapes and nodes stay on the stack. */
static void read_fields(lua_State *L, struct reader *r, struct node *node, int shape, int depth)
{
	size_t length;

	luaL_checkstack(L, 10, NULL);
	if (depth == DEPTH)
		luaL_error(L, "the shape is nested too deep, or within itself");
	node->n = count(L, shape);
	if (node->n > FIELDS)
		luaL_error(L, "the shape has more than %d names in one place", FIELDS);
	node->fields = lua_newuserdatauv(L, (node->n + 1) * sizeof *node->fields, 0);
	memset(node->fields, 0, (node->n + 1) * sizeof *node->fields);
	struct node *field = node->fields;
	for (lua_pushnil(L); lua_next(L, shape); field++) {
		int key = lua_gettop(L) - 1;

		if (lua_type(L, key) != LUA_TSTRING)
			luaL_error(L, "a shape is true, a table of shapes by name, or { shape }");
		const char *name = lua_tolstring(L, key, &length);
		if (length > INT_MAX / 2)
			luaL_error(L, "a name of the shape is too long");
		field->key = key;
		field->name =
		    libxml.xmlDictLookup(r->parser->dict, (const xmlChar *)name, (int)length);
		if (!field->name)
			luaL_error(L, "out of memory");
		read_shape(L, r, field, key + 1, depth + 1);
		luaL_checkstack(L, 10, NULL);
		lua_pushvalue(L, key);
	}
}

/* The values. */

static size_t push_element(lua_State *L, const struct reader *r, size_t i);

/* Push the value of the record, return the index of the next. */
static size_t push_record(lua_State *L, const struct reader *r, size_t i)
{
	const struct record *record = &r->records[i];

	if (!record->node->text)
		return push_element(L, r, i);
	lua_pushlstring(L, r->text ? r->text + record->at : "", record->end - record->at);
	return i + 1;
}

/* Add the fields of records from i up to `end` to the table on top of the stack. */
static void add_fields(
    lua_State *L, const struct reader *r, const struct node *node, size_t i, size_t end)
{
	for (size_t k = 0; k < node->n; k++)
		if (node->fields[k].list) {
			lua_pushvalue(L, node->fields[k].key);
			lua_newtable(L);
			lua_rawset(L, -3);
		}
	while (i < end) {
		const struct node *field = r->records[i].node;

		lua_pushvalue(L, field->key);
		if (!field->list) {
			i = push_record(L, r, i);
			lua_rawset(L, -3);
			continue;
		}
		lua_rawget(L, -2);
		for (lua_Integer k = (lua_Integer)lua_rawlen(L, -1);
		     i < end && r->records[i].node == field;) {
			i = push_record(L, r, i);
			lua_rawseti(L, -2, ++k);
		}
		lua_pop(L, 1);
	}
}

static size_t push_element(lua_State *L, const struct reader *r, size_t i)
{
	const struct record *record = &r->records[i];

	luaL_checkstack(L, 8, NULL);
	lua_createtable(L, 0, (int)record->at);
	add_fields(L, r, record->node, i + 1, record->end);
	return record->end;
}

/* xml.decode(text, shape) -> table | nil, message, code */
static int xml_decode(lua_State *L)
{
	size_t n, at;
	struct node root = { 0 };

	const char *text = luaL_checklstring(L, 1, &n);
	luaL_checktype(L, 2, LUA_TTABLE);
	luaL_argcheck(L, lua_rawlen(L, 2) == 0, 2, "the shape has no name for the document");
	lua_settop(L, 2);
	struct reader *r = lua_newuserdatauv(L, sizeof *r, 0);
	*r = (struct reader){ .frames = { { .node = &root } } };
	luaL_setmetatable(L, READER);
	lua_toclose(L, 3);
	const char *wrong = look(text, n, &at);
	if (!wrong && !(r->parser = libxml.xmlCreateMemoryParserCtxt(text + at, (int)(n - at))))
		return luaL_error(L, "out of memory");
	if (wrong)
		return fail(L, "parse", "bad XML at byte %zu: %s", at + 1, wrong);
	read_fields(L, r, &root, 2, 0);
	read_document(r);
	if (r->starved)
		return luaL_error(L, "out of memory");
	if (*r->wrong)
		return fail(
		    L, "parse", "bad XML at byte %zu: %s", at + (size_t)r->byte + 1, r->wrong);
	lua_createtable(L, 0, (int)root.n);
	add_fields(L, r, &root, 0, r->filled);
	return 1;
}

/* xml.escape(text) -> text */
static int xml_escape(lua_State *L)
{
	static const char special[] = "&<>\"'\r";
	static const char *const instead[] = { "&amp;", "&lt;", "&gt;", "&quot;", "&apos;",
		"&#13;" };
	size_t n, step;
	uint32_t point;
	const char *s = luaL_checklstring(L, 1, &n);
	luaL_Buffer b;

	luaL_buffinit(L, &b);
	for (; n > 0; s += step, n -= step) {
		const char *found = memchr(special, *s, sizeof special - 1);

		step = utf8_decode(s, n, &point);
		if (step == 0 || (point < ' ' && !strchr("\t\n\r", (int)point)) || point == 0 ||
		    point == 0xfffe || point == 0xffff)
			return luaL_error(L, "xml.escape: a character that no XML can have");
		if (found)
			luaL_addstring(&b, instead[found - special]);
		else
			luaL_addlstring(&b, s, step);
	}
	luaL_pushresult(&b);
	return 1;
}

int luaopen_core_xml(lua_State *L)
{
	static const luaL_Reg meta[] = {
		{ "__close", reader_gc },
		{ "__gc", reader_gc },
		{ NULL, NULL },
	};
	static const luaL_Reg functions[] = {
		{ "decode", xml_decode },
		{ "escape", xml_escape },
		{ NULL, NULL },
	};

	load(L);
	new_type(L, READER, meta, NULL);
	luaL_newlib(L, functions);
	return 1;
}
