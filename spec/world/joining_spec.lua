-- joining_spec.lua - J1 to J12: joining and coming back.

local assert = require "luassert"
local world = require "spec.world.world"
local cluster = require "spec.world.cluster"

local function ids(seen)
	local all = {}
	for i, member in ipairs(seen.all) do
		all[i] = member.id
	end
	table.sort(all)
	return table.concat(all, " ")
end

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
		assert.is_falsy(ids(after):find(before.by.c.id, 1, true))
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
		local before = ids(w:members "a")
		w:stop "c"
		w:boot "c"
		w:converge "a b c"
		assert.equal(before, ids(w:members "a"))
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
		assert.equal(ids(before), ids(w:members "a"))
	end)

	world.it("J3 an unstarted slot without a claim on this disk: removed and added again", function(w)
		w:founded "a b c"
		w:kill "c"
		local dead = w:members("a").by.c.id
		world.wait(function()
			return cluster.call(w:client "a", "/v3/cluster/member/remove", { ID = dead })
		end, 20, "c is removed")
		local slot = world.wait(function()
			return (cluster.add(w:client "a", w:peer "d"))
		end, 30, "a slot for d is added by hand")
		w:list { "a", "b", "d" }
		w:boot "d"
		w:converge "a b d"
		assert.is_falsy(ids(w:members "a"):find(slot, 1, true))
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
			return cluster.call(w:client "a", "/v3/cluster/member/remove", { ID = dead })
		end, 20, "c is removed")
		local slot = world.wait(function()
			return (cluster.add(w:client "a", w:peer "e"))
		end, 30, "a slot for e is added by hand")
		w:list { "a", "b", "e", "d", desired = 4 }
		local code, run = w:ends("d", { "--timeout", "4" })
		assert.is_truthy(code == 3 or code == 4)
		assert.not_equal("", run:log())
		assert.is_truthy(ids(w:members "a"):find(slot, 1, true))
		assert.equal(3, #w:members("a").all)
		assert.is_nil(w:output "d")
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
		assert.is_falsy(ids(w:members "a"):find(before.by.c.id, 1, true))
		w:must_get("d", "k", "v")
	end)

	world.it("J12 intact data and a working cluster: nobody waits for the cloud", function(w)
		w:founded "a b c"
		local before = ids(w:members "a")
		w:stop "c"
		w:boot("c", { policy = { discover = "command { \"sleep\", \"600\", timeout = 600 }",
			timeout = "600" } })
		w:converge("a b c", 60)
		assert.equal(before, ids(w:members "a"))
	end)
end)
