/* crypto.c - core.crypto: digests by OpenSSL, the encodings that go with them, and what a
 * certificate says.
 *
 * OpenSSL is set up by its first use and not when the module is loaded: most runs never need
 * it.  Random bytes come from the kernel, which needs no setting up at all.
 */
#include "loop.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#define RANDOM_MAX (1 << 20)

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static int push_digest(lua_State *L, const char *name)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	size_t n, length = 0;
	const char *s = luaL_checklstring(L, 1, &n);

	if (!EVP_Q_digest(NULL, name, NULL, s, n, digest, &length))
		return luaL_error(L, "this system's OpenSSL refuses %s", name);
	lua_pushlstring(L, (char *)digest, length);
	return 1;
}

/* crypto.sha1(s) -> digest */
static int crypto_sha1(lua_State *L)
{
	return push_digest(L, "SHA1");
}

/* crypto.sha256(s) -> digest */
static int crypto_sha256(lua_State *L)
{
	return push_digest(L, "SHA256");
}

/* crypto.hmac(key, s) -> digest */
static int crypto_hmac(lua_State *L)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	size_t keys, n, length = 0;
	const char *key = luaL_checklstring(L, 1, &keys);
	const char *s = luaL_checklstring(L, 2, &n);

	if (!EVP_Q_mac(NULL, "HMAC", NULL, "SHA256", NULL, key, keys, (const unsigned char *)s, n,
		digest, sizeof digest, &length))
		return luaL_error(L, "this system's OpenSSL refuses HMAC with SHA256");
	lua_pushlstring(L, (char *)digest, length);
	return 1;
}

/* crypto.hex(s) -> string */
static int crypto_hex(lua_State *L)
{
	static const char digits[] = "0123456789abcdef";
	size_t n;
	const char *s = luaL_checklstring(L, 1, &n);
	luaL_Buffer b;
	char *out = luaL_buffinitsize(L, &b, 2 * n);

	for (size_t i = 0; i < n; i++) {
		out[2 * i] = digits[(unsigned char)s[i] >> 4];
		out[2 * i + 1] = digits[s[i] & 15];
	}
	luaL_pushresultsize(&b, 2 * n);
	return 1;
}

/* crypto.base64(s) -> string */
static int crypto_base64(lua_State *L)
{
	size_t n, filled = 0;
	const char *s = luaL_checklstring(L, 1, &n);
	luaL_Buffer b;
	char *out = luaL_buffinitsize(L, &b, (n + 2) / 3 * 4);

	for (size_t i = 0; i < n; i += 3) {
		uint32_t word = 0;

		for (size_t j = 0; j < 3; j++)
			word = word << 8 | (i + j < n ? (unsigned char)s[i + j] : 0);
		for (int shift = 18; shift >= 0; shift -= 6)
			out[filled++] = letters[word >> shift & 63];
	}
	for (size_t i = 0; i < (3 - n % 3) % 3; i++)
		out[filled - 1 - i] = '=';
	luaL_pushresultsize(&b, filled);
	return 1;
}

/* Only the one spelling that base64 writes: padded, no line breaks, unused bits zero. */
static bool unbase64(const char *s, size_t n, char *out, size_t *filled)
{
	size_t padding = n && s[n - 1] == '=' ? 1u + (n > 1 && s[n - 2] == '=') : 0u;

	*filled = 0;
	if (n % 4 != 0)
		return false;
	for (size_t i = 0; i < n; i += 4) {
		size_t unused = i + 4 == n ? padding : 0;
		uint32_t word = 0;

		for (size_t j = 0; j < 4; j++) {
			const char *found = memchr(letters, s[i + j], sizeof letters - 1);

			if (!found && j < 4 - unused)
				return false;
			word = word << 6 | (found ? (uint32_t)(found - letters) : 0);
		}
		if (word & ((1u << 8 * unused) - 1))
			return false;
		for (size_t j = 0; j < 3 - unused; j++)
			out[(*filled)++] = (char)(word >> (16 - 8 * j) & 0xff);
	}
	return true;
}

/* crypto.unbase64(s) -> string | nil, message, code */
static int crypto_unbase64(lua_State *L)
{
	size_t n, filled;
	const char *s = luaL_checklstring(L, 1, &n);
	luaL_Buffer b;
	char *out = luaL_buffinitsize(L, &b, n);

	if (!unbase64(s, n, out, &filled))
		return fail(L, "parse", "text of %zu bytes is not valid base64", n);
	luaL_pushresultsize(&b, filled);
	return 1;
}

/* crypto.random(n) -> string */
static int crypto_random(lua_State *L)
{
	lua_Integer n = luaL_checkinteger(L, 1);
	luaL_Buffer b;

	luaL_argcheck(L, n >= 0 && n <= RANDOM_MAX, 1, "number of bytes out of range");
	char *out = luaL_buffinitsize(L, &b, (size_t)n);
	for (size_t filled = 0; filled < (size_t)n;) {
		ssize_t got = getrandom(out + filled, (size_t)n - filled, 0);

		if (got < 0 && errno != EINTR)
			return luaL_error(L, "no random bytes: %s", strerror(errno));
		filled += got > 0 ? (size_t)got : 0;
	}
	luaL_pushresultsize(&b, (size_t)n);
	return 1;
}

