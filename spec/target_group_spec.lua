-- Targets of a load balancer's group: which are registered, which leave, which are none of ours.
local target_group = require "registrars.target_group"

local OURS, OTHERS = "ff", "77"

local function member(name, address, more)
	local m = { name = name, address = address, instance = "i-" .. name, state = "live" }
	for key, value in pairs(more or {}) do m[key] = value end
	return m
end

local A, B, C = member("a", "10.0.0.1"), member("b", "10.0.0.2"), member("c", "10.0.0.3")

local function machine(name, address, state)
	return { id = "i-" .. name, state = state or "live", addresses = { private_v4 = address, hostname = name } }
end

-- "10.0.0.1:2379 draining" -> a target
local function target(text)
	local id, port, state = text:match "^(.+):(%d+) ?(%a*)$"
	return { id = id, port = math.tointeger(tonumber(port)), state = state ~= "" and state or "healthy" }
end

local function tags(cluster, ...)
	local t = {}
	for _, id in ipairs { ... } do t["etcd-bootstrap/" .. id] = cluster end
	return t
end

local function merged(a, b)
	for key, value in pairs(b) do a[key] = value end
	return a
end

local TAGGED = tags(OURS, "10.0.0.1/2379", "10.0.0.2/2379")

-- what, {members, silent, instances, targets, tags, options}, {register, deregister, tag, untag}
local cases = {
	{ "what is missing is registered and noted", { { A, B }, {}, {}, {}, {} },
		{ "10.0.0.1 10.0.0.2", "", "10.0.0.1 10.0.0.2", "" } },
	{ "nothing is done where nothing is missing", { { A, B }, {}, {}, { "10.0.0.1:2379", "10.0.0.2:2379 initial" }, TAGGED },
		{ "", "", "", "" } },
	{ "a member that somebody registered becomes ours", { { A }, {}, {}, { "10.0.0.1:2379" }, {} }, { "", "", "10.0.0.1", "" } },
	{ "one that drains is registered again", { { A, B }, {}, {}, { "10.0.0.1:2379", "10.0.0.2:2379 draining" }, TAGGED },
		{ "10.0.0.2", "", "", "" } },
	{ "another port, another's and an unknown target stay", { { A }, {}, { machine("c", "10.0.0.3") },
		{ "10.0.0.1:2379", "10.0.0.3:9100", "10.0.0.2:9100", "10.9.9.9:2379", "10.9.9.8:2379" },
		merged(tags(OTHERS, "10.9.9.8/2379"), tags(OURS, "10.0.0.1/2379", "10.0.0.2/9100")) }, { "", "", "", "" } },
	{ "ours that is no member leaves, its tag too", { { A }, {}, {}, { "10.0.0.1:2379", "10.0.0.2:2379" }, TAGGED },
		{ "", "10.0.0.2", "", "10.0.0.2" } },
	{ "ours that drains is let drain, and noted until it is gone", { { A }, {}, {}, { "10.0.0.1:2379", "10.0.0.2:2379 draining" }, TAGGED },
		{ "", "", "", "10.0.0.2" } },
	{ "a listed machine that is no member leaves", { { A }, {}, { machine("c", "10.0.0.3"), machine("d", "10.0.0.4", "dead") },
		{ "10.0.0.1:2379", "10.0.0.3:2379", "10.0.0.4:2379" }, tags(OURS, "10.0.0.1/2379") }, { "", "10.0.0.3 10.0.0.4", "", "" } },
	{ "a voter that is silent for one look stays", { { A }, { B }, { machine("b", "10.0.0.2") }, { "10.0.0.1:2379", "10.0.0.2:2379" }, TAGGED },
		{ "", "", "", "" } },
	{ "a voter whose machine is dead leaves", { { A }, { member("b", "10.0.0.2", { state = "dead" }) }, {},
		{ "10.0.0.1:2379", "10.0.0.2:2379" }, TAGGED }, { "", "10.0.0.2", "", "10.0.0.2" } },
	{ "a member whose machine leaves stays, and is not registered anew",
		{ { member("a", "10.0.0.1", { state = "leaving" }), member("b", "10.0.0.2", { state = "leaving" }) }, {}, {}, { "10.0.0.1:2379" }, TAGGED },
		{ "", "", "", "10.0.0.2" } },
	{ "with adopt every target on the port is ours", { { A }, {}, {}, { "10.0.0.1:2379", "10.9.9.9:2379", "10.9.9.9:80" }, TAGGED, { adopt = true } },
		{ "", "10.9.9.9", "", "10.0.0.2" } },
	{ "without tags the listed machines alone are ours", { { A }, {}, { machine("c", "10.0.0.3") },
		{ "10.0.0.2:2379", "10.0.0.3:2379" }, nil }, { "10.0.0.1", "10.0.0.3", "", "" } },
	{ "by instance", { { A, C }, {}, { machine("b", "10.0.0.2") }, { "i-a:2379", "i-b:2379", "i-x:2379" }, tags(OURS, "i-a/2379"), { kind = "instance" } },
		{ "i-c", "i-b", "i-c", "" } },
	{ "on a port of one's own", { { A }, {}, {}, { "10.0.0.1:2379" }, {}, { port = 12379 } }, { "10.0.0.1", "", "10.0.0.1", "" } },
	{ "addresses of version 6", { { member("a", "fd00::a") }, {}, {}, {}, tags(OURS, "fd00::b/2379") }, { "fd00::a", "", "fd00::a", "fd00::b" } },
}

local function compare(seen)
	local members, silent, instances, texts, known, more = table.unpack(seen, 1, 6)
	local o, targets = { kind = "ip", port = 2379 }, {}
	for key, value in pairs(more or {}) do o[key] = value end
	for i, text in ipairs(texts) do targets[i] = target(text) end
	return target_group.compare(o, { cluster_id = "255", members = members, silent = silent, instances = instances }, targets, known)
end

describe("target_group.compare", function()
	for _, case in ipairs(cases) do
		it(case[1], function()
			local plan = assert(compare(case[2]))
			local got = {}
			for i, key in ipairs { "register", "deregister", "tag", "untag" } do got[i] = table.concat(plan[key], " ") end
			assert.same(case[3], got)
		end)
	end

	it("tells what is there of ours, and what will be", function()
		local plan = assert(compare { { A, B }, { C }, {}, { "10.0.0.2:2379", "10.0.0.3:2379", "10.0.0.4:2379", "10.9.9.9:2379" },
			tags(OURS, "10.0.0.4/2379") })
		assert.same({ "10.0.0.2", "10.0.0.3", "10.0.0.4" }, plan.values)
		assert.same({ "10.0.0.1", "10.0.0.2", "10.0.0.3" }, plan.wanted)
	end)

	it("does nothing where a member has no such id", function()
		local plan, why, code = compare { { { name = "a", address = "10.0.0.1" } }, {}, {}, {}, {}, { kind = "instance" } }
		assert.same({ nil, "the instance of member a is not known", "missing" }, { plan, why, code })
	end)
end)

describe("target_group", function()
	local wrong = {
		{ nil, "a table of options expected" }, { {}, "either name or arn" }, { { name = "a", arn = "b" }, "either name or arn" },
		{ { nam = "a" }, "unknown option nam; did you mean name%?" }, { { name = "" }, "name: a string of one line" },
		{ { name = "a", port = 0 }, "port: " }, { { name = "a", adopt = 1 }, "adopt: true or false" },
	}
	for i, case in ipairs(wrong) do
		it(("refuses wrong options (%d)"):format(i), function()
			assert.error_matches(function() target_group(case[1]) end, "target_group: .*" .. case[2])
		end)
	end
end)
