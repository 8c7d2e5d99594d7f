-- members.lua - rows 12 to 15 of the decision table: an empty machine and a cluster that works.  Pure.
local changes = require "members"
local facts = require "facts"
local journal = require "journal"
local plan = require "plan"

local rows = {}

local NEVER_STARTED = 900 -- seconds until a learner that never started may go

local function my_slot(f)
	local claim = f.data_dir.claim
	for _, member in ipairs(f.cluster.members) do
		if facts.is_mine(member, f.me, claim) then return member end
	end
end

-- Row 12 leaves a slot alone whose name belongs to a machine that may live.
local function name_of_another(f, member)
	if member.name == "" or member.name == f.me.name then return nil end
	local inventory = f.inventory
	if not inventory then return "the list of machines is unknown" end
	for _, instance in ipairs(inventory.instances) do
		if instance.etcd_name == member.name and instance.state ~= "dead" then
			return "machine " .. instance.id .. " has that name and may live"
		end
	end
	if facts.dead(member, inventory, f.cluster) == "word" then return nil end
	if facts.absence_counts(member.name, inventory, f.cluster) then return nil end
	return "the list of machines cannot prove that nobody has that name"
end

-- Hidden data: whether the disk was lost cannot be known, so a slot that has started is kept.
local function hidden_start(f, member)
	local added = plan.tried(f, "add", member.id)
	if member.started or (added and added.ok and not journal.asked_remove(f.journal, f.cluster.id, member.id)) then
		return plan.of("start", ("member %s is this machine's slot; with data_dir = false it cannot be known whether "
			.. "its disk was lost"):format(plan.hex(member.id)), { warn = member.started })
	end
end

function rows.row_12_own_slot(f)
	local cluster = f.cluster
	local member = cluster and my_slot(f)
	if not member then return end
	if f.data_dir.state == "hidden" then
		local start = hidden_start(f, member)
		if start then return start end
	end
	if not cluster.strong then
		return plan.wait(("cluster %s lists %s as this machine's slot; a majority of its voters must say so themselves "
			.. "before the slot is given up"):format(plan.hex(cluster.id), plan.who(member)))
	end
	local reason = name_of_another(f, member)
	if reason then
		return plan.wait(("the slot at this machine's address is %s: %s"):format(plan.who(member), reason))
	end
	return plan.of("remove", ("this machine's disk does not hold the data of %s: the slot is given up and added anew")
		:format(plan.who(member)), { member = member.id, own = true })
end

function rows.row_13_promote(f)
	local cluster = f.cluster
	if not cluster then return end
	local last = f.history[#f.history] -- of the turn before, when it was refused then
	if last and last.turn ~= f.turn - 1 then last = nil end
	for _, member in ipairs(cluster.members) do
		local refused = last and last.action == "promote" and last.member == member.id and not last.ok
		if member.learner and not refused and facts.answered(member, f.probes, "learner") then
			return plan.of("promote", ("%s is a learner and answers"):format(plan.who(member)), { member = member.id })
		end
	end
end

local function grace_left(f, options, member)
	local known = f.journal.dead_since[member.id]
	if not known then return math.huge end
	return known.at + (known.word and options.evict_after or options.evict_gone_after) - f.now
end

-- A member that row 14 may remove -> why, and how long the grace still lasts; nil: it stays
local function removable(f, options, member)
	if not facts.silent(member, f.probes) then return nil end
	local how = facts.dead(member, f.inventory, f.cluster)
	if how then
		local why = how == "word" and "its machine is dead, the provider says" or "its machine is gone from a complete list"
		return why, grace_left(f, options, member)
	end
	local seen = f.journal.pending_since[member.id]
	if member.learner and not member.started and seen and f.now - seen >= NEVER_STARTED then
		return "this learner has never started", 0
	end
end

local function nameless_learners_first(members)
	local list = {}
	for _, member in ipairs(members) do table.insert(list, member) end
	table.sort(list, function(a, b)
		local x, y = a.learner and a.name == "", b.learner and b.name == ""
		if x ~= y then return x end
		return a.id < b.id
	end)
	return list
end

function rows.row_14_evict(f, options)
	if not f.cluster or not options.evict then return end
	local grace
	for _, member in ipairs(nameless_learners_first(f.cluster.members)) do
		local why, left = removable(f, options, member)
		local what = why and ("%s is silent and %s"):format(plan.who(member), why)
		if why and left <= 0 then return plan.of("remove", what, { member = member.id }) end
		if why and left < math.huge then grace = grace or { what = what, left = left } end
	end
	if grace then
		return plan.wait(("%s; it is removed after its grace, at %s UTC"):format(grace.what,
			os.date("!%H:%M:%S", math.ceil(f.now + grace.left))))
	end
end

local function pending(cluster)
	for _, member in ipairs(cluster.members) do
		if not member.started or member.learner then return member end
	end
end

local function quiet_because(f, member)
	for _, probe in pairs(f.probes) do
		if probe.member_id == member.id or facts.at_address(probe, member) then return plan.describe(probe) end
	end
	return "was not asked"
end

local function quiet_voters(f)
	local quiet = {}
	for _, member in ipairs(facts.voters(f.cluster)) do
		if not facts.answered(member, f.probes, "quorum") then
			table.insert(quiet, { instance = member.instance or plan.who(member), why = quiet_because(f, member) })
		end
	end
	return quiet
end

function rows.row_15_add(f)
	local cluster = f.cluster
	if not cluster then return end
	if not f.me.peer_urls[1] then return plan.wait("this machine's address is not known") end
	local count = #facts.voters(cluster)
	if not f.desired then
		return plan.wait("how many members are wanted is not known: set size in the policy")
	end
	if count >= f.desired then
		return plan.wait(("cluster %s has %s of %d wanted already"):format(plan.hex(cluster.id), plan.count(count, "voter"),
			f.desired), { waiting_for = quiet_voters(f) })
	end
	local before_me = pending(cluster)
	if before_me then
		return plan.wait(("%s was added to cluster %s and has not %s yet: one at a time"):format(
			plan.who(before_me), plan.hex(cluster.id), before_me.learner and "been promoted" or "started"))
	end
	local quiet = quiet_voters(f)
	if quiet[1] then
		return plan.wait(("every voter of cluster %s must answer before a machine is added"):format(plan.hex(cluster.id)),
			{ waiting_for = quiet })
	end
	local holds = count >= facts.majority(count + 1)
	local text = ("cluster %s has %d of %d voters, and all of them answer"):format(plan.hex(cluster.id), count, f.desired)
	if not holds and not changes.can_learn(cluster) then
		return plan.wait(text .. "; a voter more would take its quorum until it has started, and it cannot have learners")
	end
	if not holds and not f.promoter then
		text = text .. "; as a learner, for a voter would take its quorum: "
			.. "etcd-bootstrap finish must be run after etcd's start"
	end
	return plan.of("add", text, { learner = changes.can_learn(cluster) and (f.promoter or not holds) })
end

return rows
