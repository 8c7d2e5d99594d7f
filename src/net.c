/* net.c - core.net: URLs and addresses in one canonical form, so that equality is decided on
 * what was parsed and never on text.
 *
 * A URL is scheme, host and port and nothing else.  IPv6 is written as RFC 5952 says; an address
 * like ::ffff:10.0.0.1 is IPv4 in another spelling (the kernel speaks IPv4 to it), so it becomes
 * 10.0.0.1 everywhere.  What a URL carries as user, password or query is never shown.
 */
#include "net.h"

#include "loop.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define INTERFACES "core.net.interfaces"
#define DIGITS "0123456789"

struct ip {
	bool v6;
	unsigned char b[16]; /* four used by IPv4 */
};

struct url {
	const char *scheme;
	char host[256]; /* canonical, IPv6 without brackets */
	bool v6;
	unsigned port;
};

static const unsigned char mapped[12] = { [10] = 0xff, [11] = 0xff };

/* As written, IPv4 in IPv6 left alone. */
static bool parse_literal(const char *s, size_t n, struct ip *ip)
{
	char text[64];

	if (n >= sizeof text || memchr(s, '\0', n))
		return false;
	memcpy(text, s, n);
	text[n] = '\0';
	memset(ip, 0, sizeof *ip);
	ip->v6 = memchr(s, ':', n) != NULL;
	return inet_pton(ip->v6 ? AF_INET6 : AF_INET, text, ip->b) == 1;
}

static void unmap(struct ip *ip)
{
	if (!ip->v6 || memcmp(ip->b, mapped, sizeof mapped) != 0)
		return;
	ip->v6 = false;
	memmove(ip->b, ip->b + 12, 4);
}

static bool parse_ip(const char *s, size_t n, struct ip *ip)
{
	if (!parse_literal(s, n, ip))
		return false;
	unmap(ip);
	return true;
}

static void write_ip(const struct ip *ip, char out[INET6_ADDRSTRLEN])
{
	unsigned words[8];
	int gap = -1, length = 1; /* the first of the longest runs of zeros, two or more */

	if (!ip->v6) {
		sprintf(out, "%u.%u.%u.%u", ip->b[0], ip->b[1], ip->b[2], ip->b[3]);
		return;
	}
	for (size_t i = 0; i < 8; i++)
		words[i] = (unsigned)ip->b[2 * i] << 8 | ip->b[2 * i + 1];
	for (int i = 0; i < 8; i++) {
		int run = 0;

		while (i + run < 8 && words[i + run] == 0)
			run++;
		if (run > length) {
			gap = i;
			length = run;
		}
	}
	for (int i = 0; i < 8; i++) {
		if (i == gap) {
			out += sprintf(out, "::");
			i += length - 1;
			continue;
		}
		out += sprintf(out, "%s%x", i > 0 && i != gap + length ? ":" : "", words[i]);
	}
}

/* A name may not look like a number: resolvers read 127.1 and 0x7f.1 as addresses. */
static const char *parse_name(const char *s, size_t n, char *out)
{
	size_t label = 0, last = 0;

	if (n > 253)
		return "the host name is too long";
	for (size_t i = 0; i < n; i++) {
		bool letter = (s[i] >= 'a' && s[i] <= 'z') || (s[i] >= 'A' && s[i] <= 'Z');

		out[i] = (char)(letter ? s[i] | 0x20 : s[i]);
		if (s[i] == '.' && (label == 0 || label > 63))
			return "the host has an empty or too long part";
		if (!letter && (s[i] == '\0' || !strchr(DIGITS "-_.", s[i])))
			return "the host has a character that no host name has";
		label = s[i] == '.' ? 0 : label + 1;
		if (label == 1)
			last = i;
	}
	out[n] = '\0';
	if (label > 63)
		return "the host has an empty or too long part";
	if (strspn(out + last, DIGITS) > 0 && strspn(out + last, DIGITS) + (label == 0) == n - last)
		return "the IPv4 address is not valid";
	if (strncmp(out + last, "0x", 2) == 0 &&
	    strspn(out + last + 2, DIGITS "abcdef") + 2 + (label == 0) == n - last)
		return "the IPv4 address is not valid";
	return NULL;
}

static const char *parse_host(const char *s, size_t n, struct url *u)
{
	struct ip ip;

	u->v6 = false;
	if (n == 0)
		return "the host is empty";
	if (*s == '[') {
		if (s[n - 1] != ']' || !memchr(s, ':', n) || !parse_ip(s + 1, n - 2, &ip))
			return "the address in brackets is not a valid IPv6 address";
		u->v6 = ip.v6;
		write_ip(&ip, u->host);
		return NULL;
	}
	if (memchr(s, ':', n))
		return "an IPv6 address must stand in brackets";
	if (!parse_ip(s, n, &ip))
		return parse_name(s, n, u->host);
	write_ip(&ip, u->host);
	return NULL;
}

