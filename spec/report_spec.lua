-- What plan and status print, in the contract's shapes.
local json = require "core.json"
local log = require "core.log"
local report = require "report"

local MADE = { role = "member", state = "new", name = "a", cluster_id = "255", endpoints = {}, initial_cluster = {},
	pairs = { { "ETCD_NAME", "a" } }, env = { ETCD_NAME = "a" } }
local WAIT = { action = "wait", reason = "not every\nmachine is there", waiting_for = {
	{ instance = "c", why = "127.0.0.3 refused both ports" } } }

local function facts(t)
	local f = { me = {}, probes = {}, clusters = {}, data_dir = { state = "empty" } }
	for key, value in pairs(t or {}) do f[key] = value end
	return f
end

describe("report.telling", function()
	it("is a line for the plan, for each machine waited for and for the refusal", function()
		assert.same({ "wait: not every machine is there", "waits for c: 127.0.0.3 refused both ports" }, report.telling(WAIT))
		assert.same({ "remove: b is dead", "refused: two of three needed [quorum-after]" },
			report.telling({ action = "remove", reason = "b is dead" }, "two of three needed", "quorum-after"))
	end)
end)

describe("report", function()
	it("shows no secret that somebody echoed, and nothing that a terminal would act on", function()
		log.secret "hush-of-report"
		local why = "no: hush-of-report \27[31m at http://u:p@h/"
		local plan = { action = "wait", reason = why, waiting_for = { { instance = "c", why = why } } }
		local f = facts { inventory_why = why, probes = { x = { peer_url = "http://x:2380", verdict = "unknown", why = why } } }
		local registered = { { what = "a", ok = false, values = {}, wanted = {}, why = why } }
		for _, text in ipairs { report.plan_text(plan, why, "rule"), report.plan_json(f, plan), report.status_text(f, registered),
			report.status_json(f, registered) } do
			assert.is_nil(text:find("hush", 1, true), text)
			assert.is_nil(text:find("u:p@", 1, true), text)
			assert.is_nil(text:find("\27", 1, true), text)
		end
	end)
end)

describe("report.plan_text", function()
	it("has the env text of a final plan, not of one refused", function()
		local plan = { action = "new", reason = "all are ready" }
		assert.equal("new: all are ready\nETCD_NAME=a\n", report.plan_text(plan, nil, nil, MADE))
		assert.equal("new: all are ready\nrefused: no [roll-call]\n", report.plan_text(plan, "no", "roll-call"))
		assert.equal("wait: not every machine is there\nwaits for c: 127.0.0.3 refused both ports\n", report.plan_text(WAIT))
	end)

	it("says what cannot be written", function()
		local made = { role = "member", endpoints = {}, pairs = { { "ETCD_X", "a b" } }, env = {}, initial_cluster = {} }
		assert.truthy(report.plan_text({ action = "start", reason = "x" }, nil, nil, made)
			:find("\nno configuration: ETCD_X contains", 1, true))
	end)
end)

describe("report.plan_json", function()
	it("holds what somebody said that is no UTF-8", function()
		local plan = { action = "wait", reason = "no \xff luck", waiting_for = { { instance = "c", why = "\xc3" } } }
		local told = json.decode(report.plan_json(facts(), plan))
		assert.same({ "no ? luck", "?" }, { told.reason, told.waiting_for[1].why })
	end)

	local cases = {
		{ WAIT, nil, nil, '{"action":"wait","cluster_id":null,"config":null,"final":false,"learner":false,"member":null,'
			.. '"reason":"not every\\nmachine is there","rule":null,"waiting_for":[{"instance":"c","why":"127.0.0.3 refused both ports"}]}\n' },
		{ { action = "new", reason = "r" }, nil, MADE, '{"action":"new","cluster_id":"ff","config":{"ETCD_NAME":"a"},"final":true,'
			.. '"learner":false,"member":null,"reason":"r","rule":null,"waiting_for":[]}\n' },
		{ { action = "remove", reason = "r", member = "18446744073709551615" }, "quorum-after", nil,
			'{"action":"remove","cluster_id":null,"config":null,"final":false,"learner":false,"member":"ffffffffffffffff",'
			.. '"reason":"r","rule":"quorum-after","waiting_for":[]}\n' },
		{ { action = "new", reason = "r" }, "roll-call", nil, '{"action":"new","cluster_id":null,"config":null,"final":false,'
			.. '"learner":false,"member":null,"reason":"r","rule":"roll-call","waiting_for":[]}\n' },
		{ { action = "add", reason = "r", learner = true }, nil, nil, '{"action":"add","cluster_id":null,"config":null,"final":false,'
			.. '"learner":true,"member":null,"reason":"r","rule":null,"waiting_for":[]}\n' },
	}
	for i, case in ipairs(cases) do
		it(("has the shape of the contract (%d)"):format(i), function()
			assert.equal(case[4], report.plan_json(facts(), case[1], case[2], case[3]))
		end)
	end

	it("names the cluster that it is about", function()
		local function id(t, action)
			return json.decode(report.plan_json(facts(t), { action = action or "wait", reason = "r" })).cluster_id
		end
		assert.equal("7", id { cluster = { id = "7" }, data_dir = { cluster_id = "8" } })
		assert.equal("8", id { data_dir = { cluster_id = "8" } })
		assert.equal("9", id { data_dir = { claim = { cluster_id = "9" } } })
		assert.equal("5", id({ founding = { cluster_id = "5" } }, "claim"))
		assert.equal(json.null, id { founding = { cluster_id = "5" } })
	end)
end)

