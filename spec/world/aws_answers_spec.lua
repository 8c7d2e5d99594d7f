-- aws_answers_spec.lua - A1 to A6: what a machine makes of its metadata, of the sources of its keys and
-- of AWS's answers, good and bad, as `plan` and `status` tell.

local assert = require "luassert"
local json = require "core.json"
local cloud = require "spec.world.cloud"
local moto = require "spec.world.moto"
local world = require "spec.world.world"
local task = require "task"

local ME = { action = "DescribeInstances" }

-- A group of one and its machine; o: as of cloud's metadata().
local function alone(c, o)
	local one = c:group("etcd", { desired = 1 })[1]
	c:machines({ one }, o or { group = "etcd" })
	return one
end

-- Plans there -> exit status, all that was said.  A list that is known has not settled yet.
local function plan(w, one, env, seconds)
	local code, run = w:ends(one.id, { "--timeout", tostring(seconds or 20), verb = "plan", env = env })
	return code, run:stdout() .. run:log()
end

local function knows(w, one, env)
	local code, all = plan(w, one, env)
	assert.equal(3, code, all)
	assert.is_truthy(all:find("the list of machines has not settled yet", 1, true), all)
	return all
end

-- The list is unknown, and the words say why.
local function tells(w, one, words, env, seconds)
	local code, all = plan(w, one, env, seconds or 5)
	assert.equal(3, code, all)
	assert.is_nil(all:find("settled", 1, true), all)
	for _, word in ipairs(words) do
		assert.is_truthy(all:find(word, 1, true), ("%q is said: %s"):format(word, all))
	end
	return all
end

-- The machines that are listed, sorted by id: "id state address" each.
local function listed(w, one, discover)
	local code, run = w:ends(one.id, { "--json", "--timeout", "20", verb = "status", policy = { discover = discover } })
	assert.equal(3, code, run:log())
	local lines = {}
	for i, instance in ipairs(json.decode(run:stdout()).instances) do
		lines[i] = ("%s %s %s"):format(instance.id, instance.state,
			instance.addresses.private_v4 or instance.addresses.private_v6 or "-")
	end
	return lines
end

local function lines(list, state)
	local all = {}
	for i, one in ipairs(list) do
		all[i] = ("%s %s %s"):format(one.id, state or "live", one.address)
	end
	table.sort(all)
	return all
end

cloud.describe("A1 metadata", function(it)
	local TOKEN = { method = "PUT", path = "^/latest/api/token$" }
	local function spoilt(c, o)
		o.method, o.path = TOKEN.method, TOKEN.path
		c:fault(o)
	end

	it("with tokens only: one token, and nothing asked twice", function(w, c)
		knows(w, alone(c))
		local seen = {}
		for _, one in ipairs(c:log()) do
			if one.route ~= "api" then
				assert.is_nil(seen[one.path], one.path)
				seen[one.path] = true
			end
		end
		assert.is_true(seen["/latest/api/token"])
	end)

	it("without tokens, however the call for one is refused", function(w, c)
		local one = alone(c, { group = "etcd", tokens = "optional" })
		for _, status in ipairs { 403, 404, 405 } do
			spoilt(c, { status = status })
			knows(w, one)
			c:heal()
		end
	end)

	it("a call for a token that hangs: on without, or the hop limit is named", function(w, c)
		local one = alone(c, { group = "etcd", tokens = "optional" })
		spoilt(c, { hang = true })
		knows(w, one)
		local other = c:instance { group = "etcd" }
		c:machines { other }
		tells(w, other, { "hop" })
	end)

	it("switched off, on the machine or in its environment", function(w, c)
		local one = alone(c)
		tells(w, one, { "AWS_EC2_METADATA_DISABLED" }, { AWS_EC2_METADATA_DISABLED = "true" })
		c:fault { route = "metadata " .. one.id, status = 403 }
		tells(w, one, { "403" })
	end)
end)

