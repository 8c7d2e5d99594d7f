-- inventory.lua - `inventory { instances = {...} }`: what a provider returns, checked.  A list with
-- anything wrong in it is no list: the caller gets nil, message, "parse" and the inventory is
-- unknown.  Machines that are dead may share a name or an address with living ones: both are
-- used again.
local json = require "core.json"
local nearest = require "nearest"
local net = require "core.net"

local inventory = {}

local STATES = { booting = true, live = true, leaving = true, dead = true, unknown = true }
local ADDRESSES = { "private_v4", "private_v6", "public_v4", "public_v6", "hostname" }
local KEYS = {
	"self", "instances", "desired", "complete", "gone", "lag", "source", "forgotten", "why",
}
local INSTANCE_KEYS = {
	"id", "name", "address", "addresses", "zone", "region", "launched", "since", "tags", "state", "why",
}

local function bad(fmt, ...)
	return nil, fmt:format(...), "parse"
end

local function sorted_keys(t)
	local keys = {}
	for key in pairs(t) do keys[#keys + 1] = tostring(key) end
	table.sort(keys)
	return keys
end

local function check_keys(what, t, known)
	local set = {}
	for _, key in ipairs(known) do set[key] = true end
	for _, key in ipairs(sorted_keys(t)) do
		if not set[key] then
			return bad("%s: unknown key %q%s", what, key, nearest.hint(key, { table.unpack(known) }))
		end
	end
	return true
end

local function check_type(what, value, wanted, default)
	if value == nil then return default end
	if type(value) ~= wanted then
		return bad("%s: a %s expected, got a %s", what, wanted, type(value))
	end
	return value
end

-- A host name as URLs have it.
local function host_name(text)
	local url = net.url("http://" .. text .. ":1")
	return url and url.host
end

-- addresses, canonical, with the shorthand `address` put where its family belongs.
local function addresses(what, t)
	local given, why = check_type(what .. ": addresses", t.addresses, "table", {})
	if not given then return bad("%s", why) end
	local fine
	fine, why = check_keys(what .. ": addresses", given, ADDRESSES)
	if not fine then return bad("%s", why) end
	local out = {}
	for key, text in pairs(given) do
		local parse = key == "hostname" and host_name or net.address
		local parsed = type(text) == "string" and parse(text)
		if type(parsed) ~= "string" or parsed == "" then
			return bad("%s: addresses.%s is not an address: %s", what, key, tostring(text))
		end
		out[key] = parsed
	end
	if t.address == nil then return out end
	local parsed, family = nil, nil
	if type(t.address) == "string" then parsed, family = net.address(t.address) end
	if not parsed then
		return bad("%s: %q is not an IP address; a host name goes into addresses.hostname", what,
			tostring(t.address))
	end
	out[family == 6 and "private_v6" or "private_v4"] = parsed
	return out
end

local function first_string(...)
	for i = 1, select("#", ...) do
		local value = select(i, ...)
		if value ~= nil then return value end
	end
end

local function texts(what, t, into)
	for _, key in ipairs { "id", "name", "zone", "region" } do
		local value = into[key]
		if type(value) ~= "string" or value:find "%c" then
			return bad("%s: %s must be a string without control characters, got %s", what, key,
				tostring(value))
		end
	end
	if into.id == "" then return bad("%s has no id, no name and no address", what) end
	for _, key in ipairs { "launched", "since" } do
		into[key] = t[key] == nil and 0 or t[key]
		if type(into[key]) ~= "number" or into[key] < 0 then
			return bad("%s: %s must be a Unix time, got %s", what, key, tostring(t[key]))
		end
	end
	return into
end

-- One instance with every field filled in, a table of its own.
local function instance(i, t)
	local what = ("instance %d"):format(i)
	if type(t) ~= "table" then return bad("%s: a table expected, got a %s", what, type(t)) end
	local hint = first_string(t.id, t.name, t.address)
	if hint ~= nil then what = ("instance %s"):format(tostring(hint)) end
	local fine, why = check_keys(what, t, INSTANCE_KEYS)
	if not fine then return bad("%s", why) end
	local where
	where, why = addresses(what, t)
	if not where then return bad("%s", why) end
	local id = first_string(t.id, t.name, t.address, "")
	local made = {
		id = id, name = first_string(t.name, id), addresses = where,
		zone = first_string(t.zone, ""), region = first_string(t.region, ""),
		state = first_string(t.state, "live"), tags = t.tags,
	}
	if not STATES[made.state] then
		return bad("%s: unknown state %q%s", what, tostring(made.state),
			nearest.hint(tostring(made.state), sorted_keys(STATES)))
	end
	made.tags, why = check_type(what .. ": tags", t.tags, "table", {})
	if not made.tags then return bad("%s", why) end
	made.why = t.why
	if made.why ~= nil and (type(made.why) ~= "string" or made.why:find "%c") then
		return bad("%s: why: a string of one line expected", what)
	end
	return texts(what, t, made)
end

-- No two machines with one id; no two that may be alive with one name or one address.
local function check_twins(instances)
	local ids, names, taken = {}, {}, {}
	for _, one in ipairs(instances) do
		if ids[one.id] then return bad("two instances have the id %q", one.id) end
		ids[one.id] = true
		if one.state ~= "dead" then
			if names[one.name] then
				return bad("instances %s and %s have one name, %q", names[one.name], one.id, one.name)
			end
			names[one.name] = one.id
			for _, address in pairs(one.addresses) do
				if taken[address] and taken[address] ~= one.id then
					return bad("instances %s and %s have one address, %s", taken[address], one.id,
						address)
				end
				taken[address] = one.id
			end
		end
	end
	return true
end

-- The id of the one living instance that has an address of a local interface.
local function find_self(instances)
	local here, found = {}, {}
	local local_addresses, why, code = net.interfaces()
	if not local_addresses then return nil, why, code end
	for _, address in ipairs(local_addresses) do
		here[address] = not net.inside(address, "127.0.0.0/8") and address ~= "::1" or nil
	end
	for _, one in ipairs(instances) do
		for _, address in pairs(one.addresses) do
			if one.state ~= "dead" and here[address] and found[#found] ~= one.id then
				found[#found + 1] = one.id
			end
		end
	end
	if #found == 1 then return found[1] end
	if #found > 1 then
		return bad("more than one instance has an address of this machine (%s); give `self`",
			table.concat(found, ", "))
	end
	return bad("no instance has an address of this machine (127.x does not count); give `self`")
end

local function check_self(id, instances)
	if id == nil then return find_self(instances) end
	for _, one in ipairs(instances) do
		if one.id == id then return id end
	end
	return bad("this machine, %q, is not in the list", tostring(id))
end

local function check_forgotten(names)
	if names ~= nil and type(names) ~= "table" then return bad("forgotten: a list of names expected") end
	for _, name in ipairs(names or {}) do
		if type(name) ~= "string" then return bad("forgotten: names expected, got a %s", type(name)) end
	end
	return true
end

local function check_facts(t)
	if t.desired ~= nil and (math.type(t.desired) ~= "integer" or t.desired < 0) then
		return bad("desired: a whole number expected, got %s", tostring(t.desired))
	elseif t.complete ~= nil and type(t.complete) ~= "boolean" then
		return bad("complete: true or false expected, got %s", tostring(t.complete))
	elseif t.gone ~= nil and t.gone ~= "dead" and t.gone ~= "unknown" then
		return bad("gone: \"dead\" or \"unknown\" expected, got %s", tostring(t.gone))
	elseif t.lag ~= nil and (type(t.lag) ~= "number" or t.lag ~= t.lag or t.lag < 0) then
		return bad("lag: seconds expected, got %s", tostring(t.lag))
	end
	return check_forgotten(t.forgotten)
end

-- The instances of a list, checked and sorted by id.
---@param list table
---@return Instance[]|nil, string?, Code?
function inventory.instances(list)
	if type(list) ~= "table" then return bad("instances: a list expected, got a %s", type(list)) end
	local out = {}
	for i, t in ipairs(list) do
		local one, why = instance(i, t)
		if not one then return bad("%s", why) end
		out[i] = one
	end
	for key in pairs(list) do
		if math.type(key) ~= "integer" or key < 1 or key > #out then
			return bad("instances: a list expected, got the key %s", tostring(key))
		end
	end
	local fine, why = check_twins(out)
	if not fine then return bad("%s", why) end
	table.sort(out, function(a, b) return a.id < b.id end)
	return out
end

-- How many of them are not dead: what a list without a desired size means by itself.
---@param instances Instance[]
---@return integer
function inventory.count(instances)
	local n = 0
	for _, one in ipairs(instances) do
		if one.state ~= "dead" then n = n + 1 end
	end
	return n
end

---@param t table  as in types.lua; `self` may be left to the local interfaces
---@return Inventory|nil, string?, Code?
function inventory.make(t)
	local fine, why = check_keys("inventory", t, KEYS)
	if fine then fine, why = check_facts(t) end
	if not fine then return bad("%s", why) end
	local instances, id
	instances, why = inventory.instances(t.instances)
	if not instances then return bad("%s", why) end
	id, why = check_self(t.self, instances)
	if not id then return bad("%s", why) end
	return {
		self = id, instances = instances, desired = t.desired, complete = t.complete == true,
		gone = t.gone or "unknown", lag = t.lag or 0, source = t.source or "inventory",
		forgotten = t.forgotten, why = t.why,
	}
end

-- Without the keys that are null.
local function filled(t)
	for key, value in pairs(t) do
		if value == json.null then t[key] = nil end
	end
	return t
end

-- The JSON form; what the text does not say comes from the defaults.
---@param text string
---@param defaults table
---@return Inventory|nil, string?, Code?
function inventory.decode(text, defaults)
	local t, why = json.decode(text)
	if t == nil then return bad("%s", why) end
	if type(t) ~= "table" then return bad("a JSON object expected") end
	filled(t)
	if type(t.instances) ~= "table" then return bad("the list `instances` is missing") end
	for _, one in ipairs(t.instances) do
		if type(one) == "table" then filled(one) end
		if type(one) == "table" and type(one.addresses) == "table" then filled(one.addresses) end
	end
	for key, value in pairs(defaults) do
		if t[key] == nil then t[key] = value end
	end
	return inventory.make(t)
end

return setmetatable(inventory, {
	__call = function(_, t)
		if type(t) ~= "table" then error("inventory: a table expected", 2) end
		return inventory.make(t)
	end,
})
