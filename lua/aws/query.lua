-- query.lua - what is asked, as text: the lists and structures of the query protocols flattened into
-- a form, and paths and queries of REST.
local query = {}

-- How each service writes element n of a list, and the version of its API that is spoken.
local PROTOCOLS = {
	ec2 = { version = "2016-11-15", element = "%s.%d" },
	autoscaling = { version = "2011-01-01", element = "%s.member.%d" },
	elasticloadbalancing = { version = "2015-12-01", element = "%s.member.%d" },
	sts = { version = "2011-06-15", element = "%s.member.%d" },
}

-- Percent-encoded: everything but letters, digits and - . _ ~, as a signature wants it.
---@param text string
---@return string
function query.encode(text)
	return (text:gsub("[^%w%-._~]", function(byte) return ("%%%02X"):format(byte:byte()) end))
end

-- A path of which the slashes stay.
---@param text string
---@return string
function query.path(text)
	return (text:gsub("[^/]+", query.encode))
end

local function text_of(name, value)
	local kind = math.type(value) or type(value)
	if kind == "string" then return value end
	if kind == "integer" then return ("%d"):format(value) end
	if kind == "float" then return ("%.14g"):format(value) end
	if kind == "boolean" then return tostring(value) end
	error(("%s: a string, a number or a boolean expected, not a %s"):format(name, type(value)), 0)
end

local function flatten(pairs_, name, value, element)
	if type(value) ~= "table" then
		pairs_[#pairs_ + 1] = { name, text_of(name, value) }
	elseif #value > 0 then
		for i, item in ipairs(value) do flatten(pairs_, element:format(name, i), item, element) end
	else
		for key, item in pairs(value) do
			flatten(pairs_, name == "" and key or name .. "." .. key, item, element)
		end
	end
end

-- name=value&..., sorted by name.
local function join(pairs_)
	local words = {}
	for i, pair in ipairs(pairs_) do words[i] = query.encode(pair[1]) .. "=" .. query.encode(pair[2]) end
	table.sort(words)
	return table.concat(words, "&")
end

-- Whether a service speaks a query protocol.
function query.speaks(service)
	return PROTOCOLS[service] ~= nil
end

-- The form of an action.  A list is written as the service wants it, an empty one not at all.
---@param service string
---@param action string
---@param params table?
---@return string
function query.form(service, action, params)
	local protocol = PROTOCOLS[service]
	local all = { { "Action", action }, { "Version", protocol.version } }
	flatten(all, "", params or {}, protocol.element)
	return join(all)
end

-- A URL's query; the value true is a name alone.
---@param names table<string, string|number|boolean>?
---@return string  "?a=b", or nothing
function query.string(names)
	local all = {}
	for name, value in pairs(names or {}) do
		all[#all + 1] = { name, value == true and "" or text_of(name, value) }
	end
	return all[1] and "?" .. join(all) or ""
end

return query
