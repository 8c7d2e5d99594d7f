/* sigv4.c - core.sigv4: AWS Signature Version 4, from a request and a time alone.
 *
 * A canonical form of the request (sigv4form.c) is signed with a key that is derived from the
 * secret, the day, the region and the service.  S3 wants the body's digest as a header too.
 */
#include "sigv4.h"

#include "loop.h"
#include "sigv4form.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <string.h>
#include <time.h>

#define ALGORITHM "AWS4-HMAC-SHA256"
#define SECRET_MAX 256
#define LAST_TIME 253402300800.0 /* the year 10000 */

/* Push o[key], a string that fits a line, or nil where it may be missing. */
static const char *line(lua_State *L, int o, const char *key, bool needed)
{
	size_t n;
	int type = lua_getfield(L, o, key);

	if (type == LUA_TNIL && !needed)
		return NULL;
	if (type != LUA_TSTRING)
		luaL_error(L, "%s must be a string", key);
	const char *s = lua_tolstring(L, -1, &n);
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)s[i] < ' ' || s[i] == 0x7f)
			luaL_error(L, "%s must be one line", key);
	if (n == 0)
		luaL_error(L, "%s must not be empty", key);
	return s;
}

static bool flag(lua_State *L, int o, const char *key, bool otherwise)
{
	int type = lua_getfield(L, o, key);

	if (type != LUA_TNIL && type != LUA_TBOOLEAN)
		luaL_error(L, "%s must be a boolean", key);
	bool value = type == LUA_TNIL ? otherwise : lua_toboolean(L, -1);
	lua_pop(L, 1);
	return value;
}

static void to_hex(const unsigned char *digest, char out[2 * DIGEST + 1])
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < DIGEST; i++) {
		*out++ = digits[digest[i] >> 4];
		*out++ = digits[digest[i] & 15];
	}
	*out = '\0';
}

static void hash(lua_State *L, const char *s, size_t n, char out[2 * DIGEST + 1])
{
	unsigned char digest[EVP_MAX_MD_SIZE];

	if (!EVP_Q_digest(NULL, "SHA256", NULL, s, n, digest, NULL))
		luaL_error(L, "this system's OpenSSL refuses SHA256");
	to_hex(digest, out);
}

static void read_time(lua_State *L, int keys, double now, struct signing *s)
{
	struct tm tm;
	int type = lua_getfield(L, keys, "time");

	if (type == LUA_TNUMBER)
		now = lua_tonumber(L, -1);
	else if (type != LUA_TNIL)
		luaL_error(L, "time must be a number");
	if (!(now >= 0 && now < LAST_TIME))
		luaL_error(L, "time is missing or out of range");
	lua_pop(L, 1);
	time_t seconds = (time_t)now;
	gmtime_r(&seconds, &tm);
	strftime(s->date, sizeof s->date, "%Y%m%dT%H%M%SZ", &tm);
	memcpy(s->day, s->date, sizeof s->day - 1);
}

/* Read all that is signed but the headers; what was read stays on the stack. */
static void read_signing(lua_State *L, int request, int keys, double now, struct signing *s)
{
	size_t n = 0;

	luaL_checkstack(L, 40, NULL);
	*s = (struct signing){ 0 };
	if (lua_getfield(L, request, "url") != LUA_TSTRING)
		luaL_error(L, "url must be a string");
	form_url(s, lua_tostring(L, -1));
	if (lua_getfield(L, request, "body") != LUA_TNIL && lua_type(L, -1) != LUA_TSTRING)
		luaL_error(L, "body must be a string");
	const char *body = lua_tolstring(L, -1, &n);
	hash(L, body ? body : "", n, s->body);
	s->method = line(L, request, "method", false);
	if (!s->method)
		s->method = body ? "POST" : "GET";
	s->service = line(L, keys, "service", true);
	s->region = line(L, keys, "region", true);
	s->access_key = line(L, keys, "access_key", true);
	line(L, keys, "secret_key", true);
	s->secret.s = lua_tolstring(L, -1, &s->secret.n);
	if (s->secret.n > SECRET_MAX)
		luaL_error(L, "secret_key is longer than %d bytes", SECRET_MAX);
	s->token = line(L, keys, "token", false);
	s->normalize = flag(L, keys, "normalize", strcmp(s->service, "s3") != 0);
	s->sign_body = flag(L, keys, "sign_body", strcmp(s->service, "s3") == 0);
	read_time(L, keys, now, s);
}

