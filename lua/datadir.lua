-- datadir.lua - what this machine's disk holds: the ids in etcd's write-ahead log (see wal.lua), the
-- claim beside it; and moving data aside, which is the worst that ever happens to data.
--
-- Layout (etcd 2.0 to 3.7): DIR/member/wal/*.wal, DIR/member/snap/{db,*.snap}.  The claim is ours:
-- DIR/member/claim.json, on the same disk as the log on purpose, so that both are lost together.
-- With ETCD_WAL_DIR the log is there, and the claim beside it: WAL_DIR.claim.json.
local clock = require "core.task".now
local etcd = require "core.etcd"
local fs = require "core.fs"
local json = require "core.json"
local wal = require "wal"

local datadir = {}

datadir.ASIDES_KEPT = 10

-- Where things are -> Place {path, wal, claim, database}.  path false: not ours to see.
function datadir.at(path, wal_dir)
	if path == false then return { path = false } end
	return {
		path = path,
		wal = wal_dir or path .. "/member/wal",
		claim = wal_dir and wal_dir .. ".claim.json" or path .. "/member/claim.json",
		snap = path .. "/member/snap",
		database = path .. "/member/snap/db",
		wal_dir = wal_dir,
	}
end

-- The place of a policy's data.  An etcd that a run becomes inherits the variables of the run.
function datadir.of(policy)
	local inherited = policy.exec and os.getenv "ETCD_WAL_DIR"
	return datadir.at(policy.etcd.data_dir, policy.etcd.extra.ETCD_WAL_DIR or inherited ~= "" and inherited or nil)
end

-- The claim -----------------------------------------------------------------------------------

local function well_formed(claim)
	if type(claim) ~= "table" then return false end
	local list = claim.kind == "founding" and claim.list
	if claim.kind ~= "join" and not (type(list) == "table" and type(claim.token) == "string") then
		return false
	end
	for _, who in ipairs(list or {}) do
		if type(who) ~= "table" or type(who.name) ~= "string" or type(who.peer_urls) ~= "table" then
			return false
		end
		for _, url in ipairs(who.peer_urls) do
			if type(url) ~= "string" then return false end
		end
		if #who.peer_urls == 0 then return false end
	end
	return not list or #list > 0
end

-- The text of a claim file -> Claim | nil, message
function datadir.parse_claim(text)
	local claim, why = json.decode(text)
	if why then return nil, why end
	if not well_formed(claim) then return nil, "it is not a claim" end
	for _, key in ipairs { "cluster_id", "member_id" } do
		local id = type(claim[key]) == "string" and etcd.decimal(claim[key])
		if not id then return nil, key .. " is not an id" end
		claim[key] = id
	end
	return claim
end

local function read_claim(place)
	local text, why, code = fs.read(place.claim, 1 << 20)
	if not text then
		if code == "missing" then return nil end
		return nil, why
	end
	local claim, reason = datadir.parse_claim(text)
	if not claim then return nil, place.claim .. ": " .. reason end
	return claim
end

-- etcd may run as another user than we do: what we make belongs to the data directory's owner.
local function owner(path)
	local stat = fs.stat(path)
	return stat and { uid = stat.uid, gid = stat.gid } or nil
end

-- Write a claim beside the log, durable before it returns -> true | nil, message, code
local function promise(place, claim)
	local text = json.encode {
		kind = claim.kind,
		cluster_id = etcd.hex(claim.cluster_id),
		member_id = etcd.hex(claim.member_id),
		token = claim.token,
		list = claim.list,
	}
	local ok, why, code = fs.mkdir(place.path, { mode = "0700" })
	if not ok then return nil, why, code end
	local whose = owner(place.path)
	ok, why, code = fs.mkdir(place.claim:match "^(.*)/", { mode = "0700", owner = whose })
	if not ok then return nil, why, code end
	return fs.write(place.claim, text .. "\n", { mode = "0600", owner = whose })
end

-- Whether a claim could be written: where it goes, or where the directories for it would be made.
---@return true|nil, string?, Code?
function datadir.rehearse(place)
	local path = place.claim
	local dir = path and path:match "^(.*)/"
	while dir and dir ~= "" and not fs.stat(dir, { follow = true }) do
		path, dir = dir, dir:match "^(.*)/"
	end
	if not path then return true end
	return fs.rehearse(path, "")
end

-- Promise this disk to the founding that the permit holds -> true | nil, message, code
function datadir.claim(permit, place)
	local allowed = permit:take "claim"
	return promise(place, {
		kind = "founding",
		cluster_id = allowed.cluster_id,
		member_id = allowed.member_id,
		token = allowed.token,
		list = allowed.members,
	})
end

-- Promise this disk to the slot that etcd has just answered with -> true | nil, message, code
function datadir.joined(place, cluster_id, member_id)
	return promise(place, { kind = "join", cluster_id = cluster_id, member_id = member_id })
end

-- Reading -------------------------------------------------------------------------------------

-- Names of the log's segments, oldest first -> string[] | nil, message
local function segments(place)
	if not place.path then return {} end
	local names, why, code = fs.list(place.wal)
	if not names and code ~= "missing" then return nil, why end
	local list = {}
	for _, name in ipairs(names or {}) do
		if name:find "%.wal$" then table.insert(list, name) end
	end
	return list
end

-- Whether there is a database -> boolean | nil, message
local function has_database(place)
	local stat, why, code = fs.stat(place.database)
	if not stat and code ~= "missing" then return nil, why end
	return stat ~= nil
end

-- The list that this log's cluster was founded with, and that names its member -> Founder[] | nil
-- The cluster's id is the hash of it, so neither entries that were cut short nor an older memory pass.
local function founding_list(log, last)
	local ids = {}
	for i, founder in ipairs(log.founders) do ids[i] = founder.id end
	if etcd.founded(ids) == log.cluster_id then return log.founders end
	local list, token = last and last.initial_cluster, last and last.env.ETCD_INITIAL_CLUSTER_TOKEN
	if not well_formed { kind = "founding", list = list, token = token } then return nil end
	local cluster_id, member_ids = etcd.identify(list, token)
	local founders, mine = {}, false
	for i, founder in ipairs(list) do
		founders[i] = { id = member_ids[i], name = founder.name, peer_urls = founder.peer_urls }
		mine = mine or member_ids[i] == log.member_id
	end
	return mine and cluster_id == log.cluster_id and founders or nil
end

-- Surely no etcd has the data open.
local function idle(place)
	local locked, _, code = fs.locked(place.database)
	return locked == false or code == "missing"
end

local function look_at_log(place, dir, names, last)
	local damage = idle(place) and wal.damage(place.wal, names, place.snap)
	if damage and idle(place) then return "damaged", damage end
	local log, why = wal.read(place.wal, names)
	if not log then return "damaged", why end
	local list = log.unused and founding_list(log, last) or nil
	dir.cluster_id, dir.member_id = log.cluster_id, log.member_id
	dir.unused, dir.founders = list ~= nil and not dir.locked, list or log.founders
	return "member", ""
end

-- -> state, why; what else there is goes into dir
local function look(place, dir, last)
	local stat, why, code = fs.stat(place.path, { follow = true })
	if not stat and code ~= "missing" then return "unknown", why end
	if stat and stat.type ~= "directory" then return "damaged", place.path .. " is not a directory" end
	if fs.stat(place.path .. "/proxy") then
		return "damaged", place.path .. "/proxy is there: this was a proxy of etcd 2"
	end
	local names, database
	names, why = segments(place)
	if not names then return "unknown", why end
	database, why = has_database(place)
	if database == nil then return "unknown", why end
	dir.locked = database and fs.locked(place.database) == true
	if names[1] then return look_at_log(place, dir, names, last) end
	dir.claim, why = read_claim(place)
	if why then return "damaged", why end
	if database and not dir.claim then return "damaged", place.database .. " is there without a write-ahead log" end
	return "empty", ""
end

-- How far the log goes -> {term, index, committed} | nil, message where there is none to be read
function datadir.extent(place)
	local names, why = segments(place)
	if not names or not names[1] then return nil, why or "there is no log" end
	return wal.extent(place.wal, names)
end

-- What the disk holds -> DataDir; what cannot be read is in it as unknown, with its reason.
-- last: the configuration written last, if known; it may tell what an etcd, killed before it had written
-- its first entries, was to found.
---@param place Place
---@param last table?
---@return DataDir
function datadir.read(place, last)
	local dir = { state = "hidden", why = "", unused = false, locked = false, read = clock() }
	if place.path then
		dir.path = place.path
		dir.state, dir.why = look(place, dir, last)
	end
	return dir
end

-- A claim that stands beside a log, even a damaged one, has come true and goes: kept, it would say
-- "never ran" of a disk whose log somebody removed by hand -> true | nil, message, code
function datadir.settle_claim(place)
	local names, why = segments(place)
	if not names then return nil, why, "io" end
	if not names[1] then return true end
	return fs.remove(place.claim)
end

-- Moving aside --------------------------------------------------------------------------------

-- How much was moved aside and is still there.
function datadir.asides(place)
	local kept = 0
	for _, name in ipairs(place.path and fs.list(place.path) or {}) do
		if name:find "^member%.aside%-" then kept = kept + 1 end
	end
	return kept
end

-- Rename DIR/member, inside DIR since that may be a mount point -> new path | nil, message, code.
-- A separate log goes last: as long as it is there, the next run sees what was to be moved.
-- Data is never deleted; when too much of it has gathered, a person has to look.
function datadir.aside(permit, place, now)
	permit:take "aside"
	local kept = datadir.asides(place)
	if kept >= datadir.ASIDES_KEPT then
		return nil, ("%s holds %d member.aside-* directories already: look at them and remove what is not needed")
			:format(place.path, kept), "conflict"
	end
	if fs.stat(place.database) and fs.locked(place.database) ~= false then
		return nil, place.path .. " is in use by a running etcd", "conflict"
	end
	local mark = ".aside-" .. os.date("!%Y%m%dT%H%M%SZ", math.floor(now))
	local ok, why, code = fs.rename(place.path .. "/member", place.path .. "/member" .. mark)
	if ok or code == "missing" and place.wal_dir then
		if not place.wal_dir then return place.path .. "/member" .. mark end
		ok, why, code = fs.rename(place.wal_dir, place.wal_dir .. mark)
		if ok then return place.wal_dir .. mark end
	end
	return nil, why, code
end

return datadir
