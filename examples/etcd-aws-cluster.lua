-- In place of etcd-aws-cluster: building5's seven variables on stdout, and the environment of Monsanto's
-- script (ETCD_CLIENT_SCHEME, ETCD_PEER_SCHEME, ETCD_CLIENT_PORT, ETCD_SERVER_PORT, PROXY_ASG, ASG_BY_TAG).
--
--	etcd-bootstrap run etcd-aws-cluster.lua >/run/etcd.env        # EnvironmentFile=, docker --env-file
--	eval "$(etcd-bootstrap run etcd-aws-cluster.lua | sed 's/^/export /')"
--	PROXY_ASG=etcd-group etcd-bootstrap run etcd-aws-cluster.lua -- -o /etc/sysconfig/etcd-peers
--
-- Otherwise than there: what cannot be asked is never "no cluster"; only who is dead is removed, not who is
-- out of service or has not started yet; founders wait for each other; a machine that lost its disk comes
-- back; a file that is there is brought up to date.  A founding has an eighth line, its token.  A proxy has
-- ETCD_PROXY=on, or from etcd 3.6 on ETCD_GATEWAY_ENDPOINTS, for `etcd gateway start --endpoints=`.  For
-- https it is given the certificates by etcd's own variables (ETCD_PEER_CERT_FILE ...).
--
-- Gone: ETCD_CURLOPTS, for no curl is called; RETRY_TIMES, for it is tried again until --timeout.
--
-- It must see etcd's data: in a container give both directories, those of the machine,
--
--	docker run -v /var/lib/etcd:/var/lib/etcd -v /var/lib/etcd.state:/var/lib/etcd.state ...
--
-- and ETCD_DATA_DIR where the data is elsewhere.  data_dir = false costs this: a lost disk goes unseen, and
-- a cluster is founded only with found = "refused" and --override roll-call.
local o = assert(flags.parse(args, { ["o,output"] = "-", ["d,debug"] = false }))
if o.debug then log.setup { level = "debug" } end
if os.getenv "ETCD_CURLOPTS" then log.warn "ETCD_CURLOPTS changes nothing: certificates are ETCD_CERT_FILE ..." end
local env = assert(flags.environment {
	PROXY_ASG = "", ASG_BY_TAG = "", ETCD_CLIENT_SCHEME = { "http", "https" }, ETCD_PEER_SCHEME = { "http", "https" },
	ETCD_CLIENT_PORT = 2379, ETCD_SERVER_PORT = 2380,
})
local proxy = env.PROXY_ASG ~= ""

-- The one group that has a tag, whatever its key, with that value -> its name | nil, message, code
local function by_tag(value, deadline)
	local t, why, code = aws.request {
		service = "autoscaling", action = "DescribeAutoScalingGroups", deadline = deadline,
		params = { Filters = { { Name = "tag-value", Values = { value } } } },
		shape = { DescribeAutoScalingGroupsResponse = { DescribeAutoScalingGroupsResult = {
			AutoScalingGroups = { member = { { AutoScalingGroupName = true } } } } } },
	}
	if not t then return nil, why, code end
	local found = t.DescribeAutoScalingGroupsResponse.DescribeAutoScalingGroupsResult.AutoScalingGroups.member
	if #found == 1 then return found[1].AutoScalingGroupName end
	return nil, ("%d groups have a tag of the value %s, one is wanted"):format(#found, value), "missing"
end

local find = not proxy and aws.asg() or env.ASG_BY_TAG == "" and aws.asg { name = env.PROXY_ASG } or nil

local function discover(ask)
	if not find then
		local name, why, code = by_tag(env.PROXY_ASG, ask.deadline)
		if not name then return nil, why, code end
		find = aws.asg { name = name }
	end
	return find(ask)
end

return {
	discover = discover,
	decide   = proxy and standby {} or steady {},
	output   = { [o.output] = template.lines {
		"ETCD_INITIAL_CLUSTER_STATE", "ETCD_INITIAL_CLUSTER", "ETCD_NAME", "ETCD_LISTEN_PEER_URLS", "ETCD_LISTEN_CLIENT_URLS",
		"ETCD_INITIAL_ADVERTISE_PEER_URLS", "ETCD_ADVERTISE_CLIENT_URLS", "ETCD_PROXY", "ETCD_GATEWAY_ENDPOINTS",
	} },
	etcd     = inherited.etcd {
		listen = "any", scheme = env.ETCD_CLIENT_SCHEME, peer_scheme = env.ETCD_PEER_SCHEME,
		client_port = env.ETCD_CLIENT_PORT, peer_port = env.ETCD_SERVER_PORT, name = function(i) return i.id end,
	},
}
