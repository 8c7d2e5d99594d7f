-- finish: what is still to be done for this machine's etcd, by what it and the others answer.
local facts = require "facts"
local finish = require "finish"

local function url(name) return ("http://127.9.0.%d:2380"):format(name:byte() - 96) end

local function members(names, learner)
	local list = {}
	for name in names:gmatch "%l" do
		table.insert(list, { id = tostring(name:byte() - 96), name = name, peer_urls = { url(name) }, client_urls = {},
			learner = name == learner, started = true })
	end
	return list
end

-- Facts of machine a; verdicts: of each machine, as members of cluster 100 unless more says otherwise.
local function seen(verdicts, listed, more)
	local f = { me = { name = "a", peer_urls = { url "a" } }, probes = {}, data_dir = { state = "member", cluster_id = "100", member_id = "1" },
		inventory_why = "nobody said" }
	for name, verdict in pairs(verdicts) do
		local etcd = facts.is_etcd { verdict = verdict }
		f.probes[name] = { key = name, name = name, peer_url = url(name), verdict = verdict, why = "no route",
			cluster_id = etcd and (more and more[name] or "100") or nil, member_id = etcd and tostring(name:byte() - 96) or nil,
			members = etcd and listed or nil, answer = verdict == "waiting" and { name = name } or nil }
	end
	f.clusters = facts.clusters(f.probes, f.me)
	f.cluster = facts.one_quorum(f.clusters)
	return f
end

local ABC <const> = members "abc"

local cases = {
	{ "a voter of a working cluster: done", seen({ a = "quorum", b = "quorum" }, ABC), "start" },
	{ "a learner: promoted", seen({ a = "learner", b = "quorum", c = "quorum" }, members("abc", "a")), "promote" },
	{ "a learner that no voter tells of: waits", seen({ a = "learner" }, members("abc", "a")), "wait" },
	{ "no etcd yet: waits", seen({ a = "refused", b = "quorum" }, ABC), "wait" },
	{ "a founding that waits for its majority", seen({ a = "founding" }, ABC), "wait" },
	{ "a founding that knows nobody yet, its log just begun", seen({ a = "founding" }, {}), "wait" },
	{ "a cluster that waits for its majority", seen({ a = "no-quorum" }, ABC), "wait" },
	{ "a founding whose others are empty: stop it, run again", seen({ a = "founding", b = "waiting", c = "waiting" }, ABC), "fail" },
	{ "a founding of which one may still come", seen({ a = "founding", b = "waiting" }, ABC), "wait" },
	{ "removed: stop it, run again", seen({ a = "no-quorum", b = "quorum", c = "quorum" }, members "bc"), "fail" },
	{ "a working cluster that is another: stop it", seen({ a = "founding", b = "quorum" }, members "b", { b = "200" }), "fail" },
}

describe("finish", function()
	for _, case in ipairs(cases) do
		local what, f, action = table.unpack(case)
		it(what, function()
			local plan = finish.decide(f)
			assert.equal(action, plan.action)
			assert.is_nil(plan.exit)
		end)
	end

	it("says that run still waits beside it", function()
		local f = seen({ a = "waiting", b = "waiting" }, ABC)
		f.probes.a.why = ""
		assert.equal("this machine's etcd does not answer yet: etcd-bootstrap run still waits, and has not started it", finish.decide(f).reason)
	end)
end)
