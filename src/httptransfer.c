/* httptransfer.c - transfers on the loop.
 *
 * All of them share one multi handle that lives while there is any, so that neither an idle
 * connection nor a timer outlasts the last one.  libcurl says which sockets and which timer it
 * wants, the loop watches them, and libcurl is called back with what happened.
 */
#include "http.h"
#include "loop.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define SPARE_FILES ((size_t)8) /* descriptors left to everybody else */
#define IDLE 16                 /* connections kept for the next step of whoever opened them */

static struct {
	CURLM *multi;
	struct timer timer;
	size_t room; /* connections that the system allows */
	bool ready;  /* libcurl is initialised */
} http;

/* The multi handle on the loop. */

static void drain(void)
{
	CURLMsg *m;
	int left;

	while ((m = curl_multi_info_read(http.multi, &left))) {
		struct transfer *t;

		curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&t);
		t->result = m->data.result;
		curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &t->status);
		if (!t->os_errno)
			curl_easy_getinfo(t->easy, CURLINFO_OS_ERRNO, &t->os_errno);
		curl_multi_remove_handle(http.multi, t->easy);
		t->added = false;
		t->finished(t);
	}
}

static void act(curl_socket_t fd, int what)
{
	int running;

	curl_multi_socket_action(http.multi, fd, what, &running);
	drain();
}

static void timer_fired(struct timer *t)
{
	(void)t;
	act(CURL_SOCKET_TIMEOUT, 0);
}

static void socket_ready(struct watch *w, uint32_t events)
{
	int what =
	    (events & EPOLLIN ? CURL_CSELECT_IN : 0) | (events & EPOLLOUT ? CURL_CSELECT_OUT : 0);

	if (events & (EPOLLERR | EPOLLHUP))
		what |= CURL_CSELECT_ERR;
	act(w->fd, what);
}

static int want_socket(CURL *easy, curl_socket_t fd, int what, void *user, void *socket)
{
	struct watch *w = socket;
	struct transfer *t = NULL;

	(void)user;
	if (what & CURL_POLL_IN &&
	    curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&t) == CURLE_OK)
		t->connected = t->connected || fd == t->socket; /* before, it waits to write */
	if (what == CURL_POLL_REMOVE) {
		if (w)
			loop_watch(w, fd, 0);
		free(w);
		return 0;
	}
	if (!w) {
		if (!(w = calloc(1, sizeof *w)))
			return -1;
		w->ready = socket_ready;
		curl_multi_assign(http.multi, fd, w);
	}
	uint32_t events =
	    (what & CURL_POLL_IN ? EPOLLIN : 0u) | (what & CURL_POLL_OUT ? EPOLLOUT : 0u);
	return loop_watch(w, fd, events) ? 0 : -1;
}

static int want_timer(CURLM *multi, long ms, void *user)
{
	(void)multi, (void)user;
	if (ms < 0)
		loop_unset(&http.timer);
	else if (!loop_set(&http.timer, loop_now() + (double)ms / 1000))
		return -1;
	return 0;
}

static bool prepare(void)
{
	if (!http.ready && curl_global_init(CURL_GLOBAL_DEFAULT))
		return false;
	http.ready = true;
	if (http.multi)
		return true;
	if (!(http.multi = curl_multi_init()))
		return false;
	size_t spare = loop_spare_files();
	http.room = spare > 2 * SPARE_FILES ? spare - SPARE_FILES : SPARE_FILES;
	http.timer.fired = timer_fired;
	curl_multi_setopt(http.multi, CURLMOPT_SOCKETFUNCTION, want_socket);
	curl_multi_setopt(http.multi, CURLMOPT_TIMERFUNCTION, want_timer);
	curl_multi_setopt(http.multi, CURLMOPT_MAXCONNECTS, (long)IDLE);
	curl_multi_setopt(http.multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, (long)http.room);
	return true;
}

static void dismiss(void)
{
	curl_multi_cleanup(http.multi);
	http.multi = NULL;
	loop_unset(&http.timer);
}

size_t http_room(void)
{
	if (!prepare())
		return 0;
	return http.room > loop_alive.transfers ? http.room - loop_alive.transfers : 0;
}

/* One transfer. */

static bool keep(struct transfer *t, struct buf *b, const char *data, size_t n)
{
	if (n > t->limit - b->n) {
		t->overflow = true;
		return false;
	}
	if (b->n + n >= b->room) {
		size_t room = 2 * (b->n + n) + 256;
		char *s = realloc(b->s, room);
		if (!s)
			return false;
		b->s = s;
		b->room = room;
	}
	memcpy(b->s + b->n, data, n);
	b->n += n;
	b->s[b->n] = '\0';
	return true;
}

static size_t got_body(char *data, size_t size, size_t n, void *user)
{
	struct transfer *t = user;

	return keep(t, &t->body, data, size * n) ? size * n : 0;
}

static size_t got_header(char *data, size_t size, size_t n, void *user)
{
	struct transfer *t = user;

	if (size * n > 5 && memcmp(data, "HTTP/", 5) == 0)
		t->head.n = 0; /* an interim response came before */
	return keep(t, &t->head, data, size * n) ? size * n : 0;
}

/* libcurl does not report why a socket could not be made, and its own ones survive exec. */
static curl_socket_t open_socket(void *user, curlsocktype purpose, struct curl_sockaddr *a)
{
	struct transfer *t = user;

	(void)purpose;
	int fd = socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
	t->os_errno = fd < 0 ? errno : 0;
	t->socket = fd;
	t->sockets++;
	return fd < 0 ? CURL_SOCKET_BAD : fd;
}

