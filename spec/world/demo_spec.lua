-- demo_spec.lua - the demo holds, and fails for each step that is left out.

local assert = require "luassert"
local proc = require "core.proc"

local function demo(step, env)
	env = env or {}
	env.BREAK, env.DEMO_READY = step or false, "1"
	return assert(proc.run { "tools/demo", timeout = 120, env = env })
end

describe("the demo", function()
	it("holds", function()
		local result = demo()
		assert.equal(0, result.status, result.stdout .. result.stderr)
	end)

	it("holds in a shell that is set up for a proxy and for another cluster", function()
		local result = demo(nil, { http_proxy = "http://127.0.0.1:9", ETCD_NAME = "other", ETCD_LISTEN_PEER_URLS = "http://127.0.0.1:9",
			ETCDCTL_ENDPOINTS = "http://127.0.0.1:9" })
		assert.equal(0, result.status, result.stdout .. result.stderr)
	end)

	for step in ("start key lose disk mark replace status stop"):gmatch "%a+" do
		it("fails when a step is left out: " .. step, function()
			local result = demo(step)
			assert.equal(1, result.status)
			assert.is_truthy(result.stderr:find("The demo failed", 1, true))
		end)
	end

	it("knows its steps", function()
		local result = demo "help"
		assert.equal(2, result.status)
	end)
end)
