-- members_spec.lua - what etcd's answers to a change mean, and how one is asked for.

local json = require "core.json"
local members = require "members"
local listener = dofile "spec/core/listener.lua"

local REFUSALS = {
	{ "remove", "etcdserver: member not found", "done" },
	{ "remove", "No such member: 1234abcd", "done" },
	{ "remove", "Member permanently removed: 1234abcd", "done" },
	{ "remove", "404 page not found", nil },
	{ "remove", "Not Found", nil },
	{ "promote", "etcdserver: member not found", nil },
	{ "promote", "etcdserver: can only promote a learner member", "done" },
	{ "promote", "etcdserver: can only promote a learner member which is in sync with leader", "passes" },
	{ "remove", "etcdserver: can only promote a learner member", nil },
	{ "add", "etcdserver: Peer URLs already exists", "exists" },
	{ "update", "etcdserver: Peer URLs already exists", nil },
	{ "add", "membership: peerURL exists", "exists" },
	{ "add", "etcdserver: member not found", "passes" },
	{ "add", "etcdserver: unhealthy cluster", "passes" },
	{ "update", "etcdserver: request timed out, possibly due to previous leader failure", "passes" },
	{ "add", "etcdserver: user name is empty", nil },
}

local CLUSTERS = {
	{ { api = "/v3", version = "3.4.0" }, true },
	{ { api = "/v3", version = "3.10.0" }, true },
	{ { api = "/v3", version = "4.0.0" }, true },
	{ { api = "/v3" }, true },
	{ { version = "3.5.0" }, true },
	{ { api = "/v3", version = "3.3.0" }, false },
	{ { api = "/v3beta", version = "3.3.0" }, false },
	{ { api = "/v2", version = "3.5.0" }, false },
}

describe("what differs", function()
	for _, case in ipairs(REFUSALS) do
		it(("%s: %s"):format(case[1], case[2]), function()
			assert.equal(case[3], (members.meaning(case[1], case[2])))
		end)
	end

	for _, case in ipairs(CLUSTERS) do
		it(("learners by %s on %s"):format(case[1].api, case[1].version), function()
			assert.equal(case[2], members.can_learn(case[1]))
		end)
	end

	it("says of every entry on which version it was seen", function()
		for name, part in pairs(members.differs) do
			for key, entry in pairs(part) do
				local from = type(entry) == "table" and entry.from or entry
				assert.is_truthy(from:find "run" or from:find "source", ("%s: %s"):format(name, key))
				assert.is_truthy(from:find "%d%.%d+%.%d", ("%s: %s"):format(name, key))
			end
		end
	end)
end)

describe("members.change", function()
	local directory, close
	local NOWHERE = "http://127.44.7.1:1"

	local function page(number, status, body)
		return { address = "127.44.7.1", port = 8000 + number, kind = "pages", pages = {
			["/v3/cluster/member/add"] = { status, body }, ["/v3/cluster/member/remove"] = { status, body },
			["/v2/members"] = { status, body }, ["/v2/members/ff"] = { status, body },
		} }
	end

	local function change(number, action, o)
		o = o or {}
		local permit = { take = function(_, taken)
			assert.equal(action, taken)
			return { member_id = "255", peer_urls = json.list { "http://127.44.7.2:2380" }, learner = o.learner }
		end }
		return members.change(permit, action, { api = o.api or "/v3", tls = {},
			endpoints = { NOWHERE, ("http://127.44.7.1:%d"):format(8000 + number) } })
	end

	setup(function()
		directory = listener.directory()
		close = listener.open(directory, {
			page(1, 404, "404 page not found"),
			page(2, 404, "{\"code\":5, \"message\":\"etcdserver: member not found\"}"),
			page(3, 404, "{\"message\":\"No such member: ff\"}"),
			page(4, 412, "{\"error\":\"etcdserver: Peer URLs already exists\",\"code\":9}"),
			page(5, 503, "{\"error\":\"etcdserver: unhealthy cluster\",\"code\":14}"),
			page(6, 200, "{\"member\":{\"ID\":\"18446744073709551615\"}}"),
			page(7, 201, "{\"id\":\"ffffffffffffffff\"}"),
			page(8, 403, "{\"message\":\"etcdserver: permission denied\"}"),
			page(9, 200, "<html>"),
		})
	end)
	teardown(function()
		close()
		listener.forget(directory)
	end)

	it("takes an answer of etcd's for done, and no other page", function()
		assert.same({ nil, "http" }, { (function(ok, _, code) return ok, code end)(change(1, "remove")) })
		assert.same({ true, "255" }, { change(2, "remove") })
		assert.same({ true, "255" }, { change(2, "leave") })
		assert.same({ true, "255" }, { change(3, "remove", { api = "/v2" }) })
	end)

	it("tells what is there already, what passes and what is forbidden apart", function()
		for number, expected in pairs { [4] = "conflict", [5] = "quorum", [8] = "auth" } do
			local ok, why, code = change(number, "add")
			assert.same({ false, expected }, { ok or false, code })
			assert.is_truthy(why:find("etcdserver: ", 1, true))
		end
	end)

	it("gives the new member's id exactly, and nothing where it was not told", function()
		assert.same({ true, "18446744073709551615" }, { change(6, "add") })
		assert.same({ true, "18446744073709551615" }, { change(7, "add", { api = "/v2" }) })
		assert.same({ true }, { change(9, "add") })
	end)

	it("never asks for a learner where there are none", function()
		local ok, _, code = change(7, "add", { api = "/v2", learner = true })
		assert.same({ false, "usage" }, { ok or false, code })
	end)
end)
