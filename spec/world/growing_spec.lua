-- growing_spec.lua - J5: many machines at once, each with its `finish`, and nobody to help them.
-- REPEAT=10 does it ten times over; then the figures are worth reading.

local assert = require "luassert"
local task = require "core.task"
local cluster = require "spec.world.cluster"
local world = require "spec.world.world"

local PATIENCE <const> = 90 -- seconds
local repeats <const> = math.tointeger(tonumber(os.getenv "REPEAT" or 1))

local NEWCOMERS <const> = { "n1", "n2", "n3", "n4", "n5" }

-- The ids that were seen in any list on the way, until `over` holds.
local function watch(w, via, over)
	local seen = {}
	return task.spawn(function()
		while not over.now do
			for _, member in ipairs((w:members(via) or { all = {} }).all) do
				seen[member.id] = true
			end
			task.sleep(0.05)
		end
		return seen
	end)
end

local function grown(w, old)
	local o = { policy = { finish = "true", timeout = "300" } }
	w:founded(old)
	w:must_put("a", "k", "v")
	local list = {}
	for name in (old .. " " .. table.concat(NEWCOMERS, " ")):gmatch "%S+" do
		table.insert(list, name)
	end
	w:list(list)
	local over = {}
	local watching, begun, finishes = watch(w, "a", over), task.now(), {}
	for i, name in ipairs(NEWCOMERS) do
		w:boot(name, o)
		finishes[i] = w:beside(name, "finish", o)
	end
	w:converge(table.concat(list, " "), PATIENCE)
	local took = task.now() - begun
	over.now = true
	local ids, there = watching:join(), w:members "a"
	local count = 0
	for _ in pairs(ids) do
		count = count + 1
	end
	assert.equal(#there.all, count, "somebody was removed and added again")
	for i, name in ipairs(NEWCOMERS) do
		assert.equal(0, finishes[i]:exit(30), finishes[i]:log())
		local log = w.machines[name].run:log()
		assert.is_nil(w.machines[name].run.done)
		assert.is_falsy(log:find("member count is unequal", 1, true))
		assert.is_falsy(log:find("remove done", 1, true))
		w:must_get(name, "k", "v")
	end
	return took
end

local function figures(times)
	table.sort(times)
	return ("%d times: min %.1f s, median %.1f s, max %.1f s"):format(#times, times[1],
		times[(#times + 1) // 2], times[#times])
end

describe("growing", function()
	for old, title in pairs { a = "one member", ["a b c"] = "three" } do
		local times = {}
		for i = 1, repeats do
			world.it(("J5 five joiners at once on %s, repeat %d"):format(title, i), function(w)
				table.insert(times, grown(w, old))
				print("    " .. figures(times))
			end)
		end
	end

	-- A young cluster refuses at once, and that is another case.
	local function takes_additions(w)
		local slot = world.wait(function()
			return cluster.add(w:client "a", w:peer "x", true)
		end, 30, "a learner is added by hand")
		assert(cluster.remove(w:client "a", slot))
	end

	-- Two of three stop in the middle of it: the leader may have written the change down, or never heard of it.
	for i = 1, repeats do
		world.it("J5 an addition whose request hangs is never taken for a no, repeat " .. i, function(w)
			w:founded "a b c"
			takes_additions(w)
			w:list { "a", "b", "c", "d" }
			local stop = { "b", "c" }
			for k, name in ipairs(stop) do
				stop[k] = tostring(w.machines[name].run.pid)
			end
			local run = w:boot("d", { prelude = "local proc, stopped = require \"core.proc\", false\n", policy = {
				finish = "true",
				on = ([[function(event)
		if event.kind == "plan" and event.action == "add" and not stopped then
			stopped = true
			proc.run { "kill", "-STOP", %q, %q }
		end
	end]]):format(stop[1], stop[2]) } })
			run:says "add did not go through"
			w:resume "b"
			w:resume "c"
			assert.equal(0, w:beside("d", "finish", { policy = { finish = "true" } }):exit(60))
			w:converge "a b c d"
			print("    " .. run:log():match "add did not go through[^\n]*")
			assert.is_nil(run.done)
			assert.is_falsy(run:log():find("member count is unequal", 1, true))
		end)
	end
end)
