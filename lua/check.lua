-- check.lua - what the values of a policy file must be.  A check takes a value and returns nothing
-- when it is right, nil and the value to use, or, when it is wrong, in words what was expected and, third,
-- which part of it is not that.
local nearest = require "nearest"
local net = require "core.net"

local check = {}

-- A value in a message: short, and of one line.
---@return string
function check.shown(value)
	if value == nil then return "nothing" end
	if type(value) == "string" then
		return ("%q"):format(#value > 60 and value:sub(1, 57) .. "..." or value):gsub("\\\n", "\\n")
	elseif type(value) == "number" or type(value) == "boolean" then
		return tostring(value)
	end
	local meta = type(value) == "table" and debug.getmetatable(value)
	if meta and rawget(meta, "__call") then return "a maker; call it, as in NAME { ... }" end
	return "a " .. type(value)
end

-- Keys in a steady order, numbers first.
---@return any[]
function check.sorted(t)
	local keys = {}
	for key in pairs(t) do keys[#keys + 1] = key end
	table.sort(keys, function(a, b)
		if type(a) ~= type(b) then return type(a) < type(b) end
		if type(a) == "string" or type(a) == "number" then return a < b end
		return tostring(a) < tostring(b)
	end)
	return keys
end

local function of(kind, words)
	return function(value)
		if type(value) ~= kind then return words end
	end
end

check.func = of("function", "a function")
check.table = of("table", "a table")
check.boolean = of("boolean", "true or false")

function check.marker(value)
	if type(value) ~= "table" or type(value.read) ~= "function" or type(value.write) ~= "function" then
		return "a marker, as file { path = \"/shared/etcd-marker.json\" },"
	end
end

function check.text(value)
	if type(value) ~= "string" or value == "" or value:find "[%c]" then
		return "a string of one line that is not empty"
	end
end

-- What a member may be called: the initial cluster is a list of NAME=URL with commas between.
function check.member_name(value)
	if check.text(value) or value:find "[,=]" then return "a name of one line without , and =" end
end

function check.name_or_function(value)
	local wrong = type(value) ~= "function" and check.member_name(value)
	if wrong then return wrong .. ", or a function" end
end

function check.text_or_function(value)
	if type(value) ~= "function" and check.text(value) then
		return "a string that is not empty, or a function"
	end
end

---@return function
function check.one_of(...)
	local allowed = { ... }
	return function(value)
		for _, one in ipairs(allowed) do
			if value == one then return end
		end
		return ("\"%s\""):format(table.concat(allowed, "\" or \""))
	end
end

local function whole(least, most, words)
	return function(value)
		local n = math.type(value) and math.tointeger(value)
		if not n or n < least or n > most then return words end
		return nil, n
	end
end

check.port = whole(1, 65535, "a whole number from 1 to 65535")
check.size = whole(1, 1000, "a whole number of machines, 1 or more")
check.status = whole(1, 255, "an exit status from 1 to 255")
check.row = whole(0, 99, "the number of a row")

local function number(value)
	return math.type(value) and value == value and value < math.huge
end

function check.seconds(value)
	if not number(value) or value <= 0 then return "seconds, more than 0," end
end

function check.seconds_or_none(value)
	if not number(value) or value < 0 then return "seconds, 0 or more," end
end

function check.version(value)
	if type(value) ~= "string" or not value:find "^%d+%.%d+%.%d+" then
		return "a version such as \"3.4.23\""
	end
end

function check.mode(value)
	if type(value) ~= "string" or not value:find "^0?[0-7][0-7][0-7]$" then
		return "a file mode such as \"0644\""
	end
end

function check.data_dir(value)
	if value == false then return nil, false end
	if check.text(value) then return "a directory, or false (not ours to see)," end
	return nil, value:find "^/+$" and "/" or (value:gsub("/+$", ""))
end

function check.argv(value)
	local words = "a list of strings, the program first,"
	if type(value) ~= "table" then return words end
	if next(value) == nil then return words, nil, "an empty list" end
	for _, key in ipairs(check.sorted(value)) do
		local one, place = value[key], math.type(key) == "integer" and key >= 1 and key <= #value
		if not place or type(one) ~= "string" then
			return words, nil, ("%s as %s"):format(check.shown(one), place and "word " .. key or "the key " .. check.shown(key))
		end
	end
	if value[1] == "" then return words, nil, "an empty word first" end
end

function check.argv_or_function(value)
	if type(value) == "function" then return end
	local wrong, _, got = check.argv(value)
	if wrong then return "a list of strings, the program first, or a function", nil, got end
end

-- What is wrong with the options of a maker, nil when nothing is.
---@param what string  its name
---@param o any
---@param kinds table<string, function>  a check for each option
---@return string?
function check.options(what, o, kinds)
	if type(o) ~= "table" then return ("%s: a table of options expected, got %s"):format(what, check.shown(o)) end
	for _, key in ipairs(check.sorted(o)) do
		if not kinds[key] then
			return ("%s: unknown option %s%s"):format(what, tostring(key), nearest.hint(tostring(key), check.sorted(kinds)))
		end
		local wanted = kinds[key](o[key])
		if wanted then return ("%s: %s: %s expected, got %s"):format(what, key, wanted, check.shown(o[key])) end
	end
end

check.address_keys = { "private_v4", "private_v6", "public_v4", "public_v6", "hostname" }

function check.address(value)
	if type(value) == "function" then return end
	for _, key in ipairs(check.address_keys) do
		if value == key then return end
	end
	local cidr = type(value) == "string" and value:find "/"
	if cidr and (net.inside("127.0.0.1", value) ~= nil or net.inside("::1", value) ~= nil) then
		return
	end
	return table.concat(check.address_keys, ", ") .. ", a network such as 10.0.0.0/8 or a function"
end

local function urls(value)
	if type(value) ~= "table" or #value == 0 then return false end
	for _, one in ipairs(value) do
		if type(one) ~= "string" or not net.url(one) then return false end
	end
	return true
end

function check.listen(value)
	local words = "\"any\", a host or { client = {urls}, peer = {urls} }"
	if type(value) == "string" then
		if value ~= "any" and not pcall(net.join, "http", value, 1) then return words end
		return
	elseif type(value) ~= "table" or next(value) == nil then
		return words
	end
	for key, list in pairs(value) do
		if key ~= "client" and key ~= "peer" or not urls(list) then return words end
	end
end

-- What this program sets itself; `extra` may not say it again.
check.ours = {}
for name in ([[NAME DATA_DIR INITIAL_CLUSTER INITIAL_CLUSTER_STATE INITIAL_CLUSTER_TOKEN
	INITIAL_ADVERTISE_PEER_URLS LISTEN_PEER_URLS LISTEN_CLIENT_URLS ADVERTISE_CLIENT_URLS CERT_FILE
	KEY_FILE TRUSTED_CA_FILE CLIENT_CERT_AUTH AUTO_TLS PEER_CERT_FILE PEER_KEY_FILE
	PEER_TRUSTED_CA_FILE PEER_CLIENT_CERT_AUTH PEER_AUTO_TLS]]):gmatch "%S+" do
	check.ours["ETCD_" .. name] = true
end

function check.extra(value)
	local words = "a table as in { ETCD_X = \"v\" }"
	if type(value) ~= "table" then return words end
	local out = {}
	for key, v in pairs(value) do
		local named = type(key) == "string" and key:find "^ETCD_[A-Z0-9_]+$"
		if not named or type(v) == "table" or type(v) == "function" then
			local name = type(key) == "string" and key or "[" .. check.shown(key) .. "]"
			return words, nil, name .. " = " .. check.shown(v)
		end
		out[key] = tostring(v)
	end
	return nil, out
end

return check
