-- marker.lua - the founding marker: which cluster was founded here, kept where the loss of every
-- machine leaves it.  Where that is, a store of markers.* knows; what it says, and how it is
-- reserved and confirmed, stands here.
local etcd = require "core.etcd"
local json = require "core.json"
local tasks = require "task"
local user = require "user"

local marker = {}

local PATIENCE = 10 -- seconds that a store gets for one answer: a bucket may be silent
local OVER = 1 -- seconds after which one that heeds no deadline is left alone

local TRIES = 3 -- of a confirmation, others being at it as well

-- The text --------------------------------------------------------------------------------------

local function text_or_nil(value)
	return type(value) == "string" and value ~= ""
end

local function is_founder(who)
	if type(who) ~= "table" or not text_or_nil(who.name) or type(who.peer_urls) ~= "table" then return false end
	for key in pairs(who) do
		if key ~= "name" and key ~= "peer_urls" then return false end
	end
	for _, url in ipairs(who.peer_urls) do
		if not text_or_nil(url) then return false end
	end
	return #who.peer_urls > 0
end

local function is_list(list)
	if type(list) ~= "table" then return false end
	for _, who in ipairs(list) do
		if not is_founder(who) then return false end
	end
	return #list > 0
end

local function is_id(id)
	return type(id) == "string" and id:find "^%d+$" ~= nil
end

local FIELDS = {
	cluster_id = is_id, token = text_or_nil, list = is_list, founder = text_or_nil,
	time = function(value) return math.type(value) == "integer" and value >= 0 end,
	confirmed = function(value) return type(value) == "boolean" end,
}

-- What keeps a value from being a Marker, nil when nothing does.
local function not_a_marker(value)
	if type(value) ~= "table" then return "it is not a marker" end
	for key in pairs(value) do
		if not FIELDS[key] then return ("it has a key %s that no marker has"):format(tostring(key)) end
	end
	for key, holds in pairs(FIELDS) do
		if not holds(value[key]) then return key .. " is missing or wrong" end
	end
end

-- How stores keep it: one JSON object, ids as etcd's hex.
---@param m Marker
---@return string
function marker.text(m)
	return json.encode {
		cluster_id = etcd.hex(m.cluster_id), token = m.token, list = m.list, founder = m.founder, time = m.time,
		confirmed = m.confirmed,
	} .. "\n"
end

---@param text string
---@return Marker|nil, string?, Code?
function marker.parse(text)
	local m, why = json.decode(text)
	if why then return nil, why, "parse" end
	if type(m) == "table" then
		m.cluster_id = type(m.cluster_id) == "string" and etcd.decimal(m.cluster_id) or nil
	end
	why = not_a_marker(m)
	if why then return nil, why, "parse" end
	return m
end

-- Reading and writing ---------------------------------------------------------------------------

local function until_when(seconds)
	return { deadline = tasks.now() + seconds }
end

local function read(store, seconds)
	local m, tag, code = tasks.within(seconds + OVER, user.call, "marker", store.read, until_when(seconds))
	if m == false then return false end
	if m == nil then return nil, tag or "the marker's read returned nothing; false says that there is none", code end
	local why = not_a_marker(m) or type(tag) ~= "string" and "it came without a tag"
	if why then return nil, "the marker's read returned no marker: " .. why, "parse" end
	return m, tag
end

local function write(store, m, tag)
	return tasks.within(PATIENCE + OVER, user.call, "marker", store.write, m, tag, until_when(PATIENCE))
end

-- (waits) What the facts say of the marker -> {marker, marker_tag, marker_unknown}
---@param store MarkerStore
---@param left number?  seconds that the look has for it
function marker.look(store, left)
	local m, tag = read(store, math.min(PATIENCE, left or PATIENCE))
	if m == nil then return { marker_unknown = tag } end
	return { marker = m or nil, marker_tag = m and tag or nil }
end

-- (waits) Reserve it for the founding that the permit holds, in the place of the version that the
-- facts rested on and of no other -> its cluster id | nil, message, code
---@param permit Permit
---@param f Facts
function marker.reserve(permit, store, f)
	local allowed = permit:take "reserve"
	local tag, why, code = write(store, {
		cluster_id = allowed.cluster_id, token = allowed.token, list = allowed.members, founder = f.me.name,
		time = f.now, confirmed = false,
	}, f.marker_tag)
	if not tag then return nil, why, code end
	return allowed.cluster_id
end

-- (waits) Say that this cluster had quorum -> true | nil, message
function marker.confirm(store, cluster_id)
	local why, code
	for _ = 1, TRIES do
		local m, tag = read(store, PATIENCE)
		if m == nil then return nil, tag end
		if not m then return nil, "there is none" end
		if m.cluster_id ~= cluster_id then
			return nil, ("it is of cluster %s, and %s has quorum: one of them is a rogue, or the marker is left over")
				:format(etcd.hex(m.cluster_id), etcd.hex(cluster_id))
		end
		if m.confirmed then return true end
		m.confirmed = true
		tag, why, code = write(store, m, tag)
		if tag then return true end
		if code ~= "conflict" then break end
	end
	return nil, why
end

return marker
