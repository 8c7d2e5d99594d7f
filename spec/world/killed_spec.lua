-- killed_spec.lua - F12, W1, O3: SIGKILL at any moment, and the next run converges.

local assert = require "luassert"
local task = require "core.task"
local http = require "core.http"
local json = require "core.json"
local world = require "spec.world.world"

local function answer(w, name)
	local response = http.request { url = w:peer(name) .. "/bootstrap", timeout = 1 }
	return response and response.status == 200 and json.decode(response.body)
end

-- Every step that somebody else could see, in its order, as a condition on the world.
local points = {
	{ "answers the roll call", function(w, name)
		return answer(w, name)
	end },
	{ "claims", function(w, name)
		return w:claimed(name) or w:has_log(name)
	end },
	{ "says that it is ready", function(w, name)
		local said = answer(w, name)
		return said and said.ready or w:has_log(name)
	end },
	{ "writes its output", function(w, name)
		return w:output(name)
	end },
	{ "starts etcd", function(w, name)
		return w:has_log(name)
	end },
}

local function killed_while_founding(w, point, victim, lost)
	w.policy.interval = "0.5"
	w:list { "a", "b", "c" }
	w:boot_all "a b c"
	world.wait(function()
		return point[2](w, victim)
	end, 30, victim .. " " .. point[1], 0.005)
	w:kill(victim)
	if lost then
		w:wipe(victim)
	end
	w:boot(victim)
	w:converge("a b c", 90)
	w:must_put("a", "k", "v")
	w:must_get(victim, "k", "v")
end

describe("killed", function()
	local victims = { "a", "b", "c" }
	for i, point in ipairs(points) do
		for k, lost in ipairs { false, true } do
			local victim = victims[(i + k) % 3 + 1]
			world.it(("F12 W1 founding, %s is killed when it %s, its disk %s"):format(victim, point[1],
				lost and "lost" or "kept"), function(w)
				killed_while_founding(w, point, victim, lost)
			end)
		end
	end

	local function members(w)
		return w:members "a" or { all = {}, by = {}, waiting = 0 }
	end

	local steps = {
		{ "removed the dead", function(w)
			return not members(w).by.c
		end },
		{ "added itself", function(w)
			return members(w).waiting > 0 or members(w).by.d
		end },
		{ "claimed", function(w)
			return w:claimed "d" or w:has_log "d"
		end },
		{ "written its output", function(w)
			return w:output "d"
		end },
		{ "started etcd", function(w)
			return w:has_log "d"
		end },
	}
	for _, step in ipairs(steps) do
		world.it("W1 replacement, killed when it has " .. step[1], function(w)
			w.policy.interval = "0.5"
			w:founded "a b c"
			w:must_put("a", "k", "v")
			w:kill "c"
			w:list { "a", "b", { "c", state = "dead" }, "d" }
			w:boot "d"
			world.wait(function()
				return step[2](w)
			end, 40, "d has " .. step[1], 0.005)
			w:kill "d"
			w:boot "d"
			w:converge("a b d", 90)
			w:must_get("d", "k", "v")
		end)
	end

	world.it("O3 killed at any moment, the file is the old one or the new one", function(w)
		w:list { "a" }
		local path = w.machines.a.output
		local policy = { output = ("{ [%q] = function(config) return args.text:rep(2000000) .. config.name end }")
			:format(path) }
		local old, new = ("o"):rep(2000000) .. "a", ("n"):rep(2000000) .. "a"
		assert.equal(0, (w:ends("a", { "--no-exec", "--set", "text=o", policy = policy })))
		assert.is_true(world.read(path) == old)
		local begun = task.now()
		assert.equal(0, (w:ends("a", { "--no-exec", "--set", "text=n", policy = policy })))
		local whole = task.now() - begun
		assert.is_true(world.read(path) == new)
		local seen = { [old] = 0, [new] = 0 }
		for _ = 1, 60 do
			world.write(path, old)
			local run = w:boot("a", { "--no-exec", "--set", "text=n", policy = policy })
			task.sleep(math.random() * whole * 1.2)
			run:kill "KILL"
			run:exit()
			local text = world.read(path)
			assert.is_truthy(seen[text], "the file is neither the old nor the new one")
			seen[text] = seen[text] + 1
		end
		print(("    old %d times, new %d times"):format(seen[old], seen[new]))
	end)
end)
