-- data.lua - rows 0 to 6 of the decision table: a machine whose disk holds something.  Pure.
local facts = require "facts"
local plan = require "plan"

local rows = {}

function rows.row_0_running(f)
	local running, data = f.me.running, f.data_dir
	if not running then return end
	if data.state == "empty" then
		return plan.of("fail", "an etcd answers on this machine's own ports, yet its data directory is empty: "
			.. "it keeps its data elsewhere; stop it, or set etcd.data_dir")
	end
	if data.state == "hidden" then return plan.of("start", "etcd runs here already") end
	local same = data.state == "member"
		and (running.cluster_id == nil or running.cluster_id == data.cluster_id)
		and (running.member_id == nil or running.member_id == data.member_id)
	if same then return plan.of("start", "etcd runs here already, on this data") end
	return plan.of("fail", ("the etcd on this machine's own ports is not the one whose data is in %s%s"):format(
		data.path or "the data directory", data.why ~= "" and ": " .. data.why or ""))
end

function rows.row_1_damaged(f)
	if f.data_dir.state ~= "damaged" then return end
	return plan.of("fail", ("the data in %s is damaged: %s; move it away by hand, and with the others' quorum this "
		.. "machine joins anew; without it see diagnose"):format(f.data_dir.path, f.data_dir.why))
end

function rows.row_2_listed(f)
	local data, cluster = f.data_dir, f.cluster
	if data.state ~= "member" or not cluster or cluster.id ~= data.cluster_id then return end
	local member = facts.find(cluster.members, data.member_id)
	if not member then return end
	local moved = f.inventory and not facts.at_my_address(member, f.me)
	if moved and member.learner and not plan.tried(f, "remove", member.id) then
		return plan.of("remove", ("this machine's address changed to %s; a learner is removed and added again"):format(
			table.concat(f.me.peer_urls, ",")), { member = member.id, own = true })
	end
	if moved and not member.learner and not plan.tried(f, "update", member.id) then
		return plan.of("update", ("this machine's address changed from %s to %s"):format(
			table.concat(member.peer_urls, ","), table.concat(f.me.peer_urls, ",")), { member = member.id })
	end
	return plan.of("start", ("the data is of member %s, listed by the working cluster %s"):format(
		plan.hex(data.member_id), plan.hex(data.cluster_id)))
end

function rows.row_3_removed(f)
	local data, cluster = f.data_dir, f.cluster
	if data.state ~= "member" or not cluster or cluster.id ~= data.cluster_id or not cluster.strong then return end
	if facts.listed(cluster, data.member_id) then return end
	return plan.of("aside", ("member %s was removed from cluster %s: its data is moved aside, then this machine "
		.. "joins anew"):format(plan.hex(data.member_id), plan.hex(cluster.id)))
end

local function remembered(f, cluster_id)
	for _, id in ipairs(f.journal.clusters) do
		if id == cluster_id then return true end
	end
	return false
end

function rows.row_4_other_cluster(f)
	local data, cluster = f.data_dir, f.cluster
	if data.state ~= "member" or not cluster or cluster.id == data.cluster_id then return end
	if data.unused then
		return plan.of("aside", ("the data is of a founding of %s that never had quorum, and cluster %s works"):format(
			plan.hex(data.cluster_id), plan.hex(cluster.id)))
	end
	if remembered(f, data.cluster_id) then
		return plan.of("start", ("the data is of cluster %s, which this machine knows as its own, though cluster %s "
			.. "has quorum: look into this, one of them is a rogue"):format(
			plan.hex(data.cluster_id), plan.hex(cluster.id)), { warn = true })
	end
	return plan.of("fail", ("the data in %s belongs to cluster %s, the live cluster is %s: mount the right volume, "
		.. "or move this data away by hand"):format(data.path, plan.hex(data.cluster_id), plan.hex(cluster.id)))
end

function rows.row_5_hopeless(f)
	local data = f.data_dir
	if data.state ~= "member" or not data.unused or f.cluster or facts.two_with_quorum(f) then return end
	local gone, hopeless = facts.lost(f, data.founders, data.cluster_id)
	if hopeless then
		return plan.of("aside", ("the founding of %s can never finish: %d of its %s are gone or empty"):format(
			plan.hex(data.cluster_id), gone, plan.count(#data.founders, "machine")))
	end
	-- Once started, its etcd would be in the way of what a later read of the list proves.
	if not f.inventory or facts.settled(f.inventory) then return end
	gone, hopeless = facts.lost(facts.once_settled(f), data.founders, data.cluster_id)
	if not hopeless then return end
	return plan.wait(("the founding of %s can never finish if the list of machines stays as it is for %g s: %d of its %s "
		.. "are gone or empty"):format(plan.hex(data.cluster_id), f.inventory.lag, gone,
		plan.count(#data.founders, "machine")))
end

function rows.row_6_data(f)
	if f.data_dir.state ~= "member" then return end
	local data = f.data_dir
	local what = ("the data is of member %s of cluster %s"):format(plan.hex(data.member_id), plan.hex(data.cluster_id))
	for _, cluster in ipairs(f.clusters) do
		if cluster.id == data.cluster_id and facts.find(cluster.members, data.member_id) then
			return plan.of("start", what .. ", whose members list it")
		end
	end
	return plan.of("start", what .. "; no working cluster says otherwise")
end

function rows.row_unknown_data(f)
	if f.data_dir.state ~= "unknown" then return end
	return plan.wait("the data directory could not be read: " .. f.data_dir.why)
end

return rows
