-- marker_spec.lua - the founding marker on a file that all machines share: what it keeps from
-- happening when every disk is lost at once, and what it lets happen again.

local assert = require "luassert"
local etcd = require "core.etcd"
local fs = require "core.fs"
local json = require "core.json"
local marker = require "marker"
local world = require "spec.world.world"

local function path(w)
	return w.root .. "/shared/marker.json"
end

-- Every machine of this world has the marker.
local function marked(w)
	assert(fs.mkdir(w.root .. "/shared"))
	w.policy.marker = ("file { path = %q }"):format(path(w))
end

local function kept(w)
	return assert(marker.parse(assert(world.read(path(w)))))
end

local function never_founded(w, names)
	for name in names:gmatch "%S+" do
		assert.is_nil(w:output(name))
		assert.is_false(w:claimed(name))
		assert.is_false(w:has_log(name))
	end
end

-- A verb beside the run that keeps this machine's etcd.
local function beside(w, name, verb)
	local run = w.machines[name].run
	local code, other = w:ends(name, { verb = verb })
	w.machines[name].run = run
	return code, other
end

-- All power is off, all disks are lost, and the list has other machines.
local function lose_all(w, names, list)
	for name in names:gmatch "%S+" do
		w:kill(name)
		w:wipe(name)
	end
	w:list(list)
end

-- Each says these texts and founds nothing; one that is alone ends at its deadline.
local function nobody_founds(w, names, texts)
	w:boot_all(names)
	for name in names:gmatch "%S+" do
		for _, text in ipairs(texts) do
			w.machines[name].run:says(text)
		end
	end
	never_founded(w, names)
	for name in names:gmatch "%S+" do
		w:stop(name)
	end
	assert.equal(3, (w:ends(names:match "%S+", { "--timeout", "1" })))
	never_founded(w, names)
end

