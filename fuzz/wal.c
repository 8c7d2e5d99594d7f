/* wal.c - fuzzes the reading of a write-ahead log: whatever else stands in one, a log in which an
 * ordinary entry can be found is never called unused; and it is called sound exactly as far as it
 * is.
 *
 * What can be found is decided here, by a second reader that goes from frame to frame and takes
 * whatever protobuf allows.  Random bytes seldom keep the frames and never the sums, so a mutator
 * changes records and puts frames around them again, often with right sums.
 */
#include "datadir.h"

#include <stdbool.h>
#include <sys/mman.h>
#include <unistd.h>

#define FRAMES 64
#define RECORD 4096
#define SECTOR 512

enum { ENTRY = 2, SUM = 4, LAST_TYPE };

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

/* Cut one frame off the front: its record, and in *whole all its bytes; false when it is cut short.
 */
static bool split_frame(struct text *log, struct text *record, struct text *whole)
{
	uint64_t head = 0;

	if (log->n < 8)
		return false;
	for (int i = 8; i-- > 0;)
		head = head << 8 | log->s[i];
	uint64_t n = head & 0xffffffffffffff, padding = head >> 63 ? head >> 56 & 7 : 0;
	if (head == 0 || n + padding > log->n - 8)
		return false;
	*record = (struct text){ log->s + 8, n };
	*whole = (struct text){ log->s, 8 + n + padding };
	*log = (struct text){ log->s + whole->n, log->n - whole->n };
	return true;
}

static bool next_frame(struct text *log, struct text *record, struct text *whole)
{
	return split_frame(log, record, whole) && record->n > 0;
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

/* CRC-32C, bit by bit. */
static uint32_t roll(uint32_t sum, struct text data)
{
	sum = ~sum;
	for (size_t i = 0; i < data.n; i++) {
		sum ^= data.s[i];
		for (int bit = 0; bit < 8; bit++)
			sum = sum >> 1 ^ (sum & 1 ? 0x82f63b78 : 0);
	}
	return ~sum;
}

/* A record that is none, and not one that only goes on behind its end. */
static bool is_bad_field(struct text t)
{
	uint64_t key, value;
	size_t n = t.n;

	if (!next_varint(&t, &key))
		return n > 10;
	if (key >> 3 == 0 || (key & 7) > 5)
		return t.n > 0;
	n = t.n;
	return ((key & 7) == 0 || (key & 7) == 2) && !next_varint(&t, &value) && n > 10;
}

static bool is_torn(struct text frame, size_t at)
{
	size_t zeros = 0;

	for (size_t i = 8; i < frame.n; i++) {
		zeros = frame.s[i] ? 0 : zeros + 1;
		size_t begin = (at + i) / SECTOR * SECTOR, length = at + i - begin + 1;
		if (begin < at + 8)
			length = i - 7;
		if (((at + i + 1) % SECTOR == 0 || i + 1 == frame.n) && zeros >= length)
			return true;
	}
	return false;
}

struct parts {
	uint64_t type;
	uint32_t sum;
	struct text data;
};

/* false: there is no field where *record then begins. */
static bool take_apart(struct text *record, struct parts *p)
{
	struct field f;

	*p = (struct parts){ 0 };
	while (record->n > 0) {
		struct text here = *record;

		if (!next_field(record, &f) || f.number == 0) {
			*record = here;
			return false;
		}
		if (f.number == 1 && f.wire == 0)
			p->type = f.value;
		else if (f.number == 2 && f.wire == 0)
			p->sum = (uint32_t)f.value;
		else if (f.number == 3 && f.wire == 2)
			p->data = f.text;
	}
	return true;
}

/* What is wrong with the record of that frame, NULL for nothing or what etcd repairs: then *over.
 */
static const char *flaw(struct text record, struct text frame, size_t at, uint32_t *sum, bool *over)
{
	struct parts p;

	if (!take_apart(&record, &p)) {
		*over = !is_bad_field(record) || is_torn(frame, at);
		return *over ? NULL : "cannot be parsed";
	}
	uint32_t before = *sum;
	*sum = p.type == SUM ? p.sum : roll(before, p.data);
	if (p.type == SUM)
		return before != 0 && p.sum != before ? "does not match its checksum" : NULL;
	*over = p.sum != *sum && is_torn(frame, at);
	if (p.sum != *sum)
		return *over ? NULL : "does not match its checksum";
	return p.type == 0 || p.type > LAST_TYPE ? "is of no known type" : NULL;
}

/* Where the log ceases to be sound, and why. */
static const char *judge(struct text log, size_t *at)
{
	struct text rest = log, record, whole;
	bool over = false;
	uint32_t sum = 0;

	for (*at = 0; split_frame(&rest, &record, &whole); *at += whole.n) {
		const char *why = flaw(record, whole, *at, &sum, &over);

		if (why || over)
			return why;
	}
	return NULL;
}

/* Compare with what core.wal says of the same bytes. */
static void check_sums(lua_State *L, struct text log)
{
	int fd = memfd_create("log", 0);
	size_t at;
	const char *why = judge(log, &at);

	MUST(fd >= 0 && write(fd, log.s, log.n) == (ssize_t)log.n);
	luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
	lua_getfield(L, -1, "core.wal");
	lua_getfield(L, -1, "sound");
	lua_createtable(L, 1, 0);
	lua_pushfstring(L, "/proc/self/fd/%d", fd);
	lua_rawseti(L, -2, 1);
	fuzz_call(L, 1);
	MUST(lua_istable(L, -1));
	lua_getfield(L, -1, "why");
	MUST(why ? lua_isstring(L, -1) && strcmp(why, lua_tostring(L, -1)) == 0 : lua_isnil(L, -1));
	lua_getfield(L, -2, "offset");
	MUST(lua_tointeger(L, -1) == (lua_Integer)at);
	lua_settop(L, 0);
	close(fd);
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
	lua_settop(L, 0);
	check_sums(L, (struct text){ data, n });
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

/* The record with the sum that etcd would give it behind that one, where it is one of a usual
 * shape. */
static struct text sealed(uint8_t to[RECORD], struct text record, uint32_t *sum)
{
	struct text left = record;
	struct parts p;
	size_t n = 0;

	if (!take_apart(&left, &p) || p.type > 0x7f || p.data.n > RECORD - 32)
		return record;
	*sum = p.type == SUM ? *sum : roll(*sum, p.data);
	to[n++] = 1 << 3;
	to[n++] = (uint8_t)p.type;
	to[n++] = 2 << 3;
	for (int shift = 0; shift < 35; shift += 7)
		to[n++] = (uint8_t)((*sum >> shift & 0x7f) | (shift < 28 ? 0x80 : 0));
	to[n++] = 3 << 3 | 2;
	to[n++] = (uint8_t)((p.data.n & 0x7f) | 0x80);
	to[n++] = (uint8_t)(p.data.n >> 7);
	if (p.data.n > 0)
		memcpy(to + n, p.data.s, p.data.n);
	return (struct text){ to, n + p.data.n };
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
	uint8_t *copy = malloc(n), *out = data, record[RECORD], whole[RECORD];
	uint32_t sum = 0;
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
		if (seed % 3)
			from = sealed(whole, from, &sum);
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
