-- standby_spec.lua - a machine that is never a member, beside a real cluster.

local assert = require "luassert"
local world = require "spec.world.world"

-- A cluster of one, and another machine that the provider lists.
local function founded(w)
	w:founded "a"
	w:list { "a", "p", desired = 1 }
end

describe("a standby", function()
	world.it("waits for a cluster, and starts nothing by itself", function(w)
		w:list { "a", "p", desired = 1 }
		local policy = { decide = "standby {}", exec = ("{ \"touch\", %q }"):format(w.root .. "/executed") }
		assert.equal(3, (w:ends("p", { "--timeout", "1", policy = policy })))
		founded(w)
		local code = w:ends("p", { policy = policy })
		assert.equal(0, code)
		assert.is_nil(w:output "p")
		assert.is_nil(world.read(w.root .. "/executed"))
	end)

	world.it("that has a member's data asks for all that it wants to know", function(w)
		w:founded "a b c"
		w:stop "c"
		local path = w.root .. "/endpoints"
		local output = ("{ [%q] = function(c) return table.concat(c.endpoints, \" \") end }"):format(path)
		assert.equal(0, (w:ends("c", { "--timeout", "10", policy = { output = output, decide = "standby {}" } })))
		assert.truthy(world.read(path):find(w:client "a", 1, true))
		local _, run = w:ends("c", { verb = "plan", policy = { decide = "standby {}" } })
		assert.truthy(run:stdout():find("^standby: "), run:stdout())
	end)

	world.it("becomes the gateway once the outputs are written", function(w)
		founded(w)
		local output = ("{ [%q] = function(c) return c.endpoints[1] end }"):format(w.root .. "/endpoints")
		local policy = { output = output, decide = ("standby { gateway = %q }"):format(w:address "p" .. ":2379") }
		assert.equal(0, (w:ends("p", { "--no-exec", policy = policy })))
		w:boot("p", { policy = policy })
		w:must_put("p", "k", "by the gateway")
		w:must_get("a", "k", "by the gateway")
		assert.equal(w:client "a", world.read(w.root .. "/endpoints"))
	end)
end)
