-- rollcall.lua - the founding's roll call: what this machine answers, what the others' answers are
-- kept for, and what they allow.  The rules and the worlds behind them are numbered as in the
-- manual's chapter on founding.  Pure: boot.lua asks and serves.
--
-- What is remembered lasts for one run, on purpose: after a crash it is asked for again.
local facts = require "facts"

local rollcall = {}

function rollcall.new()
	return { heard = {}, running = {} }
end

local function heard(rc, name)
	local entry = rc.heard[name]
	if not entry then
		entry = {}
		rc.heard[name] = entry
	end
	return entry
end

local function names(set)
	local list = {}
	for name in pairs(set) do table.insert(list, name) end
	table.sort(list)
	return list
end

local function counts(answer, name)
	for _, counted in ipairs(answer.counts) do
		if counted == name then return true end
	end
	return false
end

-- Memory --------------------------------------------------------------------------------------

-- The list is now L (its cluster id, or nil while unknown): what was heard about another is
-- cleared; being `running` is not, and neither is a proof as long as this machine withdraws.
function rollcall.about(rc, cluster_id, claim)
	rc.unknown = cluster_id == nil
	if not cluster_id then return end
	if rc.cluster_id ~= cluster_id then
		rc.cluster_id = cluster_id
		for _, entry in pairs(rc.heard) do entry.empty, entry.last = nil, nil end
	end
	if not claim or claim.kind ~= "founding" or claim.cluster_id == cluster_id then
		rc.withdrawn = nil
		for _, entry in pairs(rc.heard) do entry.proof, entry.proof_sent = nil, nil end
	end
end

-- Whether the claim on this disk is for another list than L.
function rollcall.withdraws(rc, claim)
	return claim ~= nil and claim.kind == "founding" and rc.cluster_id ~= nil
		and claim.cluster_id ~= rc.cluster_id
end

-- A machine answered the question that was sent at `sent`.
function rollcall.store(rc, answer, sent, me)
	local entry = heard(rc, answer.name)
	entry.last = answer
	rc.running[answer.name] = nil
	local without_me = not counts(answer, me.name)
	if without_me and answer.cluster_id ~= nil and answer.cluster_id == rc.cluster_id then
		entry.empty = entry.empty or answer
	end
	if rc.withdrawn and sent > rc.withdrawn and without_me then
		entry.proof, entry.proof_sent = answer, sent
	end
end

-- An etcd of my claim's cluster was seen there.
function rollcall.saw_running(rc, name)
	rc.running[name] = true
end

-- Answering -----------------------------------------------------------------------------------

local function holds_ready(rc, entry)
	local last = entry.last
	return last ~= nil and last.ready and rc.cluster_id ~= nil
		and last.cluster_id == rc.cluster_id and last.claim == rc.cluster_id
end

-- What GET /bootstrap answers -> Answer.  `asking` is a set of names with a question on its way.
function rollcall.answer(rc, me, claim, asking)
	local counted = {}
	for name, entry in pairs(rc.heard) do
		if holds_ready(rc, entry) then counted[name] = true end
	end
	for name in pairs(rc.running) do counted[name] = true end
	for name in pairs(asking) do counted[name] = true end
	local promised = claim and claim.kind == "founding" and claim.cluster_id or nil
	return {
		name = me.name,
		data = "empty",
		cluster_id = not rc.unknown and rc.cluster_id or nil,
		claim = claim and claim.cluster_id or nil,
		ready = promised ~= nil and promised == rc.cluster_id and not rc.unknown,
		counts = names(counted),
	}
end

-- Deciding ------------------------------------------------------------------------------------
-- Each returns true, or false and for whom it waits: {instance, why}[].

local function others(list, me)
	local rest = {}
	for _, founder in ipairs(list) do
		if founder.name ~= me.name then table.insert(rest, founder) end
	end
	return rest
end

local function silence(f, founder)
	local probe = facts.probe_at(f, founder.peer_urls[1])
	if not probe then return "was not asked yet" end
	if probe.verdict == "refused" then return "refuses connections: neither etcd nor etcd-bootstrap runs there" end
	if probe.verdict == "waiting" then return "is there and has not answered for this list yet" end
	if facts.is_etcd(probe) then return "an etcd of another founding runs there" end
	return probe.why
end

local function each(f, list, judge)
	local waiting = {}
	for _, founder in ipairs(others(list, f.me)) do
		local why = judge(f.roll_call.heard[founder.name] or {}, founder)
		if why then table.insert(waiting, { instance = founder.name, why = why }) end
	end
	return waiting[1] == nil, waiting
end

-- 3.3: every other machine of L said in this run, and of this L: empty, and I do not count you.
function rollcall.all_empty(f)
	return each(f, f.founding.list, function(entry, founder)
		if entry.empty then return nil end
		if not entry.last then return silence(f, founder) end
		if entry.last.cluster_id == nil then return "does not know the list yet" end
		if entry.last.cluster_id ~= f.founding.cluster_id then return "sees another list of machines" end
		return "still counts on this machine from before"
	end)
end

-- 3.4: every other machine's last answer was `ready` for L.
function rollcall.all_ready(f)
	return each(f, f.founding.list, function(entry, founder)
		if holds_ready(f.roll_call, entry) then return nil end
		if not entry.last then return silence(f, founder) end
		return "has not claimed its place yet"
	end)
end

-- 3.6: the claim P may be replaced: every other machine of P is dead, or answered a question sent
-- after the withdrawal: empty, and I do not count you.
function rollcall.may_change(f)
	return each(f, f.data_dir.claim.list, function(entry, founder)
		local asked = f.roll_call.heard[facts.asked_as(founder, f.inventory, f.cluster)] or entry
		if asked.proof and f.roll_call.withdrawn then return nil end
		local member = { name = founder.name, peer_urls = founder.peer_urls }
		if facts.dead(member, f.inventory, f.cluster) then return nil end
		return "may still count on this machine's claim for the earlier list"
	end)
end

return rollcall
