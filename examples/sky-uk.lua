-- In place of sky-uk/etcd-bootstrap on AWS: its flags, those of 1.x and of 2.x, and its file.
--
--	etcd-bootstrap run sky-uk.lua -- -cloud aws -o /run/etcd.conf -route53-zone-id Z123 -domain-name etcd
--	etcd-bootstrap run sky-uk.lua -- aws -o /run/etcd.conf -r lb --lb-target-group-name etcd
--
-- Otherwise than there: what cannot be asked is never "no cluster"; founders wait for the group's desired
-- size and for each other; a machine that lost its disk comes back; only who is dead is removed.  The file
-- of a founding has one line more, its token.  Registered are the healthy, so the first time nobody is: run
-- `etcd-bootstrap finish sky-uk.lua -- ...` after etcd's start.
-- Gone: --instance-lookup-method srv, the clouds gcp and vmware (not built); --version (etcd-bootstrap's).
--
-- It must see etcd's data: in a container give both directories, those of the machine,
--
--	docker run -v /var/lib/etcd:/var/lib/etcd -v /var/lib/etcd.state:/var/lib/etcd.state ...
--
-- and ETCD_DATA_DIR where the data is elsewhere.  data_dir = false costs this: a lost disk goes unseen, and
-- a cluster is founded only with found = "refused" and --override roll-call.
for i, word in ipairs(args) do
	local cloud = word:match "^%-%-?cloud=(.*)$" or (i == 1 or args[i - 1]:find "^%-%-?cloud$") and word
	assert(cloud ~= "gcp" and cloud ~= "vmware", word .. ": not built; a policy with command {} can list its machines")
end
local o = assert(flags.parse(args, {
	{ "aws" }, cloud = { "aws" }, ["o,output-file"] = "/var/run/etcd-bootstrap.conf", ["X,debug"] = false,
	["r,registration-provider"] = { "noop", "lb", "route53" }, ["lb-target-group-name"] = "",
	["route53-zone-id,r53-zone-id"] = "", ["domain-name,route53-domain-name,dns-hostname"] = "",
	["instance-lookup-method"] = { "asg", "srv" }, ["srv-domain-name"] = "", ["srv-service"] = "etcd-bootstrap",
	version = false, ["enable-tls"] = false, ["tls-ca"] = "", ["tls-cert"] = "", ["tls-key"] = "",
	["tls-peer-ca"] = "", ["tls-peer-cert"] = "", ["tls-peer-key"] = "",
}))
if o.debug then log.setup { level = "debug" } end
assert(not o.version, "--version: ask etcd-bootstrap --version")
assert(o.instance_lookup_method == "asg", "--instance-lookup-method srv: not built; asg is")

local register
if o.registration_provider == "lb" then
	flags.needs(o, "-r lb", "lb-target-group-name")
	register = { target_group { name = o.lb_target_group_name } }
elseif o.registration_provider == "route53" or not o[1] and o.r53_zone_id ~= "" then
	flags.needs(o, "-r route53", "r53-zone-id", "dns-hostname")
	register = { route53 { zone = o.r53_zone_id, name = o.dns_hostname, relative = true, ttl = 300, adopt = true } }
end

if o.enable_tls then
	flags.needs(o, "--enable-tls", "tls-ca", "tls-cert", "tls-key", "tls-peer-ca", "tls-peer-cert", "tls-peer-key")
end
local tls = o.enable_tls and {
	ca = o.tls_ca, cert = o.tls_cert, key = o.tls_key, client_auth = true,
	peer_ca = o.tls_peer_ca, peer_cert = o.tls_peer_cert, peer_key = o.tls_peer_key, peer_client_auth = true,
}
local scheme = o.enable_tls and "https" or "http"

local as_in_2 = template.lines {
	"ETCD_INITIAL_CLUSTER_STATE", "ETCD_INITIAL_CLUSTER", "ETCD_NAME", "ETCD_INITIAL_ADVERTISE_PEER_URLS",
	"ETCD_ADVERTISE_CLIENT_URLS", "ETCD_LISTEN_PEER_URLS", "ETCD_LISTEN_CLIENT_URLS", "ETCD_CLIENT_CERT_AUTH",
	"ETCD_TRUSTED_CA_FILE", "ETCD_CERT_FILE", "ETCD_KEY_FILE", "ETCD_PEER_CLIENT_CERT_AUTH", "ETCD_PEER_TRUSTED_CA_FILE",
	"ETCD_PEER_CERT_FILE", "ETCD_PEER_KEY_FILE",
}
local as_in_1 = template.lines({
	"ETCD_INITIAL_CLUSTER_STATE", "ETCD_INITIAL_CLUSTER", "ETCD_NAME", "ETCD_INITIAL_ADVERTISE_PEER_URLS",
	"ETCD_LISTEN_PEER_URLS", "ETCD_LISTEN_CLIENT_URLS", "ETCD_ADVERTISE_CLIENT_URLS",
}, "# created by etcd-bootstrap\n")

return {
	discover = aws.asg(),
	output   = { [o.output_file] = o[1] and as_in_2 or as_in_1 },
	register = register,
	on       = register and function(event) if event.register then event.register() end end,
	etcd     = inherited.etcd { scheme = scheme, peer_scheme = scheme, tls = tls, name = function(i) return i.id end },
}
