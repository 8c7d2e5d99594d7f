-- leave: what is next until this machine's member is listed no more.
local facts = require "facts"
local leave = require "leave"

local function url(name) return ("http://127.9.0.%d:2380"):format(name:byte() - 96) end

local function members(names)
	local list = {}
	for name in names:gmatch "%l" do
		table.insert(list, { id = tostring(name:byte() - 96), name = name, peer_urls = { url(name) }, client_urls = {}, learner = false,
			started = true })
	end
	return list
end

-- Facts of machine c, member 3 of cluster 100; who: the machines that answer as members of it.
local function seen(who, listed, more)
	local f = {
		me = { id = "c", name = "c", peer_urls = { url "c" }, client_urls = {} }, probes = {},
		data_dir = { state = "member", cluster_id = "100", member_id = "3", path = "/data", why = "" },
	}
	for name in who:gmatch "%l" do
		f.probes[name] = { key = name, peer_url = url(name), verdict = "quorum", cluster_id = "100", member_id = tostring(name:byte() - 96),
			members = members(listed), why = "" }
	end
	for key, value in pairs(more or {}) do f[key] = value end
	f.clusters = facts.clusters(f.probes, f.me)
	f.cluster = facts.one_quorum(f.clusters)
	return f
end

local EMPTY = { state = "empty", path = "/data", why = "" }
local HIDDEN = { state = "hidden", why = "" }

local cases = {
	{ "listed: leaves", seen("abc", "abc"), "leave", "3" },
	{ "listed by one, etcd stopped: leaves, and the gate counts", seen("a", "abc"), "leave", "3" },
	{ "listed no more by a majority: done", seen("ab", "ab"), "standby" },
	{ "listed no more by a minority: waits", seen("a", "ab"), "wait" },
	{ "no quorum: waits", seen("", "abc"), "wait" },
	{ "the data is of another cluster: fails", seen("ab", "ab", { data_dir = { state = "member", cluster_id = "7", member_id = "3", why = "" } }), "fail" },
	{ "damaged data: fails", seen("ab", "abc", { data_dir = { state = "damaged", path = "/data", why = "no log" } }), "fail" },
	{ "a lost disk: its slot goes, as its own", seen("ab", "abc", { data_dir = EMPTY }), "remove", "3" },
	{ "a lost disk without a slot: done", seen("ab", "ab", { data_dir = EMPTY }), "standby" },
	{ "an empty directory, an etcd with another: fails", seen("ab", "abc", { data_dir = EMPTY,
		me = { name = "c", peer_urls = { url "c" }, running = { cluster_id = "100", member_id = "3" } } }), "fail" },
	{ "hidden data, etcd answers: leaves", seen("abc", "abc", { data_dir = HIDDEN,
		me = { name = "c", peer_urls = { url "c" }, running = { cluster_id = "100", member_id = "3" } } }), "leave", "3" },
	{ "hidden data, etcd stopped: fails", seen("ab", "abc", { data_dir = HIDDEN }), "fail" },
	{ "hidden data, no slot: done", seen("ab", "ab", { data_dir = HIDDEN }), "standby" },
}

describe("leave", function()
	for _, case in ipairs(cases) do
		local what, f, action, member = table.unpack(case)
		it(what, function()
			local plan = leave.decide(f)
			assert.same({ action, member }, { plan.action, plan.member })
			assert.equal(member ~= nil or nil, plan.own)
		end)
	end

	it("ends with 5 where two clusters have quorum", function()
		local f = seen("ab", "abc")
		f.probes.x = { key = "x", peer_url = url "x", verdict = "quorum", cluster_id = "7", member_id = "9", members = members "x", why = "" }
		f.clusters = facts.clusters(f.probes, f.me)
		f.cluster = facts.one_quorum(f.clusters)
		local plan = leave.decide(f)
		assert.same({ "fail", 5 }, { plan.action, plan.exit })
	end)
end)
