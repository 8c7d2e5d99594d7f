-- oracle.lua - checks the gate against the truth.  It enumerates true worlds of up to five members,
-- derives what one machine can see of each, proposes every plan that a careless policy could
-- propose, and carries out what the gate admits.  Then it looks at the true world again: no second
-- cluster, no acknowledged entry lost, a majority alive where one was, no live machine removed.
-- It shares nothing with the gate but the shape of the facts.
local families = require "spec.oracle.worlds"
local gate = require "core.gate"
local truth = require "spec.oracle.truth"

local alive, copy, has, has_quorum, majority, split =
	truth.alive, truth.copy, truth.has, truth.has_quorum, truth.majority, truth.split

local oracle = {}

-- What is true after it -----------------------------------------------------------------------

-- Whether some disk is this member, or may still become it; and whether each that is holds w.
local function capable(world, c, member)
	local able, holds = false, true
	for _, m in pairs(world.machines) do
		local held = m.disk.claim
		local is = m.disk.cluster == c.id and m.disk.member == member.id
		local may = not m.disk.cluster and held and held.cluster == c.id and held.member == member.id
		if alive(m) and (is or may) then
			able, holds = true, holds and is and m.disk.w == true
		end
	end
	return able, able and holds
end

-- Whether an etcd of this founding runs, or may start because one machine holds all others ready.
local function begun(world, c)
	for _, m in pairs(world.machines) do
		if alive(m) and m.disk.cluster == c.id then return true end
		local held = not m.disk.cluster and m.disk.claim
		if alive(m) and held and held.cluster == c.id and held.kind == "founding" then
			local all = true
			for _, name in ipairs(split(held.names)) do
				all = all and (name == m.id or has(m.counts, name))
			end
			if all then return true end
		end
	end
	return false
end

local function assess(world)
	local now = {}
	for number, c in pairs(world.clusters) do
		local votes, able, without, holders = 0, 0, 0, 0
		for _, member in ipairs(c.members) do
			local can, holds = capable(world, c, member)
			holders = holders + (holds and 1 or 0)
			if not member.learner then
				votes = votes + 1
				able = able + (can and 1 or 0)
				without = without + (can and not holds and 1 or 0)
			end
		end
		local need = majority(votes)
		now[number] = { possible = able >= need and begun(world, c), quorum = has_quorum(world, c),
			lost = c.w and (without >= need or holders == 0) or false, holders = c.w and holders or 0 }
	end
	return now
end

local function name_cluster(c)
	return "cluster " .. c.names
end

-- What went wrong between two worlds, as a sentence, or nil.
function oracle.damage(before, after)
	local was, is = assess(before), assess(after)
	for number, now in pairs(is) do
		local then_, c = was[number] or {}, after.clusters[number]
		if now.lost and not then_.lost then
			return ("the entry that %s acknowledged is lost: a majority can run without it"):format(name_cluster(c))
		end
		if then_.quorum and not now.quorum then
			return name_cluster(c) .. " had a running majority and has none"
		end
		if then_.possible and not now.possible and c.used then
			return name_cluster(c) .. " could have a majority and cannot any more"
		end
		for other, rival in pairs(is) do
			if now.possible and not then_.possible and other ~= number and (rival.possible or rival.holders > 0) then
				return ("a second cluster: %s can take writes beside %s"):format(name_cluster(c),
					name_cluster(after.clusters[other]))
			end
		end
	end
end

-- Carrying out --------------------------------------------------------------------------------

local function known_cluster(world, number, list)
	if not world.clusters[number] then
		local names = {}
		for i, founder in ipairs(list) do names[i] = founder.name end
		truth.cluster(world, table.concat(names), {})
	end
	return world.clusters[number]
end

local act = {}

function act.claim(world, me, allowed)
	local names = {}
	for i, founder in ipairs(allowed.members) do names[i] = founder.name end
	me.disk.claim = { kind = "founding", cluster = tonumber(allowed.cluster_id), member = tonumber(allowed.member_id),
		names = table.concat(names) }
	known_cluster(world, tonumber(allowed.cluster_id), allowed.members)
	-- A second step: the others of this founding ask again, and hold me ready from now on.
	for _, m in pairs(world.machines) do
		local held = not m.disk.cluster and m.disk.claim
		if m ~= me and held and held.cluster == me.disk.claim.cluster and m.answers then
			m.counts = copy(m.counts) or {}
			table.insert(m.counts, me.id)
		end
	end
end

function act.new(world, me, allowed)
	known_cluster(world, tonumber(allowed.cluster_id), allowed.members)
	-- Beside a log etcd ignores what it is told to found.
	if not me.disk.cluster then
		me.disk = { cluster = tonumber(allowed.cluster_id), member = tonumber(allowed.member_id), unused = true }
	end
	me.proc = "running"
