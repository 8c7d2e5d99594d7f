-- evicting_spec.lua - E1, E4, E5: who is removed, and when.

local assert = require "luassert"
local task = require "core.task"
local world = require "spec.world.world"

describe("evicting", function()
	world.it("E1 two dead of three: nothing is removed and the exit tells why", function(w)
		w:founded "a b c"
		w:kill "b"
		w:kill "c"
		w:list { "a", { "b", state = "dead" }, { "c", state = "dead" }, "d" }
		world.wait(function()
			return not w:health "a"
		end, 20, "a has lost its quorum")
		local code, run = w:ends("d", { "--timeout", "4" })
		assert.is_truthy(code == 3 or code == 4)
		assert.is_truthy(run:log():find("quorum", 1, true))
		assert.equal(3, #w:members("a").all)
		assert.is_nil(w:output "d")
	end)

	world.it("E1 two dead of five: both removed, one a turn", function(w)
		w:founded "a b c d e"
		w:must_put("a", "k", "v")
		w:kill "d"
		w:kill "e"
		w:list { "a", "b", "c", { "d", state = "dead" }, { "e", state = "dead" }, "f", "g" }
		w:boot "f"
		local sizes = { [5] = true }
		world.wait(function()
			local seen = w:members "a"
			if seen then
				sizes[#seen.all] = true
			end
			return w:health "f"
		end, 60, "f is a member", 0.02)
		assert.is_truthy(sizes[4])
		w:boot "g"
		w:converge "a b c f g"
		w:must_get("g", "k", "v")
	end)

	world.it("E4 only after the grace period, counted across runs", function(w)
		local grace <const> = 8
		local policy = { decide = "steady { evict_after = 8, evict_gone_after = 8 }" }
		w:founded "a b c"
		w:kill "c"
		w:list { "a", "b", { "c", state = "dead" }, "d" }
		local begun = task.now()
		local code = w:ends("d", { "--timeout", "5", policy = policy })
		assert.equal(3, code)
		assert.is_truthy(w:members("a").by.c)
		local second = task.now()
		w:boot("d", { policy = policy })
		world.wait(function()
			local seen = w:members "a"
			return seen and not seen.by.c
		end, 20, "c is removed")
		local waited = task.now() - begun
		-- The journal counts whole seconds.
		assert.is_true(waited >= grace - 1, "waited only " .. waited)
		assert.is_true(task.now() - second < grace, "the first run's time counts")
		w:converge "a b d"
	end)

	world.it("E5 names and addresses that contain one another", function(w)
		w:machine("i-1", { address = w.net .. ".15" })
		w:machine("i-12", { address = w.net .. ".150" })
		w:machine("i-123", { address = w.net .. ".1" })
		w:machine("i-11", { address = w.net .. ".151" })
		w:founded "i-1 i-12 i-123"
		local before = w:members "i-12"
		w:kill "i-1"
		w:list { { "i-1", state = "dead" }, "i-12", "i-123", "i-11" }
		w:boot "i-11"
		w:converge "i-11 i-12 i-123"
		local after = w:members "i-12"
		assert.equal(before.by["i-12"].id, after.by["i-12"].id)
		assert.equal(before.by["i-123"].id, after.by["i-123"].id)
	end)
end)
