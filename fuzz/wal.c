/* wal.c - fuzzes the reading of a write-ahead log: whatever else stands in one, a log in which an
 * ordinary entry can be found is never called unused.
 *
 * What can be found is decided here, by a second reader that goes from frame to frame and takes
 * whatever protobuf allows.  Random bytes seldom keep the frames, so a mutator changes records and
 * puts frames around them again.
 */
#include "datadir.h"

#include <stdbool.h>

#define FRAMES 64
#define RECORD 4096

enum { ENTRY = 2 };

struct text {
	const uint8_t *s;
	size_t n;
};

struct field {
	uint64_t number, value; /* value: of wire type 0 */
	unsigned wire;
	struct text text; /* of wire type 2 */
};

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t n, size_t room, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t n, size_t room);

/* Cut one frame off the front: its record, and in *whole all its bytes; false at the end. */
static bool next_frame(struct text *log, struct text *record, struct text *whole)
{
	uint64_t head = 0;

	if (log->n < 8)
		return false;
	for (int i = 8; i-- > 0;)
		head = head << 8 | log->s[i];
	uint64_t n = head & 0xffffffffffffff, padding = head >> 63 ? head >> 56 & 7 : 0;
	if (n == 0 || n + padding > log->n - 8)
		return false;
	*record = (struct text){ log->s + 8, n };
	*whole = (struct text){ log->s, 8 + n + padding };
	*log = (struct text){ log->s + whole->n, log->n - whole->n };
	return true;
}

static bool next_varint(struct text *t, uint64_t *value)
{
	*value = 0;
	for (unsigned shift = 0; shift < 70 && t->n > 0; shift += 7) {
		uint8_t byte = *t->s++;
		t->n--;
		*value |= shift < 64 ? (uint64_t)(byte & 0x7f) << shift : 0;
		if (byte < 0x80)
			return true;
	}
	return false;
}

static bool skip(struct text *t, uint64_t n)
{
	if (n > t->n)
		return false;
	t->s += n;
	t->n -= n;
	return true;
}

static bool next_field(struct text *t, struct field *f)
{
	uint64_t key, n = 0;

	if (!next_varint(t, &key))
		return false;
	f->number = key >> 3;
	f->wire = key & 7;
	switch (f->wire) {
	case 0:
		return next_varint(t, &f->value);
	case 1:
		return skip(t, 8);
	case 5:
		return skip(t, 4);
	case 2:
		if (!next_varint(t, &n))
			return false;
		f->text = (struct text){ t->s, n };
		return skip(t, n);
	default:
		return false;
	}
}

/* The record is an entry of type 0: somebody wrote to this log. */
static bool is_use(struct text record)
{
	uint64_t type = 0, kind = 0;
	struct text data = { 0 };
	struct field f;

	while (record.n > 0) {
		if (!next_field(&record, &f))
			return false;
		if ((f.number == 1 && f.wire != 0) || (f.number == 3 && f.wire != 2))
			return false;
		if (f.number == 1)
			type = f.value;
		else if (f.number == 3)
			data = f.text;
	}
	while (data.n > 0) {
		if (!next_field(&data, &f) || (f.number == 1 && f.wire != 0))
			return false;
		if (f.number == 1)
			kind = f.value;
	}
	return type == ENTRY && kind == 0;
}

static int close_file(lua_State *L)
{
	luaL_Stream *stream = luaL_checkudata(L, 1, LUA_FILEHANDLE);

	return luaL_fileresult(L, fclose(stream->f) == 0, NULL);
}

static void push_file(lua_State *L, const uint8_t *data, size_t n)
{
	luaL_Stream *stream = lua_newuserdatauv(L, sizeof *stream, 0);

	stream->closef = NULL;
	luaL_setmetatable(L, LUA_FILEHANDLE);
	stream->f = fmemopen((void *)data, n, "rb");
	MUST(stream->f);
	stream->closef = close_file;
}

