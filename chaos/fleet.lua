-- fleet.lua - the machines of one seed: their power, the service manager on each, and what the
-- provider tells them.  It draws no lots: the schedule says what happens.

local task = require "core.task"
local json = require "core.json"
local world = require "spec.world.world"
local schedule = require "chaos.schedule"
local faults = require "chaos.faults"
local network = require "chaos.network"

local fleet = {}
local Fleet = {}
Fleet.__index = Fleet

local POLL <const> = 0.03
local RESTART <const> = 0.3 -- seconds that the service manager waits before it starts etcd again
local PATIENCE <const> = 12 -- seconds until an act that waits for a condition comes all the same

-- Machines --------------------------------------------------------------------------------------

function Fleet:note(fmt, ...)
	self.log:write(("%7.2f  "):format(task.now() - self.begun), fmt:format(...), "\n")
	self.log:flush()
end

--- A new machine, off, in the place of the one that stood there.
function Fleet:machine(slot, address)
	self.made = self.made + 1
	local m = self.world:machine("m" .. self.made, { address = address or self.net:host() })
	m.slot, m.off_until, m.list = slot, math.huge, m.dir .. "/list.json"
	self.slots[slot] = m
	return m
end

local function powered(m)
	return not m.gone and task.now() >= m.off_until
end

local function launch(f, m)
	local o = { wrap = f.net:wrap(m.address), env = { ETCD_BOOTSTRAP_PATH = world.here .. "/chaos" } }
	table.move(f.before, 1, #f.before, #o.wrap + 1, o.wrap)
	m.main = f.world:boot(m.name, o)
	o.verb = "finish"
	m.after = f.world:boot(m.name, o)
	m.run = m.main
end

local function halt(m)
	for _, run in ipairs { m.main, m.after } do
		run:kill "KILL"
	end
	for _, run in ipairs { m.main, m.after } do
		run:exit(20)
	end
end

local function failed(run)
	return run.done and run.done.status ~= 0
end

-- The service manager: `run` becomes etcd, `finish` follows it; when the one ends or the other fails, both
-- are started again after a while.
local function serve(f, m)
	while not (m.gone or f.closed) do
		if powered(m) then
			launch(f, m)
			while not (m.main.done or failed(m.after)) and powered(m) and not f.closed do
				task.sleep(POLL)
			end
			if failed(m.after) and not m.main.done and powered(m) then
				f:note("%s: finish ended with %s", m.name, m.after.done.status or "a signal")
			end
			halt(m)
			m.main, m.after = nil, nil
			task.sleep(RESTART)
		else
			task.sleep(POLL)
		end
	end
end

function Fleet:employ(m)
	table.insert(self.services, task.spawn(serve, self, m))
end

-- What the provider says --------------------------------------------------------------------------

--- The true list; of a fleet that is to grow, its first machines only.
function Fleet:entries()
	local list = json.list {}
	for i = 1, self.listed do
		local m = self.slots[i]
		table.insert(list, { id = m.name, name = m.name, address = m.address, state = "live" })
	end
	for _, m in ipairs(self.dead) do
		table.insert(list, { id = m.name, name = m.name, address = m.address, state = "dead" })
	end
	return list
end

--- A list as the provider words it.
function Fleet:told(list, complete)
	return json.encode { instances = list, desired = self.listed, complete = complete, lag = schedule.lag }
end

function Fleet:publish()
	local text = self:told(self:entries(), true)
	for _, m in ipairs(self.slots) do
		if not m.stale and not m.partial then
			world.write(m.list, text)
		end
	end
end

-- What happens ------------------------------------------------------------------------------------

local function await(f, act)
	local limit = task.now() + PATIENCE
	local holds = faults.conditions[act.wait](f, act)
	while not holds() and task.now() < limit do
		task.sleep(0.01)
	end
end

--- Does the acts of a sequence one after the other.
function Fleet:play(sequence)
	for _, act in ipairs(sequence) do
		task.sleep(act.after)
		if act.wait then
			await(self, act)
		end
		task.sleep(act.pause or 0)
		if self.void then
			return
		end
		local m = self.slots[act.slot]
		local done = faults.acts[act.kind](self, m, act)
		self:note("%s: %s%s", m.name, schedule.tell(act), done and "" or " (did not happen)")
		if done and self.counts[act.kind] then
			self.counts[act.kind] = self.counts[act.kind] + 1
		end
	end
end

--- So many seconds later, unless the faults have ended before.
function Fleet:later(seconds, what)
	table.insert(self.ends, task.spawn(function()
		task.sleep(seconds)
		what()
	end))
end

--- The names of the machines that live, sorted, in one string.
function Fleet:names()
	local names = {}
	for i, m in ipairs(self.slots) do
		names[i] = m.name
	end
	table.sort(names)
	return table.concat(names, " ")
end

function Fleet:clients()
	local list = {}
	for i, m in ipairs(self.slots) do
		list[i] = self.world:client(m.name)
	end
	return list
end

-- What was destroyed is made good once all machines are voters and well.
local function watch(f)
	while not f.closed do
		task.sleep(0.3)
		local before, names = f.destroyed, f:names()
		if (next(before) or f.growing) and pcall(f.world.converge, f.world, names, 0)
			and f.destroyed == before and f:names() == names then
			f.destroyed, f.growing = {}, false
			f:note "all machines are voters and well"
		end
	end
end

--- The faults end: everything runs, and the provider tells the truth.
function Fleet:heal()
	for _, ending in ipairs(self.ends) do
		ending:cancel()
	end
	self.net:heal()
	for _, m in ipairs(self.slots) do
		m.stale, m.partial, m.off_until = nil, nil, 0
		self.listed = #self.slots
		if m.main then
			m.main:kill "CONT"
		end
	end
	self:publish()
	self:note "healed"
end

function Fleet:close()
	self.closed = true
	for _, service in ipairs(self.services) do
		service:join()
	end
	local orphans = self.world:close()
	self.net:close()
	self.log:close()
	return orphans
end

--- The machines of one seed, all off.  o: size, listed (how many the provider knows at first), etcd,
--- before (command line before the binary), decide, snapshots.
function fleet.new(o)
	local w = world.new { policy = {
		finish = "true", interval = "0.3", timeout = "45",
		exec = ("{ %q, \"--logger=zap\"%s }"):format(o.etcd, o.snapshots and ", \"--snapshot-count=60\"" or ""),
		decide = o.decide,
	} }
	local f = setmetatable({ world = w, net = network.new(w.root, w.net), slots = {}, dead = {}, made = 0,
		services = {}, ends = {}, counts = {}, destroyed = {}, spared = 0, skipped = 0, before = o.before or {},
		listed = o.listed, growing = o.listed < o.size, lose = o.lose,
		begun = task.now(), log = assert(io.open(w.root .. "/events", "w")) }, Fleet)
	for _, kind in ipairs(schedule.kinds) do
		f.counts[kind] = 0
	end
	for slot = 1, o.size do
		f:machine(slot)
	end
	f:publish()
	for _, m in ipairs(f.slots) do
		f:employ(m)
	end
	table.insert(f.services, task.spawn(watch, f))
	return f
end

return fleet
