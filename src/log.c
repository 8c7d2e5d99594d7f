/* log.c - core.log: lines on stderr, and the one place where secrets are taken out of text.
 *
 * What is logged often comes from outside: a server's answer, a tag of a cloud.  It may hold a
 * secret, a line of its own or an escape sequence.  So every byte that could do something to a
 * terminal or to a reader is written as \xNN, and the second and later lines of a text are
 * indented: no text from outside can look like a line of ours.
 *
 * Secrets are kept as keys of a table in the registry, which the end of the Lua state frees.
 */
#include "loop.h"
#include "utf8.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#define SECRET_LEAST 4 /* shorter ones would blot out half of all text */
#define BLANK " \t\r\n\v\f"

enum level { DEBUG, INFO, WARN, ERROR };
enum format { TEXT, JSON, JOURNALD };

static const char *const levels[] = { "debug", "info", "warn", "error", NULL };
static const char *const formats[] = { "text", "json", "journald", NULL };
static const int priorities[] = { 7, 6, 4, 3 };

static struct log {
	enum level level;
	enum format format;
	char secrets; /* its address is the key of the table of secrets */
} log_state = { .level = INFO };

static void mark(char *hidden, const char *text, const char *from, const char *to)
{
	if (to > from)
		memset(hidden + (from - text), 1, (size_t)(to - from));
}

static void mark_secrets(lua_State *L, char *hidden, const char *text, const char *end)
{
	lua_rawgetp(L, LUA_REGISTRYINDEX, &log_state.secrets);
	for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
		size_t n;
		const char *secret = lua_tolstring(L, -2, &n), *p = text;

		for (; (p = memmem(p, (size_t)(end - p), secret, n)); p++)
			mark(hidden, text, p, p + n);
	}
	lua_pop(L, 1);
}

/* The first byte from p on that is one of stops, or end. */
static const char *until(const char *p, const char *end, const char *stops)
{
	while (p < end && (*p == '\0' || !strchr(stops, *p)))
		p++;
	return p;
}

/* user:password@ after //.  A slash ends it, unless what stands before it cannot be a host and
 * a port: then it is a slash in a password that nobody encoded. */
static void mark_userinfo(char *hidden, const char *text, const char *end)
{
	for (const char *p = text; (p = memmem(p, (size_t)(end - p), "//", 2));) {
		p += 2;
		const char *word = until(p, end, BLANK "\"'<>"), *host = until(p, word, "/?#");
		const char *colon = memrchr(p, ':', (size_t)(host - p));
		const char *at = memrchr(p, '@', (size_t)(host - p));

		if (!at && colon && *p != '[' && colon + 1 + strspn(colon + 1, "0123456789") < host)
			at = memrchr(p, '@', (size_t)(word - p));
		if (at)
			mark(hidden, text, p, at);
	}
}

/* The value of an Authorization header: to the closing quote, else to the end of the line. */
static void mark_authorization(char *hidden, const char *text, const char *end)
{
	static const char name[] = "authorization";
	const size_t n = sizeof name - 1;

	for (const char *p = text; (size_t)(end - p) > n; p++) {
		if (strncasecmp(p, name, n) != 0)
			continue;
		const char *q = p + n;
		while (q < end && strchr("\"' \t", *q))
			q++;
		if (q == end || (*q != ':' && *q != '='))
			continue;
		q++;
		while (q < end && (*q == ' ' || *q == '\t'))
			q++;
		char stops[] = { '\n', '\0', '\0' };
		if (q < end && (*q == '"' || *q == '\''))
			stops[0] = *q++;
		const char *last = q;
		while (last < end && *last != stops[0])
			last += *last == '\\' && end - last > 1 ? 2 : 1;
		mark(hidden, text, q, last);
	}
}

/* Push text with each hidden stretch as [secret]. */
static void push_redacted(lua_State *L, const char *text, size_t n)
{
	char *hidden = lua_newuserdatauv(L, n + 1, 0);
	const char *end = text + n;
	luaL_Buffer b;

	memset(hidden, 0, n + 1);
	mark_secrets(L, hidden, text, end);
	mark_userinfo(hidden, text, end);
	mark_authorization(hidden, text, end);
	luaL_buffinit(L, &b);
	for (size_t i = 0; i < n; i++) {
		if (!hidden[i])
			luaL_addchar(&b, text[i]);
		else if (!hidden[i + 1])
			luaL_addstring(&b, "[secret]");
	}
	luaL_pushresult(&b);
	lua_remove(L, -2);
}

/* Controls, line separators, and what turns the direction of writing round. */
static bool harmful(uint32_t point)
{
	return point < 0x20 || (point >= 0x7f && point < 0xa0) || point == 0x61c ||
	       (point >= 0x200e && point <= 0x200f) || (point >= 0x2028 && point <= 0x202e) ||
	       (point >= 0x2066 && point <= 0x2069) || point == 0xfeff;
}

/* Add text, harmless; in JSON the escaped text is escaped once more by the rules of JSON. */
static void add_harmless(luaL_Buffer *b, const char *s, size_t n, bool json)
{
	char escape[8];
	uint32_t point = 0;

	for (size_t step; n > 0; s += step, n -= step) {
		step = utf8_decode(s, n, &point);
		if (json && *s == '\n') {
			luaL_addstring(b, "\\n");
		} else if (step == 0 || harmful(point)) {
			step = step ? step : 1;
			for (size_t i = 0; i < step; i++) {
				sprintf(escape, "\\\\x%02x", (unsigned char)s[i]);
				luaL_addstring(b, escape + !json);
			}
		} else {
			if (json && (*s == '"' || *s == '\\'))
				luaL_addchar(b, '\\');
			luaL_addlstring(b, s, step);
		}
	}
}

