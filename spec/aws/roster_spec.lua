-- What EC2 and Auto Scaling said, put together: states, who is missing, who is forgotten.
local groups = require "aws.groups"
local inventory = require "inventory"
local roster = require "aws.roster"

local function id(name)
	return ("i-%08x"):format(name:byte())
end

local function machine(name, state, more)
	local m = { id = id(name), name = id(name), addresses = { private_v4 = "10.0.0." .. name:byte() }, zone = "z", region = "here",
		launched = 0, since = 0, tags = {}, state = state or "live" }
	for key, value in pairs(more or {}) do m[key] = value end
	return m
end

-- "a:live b c:dead" -> machines
local function machines(text, more)
	local list = {}
	for name, state in text:gmatch "(%l):?(%S*)" do
		table.insert(list, machine(name, state ~= "" and state or nil, more))
	end
	return list
end

-- "ab c=Standby": a and b in service -> what its group says
local function group(text, desired)
	local lifecycle = {}
	for names, word in text:gmatch "(%l+)=?(%S*)" do
		for name in names:gmatch "%l" do lifecycle[id(name)] = word ~= "" and word or "InService" end
	end
	return { desired = desired or 3, lifecycle = lifecycle }
end

local function member(name)
	return { id = "7", name = name, peer_urls = {} }
end

local function seen(o)
	local missing = {}
	for i, name in ipairs(o.missing or {}) do missing[i] = member(name) end
	return roster.of { self = id "a", missing = missing, ids = roster.ids(missing), source = "spec",
		parts = o.parts or { { region = "here", selected = machines(o.selected or ""), known = machines(o.known or "", o.known_more),
			group = o.group, tags = o.tags } } }
end

local function states(list)
	local words = {}
	for _, one in ipairs(assert(inventory.make(list)).instances) do
		table.insert(words, string.char(tonumber(one.id:sub(3), 16)) .. ":" .. one.state)
	end
	return table.concat(words, " ")
end

describe("a machine's state", function()
	local rows = { -- what EC2 says, what the group says, what it is
		{ "booting", "Pending", "booting" }, { "live", "Pending", "booting" }, { "live", "Pending:Wait", "booting" },
		{ "live", "Pending:Proceed", "booting" }, { "booting", "InService", "booting" }, { "live", "InService", "live" },
		{ "live", "Terminating", "leaving" }, { "live", "Terminating:Wait", "leaving" }, { "booting", "Terminating:Proceed", "leaving" },
		{ "live", "Terminating:Retained", "leaving" }, { "live", "Terminated", "leaving" },
		{ "live", "Detaching", "leaving" }, { "live", "Detached", "leaving" },
		{ "live", "Warmed:Running", "leaving" }, { "booting", "Warmed:Pending:Wait", "leaving" },
		{ "live", "Standby", "unknown" }, { "live", "EnteringStandby", "unknown" }, { "live", "Quarantined", "unknown" },
		{ "live", "ReplacingRootVolume:Wait", "unknown" }, { "live", "RootVolumeReplaced", "unknown" },
		{ "live", "Dreaming", "unknown" }, { "live", "", "unknown" }, { "live", "TerminatedSoon", "unknown" },
		{ "live", nil, "leaving" }, { "booting", nil, "leaving" },
	}
	for _, row in ipairs(rows) do
		it(("is %s: %s for EC2, %s for its group"):format(row[3], row[1], row[2] or "not there"), function()
			assert.equal(row[3], groups.state(row[1], row[2]))
		end)
	end

	it("is EC2's word where the machine does not run", function()
		for _, state in ipairs { "dead", "leaving", "unknown" } do
			for _, row in ipairs(rows) do assert.equal(state, groups.state(state, row[2])) end
		end
	end)
end)

