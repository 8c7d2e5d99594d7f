-- aws.lua - the machines are those of an Auto Scaling group, or those that bear some tags.
--
--	aws.asg()                                          this machine's own group
--	aws.asg { name = "etcd", regions = { "eu-west-1", "eu-central-1" } }
--	aws.tags { role = "etcd", stage = "prod" }         machines that have all of them
--
-- Everything that does not need another's answer is asked at once.  EC2 says who lives; the group, who
-- belongs to it.  A list that one of them contradicts is not complete.
local credentials = require "aws.credentials"
local groups = require "aws.groups"
local instances = require "aws.instances"
local inventory = require "inventory"
local metadata = require "aws.metadata"
local nearest = require "nearest"
local region = require "aws.region"
local request = require "aws.request"
local roster = require "aws.roster"
local s3 = require "aws.s3"
local tasks = require "task"

local GROUP = "aws:autoscaling:groupName" -- the tag that every machine of a group bears

-- Options ---------------------------------------------------------------------------------------
-- Each check returns what was given, or nil and what is wrong with it.

local function some_text(what, value)
	if type(value) == "string" and value ~= "" then return value end
	return nil, what .. ": a text expected"
end

local function some_region(what, name)
	local fine, why = some_text(what, name)
	if fine then fine, why = region.check(name, what) end
	return fine, why
end

local function some_regions(what, list)
	if type(list) ~= "table" or #list == 0 then return nil, what .. ": a list of regions expected" end
	local seen = {}
	for _, name in ipairs(list) do
		local fine, why = some_region(what, name)
		if not fine then return nil, why end
		if seen[name] then return nil, ("%s: %s is in it twice"):format(what, name) end
		seen[name] = true
	end
	return table.move(list, 1, #list, 1, {})
end

local CHECKS = { name = some_text, region = some_region, regions = some_regions }

local function group_options(o)
	if type(o) ~= "table" then return nil, "aws.asg: a table expected" end
	local made = { what = "aws.asg" }
	for key, value in pairs(o) do
		local check = CHECKS[key]
		if not check then
			return nil, ("aws.asg: unknown key %q%s"):format(tostring(key),
				nearest.hint(tostring(key), { "name", "region", "regions" }))
		end
		local fine, why = check("aws.asg: " .. key, value)
		if not fine then return nil, why end
		made[key] = fine
	end
	if made.region and made.regions then return nil, "aws.asg: region or regions, not both" end
	if not made.name and (made.region or made.regions) then
		return nil, "aws.asg: name the group as well as the region"
	end
	made.regions = made.regions or made.region and { made.region }
	return made
end

local function tag_options(o)
	if type(o) ~= "table" then return nil, "aws.tags: a table expected" end
	local made = { what = "aws.tags", tags = {} }
	for key, value in pairs(o) do
		local why
		if key == "regions" then
			made.regions, why = some_regions("aws.tags: regions", value)
		elseif type(key) ~= "string" or key == "" or type(value) ~= "string" then
			why = ("aws.tags: %s: a tag is written as key = \"value\""):format(tostring(key))
		else
			made.tags[key] = value
		end
		if why then return nil, why end
	end
	if next(made.tags) == nil then return nil, "aws.tags: one tag at least expected" end
	return made
end

-- Asking ----------------------------------------------------------------------------------------

-- The name of this machine's own group where its metadata may tell it, false where not.
local function tagged_group()
	return (metadata.get("/latest/meta-data/tags/instance/" .. GROUP)) or false
end

-- Who this machine is, its group where nobody named one, where to ask, and the keys to ask with.
local function begin(o, deadline)
	local got, why, code = tasks.all(metadata.document, function()
		return o.tags == nil and not o.name and not o.own and tagged_group()
	end, region.get, credentials.get)
	if not got then return nil, why, code end
	local here = { self = got[1].instance_id, region = got[3] }
	here.group = o.name or o.own or got[2] or nil
	if not o.tags and not here.group then
		here.group, why, code = groups.own { id = here.self, region = here.region, deadline = deadline }
		if not here.group then return nil, why, code end
	end
	o.own = not o.name and here.group or nil
	return here
end

-- One region's share of the list.
local function read(o, here, where, ids, deadline)
	local function find(filters)
		return instances.find { filters = filters, region = where, deadline = deadline }
	end
	local got, why, code = tasks.all(function()
		return find(instances.tagged(o.tags or { [GROUP] = here.group }))
	end, function()
		if not ids[1] then return {} end
		return find(instances.by_id(ids))
	end, function()
		if o.tags then return false end
		return groups.read { name = here.group, region = where, deadline = deadline }
	end)
	if not got then return nil, why, code end
	return { region = where, selected = got[1], known = got[2], group = got[3] or nil, name = here.group, tags = o.tags }
end

local function holds(part, id)
	for _, list in ipairs { part.selected, part.known } do
		for _, machine in ipairs(list) do
			if machine.id == id then return true end
		end
	end
	return false
end

-- A machine that looks at others need not be one of them, and still must be in the list.
local function find_self(here, parts, deadline)
	local mine
	for _, part in ipairs(parts) do
		if holds(part, here.self) then return true end
		if part.region == here.region then mine = part end
	end
	local found, why, code = instances.find {
		filters = instances.by_id { here.self }, region = here.region, deadline = deadline,
	}
	if not found then return nil, why, code end
	if not mine then
		mine = { region = here.region, selected = {}, known = {} }
		table.insert(parts, mine)
	end
	table.move(found, 1, #found, #mine.known + 1, mine.known)
	return true
end

local function discover(o, ask)
	local deadline = ask.deadline
	local here, why, code = begin(o, deadline)
	if not here then return nil, why, code end
	local ids = roster.ids(ask.missing)
	local parts, fine, list
	parts, why, code = tasks.map(o.regions or { here.region }, function(where)
		return read(o, here, where, ids, deadline)
	end)
	if not parts then return nil, why, code end
	fine, why, code = find_self(here, parts, deadline)
	if not fine then return nil, why, code end
	list, why, code = inventory.make(roster.of {
		self = here.self, parts = parts, missing = ask.missing, ids = ids, source = o.what,
	})
	if not list then return nil, ("%s: %s"):format(o.what, why), code end
	return list
end

-- The makers ------------------------------------------------------------------------------------

-- Called, so that a maker which was not is told from a provider.
local function maker(options)
	return setmetatable({}, { __call = function(_, given)
		local o, why = options(given)
		if not o then error(why, 2) end
		return function(ask)
			return discover(o, { missing = ask and ask.missing or {}, deadline = ask and ask.deadline })
		end
	end })
end

return setmetatable({
	request = request, s3 = s3, tags = maker(tag_options),
	asg = maker(function(given) return group_options(given == nil and {} or given) end),
}, { __index = function(_, name)
	error(("aws has no %s%s"):format(tostring(name), nearest.hint(tostring(name), { "asg", "request", "s3", "tags" })), 2)
end })