/* Push {name = value}: what the signature adds, itself aside. */
static void push_added(lua_State *L, const struct signing *s)
{
	lua_newtable(L);
	lua_pushstring(L, s->date);
	lua_setfield(L, -2, "X-Amz-Date");
	lua_pushstring(L, s->token);
	lua_setfield(L, -2, "X-Amz-Security-Token");
	if (s->sign_body) {
		lua_pushstring(L, s->body);
		lua_setfield(L, -2, "X-Amz-Content-Sha256");
	}
}

/* Push the names of the signed headers, the canonical request and the string to sign. */
static void push_canonical(lua_State *L, const struct signing *s, int request, int added)
{
	char digest[2 * DIGEST + 1];
	size_t n;

	form_push(L, s, request, added);
	const char *canonical = lua_tolstring(L, -1, &n);
	hash(L, canonical, n, digest);
	lua_pushfstring(L, ALGORITHM "\n%s\n%s/%s/%s/aws4_request\n%s", s->date, s->day, s->region,
	    s->service, digest);
}

/* The signature. */

static bool hmac(const void *key, size_t keys, const char *s, size_t n, unsigned char out[DIGEST])
{
	return EVP_Q_mac(NULL, "HMAC", NULL, "SHA256", NULL, key, keys, (const unsigned char *)s, n,
		   out, DIGEST, NULL) != NULL;
}

static bool sign(
    const struct signing *s, const char *text, size_t n, char signature[2 * DIGEST + 1])
{
	const char *scope[] = { s->region, s->service, "aws4_request" };
	unsigned char key[4 + SECRET_MAX] = "AWS4", digest[DIGEST] = { 0 };

	memcpy(key + 4, s->secret.s, s->secret.n);
	bool ok = hmac(key, 4 + s->secret.n, s->day, strlen(s->day), digest);
	for (size_t i = 0; ok && i < sizeof scope / sizeof *scope; i++)
		ok = hmac(digest, DIGEST, scope[i], strlen(scope[i]), digest);
	ok = ok && hmac(digest, DIGEST, text, n, digest);
	to_hex(digest, signature);
	OPENSSL_cleanse(key, sizeof key);
	return ok;
}

void sigv4_headers(lua_State *L, int request, int keys, double now)
{
	char signature[2 * DIGEST + 1];
	struct signing s;
	int top = lua_gettop(L);
	size_t n;

	read_signing(L, request, keys, now, &s);
	push_added(L, &s);
	int added = lua_gettop(L);
	push_canonical(L, &s, request, added);
	const char *text = lua_tolstring(L, -1, &n), *names = lua_tostring(L, -3);
	if (!sign(&s, text, n, signature))
		luaL_error(L, "this system's OpenSSL refuses HMAC with SHA256");
	lua_pushfstring(L,
	    ALGORITHM " Credential=%s/%s/%s/%s/aws4_request, SignedHeaders=%s, Signature=%s",
	    s.access_key, s.day, s.region, s.service, names, signature);
	lua_setfield(L, added, "Authorization");
	lua_pushvalue(L, added);
	lua_replace(L, top + 1);
	lua_settop(L, top + 1);
}

/* sigv4.sign{method=, url=, headers={}, body=, service=, region=, access_key=, secret_key=, token=,
 * time=, normalize=, sign_body=} -> headers */
static int sigv4_sign(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TTABLE);
	sigv4_headers(L, 1, 1, -1);
	return 1;
}

/* sigv4.canonical{as for sign} -> canonical request, string to sign */
static int sigv4_canonical(lua_State *L)
{
	struct signing s;

	luaL_checktype(L, 1, LUA_TTABLE);
	read_signing(L, 1, 1, -1, &s);
	push_added(L, &s);
	push_canonical(L, &s, 1, lua_gettop(L));
	return 2;
}

int luaopen_core_sigv4(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{ "canonical", sigv4_canonical },
		{ "sign", sigv4_sign },
		{ NULL, NULL },
	};

	luaL_newlib(L, functions);
	return 1;
}
