-- careless.lua - policies that propose what one rule of the gate is there to refuse, and are steady
-- in all else.  For chaos with that rule switched off.

local steady = require "policies.steady"

local careless = {}

local function plan(action, more)
	local p = more or {}
	p.action, p.reason = action, "carelessly"
	return p
end

local function lists_me(f, members)
	for _, member in ipairs(members or {}) do
		for _, url in ipairs(member.peer_urls) do
			if url == f.me.peer_urls[1] then
				return true
			end
		end
	end
end

-- An empty disk takes whatever slot stands at this address.
function careless.amnesia(f)
	if f.data_dir.state ~= "empty" or f.data_dir.claim then
		return
	end
	for _, probe in pairs(f.probes) do
		if (probe.verdict == "quorum" or probe.verdict == "no-quorum") and lists_me(f, probe.members) then
			return plan "start"
		end
	end
end

-- Whoever sees no working cluster founds one.
careless["roll-call"] = function(f)
	if f.data_dir.state ~= "empty" or f.cluster or not f.founding then
		return
	end
	local claim = f.data_dir.claim
	local claimed = claim and claim.cluster_id == f.founding.cluster_id
	return plan(claimed and "new" or "claim", { members = f.founding.list })
end

-- Data that no working cluster vouches for is moved out of the way.
careless["data-dir"] = function(f)
	if f.data_dir.state == "member" and not f.cluster and not f.me.running then
		return plan "aside"
	end
end

-- Whoever comes to a cluster makes room for itself.
careless["not-proven-dead"] = function(f)
	local cluster = f.cluster
	if f.data_dir.state ~= "empty" or f.data_dir.claim or not cluster or lists_me(f, cluster.members) then
		return
	end
	for _, member in ipairs(cluster.members) do
		if not member.learner and cluster.members[2] then
			return plan("remove", { member = member.id })
		end
	end
end

-- Whoever is added is a voter at once.
careless["quorum-after"] = function(f, calm)
	local p = calm(f)
	if p and p.action == "add" then
		p.learner = false
	end
	return p
end

return function(rule)
	local calm = steady { evict_after = 1, evict_gone_after = 1 }
	local own = assert(careless[rule], "no careless policy for the rule " .. rule)
	return function(f)
		return own(f, calm) or calm(f)
	end
end
