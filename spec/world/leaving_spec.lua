-- leaving_spec.lua - a member leaves its cluster by the verb `leave`.

local assert = require "luassert"
local json = require "core.json"
local cluster = require "spec.world.cluster"
local world = require "spec.world.world"

-- Leaves, and says how it ended.
local function leave(w, name, o)
	local run = w:beside(name, "leave", o)
	return run:exit(30), run:log()
end

local function leader(w, via)
	local status = cluster.call(w:client(via), "/v3/maintenance/status", {})
	for name, member in pairs(w:members(via).by) do
		if status and status.leader == member.id then return name end
	end
end

describe("leaving", function()
	world.it("three become two, then one; who left keeps its data, and joins again when it is run", function(w)
		w:founded "a b c"
		w:must_put("a", "k", "v")
		local left = w:members("a").by.c.id
		local code, log = leave(w, "c")
		assert.equal(0, code, log)
		assert.is_truthy(log:find("leave done: member ", 1, true), log)
		assert.equal(0, w.machines.c.run:exit(20)) -- by itself
		w:converge "a b"
		assert.is_true(w:has_log "c")
		assert.same({}, w:asides "c")
		local journal = json.decode(world.read(w.machines.c.data .. ".state/journal.json"))
		assert.equal(left, journal.asked_remove[1].member_id)
		code, log = leave(w, "c")
		assert.equal(0, code, log) -- nothing is left to do
		assert.is_nil(log:find("leave done", 1, true))

		code, log = leave(w, "b")
		assert.equal(0, code, log)
		w:converge "a"
		w:must_get("a", "k", "v")
		code, log = leave(w, "a", { "--timeout", "1.5" })
		assert.equal(4, code, log)
		assert.is_truthy(log:find("the only voter, and its data all that there is of cluster %x+; [^\n]* %[data%-dir%]\n"), log)
		w:converge "a"

		w:list { "a", "c" }
		w:boot("c", { policy = { finish = "true" } })
		assert.equal(0, w:beside("c", "finish", { policy = { finish = "true" } }):exit(60))
		w:converge "a c"
		assert.equal(1, #w:asides "c")
		w:must_get("c", "k", "v")
	end)

	world.it("the leader hands its part on before it leaves", function(w)
		w:founded "a b c"
		local first = world.wait(function() return leader(w, "a") end, 20, "somebody leads")
		local code, log = leave(w, first)
		assert.equal(0, code, log)
		assert.is_truthy(log:find("member %x+ leads now\n"), log)
		assert.equal(0, w.machines[first].run:exit(20))
		w:converge((("a b c"):gsub(first .. " ?", ""):gsub(" $", "")))
	end)

	world.it("a member whose etcd is stopped leaves as well, without any list of machines", function(w)
		w:founded "a b c"
		w:stop "c"
		local code, log = leave(w, "c", { policy = { discover = "function() return nil, \"the cloud is silent\", \"timeout\" end" } })
		assert.equal(0, code, log)
		w:converge "a b"
		assert.is_true(w:has_log "c")
	end)

	world.it("nobody leaves two others of which one is down, or a cluster without quorum", function(w)
		w:founded "a b c"
		w:stop "b"
		local code, log = leave(w, "c", { "--timeout", "1.5" })
		assert.equal(4, code, log)
		assert.is_truthy(log:find("1 voter of cluster %x+ would be up of 2 after it, and 2 are needed; [^\n]* %[quorum%-after%]\n"), log)
		assert.equal("a b c", w:members("a").names)
		w:stop "a"
		code, log = leave(w, "c", { "--timeout", "1.5" })
		assert.equal(3, code, log)
		assert.is_truthy(log:find("wait: no cluster with quorum answers", 1, true), log)
		w:boot_all "a b"
		w:converge "a b c"
	end)

	world.it("with data_dir = false the etcd that runs here says who it is", function(w)
		w:founded "a b c"
		local hidden = { "--timeout", "1.5", etcd = { data_dir = "false" }, policy = { state_dir = ("%q"):format(w.root .. "/memory") } }
		w:stop "b"
		local code, log = leave(w, "b", hidden)
		assert.equal(4, code, log)
		assert.is_truthy(log:find("only a running etcd says which member this machine is", 1, true), log)
		w:boot "b"
		w:converge "a b c"
		hidden[2] = "20"
		code, log = leave(w, "c", hidden)
		assert.equal(0, code, log)
		w:converge "a b"
	end)

	world.it("a lost disk leaves its slot", function(w)
		w:founded "a b c"
		w:kill "c"
		w:wipe "c"
		local code, log = leave(w, "c")
		assert.equal(0, code, log)
		w:converge "a b"
	end)
end)
