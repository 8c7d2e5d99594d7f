-- core.task: tasks, timers, events, signals, the watchdog, and a storm of random ones.
local proc, task = require "core.proc", require "core.task"

local nothing = { tasks = 0, timers = 0, watches = 0, children = 0, transfers = 0 }

local function on_close(f)
	return setmetatable({}, { __close = f })
end

-- Runs f as a task and returns what join gives: waits yield there, and block in a spec itself.
local function inside(f, ...)
	return task.spawn(f, ...):join()
end

describe("core.task", function()
	after_each(function()
		collectgarbage()
		collectgarbage()
		assert.same(nothing, task.pending())
	end)

	it("waits outside of tasks and inside", function()
		assert.is_true(task.sleep(0))
		assert.is_true(inside(task.sleep, 0))
	end)

	it("gives a task its arguments and its joiner all results", function()
		assert.same({ 1, nil, 3, n = 3 }, table.pack(inside(function(...)
			task.sleep(0)
			return ...
		end, 1, nil, 3)))
	end)

	it("hands an error to the joiner, even one that is no string", function()
		local r, message, code = inside(function() error "broken" end)
		assert.is_nil(r)
		assert.matches("task_spec.lua:%d+: broken$", message)
		assert.equal("usage", code)
		r, message = inside(function() error(setmetatable({}, { __tostring = function() return "odd" end })) end)
		assert.same({ nil, "odd" }, { r, message })
	end)

	it("runs tasks in the order in which they were spawned and woken", function()
		local order, go = {}, task.event()
		local tasks = {}
		for i = 1, 5 do
			tasks[i] = task.spawn(function()
				order[#order + 1] = i
				go:wait()
				order[#order + 1] = i
			end)
		end
		task.sleep(0)
		go:set()
		for _, t in ipairs(tasks) do t:join() end
		assert.same({ 1, 2, 3, 4, 5, 1, 2, 3, 4, 5 }, order)
	end)

	it("wakes sleepers in the order of their time", function()
		local order, tasks = {}, {}
		for i, s in ipairs { 0.03, 0.01, 0.02, 0, -1 } do
			tasks[i] = task.spawn(function()
				task.sleep(s)
				order[#order + 1] = s
			end)
		end
		for _, t in ipairs(tasks) do t:join() end
		assert.same({ -1, 0, 0.01, 0.02, 0.03 }, order)
		assert.has_error(function() task.sleep(0 / 0) end)
	end)

	it("keeps an event set", function()
		local event = task.event()
		event:set()
		event:wait()
		event:set()
		inside(function() event:wait() end)
	end)

	it("has a monotonic clock and a wall clock", function()
		assert.is_true(task.now() <= task.now())
		assert.is_true(math.abs(task.time() - os.time()) < 2)
	end)

	it("refuses to wait where a coroutine cannot yield", function()
		local _, message = inside(function() string.gsub("x", "x", function() task.sleep(0) end) end)
		assert.matches("cannot wait here", message)
		_, message = inside(coroutine.wrap(function() task.sleep(0) end))
		assert.matches("cannot wait here", message)
	end)

	it("waits across pcall, and refuses to join itself", function()
		assert.same({ true, true }, { inside(pcall, task.sleep, 0) })
		local t
		t = task.spawn(function() return t:join() end)
		local _, message = t:join()
		assert.matches("cannot join itself", message)
	end)

	describe("cancel", function()
		it("closes variables, tells joiners, and may be repeated", function()
			local closed = 0
			local t = task.spawn(function()
				local _ <close> = on_close(function() closed = closed + 1 end)
				task.sleep(1000)
			end)
			local joiner = task.spawn(function() return t:join() end)
			task.sleep(0)
			assert.equal(1, task.pending().timers)
			t:cancel()
			t:cancel()
			assert.equal(1, closed)
			assert.same({ nil, "cancelled", "cancelled" }, { joiner:join() })
			assert.same({ nil, "cancelled", "cancelled" }, { t:join() })
		end)

		it("stops one that never ran, and leaves alone one that has ended", function()
			local ran
			local t = task.spawn(function() ran = true end)
			t:cancel()
			task.sleep(0)
			assert.is_nil(ran)
			t = task.spawn(function() return "mine" end)
			t:join()
			t:cancel()
			assert.equal("mine", t:join())
		end)

		it("reaches a runnable task and the middle of the queue", function()
			local ran, event = {}, task.event()
			local tasks = {}
			for i = 1, 4 do
				tasks[i] = task.spawn(function()
					event:wait()
					ran[#ran + 1] = i
					if i == 1 then
						tasks[2]:cancel()
						tasks[4]:cancel()
					end
				end)
			end
			task.sleep(0)
			event:set()
			task.sleep(0)
			task.sleep(0)
			assert.same({ 1, 3 }, ran)
		end)

		it("of itself is refused; from a closing variable it does nothing twice", function()
			local a, b
			a = task.spawn(function()
				local _ <close> = on_close(function() b:cancel() end)
				task.sleep(1000)
			end)
			b = task.spawn(function()
				local _ <close> = on_close(function() a:cancel() end)
				task.sleep(1000)
			end)
			task.sleep(0)
			a:cancel()
			assert.same({ nil, "cancelled", "cancelled" }, { b:join() })
			local self
			self = task.spawn(function() self:cancel() end)
			local _, message = self:join()
			assert.matches("cannot cancel itself", message)
		end)
	end)

	it("closes the variables of a task that fails, which cannot wait", function()
		local closed, waited
		local _, message = inside(function()
			local _ <close> = on_close(function(_, problem)
				closed = problem
				waited = pcall(task.sleep, 0)
			end)
			error("broken", 0)
		end)
		assert.same({ "broken", "broken", false }, { message, closed, waited })
	end)

	describe("signal", function()
		local function signal_self(name)
			assert.equal(0, assert(proc.run { "kill", "-" .. name, tostring(proc.pid()) }).status)
		end

		it("gives each signal to one waiter, and keeps those that nobody awaits", function()
			local first = task.spawn(task.signal)
			task.sleep(0)
			signal_self "TERM"
			assert.same({ 15, "TERM" }, { first:join() })
			signal_self "TERM"
			local second, third = task.spawn(task.signal), task.spawn(task.signal)
			assert.same({ 15, "TERM" }, { second:join() })
			task.sleep(0)
			assert.equal(1, task.pending().tasks)
			third:cancel()
		end)
	end)

	describe("guard", function()
		local function spin() while true do end end
		local loops = {
			["a loop"] = spin,
			["a loop in pcall"] = function() while true do pcall(spin) end end,
			["a loop that pcalls what is short"] = function() while true do pcall(math.abs, 1) end end,
			["a comparison of table.sort"] = function() table.sort({ 3, 1, 2 }, spin) end,
			["a callback of gsub"] = function() string.gsub("x", "x", spin) end,
			["a coroutine"] = function() while true do coroutine.wrap(spin)() end end,
			["coroutines that fail"] = function() while true do pcall(coroutine.wrap(spin)) end end,
			["a loop after a wait"] = function()
				task.sleep(0)
				spin()
			end,
		}
		for name, f in pairs(loops) do
			it("stops " .. name, function()
				for _, call in ipairs { pcall, inside } do
					local ok, message = select(call == pcall and 2 or 1, call(task.guard, 0.02, f))
					assert.is_false(ok)
					assert.matches("%.lua:%d+: stopped after 0.02 s without an end$", message)
				end
			end)
		end

		it("is like pcall for what ends or waits", function()
			assert.same({ true, 1, nil, 3, n = 4 }, table.pack(task.guard(1, function(...) return ... end, 1, nil, 3)))
			assert.same({ true, true }, { inside(task.guard, 1, task.sleep, 0) })
			local ok, message = inside(task.guard, 1, function() error "broken" end)
			assert.is_false(ok)
			assert.matches("broken$", message)
			assert.has_error(function() task.guard(0, spin) end)
		end)

		it("leaves nothing behind", function()
			task.guard(0.02, spin)
			assert.is_nil((debug.gethook()))
			local made
			task.guard(1, function() made = coroutine.create(function() for _ = 1, 30000 do end end) end)
			assert.is_true(coroutine.resume(made))
			assert.is_nil((debug.gethook(made)))
		end)

		it("reaches the tasks that guarded code spawns", function()
			local ok, _, message = task.guard(0.02, function() return task.spawn(spin):join() end)
			assert.is_true(ok)
			assert.matches("stopped after 0.02 s", message)
		end)

		it("may stand inside another: the inner one wins, the outer one goes on", function()
			local inner
			local ok, message = task.guard(0.05, function()
				inner = table.pack(task.guard(0.02, spin))
				spin()
			end)
			assert.is_false(inner[1])
			assert.matches("0.02 s", inner[2])
			assert.is_false(ok)
			assert.matches("0.05 s", message)
		end)
	end)

	local function storm(seed)
		math.randomseed(seed)
		local all, live, events = {}, {}, { task.event(), task.event(), task.event() }
		local function pick() return live[math.random(#live)] end
		local function spawn(...)
			live[#live + 1] = task.spawn(...)
			all[#all + 1] = live[#live]
		end
		local acts = {
			function() task.sleep(math.random() * 0.0005) end,
			function(body, depth) if depth < 6 then spawn(body, depth + 1) end end,
			function() pcall(table.remove(live, math.random(#live)).cancel, pick()) end,
			function() pcall(pick().join, pick()) end,
			function() collectgarbage "step" end,
			function() error "on purpose" end,
			function() task.sleep(0) end,
			function()
				local i = math.random(#events)
				if math.random(2) == 1 then events[i]:set() else events[i] = task.event() end
			end,
			function() events[math.random(#events)]:wait() end,
			function() task.guard(1, task.sleep, 0) end,
		}
		local function body(depth)
			local _ <close> = on_close(function() if #live > 0 and math.random(4) == 1 then pick():cancel() end end)
			for _ = 1, math.random(5) do
				if #live == 0 then return end
				acts[math.random(#acts)](body, depth)
			end
		end
		for _ = 1, 40 do spawn(body, 0) end
		for _ = 1, 20 do task.sleep(0) end
		return all
	end

	it("survives a storm of spawns, joins, cancels and collections", function()
		local count = tonumber(os.getenv "STORMS") or 20
		for seed = 1, count do
			for _, t in ipairs(storm(seed)) do t:cancel() end
			assert.same(nothing, task.pending())
		end
	end)
end)
