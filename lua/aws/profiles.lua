-- profiles.lua - the shared files of the AWS tools, ~/.aws/config and ~/.aws/credentials, read anew
-- each time: somebody may have replaced the keys in them.
local fs = require "core.fs"
local log = require "core.log"

local profiles = {}

local LIMIT = 1 << 20 -- bytes of a file

local SECRETS = { "aws_secret_access_key", "aws_session_token" }

local function trim(text)
	return text:match "^%s*(.-)%s*$"
end

local function unquote(text)
	return text:match '^"(.*)"$' or text:match "^'(.*)'$" or text
end

-- Parsing -------------------------------------------------------------------------------------

local function add(pairs_, line)
	local key, value = line:match "^%s*([^=]-)%s*=%s*(.-)%s*$"
	if not key or key == "" then return nil end
	key = key:lower()
	local comment = value:find "%s[#;]"
	pairs_[key] = comment and trim(value:sub(1, comment)) or value
	return key
end

-- A line that is indented belongs to the key above it: to a key without a value it adds one of its own.
local function continue(section, key, line)
	local value = section[key]
	if value == "" then
		value = {}
		section[key] = value
	end
	if type(value) == "table" then return add(value, line) ~= nil end
	section[key] = value .. "\n" .. trim(line)
	return true
end

-- The sections of a file by name, as it is written -> {[section] = {[key] = text or {[key] = text}}}
-- A message never shows a line: it may hold a key.
---@param text string
---@param path string  for messages
---@return table|nil, string?, Code?
function profiles.parse(text, path)
	local sections, section, key = {}, nil, nil
	local n = 0
	for line in (text:gsub("^\xef\xbb\xbf", "") .. "\n"):gmatch "(.-)\r?\n" do
		n = n + 1
		local name = line:match "^%s*%[%s*(.-)%s*%]%s*$" or line:match "^%s*%[%s*(.-)%s*%]%s*[#;]"
		local fine = true
		if line:find "^%s*$" or line:find "^%s*[#;]" then
			fine = true
		elseif name then
			sections[name] = sections[name] or {}
			section, key = sections[name], nil
		elseif not section then
			fine = false
		elseif key and line:find "^%s" then
			fine = continue(section, key, line)
		else
			key = add(section, line)
			fine = key ~= nil
		end
		if not fine then return nil, ("%s:%d: [SECTION] or KEY = VALUE expected"):format(path, n), "parse" end
	end
	return sections
end

-- Files ---------------------------------------------------------------------------------------

local function home()
	local named = os.getenv "HOME"
	if named and named ~= "" then return named end
	-- systemd gives its services no HOME
	local self, users = fs.stat "/proc/self", fs.read "/etc/passwd"
	if not self or not users then return nil end
	return ("\n" .. users):match(("\n[^:\n]*:[^:\n]*:%d:[^:\n]*:[^:\n]*:([^:\n]*)"):format(self.uid))
end

-- Where a file is: as the variable says, else in the home directory.
local function place(variable, name)
	local path = os.getenv(variable)
	path = path and path ~= "" and path or "~/.aws/" .. name
	if path:sub(1, 2) ~= "~/" then return path end
	local directory = home()
	return directory and directory .. path:sub(2)
end

local function hide(sections)
	for _, section in pairs(sections) do
		for _, key in ipairs(SECRETS) do
			if type(section[key]) == "string" then log.secret(section[key]) end
		end
	end
end

-- The sections of a file; a file that is not there has none.
local function sections_of(path)
	local text, why, code
	if path then text, why, code = fs.read(path, LIMIT) end
	if not text then
		if not path or code == "missing" then return {} end
		return nil, why, code
	end
	local sections
	sections, why, code = profiles.parse(text, path)
	if sections then hide(sections) end
	return sections, why, code
end

local function merge(into, from)
	for key, value in pairs(from) do into[key] = value end
	return into
end

-- What both files hold, that of credentials last: its keys win.
---@return {profiles: table<string, table>, services: table<string, table>}|nil, string?, Code?
function profiles.read()
	local config, why, code = sections_of(place("AWS_CONFIG_FILE", "config"))
	if not config then return nil, why, code end
	local keys
	keys, why, code = sections_of(place("AWS_SHARED_CREDENTIALS_FILE", "credentials"))
	if not keys then return nil, why, code end
	local all = { profiles = {}, services = {} }
	if config.default then all.profiles.default = config.default end
	for section, values in pairs(config) do
		local kind, name = section:match "^(%l+)%s+(.+)$"
		if kind == "profile" then all.profiles[unquote(name)] = values end
		if kind == "services" then all.services[unquote(name)] = values end
	end
	for name, values in pairs(keys) do
		name = unquote(name)
		all.profiles[name] = merge(merge({}, all.profiles[name] or {}), values)
	end
	return all
end

-- Which profile is meant -> name, whether somebody named it
---@return string name, boolean named
function profiles.name()
	for _, variable in ipairs { "AWS_PROFILE", "AWS_DEFAULT_PROFILE" } do
		local name = os.getenv(variable)
		if name and name ~= "" then return name, true end
	end
	return "default", false
end

-- The profile that is meant, and all others.  One that was named must be there.
---@return table|nil profile, table|string|nil all, Code?
function profiles.current()
	local all, why, code = profiles.read()
	if not all then return nil, why, code end
	local name, named = profiles.name()
	if named and not all.profiles[name] then
		return nil, ("AWS_PROFILE: no profile %q in %s or %s"):format(name, place("AWS_CONFIG_FILE", "config"),
			place("AWS_SHARED_CREDENTIALS_FILE", "credentials")), "usage"
	end
	return all.profiles[name] or {}, all
end

return profiles
