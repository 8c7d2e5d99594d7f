-- proposal.lua - what a policy's decide returned, as a plan, or what keeps it from being one.  It is read
-- raw, field by field: what stands behind a metatable is nobody's plan, and might raise.  Pure.
local check = require "check"
local etcd = require "core.etcd"
local nearest = require "nearest"

local proposal = {}

local ACTIONS = {
	"claim", "new", "add", "remove", "promote", "update", "aside", "start", "standby", "wait", "fail",
}
local NEEDS_MEMBER = { remove = true, promote = true, update = true }

-- The list of what `entry` makes of each value; nil where one is nothing, or it is no list.
local function list_of(value, entry)
	if type(value) ~= "table" then return nil end
	local out, count = {}, 0
	for key, one in next, value do
		one = entry(one)
		if one == nil or math.type(key) ~= "integer" then return nil end
		out[key], count = one, count + 1
	end
	for i = 1, count do
		if out[i] == nil then return nil end
	end
	return out
end

local function text(value)
	return type(value) == "string" and value or nil
end

local function field(t, key)
	return type(t) == "table" and rawget(t, key) or nil
end

local function waited_for(one)
	local instance, why = text(field(one, "instance")), text(field(one, "why"))
	return instance and why and { instance = instance, why = why }
end

local function founder(one)
	local name, urls = text(field(one, "name")), list_of(field(one, "peer_urls"), text)
	return name and urls and { name = name, peer_urls = urls }
end

-- A check of a list, which is used as it was read.
local function list(entry, words)
	return function(value)
		local out = list_of(value, entry)
		if not out then return words end
		return nil, out
	end
end

local function id(value)
	local fine = type(value) == "string" and value:find "^%d+$" and pcall(etcd.hex, value)
	if not fine or not value:find "[1-9]" then return "an id, which is a decimal string," end
end

local function argv(value)
	local words = list_of(value, text)
	local wanted = check.argv(words)
	if wanted then return wanted end
	return nil, words
end

local FIELDS = {
	member = id, own = check.boolean, learner = check.boolean, warn = check.boolean, row = check.row,
	exit = check.status, exec = argv,
	members = list(founder, "a list of { name =, peer_urls = {...} }"),
	waiting_for = list(waited_for, "a list of { instance =, why = }, both strings,"),
}

-- What does not belong to the action, or is missing there.
local function misfit(plan)
	if NEEDS_MEMBER[plan.action] and not plan.member then
		return plan.action .. ": which member?"
	elseif plan.exec and plan.action ~= "standby" then
		return "exec: a standby's only; a member becomes what the policy's key exec says"
	elseif plan.exit and plan.action ~= "wait" and plan.action ~= "fail" then
		return "exit: of wait and fail only"
	end
end

---@param value any
---@return Plan|nil, string?
function proposal.read(value)
	if type(value) ~= "table" then return nil, "a plan is a table, this is " .. check.shown(value) end
	local plan = { action = rawget(value, "action"), reason = rawget(value, "reason") }
	if check.one_of(table.unpack(ACTIONS))(plan.action) then
		local hint = type(plan.action) == "string" and nearest.hint(plan.action, { table.unpack(ACTIONS) }) or ""
		return nil, ("action: %s%s"):format(check.shown(plan.action), hint)
	elseif type(plan.reason) ~= "string" or plan.reason == "" then
		return nil, "the reason is missing: one sentence for a person"
	end
	for _, key in ipairs(check.sorted(FIELDS)) do
		local given = rawget(value, key)
		local wanted, used
		if given ~= nil then wanted, used = FIELDS[key](given) end
		if wanted then return nil, ("%s: %s expected, this is %s"):format(key, wanted, check.shown(given)) end
		plan[key] = used == nil and given or used
	end
	local wrong = misfit(plan)
	if wrong then return nil, wrong end
	return plan
end

return proposal
