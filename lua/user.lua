-- user.lua - calling what users write.  Whatever their function does, an error, an endless loop or
-- a change to what it was given, stays inside the call and comes back as nil, message, code.
local task = require "core.task"

local user = {}

-- Seconds of CPU time, not of waiting: a provider may wait for a cloud as long as it likes.
local PATIENCE = 5

-- A deep copy; userdata and functions are shared.
---@generic T
---@param value T
---@return T
function user.copy(value, seen)
	if type(value) ~= "table" then return value end
	seen = seen or {}
	if seen[value] then return seen[value] end
	local twin = setmetatable({}, getmetatable(value))
	seen[value] = twin
	for k, v in next, value do
		rawset(twin, user.copy(k, seen), user.copy(v, seen))
	end
	return twin
end

-- Where a function was written: "policy.lua:12".
---@return string
function user.where(f)
	local info = debug.getinfo(f, "S")
	return ("%s:%d"):format(info.short_src, info.linedefined)
end

-- What was raised, as a text; no metatable of the user's is asked for it.
---@return string
function user.raised(value)
	local kind = type(value)
	if kind == "string" or kind == "number" then return tostring(value) end
	return ("error raised a %s, which tells no line; have it raise a text"):format(kind)
end

local function finish(what, f, ok, ...)
	if ok then return ... end
	local where = type((...)) == "string" and "" or " (" .. user.where(f) .. ")"
	return nil, ("%s%s failed: %s"):format(what, where, user.raised((...))), "usage"
end

-- (waits) A function of the user's that may do input and output.
---@param what string  its name for messages
---@return any ...  what it returned, or nil, message, code
function user.call(what, f, ...)
	return finish(what, f, task.guard(PATIENCE, f, ...))
end

-- A function of the user's that only computes: it gets copies.
---@param what string
---@return any ...  what it returned, or nil, message, code
function user.pure(what, f, ...)
	local args = table.pack(...)
	for i = 1, args.n do
		args[i] = user.copy(args[i])
	end
	return user.call(what, f, table.unpack(args, 1, args.n))
end

return user
