-- roster.lua - puts what EC2 and Auto Scaling said together into one list of machines, and says
-- whether that is proven to be all of them.  Pure.
local check = require "check"
local groups = require "aws.groups"
local instances = require "aws.instances"

local roster = {}

local LAG = 15 -- seconds that EC2 may trail the truth, by experience
local VALUES = 200 -- of one filter, the most that EC2 takes

-- What was read of one region.  Of these lists each holds a machine once.
---@class aws.Part
---@field region string
---@field selected table[]  whom the selection gave
---@field known table[]     whom EC2 knows of those that were asked for by id
---@field group {desired: integer?, lifecycle: table<string, string>}?  of a selection by group
---@field tags table<string, string>?  of a selection by tags
---@field name string?       of the group

local function has_tags(machine, tags)
	for key, value in pairs(tags) do
		if machine.tags[key] ~= value then return false end
	end
	return true
end

-- Whether a machine that was asked for by id belongs to the selection.
local function belongs(part, machine)
	if part.group then return part.group.lifecycle[machine.id] ~= nil end
	return part.tags ~= nil and has_tags(machine, part.tags)
end

-- The state of a machine that belongs to the selection, or that EC2 took for one of it.
local function state_in(part, machine)
	if not part.group then return machine.state end
	return groups.state(machine.state, part.group.lifecycle[machine.id])
end

-- What keeps a machine that runs out of the selection.
local function why_leaving(part, machine, regions)
	if part.group then
		local word = part.group.lifecycle[machine.id]
		if word then return ("is %s in the group %s"):format(word, part.name) end
		return ("is not in the group %s of %s"):format(part.name, part.region)
	end
	for _, key in ipairs(check.sorted(part.tags or {})) do
		local has, wanted = machine.tags[key], part.tags[key]
		if not has then return ("has no tag %s = %q"):format(key, wanted) end
		if has ~= wanted then return ("has the tag %s = %q, and %q is asked for"):format(key, has, wanted) end
	end
	return ("is in %s, and only %s is asked"):format(part.region, table.concat(regions, ", "))
end

-- Adds a region's machines -> what shows that some are missing, nil when nothing does
local function add(list, part, regions)
	local doubt
	local function take(machine, state)
		if list.by_id[machine.id] then return end
		local runs = machine.state == "live" or machine.state == "booting"
		if state == "leaving" and runs then machine.why = why_leaving(part, machine, regions) end
		machine.state, list.by_id[machine.id] = state, machine
		table.insert(list.instances, machine)
	end
	for _, machine in ipairs(part.selected) do take(machine, state_in(part, machine)) end
	for _, machine in ipairs(part.known) do
		if belongs(part, machine) then
			-- A dead one may have been let go already.
			if not list.by_id[machine.id] and machine.state ~= "dead" then
				doubt = machine.id .. " belongs to them, and EC2 does not select it yet"
			end
			take(machine, state_in(part, machine))
		else -- It lives elsewhere: no founding counts it in, and none goes on without it.
			take(machine, machine.state == "dead" and "dead" or "leaving")
		end
	end
	local lacking
	for id, word in pairs(part.group and part.group.lifecycle or {}) do
		if word == "Terminated" then take({ id = id, name = id, region = part.region }, "dead") end
		if not list.by_id[id] and (not lacking or id < lacking) then lacking = id end
	end
	return lacking and lacking .. " is in the group, and EC2 does not list it yet" or doubt
end

-- A machine that runs, or will, and cannot be reached yet.
local function without_address(list)
	for _, machine in ipairs(list) do
		local runs = machine.state == "booting" or machine.state == "live"
		if runs and next(machine.addresses) == nil then return machine.id .. " has no address yet" end
	end
end

-- As many as the groups want together; nil where one does not say, or tags were asked for.
local function desired(parts)
	local sum
	for _, part in ipairs(parts) do
		if part.group and not part.group.desired then return nil end
		if part.group then sum = (sum or 0) + part.group.desired end
	end
	return sum
end

-- Names that hold an id which was asked for and which EC2 does not know.
local function forgotten(missing, ids, by_id)
	local names, asked = {}, {}
	for _, id in ipairs(ids) do asked[id] = true end
	for _, member in ipairs(missing) do
		local id = instances.id_in(member.name)
		if asked[id] and not by_id[id] then table.insert(names, member.name) end
	end
	table.sort(names)
	return names
end

-- The ids to ask for, each once, and as many as a filter takes.
---@param missing Member[]
---@return string[]
function roster.ids(missing)
	local ids, seen = {}, {}
	for _, member in ipairs(missing) do
		local id = instances.id_in(member.name)
		if id and not seen[id] and #ids < VALUES then
			table.insert(ids, id)
			seen[id] = true
		end
	end
	return ids
end

-- What inventory {} takes.  o.ids: those that every region was asked for, of the members missing.
---@param o {self: string, parts: aws.Part[], missing: Member[], ids: string[], source: string}
---@return table
function roster.of(o)
	local list, doubt = { instances = {}, by_id = {} }, nil
	local regions = {}
	for _, part in ipairs(o.parts) do
		if part.group or part.tags then table.insert(regions, part.region) end
	end
	for _, part in ipairs(o.parts) do doubt = add(list, part, regions) or doubt end
	doubt = doubt or without_address(list.instances)
	return {
		self = o.self, instances = list.instances, desired = desired(o.parts), complete = not doubt, why = doubt,
		gone = "unknown", forgotten = forgotten(o.missing, o.ids, list.by_id), lag = LAG, source = o.source,
	}
end

return roster
