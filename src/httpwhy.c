/* httpwhy.c - what went wrong with a transfer, in words for a person and as a code.
 *
 * libcurl's result alone says too little: "could not connect" is also what a full table of
 * descriptors gives, and one broken handshake looks like another.  The system's own error number,
 * the times at which the steps were reached and OpenSSL's text tell the causes apart.
 */
#include "http.h"

#include <errno.h>
#include <openssl/x509_vfy.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

void http_redact(const char *url, char *out, size_t n)
{
	const char *host = strstr(url, "://");
	size_t authority = host ? strcspn(host + 3, "/?#") : 0;
	const char *at = host ? memrchr(host + 3, '@', authority) : NULL;

	if (at)
		snprintf(out, n, "%.*s%s", (int)(host + 3 - url), url, at + 1);
	else
		snprintf(out, n, "%s", url);
}

static const char *explain_connect(const struct transfer *t, char *why, size_t n)
{
	switch (t->os_errno) {
	case ECONNREFUSED:
		snprintf(why, n, "connection refused");
		return "refused";
	case EHOSTUNREACH:
	case ENETUNREACH:
		snprintf(why, n, "no route to the host");
		return "unreachable";
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOMEM:
		snprintf(why, n, "could not open a connection: %s", strerror((int)t->os_errno));
		return "io";
	case ETIMEDOUT:
		snprintf(why, n, "no connection: %s", strerror(ETIMEDOUT));
		return "timeout";
	case 0:
		snprintf(why, n, "no connection: %s", *t->error ? t->error : "cause unknown");
		return "unreachable";
	default:
		snprintf(why, n, "no connection: %s", strerror((int)t->os_errno));
		return "unreachable";
	}
}

static const char *explain_timeout(const struct transfer *t, char *why, size_t n)
{
	curl_off_t secured = 0, total = 0;
	char *scheme = NULL, limit[32];

	curl_easy_getinfo(t->easy, CURLINFO_APPCONNECT_TIME_T, &secured);
	curl_easy_getinfo(t->easy, CURLINFO_TOTAL_TIME_T, &total);
	curl_easy_getinfo(t->easy, CURLINFO_SCHEME, &scheme);
	double s = (double)total / 1e6;
	snprintf(limit, sizeof limit, s < 1 ? "%.1g s" : "%.0f s", s); /* not to change each time */
	if (!t->connected)
		snprintf(why, n, "no connection within %s", limit);
	else if (scheme && strcasecmp(scheme, "https") == 0 && !secured)
		snprintf(why, n, "connected, but no TLS handshake within %s", limit);
	else if (t->head.n)
		snprintf(why, n, "connected, but the answer was not complete within %s", limit);
	else
		snprintf(why, n, "connected, but no answer within %s", limit);
	return "timeout";
}

/* The part of libcurl's message that says something: OpenSSL's reason without its numbers. */
static const char *reason(const struct transfer *t)
{
	const char *s = strstr(t->error, "SSL routines::");

	return s           ? s + strlen("SSL routines::")
	       : *t->error ? t->error
			   : curl_easy_strerror(t->result);
}

/* A broken handshake, or a connection that broke when the server had seen our certificate. */
static const char *explain_tls(const struct transfer *t, char *why, size_t n)
{
	const char *text = reason(t);

	if (strstr(text, "wrong version number") || strstr(text, "packet length too long") ||
	    strstr(text, "http request"))
		snprintf(why, n,
		    "this port does not speak TLS (https was asked of a plain port?): %s", text);
	else if (strstr(text, "alert") &&
		 (strstr(text, "certificate") || strstr(text, "unknown ca") ||
		     strstr(text, "handshake failure")))
		snprintf(why, n, "the server refused %s: TLS %s",
		    t->tls->cert ? "our client certificate" : "us without a client certificate",
		    text);
	else if (strstr(text, "alert"))
		snprintf(why, n, "the server ended TLS: %s", text);
	else
		snprintf(why, n, "the TLS handshake failed (no TLS on this port?): %s", text);
	return "tls";
}

static const char *explain_verify(const struct transfer *t, char *why, size_t n)
{
	long verified = X509_V_OK;

	curl_easy_getinfo(t->easy, CURLINFO_SSL_VERIFYRESULT, &verified);
	if (verified != X509_V_OK && verified != X509_V_ERR_UNSPECIFIED)
		snprintf(why, n, "the server's certificate is not trusted (%s): %s",
		    t->tls->ca ? t->tls->ca : "the system's authorities",
		    X509_verify_cert_error_string(verified));
	else
		snprintf(why, n, "the server's certificate is for another name: %s", reason(t));
	return "tls";
}

static const char *explain_file(const struct transfer *t, char *why, size_t n)
{
	if (t->result == CURLE_SSL_CACERT_BADFILE)
		snprintf(why, n, "cannot use the authorities' certificates in %s",
		    t->tls->ca ? t->tls->ca : "the system's directory");
	else
		snprintf(why, n, "cannot use the certificate %s with the key %s: %s",
		    t->tls->cert ? t->tls->cert : "(none)", t->tls->key ? t->tls->key : "(none)",
		    reason(t));
	return "tls";
}

static const char *explain_broken(const struct transfer *t, char *why, size_t n)
{
	if (strstr(t->error, "SSL routines::"))
		return explain_tls(t, why, n);
	if (t->result == CURLE_GOT_NOTHING)
		snprintf(why, n,
		    "the connection was closed without an answer (http asked of a TLS "
		    "port, or a client certificate is missing?)");
	else if (t->result == CURLE_PARTIAL_FILE)
		snprintf(why, n, "the answer was cut off after %zu bytes", t->body.n);
	else if (strstr(t->error, "reset by peer"))
		snprintf(why, n, "the connection was reset");
	else
		snprintf(why, n, "the connection broke: %s", reason(t));
	return "http";
}

const char *http_explain(const struct transfer *t, char *why, size_t n)
{
	if (t->overflow) {
		snprintf(why, n, "answer larger than %zu bytes", t->limit);
		return "http";
	}
	switch (t->result) {
	case CURLE_COULDNT_CONNECT:
		return explain_connect(t, why, n);
	case CURLE_OPERATION_TIMEDOUT:
		return explain_timeout(t, why, n);
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_RESOLVE_PROXY:
		snprintf(why, n, "%s", reason(t));
		return "dns";
	case CURLE_PEER_FAILED_VERIFICATION:
		return explain_verify(t, why, n);
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_SSL_CACERT_BADFILE:
		return explain_file(t, why, n);
	case CURLE_SSL_CONNECT_ERROR:
		return explain_tls(t, why, n);
	case CURLE_URL_MALFORMAT:
		snprintf(why, n, "this is not a URL");
		return "usage";
	case CURLE_UNSUPPORTED_PROTOCOL:
		if (!t->sockets) {
			snprintf(why, n, "only http and https are spoken");
			return "usage";
		} /* fallthrough */
	case CURLE_WEIRD_SERVER_REPLY:
		snprintf(why, n, "the answer is not HTTP (http asked of a TLS port?)");
		return "http";
	case CURLE_OUT_OF_MEMORY:
	case CURLE_WRITE_ERROR:
		snprintf(why, n, "out of memory");
		return "io";
	default:
		return explain_broken(t, why, n);
	}
}