cloud.describe("A2 credentials", function(it)
	-- Sources from the first to the last: the environment that sets each up, the key that it gives.
	local function sources(w, c)
		c:route("container", c.front .. ":7000", c.back .. ":1")
		c:fault { route = "container", status = 200, body = json.encode { AccessKeyId = "ASIACONTAINER",
			SecretAccessKey = "s", Token = "t", Expiration = "2046-01-01T00:00:00Z" } }
		world.write(w.root .. "/token", "header.claims.signature")
		world.write(w.root .. "/shared", "[default]\naws_access_key_id = AKIASHARED\naws_secret_access_key = s\n")
		return {
			{ key = "AKIAENVIRONMENT", env = { AWS_ACCESS_KEY_ID = "AKIAENVIRONMENT", AWS_SECRET_ACCESS_KEY = "s" } },
			{ key = "^ASIA%w+$", env = { AWS_WEB_IDENTITY_TOKEN_FILE = w.root .. "/token",
				AWS_ROLE_ARN = "arn:aws:iam::" .. moto.account .. ":role/etcd" } },
			{ key = "AKIASHARED", env = { AWS_SHARED_CREDENTIALS_FILE = w.root .. "/shared" } },
			{ key = "ASIACONTAINER", env = { AWS_CONTAINER_CREDENTIALS_FULL_URI = "http://" .. c.front .. ":7000/keys" } },
			{ key = "ASIAEXAMPLE", env = {} },
		}
	end

	local function used(c)
		return c:log(ME)[1].key
	end

	it("the first source wins, for each that there is", function(w, c)
		local one, list = alone(c), sources(w, c)
		for first = 1, #list do
			local env = {}
			for i = first, #list do
				for name, value in pairs(list[i].env) do
					env[name] = value
				end
			end
			c:forget()
			knows(w, one, env)
			assert.is_truthy(used(c):find(list[first].key), used(c))
			assert.equal(first == 2 and 1 or 0, #c:log { action = "AssumeRoleWithWebIdentity" })
		end
	end)

	it("a role's real keys pass the check of signatures and policies", function(w, c)
		local role = c.moto:role("etcd", { Version = "2012-10-17", Statement = { { Effect = "Allow", Resource = "*",
			Action = { "ec2:DescribeInstances", "autoscaling:DescribeAutoScalingGroups" } } } })
		local one = alone(c, { group = "etcd", role = role })
		c.moto:auth(true)
		knows(w, one)
		assert.equal(role.access_key, used(c))
	end)

	it("half a pair, a role without keys, keys that have ended", function(w, c)
		local one = alone(c)
		tells(w, one, { "AWS_SECRET_ACCESS_KEY" }, { AWS_ACCESS_KEY_ID = "AKIAHALF" })
		assert.same({}, c:log(ME))
		c:fault { path = "/security-credentials/etcd$", status = 200,
			body = json.encode { Code = "AssumeRoleUnauthorizedAccess", Message = "no trust" } }
		tells(w, one, { "AssumeRoleUnauthorizedAccess", "no trust" })
		assert.same({}, c:log(ME))
		c:heal()
		c:fault { path = "/security-credentials/etcd$", status = 200, body = json.encode { Code = "Success",
			AccessKeyId = "ASIAENDED", SecretAccessKey = "s", Token = "t", Expiration = "2020-01-01T00:00:00Z" } }
		assert.is_truthy(knows(w, one):find("have ended", 1, true))
		assert.equal("ASIAENDED", used(c))
	end)
end)

cloud.describe("A3 pages", function(it)
	it("ours is the last of 61 groups", function(w, c)
		for i = 1, 60 do
			c:group("other-" .. i, { desired = 0 })
		end
		local one = alone(c, {})
		knows(w, one)
		assert.equal(1, #c:log { action = "DescribeAutoScalingInstances" })
	end)

	it("an empty page with a token, then the machines on two", function(w, c)
		local group = c:group("etcd", { desired = 2 })
		c:machines({ group[1] }, { group = "etcd" })
		local items = c.moto:items "etcd"
		for i, list in ipairs { {}, { items[group[1].id] }, { items[group[2].id] } } do
			c:fault { action = "DescribeInstances", times = 1, status = 200, body = moto.answer(list, i < 3 and "t" .. i) }
		end
		assert.same(lines(group), listed(w, group[1]))
		assert.same({ "ec2:DescribeInstances 200", "ec2:DescribeInstances 200", "ec2:DescribeInstances 200" }, c:said(ME))
	end)
end)

cloud.describe("A4 trouble that passes, and trouble that does not", function(it)
	local PASSES = {
		throttling = { status = 503, body = "<Response><Errors><Error><Code>RequestLimitExceeded</Code><Message>Request "
			.. "limit exceeded.</Message></Error></Errors><RequestID>1</RequestID></Response>" },
		["a server's error"] = { status = 500, body = "<Response><Errors><Error><Code>InternalError</Code><Message>An "
			.. "internal error has occurred</Message></Error></Errors><RequestID>1</RequestID></Response>" },
		["an empty 502"] = { status = 502 }, ["a dropped connection"] = { reset = true },
		["XML cut in the middle"] = { cut = 700 }, ["a body shorter than announced"] = { cut = 700, broken = true },
		["an HTML page"] = { html = true }, ["an empty answer"] = { cut = 0 },
	}

	it("is asked again until it is answered", function(w, c)
		local one = alone(c)
		for what, fault in pairs(PASSES) do
			c:forget()
			fault.action, fault.times = "DescribeInstances", 2
			c:fault(fault)
			knows(w, one)
			local said = c:log(ME)
			assert.equal(3, #said, what)
			assert.same({ true, true }, { said[1].fault, said[2].fault })
			c:heal()
		end
	end)

	it("that lasts is told at the deadline, and decides nothing", function(w, c)
		local one = alone(c)
		c:fault { action = "DescribeInstances", status = 503, body = PASSES.throttling.body }
		tells(w, one, { "RequestLimitExceeded" }, nil, 2)
		c:heal()
		c:fault { action = "DescribeInstances", html = true }
		tells(w, one, { "ec2", "it is asked again" }, nil, 2)
		assert.is_true(#c:log(ME) >= 3)
	end)

	it("a deadline that is over does not make the list unknown, in the last word", function(w, c)
		local one = alone(c)
		local code, all = plan(w, one, nil, 0)
		assert.equal(3, code)
		assert.is_truthy(all:find("the list of machines has not settled yet", 1, true), all)
	end)

	it("a denial is not asked again, and names the permission", function(w, c)
		local role = c.moto:role("poor", { Version = "2012-10-17", Statement = { { Effect = "Allow", Resource = "*",
			Action = "autoscaling:DescribeAutoScalingGroups" } } })
		local one = alone(c, { group = "etcd", role = role })
		c.moto:auth(true)
		tells(w, one, { "ec2:DescribeInstances" })
		assert.equal(1, #c:log(ME))
	end)

	-- Each plan with a key of its own, by which the proxy knows whom to give which cut, once.
	it("a list cut at any byte is asked for again, never decided on", function(w, c)
		local one, cuts = alone(c), {}
		local whole, env = moto.answer { c.moto:items "etcd" [one.id] }, w:machine(one.id).env
		for cut = 0, #whole - 1, 9 do
			local key = "AKIACUT" .. cut
			cuts[#cuts + 1] = key
			c:fault { action = "DescribeInstances", key = key, times = 1, status = 200, body = whole, cut = cut }
			w:machine(key, { address = one.address, env = env })
		end
		assert.is_true(#cuts > 300)
		assert(task.map(cuts, function(key)
			local code, run = w:ends(key, { "--timeout", "30", verb = "plan",
				env = { AWS_ACCESS_KEY_ID = key, AWS_SECRET_ACCESS_KEY = "s" } })
			assert.equal(3, code, run:log())
			assert.equal("wait: the list of machines has not settled yet\n", run:stdout())
			return true
		end, 6))
		assert.equal(2 * #cuts, #c:log(ME))
	end)
end)

cloud.describe("A5 a clock that is wrong by ten minutes", function(it)
	it("is corrected once, for all that follows", function(w, c)
		local one = alone(c)
		for _, ahead in ipairs { 600, -600 } do
			c:forget()
			c:fault { date = ahead, route = "api" }
			knows(w, one)
			local said, refused = c:log { route = "api" }, 0
			for _, exchange in ipairs(said) do
				refused = refused + (exchange.status == 200 and 0 or 1)
			end
			assert.is_true(refused >= 1 and refused <= 2, table.concat(c:said(), "\n"))
			assert.equal(2, #said - refused)
			c:heal()
		end
	end)
end)

cloud.describe("A6 machines", function(it)
	it("by group, by a group's name, by tags", function(w, c)
		local group, other = c:group("etcd", { desired = 2 }), c:group("other", { desired = 2 })
		local tags = { role = "etcd", stage = "prod" }
		local tagged = { c:instance { tags = tags }, c:instance { tags = tags }, c:instance { tags = { role = "etcd" } } }
		c:machines({ group[1], other[1], tagged[1] }, {})
		assert.same(lines(group), listed(w, group[1], "aws.asg()"))
		assert.same(lines(other), listed(w, other[1], "aws.asg { name = \"other\" }"))
		assert.same(lines { tagged[1], tagged[2] }, listed(w, tagged[1], "aws.tags { role = \"etcd\", stage = \"prod\" }"))
	end)

	it("in several regions", function(w, c)
		local here = c:instance { tags = { role = "etcd" } }
		c:machines { here }
		local there = c.moto:elsewhere("eu-central-1", { role = "etcd" })
		assert.same(lines { here, there },
			listed(w, here, "aws.tags { role = \"etcd\", regions = { \"eu-west-1\", \"eu-central-1\" } }"))
	end)

	it("without an address, and with IPv6 alone", function(w, c)
		local group = c:group("etcd", { desired = 3 })
		c:machines({ group[1] }, { group = "etcd" })
		local items = c.moto:items "etcd"
		local function bare(one)
			return (items[one.id]:gsub("<privateIpAddress>[^<]*</privateIpAddress>", ""))
		end
		local v6 = bare(group[3]):gsub("<instanceId>", "<ipv6Address>FD77:0:0::3</ipv6Address>%0", 1)
		c:fault { action = "DescribeInstances", status = 200,
			body = moto.answer { items[group[1].id], bare(group[2]), v6 } }
		local expected = { lines { group[1] }[1], group[2].id .. " live -", group[3].id .. " live fd77::3" }
		table.sort(expected)
		assert.same(expected, listed(w, group[1]))
		tells(w, group[1], { "has no address yet" })
	end)
end)
