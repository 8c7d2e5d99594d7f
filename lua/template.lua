-- template.lua - what turns a configuration into a file: a function(config) -> string, in the policy
-- or in templates/NAME.lua, or a text file in which {{ETCD_NAME}} stands for that value.  Besides
-- ETCD_* a text may name role, state, name, cluster_id and endpoints.
local etcd = require "core.etcd"
local fs = require "core.fs"
local modules = require "modules"
local nearest = require "nearest"
local user = require "user"

local template = {}

local function usage(fmt, ...)
	return nil, fmt:format(...), "usage"
end

-- Every name that a text template may use, with its value.
---@param config Config
---@return table<string, string>
function template.values(config)
	local values = {
		role = config.role, state = config.state, name = config.name,
		cluster_id = config.cluster_id and etcd.hex(config.cluster_id),
		endpoints = table.concat(config.endpoints, ","),
	}
	for key, value in pairs(config.env) do values[key] = value end
	return values
end

-- A value of bytes that every reader of KEY=value files takes as they are.
---@param key string  for the message
---@param value string
---@return string|nil, string?, Code?
function template.plain(key, value)
	local byte = value:match "[^%w_@%%+=:,./%[%]-]"
	if byte then return usage("%s contains %q, which this format cannot hold", key, byte) end
	return value
end

-- The line that a founding needs besides, whatever else the reader is told: by its token etcd makes the
-- cluster that this disk has claimed, and no other.
---@param config Config
---@return string
function template.founding(config)
	local token = config.state == "new" and config.env.ETCD_INITIAL_CLUSTER_TOKEN
	return token and "ETCD_INITIAL_CLUSTER_TOKEN=" .. token .. "\n" or ""
end

-- A template of `env`'s lines for these variables alone, those that are set, in this order.  Of a
-- standby that are the variables of a proxy.
---@param keys string[]
---@param head string?  what stands above them
---@return fun(config: Config): string?, string?, Code?
function template.lines(keys, head)
	return function(config)
		local lines = {}
		for _, key in ipairs(keys) do
			local value, why, code = template.plain(key, config.env[key] or "")
			if not value then return nil, why, code end
			if value ~= "" then lines[#lines + 1] = key .. "=" .. value .. "\n" end
		end
		return (lines[1] and head or "") .. table.concat(lines) .. template.founding(config)
	end
end

-- One word for a shell.
---@param value string
---@return string
function template.shell(value)
	return "'" .. value:gsub("'", "'\\''") .. "'"
end

-- A text with {{KEY}} -> a template function.
---@param text string
---@param path string  for messages
---@return fun(config: Config): string?, string?, Code?
function template.text(text, path)
	return function(config)
		local values, missing = template.values(config), nil
		local out = text:gsub("{{%s*([%w_]+)%s*}}", function(key)
			if values[key] == nil then missing = missing or key end
			return values[key] or ""
		end)
		if not missing then return out end
		if config.role == "standby" then return "" end
		local known = {}
		for key in pairs(values) do known[#known + 1] = key end
		return usage("%s: {{%s}} is not set%s", path, missing, nearest.hint(missing, known))
	end
end

local function from_file(path)
	local text, why, code = fs.read(path)
	if not text then return nil, why, code end
	return template.text(text, path)
end

local function unknown(name)
	local known = {}
	for _, row in ipairs(modules.list()) do
		known[#known + 1] = row.name:match "^templates%.(.+)$"
	end
	return usage("no template %q%s", name, nearest.hint(name, known))
end

-- The template of this name: a module, or a text file where modules are looked for.
---@param name string
---@return function|nil, string?, Code?
function template.find(name)
	if name:find "^/" then return from_file(name) end
	local module = "templates." .. name
	if name:find "^[%w_-]+$" and modules.exists(module) then
		local fine, made = pcall(modules.require, module)
		if not fine then return usage("%s", user.raised(made)) end
		if type(made) == "function" then return made end
		return usage("%s returns no function", module)
	end
	local path = modules.file("templates/" .. name) or modules.file(name)
	if path then return from_file(path) end
	return unknown(name)
end

-- (waits)
---@param which string|function
---@param config Config
---@return string|nil text, string?, Code?
function template.render(which, config)
	local what = "template " .. (type(which) == "string" and which or user.where(which))
	if type(which) == "string" then
		local found, missing, code = template.find(which)
		if not found then return nil, missing, code end
		which = found
	end
	local text, why, code = user.pure(what, which, config)
	if type(text) == "string" then return text end
	if text == nil and why then return nil, why, code end
	return usage("%s returned no text", what)
end

return template
