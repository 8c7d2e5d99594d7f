-- schedule.lua - what goes wrong in one seed, all of it drawn before anything starts.  Pure: the
-- same seed and size give the same schedule.  Acts name slots, 1 to size; who stands in a slot
-- changes when its machine is replaced.
--
-- A schedule is a list of sequences that run side by side, each a list of acts in their order.  An
-- act: kind (or nothing, mend), slot, after (seconds since the one before it), wait (then for a
-- condition), pause (then seconds), and what its kind needs: lasts (seconds), off (seconds without
-- power), and so on.

local schedule = {}

schedule.kinds = { "boot", "kill", "wipe", "pause", "partition", "replace", "stale", "partial" }

local LAG <const> = 4 -- seconds that a list may trail; a stale one does for less
schedule.lag = LAG

local function between(low, high)
	return low + math.random() * (high - low)
end

local function shuffled(n)
	local order = {}
	for i = 1, n do
		order[i] = i
	end
	for i = n, 2, -1 do
		local k = math.random(i)
		order[i], order[k] = order[k], order[i]
	end
	return order
end

local make = {}

function make.boot()
	return { off = between(0.3, 5) }
end

function make.kill()
	return { what = math.random(4) == 1 and "finish" or "run" }
end

function make.wipe()
	return { off = between(0.2, 2) }
end

function make.pause()
	return { lasts = between(0.5, 6) }
end

function make.partition(size)
	local order = shuffled(size)
	return { slots = table.move(order, 1, math.random(size // 2), 1, {}), lasts = between(1, 6) }
end

function make.replace()
	return { off = between(0.2, 2), same = math.random(2) == 1, listed = math.random(3) > 1 }
end

function make.stale()
	return { lasts = between(1, LAG - 0.5) }
end

function make.partial(size)
	return { lasts = between(1, 5), keep = math.random(0, size - 1), cut = math.random(4) == 1 }
end

local function act(kind, size, slot)
	local one = make[kind](size)
	one.kind, one.slot, one.after = kind, slot or math.random(size), 0
	return one
end

-- Faults over so many seconds, each kind at least once, some oftener; a list that trails matters most
-- when a machine has just been replaced.
local function single_faults(size, begin, length)
	local kinds = table.move(schedule.kinds, 2, #schedule.kinds, 1, {})
	for _ = 1, math.random(2, 5) do
		table.insert(kinds, schedule.kinds[math.random(#schedule.kinds)])
	end
	local acts = {}
	for _, kind in ipairs(kinds) do
		local one = act(kind, size)
		one.at = begin + between(0, length)
		if kind == "wipe" or kind == "replace" then
			one.wait = "whole"
		end
		table.insert(acts, one)
		if kind == "replace" then
			local late = act("stale", size, one.slot % size + 1)
			late.at = math.max(0, one.at - between(0, 1))
			table.insert(acts, late)
		end
	end
	table.sort(acts, function(a, b)
		return a.at < b.at
	end)
	local now = 0
	for _, one in ipairs(acts) do
		one.after, now, one.at = one.at - now, one.at, nil
	end
	return acts
end

-- One machine hears nothing while the others take writes; then those of them that heard fail
-- together, a minority of them for good, and it comes back.
local function witness(size, early)
	local order = shuffled(size)
	local x, cut = order[1], {}
	for i = 1, size - size // 2 - 1 do
		cut[i] = order[i]
	end
	local acts = {}
	local away = act("partition", size, x)
	away.slots, away.lasts = cut, "rest"
	if early then
		away.wait = "begun"
	else
		away.wait, away.pause = "written", between(0, 4)
	end
	acts[1] = away
	for i = #cut + 1, size do
		local one = act(i == size and "wipe" or "boot", size, order[i])
		if i == #cut + 1 then
			one.wait, one.pause = "written", between(0.5, 2)
		end
		one.off = i == size and between(0.2, 1) or between(3, 12)
		table.insert(acts, one)
	end
	table.insert(acts, { kind = "mend", slot = x, after = between(0, 1) })
	return acts
end

-- One machine of the founding comes late and helps to take writes that another does not hear; then it
-- loses its disk, those who know fail, and the one that comes back has never seen it start.
local function latecomer(size)
	local acts = witness(size, false)
	local late = act("boot", size, acts[#acts - 1].slot)
	late.off, late.wait, late.of = between(2.5, 4), "begun", acts[2].slot
	acts[1].pause = 0
	table.insert(acts, 1, late)
	return acts
end

-- The power fails everywhere.
local function blackout(size)
	local acts = {}
	for slot = 1, size do
		acts[slot] = act("boot", size, slot)
		acts[slot].off = between(0.2, 3)
	end
	acts[1].wait, acts[1].pause = "written", between(1, 5)
	return acts
end

-- A disk is lost, and again as soon as its machine is back.
local function twice(size)
	local acts = {}
	for i = 1, 2 do
		acts[i] = act("wipe", size, i == 2 and acts[1].slot or nil)
		acts[i].wait, acts[i].pause = i == 1 and "written" or "begun", between(0, 2)
	end
	return acts
end

-- The cluster begins smaller than it is to be; a newcomer or two lose their disks as soon as they
-- have been added.
local function growing(size, listed)
	local acts = { { kind = "grow", slot = 1, after = 0, wait = "written", pause = between(0, 2) } }
	for slot = listed + 1, math.random(listed + 1, size) do
		local one = act("wipe", size, slot)
		one.wait = "added"
		table.insert(acts, one)
	end
	return acts
end

local sagas = {
	latecomer, latecomer, witness, function(size)
		return witness(size, true)
	end, blackout, twice, twice, growing, growing,
}

--- The schedule of a seed: its sequences, snapshots (whether etcd makes many), listed (how many machines
--- the provider knows at first).
function schedule.draw(seed, size)
	math.randomseed(seed)
	local start = {}
	for i, slot in ipairs(shuffled(size)) do
		start[i] = { kind = "boot", slot = slot, off = between(0, 2), after = 0 }
	end
	local saga = sagas[math.random(12)]
	local listed = saga ~= growing and size or size > 3 and math.random(2) == 1 and 3 or 1
	local acts = saga and saga(size, listed) or {}
	local singles = single_faults(size, saga and 3 or 0, saga and 8 or 16)
	if not saga and math.random(3) > 1 then
		table.insert(acts, { kind = "nothing", slot = 1, after = 0, wait = "written" })
	end
	table.move(singles, 1, #singles, #acts + 1, acts)
	return { start, acts, snapshots = math.random(2) == 1, listed = listed }
end

local function words(value)
	if type(value) == "table" then
		return table.concat(value, "+")
	end
	return type(value) == "number" and ("%.3g"):format(value) or tostring(value)
end

--- One act as a line.
function schedule.tell(one)
	local parts = {}
	for key, value in pairs(one) do
		if key ~= "kind" and key ~= "slot" then
			table.insert(parts, key .. " " .. words(value))
		end
	end
	table.sort(parts)
	return ("%s of slot %d: %s"):format(one.kind, one.slot, table.concat(parts, ", "))
end

return schedule
