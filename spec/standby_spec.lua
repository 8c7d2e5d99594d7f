-- The policy of machines that are never members.
local policy = require "policy"
local standby = require "policies.standby"

local function facts(o)
	local f = { probes = {}, clusters = {}, data_dir = { state = "empty" } }
	for key, value in pairs(o or {}) do f[key] = value end
	return f
end

local CLUSTER = { id = "255", quorum = true, endpoints = { "http://a:1", "http://b:1" }, witnesses = { "a" }, members = {} }

describe("policies.standby", function()
	it("waits for a cluster with quorum, and says for whom", function()
		local plan = standby.decide(facts {
			inventory = { self = "p", instances = { { id = "a", state = "live" } } },
			probes = { a = { verdict = "unknown", why = "no route" } },
		})
		assert.same({ "wait", { { instance = "a", why = "no route" } } }, { plan.action, plan.waiting_for })
	end)

	it("says why the machines are not known", function()
		assert.matches("unknown: no route$", standby.decide(facts { inventory_why = "no route" }).reason)
	end)

	it("stands by and executes nothing", function()
		local plan = standby.decide(facts { cluster = CLUSTER, clusters = { CLUSTER } })
		assert.same({ "standby" }, { plan.action, plan.exec })
	end)

	it("becomes a gateway to the members that answer", function()
		local decide = standby { gateway = "127.0.0.1:2379" }
		local plan = assert(policy.decide({ decide = decide }, facts { cluster = CLUSTER, clusters = { CLUSTER } }))
		assert.same({ "etcd", "gateway", "start", "--listen-addr=127.0.0.1:2379", "--endpoints=http://a:1,http://b:1" }, plan.exec)
	end)

	it("takes no side where two clusters have quorum", function()
		local other = setmetatable({ id = "256" }, { __index = CLUSTER })
		local plan = standby.decide(facts { clusters = { CLUSTER, other } })
		assert.same({ "fail", 5 }, { plan.action, plan.exit })
	end)

	for _, options in ipairs { { gate = "x:1" }, { gateway = true }, { gateway = "localhost" } } do
		it("refuses " .. next(options) .. " = " .. tostring(options[next(options)]), function()
			local fine, why = pcall(function() local f = standby(options); return f end)
			assert.is_false(fine)
			assert.truthy(why:find "standby_spec.lua:%d+: standby", why)
		end)
	end
end)
