-- The provider aws: what it asks, in which order, and what it makes of the answers.
local task = require "core.task"
local tasks = require "task"

local SELF <const>, B <const>, C <const> = "i-0000000a", "i-0000000b", "i-0000000c"

-- Everything that would leave this machine; the real modules are tried on real servers elsewhere.
local said, asked
package.loaded["aws.metadata"] = {
	document = function() return said.document, said.why, said.code end,
	get = function(path)
		table.insert(asked, path)
		local text = said.tag
		if not text then return nil, "there is no such thing here", "missing" end
		return text
	end,
}
package.loaded["aws.credentials"] = { get = function() return said.credentials, said.why, said.code end }
package.loaded["aws.request"] = function(o)
	table.insert(asked, o)
	return said.request(o)
end
local aws = require "providers.aws"

local function machine(id, more)
	local m = { instanceId = id, instanceState = { name = "running" }, privateIpAddress = "10.0.0." .. tonumber(id:sub(-2), 16) }
	for key, value in pairs(more or {}) do m[key] = value end
	return m
end

local function described(...)
	return { DescribeInstancesResponse = { reservationSet = { item = { { instancesSet = { item = { ... } } } } } } }
end

local function grouped(name, ...)
	local list = {}
	for i, id in ipairs { ... } do list[i] = { InstanceId = id, LifecycleState = "InService" } end
	return { DescribeAutoScalingGroupsResponse = { DescribeAutoScalingGroupsResult = { AutoScalingGroups = { member = {
		{ AutoScalingGroupName = name, DesiredCapacity = "3", Instances = { member = list } } } } } } }
end

local function selects(o, name)
	return o.params.Filter and o.params.Filter[1].Name == name
end

-- A group "etcd" of a, b and c in one region.
local function everything(o)
	if o.action == "DescribeAutoScalingInstances" then
		return { DescribeAutoScalingInstancesResponse = { DescribeAutoScalingInstancesResult = { AutoScalingInstances = { member = {
			{ InstanceId = SELF, AutoScalingGroupName = "etcd" } } } } } }
	elseif o.action == "DescribeAutoScalingGroups" then
		return grouped("etcd", SELF, B, C)
	elseif selects(o, "instance-id") then
		return described()
	end
	return described(machine(SELF), machine(B), machine(C))
end

local function calls()
	local names = {}
	for i, one in ipairs(asked) do names[i] = one.action and one.action .. "@" .. one.region or one:match "[^/]+$" end
	table.sort(names)
	return table.concat(names, " ")
end

local function ids(list)
	local words = {}
	for i, one in ipairs(list.instances) do words[i] = one.id:sub(-1) .. ":" .. one.state end
	return table.concat(words, " ")
end

