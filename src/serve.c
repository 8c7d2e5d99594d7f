/* serve.c - core.serve: fixed bodies on fixed paths of one port, over TLS if asked.
 *
 * It is made for the roll call, which strangers may reach: a request is one small head, an answer
 * one small body, everything has one deadline, and nothing of it ever calls Lua.  Closing frees
 * the port at once, for the etcd that comes next.
 */
#include "serve.h"

#include "loop.h"

#include <errno.h>
#include <netdb.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define SERVER "core.serve.server"
#define HEAD_MAX 4096
#define CONNECTIONS 64
#define EXCHANGE 5.0 /* seconds for a whole one */
#define PAUSE 0.2    /* seconds without accepting when the system has no descriptor left */

struct page {
	struct page *next;
	char *path, *body;
	size_t length;
};

enum phase { HANDSHAKE, READING, WRITING, LEAVING };
enum progress { MOVED, BLOCKED, OVER };

struct connection {
	struct connection *next, **link;
	struct server *server;
	struct watch watch;
	struct timer timer;
	SSL *ssl; /* NULL on a plain port */
	enum phase phase;
	char head[HEAD_MAX + 1];
	size_t got;
	char *answer;
	size_t length, sent;
};

struct server {
	int fd; /* -1 when closed */
	struct watch watch;
	struct timer pause;
	SSL_CTX *ctx;
	struct page *pages;
	struct connection *oldest, **last;
	size_t connections;
};

/* Connections. */

static void drop(struct connection *c)
{
	struct server *s = c->server;
	int fd = c->watch.fd;

	loop_watch(&c->watch, fd, 0);
	loop_unset(&c->timer);
	SSL_free(c->ssl);
	close(fd);
	*c->link = c->next;
	if (c->next)
		c->next->link = c->link;
	else
		s->last = c->link;
	s->connections--;
	free(c->answer);
	free(c);
}

static void connection_late(struct timer *t)
{
	drop((struct connection *)((char *)t - offsetof(struct connection, timer)));
}

/* How many bytes moved; 0 at the end; -1 with errno EAGAIN when *want has to come first. */
static ssize_t unwrap(struct connection *c, int n, uint32_t *want)
{
	if (n > 0)
		return n;
	switch (SSL_get_error(c->ssl, n)) {
	case SSL_ERROR_WANT_READ:
		*want = EPOLLIN;
		errno = EAGAIN;
		return -1;
	case SSL_ERROR_WANT_WRITE:
		*want = EPOLLOUT;
		errno = EAGAIN;
		return -1;
	case SSL_ERROR_ZERO_RETURN:
		return 0;
	default:
		errno = EPROTO;
		return -1;
	}
}

static ssize_t receive(struct connection *c, char *to, size_t n, uint32_t *want)
{
	*want = EPOLLIN;
	if (!c->ssl)
		return recv(c->watch.fd, to, n, 0);
	ERR_clear_error();
	return unwrap(c, SSL_read(c->ssl, to, (int)n), want);
}

static ssize_t transmit(struct connection *c, const char *from, size_t n, uint32_t *want)
{
	*want = EPOLLOUT;
	if (!c->ssl)
		return send(c->watch.fd, from, n, MSG_NOSIGNAL);
	ERR_clear_error();
	return unwrap(c, SSL_write(c->ssl, from, (int)n), want);
}

static struct page **find(struct server *s, const char *path, size_t n)
{
	struct page **at = &s->pages;

	while (*at && (strlen((*at)->path) != n || memcmp((*at)->path, path, n) != 0))
		at = &(*at)->next;
	return at;
}

static bool answer(struct connection *c, const char *status, const struct page *page, bool head)
{
	static const struct page failed = { .body = (char *)"{}\n", .length = 3 };
	const struct page *p = page ? page : &failed;
	size_t room = p->length + 256;

	if (!(c->answer = malloc(room)))
		return false;
	int n = snprintf(c->answer, room,
	    "HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n"
	    "Connection: close\r\n\r\n",
	    status, p->length);
	if (!head)
		memcpy(c->answer + n, p->body, p->length);
	c->length = (size_t)n + (head ? 0 : p->length);
	c->phase = WRITING;
	return true;
}

/* Answer the request line of a whole head: what is no GET of a page is not found. */
static bool respond(struct connection *c)
{
	size_t method = strcspn(c->head, " \r\n");
	const char *path = c->head + method + 1;
	size_t n = c->head[method] == ' ' ? strcspn(path, " \r\n") : 0;
	bool get = method == 3 && memcmp(c->head, "GET", 3) == 0;

	if (!n || strncmp(path + n, " HTTP/1.", 8) != 0)
		return answer(c, "400 Bad Request", NULL, false);
	struct page *page = get ? *find(c->server, path, n) : NULL;
	bool head = method == 4 && memcmp(c->head, "HEAD", 4) == 0;
	return answer(c, page ? "200 OK" : "404 Not Found", page, head);
}