/* Certificates. */

static char no_password[] = ""; /* else OpenSSL asks for one on the terminal */

static BIO *memory(lua_State *L, int i)
{
	size_t n;
	const char *s = luaL_checklstring(L, i, &n);

	luaL_argcheck(L, n < INT_MAX, i, "the text is too long");
	return BIO_new_mem_buf(s, (int)n);
}

static X509 *read_certificate(lua_State *L, int i)
{
	BIO *in = memory(L, i);
	X509 *x = in ? PEM_read_bio_X509(in, NULL, NULL, no_password) : NULL;

	BIO_free(in);
	return x;
}

static int bad_pem(lua_State *L, const char *what)
{
	const char *why = ERR_reason_error_string(ERR_peek_error());

	return fail(L, "parse", "no %s in PEM (%s)", what, why ? why : "cause unknown");
}

static void push_subject(lua_State *L, const X509 *x)
{
	BIO *out = BIO_new(BIO_s_mem());
	char *text = NULL;
	long n = 0;

	if (out && X509_NAME_print_ex(out, X509_get_subject_name(x), 0, XN_FLAG_ONELINE) >= 0)
		n = BIO_get_mem_data(out, &text);
	lua_pushlstring(L, text ? text : "", (size_t)n);
	BIO_free(out);
}

/* Push the name as text, "" for one that is neither a host name nor an address. */
static void push_name(lua_State *L, const GENERAL_NAME *name)
{
	char ip[INET6_ADDRSTRLEN] = "";
	int type, n;
	const ASN1_STRING *text = GENERAL_NAME_get0_value(name, &type);

	if (type == GEN_DNS) {
		lua_pushlstring(
		    L, (const char *)ASN1_STRING_get0_data(text), (size_t)ASN1_STRING_length(text));
		return;
	}
	n = type == GEN_IPADD ? ASN1_STRING_length(text) : 0;
	if (n == 4 || n == 16)
		inet_ntop(n == 4 ? AF_INET : AF_INET6, ASN1_STRING_get0_data(text), ip, sizeof ip);
	lua_pushstring(L, ip);
}

static void push_names(lua_State *L, const X509 *x)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);

	lua_newtable(L);
	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		push_name(L, sk_GENERAL_NAME_value(names, i));
		if (lua_rawlen(L, -1))
			lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
		else
			lua_pop(L, 1);
	}
	GENERAL_NAMES_free(names);
}

static void set_time(lua_State *L, const char *key, const ASN1_TIME *at)
{
	struct tm tm;

	if (!ASN1_TIME_to_tm(at, &tm))
		return;
	lua_pushinteger(L, (lua_Integer)timegm(&tm));
	lua_setfield(L, -2, key);
}

/* crypto.certificate(pem) -> {subject=, names=, not_before=, not_after=} | nil, message, code */
static int crypto_certificate(lua_State *L)
{
	ERR_clear_error();
	X509 *x = read_certificate(L, 1);
	if (!x)
		return bad_pem(L, "certificate");
	lua_createtable(L, 0, 4);
	push_subject(L, x);
	lua_setfield(L, -2, "subject");
	push_names(L, x);
	lua_setfield(L, -2, "names");
	set_time(L, "not_before", X509_get0_notBefore(x));
	set_time(L, "not_after", X509_get0_notAfter(x));
	X509_free(x);
	return 1;
}

/* crypto.matches(certificate, key) -> boolean | nil, message, code */
static int crypto_matches(lua_State *L)
{
	luaL_checkstring(L, 2);
	ERR_clear_error();
	X509 *x = read_certificate(L, 1);
	if (!x)
		return bad_pem(L, "certificate");
	BIO *in = memory(L, 2);
	EVP_PKEY *key = in ? PEM_read_bio_PrivateKey(in, NULL, NULL, no_password) : NULL;
	bool same = key && X509_check_private_key(x, key) == 1;

	BIO_free(in);
	X509_free(x);
	EVP_PKEY_free(key);
	if (!key)
		return bad_pem(L, "private key without a password");
	lua_pushboolean(L, same);
	return 1;
}

int luaopen_core_crypto(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{ "base64", crypto_base64 },
		{ "certificate", crypto_certificate },
		{ "hex", crypto_hex },
		{ "hmac", crypto_hmac },
		{ "matches", crypto_matches },
		{ "random", crypto_random },
		{ "sha1", crypto_sha1 },
		{ "sha256", crypto_sha256 },
		{ "unbase64", crypto_unbase64 },
		{ NULL, NULL },
	};

	luaL_newlib(L, functions);
	return 1;
}
