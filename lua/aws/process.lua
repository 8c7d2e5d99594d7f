-- process.lua - credentials that a program prints, as credential_process of a profile says.
local json = require "core.json"
local keys = require "aws.keys"
local proc = require "core.proc"

local process = {}

local PATIENCE = 60 -- seconds

-- The words of a command as a shell would split them, quotes and backslashes included; nothing else of a
-- shell is done -> list | nil, message
---@param text string
---@return string[]|nil, string?
function process.words(text)
	local words, word, at = {}, nil, 1
	while at <= #text do
		local c = text:sub(at, at)
		if c:find "%s" then
			if word then words[#words + 1] = word end
			word = nil
		elseif c == "'" then
			local last = text:find("'", at + 1, true)
			if not last then return nil, "a quote is not closed" end
			word, at = (word or "") .. text:sub(at + 1, last - 1), last
		elseif c == '"' then
			local last = text:find('["\\]', at + 1)
			while last and text:sub(last, last) == "\\" do last = text:find('["\\]', last + 2) end
			if not last then return nil, "a quote is not closed" end
			word, at = (word or "") .. text:sub(at + 1, last - 1):gsub('\\(["\\$`])', "%1"), last
		elseif c == "\\" and at < #text then
			word, at = (word or "") .. text:sub(at + 1, at + 1), at + 1
		else
			word = (word or "") .. c
		end
		at = at + 1
	end
	if word then words[#words + 1] = word end
	return words
end

-- How it ended, with the first line of what it complained about.
local function ending(result)
	local how = result.signal and ("ended by signal %d"):format(result.signal) or ("status %d"):format(result.status)
	local line = result.stderr:match "[^\r\n]+"
	return line and how .. ": " .. line or how
end

-- (waits) Run it.  Its arguments are in no message: there may be a password among them.
---@param command string
---@param source string  for messages
---@return Keys|nil, string?, Code?
function process.get(command, source)
	local words, why = process.words(command)
	if not words or not words[1] then
		return nil, ("credentials from %s: credential_process: %s"):format(source, why or "it is empty"), "usage"
	end
	local what = ("%s (%s)"):format(source, words[1])
	words.timeout = PATIENCE
	local result, code
	result, why, code = proc.run(words)
	if not result then return nil, ("credentials from %s: %s"):format(what, why), code end
	if result.status ~= 0 then return nil, ("credentials from %s: %s"):format(what, ending(result)), "spawn" end
	local t = json.decode(result.stdout)
	if type(t) == "table" and t.Version ~= 1 then
		return nil, ("credentials from %s: it speaks another version than 1"):format(what), "parse"
	end
	return keys.decode(what, result.stdout)
end

return process
