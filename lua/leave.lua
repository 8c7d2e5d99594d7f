-- leave.lua - this machine's member leaves its cluster, because a person wants it to: what is next
-- until the cluster lists it no more.  Whether etcd runs here does not matter, as long as the others
-- are a majority of what remains.  Pure: facts -> plan.
local facts = require "facts"
local plan = require "plan"
local data_rows = require "rows.data"
local empty_rows = require "rows.empty"

local leave = {}

-- Who this machine is: what its disk says, and where that cannot be seen, the etcd that answers here.
-- -> cluster id, member id
local function identity(f)
	local data, running = f.data_dir, f.me.running
	if data.state == "member" then return data.cluster_id, data.member_id end
	if data.state == "hidden" and running then return running.cluster_id, running.member_id end
end

local function unreadable(f)
	local state = f.data_dir.state
	if state ~= "damaged" and state ~= "unknown" then return end
	return plan.of("fail", ("which member this machine is cannot be read from %s: %s; find its id with status and remove "
		.. "it with etcdctl member remove"):format(f.data_dir.path, f.data_dir.why))
end

local function no_quorum(f)
	if f.cluster then return end
	return plan.wait("no cluster with quorum answers, and only its quorum can let a member go; "
		.. "diagnose tells what is missing", { waiting_for = plan.silent(f) })
end

local function gone(cluster)
	return plan.of("standby", ("cluster %s lists no member of this machine"):format(plan.hex(cluster.id)))
end

-- A lost disk, or one that was only promised a slot: the slot at this machine's address goes, as in row 12.
local function without_data(f)
	local running = data_rows.row_0_running(f)
	if running and f.data_dir.state == "empty" then return running end
	for _, member in ipairs(f.cluster.members) do
		if facts.is_mine(member, f.me, f.data_dir.claim) then
			if f.data_dir.state == "hidden" then
				return plan.of("fail", ("with data_dir = false only a running etcd says which member this machine is: "
					.. "start it, or remove %s with etcdctl"):format(plan.who(member)))
			end
			return plan.of("remove", ("%s is this machine's, which has no data of it"):format(plan.who(member)),
				{ member = member.id, own = true })
		end
	end
	return gone(f.cluster)
end

local function elsewhere(f, cluster_id)
	if f.cluster.id == cluster_id then return end
	return plan.of("fail", ("this machine is a member of cluster %s, and cluster %s has quorum: see diagnose"):format(
		plan.hex(cluster_id), plan.hex(f.cluster.id)))
end

---@param f Facts
---@return Plan  `standby` says that nothing is left to do
function leave.decide(f)
	local stop = empty_rows.row_7_rivals(f) or unreadable(f) or no_quorum(f)
	if stop then return stop end
	local cluster_id, member_id = identity(f)
	if not member_id then return without_data(f) end
	stop = elsewhere(f, cluster_id)
	if stop then return stop end
	local cluster = f.cluster
	if facts.listed(cluster, member_id) then
		return plan.of("leave", ("member %s, this machine's, is to leave cluster %s"):format(
			plan.hex(member_id), plan.hex(cluster.id)), { member = member_id, own = true })
	end
	if cluster.strong then return gone(cluster) end
	return plan.wait(("a majority of cluster %s must say itself that it lists member %s no more"):format(
		plan.hex(cluster.id), plan.hex(member_id)))
end

return leave
