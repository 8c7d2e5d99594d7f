-- demo_spec.lua - the demo holds, and fails for each step that is left out.

local assert = require "luassert"
local proc = require "core.proc"

local function demo(step)
	return assert(proc.run { "tools/demo", timeout = 120,
		env = { BREAK = step or false, DEMO_READY = "1" } })
end

describe("the demo", function()
	it("holds", function()
		local result = demo()
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