static enum progress stopped(ssize_t n)
{
	return n < 0 && errno == EAGAIN ? BLOCKED : OVER;
}

static enum progress read_head(struct connection *c, uint32_t *want)
{
	ssize_t n = receive(c, c->head + c->got, HEAD_MAX - c->got, want);

	if (n <= 0)
		return stopped(n);
	c->got += (size_t)n;
	c->head[c->got] = '\0';
	bool ok = true;
	if (memmem(c->head, c->got, "\r\n\r\n", 4) || memmem(c->head, c->got, "\n\n", 2))
		ok = respond(c);
	else if (c->got == HEAD_MAX)
		ok = answer(c, "431 Request Header Fields Too Large", NULL, false);
	return ok ? MOVED : OVER;
}

/* Closing while the client still sends would reset the connection, and it might lose the answer
 * or the alert: say that this was all, and wait for it to go. */
static enum progress say_goodbye(struct connection *c)
{
	shutdown(c->watch.fd, SHUT_WR);
	c->phase = LEAVING;
	return MOVED;
}

static enum progress write_answer(struct connection *c, uint32_t *want)
{
	ssize_t n = transmit(c, c->answer + c->sent, c->length - c->sent, want);

	if (n <= 0)
		return stopped(n);
	c->sent += (size_t)n;
	if (c->sent < c->length)
		return MOVED;
	if (c->ssl)
		SSL_shutdown(c->ssl);
	return say_goodbye(c);
}

static enum progress leave(struct connection *c, uint32_t *want)
{
	ssize_t n = recv(c->watch.fd, c->head, HEAD_MAX, 0);

	*want = EPOLLIN;
	return n > 0 ? BLOCKED : stopped(n); /* the others have their turn before the next piece */
}

static enum progress shake_hands(struct connection *c, uint32_t *want)
{
	ERR_clear_error();
	ssize_t n = unwrap(c, SSL_accept(c->ssl), want);

	if (n > 0)
		c->phase = READING;
	else if (stopped(n) == OVER)
		return say_goodbye(c);
	return n > 0 ? MOVED : BLOCKED;
}

static enum progress (*const steps[])(struct connection *c, uint32_t *want) = {
	[HANDSHAKE] = shake_hands,
	[READING] = read_head,
	[WRITING] = write_answer,
	[LEAVING] = leave,
};

static void connection_ready(struct watch *w, uint32_t events)
{
	struct connection *c =
	    (struct connection *)((char *)w - offsetof(struct connection, watch));
	enum progress progress;
	uint32_t want = 0;

	(void)events;
	while ((progress = steps[c->phase](c, &want)) == MOVED)
		continue;
	if (progress == OVER || !loop_watch(w, w->fd, want))
		drop(c);
}

static bool welcome(struct server *s, int fd)
{
	struct connection *c = calloc(1, sizeof *c);

	if (!c)
		return false;
	c->server = s;
	c->watch.ready = connection_ready;
	c->timer.fired = connection_late;
	c->phase = s->ctx ? HANDSHAKE : READING;
	if ((s->ctx && (!(c->ssl = SSL_new(s->ctx)) || !SSL_set_fd(c->ssl, fd))) ||
	    !loop_set(&c->timer, loop_now() + EXCHANGE) || !loop_watch(&c->watch, fd, EPOLLIN)) {
		loop_unset(&c->timer);
		SSL_free(c->ssl);
		free(c);
		return false;
	}
	if (c->ssl)
		SSL_set_accept_state(c->ssl);
	c->link = s->last;
	*s->last = c;
	s->last = &c->next;
	s->connections++;
	return true;
}

static void server_rested(struct timer *t)
{
	struct server *s = (struct server *)((char *)t - offsetof(struct server, pause));

	if (!loop_watch(&s->watch, s->fd, EPOLLIN))
		loop_set(t, loop_now() + PAUSE);
}

static void server_ready(struct watch *w, uint32_t events)
{
	struct server *s = (struct server *)((char *)w - offsetof(struct server, watch));
	int fd = accept4(s->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	(void)events;
	if (fd < 0) {
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
			loop_watch(w, s->fd, 0);
			loop_set(&s->pause, loop_now() + PAUSE);
		}
		return;
	}
	if (s->connections == CONNECTIONS)
		drop(s->oldest);
	if (!welcome(s, fd))
		close(fd);
}

/* The server. */

static void unset(struct page **at)
{
	struct page *page = *at;

	if (!page)
		return;
	*at = page->next;
	free(page->path);
	free(page->body);
	free(page);
}

static bool set(struct server *s, const char *path, const char *body, size_t length)
{
	struct page *page = calloc(1, sizeof *page);

	if (!page || !(page->path = strdup(path)) || !(page->body = malloc(length + 1))) {
		if (page)
			free(page->path);
		free(page);
		return false;
	}
	memcpy(page->body, body, length);
	page->length = length;
	unset(find(s, path, strlen(path)));
	page->next = s->pages;
	s->pages = page;
	return true;
}

