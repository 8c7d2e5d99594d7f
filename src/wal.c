/* wal.c - core.wal: how far etcd's write-ahead log is sound, told as etcd 3.4 to 3.7 read it.
 *
 * A segment is frames: a length of eight bytes, a record {type, sum, data}, padding.  The sum is a
 * CRC-32C that rolls over the data of all records of all segments; each segment begins with a
 * record of the sum so far.  A length of zero ends a segment, since etcd puts zeros there
 * beforehand.  What a crash leaves at the end of the last one, a record that is cut short or has a
 * sector of zeros, etcd takes away itself.
 *
 * Intact data always starts: where a reader could be more patient than this one, nothing is wrong.
 */
#include "disk.h"
#include "loop.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SEGMENT "core.wal.segment"
#define BUFFER (1 << 16)
#define SECTOR 512

enum type { METADATA = 1, ENTRY, STATE, SUM, SNAPSHOT };

enum verdict { SOUND, END, CUT, UNREADABLE, NO_RECORD, NO_TYPE, WRONG_SUM };

struct segment {
	int fd; /* -1 closed */
	int error;
	bool last;
	struct stat before;
	uint64_t at, left; /* of the next byte; bytes left of what is being read */
	size_t used, filled;
	unsigned char buffer[BUFFER];
};

struct record {
	uint64_t type;
	uint32_t sum, rolled; /* as it says, as it is */
};

static uint32_t table[8][256];

static void fill_table(void)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t sum = i;

		for (int bit = 0; bit < 8; bit++)
			sum = sum >> 1 ^ (sum & 1 ? 0x82f63b78 : 0);
		table[0][i] = sum;
	}
	for (int k = 1; k < 8; k++)
		for (uint32_t i = 0; i < 256; i++)
			table[k][i] = table[k - 1][i] >> 8 ^ table[0][table[k - 1][i] & 255];
}

static uint64_t little_endian(const unsigned char *s)
{
	uint64_t value;

	memcpy(&value, s, sizeof value);
	return le64toh(value);
}

/* CRC-32C, eight bytes at a time. */
static uint32_t roll(uint32_t sum, const unsigned char *s, size_t n)
{
	sum = ~sum;
	for (; n >= 8; s += 8, n -= 8) {
		uint64_t word = little_endian(s) ^ sum;

		sum = table[7][word & 255] ^ table[6][word >> 8 & 255] ^
		      table[5][word >> 16 & 255] ^ table[4][word >> 24 & 255] ^
		      table[3][word >> 32 & 255] ^ table[2][word >> 40 & 255] ^
		      table[1][word >> 48 & 255] ^ table[0][word >> 56];
	}
	for (; n > 0; s++, n--)
		sum = sum >> 8 ^ table[0][(sum ^ *s) & 255];
	return ~sum;
}

/* Reading ------------------------------------------------------------------------------------ */

static size_t read_some(struct segment *g, unsigned char *to, size_t n, uint64_t at)
{
	ssize_t got;

	do
		got = pread(g->fd, to, n, (off_t)at);
	while (got < 0 && errno == EINTR);
	if (got <= 0)
		g->error = got < 0 ? errno : EAGAIN; /* shorter than it was */
	return got > 0 ? (size_t)got : 0;
}

/* The bytes at hand, at most as many as are left of the record; none: it is over, or unreadable. */
static const unsigned char *look(struct segment *g, size_t *n)
{
	if (g->left > 0 && g->used == g->filled) {
		g->used = 0;
		g->filled = read_some(g, g->buffer, BUFFER, g->at);
	}
	*n = g->filled - g->used;
	if (*n > g->left)
		*n = (size_t)g->left;
	return g->buffer + g->used;
}

static void take(struct segment *g, size_t n)
{
	g->used += n;
	g->at += n;
	g->left -= n;
}

/* Pass n bytes, over which the sum rolls where there is one; false when there are not as many. */
static bool pass(struct segment *g, uint64_t n, uint32_t *sum)
{
	size_t some;

	while (n > 0) {
		const unsigned char *s = look(g, &some);

		if (some == 0)
			return false;
		if (some > n)
			some = (size_t)n;
		if (sum)
			*sum = roll(*sum, s, some);
		take(g, some);
		n -= some;
	}
	return true;
}

