-- records.lua - which DNS records tell of a cluster, whose those are that exist, and what must change.
-- Pure; whoever keeps the zone reads and writes.
--
-- A record set is { name, type, ttl, values }, its name as records.name gives it; `special` says what
-- kind it is where it is more than that (an alias, one of several weighted ones).  What is ours is
-- written in a TXT set beside it, _etcd-bootstrap.NAME: the cluster, and each set that it keeps.  So
-- the records of others stay, and ours are known even when the member that they told of is not.
local etcd = require "core.etcd"
local net = require "core.net"

local records = {}

local OWNER = "_etcd-bootstrap."

-- Names and values ------------------------------------------------------------------------------

-- A name as it is compared: lower case, no dot at the end, no \052 for *.
---@param text string
---@return string
function records.name(text)
	local plain = text:gsub("\\([0-7][0-7][0-7])", function(octal) return string.char(tonumber(octal, 8)) end)
	return (plain:lower():gsub("%.$", ""))
end

-- Whether a text can be a host's name, or one below it such as _etcd-client._tcp.
---@return boolean
function records.valid(name)
	if #name > 253 then return false end
	for label in (name .. "."):gmatch "(.-)%." do
		if #label == 0 or #label > 63 or label:find "[^%w_-]" or label:find "^%-" or label:find "%-$" then return false end
	end
	return true
end

local function key(set)
	return set.type .. " " .. set.name
end

-- Values compare as what they mean.
local function plain(kind, value)
	if kind == "A" or kind == "AAAA" then return net.address(value) or value end
	if kind == "TXT" then return value end
	return (value:lower():gsub("%.$", ""))
end

local function same(a, b)
	if a.ttl ~= b.ttl or #a.values ~= #b.values then return false end
	local has = {}
	for _, value in ipairs(a.values) do has[plain(a.type, value)] = true end
	for _, value in ipairs(b.values) do
		if not has[plain(b.type, value)] then return false end
	end
	return true
end

-- What is wanted --------------------------------------------------------------------------------

local Sets = {}
Sets.__index = Sets

local function new_sets(ttl)
	return setmetatable({ ttl = ttl, by = {} }, Sets)
end

function Sets:add(kind, name, value)
	local set = { name = name, type = kind, ttl = self.ttl, values = {} }
	set = self.by[key(set)] or set
	self.by[key(set)] = set
	for _, known in ipairs(set.values) do
		if known == value then return end
	end
	table.insert(set.values, value)
end

function Sets:list()
	local list = {}
	for _, set in pairs(self.by) do
		table.sort(set.values)
		table.insert(list, set)
	end
	table.sort(list, function(a, b) return key(a) < key(b) end)
	return list
end

local function add_address(sets, name, address)
	local canonical, family = net.address(address)
	sets:add(family == 6 and "AAAA" or "A", name, canonical)
end

-- The label of a member's own record.
local function label_of(o, member)
	if type(o.members) == "function" then return o.members(member) end
	return (member.name:lower():gsub("[^%w]+", "-"):sub(1, 63):gsub("^%-+", ""):gsub("%-+$", ""))
end

-- "a" -> its own name below that of the cluster, for every member -> { [id] = name } | nil, message, code
local function own_names(o, members)
	local names, taken = {}, {}
	for _, member in ipairs(members) do
		local label = label_of(o, member)
		if type(label) ~= "string" or not records.valid(label) or label:find("_", 1, true) then
			return nil, ("member %s: %s is no label of a host's name"):format(member.name, tostring(label)), "usage"
		elseif taken[label:lower()] then
			return nil, ("members %s and %s would have one record, %s"):format(taken[label:lower()], member.name, label),
				"conflict"
		end
		taken[label:lower()] = member.name
		names[member.id] = label:lower() .. "." .. o.name
	end
	return names
end

-- The name at which SRV records send people to a member: an address will not do.
local function target_of(member, own)
	if own[member.id] then return own[member.id] end
	local url = member.client_urls[1] and net.url(member.client_urls[1])
	if url and not net.address(url.host) then return url.host end
	return member.addresses.hostname
end

local function add_services(sets, o, want, own)
	local services = { server = { want.peer_scheme, want.peer_port }, client = { want.client_scheme, want.client_port } }
	for service, how in pairs(services) do
		local name = ("_etcd-%s%s._tcp.%s"):format(service, how[1] == "https" and "-ssl" or "", o.name)
		for _, member in ipairs(want.members) do
			local target = target_of(member, own)
			if not target then
				return nil, ("member %s has no host name, which SRV records need: set members = true"):format(member.name),
					"missing"
			end
			sets:add("SRV", name, ("0 0 %d %s."):format(how[2], records.name(target)))
		end
	end
	return true
end

-- The record sets that tell of these members.
---@param o {name: string, ttl: integer, srv: boolean?, members: boolean|function|nil}
---@param want Want
---@return table[]|nil, string?, Code?
function records.wanted(o, want)
	local sets = new_sets(o.ttl)
	local own, problem, what = own_names(o, o.members and want.members or {})
	if not own then return nil, problem, what end
	for _, member in ipairs(want.members) do
		if not member.address then return nil, ("the address of member %s is not known"):format(member.name), "missing" end
		add_address(sets, o.name, member.address)
		if o.members then add_address(sets, own[member.id], member.address) end
	end
	if o.srv then
		local fine, why, code = add_services(sets, o, want, own)
		if not fine then return nil, why, code end
	end
	return sets:list()
end

-- Whose they are --------------------------------------------------------------------------------

