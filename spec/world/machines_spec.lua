-- The machines as AWS tells of them, by groups and by tags, and the marker in S3: the program as it is,
-- before moto and a metadata mock.
local assert = require "luassert"
local cloud = require "spec.world.cloud"
local json = require "core.json"
local moto = require "spec.world.moto"
local proc = require "core.proc"
local world = require "spec.world.world"

local SCRIPT <const> = [[
local json = require "core.json"
local free = { aws = require "providers.aws", s3 = require "markers.s3" }
local what, said = assert(load("return " .. arg[1], "=policy", "t", free))(), json.decode(arg[2])
local first, second, third = (said.verb and what[said.verb] or what)(said.first, said.second)
print(json.encode { first = first, second = second, third = third })
]]

local function named(...)
	local missing = json.list {}
	for i, one in ipairs { ... } do missing[i] = { name = one.id or one } end
	return { missing = missing }
end

-- Run on that instance: a provider, or a verb of a marker, with two arguments -> its results
local function run(w, c, one, policy, said, o)
	c:machines({ one }, o)
	local path = w.root .. "/ask.lua"
	world.write(path, SCRIPT)
	local result = assert(proc.run { world.binary, "lua", path, policy, json.encode(said or { first = named() }),
		env = w.machines[one.id].env, timeout = 60 })
	assert.equal(0, result.status, result.stderr)
	local results = json.decode(result.stdout)
	return results.first, results.second, results.third
end

local function discovered(...)
	local list, why = run(...)
	return assert(list, why)
end

-- "live live dead": the states of these instances.
local function states(list, ...)
	local words = {}
	for i, one in ipairs { ... } do
		words[i] = "-"
		for _, instance in ipairs(list.instances) do
			if instance.id == one.id then words[i] = instance.state end
		end
	end
	return table.concat(words, " ")
end

local function asking(...)
	return { first = named(...) }
end

