-- task.lua - structured helpers over core.task: what they start has ended when they return.

local core = require "core.task"

local task = setmetatable({}, { __index = core })

local function closing(f)
	return setmetatable({}, { __close = function(_, problem) f(problem) end })
end

local function cancel_all(tasks)
	return closing(function()
		for _, t in pairs(tasks) do t:cancel() end
	end)
end

--- (waits) Runs f over every item, at most `limit` at once; the results keep the order of the items.
--- The first failure cancels the rest.
---@generic T, R
---@param items T[]
---@param f fun(item: T, index: integer): R?, string?, Code?
---@param limit integer?
---@return R[]|nil, string?, Code?
function task.map(items, f, limit)
	local results, running, failure = {}, {}, nil
	local left, next_up = #items, 1
	local over = core.event()
	local _ <close> = cancel_all(running)

	local function work()
		local _ <close> = closing(function(problem) -- by no pcall: a watchdog's stop ends here too
			if problem then failure = failure or { nil, tostring(problem), "usage" } end
			if failure or left == 0 then over:set() end
		end)
		while next_up <= #items and not failure do
			local i = next_up
			next_up = i + 1
			local result, message, code = f(items[i], i)
			if result == nil then failure = failure or { nil, message, code } end
			results[i] = result
			left = left - 1
		end
	end

	for i = 1, math.min(limit or #items, #items) do running[i] = core.spawn(work) end
	if left > 0 then over:wait() end
	if failure then return table.unpack(failure, 1, 3) end
	return results
end

--- (waits) Runs functions side by side; their first results in order, or the first failure.
---@param ... fun(): any
---@return any[]|nil, string?, Code?
function task.all(...)
	return task.map({ ... }, function(f) return f() end)
end

--- (waits) Runs functions side by side; results of the first that ends, the others are cancelled.
---@param ... fun(): ...: any
---@return any ...
function task.race(...)
	local over, running, first = core.event(), {}, nil
	local _ <close> = cancel_all(running)

	for i, f in ipairs { ... } do
		running[i] = core.spawn(function()
			local _ <close> = closing(function(problem)
				if problem then first = first or { nil, tostring(problem), "usage", n = 3 } end
				over:set()
			end)
			local r = table.pack(f())
			first = first or r
		end)
	end
	over:wait()
	return table.unpack(first, 1, first.n)
end

--- (waits) f's results, or nil, message, "timeout" when it has not ended after `seconds`.
---@param seconds number
---@return any ...
function task.within(seconds, f, ...)
	local args = table.pack(...)

	return task.race(function()
		return f(table.unpack(args, 1, args.n))
	end, function()
		core.sleep(seconds)
		return nil, ("no end after %g s"):format(seconds), "timeout"
	end)
end

--- (waits) Calls f until it gives something, fails with a code that is not worth another try, or the
--- deadline is near.  Pauses are random between 0 and base, 2 base, 4 base ... up to cap.
---@param o {deadline: number, base: number?, cap: number?, when: (fun(code: Code): boolean)?, random: (fun(): number)?}
---@return any ...  of the last call
function task.retry(o, f)
	local random = o.random or math.random
	local most = o.base or 0.2

	while true do
		local r = table.pack(f())
		local pause = random() * most
		if r[1] ~= nil or o.when and not o.when(r[3]) or core.now() + pause >= o.deadline then
			return table.unpack(r, 1, r.n)
		end
		core.sleep(pause)
		most = math.min(2 * most, o.cap or 10)
	end
end

--- A function of a key that answers all who ask for the same key at once with one call of f.  Nothing
--- is remembered after that.  Where the task that called f was cancelled, the next who waits calls it.
---@generic T
---@param f fun(key: T): ...: any
---@return fun(key: T): ...: any
function task.shared(f)
	local flights = {}

	return function(key)
		local flight = flights[key]
		while flight do
			flight.over:wait()
			if flight.results then return table.unpack(flight.results, 1, flight.results.n) end
			flight = flights[key]
		end
		flight = { over = core.event() }
		flights[key] = flight
		local _ <close> = closing(function()
			flights[key] = nil
			flight.over:set()
		end)
		flight.results = table.pack(f(key))
		return table.unpack(flight.results, 1, flight.results.n)
	end
end

return task
