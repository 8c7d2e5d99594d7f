-- environment.lua - what a policy file and the user's modules see: a safe part of the standard
-- library, our own under short names, and every provider, policy, registrar and marker by its plain
-- name, loaded when it is first used.
local modules = require "modules"
local nearest = require "nearest"

local environment = {}

local LIBRARIES = {
	task = "task", log = "core.log", http = "core.http", json = "core.json", net = "core.net",
	xml = "core.xml", fs = "core.fs", inventory = "inventory", template = "template", flags = "flags",
	inherited = "inherited",
}

local STANDARD = {
	"assert", "error", "getmetatable", "ipairs", "math", "next", "pairs", "pcall", "rawequal",
	"rawget", "rawlen", "rawset", "select", "setmetatable", "string", "table", "tonumber",
	"tostring", "type", "utf8", "xpcall",
}

local INSTEAD = {
	print = "stdout is for results; use log.info", io = "use fs.read and fs.write",
	coroutine = "use task",
}

-- Everything that a free name may mean, for suggestions.
local function known_names(seen)
	local names = {}
	for name in pairs(seen) do names[#names + 1] = name end
	for name in pairs(LIBRARIES) do names[#names + 1] = name end
	for _, row in ipairs(modules.list()) do
		local kind, name = row.name:match "^(%l+)%.(.+)$"
		if kind ~= "templates" then names[#names + 1] = name end
	end
	return names
end

local function resolve(seen, name)
	local library = LIBRARIES[name] and require(LIBRARIES[name])
	if library then return library end
	for _, kind in ipairs { "providers", "policies", "registrars", "markers" } do
		local full = kind .. "." .. name
		if modules.exists(full) then return modules.require(full) end
	end
	local hint = INSTEAD[name] and "; " .. INSTEAD[name] or nearest.hint(name, known_names(seen))
	error(("unknown name %q%s"):format(name, hint), 3)
end

local function refuse(_, name)
	error(("global %q is assigned; write `local %s`"):format(tostring(name), tostring(name)), 2)
end

-- The environment of a policy file and of the user's modules.  It stays empty itself, so that every
-- assignment is noticed.
---@param args table  what follows -- and what --set gave
---@return table
function environment.make(args)
	local env, seen = {}, { require = modules.require, args = args }
	for _, name in ipairs(STANDARD) do seen[name] = _G[name] end
	seen._G = env
	seen.os = {
		clock = os.clock, date = os.date, difftime = os.difftime, getenv = os.getenv, time = os.time,
	}
	return setmetatable(env, {
		__index = function(_, name)
			if seen[name] == nil then seen[name] = resolve(seen, name) end
			return seen[name]
		end,
		__newindex = refuse,
	})
end

return environment