static const char *parse_port(const char *s, size_t n, unsigned *port)
{
	unsigned value = 0;

	for (size_t i = 0; i < n && value <= 65535; i++) {
		if (s[i] < '0' || s[i] > '9')
			return "the port is not a number from 1 to 65535";
		value = value * 10 + (unsigned)(s[i] - '0');
	}
	if (value < 1 || value > 65535)
		return "the port is not a number from 1 to 65535";
	*port = value;
	return NULL;
}

/* NULL, or what is wrong. */
static const char *parse_url(const char *s, size_t n, struct url *u)
{
	const char *slashes = memmem(s, n, "://", 3), *end = s + n, *wrong;

	for (size_t i = 0; i < n; i++)
		if (s[i] <= ' ' || s[i] > '~')
			return "it has a space or a character that no URL has";
	if (!slashes)
		return "it does not begin with http:// or https://";
	if (slashes - s == 4 && strncasecmp(s, "http", 4) == 0)
		u->scheme = "http";
	else if (slashes - s == 5 && strncasecmp(s, "https", 5) == 0)
		u->scheme = "https";
	else
		return "the scheme is neither http nor https";
	s = slashes + 3;
	if (memchr(s, '@', (size_t)(end - s)))
		return "it carries a user name or password";
	if (memchr(s, '?', (size_t)(end - s)) || memchr(s, '#', (size_t)(end - s)))
		return "it has a query or a fragment";
	const char *path = memchr(s, '/', (size_t)(end - s));
	if (path && path + 1 != end)
		return "it has a path";
	if (path)
		end = path;
	const char *colon = memrchr(s, ':', (size_t)(end - s));
	if (colon && memchr(colon, ']', (size_t)(end - colon)))
		colon = NULL;
	wrong = parse_host(s, (size_t)((colon ? colon : end) - s), u);
	u->port = u->scheme[4] ? 443 : 80;
	if (!wrong && colon)
		wrong = parse_port(colon + 1, (size_t)(end - colon - 1), &u->port);
	return wrong;
}

static int write_url(const struct url *u, char *out, size_t room)
{
	return snprintf(
	    out, room, u->v6 ? "%s://[%s]:%u" : "%s://%s:%u", u->scheme, u->host, u->port);
}

static void push_url(lua_State *L, const struct url *u)
{
	char text[sizeof u->host + 32];

	write_url(u, text, sizeof text);
	lua_pushstring(L, text);
}

bool net_canonical(const char *text, size_t n, char *out, size_t room)
{
	struct url u;

	return !parse_url(text, n, &u) && (size_t)write_url(&u, out, room) < room;
}

/* nil, message, code; all before the last @ and all after ? or # may be a secret. */
static int fail_url(lua_State *L, const char *s, size_t n, const char *wrong)
{
	const char *at = memrchr(s, '@', n), *scheme = memmem(s, n, "://", 3);
	const char *from = at ? at : s, *end = from;
	size_t before = (size_t)(from - s), letters = 0, kept = 0;

	while (letters < n && ((s[letters] | 0x20) >= 'a' && (s[letters] | 0x20) <= 'z'))
		letters++;
	if (at && scheme == s + letters && scheme < at)
		kept = letters + 3;
	if (!memchr(s, '?', before) && !memchr(s, '#', before))
		while (end < s + n && *end != '?' && *end != '#' && *end != '\0')
			end++;
	int shown = end - from > 300 ? 300 : (int)(end - from);
	return fail(L, "parse", "bad URL \"%.*s%s%.*s%s\": %s", (int)kept, s, at ? "[secret]" : "",
	    shown, from, from + shown < s + n ? "..." : "", wrong);
}

/* net.url(text) -> {scheme, host, port, url} | nil, message, code */
static int net_url(lua_State *L)
{
	size_t n;
	const char *text = luaL_checklstring(L, 1, &n), *wrong;
	struct url u;

	wrong = parse_url(text, n, &u);
	if (wrong)
		return fail_url(L, text, n, wrong);
	lua_createtable(L, 0, 4);
	lua_pushstring(L, u.scheme);
	lua_setfield(L, -2, "scheme");
	lua_pushstring(L, u.host);
	lua_setfield(L, -2, "host");
	lua_pushinteger(L, u.port);
	lua_setfield(L, -2, "port");
	push_url(L, &u);
	lua_setfield(L, -2, "url");
	return 1;
}

/* net.join(scheme, host, port) -> url */
static int net_join(lua_State *L)
{
	const char *scheme = luaL_checkstring(L, 1), *host = luaL_checkstring(L, 2);
	lua_Integer port = luaL_checkinteger(L, 3);
	bool bare = strchr(host, ':') && *host != '[';
	struct url u;
	size_t n;

	lua_pushfstring(L, bare ? "%s://[%s]:%I" : "%s://%s:%I", scheme, host, port);
	const char *text = lua_tolstring(L, -1, &n), *wrong = parse_url(text, n, &u);
	if (wrong) {
		fail_url(L, text, n, wrong);
		return luaL_error(L, "net.join: %s", lua_tostring(L, -2));
	}
	push_url(L, &u);
	return 1;
}