cloud.describe("A6 machines", function(it)
	it("of the own group, which the metadata name", function(w, c)
		local group = c:group("etcd", { desired = 3 })
		c:instance { tags = { role = "other" } }
		local list = discovered(w, c, group[1], "aws.asg()", nil, { group = "etcd" })
		assert.equal("live live live", states(list, table.unpack(group)))
		assert.same({ 3, group[1].id, true, 3, "unknown", 15 },
			{ #list.instances, list.self, list.complete, list.desired, list.gone, list.lag })
		local first = list.instances[1]
		assert.same({ moto.region, moto.region .. "a", "etcd", true },
			{ first.region, first.zone, first.tags["aws:autoscaling:groupName"], first.launched > 1e9 })
		for _, instance in ipairs(list.instances) do
			for _, one in ipairs(group) do
				if one.id == instance.id then assert.equal(one.address, instance.addresses.private_v4) end
			end
		end
		local said = c:said { route = "api" }
		table.sort(said)
		assert.same({ "autoscaling:DescribeAutoScalingGroups 200", "ec2:DescribeInstances 200" }, said)
	end)

	it("of the own group, for the name of which one call is made", function(w, c)
		local group = c:group("etcd", { desired = 2 })
		assert.is_true(discovered(w, c, group[2], "aws.asg()").complete)
		local said = c:said { route = "api" }
		assert.equal("autoscaling:DescribeAutoScalingInstances 200", said[1])
		assert.equal(3, #said)
	end)

	it("of no group, or one that does not exist, are unknown", function(w, c)
		local one = c:instance { tags = { role = "etcd" } }
		local _, why, code = run(w, c, one, "aws.asg()")
		assert.truthy(why:find(one.id .. ", is in no Auto Scaling group", 1, true), why)
		assert.equal("missing", code)
		_, why, code = run(w, c, one, "aws.asg { name = 'etc' }")
		assert.truthy(why:find("there is no Auto Scaling group \"etc\"", 1, true), why)
		assert.equal("missing", code)
	end)

	it("of a group whose name has wildcards, and of no other", function(w, c)
		local group, other = c:group("et*d?", { desired = 2 }), c:group("etcd1", { desired = 2 })
		local list = discovered(w, c, group[1], "aws.asg()")
		assert.equal("live live - -", states(list, group[1], group[2], other[1], other[2]))
		assert.is_true(list.complete)
	end)

	it("of a group that lost one: dead, and another comes", function(w, c)
		local group = c:group("etcd", { desired = 3 })
		local new = c:terminate(group[2])
		local list = discovered(w, c, group[1], "aws.asg()", asking(group[2]))
		assert.equal("live dead live live", states(list, group[1], group[2], group[3], new))
		assert.same({ true, 3 }, { list.complete, list.desired })
		for _, instance in ipairs(list.instances) do
			if instance.id == group[2].id then assert.truthy(math.abs(instance.since - os.time()) < 600, tostring(instance.since)) end
		end
	end)

	it("that Auto Scaling terminated, and that lost their tags: by id", function(w, c)
		local group = c:group("etcd", { desired = 3 })
		c.moto:call("autoscaling", "TerminateInstanceInAutoScalingGroup", { InstanceId = group[3].id, ShouldDecrementDesiredCapacity = "true" })
		assert.equal("live live -", states(discovered(w, c, group[1], "aws.asg()"), table.unpack(group)))
		local list = discovered(w, c, group[1], "aws.asg()", asking(group[3], "i-0123456789abcdef0", "x"))
		assert.equal("live live dead", states(list, table.unpack(group)))
		assert.same({ "i-0123456789abcdef0" }, list.forgotten)
		assert.equal(2, list.desired)
	end)

	it("that were detached, or wait in standby, or are stopped, are neither live nor dead", function(w, c)
		local group = c:group("etcd", { desired = 4 })
		c.moto:call("autoscaling", "EnterStandby", { AutoScalingGroupName = "etcd", ["InstanceIds.member.1"] = group[2].id, ShouldDecrementDesiredCapacity = "true" })
		c.moto:call("autoscaling", "DetachInstances", { AutoScalingGroupName = "etcd", ["InstanceIds.member.1"] = group[3].id, ShouldDecrementDesiredCapacity = "true" })
		local list = discovered(w, c, group[1], "aws.asg()", asking(group[3]))
		assert.equal("live unknown leaving live", states(list, table.unpack(group)))
		assert.same({ true, 2 }, { list.complete, list.desired })
		local lone = c:instance { tags = { role = "etcd" } }
		c.moto:call("ec2", "StopInstances", { ["InstanceId.1"] = lone.id })
		assert.equal("unknown", states(discovered(w, c, lone, "aws.tags { role = 'etcd' }"), lone))
	end)

	it("of a group that this machine is not in", function(w, c)
		local group, me = c:group("etcd", { desired = 2 }), c:instance { tags = { role = "proxy" } }
		local list = discovered(w, c, me, "aws.asg { name = 'etcd' }")
		assert.equal("leaving live live", states(list, me, table.unpack(group)))
		assert.same({ me.id, true }, { list.self, list.complete })
	end)

	it("by all of their tags", function(w, c)
		local both = c:instance { tags = { role = "et*d", stage = "prod" } }
		local one, other = c:instance { tags = { role = "et*d", stage = "test" } }, c:instance { tags = { role = "etcd", stage = "prod" } }
		local list = discovered(w, c, both, "aws.tags { role = 'et*d', stage = 'prod' }")
		assert.equal("live - -", states(list, both, one, other))
		assert.is_nil(list.desired)
		assert.is_true(list.complete)
		list = discovered(w, c, other, "aws.tags { role = 'et*d', stage = 'prod' }")
		assert.equal("live - leaving", states(list, both, one, other))
	end)

	it("in other regions than this machine's", function(w, c)
		local here, there = c:instance { tags = { role = "etcd" } }, c.moto:elsewhere("us-east-1", { role = "etcd" })
		local list = discovered(w, c, here, "aws.tags { role = 'etcd', regions = { 'us-east-1' } }")
		assert.equal("leaving live", states(list, here, there))
		assert.equal("live -", states(discovered(w, c, here, "aws.tags { role = 'etcd' }"), here, there))
	end)

	it("are unknown where a permission is missing, which is named", function(w, c)
		local role = c.moto:role("narrow", { Version = "2012-10-17", Statement = { { Effect = "Allow", Action = "ec2:DescribeInstances", Resource = "*" } } })
		local group = c:group("etcd", { desired = 1 })
		c.moto:auth(true)
		local _, why, code = run(w, c, group[1], "aws.asg { name = 'etcd' }", nil, { role = role })
		assert.equal("denied", code)
		assert.truthy(why:find("autoscaling:DescribeAutoScalingGroups", 1, true), why)
	end)
end)

cloud.describe("F7 a founding", function(it)
	it("whose others were both replaced is given up, though no list names them any more", function(w, c)
		local group = c:group("etcd", { desired = 3 })
		local first = c:machines { group[1] }
		w:boot(first)
		w:boot_all(c:machines { group[2], group[3] }, { policy = { decide = [[function(facts)
			local plan = steady.decide(facts)
			return plan.action == "new" and { action = "wait", reason = "held back" } or plan
		end]] } })
		world.wait(function() return w:has_log(first) end, 60, "the first has started as new")
		w:kill(group[2].id)
		w:kill(group[3].id)
		local now = { group[1] }
		for i = 2, 3 do now[i] = c.moto:terminate(group[i], { by_group = true }) end
		w:stop(first)
		local names = c:machines(now)
		w:boot_all(names)
		w:converge(names, 90)
		assert.is_true(#w:asides(first) >= 1)
	end)
end)

cloud.describe("E4 a member", function(it)
	it("whose machine EC2 has forgotten is evicted after the grace of absence", function(w, c)
		w.policy.decide = "steady { evict_gone_after = 2, evict_after = 1000 }"
		local group = c:group("etcd", { desired = 3 })
		local names = c:machines(group)
		w:boot_all(names)
		w:converge(names, 60)
		w:kill(group[3].id)
		local new = c:terminate(group[3])
		local items = c.moto:items "etcd"
		c:fault { action = "DescribeInstances", status = 200,
			body = moto.answer { items[group[1].id], items[group[2].id], items[new.id] } }
		names = c:machines { group[1], group[2], new }
		w:boot(new.id)
		w:converge(names, 90)
	end)
end)

cloud.describe("the marker in S3", function(it)
	local STORE <const> = "s3 { bucket = 'etcd', key = 'a dir/marker.json' }"

	local function marker(more)
		local m = { cluster_id = "4660", token = "t-1", founder = "a", time = 1700000000, confirmed = false,
			list = json.list { { name = "a", peer_urls = json.list { "http://127.0.0.1:2380" } } } }
		for key, value in pairs(more or {}) do m[key] = value end
		return m
	end

	local function machine(w, c)
		c.moto:rest("s3", "PUT", "/etcd", "<CreateBucketConfiguration><LocationConstraint>" .. moto.region
			.. "</LocationConstraint></CreateBucketConfiguration>")
		local one = c:instance()
		return function(verb, m, tag) return run(w, c, one, STORE, { verb = verb, first = m, second = tag }) end
	end

	it("is none, is made, and is read", function(w, c)
		local store = machine(w, c)
		assert.is_false(store "read")
		local tag = assert(store("write", marker()))
		assert.same({ marker(), tag }, { store "read" })
	end)

	it("is made once, and replaced by whoever read what is there", function(w, c)
		local store = machine(w, c)
		local tag = assert(store("write", marker()))
		local _, why, code = store("write", marker { founder = "b" })
		assert.equal("conflict", code, why)
		local newer = assert(store("write", marker { confirmed = true }, tag))
		_, why, code = store("write", marker { founder = "c" }, tag)
		assert.equal("conflict", code, why)
		assert.same({ marker { confirmed = true }, newer }, { store "read" })
	end)

	it("that was cleared is none, and what was read of it is of no use", function(w, c)
		local store = machine(w, c)
		local tag = assert(store("write", marker()))
		c.moto:rest("s3", "DELETE", "/etcd/a%20dir/marker.json")
		assert.is_false(store "read")
		assert.equal("conflict", select(3, store("write", marker { confirmed = true }, tag)))
	end)

	it("is unknown where the bucket is not there, or something else is", function(w, c)
		local store = machine(w, c)
		local m, why, code = run(w, c, c:instance(), "s3 { bucket = 'none', key = 'k' }", { verb = "read" })
		assert.is_nil(m)
		assert.equal("http", code)
		assert.truthy(why:find("cannot read the marker s3://none/k", 1, true), why)
		c.moto:rest("s3", "PUT", "/etcd/a%20dir/marker.json", "<html>")
		m, why, code = store "read"
		assert.is_nil(m)
		assert.equal("parse", code, why)
	end)
end)
