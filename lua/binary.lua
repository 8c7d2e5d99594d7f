-- binary.lua - which version of etcd this machine will start.  Asking costs more than a whole
-- restart, so the answer is remembered by the binary's path, size, inode and time.
local fs = require "core.fs"
local log = require "core.log"
local proc = require "core.proc"
local task = require "core.task"

local binary = {}

local PATIENCE = 5 -- seconds

-- Where a program is -> path | nil; a name with a slash is taken as it is.
function binary.path(name)
	if name:find("/", 1, true) then return fs.stat(name, { follow = true }) and name end
	for dir in (os.getenv "PATH" or "/usr/local/bin:/usr/bin:/bin"):gmatch "[^:]+" do
		local stat = fs.stat(dir .. "/" .. name)
		if stat and stat.type ~= "directory" then return dir .. "/" .. name end
	end
end

local function print_of(path)
	local stat = fs.stat(path)
	return stat and ("%s %d %d %.6f"):format(path, stat.size, stat.inode, stat.mtime)
end

local function ask(path)
	local result = proc.run { path, "--version", timeout = PATIENCE, limit = 65536 }
	return result and result.status == 0 and result.stdout:match "etcd Version:%s*(%d+%.%d+%.%d+%S*)"
end

local function find(run)
	local exec = run.policy.exec
	for _, name in ipairs { type(exec) == "table" and exec[1] or "etcd", "etcd" } do
		local path = binary.path(name)
		local print = path and print_of(path)
		local known = run.state:recall "etcd"
		if print and known and known.print == print then return known.version end
		local version = print and ask(path)
		if version then
			if run.acts then run.state:remember("etcd", { print = print, version = version }) end
			return version
		end
	end
end

-- Find out, in the background -> Task whose result is the version, or nothing when it is not known.
function binary.ask(run)
	return task.spawn(function()
		if run.policy.etcd.version then return run.policy.etcd.version end
		if run.version == nil then run.version = find(run) or false end
		if not run.version and not run.warned_version then
			run.warned_version = true
			log.warn "which version of etcd is installed here is not known; set etcd.version to have it checked"
		end
		return run.version or nil
	end)
end

return binary
