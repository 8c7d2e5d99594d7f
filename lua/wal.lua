-- wal.lua - etcd's write-ahead log, read and never written: whose it is, whether it was ever used,
-- whether it is damaged, and how far it goes.  The frames and messages are those of etcd 2.0 to 3.7.
local core = require "core.wal"
local etcd = require "core.etcd"
local fs = require "core.fs"
local json = require "core.json"

local wal = {}

-- Record types of etcd's wal package.
local METADATA, ENTRY, STATE, SNAPSHOT = 1, 2, 3, 5
-- Entry types of raftpb.
local CONF_CHANGE = 1

-- Varint at position i -> value, next position; nothing when it is cut short.
local function varint(s, i)
	local value, shift = 0, 0
	while shift < 70 do
		local byte = s:byte(i)
		if not byte then return end
		value = value | (byte & 0x7f) << shift
		i, shift = i + 1, shift + 7
		if byte < 0x80 then return value, i end
	end
end

-- The fields of a protobuf message, number -> last value; nil when it is none.
local function message(s)
	local fields, i = {}, 1
	while i <= #s do
		local key, size
		key, i = varint(s, i)
		if not key then return end
		local wire = key & 7
		if wire == 0 then
			fields[key >> 3], i = varint(s, i)
			if not i then return end
		elseif wire == 2 then
			size, i = varint(s, i)
			if not size or size < 0 or size > #s - i + 1 then return end
			fields[key >> 3] = s:sub(i, i + size - 1)
			i = i + size
		else
			return
		end
	end
	return fields
end

-- Records in the first bytes of one segment: an iterator of {type, data}.  It ends at the zeros that
-- etcd puts there beforehand, at the end of these bytes, or at a record that was being written.
local function records(file, left)
	return function()
		local head = file:read(8)
		if not head or #head < 8 then return end
		local field = string.unpack("<i8", head)
		local length = field & 0xffffffffffffff
		local padding = field < 0 and (field >> 56) & 7 or 0
		left = left - 8 - length - padding
		if length == 0 or left < 0 then return end
		local body = file:read(length + padding)
		if not body or #body < length + padding then return end
		local fields = message(body:sub(1, length))
		-- Whole, yet no record: whatever it was, etcd's bootstrap did not write it.
		if not fields then return ENTRY, "" end
		return fields[1] or 0, type(fields[3]) == "string" and fields[3] or ""
	end
end

-- A number that a message holds in this place, 0 where it has none, nil for what is no number.
local function integer(value)
	if value == nil then return 0 end
	return math.type(value) and value or nil
end

local function unsigned(value)
	return etcd.decimal(("%x"):format(value))
end

-- A bootstrap entry adds one founder of the list -> Founder | nil
local function founder(entry)
	if entry[1] ~= CONF_CHANGE or entry[2] ~= 1 or type(entry[4]) ~= "string" then return end
	local change = message(entry[4])
	if not change or (change[2] or 0) ~= 0 or type(change[4]) ~= "string" then return end
	local who = json.decode(change[4])
	local id = integer(change[3])
	if not id or type(who) ~= "table" or type(who.name) ~= "string" or type(who.peerURLs) ~= "table" then return end
	local urls = {}
	for i, url in ipairs(who.peerURLs) do
		if type(url) ~= "string" then return end
		urls[i] = url
	end
	if not urls[1] then return end
	return { id = unsigned(id), name = who.name, peer_urls = urls }
end

-- Read one segment: {cluster_id, member_id, unused, founders} | nil, message.
-- `unused`: nothing stands in it but entries that etcd makes of its founding list, or not even these.
function wal.segment(file, size)
	local log = { unused = true, founders = {} }
	for kind, data in records(file, size) do
		local fields = message(data)
		if kind == METADATA and fields then
			if math.type(fields[1]) ~= "integer" or math.type(fields[2]) ~= "integer" then
				return nil, "its metadata names no member or no cluster"
			end
			log.member_id, log.cluster_id = unsigned(fields[1]), unsigned(fields[2])
		elseif kind == ENTRY then
			local who = fields and founder(fields)
			if not who then
				log.unused = false
				break
			end
			table.insert(log.founders, who)
		elseif kind == SNAPSHOT and not (fields and (fields[1] or 0) == 0) then
			log.unused = false
			break
		end
	end
	if not (log.member_id and log.cluster_id) then return nil, "it holds no metadata" end
	return log
