-- keeping_spec.lua - K4, K5, K7: a machine whose data is intact always comes back.

local assert = require "luassert"
local world = require "spec.world.world"

describe("keeping", function()
	for _, order in ipairs { "a b c", "c b a", "b c a" } do
		world.it("K4 all stop and start again as " .. order, function(w)
			local id = w:founded "a b c"
			w:must_put("a", "k", "v")
			local before = w:members("a").ids
			for name in order:gmatch "%S" do
				w:kill(name)
			end
			w:boot_all(order)
			assert.equal(id, w:converge "a b c")
			assert.same(before, w:members("b").ids)
			w:must_get("c", "k", "v")
		end)
	end

	world.it("K5 cloud dead, all others silent, data intact: the kept configuration and a start", function(w)
		w:founded "a b c"
		local kept = w:output "a"
		for name in ("a b c"):gmatch "%S" do
			w:kill(name)
		end
		w:fault("b", "blackhole", w:address "b", "2379", "2380")
		local dead = { discover = "command { \"false\" }", timeout = "30" }
		local code, run = w:ends("a", { "--no-exec", policy = dead })
		assert.equal(0, code)
		assert.truthy(run:log():find("warn: who the machines are is unknown: ", 1, true), run:log())
		assert.equal(kept, w:output "a")
		w:boot("a", { policy = dead })
		w:boot("c", { policy = dead })
		world.wait(function()
			return w:health "a" and w:health "c"
		end, 40, "a and c form a quorum on their data")
	end)

	for what, text in pairs { cut = "{\"instances\":[{\"id\":\"a\",", empty = "{\"instances\":[]}",
		["without me"] = "{\"instances\":[{\"id\":\"b\",\"address\":\"127.0.0.9\"}]}" } do
		world.it("K5 a bad inventory (" .. what .. ") never holds up intact data", function(w)
			local id = w:founded "a"
			w:stop "a"
			world.write(w.root .. "/list.json", text)
			w:boot "a"
			assert.equal(id, w:converge "a")
		end)
	end

	world.it("K5 cloud dead and no memory left: the log itself says who this machine is", function(w)
		w:founded "a b c"
		for name in ("a b c"):gmatch "%S" do
			w:kill(name)
			assert(require "core.proc".run { "rm", "-r", w.machines[name].data .. ".state" })
			assert(os.remove(w.machines[name].output))
		end
		for name in ("a b c"):gmatch "%S" do
			w:boot(name, { policy = { discover = "command { \"false\" }", timeout = "30" } })
		end
		w:converge "a b c"
		assert.equal("a", w:env "a".ETCD_NAME)
	end)

	world.it("K5 a hook that never ends does not hold up intact data for long", function(w)
		w:founded "a"
		w:stop "a"
		local code, run = w:ends("a", { "--no-exec", policy = { on = "function() task.sleep(600) end" } })
		assert.equal(0, code)
		assert.truthy(run:log():find("on: no end after 15 s", 1, true))
	end)

	world.it("K5 a state directory that cannot be made never holds up intact data", function(w)
		local id = w:founded "a"
		w:stop "a"
		local dir = w.machines.a.data .. ".state"
		assert(require "core.proc".run { "rm", "-r", dir })
		world.write(dir, "in the way")
		w:boot "a"
		assert.equal(id, w:converge "a")
	end)

	world.it("K5 a pause file never holds up intact data", function(w)
		local id = w:founded "a"
		w:stop "a"
		world.write(w.machines.a.data .. ".state/pause", "")
		w:boot "a"
		assert.equal(id, w:converge "a")
	end)

	world.it("finish says that its etcd waits for a majority, and ends with 3 at its deadline", function(w)
		w:founded "a b c"
		for name in ("a b c"):gmatch "%S" do w:stop(name) end
		w:boot "a"
		w.machines.a.run:says "starts etcd"
		local run = w:beside("a", "finish", { "--timeout", "5" })
		assert.equal(3, run:exit(30))
		assert.is_truthy(run:log():find("error: gave up after 5 s: this machine's etcd runs, and cluster %x+ has no quorum yet\n"), run:log())
		w:boot_all "b c"
		w:converge "a b c"
	end)

	world.it("K7 an etcd already runs here, of whatever version: outputs refreshed, nothing executed", function(w)
		w:founded "a b c"
		local before, running = w:members("a").ids, w.machines.a.run
		local kept = w:env "a"
		assert(os.remove(w.machines.a.output))
		local code = w:ends("a", { etcd = { version = "\"3.3.27\"" },
			policy = { exec = ("{ \"touch\", %q }"):format(w.root .. "/executed") } })
		assert.equal(0, code)
		local fresh = w:env "a"
		assert.equal("existing", fresh.ETCD_INITIAL_CLUSTER_STATE)
		-- The founding token is the configured one with the names' digest; it matters for `new` only.
		for _, env in ipairs { kept, fresh } do
			env.ETCD_INITIAL_CLUSTER_STATE, env.ETCD_INITIAL_CLUSTER_TOKEN = nil, nil
		end
		assert.same(kept, fresh)
		assert.is_nil(world.read(w.root .. "/executed"))
		assert.is_nil(running.done)
		assert.same(before, w:members("a").ids)
	end)
end)
