-- flags.lua - a command line or an environment, read by its declaration as Go's flag packages do: for
-- policy files that take what the tool that they replace took.  A flag of one letter may have its value,
-- or another such flag, attached: -oFILE, -Xo FILE; -h and --help tell what there is.  Pure.
--	local o = assert(flags.parse(args, {
--		["o,output-file"] = "/run/etcd.env",  -- text; o.output_file
--		["peer-port"]     = 2380,             -- a whole number; a boolean would be true or false
--		["cloud"]         = { "aws", "gcp" }, -- one of these; the first unless given
--		{ "run", "stop" },                    -- what may stand there without a flag; o[1]
--	}))
local check = require "check"
local nearest = require "nearest"

local flags = {}

local BOOLEANS = { ["true"] = true, t = true, ["1"] = true, ["false"] = false, f = false, ["0"] = false }
local KINDS = { string = " TEXT", number = " N", boolean = "" }

-- The value that a text means where this is the default -> value | nil, what was expected
local function read(default, text)
	local kind = type(default)
	if kind == "string" then return text end
	if kind == "boolean" then return BOOLEANS[text:lower()], "true or false" end
	if kind == "number" then return text:find "^[+-]?%d+$" and math.tointeger(tonumber(text)) or nil, "a whole number" end
	for _, choice in ipairs(default) do
		if text == choice then return text end
	end
	return nil, table.concat(default, " or ")
end

-- name -> {key, default}, the values that nobody gives, and a line for each flag
local function declared(spec)
	local known, values, lines = {}, {}, {}
	for names, default in pairs(spec) do
		if type(names) == "string" then
			local flag = { key = names:match("[^,]+$"):gsub("-", "_"), default = default }
			for name in names:gmatch "[^,]+" do known[name] = flag end
			values[flag.key] = type(default) == "table" and default[1] or default
			local kind = KINDS[type(default)] or " " .. table.concat(default, "|")
			local start = default ~= "" and default and type(default) ~= "table" and (" (%s)"):format(default) or ""
			lines[#lines + 1] = ("  -%s%s%s"):format(names:gsub(",", ", -"), kind, start)
		end
	end
	table.sort(lines)
	return known, values, "\nflags:\n" .. table.concat(lines, "\n")
end

-- Whether a word that begins with a flag of one letter is rather a long one that was mistyped.
local function is_long(known, word)
	for name in pairs(known) do
		if #name > 1 and name:sub(1, 3) == word:sub(1, 3) then return true end
	end
	local near = nearest.name(word, check.sorted(known))
	return near ~= nil and #near > 1
end

local function unknown(known, dashes, name)
	local names = {}
	for one in pairs(known) do names[#names + 1] = dashes .. one end
	return nil, "unknown flag " .. dashes .. name .. nearest.hint(dashes .. name, names)
end

-- The flag that a word is -> flag, name, its value or nil, what is left of the word or nil | nil, message
local function split(known, word)
	local dashes, name, given = word:match "^(%-%-?)([^-=][^=]*)(=?.*)$"
	if not name then return nil, word .. " is no flag" end
	if known[name] then return known[name], dashes .. name, given ~= "" and given:sub(2) or nil end
	local short = dashes == "-" and known[name:sub(1, 1)]
	if not short or is_long(known, name) then return unknown(known, dashes, name) end
	if type(short.default) == "boolean" then return short, word:sub(1, 2), "true", "-" .. word:sub(3) end
	return short, word:sub(1, 2), word:sub(3)
end

-- The flag that a word is into values -> the words used | nil, message
local function take_flag(known, values, word, following)
	local flag, name, text, rest = split(known, word)
	if not flag then return nil, name end
	local used = 1
	if not text and type(flag.default) == "boolean" then
		text = "true"
	elseif not text then
		text, used = following, 2
	end
	if not text then return nil, name .. ": a value is missing" end
	local value, wanted = read(flag.default, text)
	if value == nil then return nil, ("%s: %s expected, got %q"):format(name, wanted, text) end
	values[flag.key] = value
	if rest then return take_flag(known, values, rest, following) end
	return used
end

local HELP = { ["-h"] = true, ["-help"] = true, ["--help"] = true }

---@return table|nil values, string?, Code?
function flags.parse(words, spec)
	local i, ended, known, values, usage = 1, false, declared(spec)
	while i <= #words do
		local used, why = 1, nil
		if words[i] == "--" and not ended then
			ended = true
		elseif HELP[words[i]] and not ended and not known[words[i]:match "%a+"] then
			return nil, usage:sub(2), "usage"
		elseif words[i]:find "^%-." and not ended then
			used, why = take_flag(known, values, words[i], words[i + 1])
		else
			local word = not values[1] and read(spec[1] or {}, words[i])
			why = not word and ("unexpected word %q"):format(words[i])
			values[1] = word
		end
		if why then return nil, why .. usage, "usage" end
		i = i + used
	end
	return values
end

-- Raises where one of these flags, which another asks for, is not given.
---@param values table  of flags.parse
---@param what string  the flag that asks for them
function flags.needs(values, what, ...)
	for _, name in ipairs { ... } do
		if values[(name:gsub("-", "_"))] == "" then error(("%s needs --%s"):format(what, name), 2) end
	end
end

-- The same for environment variables, by os.getenv if nothing else; one that is empty is not set.
---@return table|nil values, string?, Code?
function flags.environment(spec, getenv)
	local values = {}
	for name, default in pairs(spec) do
		local text, wanted = (getenv or os.getenv)(name), nil
		values[name] = type(default) == "table" and default[1] or default
		if text and text ~= "" then values[name], wanted = read(default, text) end
		if values[name] == nil then return nil, ("%s: %s expected, got %q"):format(name, wanted, text), "usage" end
	end
	return values
end

return flags
