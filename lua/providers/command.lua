-- command.lua - a program of the user's prints the list of machines as JSON.
--
--	command { "/usr/local/bin/machines", "--json", timeout = 10 }
local inventory = require "inventory"
local nearest = require "nearest"
local proc = require "core.proc"

local DEFAULTS = { complete = false, gone = "unknown", lag = 0, source = "command" }

local function check_options(o)
	if type(o) ~= "table" or #o == 0 then error("command: a program expected", 3) end
	for key, value in pairs(o) do
		if math.type(key) == "integer" then
			if type(value) ~= "string" then error("command: arguments are strings", 3) end
		elseif key ~= "timeout" then
			error(("command: unknown key %q%s"):format(tostring(key),
				nearest.hint(tostring(key), { "timeout" })), 3)
		elseif type(value) ~= "number" or value ~= value or value <= 0 then
			error("command: timeout: seconds expected, more than 0", 3)
		end
	end
end

-- How it ended, with the first line of what it complained about.
local function ending(result)
	local how = result.signal and ("was ended by signal %d"):format(result.signal)
		or ("ended with status %d"):format(result.status)
	local line = result.stderr:match "[^\r\n]+"
	return line and how .. ": " .. line or how
end

local function ask(o)
	local argv = table.move(o, 1, #o, 1, { timeout = o.timeout or 10 })
	local what = ("command %s"):format(o[1])
	local result, why, code = proc.run(argv)
	if not result then return nil, ("%s: %s"):format(what, why), code end
	if result.status ~= 0 then return nil, what .. " " .. ending(result), "spawn" end
	local inv
	inv, why, code = inventory.decode(result.stdout, DEFAULTS)
	if not inv then return nil, ("%s: %s"):format(what, why), code end
	return inv
end

return setmetatable({}, {
	__call = function(_, o)
		check_options(o)
		return function() return ask(o) end
	end,
})
