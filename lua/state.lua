-- state.lua - this machine's memory over runs, in state_dir:
--
--	lock          held while a run is at work
--	journal.json  since when machines are seen dead, removals asked for, data moved aside
--	memory.json   the last configuration, who I was, where the members were, the version of etcd
--	pause         a file that a person puts there: no change until it is gone
--
-- Memory is a help, never a proof: what is damaged is warned of and counts as forgotten.
local fs = require "core.fs"
local json = require "core.json"
local log = require "core.log"
local user = require "user"

local state = {}

local State = {}
State.__index = State

-- What the entries of the journal are, and which tables the things remembered hold.
local function is_id(value)
	return type(value) == "string" and #value <= 20 and value:find "^%d+$" ~= nil
end

local function is_removal(value)
	return type(value) == "table" and is_id(value.cluster_id) and is_id(value.member_id)
end

local function is_number(value) return type(value) == "number" end
local function is_table(value) return type(value) == "table" end
local function is_death(value) return is_table(value) and is_number(value.at) end

local LISTS = { asked_remove = is_removal, clusters = is_id, asides = is_table }
local MAPS = { dead_since = is_death, pending_since = is_number } -- by member id
local REMEMBERED = {
	me = { "peer_urls", "client_urls" }, members = { "addresses" }, etcd = {},
	config = { "pairs", "env", "initial_cluster", "endpoints" },
}

-- t as a table of such entries; nil when it is none.
local function entries(t, fits, key_fits)
	if t == nil then return {} end
	if type(t) ~= "table" then return nil end
	for key, value in pairs(t) do
		if not fits(value) or not key_fits(key) then return nil end
	end
	return t
end

-- The journal out of what was read; nil when that is none.
local function journal_of(t)
	local journal = {}
	for key, fits in pairs(LISTS) do
		journal[key] = entries(t[key], fits, is_number)
		if not journal[key] then return nil end
		json.list(journal[key])
	end
	for key, fits in pairs(MAPS) do
		journal[key] = entries(t[key], fits, is_id)
		if not journal[key] then return nil end
	end
	return journal
end

-- The same for the memory.
local function memory_of(t)
	for key, inner in pairs(REMEMBERED) do
		local value = t[key]
		if value ~= nil and type(value) ~= "table" then return nil end
		for _, name in ipairs(value and inner or {}) do
			if type(value[name]) ~= "table" then return nil end
		end
	end
	for _, one in ipairs(t.members and t.members.addresses or {}) do
		if not is_table(one) or type(one.peer_url) ~= "string" then return nil end
	end
	return t
end

local function set_aside(path)
	local to = ("%s.damaged-%d"):format(path, os.time())
	local fine, why = fs.rename(path, to)
	if not fine then
		log.warn(("%s is damaged and cannot be moved aside: %s"):format(path, why))
	else
		log.warn(("%s was damaged and is now %s; what it said is forgotten"):format(path, to))
	end
end

local function text_of(value)
	return json.encode(value) .. "\n"
end

-- A file's object, and the text that needs no writing; an empty one when there is none to be used.
local function load(self, name, shape)
	local path = self.dir .. "/" .. name
	local text, why, code = fs.read(path)
	if not text then
		if code ~= "missing" then log.warn(why) end
		return shape {}, text_of(shape {})
	end
	local t = json.decode(text)
	local value = type(t) == "table" and shape(t)
	if value then return value, text end
	if self.readonly then
		log.warn(path .. " is damaged; what it says is not used")
	else
		set_aside(path)
	end
	return shape {}, text_of(shape {})
end

-- Writes what changed since it was last read or written; what is only read is kept for this run.
local function store(self, name, value)
	if self.readonly then return true end
	local text = text_of(value)
	if self.texts[name] == text then return true end
	local fine, why, code = fs.write(self.dir .. "/" .. name, text, {
		mode = "0600", owner = self.owner,
	})
	if not fine then return nil, why, code end
	self.texts[name] = text
	return true
end

-- What a run remembers; the same table each time, to be changed and then saved.
---@return Journal
function State:journal()
	return self.record
end

-- Keep the journal and all that is to be remembered.
---@return true|nil, string?, Code?
function State:save()
	local fine, why, code = store(self, "journal.json", self.record)
	if not fine then return nil, why, code end
	return store(self, "memory.json", self.memory)
end

-- Have a value that JSON can hold kept by the next save; nil forgets it.
---@param key string
function State:remember(key, value)
	self.memory[key] = user.copy(value)
end

---@param key string
---@return any value  nil when nothing is remembered
function State:recall(key)
	local value = self.memory[key]
	if value ~= json.null then return user.copy(value) end
end

-- The configuration that an earlier run handed over.
---@return Config?
function State:last()
	return self:recall "config"
end

-- Whether a person asked for no change.  What cannot be looked at counts as asked.
---@return boolean
function State:paused()
	local there, _, code = fs.stat(self.dir .. "/pause")
	return there ~= nil or code ~= "missing"
end

-- Saves, and lets the next run in.  Closing twice does nothing.
function State:close()
	if not self.lock then return end
	local fine, why = self:save()
	if not fine then log.warn("this run's memory is not kept: " .. why) end
	self.lock:close()
	self.lock = nil
end

State.__close = State.close

-- Makes the directory and takes the lock.
local function claim_dir(dir, owner)
	local fine, why, code = fs.mkdir(dir, { mode = "0700", owner = owner })
	if not fine then return nil, why, code == "conflict" and "io" or code end -- a conflict is the lock's
	local stat = fs.stat(dir)
	if stat and stat.mode & 63 ~= 0 then
		log.warn(("%s may be read by others: chmod 700 %s"):format(dir, dir))
	end
	local lock
	lock, why, code = fs.lock(dir .. "/lock")
	if lock then return lock end
	if code == "conflict" then
		why = ("another run is at work here (it holds %s/lock); wait for it, or end it"):format(dir)
	end
	return nil, why, code
end

---@param dir string
---@param o {readonly: boolean?, owner: any}?  readonly: no lock, no write, a missing directory is an empty memory
---@return State|nil, string?, Code?
function state.open(dir, o)
	o = o or {}
	local self = setmetatable({ dir = dir, readonly = o.readonly, owner = o.owner, texts = {} }, State)
	if not o.readonly then
		local why, code
		self.lock, why, code = claim_dir(dir, o.owner)
		if not self.lock then return nil, why, code end
	end
	self.record, self.texts["journal.json"] = load(self, "journal.json", journal_of)
	self.memory, self.texts["memory.json"] = load(self, "memory.json", memory_of)
	return self
end

return state
