-- plan.lua - making plans, and the words that their reasons are made of.  Pure.
local etcd = require "core.etcd"
local facts = require "facts"

local plan = {}

plan.hex = etcd.hex

-- A member as a person knows it.
function plan.who(member)
	local nameless = "a nameless member" .. (member.peer_urls[1] and " at " .. member.peer_urls[1] or "")
	return ("%s (%s)"):format(member.name ~= "" and member.name or nameless, plan.hex(member.id))
end

-- "1 voter", "2 voters"
function plan.count(n, what)
	return ("%d %s%s"):format(n, what, n == 1 and "" or "s")
end

---@param action string
---@param reason string  one sentence for a person
---@param more table?    other fields of the plan
---@return Plan
function plan.of(action, reason, more)
	local p = more or {}
	p.action, p.reason = action, reason
	return p
end

function plan.wait(reason, more)
	return plan.of("wait", reason, more)
end

-- What an address said, as a sentence part.
function plan.describe(probe)
	if probe.verdict == "refused" then return "refuses connections on both ports, which says nothing about its disk" end
	if probe.verdict == "waiting" then return "waits as well, its disk is empty" end
	if facts.is_etcd(probe) then return "etcd answers: " .. probe.verdict end
	return probe.why
end

-- Steps of this run, newest first, until one says true.
function plan.tried(f, action, member)
	for i = #f.history, 1, -1 do
		local step = f.history[i]
		if step.action == action and step.member == member then return step end
	end
end

-- The machines that are not dead and show no etcd, as something to wait for.
function plan.silent(f)
	local list = {}
	for _, instance in ipairs(f.inventory and f.inventory.instances or {}) do
		local probe = f.probes[instance.id]
		if instance.id ~= f.inventory.self and instance.state ~= "dead" and probe and not facts.is_etcd(probe) then
			table.insert(list, { instance = instance.id, why = plan.describe(probe) })
		end
	end
	return list
end

return plan
