-- evicting_spec.lua - E1 to E5: who is removed, and when.

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

	-- c is down, and d would take its place if what the provider says were a proof.
	local function nothing_removed(w, name, o)
		local before = w:members("a").ids
		local code, run = w:ends(name, o)
		assert.is_truthy(code == 3 or code == 4, run:log())
		assert.equal(before, w:members("a").ids)
		assert.is_falsy(run:log():find("remove done", 1, true))
		assert.is_nil(w:output(name))
	end

	world.it("E2 an error, an empty list, only me, without me, a page of two: nothing is removed", function(w)
		w:founded "a b c"
		w:kill "c"
		local cut = "{\"instances\":[{\"id\":\"a\","
		for what, text in pairs { ["an error"] = false, ["an empty list"] = "{\"instances\":[]}", ["cut short"] = cut } do
			local path = w:machine("d").dir .. "/list.json"
			os.remove(path)
			if text then
				world.write(path, text)
			end
			w.machines.d.list = path
			print("    " .. what)
			nothing_removed(w, "d", { "--timeout", "3" })
		end
		for what, list in pairs {
			["only me"] = { "d", desired = 3 }, ["without me"] = { "a", "b" },
			["the first page"] = { "a", "d", desired = 3 }, ["the second page"] = { "b", "d", { "c", state = "dead" }, desired = 3 },
		} do
			w:list(list, "d")
			print("    " .. what)
			nothing_removed(w, "d", { "--timeout", "3" })
		end
		w:list({ "a", "b", "d" }, "d")
		w:boot "d"
		w:converge "a b d"
	end)

	world.it("E2 the same lists on the machines of a cluster that restart: nothing is removed", function(w)
		w:founded "a b c"
		local before = w:members("a").ids
		for _, list in ipairs { {}, { "c" }, { "a", "b" }, { "b", "c" } } do
			w:list(list, "c")
			w:stop "c"
			w:boot "c"
			w:converge "a b c"
			assert.equal(before, w:members("a").ids)
		end
	end)

	world.it("E3 a machine that is leaving, booting, alive or in a state unknown or never heard of: not removed", function(w)
		w:founded "a b c"
		w:kill "c"
		for _, state in ipairs { "leaving", "booting", "live", "unknown", "standby", "stopped" } do
			w:list({ "a", "b", { "c", state = state }, "d", desired = 3 }, "d")
			print("    " .. state)
			nothing_removed(w, "d", { "--timeout", "3" })
		end
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
