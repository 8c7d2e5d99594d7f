-- advice: for what is seen, what a person can do.
local advice = require "advice"

local function facts(more)
	local f = { me = { name = "a", peer_urls = { "http://127.9.0.1:2380" } }, inventory = { instances = {} }, probes = {}, clusters = {},
		data_dir = { state = "member", path = "/data", why = "" }, desired = 3 }
	for key, value in pairs(more or {}) do f[key] = value end
	return f
end

local function wait(row, more)
	local plan = { action = "wait", reason = "", row = row }
	for key, value in pairs(more or {}) do plan[key] = value end
	return plan
end

local function member(id, more)
	local m = { id = id, name = "m" .. id, peer_urls = { "http://127.9.0.9:2380" }, learner = false, started = true }
	for key, value in pairs(more or {}) do m[key] = value end
	return m
end

local WAITS_FOR_B <const> = { waiting_for = { { instance = "b", why = "refused" } } }
local START <const> = { action = "start", reason = "", row = 2 }

local cases = {
	{ "etcd runs here, and all is well", facts { me = { running = {} } }, { plan = START, after = { action = "start" } },
		"nothing: this machine's etcd runs as it should" },
	{ "etcd could be started", facts(), { plan = START }, "run etcd-bootstrap run: nothing holds it back" },
	{ "a pause", facts { paused = true }, { plan = START, rule = "paused", pause = "/s/pause" }, "remove /s/pause" },
	{ "a rule refuses", facts(), { plan = { action = "remove", reason = "" }, rule = "quorum-after" }, "the rule quorum-after refuses" },
	{ "no list of machines", { me = {}, probes = {}, clusters = {}, inventory_why = "no route", data_dir = {} }, { plan = wait(20) },
		"the list of machines is not known (no route)" },
	{ "damaged data", facts(), { plan = { action = "fail", reason = "", row = 1 } }, "move /data/member away by hand" },
	{ "two clusters", facts(), { plan = { action = "fail", reason = "", row = 7 } }, "stop the other one by hand; keep its data" },
	{ "founders that do not answer", facts(), { plan = wait(20, WAITS_FOR_B) }, "with the same list of machines, on b" },
	{ "founders, where there was a cluster before", facts { journal = { clusters = { "255" } } }, { plan = wait(20, WAITS_FOR_B) },
		"this machine was in cluster ff before: start those of its members that still have their data" },
	{ "a voter that is silent", facts(), { plan = wait(15, WAITS_FOR_B) }, "repair b, or have the provider terminate it" },
	{ "an unknown size", facts { desired = false }, { plan = wait(15) }, "set size in the policy" },
	{ "a learner before me", facts { cluster = { members = { member("7", { learner = true }) } } }, { plan = wait(15) },
		"run etcd-bootstrap finish on the machine of m7 (7)" },
	{ "a member that never started", facts { cluster = { members = { member("7", { name = "", started = false }) } } }, { plan = wait(15) },
		"see why a nameless member at http://127.9.0.9:2380 (7) does not start" },
	{ "enough members", facts { cluster = { members = { member "7" } } }, { plan = wait(15) }, "unless more members are wanted" },
	{ "my etcd is a learner", facts { me = { running = {} } }, { plan = START, after = { action = "promote" } }, "run etcd-bootstrap finish" },
	{ "my etcd was removed", facts { me = { running = {} } }, { plan = START, after = { action = "fail", reason = "stop it" } }, "stop it" },
	{ "no quorum", facts(), { plan = wait(17), lost = { id = "255", members = { member "3", member "1", member "2" } } },
		"cluster ff needs 2 of its 3 voters: start them on their data; silent are m1 (1), m2 (2), m3 (3)" },
	{ "damaged data, where quorum is lost as well", facts { data_dir = { state = "damaged", path = "/data", why = "" } },
		{ plan = { action = "fail", reason = "", row = 1 }, lost = { id = "255", members = {} } }, "its disk is none to restore from" },
	{ "no quorum of one", facts(), { plan = wait(17), lost = { id = "255", members = { member "3" } } },
		"needs 1 of its 1 voter: start" },
	{ "a policy's own wait", facts(), { plan = wait(nil) }, "nothing that shows from here" },
}

describe("advice", function()
	for _, case in ipairs(cases) do
		it("for " .. case[1], function()
			local list = advice.of(case[2], case[3])
			assert.truthy(table.concat(list, "\n"):find(case[4], 1, true), table.concat(list, "\n"))
		end)
	end

	it("says once that the list of machines is not known", function()
		local f = { me = {}, probes = {}, clusters = {}, inventory_why = "no route", data_dir = {} }
		assert.same({ "see to the provider: the list of machines is not known (no route)" }, advice.of(f, { plan = wait(20) }))
	end)
end)
