-- lua/task.lua: map, all, race, within, retry.
local task = require "task"

describe("task", function()
	after_each(function()
		collectgarbage()
		assert.equal(0, task.pending().tasks)
		assert.equal(0, task.pending().timers)
	end)

	for place, call in pairs { ["a task"] = function(f) return task.spawn(f):join() end, ["no task"] = function(f) return f() end } do
		describe("in " .. place, function()
			it("maps in the order of the items, whoever ends first", function()
				assert.same({ 30, 10, 20 }, call(function()
					return task.map({ 3, 1, 2 }, function(n)
						task.sleep(n / 1000)
						return n * 10
					end)
				end))
				assert.same({}, task.map({}, error))
			end)

			it("runs no more at once than allowed", function()
				local now, most = 0, 0
				call(function()
					return task.map({ 1, 2, 3, 4, 5, 6, 7 }, function(n)
						now = now + 1
						most = math.max(most, now)
						task.sleep(0)
						now = now - 1
						return n
					end, 3)
				end)
				assert.equal(3, most)
			end)

			it("ends a map with its first failure", function()
				local finished = {}
				local function work(n)
					if n == 2 then return nil, "no", "missing" end
					if n == 3 then error "never told" end
					task.sleep(1000)
					finished[n] = true
					return n
				end
				assert.same({ nil, "no", "missing" }, { call(function() return task.map({ 1, 2, 3 }, work) end) })
				assert.same({}, finished)
			end)

			it("tells an error inside a map as a failure", function()
				local r, message, code = call(function() return task.map({ 1 }, function() error "broken" end) end)
				assert.is_nil(r)
				assert.matches("task_spec.lua:%d+: broken$", message)
				assert.equal("usage", code)
			end)

			it("returns the first of a race, and cancels the others", function()
				local closed
				assert.same({ 1, nil, 3, n = 3 }, table.pack(call(function()
					return task.race(function()
						local _ <close> = setmetatable({}, { __close = function() closed = true end })
						task.sleep(1000)
					end, function()
						task.sleep(0)
						return 1, nil, 3
					end)
				end)))
				assert.is_true(closed)
				local _, message = call(function() return task.race(function() error "broken" end) end)
				assert.matches("broken", message)
			end)

			it("runs all, for their results or the first failure", function()
				assert.same({ 1, 2 }, call(function()
					return task.all(function() return 1 end, function() return 2 end)
				end))
				assert.same({ nil, "no", "io" }, { call(function()
					return task.all(function() task.sleep(1000) end, function() return nil, "no", "io" end)
				end) })
			end)

			it("gives up after a time", function()
				assert.same({ nil, "no end after 0.01 s", "timeout" },
					{ call(function() return task.within(0.01, task.sleep, 1000) end) })
				assert.same({ 1, 2 }, { call(function() return task.within(1000, function(...) return ... end, 1, 2) end) })
			end)
		end)
	end

	it("ends when a watchdog stops the work", function()
		local _, r, message = task.guard(0.02, function()
			return task.map({ 1, 2 }, function() while true do end end)
		end)
		assert.is_nil(r)
		assert.matches("stopped after 0.02 s", message)
	end)

	describe("retry", function()
		local function failing(times, code)
			local calls = 0
			return function()
				calls = calls + 1
				if calls <= times then return nil, "not yet", code end
				return "after " .. calls
			end
		end
		local function quick(o)
			o.deadline = o.deadline or task.now() + 1000
			o.random = o.random or function() return 0 end
			return o
		end

		it("calls until it works", function()
			assert.equal("after 4", task.retry(quick {}, failing(3, "timeout")))
		end)

		it("stops at a code that is not worth another try", function()
			local o = quick { when = function(code) return code == "timeout" end }
			assert.same({ nil, "not yet", "denied" }, { task.retry(o, failing(3, "denied")) })
			assert.equal("after 4", task.retry(o, failing(3, "timeout")))
		end)

		it("does not begin a pause that ends after the deadline", function()
			local o = quick { deadline = task.now() + 100, base = 1000, random = function() return 1 end }
			assert.same({ nil, "not yet", "timeout" }, { task.retry(o, failing(3, "timeout")) })
		end)

		it("doubles the longest pause up to cap", function()
			local pauses, sleep = {}, task.sleep
			local now = 0
			local o = { deadline = 1000, base = 1, cap = 5, random = function() return 1 end }
			local core = require "core.task"
			local real = { core.sleep, core.now }
			core.sleep, core.now = function(s) pauses[#pauses + 1] = s end, function() return now end
			local result = task.retry(o, failing(5, "timeout"))
			core.sleep, core.now = real[1], real[2]
			assert.equal("after 6", result)
			assert.same({ 1, 2, 4, 5, 5 }, pauses)
			assert.equal(sleep, task.sleep)
		end)
	end)

	describe("shared", function()
		it("calls once for all who ask at the same time, by key, and again later", function()
			local calls = {}
			local ask = task.shared(function(key)
				calls[#calls + 1] = key
				task.sleep(0)
				return nil, key .. #calls, "timeout"
			end)
			local answers = task.map({ "a", "b", "a" }, function(key) return { ask(key) } end)
			assert.same({ "a", "b" }, calls)
			assert.same(answers[1], answers[3])
			assert.same({ { nil, "a2", "timeout" }, { nil, "b2", "timeout" } }, { answers[1], answers[2] })
			assert.same({ nil, "a3", "timeout" }, { ask "a" })
		end)

		it("lets the next who waits call when the first is cancelled, or fails", function()
			local calls, gate = 0, task.event()
			local ask = task.shared(function()
				calls = calls + 1
				if calls == 1 then gate:wait() end
				if calls == 2 then error "broken" end
				return calls
			end)
			local first, second, third = task.spawn(ask, "k"), task.spawn(ask, "k"), task.spawn(ask, "k")
			task.sleep(0)
			first:cancel()
			assert.matches("broken", (select(2, second:join())))
			assert.equal(3, third:join())
		end)
	end)
end)
