-- dropins_spec.lua - the examples in place of other tools, as the users of those start them: against moto
-- and real etcd they found a cluster, and a machine that is terminated is replaced.

local assert = require "luassert"
local cloud = require "spec.world.cloud"
local moto = require "spec.world.moto"
local world = require "spec.world.world"

local RUN = "\"$BOOTSTRAP\" run \"$EXAMPLES/\"" -- then NAME.lua and words

-- A machine's whole boot, as a shell script; etcd's own settings are the environment's.
local function boot(w, name, script, env)
	local m = w:machine(name)
	local argv = { "bash", "-c", script, env = { BOOTSTRAP = world.binary, EXAMPLES = world.here .. "/examples",
		FILE = m.output, ADDRESS = m.address, ETCD_DATA_DIR = m.data } }
	for key, value in pairs(env or {}) do
		argv.env[key] = value
	end
	return w:process(name, argv)
end

local function each(names, f)
	for name in names:gmatch "%S+" do
		f(name)
	end
end

-- Founds a cluster of all, terminates the last one, and boots what AWS puts in its place -> its id
local function lives(w, c, group, start)
	local names = c:machines(group)
	each(names, start)
	w:converge(names, 90)
	w:must_put(group[1].id, "k", "v")
	w:kill(group[#group].id)
	local new = c:terminate(group[#group])
	local left = c:machines(table.move(group, 1, #group - 1, 1, {}))
	if not new then
		return left
	end
	c:machines { new }
	start(new.id)
	w:converge(left .. " " .. new.id, 150)
	w:must_get(new.id, "k", "v")
	assert.equal("existing", w:env(new.id).ETCD_INITIAL_CLUSTER_STATE)
	return left, new
end

cloud.describe("in place of", function(it)
	it("sky-uk/etcd-bootstrap, whose users source the file", function(w, c)
		local zone = moto.values(c.moto:rest("route53", "POST", "/2013-04-01/hostedzone", "<CreateHostedZoneRequest "
			.. "xmlns='https://route53.amazonaws.com/doc/2013-04-01/'><Name>example.com</Name><CallerReference>x</CallerReference>"
			.. "</CreateHostedZoneRequest>"), "Id")[1]:match "[^/]+$"
		local script = RUN .. "sky-uk.lua -- aws -o \"$FILE\" -r route53 --r53-zone-id " .. zone
			.. " --dns-hostname etcd && set -a && . \"$FILE\" && set +a && exec etcd --logger=zap"
		local group = c:group("etcd", { desired = 3 })
		local _, new = lives(w, c, group, function(name)
			boot(w, name, script)
		end)
		local records = c.moto:rest("route53", "GET", "/2013-04-01/hostedzone/" .. zone .. "/rrset")
		local healthy = records:match "<Name>etcd%.example%.com%.</Name><Type>A</Type>.-</ResourceRecordSet>"
		assert.same({ group[1].address, group[2].address }, moto.values(healthy, "Value"))
		assert.same({ "300" }, moto.values(healthy, "TTL"))
		assert.matches("^ETCD_INITIAL_CLUSTER_STATE=existing\nETCD_INITIAL_CLUSTER=[^\n]+\nETCD_NAME=" .. new.id:gsub("%-", "%%-"),
			w:output(new.id))
	end)

	it("etcd-aws-cluster, whose users give docker its file", function(w, c)
		-- docker takes a line as it is, quotes and all, and each container has all addresses to itself.
		local script = RUN .. [[etcd-aws-cluster.lua >"$FILE.all" && sed "s/0\.0\.0\.0/$ADDRESS/" "$FILE.all" >"$FILE" || exit
			while IFS= read -r line; do export "$line"; done <"$FILE"; exec etcd --logger=zap]]
		local group = c:group("etcd", { desired = 3 })
		local _, new = lives(w, c, group, function(name)
			boot(w, name, script)
		end)
		local seven = {}
		for key in world.read(w:machine(new.id).output):gmatch "([%w_]+)=[^\n]*\n" do
			seven[#seven + 1] = key
		end
		assert.same({ "ETCD_INITIAL_CLUSTER_STATE", "ETCD_INITIAL_CLUSTER", "ETCD_NAME", "ETCD_LISTEN_PEER_URLS",
			"ETCD_LISTEN_CLIENT_URLS", "ETCD_INITIAL_ADVERTISE_PEER_URLS", "ETCD_ADVERTISE_CLIENT_URLS" }, seven)

		c.moto:call("autoscaling", "CreateOrUpdateTags", { ["Tags.member.1.Key"] = "role", ["Tags.member.1.Value"] = "members",
			["Tags.member.1.ResourceId"] = "etcd", ["Tags.member.1.ResourceType"] = "auto-scaling-group",
			["Tags.member.1.PropagateAtLaunch"] = "false" })
		for i, env in ipairs { { PROXY_ASG = "etcd" }, { PROXY_ASG = "members", ASG_BY_TAG = "true" } } do
			local proxy = c:machines { c:instance { address = w.net .. "." .. 200 + i } }
			local run = boot(w, proxy, RUN .. "etcd-aws-cluster.lua -- -o \"$FILE\"", env)
			assert.equal(0, run:exit(60))
			local members = w:env(group[1].id).ETCD_INITIAL_CLUSTER
			assert.is_truthy(members:find(group[1].id .. "=" .. w:peer(group[1].id), 1, true))
			local written = w:env(proxy)
			assert.same({ "existing", proxy, "on" }, { written.ETCD_INITIAL_CLUSTER_STATE, written.ETCD_NAME, written.ETCD_PROXY })
			assert.is_truthy(written.ETCD_INITIAL_CLUSTER:find(new.id .. "=" .. w:peer(new.id), 1, true))
		end
	end)

	it("the container that goes by tags, which starts etcd itself", function(w, c)
		local env = { DOCKER_EC2TAG = "role", DOCKER_EC2VAL = "etcd", ETCD_MEMBER_TYPE = "ip", ETCD_OPTS = "--logger=zap",
			ETCD_QUOTA_BACKEND_BYTES = "33554432" }
		local function start(name)
			boot(w, name, "exec " .. RUN .. "ec2-tags.lua", env)
		end
		local function instance(n)
			return c:instance { address = w.net .. "." .. n, tags = { role = "etcd" } }
		end
		local two = { instance(11), instance(12) }
		local names = c:machines(two)
		each(names, start)
		w:converge(names, 90)
		w:must_put(two[1].id, "k", "v")
		w.machines[two[1].id].run:says "33554432"

		local third = instance(13)
		names = names .. " " .. c:machines { third }
		start(third.id)
		w:converge(names, 90)

		w:kill(two[1].id)
		c:terminate(two[1])
		local fourth = instance(14)
		names = c:machines { two[2], third, fourth }
		start(fourth.id)
		w:converge(names, 150)
		w:must_get(fourth.id, "k", "v")
		assert.is_nil(world.read(w:machine(fourth.id).output))

		w:stop(fourth.id)
		env.ETCD_OPTS = "--name=other"
		start(fourth.id)
		local run = w.machines[fourth.id].run
		assert.equal(1, run:exit(60))
		run:says "exec has --name, and ETCD_NAME is set by this policy"
	end)

	it("etcd-discovery, whose unit reads the quoted file and has the other URLs", function(w, c)
		-- For these lines a shell reads what systemd's EnvironmentFile= does.
		local words = " -private-addresses -private-hostnames=false -etcd-client-schema http -etcd-peer-scheme http"
		local script = RUN .. "etcd-discovery.lua -- -environment-file \"$FILE\"" .. words .. [[ &&
			set -a && . "$FILE" && export ETCD_LISTEN_PEER_URLS=http://$ADDRESS:2380 ETCD_LISTEN_CLIENT_URLS=http://$ADDRESS:2379 \
				ETCD_INITIAL_ADVERTISE_PEER_URLS=http://$ADDRESS:2380 ETCD_ADVERTISE_CLIENT_URLS=http://$ADDRESS:2379 &&
			exec etcd --logger=zap]]
		local group = c:group("etcd", { desired = 3 })
		local _, new = lives(w, c, group, function(name)
			boot(w, name, script)
		end)
		assert.matches("^\nETCD_INITIAL_CLUSTER_STATE=existing\nETCD_NAME=[^\n]+\nETCD_INITIAL_CLUSTER=\"[^\n\"]+\"\nETCD_PROXY=\"off\"\n$",
			w:output(new.id))

		local proxy = c:machines { c:instance { address = w.net .. ".201" } }
		local gateway = w:address(proxy) .. ":2379"
		boot(w, proxy, "exec " .. RUN .. "etcd-discovery.lua -- -environment-file \"$FILE\" -proxy-mode -scaling-group-name etcd"
			.. words .. " -gateway " .. gateway)
		w:must_get(proxy, "k", "v")
		assert.matches("\nETCD_PROXY=\"on\"\n", w:output(proxy))
	end)
end)
