-- joining_spec.lua - J1 to J12: joining and coming back.

local assert = require "luassert"
local world = require "spec.world.world"
local cluster = require "spec.world.cluster"

local function shared(before, after)
	local count, known = 0, {}
	for _, member in ipairs(before.all) do
		known[member.id] = true
	end
	for _, member in ipairs(after.all) do
		count = count + (known[member.id] and 1 or 0)
	end
	return count
end

describe("joining", function()
	world.it("J1 replacement: one removal, one addition, the data readable", function(w)
		w:founded "a b c"
		w:must_put("a", "k", "v")
		local before = w:members "a"
		w:kill "c"
		w:list { "a", "b", { "c", state = "dead" }, "d" }
		w:boot "d"
		w:converge "a b d"
		local after = w:members "a"
		assert.equal(2, shared(before, after))
		assert.is_falsy(after.ids:find(before.by.c.id, 1, true))
		assert.equal("existing", w:env("d").ETCD_INITIAL_CLUSTER_STATE)
		w:must_get("d", "k", "v")
	end)

	world.it("J1 the dead machine is no longer in the list at all", function(w)
		w:founded "a b c"
		w:kill "c"
		w:list { "a", "b", "d" }
		w:boot "d"
		w:converge "a b d"
	end)

	world.it("J2 restart with the data kept: no membership change", function(w)
		w:founded "a b c"
		local before = w:members("a").ids
		w:stop "c"
		w:boot "c"
		w:converge "a b c"
		assert.equal(before, w:members("a").ids)
	end)

	world.it("J3 own slot added and claimed by this disk: started, not added again", function(w)
		w:founded "a b c"
		w:kill "c"
		w:list { "a", "b", { "c", state = "dead" }, "d" }
		assert.equal(0, (w:ends("d", { "--no-exec" })))
		assert.is_true(w:claimed "d")
		local before = w:members "a"
		assert.equal(1, before.waiting)
		w:boot "d"
		w:converge "a b d"
		assert.equal(before.ids, w:members("a").ids)
	end)

	world.it("J3 an unstarted slot without a claim on this disk: removed and added again", function(w)
		w:founded "a b c"
		w:kill "c"
		local dead = w:members("a").by.c.id
		world.wait(function()
			return cluster.remove(w:client "a", dead)
		end, 20, "c is removed")
		local slot = world.wait(function()
			return cluster.add(w:client "a", w:peer "d")
		end, 30, "a slot for d is added by hand")
		w:list { "a", "b", "d" }
		w:boot "d"
		w:converge "a b d"
		assert.is_falsy(w:members("a").ids:find(slot, 1, true))
	end)

	world.it("J4 data lost, same name and address", function(w)
		w:founded "a b c"
		w:must_put("a", "k", "v")
		local before = w:members "a"
		w:kill "c"
		w:wipe "c"
		w:boot "c"
		w:converge "a b c"
		assert.equal(2, shared(before, w:members "a"))
		assert.is_falsy(w.machines.c.run:log():find("panic", 1, true))
		assert.is_falsy(w.machines.c.run:log():find("already been bootstrapped", 1, true))
		w:must_get("c", "k", "v")
		w:kill "a"
		w:must_get("c", "k", "v")
	end)

	world.it("J6 a cluster younger than five seconds: retried until it succeeds", function(w)
		w:founded("a b", { desired = 2 })
		w:list { "a", "b", "c", desired = 3 }
		w:boot "c"
		w:converge "a b c"
	end)

	world.it("J8 an unstarted member whose machine exists is left alone", function(w)
		w:founded "a b c"
		w:kill "c"
		local dead = w:members("a").by.c.id
		world.wait(function()
			return cluster.remove(w:client "a", dead)
		end, 20, "c is removed")
		local slot = world.wait(function()
			return cluster.add(w:client "a", w:peer "e")
		end, 30, "a slot for e is added by hand")
		w:list { "a", "b", "e", "d", desired = 4 }
		local code, run = w:ends("d", { "--timeout", "4" })
		assert.is_truthy(code == 3 or code == 4)
		assert.not_equal("", run:log())
		assert.is_truthy(w:members("a").ids:find(slot, 1, true))
		assert.equal(3, #w:members("a").all)
		assert.is_nil(w:output "d")
	end)

	local function learn(w, name)
		w.policy.finish = "true"
		w:boot(name)
		return world.wait(function()
			local member = w:members("a").by[name]
			return member and member.learner and member.id
		end, 40, name .. " is a learner")
	end

	-- The machine gets another address, and the provider says so.
	local function moved(w, name, list)
		w:stop(name)
		w.machines[name].address = w.net .. ".200"
		w:list(list)
		w:boot(name)
	end

	world.it("J9 another address, the data intact: the peer URL is updated", function(w)
		w:founded "a b c"
		w:must_put("a", "k", "v")
		local before = w:members "a"
		moved(w, "c", { "a", "b", "c" })
		w:converge "a b c"
		local after = w:members "a"
		assert.equal(before.ids, after.ids)
		assert.equal(w:peer "c", after.by.c.peer)
		assert.same({}, w:asides "c")
		w:must_get("c", "k", "v")
	end)

	world.it("J9 a learner at another address: removed and added again", function(w)
		w:founded("a b", { desired = 2 })
		w:must_put("a", "k", "v")
		w:list { "a", "b", "c" }
		local old = learn(w, "c")
		moved(w, "c", { "a", "b", "c" })
		world.wait(function()
			local c = w:members("a").by.c
			return c and c.started and c.peer == w:peer "c"
		end, 40, "c has started at its new address")
		assert.equal(0, w:beside("c", "finish"):exit(60))
		w:converge "a b c"
		assert.is_falsy(w:members("a").ids:find(old, 1, true))
		w:must_get("c", "k", "v")
	end)

	-- A dead joiner's slot gives way, and the next one grows to a voter.
	local function next_gets_in(w, orphan)
		w:list { "a", "b", "e" }
		w:boot "e"
		assert.equal(0, w:beside("e", "finish"):exit(60))
		w:converge "a b e"
		assert.is_falsy(w:members("a").ids:find(orphan, 1, true))
	end

	world.it("J10 a learner of a dead machine that never started: the next joiner gets in", function(w)
		w:founded("a b", { desired = 2 })
		w:list { "a", "b", "d" }
		w.policy.finish = "true"
		assert.equal(0, (w:ends("d", { "--no-exec" })))
		next_gets_in(w, w:members("a").by[""].id)
	end)

	world.it("J10 a learner that had started, its machine dead: the next joiner gets in", function(w)
		w:founded("a b", { desired = 2 })
		w:list { "a", "b", "d" }
		local orphan = learn(w, "d")
		w:kill "d"
		next_gets_in(w, orphan)
	end)

	world.it("J11 a new machine at a dead member's address never takes its slot", function(w)
		w:founded "a b c"
		w:must_put("a", "k", "v")
		local before = w:members "a"
		w:kill "c"
		w:machine("d", { address = w:address "c" })
		w:list { "a", "b", "d" }
		w:boot "d"
		w:converge "a b d"
		assert.is_falsy(w:members("a").ids:find(before.by.c.id, 1, true))
		w:must_get("d", "k", "v")
	end)

	world.it("J3 a claimed slot starts though the provider hangs, and leaves no question to it behind", function(w)
		w:founded "a b c"
		w:list { "a", "b", "c", "d", desired = 4 }
		assert.equal(0, (w:ends("d", { "--no-exec" })))
		w:boot("d", { policy = { discover = "command { \"sleep\", \"600\", timeout = 600 }" } })
		w:converge "a b c d"
	end)

	world.it("J12 intact data and a working cluster: nobody waits for the cloud", function(w)
		w:founded "a b c"
		local before = w:members("a").ids
		w:stop "c"
		w:boot("c", { policy = { discover = "command { \"sleep\", \"600\", timeout = 600 }",
			timeout = "600" } })
		w:converge("a b c", 60)
		assert.equal(before, w:members("a").ids)
	end)
end)
