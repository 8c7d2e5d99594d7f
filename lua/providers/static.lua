-- static.lua - the machines are the ones that a person wrote down, in the policy or in a JSON file.
--
--	static { "10.0.0.11", { id = "b", address = "10.0.0.12", state = "dead" }, self = "b" }
--	static { file = "/etc/machines.json", self = "b" }      read again each turn
local fs = require "core.fs"
local inventory = require "inventory"
local nearest = require "nearest"

local static = {}

local KEYS = { "self", "desired", "file" }
local DEFAULTS = { complete = true, gone = "dead", lag = 0, source = "static" }

local function check_options(o)
	if type(o) ~= "table" then error("static: a table expected", 3) end
	for key in pairs(o) do
		if type(key) == "string" and key ~= "self" and key ~= "desired" and key ~= "file" then
			error(("static: unknown key %q%s"):format(key, nearest.hint(key, { table.unpack(KEYS) })), 3)
		end
	end
	if o.file ~= nil and (type(o.file) ~= "string" or #o > 0) then
		error("static: either `file = PATH` or a list of machines", 3)
	elseif not o.file and #o == 0 then
		error("static: no machine is listed", 3)
	end
end

-- The listed machines as instances; what is wrong with them is the policy's fault.
local function listed(o)
	local list = {}
	for i, item in ipairs(o) do
		list[i] = type(item) == "string" and { address = item } or item
	end
	local instances, why = inventory.instances(list)
	if not instances then error("static: " .. why, 3) end
	for _, one in ipairs(instances) do
		if o.self == one.id then return list end
	end
	if o.self ~= nil then
		error(("static: self = %q, but no such machine is listed"):format(tostring(o.self)), 3)
	end
	return list
end

local function whole(o, inv, why, code)
	if not inv then return nil, "static: " .. why, code end
	inv.desired = inv.desired or o.desired or inventory.count(inv.instances)
	return inv
end

local function from_file(o)
	local text, why, code = fs.read(o.file)
	if not text then return nil, "static: " .. why, code end
	local inv
	inv, why, code = inventory.decode(text, {
		self = o.self, complete = true, gone = "dead", lag = 0, source = "static",
	})
	return whole(o, inv, why and o.file .. ": " .. why, code)
end

local function from_list(o, list)
	local t = { self = o.self, desired = o.desired, instances = list }
	for key, value in pairs(DEFAULTS) do t[key] = value end
	return whole(o, inventory.make(t))
end

return setmetatable(static, {
	__call = function(_, o)
		check_options(o)
		if o.file then return function() return from_file(o) end end
		local list = listed(o)
		return function() return from_list(o, list) end
	end,
})
