-- empty.lua - rows 7 to 11 and 16 to 19 of the decision table: an empty machine, and what is seen of
-- clusters that it cannot simply join.  Pure.
local facts = require "facts"
local journal = require "journal"
local plan = require "plan"

local rows = {}

local function fails_rivals(f)
	local first, second = f.clusters[1], f.clusters[2]
	return plan.of("fail", ("two clusters have quorum at once: %s on %s, and %s on %s; stop one of them by hand"):format(
		plan.hex(first.id), table.concat(first.witnesses, ", "), plan.hex(second.id), table.concat(second.witnesses, ", ")),
		{ exit = 5 })
end

-- An etcd of that cluster, founding or without quorum, that lists the member as one that never
-- started -> its probe: of one that has, the log was removed by hand, whatever a claim says.  One that
-- lists nobody was killed right after it made its log: it holds nothing, and is of that founding.
local function listed_without_quorum(f, cluster_id, member_id)
	for _, probe in pairs(f.probes) do
		local down = probe.verdict == "founding" or probe.verdict == "no-quorum"
		if down and probe.cluster_id == cluster_id then
			local blank = probe.verdict == "founding" and probe.members and #probe.members == 0
			local member = facts.find(probe.members or {}, member_id)
			if blank or member and not member.started then return probe end
		end
	end
end

local GRAVE = { tls = true, auth = true, denied = true, http = true, missing = true, parse = true }

-- Who answers something that is not understood; of one cluster, those that named it all the same.
local function not_understood(f, cluster_id)
	local list = {}
	for _, probe in pairs(f.probes) do
		if probe.verdict == "unknown" and GRAVE[probe.code] and (not cluster_id or probe.cluster_id == cluster_id) then
			table.insert(list, { instance = probe.name or probe.key, why = probe.why })
		end
	end
	table.sort(list, function(a, b) return a.instance < b.instance end)
	return list
end

function rows.row_7_rivals(f)
	if facts.two_with_quorum(f) then return fails_rivals(f) end
	local marker, cluster = f.marker, f.cluster
	if cluster and marker and marker.confirmed and marker.cluster_id ~= cluster.id then
		return plan.of("fail", ("cluster %s has quorum, but %s was founded here before: one of them is a rogue"):format(
			plan.hex(cluster.id), plan.hex(marker.cluster_id)), { exit = 5 })
	end
end

function rows.row_8_leaving(f)
	local mine = facts.myself(f.inventory)
	if not mine or mine.state ~= "leaving" then return end
	if mine.why then return plan.wait(("this machine %s, so it joins nothing"):format(mine.why)) end
	return plan.wait("the provider says that this machine is leaving")
end

function rows.row_9_resume(f)
	local claim = f.data_dir.claim
	if not claim or claim.kind ~= "founding" or f.cluster then return end
	local probe = listed_without_quorum(f, claim.cluster_id, claim.member_id)
	if not probe then return end
	return plan.of("new", ("the founding of %s that this disk has claimed a place in runs on %s"):format(
		plan.hex(claim.cluster_id), probe.name or probe.key), { members = claim.list })
end

function rows.row_10_added(f)
	local claim, cluster = f.data_dir.claim, f.cluster
	if not claim or not cluster or cluster.id ~= claim.cluster_id then return end
	local member = facts.find(cluster.members, claim.member_id)
	if not member or member.started or not facts.at_my_address(member, f.me) then return end
	if journal.asked_remove(f.journal, cluster.id, member.id) then return end
	return plan.of("start", ("this machine was added to cluster %s as member %s and has not started yet"):format(
		plan.hex(cluster.id), plan.hex(member.id)))
end

function rows.row_11_missing_vote(f)
	local claim = f.data_dir.claim
	if not claim or claim.kind ~= "join" or f.cluster then return end
	for _, probe in pairs(f.probes) do
		local member = probe.verdict == "no-quorum" and probe.cluster_id == claim.cluster_id
			and facts.find(probe.members or {}, claim.member_id)
		if member and not member.learner and not member.started then
			return plan.of("start", ("cluster %s has no quorum and lists this machine as a voter that never started: "
				.. "it may be the missing vote"):format(plan.hex(claim.cluster_id)))
		end
	end
end

-- Hidden data, no U: whether the disk was lost cannot be known, and the cluster may want this vote.
function rows.row_11_hidden(f)
	if f.data_dir.state ~= "hidden" or f.cluster or facts.two_with_quorum(f) then return end
	for _, probe in pairs(f.probes) do
		local down = probe.verdict == "no-quorum" or probe.verdict == "founding"
		for _, member in ipairs(down and probe.members or {}) do
			if member.started and facts.is_mine(member, f.me) then
				return plan.of("start", ("member %s of cluster %s, which has no quorum, is this machine's slot; with "
					.. "data_dir = false it cannot be known whether its disk was lost"):format(plan.hex(member.id),
					plan.hex(probe.cluster_id)), { warn = true })
			end
		end
	end
end

function rows.row_16_learner_only(f)
	for _, probe in pairs(f.probes) do
		if probe.verdict == "learner" then
			return plan.wait(("a learner of cluster %s answers, and no voter"):format(plan.hex(probe.cluster_id)))
		end
	end
end

-- With found = "refused" those who come later find the first one's etcd at work: row 20 takes them in.
local function begun(f, cluster)
	if f.found ~= "refused" then return false end
	for _, probe in pairs(f.probes) do
		if facts.is_etcd(probe) and probe.cluster_id == cluster.id and not facts.has_begun(f, probe) then return false end
	end
	return true
end

-- A cluster that refuses to tell this machine, for want of a login, say, may well have quorum.
function rows.row_17_no_quorum(f)
	for _, cluster in ipairs(f.clusters) do
		if not cluster.quorum and not not_understood(f, cluster.id)[1] and not begun(f, cluster) then
			local count = #facts.voters(cluster)
			if count == 0 then
				return plan.wait(("the founding of %s has begun on %s"):format(plan.hex(cluster.id),
					table.concat(cluster.witnesses, ", ")), { waiting_for = plan.silent(f) })
			end
			return plan.wait(("cluster %s exists and has no quorum: %d of its %s must run; "
				.. "start them on their data, or if their disks are lost, restore a snapshot"):format(
				plan.hex(cluster.id), facts.majority(count), plan.count(count, "voter")), { waiting_for = plan.silent(f) })
		end
	end
end

function rows.row_18_failures(f)
	local list = not_understood(f)
	if not list[1] then return end
	return plan.wait("something answers there that is not understood, and that is not an empty machine",
		{ waiting_for = list, exit = 4 })
end

function rows.row_19_marker(f)
	if f.marker_unknown then
		return plan.wait("whether a cluster was founded here before is not known: " .. f.marker_unknown)
	end
	local marker = f.marker
	if not marker or not marker.confirmed then return end
	local names = {}
	for _, founder in ipairs(marker.list) do table.insert(names, founder.name) end
	return plan.wait(("cluster %s was founded before, by %s: restore it, or clear the marker if it is gone for good")
		:format(plan.hex(marker.cluster_id), table.concat(names, ", ")))
end

return rows