-- Where it stands what is ours.
function records.owner_name(o)
	return OWNER .. o.name
end

local function owner_set(o, want, wanted)
	local token = want.name:gsub("[^%w._-]+", "-"):sub(1, 100)
	local values = { ('"etcd-bootstrap cluster=%s token=%s"'):format(etcd.hex(want.cluster_id), token) }
	for i, set in ipairs(wanted) do values[i + 1] = ('"%s"'):format(key(set)) end
	return { name = records.owner_name(o), type = "TXT", ttl = o.ttl, values = values }
end

-- What a TXT set says of ownership -> {cluster, token, keeps = {key = true}} | nil: it is no such set
local function owner_of(set)
	local owner = { keeps = {} }
	for _, value in ipairs(set.values) do
		local cluster, token = value:match '^"etcd%-bootstrap cluster=(%x+) token=(%S*)"$'
		local kept = value:match '^"(%u+ %S+)"$'
		if cluster then owner.cluster, owner.token = cluster, token end
		if kept then owner.keeps[kept] = true end
	end
	return owner.cluster and owner or nil
end

-- The names of what is there by its owner's word, some of which may not be wanted any more.
---@return string[]
function records.kept_names(o, seen)
	local names = {}
	for _, set in ipairs(seen) do
		if set.type == "TXT" and set.name == records.owner_name(o) then
			local owner = owner_of(set)
			for kept in pairs(owner and owner.keeps or {}) do table.insert(names, kept:match " (%S+)$") end
		end
	end
	return names
end

local function conflict(fmt, ...)
	return nil, fmt:format(...), "conflict"
end

-- Who keeps the records of this name -> owner | {keeps = {}}: nobody | nil, message, code
local function find_owner(o, want, at)
	local set = at["TXT " .. records.owner_name(o)]
	if not set then return { keeps = {} } end
	local owner = owner_of(set)
	if not owner or set.special then
		return conflict("the TXT record %s is not what etcd-bootstrap writes: remove it, or register another name", set.name)
	elseif owner.cluster ~= etcd.hex(want.cluster_id) and not o.adopt then
		return conflict("the records belong to cluster %s (token %s), as the TXT record %s says, and this is cluster %s: "
			.. "register another name or, if that cluster is no more, set adopt = true",
			owner.cluster, owner.token, set.name, etcd.hex(want.cluster_id))
	end
	return owner
end

-- What may not be replaced at the place of a wanted set -> true | nil, message, code
local function may_have(o, owner, at, set)
	local there = at[key(set)]
	local alias = at["CNAME " .. set.name]
	if alias then
		return conflict("%s is a CNAME for %s: remove it, or register another name", set.name,
			table.concat(alias.values, ", "))
	elseif at["NS " .. set.name] and not at["SOA " .. set.name] then
		return conflict("%s is a zone of its own: give that zone's id, or register another name", set.name)
	elseif there and there.special then
		return conflict("the %s record of %s is %s, which etcd-bootstrap does not touch: remove it, or register another name",
			set.type, set.name, there.special)
	elseif there and not owner.keeps[key(set)] and not o.adopt then
		return conflict("there is a %s record of %s that etcd-bootstrap did not write (%s): remove it, register another "
			.. "name, or set adopt = true to take it over", set.type, set.name, table.concat(there.values, ", "))
	end
	return true
end

-- What must change ------------------------------------------------------------------------------

-- A set's values as people read them: bare for the name itself.
local function tell(o, sets)
	local lines = {}
	for _, set in ipairs(sets) do
		for _, value in ipairs(set.values) do
			local bare = set.name == o.name and set.type ~= "SRV"
			table.insert(lines, bare and value or ("%s %s %s"):format(set.type, set.name, value))
		end
	end
	table.sort(lines)
	return lines
end

-- Sets that are ours and wanted no more.
local function left_over(owner, at, wanted)
	local stale, is_wanted = {}, {}
	for _, set in ipairs(wanted) do is_wanted[key(set)] = true end
	for kept in pairs(owner.keeps) do
		local set = at[kept]
		if set and not set.special and not is_wanted[kept] and set.type ~= "TXT" then table.insert(stale, set) end
	end
	table.sort(stale, function(a, b) return key(a) < key(b) end)
	return stale
end

-- What makes what is seen what is wanted: all of it at once, or nothing.
---@param wanted table[]  of records.wanted
---@param seen table[]    every set of the names concerned
---@return {changes: {action: "UPSERT"|"DELETE", set: table}[], values: string[], wanted: string[]}|nil, string?, Code?
function records.compare(o, want, wanted, seen)
	local at, now, changes = {}, {}, {}
	for _, set in ipairs(seen) do at[key(set)] = set end
	local owner, why, code = find_owner(o, want, at)
	if not owner then return nil, why, code end
	local stale = left_over(owner, at, wanted)
	for _, set in ipairs(stale) do
		table.insert(changes, { action = "DELETE", set = set })
		table.insert(now, set)
	end
	for _, set in ipairs(wanted) do
		local there = at[key(set)]
		local fine, problem, what = may_have(o, owner, at, set)
		if not fine then return nil, problem, what end
		if there then table.insert(now, there) end
		if not there or not same(there, set) then table.insert(changes, { action = "UPSERT", set = set }) end
	end
	local mark = owner_set(o, want, wanted)
	local known = at[key(mark)]
	if not known or not same(known, mark) then table.insert(changes, { action = "UPSERT", set = mark }) end
	return { changes = changes, values = tell(o, now), wanted = tell(o, wanted) }
end

return records
