-- faults.lua - what can happen to a machine of a fleet, and what an act may wait for.  An act says
-- whether it happened.

local task = require "core.task"
local json = require "core.json"
local world = require "spec.world.world"

local function count(set)
	local n = 0
	for _ in pairs(set) do
		n = n + 1
	end
	return n
end

-- The disks lost since all machines were voters and well, this one too; a new table each time.
local function lost_with(f, m)
	local lost = { [m.name] = true }
	for name in pairs(f.destroyed) do
		lost[name] = true
	end
	return lost
end

local function is_minority(f, lost)
	return count(lost) <= (#f.slots - 1) // 2
end

-- Whether this disk may be lost: a majority of the disks must stay, and all of them while the cluster
-- grows.  One without a log holds nothing yet.
local function may_destroy(f, m)
	if not f.world:has_log(m.name) then
		return true
	end
	local lost = lost_with(f, m)
	if is_minority(f, lost) and not f.growing or f.lose then
		f.destroyed = lost
		if not is_minority(f, lost) then
			f.void = f.void or ("%d of %d disks were destroyed, the last of %s"):format(count(lost), #f.slots, m.name)
		end
		return true
	end
	f:note("%s is spared: a majority of the disks would be lost", m.name)
	f.spared = f.spared + 1
end

-- Power off for so many seconds: no process gets to say anything.
local function cut_power(m, off)
	m.off_until = math.max(m.off_until < math.huge and m.off_until or 0, task.now() + off)
	if m.main then
		m.main:kill "KILL"
		m.after:kill "KILL"
	end
	world.wait(function()
		return not m.main
	end, 20, m.name .. " is down", 0.01)
end

local acts = {}

function acts.nothing()
	return true
end

function acts.boot(_, m, act)
	if m.off_until == math.huge then
		m.off_until = task.now() + act.off
	else
		cut_power(m, act.off)
	end
	return true
end

function acts.kill(_, m, act)
	local run = act.what == "finish" and m.after or m.main
	if run and not run.done then
		run:kill "KILL"
		return true
	end
end

function acts.wipe(f, m, act)
	cut_power(m, math.huge)
	local done = may_destroy(f, m)
	if done then
		f.world:wipe(m.name)
	end
	m.off_until = task.now() + act.off
	return done
end

function acts.pause(f, m, act)
	local run = m.main
	if not run or run.done then
		return
	end
	run:kill "STOP"
	f:later(act.lasts, function()
		run:kill "CONT"
	end)
	return true
end

function acts.partition(f, m, act)
	if not f.net.private then
		f.skipped = f.skipped + 1
		return
	end
	local addresses = {}
	for i, slot in ipairs(act.slots) do
		addresses[i] = f.slots[slot].address
	end
	local cut = f.net:cut(addresses)
	m.cut = cut
	if act.lasts ~= "rest" then
		f:later(act.lasts, function()
			f.net:mend(cut)
		end)
	end
	return true
end

function acts.mend(f, m)
	f.net:mend(m.cut)
	return true
end

function acts.replace(f, m, act)
	if not may_destroy(f, m) then
		return acts.boot(f, m, act) and nil
	end
	m.gone = true
	cut_power(m, 0)
	if act.listed then
		table.insert(f.dead, m)
	end
	local new = f:machine(m.slot, act.same and m.address or nil)
	f:note("%s at %s takes the place of %s", new.name, new.address, m.name)
	f:publish()
	new.off_until = task.now() + act.off
	f:employ(new)
	return true
end

function acts.stale(f, m, act)
	if m.stale or m.partial then
		return
	end
	m.stale = true
	f:later(act.lasts, function()
		m.stale = nil
		f:publish()
	end)
	return true
end

function acts.partial(f, m, act)
	if m.stale or m.partial then
		return
	end
	m.partial = true
	local list, all = json.list {}, f:entries()
	for i = 1, math.min(act.keep, #all) do
		list[i] = all[(i + m.slot) % #all + 1]
	end
	local text = f:told(list, false)
	world.write(m.list, act.cut and text:sub(1, #text // 2) or text)
	f:later(act.lasts, function()
		m.partial = nil
		f:publish()
	end)
	return true
end

-- The provider is told to have all machines, and knows them from now on.
function acts.grow(f)
	f.listed = #f.slots
	f:publish()
	return true
end

-- Each gives a function that says whether it holds.
local conditions = {}

function conditions.begun(f, act)
	return function()
		return f.world:has_log(f.slots[act.of or act.slot].name)
	end
end

-- It has a place in a cluster, or the promise of one, and its etcd has never run.
function conditions.added(f, act)
	return function()
		local name = f.slots[act.slot].name
		return f.world:claimed(name) and not f.world:has_log(name)
	end
end

function conditions.written(f)
	local before = f.writer.count
	return function()
		return f.writer.count > before + 3
	end
end

function conditions.whole(f, act)
	return function()
		return is_minority(f, lost_with(f, f.slots[act.slot]))
	end
end

return { acts = acts, conditions = conditions }