end

function act.start(_, me, allowed)
	if not me.disk.cluster and allowed.member_id then
		me.disk = { cluster = tonumber(allowed.cluster_id), member = tonumber(allowed.member_id) }
	end
	me.proc = "running"
end

function act.aside(world, me)
	local c = world.clusters[me.disk.cluster]
	local listed = false
	for _, member in ipairs(c and c.used and not me.disk.unused and c.members or {}) do
		listed = listed or member.id == me.disk.member
	end
	me.disk, me.proc = {}, "stopped"
	return listed and "the used disk of a listed member was given up" or nil
end

local function change(world, allowed, f)
	local c = world.clusters[tonumber(allowed.cluster_id)]
	if not c or not has_quorum(world, c) then return end -- nothing commits
	for i, member in ipairs(c.members) do
		if member.id == tonumber(allowed.member_id) then return f(c, member, i) end
	end
	return f(c)
end

function act.add(world, me, allowed)
	return change(world, allowed, function(c)
		table.insert(c.members, { id = c.id + 0x10 + #c.members, owner = me.id, name = me.id, started = false, learner = allowed.learner })
	end)
end

function act.promote(world, _, allowed)
	return change(world, allowed, function(_, member)
		if member then member.learner = false end
	end)
end

function act.update(world, me, allowed)
	return change(world, allowed, function(_, member)
		if member and member.owner ~= me.id then
			return ("the address of %s, which lives, was overwritten"):format(member.owner)
		end
	end)
end

function act.remove(world, me, allowed)
	return change(world, allowed, function(c, member, i)
		if not member then return end
		table.remove(c.members, i)
		local owner = world.machines[member.owner]
		local intact = owner.disk.cluster == c.id and owner.disk.member == member.id
		local mine = owner == me and (not intact or member.learner)
		if alive(owner) and not mine then
			return ("member %x was removed, and its machine %s lives"):format(member.id, member.owner)
		end
	end)
end

function act.leave(world, me, allowed)
	return change(world, allowed, function(c, member, i)
		if not member then return end
		table.remove(c.members, i)
		if alive(world.machines[member.owner]) and member.owner ~= me.id then
			return ("%s left for member %x, which is %s's"):format(me.id, member.id, member.owner)
		end
		if not c.members[1] then return "the last member left, and took all that was written with it" end
	end)
end

-- Plans ---------------------------------------------------------------------------------------

function oracle.plans(facts)
	local plans = { { action = "claim" }, { action = "new" }, { action = "start" }, { action = "aside" },
		{ action = "add", learner = false }, { action = "add", learner = true } }
	local seen = {}
	for _, probe in pairs(facts.probes) do
		for _, member in ipairs(probe.members or {}) do
			if not seen[member.id] then
				seen[member.id] = true
				for _, action in ipairs { "remove", "promote", "update", "leave" } do
					table.insert(plans, { action = action, member = member.id })
				end
			end
		end
	end
	for _, plan in ipairs(plans) do plan.reason = "careless" end
	return plans
end

-- Describing ----------------------------------------------------------------------------------

local function describe_disk(world, disk)
	local function name(number) return world.clusters[number] and name_cluster(world.clusters[number]) or "?" end
	if disk.cluster then
		return ("data of %s%s%s"):format(name(disk.cluster), disk.unused and ", unused" or "", disk.w and ", holds w" or "")
	elseif disk.claim then
		return ("empty disk, %s claim of %s"):format(disk.claim.kind, name(disk.claim.cluster))
	end
	return "empty disk"
end

function oracle.describe(world)
	local lines = { "  true:" }
	local function line(...) lines[#lines + 1] = "    " .. (...):format(select(2, ...)) end
	for _, c in pairs(world.clusters) do
		local members = {}
		for _, m in ipairs(c.members) do
			members[#members + 1] = m.owner .. (m.learner and " (learner)" or "") .. (m.started and "" or " (not started)")
		end
		line("%s: members %s%s", name_cluster(c), table.concat(members, " "), c.w and "; acknowledged w" or "")
	end
	for _, name in ipairs(world.order) do
		local m = world.machines[name]
		line("%s%s: %s, %s, etcd %s%s%s", name, name == world.me and " (me)" or "", m.state, describe_disk(world, m.disk), m.proc,
			m.reach and "" or ", not to be reached from me", m.counts and #m.counts > 0 and ", counts on " .. table.concat(m.counts, " ") or "")
	end
	lines[#lines + 1] = "  seen:"
	local facts = truth.see(world)
	for _, name in ipairs(world.order) do
		local probe = facts.probes[name]
		local state = world.list and world.list.states[name]
		if name ~= world.me then
			line("%s: %s; on the list: %s", name, probe and probe.verdict or "not asked", state or "no")
		end
	end
	if world.list then
		line("list %s, %s, %d s old, desired %s", world.list.complete == false and "incomplete" or "complete",
			world.list.settled == false and "not settled" or "settled", world.list.age or 1, tostring(world.list.desired))
	end
	for name, heard in pairs(facts.roll_call.heard) do
		local a = heard.last or heard.empty
		if a then line("%s said in this run: empty%s", name, a.ready and ", ready" or "") end
	end
	if world.changed then line("a change was made in this turn already") end
	return table.concat(lines, "\n")
end

local function describe_plan(plan)
	local target = plan.member and (" %x"):format(tonumber(plan.member)) or ""
	return plan.action .. target .. (plan.learner and " as learner" or plan.action == "add" and " as voter" or "")
end

-- Running -------------------------------------------------------------------------------------

-- The damage that this plan does to the world when the gate admits it -> admitted, damage
local function try(world, facts, plan)
	local permit = gate.check(facts, plan, {})
	if not permit then return false end
	local allowed, after = permit:take(plan.action), copy(world)
	local fault = act[plan.action](after, after.machines[after.me], allowed)
	return true, fault or oracle.damage(world, after)
end

-- All worlds of the families (default: of all) and their plans -> {worlds, plans, admitted, loss}.
-- The first loss for which enough(facts, plan) holds ends it and is told.
function oracle.run(names, enough)
	local tally = { worlds = 0, plans = 0, admitted = 0, by = {} }
	local function visit(world)
		if tally.loss then return end
		tally.worlds = tally.worlds + 1
		local facts = truth.see(world)
		for _, plan in ipairs(oracle.plans(facts)) do
			local admitted, damage = try(world, facts, plan)
			tally.plans = tally.plans + 1
			if admitted then
				tally.admitted = tally.admitted + 1
				tally.by[plan.action] = (tally.by[plan.action] or 0) + 1
			end
			if damage and not tally.loss and (not enough or enough(facts, plan)) then
				tally.loss = ("%s\n  plan: %s\n  lost: %s"):format(oracle.describe(world), describe_plan(plan), damage)
			end
		end
	end
	for _, name in ipairs(names or families.order) do families[name](visit) end
	return tally
end

-- Which worlds a rule protects: with it off, a loss is found in each of these families (by that
-- action, where one is named).
oracle.protects = {
	{ "one-at-a-time", "growing" },
	{ "incomplete-list", "unlisted" },
	{ "incomplete-list", "removing" },
	{ "desired-size", "joining", "claim" },
	{ "leaving", "replacing" },
	{ "roll-call", "founding", "claim" },
	{ "roll-call", "hasty", "new" },
	{ "claim", "flipping" },
	{ "marker", "marked" },
	{ "amnesia", "joining" },
	{ "amnesia", "reused" },
	{ "data-dir", "restarting", "aside" },
	{ "data-dir", "restarting", "update" },
	{ "data-dir", "misread", "aside" },
	{ "data-dir", "departing", "leave" },
	{ "not-proven-dead", "joining" },
	{ "quorum-after", "growing" },
	{ "quorum-after", "departing", "leave" },
	{ "one-at-a-time", "departing", "leave" },
}

-- Rules that are, in this family, a second layer behind another: the pair must not both be off.
-- With both off there is a loss that the first alone would have prevented.
oracle.layers = {
	{ "rivals", "roll-call", "rivals" },
	{ "desired-size", "roll-call", "resizing" },
	{ "pending", "quorum-after", "growing" },
	{ "pending", "quorum-after", "departing", "leave" },
}

-- Rules whose worlds are not of this model: pure specs show them.
oracle.excepted = { paused = true, version = true }

-- The first loss of the family with this rule off.
function oracle.without(rule, family, action)
	gate.off(rule)
	local tally = oracle.run({ family }, function(_, plan) return not action or plan.action == action end)
	gate.off()
	return tally.loss
end

-- The first loss of the family with both off that `rule` alone would have prevented.
function oracle.without_both(rule, other, family, action)
	local function rule_prevents(facts, plan)
		if action and plan.action ~= action then return false end
		gate.off(other)
		local permit, _, name = gate.check(facts, plan)
		gate.off(rule, other)
		return not permit and name == rule
	end
	gate.off(rule, other)
	local tally = oracle.run({ family }, rule_prevents)
	gate.off()
	return tally.loss
end

return oracle
