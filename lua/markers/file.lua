-- file.lua - a marker in a file on storage that all machines share, NFS or any other:
--
--	marker = file { path = "/shared/etcd-marker.json", mount = "/shared" }
--
-- Who wins is decided by one thing only, making a name that nobody else has (fs.create).  A version
-- is never written to: what replaces it is made as PATH.TAG, where TAG is the hash of the version
-- replaced, so two who replace the same one want the same name and one of them gets it.  There is
-- no lock that a dead machine could keep.  PATH itself gets a copy, for people; it may be an older
-- version, for a reader goes on from there to the newest.  Without PATH there is no marker: to
-- clear it is to remove PATH, and what stands beside it is left over.
local check = require "check"
local crypto = require "core.crypto"
local fs = require "core.fs"
local marker = require "marker"

local LIMIT = 1 << 20 -- bytes of a marker
local VERSIONS = 1000 -- each founding makes two

-- Mounts ----------------------------------------------------------------------------------------

local function plain(dir)
	return dir:find "^/+$" and "/" or (dir:gsub("/+$", ""))
end

-- The words at this position of each line, where they are paths.
local function paths_of(text, position)
	local found = {}
	for line in text:gmatch "[^\n]+" do
		local n = 0
		for word in line:gmatch "%S+" do
			if word:sub(1, 1) == "#" then break end
			n = n + 1
			if n == position and word:sub(1, 1) == "/" then
				local dir = word:gsub("\\([0-3][0-7][0-7])", function(octal) return string.char(tonumber(octal, 8)) end)
				found[plain(dir)] = true
			end
		end
	end
	return found
end

local function below(path, dir)
	return dir == "/" or path == dir or path:sub(1, #dir + 1) == dir .. "/"
end

-- A directory that should be mounted and is not: in it there is no marker, which says nothing.
-- Before any test of ours such a directory looks like an empty one.
local function not_mounted(o, mounts, fstab)
	local mounted = paths_of(mounts, 5)
	if o.mount and not mounted[o.mount] then return o.mount .. " is not mounted" end
	for dir in pairs(paths_of(fstab, 2)) do
		if below(o.path, dir) and not mounted[dir] then
			return ("%s is in /etc/fstab and is not mounted"):format(dir)
		end
	end
end

-- Whether the directory is there to be believed -> true | nil, message, code
local function present(o)
	local dir = o.path:match "^(.*)/[^/]*$"
	local stat, why, code = fs.stat(dir == "" and "/" or dir, { follow = true })
	if not stat then return nil, why, code end
	local mounts
	mounts, why, code = fs.read "/proc/self/mountinfo"
	if not mounts then return nil, why, code end
	why = not_mounted(o, mounts, fs.read "/etc/fstab" or "")
	if why then return nil, ("cannot read the marker %s: %s"):format(o.path, why), "missing" end
	return true
end

-- Versions --------------------------------------------------------------------------------------

local function tag_of(text)
	return crypto.hex(crypto.sha256(text)):sub(1, 32)
end

-- The text of the newest version, its tag -> text, tag | false when there is none | nil, message, code
local function newest(path)
	local stat, why, code = fs.stat(path)
	if not stat and code == "missing" then return false end
	if not stat then return nil, why, code end
	if stat.type ~= "file" then
		return nil, ("cannot read the marker %s: it is no regular file, but a %s"):format(path, stat.type), "io"
	end
	local text, tag
	local at = path
	for _ = 1, VERSIONS do
		local newer
		newer, why, code = fs.read(at, LIMIT)
		if not newer and code == "missing" and text then return text, tag end
		if not newer then return nil, why, code end
		text, tag = newer, tag_of(newer)
		at = path .. "." .. tag
	end
	return nil, ("cannot read the marker %s: it has more than %d versions"):format(path, VERSIONS), "io"
end

local function read(o)
	local text, tag, code = newest(o.path)
	if text == nil then return nil, tag, code end
	local there, why
	there, why, code = present(o)
	if not there then return nil, why, code end
	if not text then return false end
	local m
	m, why, code = marker.parse(text)
	if not m then return nil, ("cannot read the marker %s: %s"):format(o.path, why), code end
	return m, tag
end

local function write(o, m, tag)
	local text = marker.text(m)
	local known, now, code = read(o)
	if known == nil then return nil, now, code end
	if (known and now or nil) ~= tag then
		return nil, ("the marker %s is another by now"):format(o.path), "conflict"
	end
	-- What follows a version must be new, or readers would go in circles.
	local new = tag_of(text)
	if new == tag then return tag end
	if fs.stat(o.path .. "." .. new) then
		return nil, ("the marker %s was the same before"):format(o.path), "conflict"
	end
	local done, why
	done, why, code = fs.create(tag and o.path .. "." .. tag or o.path, text)
	if not done then return nil, why, code end
	-- The version counts from here on, so a copy that fails is no failure.
	if tag then fs.write(o.path, text) end
	return new
end

-- The maker -------------------------------------------------------------------------------------

local function absolute(value)
	if type(value) ~= "string" or not value:find "^/" or value:find "%z" then return "an absolute path" end
end

local function make(_, o)
	local wrong = check.options("file", o, { path = absolute, mount = absolute })
		or o.path == nil and "file: path is needed: where is the marker?"
	if wrong then error(wrong, 2) end
	o = { path = o.path, mount = o.mount and plain(o.mount) }
	return {
		read = function() return read(o) end,
		write = function(m, tag) return write(o, m, tag) end,
	}
end

return setmetatable({ not_mounted = not_mounted }, { __call = make })
