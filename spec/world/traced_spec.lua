-- traced_spec.lua - F12, W1: SIGKILL at the steps that a record of system calls shows, and the next run
-- converges and leaves no orphan.  By default at some of them, drawn anew each time; STEPS=all takes
-- every one.

local assert = require "luassert"
local steps = require "spec.world.steps"
local world = require "spec.world.world"

local DRAWS <const> = 4

-- One round is begun by `prepare`, which gives the machine to kill; then `over` must hold.
local function killed_everywhere(w, some, scenario)
	local record = w.root .. "/record"
	local function round(moment)
		local name = scenario.prepare()
		local m = w:machine(name)
		os.remove(record)
		local run = scenario.boot(name, { wrap = steps.tracer(record, moment) })
		world.wait(function()
			return run.done or scenario.through(name)
		end, 60, name .. " was killed, or got through")
		local killed = run.done and run.done.signal == 9
		local said = world.read(record)
		if killed then
			scenario.boot(name)
		end
		scenario.over(name)
		return said, m.dir, killed
	end
	local said, dir = round()
	world.write(record, said)
	local list = steps.read(record, dir)
	assert.is_true(#list >= scenario.least, ("strace saw %d steps"):format(#list))
	-- How often it asks before a step depends on its luck, so that a call counted in the record may not come.
	local moments, drawn, hit = steps.moments(list), 0, 0
	for _ = 1, DRAWS do
		for _, moment in ipairs(hit == 0 and steps.sample(moments, some) or {}) do
			print("    " .. moment.label)
			local _, _, killed = round(moment)
			drawn, hit = drawn + 1, hit + (killed and 1 or 0)
		end
	end
	assert.is_true(hit > 0, "nobody was killed")
	print(("    %d steps, %d moments, killed at %d of %d drawn"):format(#list, #moments, hit, drawn))
end

describe("traced", function()
	local seed = tonumber(os.getenv "SEED") or os.time()
	setup(function()
		print("    SEED=" .. seed)
		math.randomseed(seed)
	end)

	world.it("W1 founding alone up to the hand-over, killed at every step", function(w)
		w:list { "a" }
		killed_everywhere(w, math.huge, { least = 20,
			prepare = function()
				w:wipe "a"
				return "a"
			end,
			boot = function(name, o)
				o = o or {}
				o[1] = "--no-exec"
				return w:boot(name, o)
			end,
			through = function()
				return false
			end,
			over = function(name)
				assert.equal(0, w.machines[name].run:exit())
				assert.equal("new", w:env(name).ETCD_INITIAL_CLUSTER_STATE)
				assert.is_true(w:claimed(name))
			end })
	end)

	for _, disk in ipairs { "kept", "lost" } do
		world.it(("F12 W1 founding of three, one of them killed at its steps, its disk %s"):format(disk), function(w)
			local id
			w:list { "a", "b", "c" }
			killed_everywhere(w, 6, { least = 20,
				prepare = function()
					for name in ("a b c"):gmatch "%S" do
						if id then
							w:kill(name)
						end
						w:wipe(name)
					end
					w:boot_all "a c"
					return "b"
				end,
				boot = function(name, o)
					if disk == "lost" then
						w:wipe(name)
					end
					return w:boot(name, o)
				end,
				through = function(name)
					return w:has_log(name)
				end,
				over = function(name)
					id = w:converge("a b c", 90)
					w:must_put("a", "k", "v")
					w:must_get(name, "k", "v")
				end })
		end)
	end

	-- Machines n1, n2, ... take one another's place beside a and b.
	local function replacing(w, boot, through)
		local last, count = "c", 0
		w:founded "a b c"
		w:must_put("a", "k", "v")
		return { least = 10, boot = boot, through = through,
			prepare = function()
				count = count + 1
				w:kill(last)
				local dead = last
				last = "n" .. count
				w:list { "a", "b", { dead, state = "dead" }, last }
				return last
			end,
			over = function(name)
				w:converge("a b " .. name, 90)
				w:must_get(name, "k", "v")
			end }
	end

	world.it("W1 replacement, the newcomer killed at its steps", function(w)
		killed_everywhere(w, 6, replacing(w, function(name, o)
			return w:boot(name, o)
		end, function(name)
			return w:has_log(name)
		end))
	end)

	world.it("W1 replacement by a learner, the newcomer and its finish killed at their steps", function(w)
		w.policy.finish = "true"
		local scenario = replacing(w, function(name, o)
			if not w.machines[name].run then
				w:boot(name)
			end
			return w:beside(name, "finish", o)
		end, function()
			return false
		end)
		scenario.least = 1
		killed_everywhere(w, 2, scenario)
	end)
end)