local SEEN = {
	desired = 3, me = { id = "a" },
	inventory = { self = "a", complete = true, instances = {
		{ id = "a", name = "a", state = "live", zone = "z1", addresses = { private_v4 = "127.0.0.2" }, member = "255" },
		{ id = "b", name = "b", state = "dead", zone = "", addresses = {} },
	} },
	probes = {
		a = { key = "a", peer_url = "http://127.0.0.2:2380", verdict = "quorum", why = "" },
		["http://127.0.0.9:2380"] = { peer_url = "http://127.0.0.9:2380", verdict = "unknown", why = "connecting timed out" },
	},
	clusters = { { id = "17293822569102704640", leader = "255", quorum = true, version = "3.4.0", members = {
		{ id = "255", name = "a", peer_urls = { "http://127.0.0.2:2380" }, client_urls = { "http://127.0.0.2:2379" },
			learner = false, started = true, instance = "a" },
		{ id = "16", name = "", peer_urls = { "http://127.0.0.9:2380" }, client_urls = {}, learner = true, started = false },
	} } },
}

local REGISTERED = {
	{ what = "dns", ok = true, changed = false, values = { "1", "2" }, wanted = { "1", "2" }, why = "" },
	{ what = "lb", ok = true, changed = true, values = {}, wanted = { "3" }, why = "" },
	{ what = "register[3]", ok = false, changed = false, values = {}, wanted = {}, why = "no\nanswer", code = "timeout" },
}

describe("report.status_json", function()
	it("has the shape of the contract", function()
		assert.equal('{"clusters":[{"id":"f000000000000000","leader":"ff","members":['
			.. '{"client_urls":["http://127.0.0.2:2379"],"id":"ff","instance":"a","learner":false,"name":"a","peer_urls":["http://127.0.0.2:2380"],"started":true},'
			.. '{"client_urls":[],"id":"10","instance":null,"learner":true,"name":"","peer_urls":["http://127.0.0.9:2380"],"started":false}'
			.. '],"quorum":true,"version":"3.4.0"}],"complete":true,"desired":3,"instances":['
			.. '{"addresses":{"private_v4":"127.0.0.2"},"id":"a","member":"ff","name":"a","probe":"quorum","state":"live","why":"","zone":"z1"},'
			.. '{"addresses":{},"id":"b","member":null,"name":"b","probe":"unknown","state":"dead","why":"was not asked","zone":""}'
			.. '],"registrations":[],"self":"a"}\n', report.status_json(facts(SEEN)))
	end)

	it("has [] and null where nothing is known", function()
		assert.equal('{"clusters":[],"complete":false,"desired":null,"instances":[],"registrations":[],"self":null}\n',
			report.status_json(facts()))
	end)

	it("has an object for each registrar", function()
		assert.same({
			{ changed = false, ok = true, values = { "1", "2" }, wanted = { "1", "2" }, what = "dns", why = "" },
			{ changed = true, ok = true, values = {}, wanted = { "3" }, what = "lb", why = "" },
			{ changed = false, ok = false, values = {}, wanted = {}, what = "register[3]", why = "no answer" },
		}, json.decode(report.status_json(facts(), REGISTERED)).registrations)
		assert.truthy(report.status_json(facts(), REGISTERED):find('"values":[],"wanted":["3"]', 1, true))
	end)
end)

describe("report.status_text", function()
	it("is a table of the machines and lines for the clusters", function()
		assert.equal([[
INSTANCE  STATE  ADDRESS                PROBE    MEMBER  WHY
a (me)    live   127.0.0.2              quorum   ff
b         dead   -                      unknown  -       was not asked
-         -      http://127.0.0.9:2380  unknown  -       connecting timed out

cluster f000000000000000: quorum, 2 members, leader ff, version 3.4.0
  ff  a  voter  http://127.0.0.2:2380
  10  -  learner, not started  http://127.0.0.9:2380
]], report.status_text(facts(SEEN)))
	end)

	it("says why the machines are not known", function()
		local text = report.status_text(facts { inventory_why = "static: m.json is cut" })
		assert.equal("the machines are not known: static: m.json is cut", text:match "^[^\n]*")
		assert.truthy(text:find("no cluster is seen\n$"))
	end)

	it("says what is registered, what will be, and what is not known", function()
		assert.truthy(report.status_text(facts(), REGISTERED):find([[

dns: 1, 2
lb: nothing; finish will make it 3
register[3]: not known: no answer
]], 1, true))
	end)
end)