describe("a marker", function()
	world.it("is reserved once, confirmed by finish, and tells machines that all are new", function(w)
		marked(w)
		local id = w:founded "a b c"
		local m = kept(w)
		assert.same({ id, false, 3 }, { m.cluster_id, m.confirmed, #m.list })
		local reserved = 0
		for name in ("a b c"):gmatch "%S" do
			local _, n = w.machines[name].run:log():gsub("the marker is reserved for cluster", "")
			reserved = reserved + n
		end
		assert.equal(1, reserved)
		assert.equal(0, (beside(w, "b", "finish")))
		m.confirmed = true
		assert.same(m, kept(w))
		assert.equal(0, (beside(w, "c", "finish")))

		for new, old in pairs { d = "a", e = "b", f = "c" } do
			w:machine(new, { address = w:address(old) })
		end
		lose_all(w, "a b c", { "d", "e", "f" })
		local says = { etcd.hex(id), "a, b, c", "restore it, or clear the marker" }
		nobody_founds(w, "d e f", says)
		w:list { "a", "b", "c" }
		nobody_founds(w, "a b c", says)

		assert(fs.remove(path(w)))
		assert.not_equal(id, w:founded "d e f")
		assert.same({ "d", "e", "f" }, { kept(w).list[1].name, kept(w).list[2].name, kept(w).list[3].name })
	end)

	-- The list of the provider as it is written by hand: `gone` says what absence means.
	local function unproven(w, names)
		local instances = {}
		for name in names:gmatch "%S+" do
			instances[#instances + 1] = { id = name, name = name, address = w:address(name) }
		end
		world.write(w.root .. "/list.json", json.encode { instances = instances, gone = "unknown", desired = 3 })
	end

	world.it("of a founding that never finished is replaced when its machines are dead", function(w)
		marked(w)
		w:list { "a", "b", "c" }
		w:boot_all("a b c", { "--no-exec" })
		world.wait(function()
			return w:output "a" or w:output "b" or w:output "c"
		end, 30, "one of them could start etcd")
		for name in ("a b c"):gmatch "%S" do
			w:kill(name)
			w:wipe(name)
		end
		local before = kept(w)
		unproven(w, "d e f")
		w:boot_all "d e f"
		for name in ("d e f"):gmatch "%S" do
			w.machines[name].run:says "a of it is neither terminated nor ready for this list"
		end
		for name in ("d e f"):gmatch "%S" do
			w:stop(name)
			assert.is_nil(w:output(name))
		end
		assert.same(before, kept(w))
		local id = w:founded "d e f"
		assert.equal(id, kept(w).cluster_id)
	end)

	world.it("that cannot be read is waited for", function(w)
		marked(w)
		assert(os.remove(w.root .. "/shared"))
		w:list { "a", "b", "c" }
		nobody_founds(w, "a b c", { w.root .. "/shared", "not known" })
		assert(fs.mkdir(w.root .. "/shared"))
		world.write(path(w), "{\"cluster_id\":\"12\",\"conf")
		nobody_founds(w, "a b c", { path(w), "not known" })
		assert(fs.remove(path(w)))
		w:founded "a b c"
	end)

	world.it("is confirmed by a machine that joins; another's, confirmed, stops it", function(w)
		marked(w)
		local id = w:founded "a b c"
		w:must_put("a", "k", "v")
		w:kill "c"
		w:wipe "c"
		w:boot "c"
		w:converge "a b c"
		assert.same({ id, true }, { kept(w).cluster_id, kept(w).confirmed })

		local m = kept(w)
		m.cluster_id, m.confirmed = "4660", false
		assert(fs.write(path(w), marker.text(m)))
		w:list { "a", "b", "c", "d" }
		w:boot "d"
		w:converge "a b c d"
		w.machines.d.run:says "the marker is not confirmed: it is of cluster 1234"
		assert.same(m, kept(w))

		m.confirmed = true
		assert(fs.write(path(w), marker.text(m)))
		w:list { "a", "b", "c", "d", "e" }
		local code, run = w:ends "e"
		assert.equal(5, code)
		assert.truthy(run:log():find("1234", 1, true) and run:log():find(etcd.hex(id), 1, true))
		assert.equal("a b c d", w:members("a").names)
		code, run = beside(w, "a", "finish")
		assert.equal(0, code)
		assert.truthy(run:log():find("the marker is not confirmed", 1, true))
		assert.same(m, kept(w))
		w:stop "b"
		w:boot "b"
		w:converge "a b c d"
	end)

	world.it("is reserved before the plan is final", function(w)
		marked(w)
		w.policy.finish = "true"
		w:list { "a" }
		local code, run = w:ends("a", { "--no-exec" })
		assert.equal(0, code)
		assert.falsy(run:log():find("who confirms the marker?", 1, true))
		assert.is_true(w:claimed "a")
		assert.is_true(json.decode((select(2, w:ends("a", { "--json", verb = "plan" }))):stdout()).final)
		assert(fs.remove(path(w)))
		code, run = w:ends("a", { "--json", verb = "plan" })
		assert.equal(0, code)
		local plan = json.decode(run:stdout())
		assert.same({ "new", false, json.null }, { plan.action, plan.final, plan.rule })
		assert.truthy(plan.reason:find("the marker is reserved first", 1, true))
		assert.is_nil(fs.stat(path(w)))
		assert(fs.remove(w:machine("a").data .. "/member/claim.json"))
		code, run = w:ends("a", { "--timeout", "5", policy = { marker = "{ read = function() error 'broken' end, write = next }" } })
		assert.equal(3, code)
		assert.truthy(run:log():find("broken", 1, true))
		assert.is_false(w:claimed "a")
	end)

	world.it("is what lets found = refused start, and is reserved before the claim", function(w)
		w.policy.found = "\"refused\""
		w:list { "a", "b", "c" }
		marked(w)
		local code, run = w:ends("a", { "--timeout", "40", "--no-exec" })
		assert.equal(0, code)
		local reserved, claimed = run:log():find("the marker is reserved", 1, true), run:log():find("new: ", 1, true)
		assert.truthy(reserved and claimed and reserved < claimed)
		assert.equal("new", w:env("a").ETCD_INITIAL_CLUSTER_STATE)
		assert.is_true(w:claimed "a")
		assert.is_false(kept(w).confirmed)
	end)

	world.it("lets found = refused take in a machine that comes when the first one's etcd runs", function(w)
		w.policy.found = "\"refused\""
		w:list { "a", "b" }
		marked(w)
		w:boot "a"
		world.wait(function()
			return w:has_log "a"
		end, 60, "a has begun")
		w:boot "b"
		w:converge("a b", 90)
		assert.equal("new", w:env("b").ETCD_INITIAL_CLUSTER_STATE)
	end)
end)
