-- advice.lua - what a person can do about what was seen.  Pure: facts, plan -> sentences.
local facts = require "facts"
local plans = require "plan"

local advice = {}

local function names(list)
	local out = {}
	for _, one in ipairs(list or {}) do table.insert(out, one.instance) end
	return table.concat(out, ", ")
end

-- By row of the decision table, where the plan waits or fails; what the row itself says is not repeated.
local BY_ROW = {}

BY_ROW[0] = function() return "stop the etcd that runs here, or point etcd.data_dir at its data" end
BY_ROW[1] = function(f)
	return ("move %s/member away by hand (never delete it); with the others' quorum this machine then replaces itself, "
		.. "and without it, its disk is none to restore from"):format(f.data_dir.path)
end
BY_ROW[4] = function(f)
	return ("find out whose data this is: mount the right volume, or move %s/member away by hand and run again"):format(
		f.data_dir.path)
end
BY_ROW[6] = function() return "see to the data directory: its owner, its mode, its mount" end
BY_ROW[7] = function()
	return "find out which cluster the clients write to, and stop the other one by hand; keep its data"
end
BY_ROW[8] = function() return "nothing, unless the provider is wrong about this machine" end
BY_ROW[12] = function()
	return "bring back the voters that are silent, so that a majority can say that this machine's slot may go"
end
BY_ROW[14] = function() return "nothing: it is removed when its grace is over" end
BY_ROW[15] = function(f, plan)
	if plan.waiting_for then
		return ("repair %s, or have the provider terminate it: a dead member is replaced, a silent one never"):format(
			names(plan.waiting_for))
	end
	if not f.desired then return "set size in the policy, or the desired number at the provider" end
	for _, member in ipairs(f.cluster.members) do
		if member.learner then return ("run etcd-bootstrap finish on the machine of %s"):format(plans.who(member)) end
		if not member.started then
			return ("see why %s does not start, or remove it with etcdctl member remove"):format(plans.who(member))
		end
	end
	return "nothing, unless more members are wanted: raise the desired number, or have one leave"
end
BY_ROW[16] = function() return "start the voters of that cluster on their data" end
BY_ROW[18] = function(_, plan)
	return ("see to %s: the reason names the file, login or port that does not fit"):format(names(plan.waiting_for))
end
BY_ROW[19] = function()
	return "start the old members on their data, or restore a snapshot; if they are gone for good, remove the marker"
end
BY_ROW[20] = function(f, plan)
	local before = f.journal and f.journal.clusters[1]
	if before then
		return ("this machine was in cluster %s before: start those of its members that still have their data"):format(
			plans.hex(before))
	end
	if plan.waiting_for then
		return ("run etcd-bootstrap run, with the same list of machines, on %s"):format(names(plan.waiting_for))
	end
	return f.inventory and "see to the list of machines: the line above says what is missing" or nil
end

-- Voters that are not seen to work.
local function quiet(f, cluster)
	local list = {}
	for _, member in ipairs(facts.voters(cluster)) do
		if facts.silent(member, f.probes) and not facts.at_my_address(member, f.me) then
			table.insert(list, member.instance or plans.who(member))
		end
	end
	table.sort(list)
	return list
end

local function about_quorum(f, lost)
	local n = #facts.voters(lost)
	local silent = quiet(f, lost)
	local needs = "a majority of its voters"
	if n > 0 then needs = ("%d of its %s"):format(facts.majority(n), plans.count(n, "voter")) end
	local text = ("cluster %s needs %s: start them on their data"):format(plans.hex(lost.id), needs)
	return text .. (silent[1] and "; silent are " .. table.concat(silent, ", ") or "")
		.. "; nothing has to be restored as long as a majority of the disks is there"
end

-- What the plan of the verb is held up by.
local function about_plan(f, plan, rule)
	if rule then return ("the rule %s refuses, and its line says what it wants"):format(rule) end
	local stuck = plan.action == "wait" or plan.action == "fail"
	if stuck then return BY_ROW[plan.row] and BY_ROW[plan.row](f, plan) or nil end
	if plan.action == "start" and f.me.running then return nil end
	if plan.action == "standby" then return nil end
	return "run etcd-bootstrap run: nothing holds it back"
end

-- o: {plan, rule, after = what finish would do where etcd runs, lost = the cluster without quorum, pause = path}
---@return string[]
function advice.of(f, o)
	local list = {}
	local function add(text)
		if text then table.insert(list, text) end
	end
	if f.paused then add(("remove %s: as long as it is there nothing is changed"):format(o.pause)) end
	if not f.inventory then
		add(("see to the provider: the list of machines is not known (%s)"):format(f.inventory_why or "nobody said"))
	end
	local damaged = f.data_dir.state == "damaged"
	if o.lost then add(about_quorum(f, o.lost)) end
	if damaged or not o.lost then add(about_plan(f, o.plan, o.rule)) end
	local after = o.after
	if after and after.action == "promote" then add "run etcd-bootstrap finish: this machine's etcd is a learner still" end
	if after and after.action == "fail" then add(after.reason) end
	local fine = after and "nothing: this machine's etcd runs as it should" or "nothing that shows from here"
	if not list[1] then add(fine) end
	return list
end

return advice