describe("providers.aws", function()
	before_each(function()
		asked = {}
		said = { document = { instance_id = SELF, region = "here-1" }, credentials = {}, request = everything }
		package.loaded["aws.region"].get = function() return "here-1" end
	end)

	it("finds its own group in its metadata, and asks twice", function()
		said.tag = "etcd"
		local list = assert(aws.asg() {})
		assert.equal("a:live b:live c:live", ids(list))
		assert.same({ SELF, true, 3, "unknown", 15, "aws.asg" }, { list.self, list.complete, list.desired, list.gone, list.lag, list.source })
		assert.equal("DescribeAutoScalingGroups@here-1 DescribeInstances@here-1 aws:autoscaling:groupName", calls())
	end)

	it("asks for its own group once where metadata does not tell", function()
		local ask = aws.asg()
		assert(ask {})
		assert.equal("DescribeAutoScalingGroups@here-1 DescribeAutoScalingInstances@here-1 DescribeInstances@here-1 aws:autoscaling:groupName", calls())
		asked = {}
		assert(ask {})
		assert.equal("DescribeAutoScalingGroups@here-1 DescribeInstances@here-1", calls())
	end)

	it("says that it is in no group", function()
		function said.request() return { DescribeAutoScalingInstancesResponse = {} } end
		local list, why, code = aws.asg() {}
		assert.is_nil(list)
		assert.equal("missing", code)
		assert.truthy(why:find(SELF .. ", is in no Auto Scaling group in here-1", 1, true), why)
	end)

	it("says that there is no such group", function()
		local list, why, code = aws.asg { name = "etc" } {}
		assert.is_nil(list)
		assert.equal("missing", code)
		assert.truthy(why:find("there is no Auto Scaling group \"etc\" in here-1", 1, true), why)
	end)

	it("asks everything of a step at once", function()
		local waiting, all = 0, task.event()
		function said.request(o)
			waiting = waiting + 1
			if waiting == 3 then all:set() end
			all:wait()
			return everything(o)
		end
		local ask = aws.asg { name = "etcd" }
		assert.truthy(tasks.within(5, ask, { missing = { { name = "i-0000000d" } } }))
	end)

	it("hands on the deadline", function()
		assert(aws.asg() { deadline = 77, missing = { { name = "i-0000000d" } } })
		for _, one in ipairs(asked) do
			if one.action then assert.equal(77, one.deadline) end
		end
	end)

	it("asks for members by id in one call, and tells who is forgotten", function()
		function said.request(o)
			if not selects(o, "instance-id") then return everything(o) end
			return described(machine("i-0000000d", { instanceState = { name = "terminated" },
				reason = "User initiated (2026-01-02 03:04:05 GMT)" }))
		end
		local list = assert(aws.asg { name = "etcd" } { missing = { { name = "i-0000000d" }, { name = "i-0000000e" }, { name = "x" } } })
		assert.equal("a:live b:live c:live d:dead", ids(list))
		assert.equal(1767323045, list.instances[4].since)
		assert.same({ "i-0000000e" }, list.forgotten)
		for _, one in ipairs(asked) do
			if one.params and selects(one, "instance-id") then assert.same({ "i-0000000d", "i-0000000e" }, one.params.Filter[1].Value) end
		end
	end)

	it("believes no answer that has no set of machines: nobody is forgotten by it", function()
		function said.request(o)
			return selects(o, "instance-id") and { DescribeInstancesResponse = {} } or everything(o)
		end
		local list, why, code = aws.asg { name = "etcd" } { missing = { { name = "i-0000000d" } } }
		assert.is_nil(list)
		assert.equal("parse", code)
		assert.matches("DescribeInstances", why)
	end)

	it("looks at a group that it is not in, as one that leaves", function()
		function said.request(o)
			if o.action == "DescribeAutoScalingGroups" then return grouped("etcd", B, C) end
			if selects(o, "instance-id") then return described(machine(SELF)) end
			return described(machine(B), machine(C))
		end
		local list = assert(aws.asg { name = "etcd" } {})
		assert.equal("a:leaving b:live c:live", ids(list))
		assert.is_true(list.complete)
		assert.equal(SELF, list.self)
	end)

	it("is unknown when EC2 does not know this machine", function()
		function said.request(o)
			if selects(o, "instance-id") then return described() end
			if o.action == "DescribeInstances" then return described(machine(B), machine(C)) end
			return everything(o)
		end
		local list, why = aws.asg { name = "etcd" } {}
		assert.is_nil(list)
		assert.equal("aws.asg: this machine, \"i-0000000a\", is not in the list", why)
	end)

	it("selects by tags as they are written", function()
		local list = assert(aws.tags { role = "et*d?", ["a\\b"] = "c\\d" } {})
		assert.equal("a:live b:live c:live", ids(list))
		assert.is_nil(list.desired)
		assert.equal("DescribeInstances@here-1", calls())
		assert.same({ { Name = "tag:a\\b", Value = { "c\\\\d" } }, { Name = "tag:role", Value = { "et\\*d\\?" } } }, asked[1].params.Filter)
	end)

	it("asks every region, and one that is silent leaves no list", function()
		local function by_region(o)
			if o.region == "there-1" then return described(machine("i-0000000e")) end
			return everything(o)
		end
		said.request = by_region
		assert.equal("a:live b:live c:live e:live", ids(assert(aws.tags { role = "etcd", regions = { "here-1", "there-1" } } {})))
		assert.equal("DescribeInstances@here-1 DescribeInstances@there-1", calls())
		function said.request(o)
			if o.region == "there-1" then return nil, "no answer", "timeout" end
			return by_region(o)
		end
		assert.same({ nil, "no answer", "timeout" }, { aws.tags { role = "etcd", regions = { "here-1", "there-1" } } {} })
	end)

	it("looks for itself where it is, when the regions are others", function()
		function said.request(o)
			if o.region == "there-1" then return described(machine(B)) end
			return selects(o, "instance-id") and described(machine(SELF)) or error "not asked for"
		end
		assert.equal("a:leaving b:live", ids(assert(aws.tags { role = "etcd", regions = { "there-1" } } {})))
	end)

	local failures = {
		{ "keys", function() said.credentials, said.why, said.code = nil, "no keys", "auth" end, "no keys", "auth" },
		{ "its identity", function() said.document, said.why, said.code = nil, "no metadata", "timeout" end, "no metadata", "timeout" },
		{ "EC2", function() said.request = function(o)
			if o.action == "DescribeInstances" then return nil, "ec2 is silent", "timeout" end
			return everything(o)
		end end, "ec2 is silent", "timeout" },
		{ "Auto Scaling", function() said.request = function(o)
			if o.action == "DescribeAutoScalingGroups" then return nil, "not allowed", "denied" end
			return everything(o)
		end end, "not allowed", "denied" },
		{ "whom it asks for by id", function() said.request = function(o)
			if selects(o, "instance-id") then return nil, "throttled", "throttled" end
			return everything(o)
		end end, "throttled", "throttled" },
		{ "an instance without an id", function() said.request = function(o)
			return o.action == "DescribeInstances" and described { instanceState = { name = "running" } } or everything(o)
		end end, "EC2 lists an instance without an id", "parse" },
	}
	for _, case in ipairs(failures) do
		it("is unknown without " .. case[1], function()
			case[2]()
			local list, why, code = aws.asg { name = "etcd" } { missing = { { name = "i-0000000d" } } }
			assert.is_nil(list)
			assert.equal(case[3], why)
			assert.equal(case[4], code)
		end)
	end

	it("reads every page, and a machine on two of them once", function()
		function said.request(o)
			if o.action ~= "DescribeInstances" then return everything(o) end
			local page = o.params.NextToken and described(machine(B), machine(C)) or described(machine(SELF), machine(B))
			page.DescribeInstancesResponse.nextToken = not o.params.NextToken and "more" or nil
			return page
		end
		local list = assert(aws.asg { name = "etcd" } {})
		assert.equal("a:live b:live c:live", ids(list))
		assert.is_true(list.complete)
	end)

	local wrong = {
		{ "asg", "etcd", "aws.asg: a table expected" }, { "asg", { nmae = "x" }, "aws.asg: unknown key \"nmae\"; did you mean name" },
		{ "asg", { name = "" }, "aws.asg: name: a text expected" }, { "asg", { name = 7 }, "aws.asg: name: a text expected" },
		{ "asg", { name = "x", region = "a", regions = { "a" } }, "region or regions, not both" },
		{ "asg", { region = "here-1" }, "name the group as well as the region" },
		{ "asg", { name = "x", region = "eu west" }, "aws.asg: region: \"eu west\" is not the name of a region" },
		{ "asg", { name = "x", regions = {} }, "aws.asg: regions: a list of regions expected" },
		{ "asg", { name = "x", regions = { "a", "a" } }, "aws.asg: regions: a is in it twice" },
		{ "asg", { name = "x", regions = { 1 } }, "aws.asg: regions: a text expected" },
		{ "tags", nil, "aws.tags: a table expected" }, { "tags", {}, "one tag at least" }, { "tags", { "etcd" }, "aws.tags: 1: a tag is written as" },
		{ "tags", { role = { "a" } }, "aws.tags: role: a tag is written as" }, { "tags", { regions = { "a" } }, "one tag at least" },
		{ "tags", { role = "x", regions = "a" }, "aws.tags: regions: a list of regions expected" },
	}
	for _, case in ipairs(wrong) do
		it("refuses what is wrong in the policy: " .. case[3], function()
			local fine, why = pcall(function() local f = aws[case[1]](case[2]); return f end)
			assert.is_false(fine)
			assert.truthy(why:find("provider_spec.lua:", 1, true), why)
			assert.truthy(why:find(case[3], 1, true), why)
		end)
	end

	it("offers what it asks with to policies", function()
		assert.equal(require "aws.request", aws.request)
		assert.equal(require "aws.s3", aws.s3)
	end)
end)