static bool next_varint(struct segment *g, uint64_t *value)
{
	size_t n;

	*value = 0;
	for (unsigned shift = 0; shift < 70; shift += 7) {
		const unsigned char *s = look(g, &n);

		if (n == 0)
			return false;
		unsigned char byte = *s;
		take(g, 1);
		*value |= (uint64_t)(byte & 0x7f) << shift;
		if (byte < 0x80)
			return true;
	}
	return false;
}

/* One field of a record.  Of another wire type than it should be, it is one of those unknown; where
 * it goes on behind the end of the record, nothing is left: that too etcd takes for a cut. */
static bool read_field(struct segment *g, struct record *r, uint32_t before)
{
	uint64_t key, value;

	if (!next_varint(g, &key) || key >> 3 == 0)
		return false;
	switch (key & 7) {
	case 0:
		if (!next_varint(g, &value))
			return false;
		if (key >> 3 == 1)
			r->type = value;
		else if (key >> 3 == 2)
			r->sum = (uint32_t)value;
		return true;
	case 1:
		return pass(g, 8, NULL);
	case 2:
		if (!next_varint(g, &value))
			return false;
		if (key >> 3 != 3)
			return pass(g, value, NULL);
		r->rolled = before;
		return pass(g, value, &r->rolled);
	case 5:
		return pass(g, 4, NULL);
	case 3:
	case 4:
		return pass(g, g->left, NULL) && false; /* groups: etcd looks for their end */
	default:
		return false;
	}
}

/* Judging ------------------------------------------------------------------------------------ */

/* A part of the record that is in one sector of the disk is all zeros: it was never written. */
static bool torn(struct segment *g, uint64_t at, uint64_t n)
{
	static const unsigned char zeros[SECTOR];
	unsigned char sector[SECTOR];

	for (const uint64_t end = at + n; at < end;) {
		size_t chunk = SECTOR - at % SECTOR, got = 0;

		if (chunk > end - at)
			chunk = (size_t)(end - at);
		while (got < chunk && !g->error)
			got += read_some(g, sector + got, chunk - got, at + got);
		if (g->error || memcmp(sector, zeros, chunk) == 0)
			return true;
		at += chunk;
	}
	return false;
}

static enum verdict judge(const struct record *r, uint32_t *sum)
{
	uint32_t before = *sum;

	*sum = r->type == SUM ? r->sum : r->rolled;
	if (r->type == SUM)
		return before == 0 || before == r->sum ? SOUND : WRONG_SUM;
	if (r->sum != r->rolled)
		return WRONG_SUM;
	return r->type >= METADATA && r->type <= SNAPSHOT ? SOUND : NO_TYPE;
}

static enum verdict read_record(struct segment *g, uint64_t n, uint64_t padding, uint32_t *sum)
{
	struct record r = { .rolled = *sum };
	uint64_t begin = g->at;
	bool whole = true;

	g->left = n;
	while (whole && g->left > 0)
		whole = read_field(g, &r, *sum);
	enum verdict v = whole ? judge(&r, sum) : g->left == 0 ? CUT : NO_RECORD;
	g->left = padding;
	if (v == SOUND)
		pass(g, padding, NULL);
	else if (g->last && (v == NO_RECORD || (v == WRONG_SUM && r.type != SUM)) && !g->error &&
		 torn(g, begin, n + padding))
		v = CUT;
	return g->error ? UNREADABLE : v;
}

static enum verdict read_frame(struct segment *g, uint32_t *sum)
{
	uint64_t rest = (uint64_t)g->before.st_size - g->at;
	unsigned char head[8];
	size_t n;

	if (rest == 0)
		return END;
	if (rest < sizeof head)
		return CUT;
	g->left = sizeof head;
	for (size_t i = 0; i < sizeof head; i++) {
		const unsigned char *s = look(g, &n);

		if (n == 0)
			return UNREADABLE;
		head[i] = *s;
		take(g, 1);
	}
	uint64_t field = little_endian(head), length = field & 0xffffffffffffff;
	uint64_t padding = field >> 63 ? field >> 56 & 7 : 0;
	if (field == 0)
		return END;
	if (length + padding > rest - sizeof head)
		return CUT;
	return read_record(g, length, padding, sum);
}

