-- In place of gambol99/etcd-discovery: its flags, and its file, quotes, mode and first empty line included.
--
--	etcd-bootstrap run etcd-discovery.lua -- -environment-file /run/etcd.env
--	etcd-bootstrap run etcd-discovery.lua -- -environment-file /run/etcd.env -proxy-mode -scaling-group-name etcd
--
-- Otherwise than there: all pages of groups are read; the list is that of the members, after they were
-- changed; founders wait for each other; what cannot be asked is never "no cluster"; an addition that failed
-- is no success.  A founding has one line more, its token.  For https it is given the certificates that etcd
-- has, by etcd's own variables (ETCD_PEER_CERT_FILE ...).  A proxy has ETCD_PROXY="on"; from etcd 3.6 on it
-- has ETCD_GATEWAY_ENDPOINTS, and with -gateway ADDRESS:PORT it becomes that gateway.
--
-- Gone: files of a log (-log_dir, -vmodule, -stderrthreshold, -log_backtrace_at), for systemd keeps them.
--
-- It must see etcd's data: in a container give both directories, those of the machine,
--
--	docker run -v /var/lib/etcd:/var/lib/etcd -v /var/lib/etcd.state:/var/lib/etcd.state ...
--
-- and ETCD_DATA_DIR where the data is elsewhere.  data_dir = false costs this: a lost disk goes unseen, and
-- a cluster is founded only with found = "refused" and --override roll-call.
local o = assert(flags.parse(args, {
	["environment-file"] = "", ["scaling-group-name"] = "", ["proxy-mode"] = false, gateway = "",
	["etcd-client-port"] = 2379, ["etcd-client-schema"] = { "https", "http" },
	["etcd-peer-port"] = 2380, ["etcd-peer-scheme"] = { "https", "http" },
	["private-addresses"] = false, ["private-hostnames"] = true,
	v = 0, logtostderr = false, alsologtostderr = false,
	stderrthreshold = "", vmodule = "", log_dir = "", log_backtrace_at = "",
}))
if o.v > 0 then log.setup { level = "debug" } end
for _, name in ipairs { "stderrthreshold", "vmodule", "log_dir", "log_backtrace_at" } do
	if o[name] ~= "" then log.warn(("-%s changes nothing: the log goes to stderr as a whole"):format(name)) end
end
assert(o.environment_file ~= "", "-environment-file is required")
assert(not o.proxy_mode or o.scaling_group_name ~= "", "-proxy-mode needs -scaling-group-name")
assert(o.private_addresses ~= o.private_hostnames, "-private-addresses needs -private-hostnames=false")

local function file(config)
	local env = config.env
	if env.ETCD_GATEWAY_ENDPOINTS then
		return ('\nETCD_NAME=%s\nETCD_GATEWAY_ENDPOINTS="%s"\n'):format(env.ETCD_NAME, env.ETCD_GATEWAY_ENDPOINTS)
	end
	return ('\nETCD_INITIAL_CLUSTER_STATE=%s\nETCD_NAME=%s\nETCD_INITIAL_CLUSTER="%s"\nETCD_PROXY="%s"\n'):format(
		env.ETCD_INITIAL_CLUSTER_STATE, env.ETCD_NAME, env.ETCD_INITIAL_CLUSTER, env.ETCD_PROXY or "off")
		.. template.founding(config)
end

return {
	discover = o.scaling_group_name ~= "" and aws.asg { name = o.scaling_group_name } or aws.asg(),
	decide   = o.proxy_mode and standby { gateway = o.gateway ~= "" and o.gateway or nil } or steady {},
	output   = { [o.environment_file] = { template = file, mode = "0444" } },
	etcd     = inherited.etcd {
		address = o.private_hostnames and "hostname" or "private_v4", name = function(i) return i.id end,
		scheme = o.etcd_client_schema, client_port = o.etcd_client_port,
		peer_scheme = o.etcd_peer_scheme, peer_port = o.etcd_peer_port,
	},
}
