-- cloud.lua - AWS for one test: moto, a metadata mock for each machine, and the fault proxy in front
-- of both, on the world's own range.  moto and the proxy start once for a spec file; each test finds
-- them empty.  The world's machines have their instance's id as name, its address, and the
-- environment of a machine on EC2, whose role, region and id come from its metadata.
--
--	cloud.describe("aws", function(it)
--		it("founds", function(w, c)
--			local group = c:group("etcd", { desired = 3 })
--			w:boot_all(c:machines(group))
--			w:converge(c:machines(group))
--		end)
--	end)
--
-- c.moto (moto.lua) is for seeding, c:fault{} for what goes wrong, c:log() for what was really said.

local busted = require "busted"
local http = require "core.http"
local json = require "core.json"
local proc = require "core.proc"
local moto = require "spec.world.moto"
local world = require "spec.world.world"

local cloud = {}
local Cloud = {}
Cloud.__index = Cloud

local CACHE = os.getenv "ETCD_BOOTSTRAP_CACHE" or (os.getenv "HOME" or "") .. "/.cache/etcd-bootstrap"
local SERVER, MOCK = CACHE .. "/moto/bin/moto_server", CACHE .. "/bin/metadata-mock"

--- What is not here, or nil.
function cloud.missing()
	for _, part in ipairs { { SERVER, "tools/python/install moto" }, { MOCK, "tools/go/build metadata-mock" } } do
		if not world.read(part[1]) then
			return ("no %s (%s)"):format(part[1]:match "[^/]*$", part[2])
		end
	end
end