/* One line, one write: what others write to the same stderr does not get in between. */
static void write_line(const char *s, size_t n)
{
	while (n > 0) {
		ssize_t put = write(STDERR_FILENO, s, n);

		if (put < 0 && errno == EAGAIN)
			poll(&(struct pollfd){ .fd = STDERR_FILENO, .events = POLLOUT }, 1, -1);
		else if (put < 0 && errno != EINTR)
			return;
		s += put > 0 ? put : 0;
		n -= put > 0 ? (size_t)put : 0;
	}
}

static void log_json(lua_State *L, enum level level, const char *text, size_t n)
{
	struct timespec now;
	char stamp[64];
	luaL_Buffer b;

	clock_gettime(CLOCK_REALTIME, &now);
	snprintf(stamp, sizeof stamp, "\",\"time\":%lld.%03ld}\n", (long long)now.tv_sec,
	    now.tv_nsec / 1000000);
	luaL_buffinit(L, &b);
	luaL_addstring(&b, "{\"level\":\"");
	luaL_addstring(&b, levels[level]);
	luaL_addstring(&b, "\",\"text\":\"");
	add_harmless(&b, text, n, true);
	luaL_addstring(&b, stamp);
	luaL_pushresult(&b);
	write_line(lua_tostring(L, -1), lua_rawlen(L, -1));
	lua_pop(L, 1);
}

static void log_text(lua_State *L, enum level level, const char *s, size_t n, bool first)
{
	char head[64];
	luaL_Buffer b;

	if (log_state.format == JOURNALD)
		snprintf(head, sizeof head, "<%d>", priorities[level]);
	else
		snprintf(head, sizeof head, "etcd-bootstrap: %s: ", levels[level]);
	luaL_buffinit(L, &b);
	luaL_addstring(&b, head);
	if (!first)
		luaL_addstring(&b, "  ");
	add_harmless(&b, s, n, false);
	luaL_addchar(&b, '\n');
	luaL_pushresult(&b);
	write_line(lua_tostring(L, -1), lua_rawlen(L, -1));
	lua_pop(L, 1);
}

static int log_message(lua_State *L, enum level level)
{
	size_t n;
	const char *text = luaL_checklstring(L, 1, &n);

	if (level < log_state.level)
		return 0;
	push_redacted(L, text, n);
	text = lua_tolstring(L, -1, &n);
	while (n > 0 && text[n - 1] == '\n')
		n--;
	if (log_state.format == JSON) {
		log_json(L, level, text, n);
		return 0;
	}
	for (const char *s = text, *end = text + n, *line; s <= end; s = line + 1) {
		line = memchr(s, '\n', (size_t)(end - s));
		line = line ? line : end;
		log_text(L, level, s, (size_t)(line - s), s == text);
	}
	return 0;
}

static int check_name(lua_State *L, const char *field, const char *const names[], int now)
{
	if (lua_getfield(L, 1, field) != LUA_TNIL) {
		const char *name = luaL_tolstring(L, -1, NULL);

		for (now = 0; names[now] && strcmp(names[now], name) != 0; now++)
			;
		if (!names[now])
			luaL_error(L, "log.setup: unknown %s \"%s\"", field, name);
		lua_pop(L, 1);
	}
	lua_pop(L, 1);
	return now;
}

/* log.setup{level=, format=} */
static int log_setup(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TTABLE);
	int level = check_name(L, "level", levels, (int)log_state.level);
	int format = check_name(L, "format", formats, (int)log_state.format);
	log_state.level = (enum level)level;
	log_state.format = (enum format)format;
	return 0;
}

/* log.debug(message) */
static int log_debug(lua_State *L)
{
	return log_message(L, DEBUG);
}

/* log.info(message) */
static int log_info(lua_State *L)
{
	return log_message(L, INFO);
}

/* log.warn(message) */
static int log_warn(lua_State *L)
{
	return log_message(L, WARN);
}

/* log.error(message) */
static int log_error(lua_State *L)
{
	return log_message(L, ERROR);
}

/* log.secret(value) */
static int log_secret(lua_State *L)
{
	size_t n;
	const char *s = luaL_checklstring(L, 1, &n);

	/* Read from a file it ends in a newline, which is not there where it is used. */
	while (n > 0 && s[n - 1] && strchr(BLANK, s[n - 1]))
		n--;
	while (n > 0 && *s && strchr(BLANK, *s)) {
		s++;
		n--;
	}
	if (n < SECRET_LEAST)
		return 0;
	lua_rawgetp(L, LUA_REGISTRYINDEX, &log_state.secrets);
	lua_pushlstring(L, s, n);
	lua_pushboolean(L, true);
	lua_rawset(L, -3);
	return 0;
}

/* log.redact(text) -> string */
static int log_redact(lua_State *L)
{
	size_t n;
	const char *text = luaL_checklstring(L, 1, &n);

	push_redacted(L, text, n);
	return 1;
}

int luaopen_core_log(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{ "debug", log_debug },
		{ "error", log_error },
		{ "info", log_info },
		{ "redact", log_redact },
		{ "secret", log_secret },
		{ "setup", log_setup },
		{ "warn", log_warn },
		{ NULL, NULL },
	};

	lua_newtable(L);
	lua_rawsetp(L, LUA_REGISTRYINDEX, &log_state.secrets);
	luaL_newlib(L, functions);
	return 1;
}