describe("a list of machines", function()
	local whole = {
		{ "of a group", { selected = "a b c", group = group "abc" }, "a:live b:live c:live" },
		{ "with dead ones, which the group has let go", { selected = "a b:dead c", group = group "ac" }, "a:live b:dead c:live" },
		{ "whose group still lists a dead one", { selected = "a b:dead c", group = group "abc" }, "a:live b:dead c:live" },
		{ "with one that its group calls terminated and EC2 lists no more", { selected = "a c", group = group "ac b=Terminated" }, "a:live b:dead c:live" },
		{ "with one that the group does not have", { selected = "a b c", group = group "ab" }, "a:live b:live c:leaving" },
		{ "by tags", { selected = "a b:unknown", tags = { role = "etcd" } }, "a:live b:unknown" },
		{ "with a dead one that was asked for by id", { selected = "a b", known = "c:dead", group = group "ab", missing = { id "c" } }, "a:live b:live c:dead" },
		{ "with one of elsewhere that was asked for by id", { selected = "a b", known = "c", group = group "ab", missing = { id "c" } }, "a:live b:live c:leaving" },
		{ "by tags, with one that lost them", { selected = "a", known = "b", tags = { role = "etcd" }, missing = { id "b" } }, "a:live b:leaving" },
		{ "by tags, with a dead one that still bears them", { selected = "a", known = "b:dead", known_more = { tags = { role = "etcd" } },
			tags = { role = "etcd" }, missing = { id "b" } }, "a:live b:dead" },
		{ "that I look at from outside", { selected = "b c", known = "a", group = group "bc" }, "a:leaving b:live c:live" },
		{ "with one that was selected and asked for", { selected = "a b:leaving", known = "b:dead", group = group "ab", missing = { id "b" } }, "a:live b:leaving" },
		{ "with a booting one that has an IPv6 address alone", { selected = "a", group = group "a b=Pending", parts = {
			{ region = "here", selected = { machine "a", machine("b", "booting", { addresses = { private_v6 = "fd00::1" } }) }, known = {},
				group = group "a b=Pending" } } }, "a:live b:booting" },
		{ "without addresses where they are not needed", { parts = { { region = "here", known = {}, group = group "a b=Standby",
			selected = { machine "a", machine("b", "live", { addresses = {} }), machine("c", "dead", { addresses = {} }) } } } }, "a:live b:unknown c:dead" },
	}
	it("says what keeps a machine out that runs", function()
		local function why(part, name)
			part.region, part.name, part.selected, part.known = part.region or "here", "etcd", machines(part.selected or ""), machines(part.known or "", part.more)
			local parts = { part, part.elsewhere }
			for _, one in ipairs(assert(inventory.make(seen { parts = parts })).instances) do
				if one.id == id(name) then return one.why end
			end
		end
		assert.equal("is not in the group etcd of here", why({ known = "a", selected = "b", group = group "b" }, "a"))
		assert.equal("is Terminating:Wait in the group etcd", why({ selected = "a b", group = group "a b=Terminating:Wait" }, "b"))
		assert.equal('has no tag role = "etcd"', why({ known = "a", tags = { role = "etcd" } }, "a"))
		assert.equal('has the tag role = "web", and "etcd" is asked for',
			why({ known = "a", more = { tags = { a = "b", role = "web" } }, tags = { a = "b", role = "etcd" } }, "a"))
		assert.equal("is in there, and only here is asked", why({ selected = "b", tags = { role = "etcd" },
			elsewhere = { region = "there", selected = {}, known = machines "a" } }, "a"))
		assert.is_nil(why({ selected = "a b:leaving", group = group "ab" }, "b"))
	end)

	for _, case in ipairs(whole) do
		it("is complete: one " .. case[1], function()
			local list = seen(case[2])
			assert.is_nil(list.why)
			assert.is_true(list.complete)
			assert.equal(case[3], states(list))
		end)
	end

	local doubtful = {
		{ "one of the group that EC2 does not list", { selected = "a b", group = group "abc" }, id "c" .. " is in the group" },
		{ "several of the group, the first of which is named", { selected = "a", group = group "abcd" }, id "b" .. " is in the group" },
		{ "one that is leaving the group, and EC2 does not list it", { selected = "a b", group = group "ab c=Terminating" }, id "c" .. " is in the group" },
		{ "one of the group that EC2 knows by id alone", { selected = "a b", known = "c", group = group "abc", missing = { id "c" } },
			id "c" .. " belongs to them" },
		{ "one that has the tags and was not selected", { selected = "a", known = "b", known_more = { tags = { role = "etcd", x = "y" } },
			tags = { role = "etcd" }, missing = { id "b" } }, id "b" .. " belongs to them" },
		{ "myself, by id alone", { selected = "b", known = "a", group = group "ab" }, id "a" .. " belongs to them" },
		{ "one without an address", { parts = { { region = "here", known = {}, group = group "ab",
			selected = { machine "a", machine("b", "booting", { addresses = {} }) } } } }, id "b" .. " has no address yet" },
	}
	for _, case in ipairs(doubtful) do
		it("is not complete: it may lack " .. case[1], function()
			local list = seen(case[2])
			assert.is_false(list.complete)
			assert.truthy(list.why:find(case[3], 1, true), list.why)
		end)
	end

	it("is none without myself", function()
		local made, why = inventory.make(seen { selected = "b c", group = group "bc" })
		assert.is_nil(made)
		assert.truthy(why:find("is not in the list", 1, true), why)
	end)

	it("calls forgotten whom it asked for by id and nobody knows", function()
		local other = "i-0123456789abcdef0"
		local list = seen { selected = "a b", known = "c:dead", group = group "ab",
			missing = { id "c", "node-" .. id "d", other .. ".eu-west-1.compute.internal", "plain", "", id "b" } }
		assert.same({ other .. ".eu-west-1.compute.internal", "node-" .. id "d" }, list.forgotten)
		assert.equal("unknown", list.gone)
		assert.equal(15, list.lag)
	end)

	it("forgets nobody whom it did not ask for", function()
		local missing = {}
		for i = 1, 201 do missing[i] = member(("i-%08x"):format(0x1000 + i)) end
		local ids = roster.ids(missing)
		assert.equal(200, #ids)
		local list = roster.of { self = id "a", missing = missing, ids = ids, source = "spec", parts = { { selected = machines "a", known = {} } } }
		assert.equal(200, #list.forgotten)
	end)

	it("asks for the id in a name, where there is one and only one", function()
		local names = { [id "a"] = id "a", ["etcd." .. id "a"] = id "a", ["i-0123456789abcdef0.ec2.internal"] = "i-0123456789abcdef0",
			["i-1"] = false, ["i-12"] = false, ["mi-00000061"] = false, ["i-00000061z"] = false, ["i-000000610"] = false,
			[id "a" .. "," .. id "b"] = false, [id "a" .. "." .. id "a"] = id "a" }
		for name, wanted in pairs(names) do
			assert.equal(wanted or nil, roster.ids { member(name) }[1], name)
		end
		assert.equal(1, #roster.ids { member(id "a"), member("x-" .. id "a") })
	end)

	it("of several regions is complete when each is, and wants what all want", function()
		local function parts(second)
			return { { region = "here", selected = machines "a b", known = {}, group = group("ab", 2) }, second }
		end
		local list = seen { parts = parts { region = "there", selected = machines("c", { region = "there" }), known = {}, group = group("c", 1) } }
		assert.is_true(list.complete)
		assert.equal(3, list.desired)
		assert.equal("a:live b:live c:live", states(list))
		list = seen { parts = parts { region = "there", selected = {}, known = {}, group = group("c", 1) } }
		assert.is_false(list.complete)
		assert.is_nil(seen { parts = parts { region = "there", selected = machines "c", known = {}, group = { lifecycle = group "c".lifecycle } } }.desired)
		assert.is_nil(seen { selected = "a", tags = { role = "etcd" } }.desired)
	end)
end)

describe("a group", function()
	local function told(more, instance)
		local t = { DesiredCapacity = "3", Instances = { member = { instance or { InstanceId = id "a", LifecycleState = "InService" } } } }
		for key, value in pairs(more or {}) do t[key] = value end
		return groups.of(t)
	end

	it("says who is in it and how many are wanted", function()
		assert.same({ desired = 3, lifecycle = { [id "a"] = "InService" } }, told())
		assert.equal(3, told { DesiredCapacityType = "units" }.desired)
		assert.same({}, told { Instances = { member = {} } }.lifecycle)
	end)

	it("does not say how many machines where it counts something else", function()
		assert.is_nil(told { DesiredCapacityType = "vcpu" }.desired)
		assert.is_nil(told(nil, { InstanceId = id "a", LifecycleState = "InService", WeightedCapacity = "4" }).desired)
		assert.is_nil(told { DesiredCapacity = "many" }.desired)
	end)
end)