local function spawn(self, name, argv)
	argv.stdout, argv.stderr = self.root .. "/" .. name .. ".out", self.root .. "/" .. name .. ".err"
	local child <const> = assert(proc.spawn(argv))
	self.children[#self.children + 1] = child
end

local function answers(url)
	return function()
		local response = http.request { url = url, timeout = 5 }
		return response and response.status < 500
	end
end

-- The proxy -----------------------------------------------------------------------------------------

local function control(self, path, said)
	local response = assert(http.request { url = self.control .. path, body = said and json.encode(said),
		method = said and "POST" or "GET", timeout = 20 })
	return json.decode(response.body)
end

--- The proxy in front of any server: requests to `listen` go to `upstream`, both "address:port".
function Cloud:route(name, listen, upstream, o)
	local function pair(text)
		local address, port = text:match "^(.*):(%d+)$"
		return json.list { address, math.tointeger(port) }
	end
	local route = { name = name, listen = pair(listen), upstream = pair(upstream) }
	for key, value in pairs(o or {}) do
		route[key] = value
	end
	control(self, "/route", route)
	self.routes[#self.routes + 1] = name
end

--- Something goes wrong from now on: see proxy.py for the fields.  Those of metadata have the route
--- "metadata ID"; those of AWS have the route "api".
function Cloud:fault(o)
	control(self, "/fault", o)
end

--- Nothing goes wrong any more.
function Cloud:heal()
	control(self, "/clear", { faults = true })
end

--- What was said from now on is all that the log has.
function Cloud:forget()
	control(self, "/clear", { log = true })
end

--- The exchanges so far, in the order in which they began; with `match` those only whose fields equal its.
function Cloud:log(match)
	local found = {}
	for _, one in ipairs(control(self, "/log")) do
		local fits = true
		for key, value in pairs(one) do
			one[key] = value ~= json.null and value or nil
		end
		for key, value in pairs(match or {}) do
			fits = fits and one[key] == value
		end
		found[#found + 1] = fits and one or nil
	end
	return found
end

--- The log in short, "ec2:DescribeInstances 200" each, for a comparison.
function Cloud:said(match)
	local lines = {}
	for i, one in ipairs(self:log(match)) do
		local what = one.action and (one.service or "sts") .. ":" .. one.action or one.method .. " " .. one.path
		lines[i] = ("%s %s"):format(what, one.status or "-")
	end
	return lines
end

-- Machines ------------------------------------------------------------------------------------------

-- The mock's file; its notices of an end are put off for ever.
local function mock_file(one, o, address, port)
	local never, role = 100000000, o.role
	local zone = moto.region .. "a"
	local values = { ["instance-id"] = one.id, ["local-ipv4"] = one.address, ["placement-region"] = moto.region,
		["placement-availability-zone"] = zone, ["tags-instance-name"] = o.group,
		["iam-security-credentials-role"] = role.name,
		["iam-security-credentials"] = { Code = "Success", Type = "AWS-HMAC", AccessKeyId = role.access_key,
			SecretAccessKey = role.secret_key, Token = role.token, Expiration = role.expires or "2046-01-01T00:00:00Z" } }
	local paths = { ["iam-security-credentials"] = "/latest/meta-data/iam/security-credentials/" .. role.name,
		["tags-instance-name"] = "/latest/meta-data/tags/instance/"
			.. (o.group and "aws:autoscaling:groupName" or "none") }
	return json.encode { server = { hostname = address, port = port }, imdsv2 = o.tokens ~= "optional",
		["mock-ip-count"] = -1, ["mock-delay-sec"] = never, ["rebalance-delay-sec"] = never,
		["asg-termination-delay-sec"] = never, metadata = { paths = paths, values = values },
		dynamic = { values = { ["instance-identity-document"] = { accountId = moto.account, instanceId = one.id,
			privateIp = one.address, region = moto.region, availabilityZone = zone } } } }
end

--- The metadata of a machine -> its endpoint.  o: role (keys, see moto.lua), group (shown as a tag of the
--- metadata), tokens = "optional".
function Cloud:metadata(one, o)
	o = o or {}
	o.role = o.role or self.role
	self.mocks = self.mocks + 1
	local name, port = "metadata " .. one.id, tostring(8000 + self.mocks)
	local listen, upstream = self.front .. ":" .. port, self.back .. ":" .. port
	local m = self.world:machine("mock-" .. one.id, { address = self.back })
	world.write(m.dir .. "/mock.json", mock_file(one, o, self.back, port))
	self.world:process(m.name, { MOCK, "-c", m.dir .. "/mock.json", env = { HOME = m.dir } })
	self:route(name, listen, upstream, { serial = true })
	world.wait(answers("http://" .. upstream .. "/latest/meta-data"), 20, "the metadata of " .. one.id)
	return "http://" .. listen
end

--- The environment of a machine: all comes from its metadata.
function Cloud:env(endpoint)
	local env = { HOME = self.world.root, AWS_ENDPOINT_URL = self.url,
		AWS_EC2_METADATA_SERVICE_ENDPOINT = endpoint }
	for _, name in ipairs { "ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN", "PROFILE", "DEFAULT_PROFILE",
		"REGION", "DEFAULT_REGION", "CONFIG_FILE", "SHARED_CREDENTIALS_FILE", "WEB_IDENTITY_TOKEN_FILE",
		"CONTAINER_CREDENTIALS_RELATIVE_URI", "CONTAINER_CREDENTIALS_FULL_URI" } do
		env["AWS_" .. name] = false
	end
	return env
end

--- Instances become machines of the world -> their names in one string.  o: as of metadata().
function Cloud:machines(list, o)
	local names = {}
	for i, one in ipairs(list) do
		if not self.world.machines[one.id] then
			local env = self:env(self:metadata(one, o))
			self.world:machine(one.id, { address = one.address, env = env })
		end
		names[i] = one.id
	end
	return table.concat(names, " ")
end

function Cloud:group(name, o)
	return self.moto:group(name, o)
end

function Cloud:instance(o)
	return self.moto:instance(o)
end

function Cloud:terminate(one)
	return self.moto:terminate(one)
end

-- One for a spec file -------------------------------------------------------------------------------

--- moto and the proxy; stop() ends them.
function cloud.start()
	local net = world.range()
	local self = setmetatable({ children = {}, routes = {}, front = net .. ".251", back = net .. ".250", mocks = 0,
		role = { name = "etcd", access_key = "ASIAEXAMPLE", secret_key = "secret", token = "token" } }, Cloud)
	self.root = world.succeed("mktemp", "-d", "-t", "etcd-bootstrap-cloud.XXXXXX"):gsub("%s+$", "")
	self.control, self.url = "http://" .. self.front .. ":4999", "http://" .. self.front .. ":5000"
	spawn(self, "moto", { SERVER, "-H", self.back, "-p", "5000" })
	spawn(self, "proxy", { "python3", world.here .. "/spec/world/proxy.py", self.front, "4999" })
	world.wait(answers("http://" .. self.back .. ":5000/moto-api/"), 60, "moto's answer")
	world.wait(answers(self.control .. "/log"), 20, "the proxy's answer")
	self.moto = moto.new("http://" .. self.back .. ":5000")
	return self
end

--- Empty, for another world.
function Cloud:begin(w)
	self.moto:reset()
	self.moto:network(w.net)
	control(self, "/clear", { faults = true, log = true, routes = json.list(self.routes) })
	self.world, self.routes = w, {}
	self:route("api", self.front .. ":5000", self.back .. ":5000")
	w.policy.discover = w.policy.discover or "aws.asg()"
end

function Cloud:stop()
	for _, child in ipairs(self.children) do
		child:kill "KILL"
		child:wait()
	end
	world.succeed("rm", "-rf", self.root)
end

--- A describe whose tests have a world and a cloud: body(it), it(title, function(w, c) ... end).
function cloud.describe(name, body)
	local why, c = cloud.missing(), nil
	busted.describe(name, function()
		busted.lazy_setup(function()
			c = not why and cloud.start()
		end)
		busted.lazy_teardown(function()
			if c then
				c:stop()
			end
		end)
		body(function(title, test)
			if why then
				return busted.pending(title .. ": " .. why)
			end
			return world.it(title, function(w)
				c:begin(w)
				test(w, c)
			end)
		end)
	end)
end

return cloud