/* net.same(url, other) -> boolean */
static int net_same(lua_State *L)
{
	size_t n, m;
	const char *a = luaL_checklstring(L, 1, &n), *b = luaL_checklstring(L, 2, &m);
	struct url u, v;
	bool same;

	if (parse_url(a, n, &u) || parse_url(b, m, &v))
		same = n == m && memcmp(a, b, n) == 0;
	else
		same = u.scheme == v.scheme && u.port == v.port && strcmp(u.host, v.host) == 0;
	lua_pushboolean(L, same);
	return 1;
}

/* net.address(text) -> address, 4 or 6 | nil, message, code */
static int net_address(lua_State *L)
{
	size_t n;
	const char *text = luaL_checklstring(L, 1, &n);
	char out[INET6_ADDRSTRLEN];
	struct ip ip;

	if (!parse_ip(text, n, &ip))
		return fail(L, "parse", "\"%.100s\" is not an IP address", text);
	write_ip(&ip, out);
	lua_pushstring(L, out);
	lua_pushinteger(L, ip.v6 ? 6 : 4);
	return 2;
}

static bool parse_cidr(const char *s, size_t n, struct ip *ip, unsigned *bits)
{
	const char *slash = memchr(s, '/', n);
	size_t digits = slash ? (size_t)(s + n - slash - 1) : 0;

	if (digits < 1 || digits > 3 || strspn(slash + 1, DIGITS) != digits ||
	    !parse_literal(s, (size_t)(slash - s), ip))
		return false;
	*bits = 0;
	for (size_t i = 1; i <= digits; i++)
		*bits = *bits * 10 + (unsigned)(slash[i] - '0');
	if (*bits > (ip->v6 ? 128 : 32))
		return false;
	if (ip->v6 && *bits >= 96) {
		unmap(ip);
		*bits -= ip->v6 ? 0 : 96;
	}
	return true;
}

/* net.inside(address, cidr) -> boolean | nil, message, code */
static int net_inside(lua_State *L)
{
	size_t n, m;
	const char *text = luaL_checklstring(L, 1, &n), *cidr = luaL_checklstring(L, 2, &m);
	struct ip ip, base;
	unsigned bits;

	if (!parse_ip(text, n, &ip))
		return fail(L, "parse", "\"%.100s\" is not an IP address", text);
	if (!parse_cidr(cidr, m, &base, &bits))
		return fail(
		    L, "parse", "\"%.100s\" is not a range like 10.0.0.0/8 or fd00::/8", cidr);
	bool inside = ip.v6 == base.v6;
	for (unsigned i = 0; inside && i < bits; i++)
		inside = ((ip.b[i / 8] ^ base.b[i / 8]) & (0x80u >> (i % 8))) == 0;
	lua_pushboolean(L, inside);
	return 1;
}

static int interfaces_gc(lua_State *L)
{
	struct ifaddrs **list = luaL_checkudata(L, 1, INTERFACES);

	if (*list)
		freeifaddrs(*list);
	*list = NULL;
	return 0;
}

/* net.interfaces() -> addresses | nil, message, code */
static int net_interfaces(lua_State *L)
{
	struct ifaddrs **list = lua_newuserdatauv(L, sizeof *list, 0);
	char out[INET6_ADDRSTRLEN];
	lua_Integer n = 0;

	*list = NULL;
	luaL_setmetatable(L, INTERFACES);
	lua_toclose(L, -1);
	if (getifaddrs(list) != 0)
		return fail(L, "io", "cannot list the network interfaces: %s", strerror(errno));
	lua_newtable(L);
	for (struct ifaddrs *i = *list; i; i = i->ifa_next) {
		struct ip ip = { 0 };

		if (!i->ifa_addr || !(i->ifa_flags & IFF_UP))
			continue;
		if (i->ifa_addr->sa_family == AF_INET6) {
			ip.v6 = true;
			memcpy(ip.b, &((struct sockaddr_in6 *)(void *)i->ifa_addr)->sin6_addr, 16);
		} else if (i->ifa_addr->sa_family == AF_INET) {
			memcpy(ip.b, &((struct sockaddr_in *)(void *)i->ifa_addr)->sin_addr, 4);
		} else {
			continue;
		}
		write_ip(&ip, out);
		lua_pushstring(L, out);
		lua_rawseti(L, -2, ++n);
	}
	return 1;
}

int luaopen_core_net(lua_State *L)
{
	static const luaL_Reg meta[] = {
		{ "__close", interfaces_gc },
		{ "__gc", interfaces_gc },
		{ NULL, NULL },
	};
	static const luaL_Reg functions[] = {
		{ "address", net_address },
		{ "inside", net_inside },
		{ "interfaces", net_interfaces },
		{ "join", net_join },
		{ "same", net_same },
		{ "url", net_url },
		{ NULL, NULL },
	};

	new_type(L, INTERFACES, meta, NULL);
	luaL_newlib(L, functions);
	return 1;
}
