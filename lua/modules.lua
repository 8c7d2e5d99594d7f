-- modules.lua - finding Lua files.  What decides (boot, gate, facts ...) comes from the binary alone.
-- providers.*, policies.*, registrars.*, markers.*, templates.* and names of the user's own are looked for in
--
--	--path DIR, ETCD_BOOTSTRAP_PATH, /etc/etcd-bootstrap, the policy's directory, the binary
--
-- in this order.  A file found there sees the same names as a policy file.
local fs = require "core.fs"
local log = require "core.log"
local nearest = require "nearest"

local modules = {
	kinds = { "providers", "policies", "registrars", "markers", "templates" },
	shipped = { -- in the binary; a spec compares it with lua/
		"markers.file", "markers.s3", "policies.cautious", "policies.standby", "policies.steady", "providers.aws",
		"providers.command", "providers.static", "registrars.route53", "registrars.target_group",
		"templates.env", "templates.json",
	},
	dirs = {}, -- searched in order
	env = nil, -- what files of the user's see; set by policy.lua
}

local loaded = {} -- modules from files of the user's, by name
local LOADING = {}

-- Start over with other directories.
---@param o {path: string[]?, policy: string?}  --path options; the policy file
function modules.setup(o)
	local dirs = table.move(o.path or {}, 1, #(o.path or {}), 1, {})
	for dir in (os.getenv "ETCD_BOOTSTRAP_PATH" or ""):gmatch "[^:]+" do
		dirs[#dirs + 1] = dir
	end
	dirs[#dirs + 1] = "/etc/etcd-bootstrap"
	if o.policy then dirs[#dirs + 1] = o.policy:match "^(.*)/[^/]*$" or "." end
	modules.dirs, loaded = dirs, {}
end

local function replaceable(name)
	local kind = name:match "^(%l+)%."
	for _, known in ipairs(modules.kinds) do
		if kind == known then return true end
	end
	return false
end

-- Whether the binary brings this module.
local function built_in(name)
	if package.loaded[name] ~= nil then return true end
	for _, search in ipairs(package.searchers) do
		if type((search(name))) == "function" then return true end
	end
	return false
end

-- A file's name below the directories searched; other bytes in a module's name find nothing.
local function file_name(name)
	return name:find "^[%w_-][%w_.-]*$" and name:gsub("%.", "/") .. ".lua"
end

-- Where a file of this name lies first on the way, nil when nowhere.
---@param file string
---@return string?
function modules.file(file)
	for _, dir in ipairs(modules.dirs) do
		local path = dir .. "/" .. file
		if fs.stat(path) then return path end
	end
end

-- The file that wins for a module; nil: the binary's own, or none.
---@param name string
---@return string?
function modules.find(name)
	if not file_name(name) or not replaceable(name) and built_in(name) then return nil end
	return modules.file(file_name(name))
end

---@return boolean
function modules.exists(name)
	return modules.find(name) ~= nil or built_in(name)
end

-- Root runs what the file says, so nobody else may have written it.
local function trusted(path, stat)
	local self = fs.stat "/proc/self"
	if not self or self.uid ~= 0 or stat.type == "link" then return true end
	if stat.mode & 2 ~= 0 then
		return nil, ("%s may be written by everybody, and root would run it: chmod o-w %s")
			:format(path, path), "denied"
	elseif stat.mode & 16 ~= 0 then
		log.warn(("%s may be written by a group, and root runs it"):format(path))
	end
	return true
end

-- The text of a file that is about to be run, without what Lua's own loader leaves out: a mark of the
-- byte order, and the line that names an interpreter.
---@param path string
---@return string|nil, string?, Code?
function modules.source(path)
	local stat, why, code = fs.stat(path, { follow = true })
	if not stat then return nil, why, code end
	if stat.type == "directory" then
		return nil, path .. " is a directory; name a Lua file", "io"
	end
	local fine
	fine, why, code = trusted(path, stat)
	if not fine then return nil, why, code end
	local text
	text, why, code = fs.read(path)
	if not text then return nil, why, code end
	return (text:gsub("^\xEF\xBB\xBF", ""):gsub("^#[^\n]*", ""))
end

local function run(name, path)
	local text, why = modules.source(path)
	if not text then error(why, 0) end
	local chunk, broken = load(text, "@" .. path, "t", modules.env or _G)
	if not chunk then error(broken, 0) end
	local value = chunk(name, path)
	return value == nil and true or value
end

local function unknown(name)
	local known = {}
	for _, row in ipairs(modules.list()) do
		known[#known + 1] = row.name
	end
	return ("no module %q in %s or in the binary%s")
		:format(name, table.concat(modules.dirs, ", "), nearest.hint(name, known))
end

-- require for the user's files.
function modules.require(name)
	if loaded[name] == LOADING then
		error(("module %q requires itself, perhaps by way of others"):format(name), 2)
	elseif loaded[name] ~= nil then
		return loaded[name]
	end
	local path = modules.find(name)
	if not path then
		if not built_in(name) then error(unknown(name), 2) end
		return require(name)
	end
	loaded[name] = LOADING
	local fine, value = pcall(run, name, path)
	loaded[name] = fine and value or nil
	if not fine then error(value, 0) end
	return value
end

-- Lua files of those kinds in one directory.
local function files_in(dir, found)
	for _, kind in ipairs(modules.kinds) do
		for _, file in ipairs(fs.list(dir .. "/" .. kind) or {}) do
			local stem = file:match "^([%w_-]+)%.lua$"
			local name = stem and kind .. "." .. stem
			if name and not found[name] then found[name] = dir .. "/" .. kind .. "/" .. file end
		end
	end
end

-- Every module that may be replaced, and which file wins.
---@return {name: string, file: string}[] sorted by name
function modules.list()
	local found, rows = {}, {}
	for _, dir in ipairs(modules.dirs) do
		files_in(dir, found)
	end
	for _, name in ipairs(modules.shipped) do
		found[name] = found[name] or "(binary)"
	end
	for name, file in pairs(found) do
		rows[#rows + 1] = { name = name, file = file }
	end
	table.sort(rows, function(a, b) return a.name < b.name end)
	return rows
end

return modules