static void shut(struct server *s)
{
	for (struct connection *c = s->oldest, *next; c; c = next) {
		next = c->next;
		drop(c);
	}
	while (s->pages)
		unset(&s->pages);
	loop_unset(&s->pause);
	if (s->fd >= 0) {
		loop_watch(&s->watch, s->fd, 0);
		close(s->fd);
	}
	s->fd = -1;
	SSL_CTX_free(s->ctx);
	s->ctx = NULL;
}

static int open_port(lua_State *L, struct server *s, const char *address, lua_Integer port)
{
	struct addrinfo hints = { .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
		.ai_socktype = SOCK_STREAM };
	struct addrinfo *found;
	char service[8];
	int on = 1;

	snprintf(service, sizeof service, "%d", (int)port);
	int error = getaddrinfo(address, service, &hints, &found);
	if (error)
		return fail(L, "usage", "cannot listen on %s port %d: %s", address, (int)port,
		    gai_strerror(error));
	s->fd = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	bool ok = s->fd >= 0 && setsockopt(s->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
		  bind(s->fd, found->ai_addr, found->ai_addrlen) == 0 &&
		  listen(s->fd, CONNECTIONS) == 0 && loop_watch(&s->watch, s->fd, EPOLLIN);
	error = errno;
	freeaddrinfo(found);
	if (ok)
		return 0;
	return fail(L,
	    error == EADDRINUSE ? "conflict"
	    : error == EACCES   ? "denied"
				: "io",
	    "cannot listen on %s port %d: %s", address, (int)port, strerror(error));
}

static int server_gc(lua_State *L)
{
	shut(luaL_checkudata(L, 1, SERVER));
	return 0;
}

static void set_pages(lua_State *L, struct server *s, int bodies)
{
	for (lua_pushnil(L); lua_next(L, bodies); lua_pop(L, 1)) {
		size_t n;
		luaL_argcheck(L, lua_type(L, -2) == LUA_TSTRING && lua_type(L, -1) == LUA_TSTRING,
		    1, "bodies must be strings by path");
		const char *body = lua_tolstring(L, -1, &n);
		if (!set(s, lua_tostring(L, -2), body, n))
			luaL_error(L, "out of memory");
	}
}

/* serve.listen{address=, port=, bodies={[path]=body}, tls={cert=, key=, ca=} or {auto=true}}
 * -> server | nil, message, code */
static int serve_listen(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TTABLE);
	lua_settop(L, 1);
	lua_getfield(L, 1, "address");
	lua_getfield(L, 1, "port");
	lua_getfield(L, 1, "bodies");
	lua_getfield(L, 1, "tls");
	const char *address = luaL_checkstring(L, 2);
	lua_Integer port = luaL_checkinteger(L, 3);
	luaL_argcheck(L, port > 0 && port < 65536, 1, "port is out of range");
	luaL_checktype(L, 4, LUA_TTABLE);
	struct server *s = lua_newuserdatauv(L, sizeof *s, 0);
	*s = (struct server){ .fd = -1, .watch.ready = server_ready, .pause.fired = server_rested };
	s->last = &s->oldest;
	luaL_setmetatable(L, SERVER);
	set_pages(L, s, 4);
	int failed = 0;
	if (!lua_isnil(L, 5))
		failed = serve_tls(L, 5, &s->ctx);
	if (!failed)
		failed = open_port(L, s, address, port);
	if (failed) {
		shut(s);
		return failed;
	}
	lua_settop(L, 6);
	return 1;
}

/* server:set(path, body) */
static int server_set(lua_State *L)
{
	struct server *s = luaL_checkudata(L, 1, SERVER);
	const char *path = luaL_checkstring(L, 2);
	size_t n = 0;
	const char *body = luaL_optlstring(L, 3, NULL, &n);

	if (s->fd < 0)
		return luaL_error(L, "the server is closed");
	if (!body)
		unset(find(s, path, strlen(path)));
	else if (!set(s, path, body, n))
		return luaL_error(L, "out of memory");
	return 0;
}

/* server:close() */
static int server_close(lua_State *L)
{
	return server_gc(L);
}

int luaopen_core_serve(lua_State *L)
{
	static const luaL_Reg meta[] = {
		{ "__close", server_gc },
		{ "__gc", server_gc },
		{ NULL, NULL },
	};
	static const luaL_Reg methods[] = {
		{ "close", server_close },
		{ "set", server_set },
		{ NULL, NULL },
	};
	static const luaL_Reg functions[] = { { "listen", serve_listen }, { NULL, NULL } };

	new_type(L, SERVER, meta, methods);
	luaL_newlib(L, functions);
	return 1;
}
