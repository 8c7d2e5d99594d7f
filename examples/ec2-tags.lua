-- In place of the etcd container that finds its cluster by an EC2 tag (DOCKER_EC2TAG, DOCKER_EC2VAL): its
-- environment, then etcd itself with ETCD_OPTS.  It needs no docker socket, and etcd gets the signals.
--
--	DOCKER_EC2TAG=etcd DOCKER_EC2VAL=1 ETCD_MEMBER_TYPE=ip etcd-bootstrap run ec2-tags.lua
--	etcd-bootstrap run ec2-tags.lua -- -size 3      # no founding by less than three; two is the least
--
-- Otherwise than there: machines that start together found one cluster; an AWS that is silent founds none;
-- only who is dead is removed, nobody by a health check, and nobody removes itself; certificates are
-- verified; ETCD_LISTEN_METRICS_URLS stays as it is; the advertised URLs are always made here.
--
-- etcd runs in this very container, so its data is seen; keep it on the machine:
--
--	docker run -v /var/lib/etcd:/var/lib/etcd -v /var/lib/etcd.state:/var/lib/etcd.state ...
--
-- data_dir = false would cost this: a lost disk goes unseen, and a cluster is founded only with
-- found = "refused" and --override roll-call.
local o = assert(flags.parse(args, { size = 2 }))
local env = assert(flags.environment {
	DOCKER_EC2TAG = "etcd", DOCKER_EC2VAL = "1", DOCKER_AWSREG = "", CLNT_PORT = 2379, PEER_PORT = 2380,
	CLNT_SCHEMA = { "http", "https" }, PEER_SCHEMA = { "http", "https" }, ETCD_MEMBER_TYPE = "host",
	CLIENT_TRUSTED_CA_FILE = "client_ca.crt", CLIENT_CERT_FILE = "client.crt", CLIENT_KEY_FILE = "client.key",
	PEER_TRUSTED_CA_FILE = "peer_ca.crt", PEER_CERT_FILE = "peer.crt", PEER_KEY_FILE = "peer.key",
	ETCD_AUTO_TLS = false, ETCD_PEER_AUTO_TLS = false, ETCD_OPTS = "",
	ED_HOME = "", ED_SSL = "", ED_DATA = "/var/lib/etcd", ED_WAL = "",
})

-- Certificates are the files that are there, where etcd does not make one of its own.
local tls = { auto = env.ETCD_AUTO_TLS, peer_auto = env.ETCD_PEER_AUTO_TLS }
for key, name in pairs {
	ca = env.CLIENT_TRUSTED_CA_FILE, cert = env.CLIENT_CERT_FILE, key = env.CLIENT_KEY_FILE,
	peer_ca = env.PEER_TRUSTED_CA_FILE, peer_cert = env.PEER_CERT_FILE, peer_key = env.PEER_KEY_FILE,
} do
	local auto = tls[key:find "^peer_" and "peer_auto" or "auto"]
	local path = env.ED_SSL .. "/" .. name
	tls[key] = not auto and fs.stat(path) and path or nil
end

local words = { (env.ED_HOME ~= "" and env.ED_HOME .. "/bin/" or "") .. "etcd" }
for word in env.ETCD_OPTS:gmatch "%S+" do words[#words + 1] = word end

local tagged = aws.tags {
	[env.DOCKER_EC2TAG] = env.DOCKER_EC2VAL, regions = env.DOCKER_AWSREG ~= "" and { env.DOCKER_AWSREG } or nil,
}

-- Wanted are all that bear the tag, and at least so many.
local function discover(ask)
	local list, why, code = tagged(ask)
	if not list then return nil, why, code end
	local n = 0
	for _, one in ipairs(list.instances) do
		if one.state == "booting" or one.state == "live" then n = n + 1 end
	end
	list.desired = math.max(n, o.size)
	return list
end

return {
	discover = discover,
	output   = { ["-"] = function() return "" end },
	exec     = words,
	etcd     = inherited.etcd {
		data_dir = env.ED_DATA, token = "default", address = env.ETCD_MEMBER_TYPE == "host" and "hostname" or "private_v4",
		scheme = env.ETCD_AUTO_TLS and "https" or env.CLNT_SCHEMA, client_port = env.CLNT_PORT,
		peer_scheme = env.ETCD_PEER_AUTO_TLS and "https" or env.PEER_SCHEMA, peer_port = env.PEER_PORT,
		tls = tls, extra = { ETCD_WAL_DIR = env.ED_WAL ~= "" and env.ED_WAL or nil }, name = function(i) return i.id end,
	},
}