static bool is_text_of_id(lua_State *L, const char *key)
{
	char id[ETCD_ID];
	size_t n;

	if (lua_getfield(L, 1, key) != LUA_TSTRING)
		return false;
	const char *text = lua_tolstring(L, -1, &n);
	bool ok = etcd_id(text, n, 10, id) && strcmp(id, text) == 0;
	lua_pop(L, 1);
	return ok;
}

static void check_log(lua_State *L, struct text log)
{
	struct text record, whole;

	MUST(is_text_of_id(L, "member_id") && is_text_of_id(L, "cluster_id"));
	lua_getfield(L, 1, "unused");
	MUST(lua_isboolean(L, -1));
	if (!lua_toboolean(L, -1))
		return;
	MUST(lua_getfield(L, 1, "founders") == LUA_TTABLE);
	while (next_frame(&log, &record, &whole))
		MUST(!is_use(record));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	lua_State *L = datadir_state("wal", "segment");

	if (n == 0)
		return 0;
	push_file(L, data, n);
	lua_pushvalue(L, -1);
	lua_insert(L, 1); /* closed below */
	lua_pushinteger(L, (lua_Integer)n);
	fuzz_call(L, 2);
	lua_getfield(L, 1, "close");
	lua_pushvalue(L, 1);
	fuzz_call(L, 1);
	lua_settop(L, 3);
	lua_remove(L, 1);
	if (lua_istable(L, 1))
		check_log(L, (struct text){ data, n });
	else
		MUST(lua_isnil(L, 1) && lua_isstring(L, 2));
	return 0;
}

static size_t put_frame(uint8_t *to, size_t room, struct text record)
{
	size_t padding = (8 - record.n % 8) % 8, n = 8 + record.n + padding;
	uint64_t head = record.n | (padding ? (uint64_t)(0x80 | padding) << 56 : 0);

	if (record.n == 0 || n > room)
		return 0;
	for (int i = 0; i < 8; i++)
		to[i] = (uint8_t)(head >> (8 * i));
	memcpy(to + 8, record.s, record.n);
	memset(to + 8 + record.n, 0, padding);
	return n;
}

static size_t put_text(uint8_t *to, size_t room, struct text text)
{
	if (text.n > room)
		return 0;
	memcpy(to, text.s, text.n);
	return text.n;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t n, size_t room, unsigned seed)
{
	static const char ordinary[] = "\x08\x02\x10\x00\x1a\x07\x08\x00\x10\x02\x18\x05\x22";
	uint8_t *copy = malloc(n), *out = data, record[RECORD];
	struct text frames[FRAMES][2], log = { copy, n };
	unsigned count = 0, act = seed / 7 % 6;

	if (n == 0 || !copy || seed % 4 == 0) {
		free(copy);
		return LLVMFuzzerMutate(data, n, room);
	}
	memcpy(copy, data, n);
	while (count < FRAMES && next_frame(&log, &frames[count][0], &frames[count][1]))
		count++;
	unsigned chosen = count ? seed / 64 % count : 0, other = count ? seed / 4096 % count : 0;
	for (unsigned i = 0; i < count; i++) {
		struct text from = frames[act == 4 && i == chosen ? other : i][0];
		size_t left = room - (size_t)(out - data);

		if (i == chosen && act == 0 && from.n <= RECORD) {
			memcpy(record, from.s, from.n);
			from = (struct text){ record, LLVMFuzzerMutate(record, from.n, RECORD) };
		} else if (i == chosen && act == 1) {
			continue;
		}
		out += put_frame(out, left, from);
		left = room - (size_t)(out - data);
		if (i == chosen && act == 2)
			out += put_frame(out, left, frames[other][0]);
		else if (i == chosen && act == 3)
			out += put_frame(
			    out, left, (struct text){ (const uint8_t *)ordinary, sizeof ordinary });
	}
	if (act != 5)
		out += put_text(out, room - (size_t)(out - data), log);
	free(copy);
	return out > data ? (size_t)(out - data) : LLVMFuzzerMutate(data, n, room);
}
