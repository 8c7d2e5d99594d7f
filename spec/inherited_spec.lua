-- What etcd's own variables say, as a policy's `etcd`.
local inherited = require "inherited"

local function etcd(set, given)
	return inherited.etcd(given, function(name) return set[name] end)
end

describe("inherited.etcd", function()
	it("is what was given where the environment says nothing, and leaves that alone", function()
		local given = { name = "a", data_dir = false, listen = "any", tls = { cert = "/c" }, extra = { ETCD_X = "1" }, scheme = "https" }
		local made = etcd({ ETCD_NAME = "" }, given)
		assert.same(given, made)
		made.tls.cert, made.extra.ETCD_X = "/d", "2"
		assert.same({ "/c", "1" }, { given.tls.cert, given.extra.ETCD_X })
		assert.same({ tls = {}, extra = {} }, etcd {})
	end)

	it("has the environment's word where there is one", function()
		assert.same({
			name = "a", data_dir = "/d", token = "t", scheme = "https",
			listen = { client = { "http://10.0.0.1:1", "http://127.0.0.1:1" }, peer = { "http://10.0.0.1:2" } },
			tls = { cert = "/c", key = "/k", ca = "/ca", client_auth = true, peer_auto = true, peer_client_auth = false },
			extra = { ETCD_WAL_DIR = "/w", ETCD_X = "1" },
		}, etcd({
			ETCD_NAME = "a", ETCD_DATA_DIR = "/d", ETCD_INITIAL_CLUSTER_TOKEN = "t", ETCD_WAL_DIR = "/w",
			ETCD_LISTEN_CLIENT_URLS = "http://10.0.0.1:1,http://127.0.0.1:1", ETCD_LISTEN_PEER_URLS = "http://10.0.0.1:2",
			ETCD_CERT_FILE = "/c", ETCD_KEY_FILE = "/k", ETCD_TRUSTED_CA_FILE = "/ca", ETCD_CLIENT_CERT_AUTH = "true",
			ETCD_PEER_AUTO_TLS = "True", ETCD_PEER_CLIENT_CERT_AUTH = "false",
		}, { data_dir = "/other", scheme = "https", listen = "any", tls = { cert = "/other" }, extra = { ETCD_X = "1" } }))
	end)

	it("keeps the lists of URLs that only one kind of them replaces", function()
		local urls = { client = { "http://a:1" }, peer = { "http://a:2" } }
		assert.same({ client = { "http://b:1" }, peer = { "http://a:2" } },
			etcd({ ETCD_LISTEN_CLIENT_URLS = "http://b:1" }, { listen = urls }).listen)
	end)
end)