end

-- (file, size) of a segment through f -> what f says | nil, message
local function with_segment(path, f, size)
	local stat, why = fs.stat(path)
	if not stat then return nil, why end
	local file <close>, problem = io.open(path, "rb")
	if not file then return nil, problem end
	local result, reason = f(file, size or stat.size)
	if not result then return nil, path .. ": " .. reason end
	return result
end

-- What a log says of its member: {cluster_id, member_id, unused, founders} | nil, message
-- The ids stand in every segment; whether the log was used, the first one tells.
function wal.read(dir, names)
	local newest, why = with_segment(dir .. "/" .. names[#names], wal.segment)
	if not newest then return nil, why end
	if #names > 1 then newest.unused, newest.founders = false, {} end
	table.sort(newest.founders, function(a, b) return a.name < b.name end)
	return newest
end

-- What is damaged ---------------------------------------------------------------------------------

local SEGMENT = ("^%s%%-(%s)%%.wal$"):format(("%x"):rep(16), ("%x"):rep(16))
local SNAPSHOT_FILE = ("^%s%%-(%s)%%.snap$"):format(("%x"):rep(16), ("%x"):rep(16))

-- The index in a name of etcd's, as the bits of an unsigned number -> integer?
local function index_in(name, pattern)
	local digits = name:match(pattern)
	return digits and tonumber(digits, 16)
end

-- The first of the segments that every etcd reads as it starts: where its newest snapshot stands, or an
-- older one that it falls back on -> place in names | nil where that is not certain
local function first_read(names, snap_dir)
	for _, name in ipairs(names) do
		if not index_in(name, SEGMENT) then return nil end
	end
	local snapshots, _, code = fs.list(snap_dir)
	if not snapshots and code ~= "missing" then return #names end
	local newest = 0
	for _, name in ipairs(snapshots or {}) do
		local index = index_in(name, SNAPSHOT_FILE)
		if index and math.ult(newest, index) then newest = index end
	end
	for i = #names, 2, -1 do
		if not math.ult(newest, index_in(names[i], SEGMENT)) then return i end
	end
	return 1
end

local judged = {} -- a log that has not changed since is not read again

-- The paths of these segments, and what changes with their content.
local function fingerprint(dir, names, first)
	local paths, marks = {}, {}
	for i = first, #names do
		local path = dir .. "/" .. names[i]
		local stat = fs.stat(path, { follow = true }) or {}
		table.insert(paths, path)
		table.insert(marks, ("%s %s %s %s"):format(path, stat.inode, stat.size, stat.mtime))
	end
	return paths, table.concat(marks, "\n")
end

-- Why no etcd starts on a log that none has open -> message | nil where one does, or where that is not certain
function wal.damage(dir, names, snap_dir)
	local first = first_read(names, snap_dir)
	if not first then return nil end
	local paths, mark = fingerprint(dir, names, first)
	if judged.mark ~= mark then judged = { mark = mark, sound = core.sound(paths) } end
	local sound = judged.sound
	if not sound or not sound.why then return nil end
	return ("%s: the record at byte %d %s, and no etcd starts on it"):format(paths[sound.segment], sound.offset, sound.why)
end

-- How far it goes ---------------------------------------------------------------------------------

-- The last entry of a segment, and the last commit that it knows of: {term, index, committed}, each nil
-- where the segment does not say.
local function segment_extent(file, size)
	local found = {}
	for kind, data in records(file, size) do
		local fields = (kind == ENTRY or kind == STATE) and message(data)
		if fields and kind == ENTRY then
			found.term, found.index = integer(fields[2]), integer(fields[3])
		elseif fields then
			found.committed = integer(fields[3])
		end
	end
	return found
end

-- How far a log goes, whether etcd runs on it or not -> {term, index, committed} | nil, message
-- What stands behind the sound part of the newest segment, etcd throws away as it starts.
function wal.extent(dir, names)
	local found = {}
	for i = #names, 1, -1 do
		local path = dir .. "/" .. names[i]
		local sound = i == #names and core.sound { path }
		local here, why = with_segment(path, segment_extent, sound and sound.offset)
		if not here then return nil, why end
		found.term, found.index = here.term, here.index
		found.committed = found.committed or here.committed
		if found.index then return found end
	end
	return nil, "it holds no entry"
end

return wal