/* -> how the sound part of a segment ends; *offset: where. */
static enum verdict read_segment(struct segment *g, uint32_t *sum, uint64_t *offset)
{
	enum verdict v;
	struct stat now;

	do {
		*offset = g->at;
		v = read_frame(g, sum);
	} while (v == SOUND);
	if (v == CUT && g->last)
		v = END;
	if (v == END || v == UNREADABLE)
		return v;
	bool same = fstat(g->fd, &now) == 0 && now.st_size == g->before.st_size &&
		    now.st_mtim.tv_sec == g->before.st_mtim.tv_sec &&
		    now.st_mtim.tv_nsec == g->before.st_mtim.tv_nsec;
	if (!same)
		g->error = EAGAIN;
	return same ? v : UNREADABLE;
}

/* Lua ---------------------------------------------------------------------------------------- */

static int close_segment(lua_State *L)
{
	struct segment *g = luaL_checkudata(L, 1, SEGMENT);

	if (g->fd >= 0)
		close(g->fd);
	g->fd = -1;
	return 0;
}

/* Open the segment at path in the place of the one before; false with errno. */
static bool open_segment(struct segment *g, const char *path, bool last)
{
	if (g->fd >= 0)
		close(g->fd);
	g->fd = disk_open(path, O_RDONLY | O_NONBLOCK);
	g->last = last;
	g->at = g->left = g->used = g->filled = 0;
	if (g->fd < 0 || fstat(g->fd, &g->before) != 0)
		return false;
	errno = EINVAL;
	return S_ISREG(g->before.st_mode);
}

static void push_found(lua_State *L, enum verdict v, lua_Integer number, uint64_t offset)
{
	static const char *const reasons[] = {
		[CUT] = "is cut short",
		[NO_RECORD] = "cannot be parsed",
		[NO_TYPE] = "is of no known type",
		[WRONG_SUM] = "does not match its checksum",
	};

	lua_createtable(L, 0, 3);
	lua_pushinteger(L, number);
	lua_setfield(L, -2, "segment");
	lua_pushinteger(L, (lua_Integer)offset);
	lua_setfield(L, -2, "offset");
	lua_pushstring(L, v == END ? NULL : reasons[v]);
	lua_setfield(L, -2, "why");
}

/* wal.sound(paths) -> {segment, offset, why} | nil, message, code */
static int wal_sound(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TTABLE);
	lua_Integer count = luaL_len(L, 1);
	luaL_argcheck(L, count > 0, 1, "there is no path");
	struct segment *g = lua_newuserdatauv(L, sizeof *g, 0);
	enum verdict v = END;
	uint64_t offset = 0;
	uint32_t sum = 0;
	lua_Integer i = 0;

	g->fd = -1;
	g->error = 0;
	luaL_setmetatable(L, SEGMENT);
	lua_toclose(L, -1);
	if (table[0][1] == 0)
		fill_table();
	while (v == END && ++i <= count) {
		lua_geti(L, 1, i);
		const char *path = luaL_checkstring(L, -1);
		if (!open_segment(g, path, i == count))
			return fail(L, "io", "cannot read %s: %s", path, strerror(errno));
		v = read_segment(g, &sum, &offset);
		if (v == UNREADABLE)
			return fail(L, "io", "cannot read %s: %s", path, strerror(g->error));
		lua_pop(L, 1);
	}
	push_found(L, v, i > count ? count : i, offset);
	return 1;
}

int luaopen_core_wal(lua_State *L)
{
	static const luaL_Reg meta[] = {
		{ "__close", close_segment },
		{ "__gc", close_segment },
		{ NULL, NULL },
	};
	static const luaL_Reg functions[] = { { "sound", wal_sound }, { NULL, NULL } };

	new_type(L, SEGMENT, meta, NULL);
	luaL_newlib(L, functions);
	return 1;
}
