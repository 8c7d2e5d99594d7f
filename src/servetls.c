/* servetls.c - TLS of a served port: with the files that it is given, or with a certificate made on
 * the spot, which is kept in memory and proves nothing to anybody.
 */
#include "serve.h"

#include "loop.h"

#include <lauxlib.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#define DAY 86400L

static char no_password[] = ""; /* else OpenSSL asks for one on the terminal */

/* The reason of OpenSSL's first error. */
static const char *reason(void)
{
	const char *text = ERR_reason_error_string(ERR_peek_error());

	return text ? text : "unknown cause";
}

/* A client's clock may be behind or ahead by a day. */
static X509 *self_signed(EVP_PKEY *key)
{
	X509 *x = X509_new();
	X509_NAME *name = x ? X509_get_subject_name(x) : NULL;

	if (name && X509_set_version(x, 2) && ASN1_INTEGER_set(X509_get_serialNumber(x), 1) &&
	    X509_gmtime_adj(X509_getm_notBefore(x), -DAY) &&
	    X509_gmtime_adj(X509_getm_notAfter(x), 2 * DAY) &&
	    X509_NAME_add_entry_by_txt(
		name, "O", MBSTRING_ASC, (const unsigned char *)"etcd-bootstrap", -1, -1, 0) &&
	    X509_set_issuer_name(x, name) && X509_set_pubkey(x, key) &&
	    X509_sign(x, key, EVP_sha256()))
		return x;
	X509_free(x);
	return NULL;
}

static int use_own(lua_State *L, SSL_CTX *ctx)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = key ? self_signed(key) : NULL;
	bool ok =
	    x && SSL_CTX_use_certificate(ctx, x) == 1 && SSL_CTX_use_PrivateKey(ctx, key) == 1;

	X509_free(x);
	EVP_PKEY_free(key);
	return ok ? 0 : fail(L, "tls", "cannot make a certificate: %s", reason());
}

static int use_files(lua_State *L, SSL_CTX *ctx, const char *cert, const char *key)
{
	if (SSL_CTX_use_certificate_chain_file(ctx, cert) != 1)
		return fail(L, "tls", "cannot use the certificate %s: %s", cert, reason());
	if (SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1)
		return fail(
		    L, "tls", "cannot use the key %s of certificate %s: %s", key, cert, reason());
	return 0;
}

/* From now on a client needs a certificate of these authorities. */
static int demand(lua_State *L, SSL_CTX *ctx, const char *ca)
{
	STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(ca);

	if (!names || SSL_CTX_load_verify_locations(ctx, ca, NULL) != 1) {
		sk_X509_NAME_pop_free(names, X509_NAME_free);
		return fail(
		    L, "tls", "cannot use the authorities' certificates in %s: %s", ca, reason());
	}
	SSL_CTX_set_client_CA_list(ctx, names);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	return 0;
}

int serve_tls(lua_State *L, int o, SSL_CTX **ctx)
{
	luaL_checktype(L, o, LUA_TTABLE);
	lua_getfield(L, o, "auto");
	bool own = lua_toboolean(L, -1);
	lua_getfield(L, o, "cert");
	lua_getfield(L, o, "key");
	lua_getfield(L, o, "ca");
	const char *cert = own ? NULL : luaL_checkstring(L, -3);
	const char *key = own ? NULL : luaL_checkstring(L, -2);
	const char *ca = luaL_optstring(L, -1, NULL);

	ERR_clear_error();
	if (!(*ctx = SSL_CTX_new(TLS_server_method())))
		return fail(L, "tls", "cannot start TLS: %s", reason());
	SSL_CTX_set_min_proto_version(*ctx, TLS1_2_VERSION);
	SSL_CTX_set_default_passwd_cb_userdata(*ctx, no_password);
	/* A session is not resumed: without an id context that fails as soon as clients show a
	 * certificate, and nothing is asked often enough to gain by it. */
	SSL_CTX_set_session_cache_mode(*ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_options(*ctx, SSL_OP_NO_TICKET);
	SSL_CTX_set_mode(*ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
				   SSL_MODE_RELEASE_BUFFERS);
	int failed = own ? use_own(L, *ctx) : use_files(L, *ctx, cert, key);
	return !failed && ca ? demand(L, *ctx, ca) : failed;
}