/* The hashed directory instead of the bundle: it is read only where a certificate is looked for. */
static void set_tls(CURL *easy, const struct tls *tls)
{
	if (tls->ca) {
		curl_easy_setopt(easy, CURLOPT_CAINFO, tls->ca);
		curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
	} else if (curl_version_info(CURLVERSION_NOW)->capath) {
		curl_easy_setopt(easy, CURLOPT_CAINFO, NULL);
	}
	curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, tls->insecure ? 0L : 1L);
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, tls->insecure ? 0L : 2L);
	if (!tls->cert)
		return;
	curl_easy_setopt(easy, CURLOPT_SSLCERT, tls->cert);
	curl_easy_setopt(easy, CURLOPT_SSLKEY, tls->key);
	curl_easy_setopt(easy, CURLOPT_KEYPASSWD, ""); /* or OpenSSL asks on the terminal */
}

bool http_begin(struct transfer *t, const char *url, const struct tls *tls)
{
	static const struct tls none;

	if (!prepare() || !(t->easy = curl_easy_init()))
		return false;
	loop_alive.transfers++;
	t->socket = CURL_SOCKET_BAD;
	t->tls = tls ? tls : &none;
	if (!t->limit)
		t->limit = HTTP_LIMIT;
	curl_easy_setopt(t->easy, CURLOPT_PRIVATE, t);
	curl_easy_setopt(t->easy, CURLOPT_ERRORBUFFER, t->error);
	curl_easy_setopt(t->easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(t->easy, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(t->easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(t->easy, CURLOPT_PROXY, "");
	/* the cache lives as long as the multi handle; pruning it would walk it for each transfer
	 */
	curl_easy_setopt(t->easy, CURLOPT_DNS_CACHE_TIMEOUT, -1L);
	curl_easy_setopt(t->easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	curl_easy_setopt(t->easy, CURLOPT_OPENSOCKETFUNCTION, open_socket);
	curl_easy_setopt(t->easy, CURLOPT_OPENSOCKETDATA, t);
	curl_easy_setopt(t->easy, CURLOPT_WRITEFUNCTION, got_body);
	curl_easy_setopt(t->easy, CURLOPT_WRITEDATA, t);
	curl_easy_setopt(t->easy, CURLOPT_HEADERFUNCTION, got_header);
	curl_easy_setopt(t->easy, CURLOPT_HEADERDATA, t);
	http_deadline(t, 2, 10);
	if (strncasecmp(url, "http:", 5) != 0)
		set_tls(t->easy, t->tls);
	return curl_easy_setopt(t->easy, CURLOPT_URL, url) == CURLE_OK;
}

bool http_header(struct transfer *t, const char *line)
{
	struct curl_slist *list = curl_slist_append(t->headers, line);

	if (!list)
		return false;
	t->headers = list;
	return true;
}

/* Zero would mean libcurl's own defaults. */
static long milliseconds(double seconds)
{
	return seconds <= 0.001 ? 1 : seconds > 1e6 ? 1000000000 : (long)(seconds * 1000);
}

void http_deadline(struct transfer *t, double connect, double total)
{
	curl_easy_setopt(t->easy, CURLOPT_CONNECTTIMEOUT_MS, milliseconds(connect));
	curl_easy_setopt(t->easy, CURLOPT_TIMEOUT_MS, milliseconds(total));
}

bool http_start(struct transfer *t)
{
	curl_easy_setopt(t->easy, CURLOPT_HTTPHEADER, t->headers);
	t->added = curl_multi_add_handle(http.multi, t->easy) == CURLM_OK;
	return t->added;
}

bool http_again(struct transfer *t, const char *url, const char *body)
{
	t->head.n = t->body.n = 0;
	t->status = t->os_errno = 0;
	t->sockets = 0;
	t->overflow = false;
	*t->error = '\0';
	if (body)
		curl_easy_setopt(t->easy, CURLOPT_POSTFIELDS, body);
	else
		curl_easy_setopt(t->easy, CURLOPT_HTTPGET, 1L);
	return curl_easy_setopt(t->easy, CURLOPT_URL, url) == CURLE_OK;
}

void http_end(struct transfer *t)
{
	if (!t->easy)
		return;
	if (t->added)
		curl_multi_remove_handle(http.multi, t->easy);
	curl_easy_cleanup(t->easy);
	curl_slist_free_all(t->headers);
	free(t->head.s);
	free(t->body.s);
	*t = (struct transfer){ 0 };
	if (--loop_alive.transfers == 0)
		dismiss();
}

const char *http_split(const char *s, const char **colon, const char **value, const char **end)
{
	const char *e = s ? strpbrk(s, "\r\n") : NULL;

	if (!e)
		return NULL;
	*end = e;
	*colon = memchr(s, ':', (size_t)(e - s));
	if (*colon)
		for (*value = *colon + 1; *value < e && (**value == ' ' || **value == '\t');)
			++*value;
	return e + strspn(e, "\r\n");
}

const char *http_field(const struct transfer *t, const char *name, size_t *n)
{
	const char *s = t->head.s, *colon, *value, *end, *next;

	for (; (next = http_split(s, &colon, &value, &end)); s = next)
		if (colon && (size_t)(colon - s) == strlen(name) &&
		    strncasecmp(s, name, strlen(name)) == 0) {
			*n = (size_t)(end - value);
			return value;
		}
	return NULL;
}
