-- founding.lua - rows 20 and 21 of the decision table: nothing is seen but empty machines.  Pure.
local facts = require "facts"
local plan = require "plan"
local rollcall = require "rollcall"

local rows = {}

local ROLLCALL_SILENCE = 30 -- seconds of settled refusals, for found = "refused"

local function unknown_list(f)
	local inventory = f.inventory
	if not inventory then
		return plan.wait("who the machines are is unknown: " .. (f.inventory_why or "the provider said nothing"))
	end
	if not inventory.complete then
		local why = inventory.why and " (" .. inventory.why .. ")" or ""
		return plan.wait("the list of machines is not known to be complete" .. why
			.. ", and a cluster is founded by a complete one only")
	end
	if not f.desired then
		return plan.wait("how many members are wanted is not known: set size in the policy")
	end
end

-- The machines that say so -> what to wait for, in words | nil where there is none
local function those(f, says)
	local waiting = {}
	for _, instance in ipairs(f.inventory.instances) do
		local why = says(instance)
		if why then table.insert(waiting, { instance = instance.id, why = why }) end
	end
	return waiting[1] and waiting or nil
end

local function unfounded(f)
	local waiting = those(f, function(instance)
		if instance.state ~= "leaving" and instance.state ~= "unknown" then return end
		return instance.why or "is " .. instance.state .. " for the provider"
	end)
	if waiting then
		return plan.wait("no cluster is founded while a machine is leaving or in a state unknown", { waiting_for = waiting })
	end
	if f.founding then return end
	waiting = those(f, function(instance)
		return facts.counts_in(instance) and not instance.peer_url and "has no address yet"
	end)
	if waiting then return plan.wait("some machine of the list has no address yet", { waiting_for = waiting }) end
	local me = facts.myself(f.inventory)
	return plan.wait("the provider does not count this machine in" .. (me and ": it is " .. me.state or ""))
end

local function wrong_size(f)
	local count = #f.founding.list
	if count ~= f.desired then
		return plan.wait(("the list has %s, %d %s wanted"):format(plan.count(count, "living machine"), f.desired,
			f.desired == 1 and "is" or "are"))
	end
	if not facts.settled(f.inventory) then return plan.wait("the list of machines has not settled yet") end
end

local function everybody_refuses(f)
	local since = f.refused_since
	if not since or f.clock - since < ROLLCALL_SILENCE then
		return plan.wait(("all other machines must refuse connections for %d s"):format(ROLLCALL_SILENCE),
			{ waiting_for = plan.silent(f) })
	end
end

local function everybody(n)
	return n == 1 and "the only machine is" or ("all %d machines are"):format(n)
end

local function claims(f)
	return plan.of("claim", ("%s here and empty: this disk claims its place in cluster %s"):format(
		everybody(#f.founding.list), plan.hex(f.founding.cluster_id)), { members = f.founding.list })
end

local function founds(f)
	local n = #f.founding.list
	local alone = "one machine is wanted, this one, and it is empty" .. (f.marker_configured and ""
		or ": should its disk be lost later, nothing will tell; a marker would")
	return plan.of("new", n == 1 and alone
		or ("all %d machines are here, empty and ready"):format(n),
		{ members = f.founding.list, warn = n == 1 })
end

local function by_refusal(f, claimed)
	local not_yet = everybody_refuses(f)
	if not_yet then return not_yet end
	if not claimed and f.data_dir.state ~= "hidden" then return claims(f) end
	return founds(f)
end

function rows.row_20_found(f)
	local not_yet = unknown_list(f) or unfounded(f) or wrong_size(f)
	if not_yet then return not_yet end
	local claim = f.data_dir.claim
	local claimed = claim ~= nil and claim.kind == "founding" and claim.cluster_id == f.founding.cluster_id
	if f.found == "refused" then return by_refusal(f, claimed) end
	if f.data_dir.state == "hidden" then
		return plan.wait("with data_dir = false no disk can be shown to be empty: a cluster is founded only with "
			.. "found = \"refused\"")
	end
	local ok, waiting
	if not claimed and claim and claim.kind == "founding" then
		ok, waiting = rollcall.may_change(f)
		if not ok then return plan.wait("this disk is promised to an earlier list of machines", { waiting_for = waiting }) end
	end
	if not claimed then
		ok, waiting = rollcall.all_empty(f)
		if not ok then return plan.wait("not every machine has said yet that it is empty", { waiting_for = waiting }) end
		return claims(f)
	end
	ok, waiting = rollcall.all_ready(f)
	if not ok then return plan.wait("not every machine is ready yet", { waiting_for = waiting }) end
	return founds(f)
end

return rows
