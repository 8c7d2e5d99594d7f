/* request.c - fuzzes the request of the roll call: strangers may send it.  It arrives over a real
 * socket pair in pieces, the loop is played by the few functions below, and whatever was sent,
 * the connection is gone at the end and the answer, if any, is whole.
 *
 * The first byte of the input is the size of the pieces, 0 for all at once.
 */
#include "../src/serve.c" /* NOLINT(bugprone-suspicious-include) */
#include "fuzz.h"

static uint32_t watched; /* the events that the connection waits for */

double loop_now(void)
{
	return 0;
}

bool loop_set(struct timer *t, double due)
{
	t->due = due;
	t->slot = 1;
	return true;
}

void loop_unset(struct timer *t)
{
	t->slot = 0;
}

bool loop_watch(struct watch *w, int fd, uint32_t events)
{
	w->fd = fd;
	w->events = watched = events;
	return true;
}

int fail(lua_State *L, const char *code, const char *fmt, ...)
{
	return luaL_error(L, "%s: %s", code, fmt);
}

void new_type(lua_State *L, const char *name, const luaL_Reg *meta, const luaL_Reg *methods)
{
	luaL_error(L, "%s %p %p", name, (const void *)meta, (const void *)methods);
}

static void turn(struct server *s)
{
	if (s->oldest)
		s->oldest->watch.ready(&s->oldest->watch, watched);
}

static size_t take(int fd, char *answer, size_t got, size_t room)
{
	ssize_t n;

	while (got < room && (n = recv(fd, answer + got, room - got, 0)) > 0)
		got += (size_t)n;
	return got;
}

static bool names_page(const uint8_t *sent, size_t n)
{
	static const char *const lines[] = { "GET /bootstrap HTTP/1.", "GET /other HTTP/1." };
	bool found = false;

	for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
		found = found ||
			(n >= strlen(lines[i]) && memcmp(sent, lines[i], strlen(lines[i])) == 0);
	return found;
}

/* What must come back for a request that was read whole. */
static void check_answer(const uint8_t *sent, size_t n, const char *answer, size_t got)
{
	const char *end = memmem(answer, got, "\r\n\r\n", 4);
	const char *length = strstr(answer, "Content-Length: ");
	char *digits;

	MUST(end && length && length < end && strncmp(answer, "HTTP/1.1 ", 9) == 0);
	size_t told = strtoul(length + 16, &digits, 10), body = got - (size_t)(end + 4 - answer);
	bool head = n >= 5 && memcmp(sent, "HEAD ", 5) == 0;
	MUST(body == told || (head && body == 0));
	const char *status = answer + 9;
	if (strncmp(status, "200 ", 4) == 0)
		MUST(names_page(sent, n));
	else
		MUST(strncmp(status, "400 ", 4) == 0 || strncmp(status, "404 ", 4) == 0 ||
		     strncmp(status, "431 ", 4) == 0);
}

static void exchange(struct server *s, const uint8_t *data, size_t n, size_t piece)
{
	static char answer[4096];
	size_t got = 0;
	int pair[2];

	MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0);
	MUST(welcome(s, pair[0]));
	turn(s); /* nothing there yet */
	for (size_t at = 0, step; at < n && s->oldest; at += step) {
		step = n - at < piece ? n - at : piece;
		MUST(send(pair[1], data + at, step, MSG_NOSIGNAL) == (ssize_t)step);
		turn(s);
		got = take(pair[1], answer, got, sizeof answer - 1);
	}
	bool hung = s->oldest && s->oldest->phase == READING;
	bool whole = memmem(data, n, "\r\n\r\n", 4) || memmem(data, n, "\n\n", 2) || n >= HEAD_MAX;
	MUST(hung == !whole);
	if (hung && piece % 2)
		s->oldest->timer.fired(&s->oldest->timer);
	shutdown(pair[1], SHUT_WR);
	for (int i = 0; s->oldest && i < 100; i++)
		turn(s);
	got = take(pair[1], answer, got, sizeof answer - 1);
	answer[got] = '\0';
	MUST(!s->oldest && s->connections == 0);
	MUST((got > 0) == whole);
	if (got > 0)
		check_answer(data, n, answer, got);
	close(pair[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct server s = { .fd = -1 };
	size_t piece = n && *data ? *data : 16384;

	if (n == 0 || n > 16384)
		return 0;
	s.last = &s.oldest;
	MUST(set(&s, "/bootstrap", "{\"data\":\"empty\"}", 16));
	MUST(set(&s, "/other", "", 0));
	exchange(&s, data + 1, n - 1, piece);
	shut(&s);
	return 0;
}
