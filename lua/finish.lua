-- finish.lua - after etcd's start: what is still to be done until this machine's etcd is a voter of
-- a working cluster.  Rows 3 to 5 of the decision table are told, not done: they want etcd stopped.
-- Pure: facts -> plan.
local facts = require "facts"
local plan = require "plan"

local finish = {}

-- Rows 3 and 4: the working cluster is not, or no longer, this etcd's.
local function out_of_place(f, probe)
	local cluster = f.cluster
	if not cluster then return end
	if cluster.id ~= probe.cluster_id then
		return plan.of("fail", ("this machine's etcd runs as a member of %s, and cluster %s has quorum: "
			.. "stop it, then run again"):format(plan.hex(probe.cluster_id), plan.hex(cluster.id)))
	end
	if cluster.strong and f.data_dir.member_id and not facts.listed(cluster, f.data_dir.member_id) then
		return plan.of("fail", ("member %s was removed from cluster %s: stop this machine's etcd, then run again"):format(
			plan.hex(f.data_dir.member_id), plan.hex(cluster.id)))
	end
end

-- Row 5, as far as it shows while etcd runs: the founding waits for machines that will not come.
local function unfinished(f, probe)
	if probe.verdict ~= "founding" or f.cluster then return end
	local gone, hopeless = facts.lost(f, probe.members, probe.cluster_id)
	if not hopeless then return end
	return plan.of("fail", ("the founding of %s can never finish, %d of its %d machines are gone or empty: "
		.. "stop this machine's etcd, then run again"):format(plan.hex(probe.cluster_id), gone, #probe.members))
end

-- A learner is promoted; one that is not in sync yet is tried again.
local function promote(f, probe)
	local member = f.cluster and probe.member_id and facts.find(f.cluster.members, probe.member_id)
	if not member then
		return plan.wait("this machine's etcd is a learner, and no voter of its cluster answers")
	end
	return plan.of("promote", ("member %s, this machine's, is a learner and answers"):format(plan.hex(member.id)),
		{ member = member.id })
end

-- Why this machine's etcd is not seen to run.
local function silence(f, probe)
	if not probe then return f.inventory_why or "its address is not known" end
	if probe.verdict == "waiting" then return "etcd-bootstrap run still waits, and has not started it" end
	return probe.verdict == "refused" and "connection refused" or probe.why
end

---@param f Facts
---@return Plan  `start` says that nothing is left to do
function finish.decide(f)
	local probe = facts.probe_at(f, f.me.peer_urls[1])
	if not probe or not facts.is_etcd(probe) then
		return plan.wait("this machine's etcd does not answer yet: " .. silence(f, probe))
	end
	local wrong = out_of_place(f, probe) or unfinished(f, probe)
	if wrong then return wrong end
	if probe.verdict == "learner" then return promote(f, probe) end
	if probe.verdict == "quorum" then
		return plan.of("start", ("this machine's etcd is a voter of cluster %s, which has quorum"):format(
			plan.hex(probe.cluster_id)))
	end
	return plan.wait(("this machine's etcd runs, and cluster %s has no quorum yet"):format(plan.hex(probe.cluster_id)))
end

return finish
