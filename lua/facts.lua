-- facts.lua - puts what was seen together: groups answers by cluster id, matches members with
-- instances once and by parsed address, and says what may be concluded of a machine.  Pure.
local net = require "core.net"

local facts = {}

local FRESH = 10 -- seconds that a list may be old at the act
local ETCD = { quorum = true, learner = true, ["no-quorum"] = true, founding = true }

-- Helpers -------------------------------------------------------------------------------------

function facts.majority(n)
	return n // 2 + 1
end

-- An etcd answered there, in whatever condition.
function facts.is_etcd(probe)
	return ETCD[probe.verdict] == true
end

local function host(url)
	local parsed = url and net.url(url)
	return parsed and parsed.host
end

local function has_url(urls, url)
	for _, candidate in ipairs(urls) do
		if net.same(candidate, url) then return true end
	end
	return false
end

-- Whether an address of an instance, or of a probe, is one of the member's.
local function at_address(there, member)
	for _, url in ipairs(member.peer_urls) do
		local its = host(url)
		if its and its == host(there.peer_url) then return true end
		for _, address in pairs(there.addresses or {}) do
			if its == address then return true end
		end
	end
	return false
end

facts.at_address = at_address

-- The list ------------------------------------------------------------------------------------

local function fingerprint(inventory)
	local lines = { tostring(inventory.desired) }
	for _, instance in ipairs(inventory.instances) do
		table.insert(lines, instance.id .. "\0" .. instance.state)
	end
	for _, name in ipairs(inventory.forgotten or {}) do
		table.insert(lines, name .. "\0forgotten")
	end
	return table.concat(lines, "\n")
end

-- Note when this list was read, and since when it reads the same: a read that took long tells of its
-- beginning when it is the last, and of its end when it is the first.  `memory` lasts for the run.
function facts.track(memory, inventory, began, ended)
	local print = fingerprint(inventory)
	if memory.fingerprint ~= print then
		memory.fingerprint, memory.since = print, ended
	end
	inventory.read = began
	inventory.same_since = inventory.lag == 0 and began or memory.since
	return inventory
end

function facts.settled(inventory)
	return inventory.read - inventory.same_since >= inventory.lag
end

-- The facts as they will be when the list has stayed as it is for long enough.
function facts.once_settled(f)
	local inventory = setmetatable({ lag = -math.huge }, { __index = f.inventory })
	return setmetatable({ inventory = inventory }, { __index = f })
end

function facts.fresh(inventory, clock)
	return clock - inventory.read <= FRESH
end

function facts.myself(inventory)
	for _, instance in ipairs(inventory and inventory.instances or {}) do
		if instance.id == inventory.self then return instance end
	end
end

-- Whether `instance` is one that a founding counts in.
function facts.counts_in(instance)
	return instance.state == "booting" or instance.state == "live"
end

-- The founding list: every booting or live instance, sorted bytewise by name -> Founder[]
function facts.founders(inventory)
	local list = {}
	for _, instance in ipairs(inventory.instances) do
		if facts.counts_in(instance) and instance.peer_url then
			table.insert(list, { name = instance.etcd_name, peer_urls = { instance.peer_url } })
		end
	end
	table.sort(list, function(a, b) return a.name < b.name end)
	return list
end

-- Clusters ------------------------------------------------------------------------------------

local function knows_more(probe, other)
	return not other or (probe.applied or -1) > (other.applied or -1)
end

-- Every cluster id seen, those with quorum first, then by id -> Cluster[]
-- `mine` is the member id on this machine's disk, or its name and peer URL: it never counts for "strong".
function facts.clusters(probes, me)
	local by_id, clusters = {}, {}
	local function group(probe)
		local cluster = by_id[probe.cluster_id]
		if not cluster then
			cluster = { id = probe.cluster_id, quorum = false, witnesses = {}, lists = {}, endpoints = {}, members = {} }
			by_id[probe.cluster_id] = cluster
			table.insert(clusters, cluster)
		end
		return cluster
	end
	local keys = {}
	for key in pairs(probes) do table.insert(keys, key) end
	table.sort(keys)
	local best = {}
	for _, key in ipairs(keys) do
		local probe = probes[key]
		if probe.cluster_id then
			local cluster = group(probe)
			table.insert(cluster.witnesses, key)
			local quorum = probe.verdict == "quorum"
			if quorum then
				cluster.quorum = true
				cluster.leader = cluster.leader or probe.leader
				cluster.version = cluster.version or probe.cluster_version
				cluster.api = cluster.api or probe.api
				table.insert(cluster.lists, probe.members)
				-- The leader first: a follower hands a promotion on without the login that came with it (3.4).
				local leads = probe.member_id ~= nil and probe.member_id == probe.leader
				table.insert(cluster.endpoints, leads and 1 or #cluster.endpoints + 1, probe.client_url)
			end
			local known = best[cluster.id]
			local better = known and known.quorum and not quorum
			if probe.members and not better
				and (quorum and not (known and known.quorum) or knows_more(probe, known and known.probe)) then
				best[cluster.id] = { probe = probe, quorum = quorum }
				cluster.members = probe.members
			end
		end
	end
	for _, cluster in ipairs(clusters) do
		cluster.strong = facts.strong(cluster, probes, me)
	end
	table.sort(clusters, function(a, b)
		if a.quorum ~= b.quorum then return a.quorum end
		return a.id < b.id
	end)
	return clusters
end

-- Whether a majority of its voters, me not among them, gave `quorum` themselves.
function facts.strong(cluster, probes, me)
	local voters, witnesses = 0, 0
	local said = {}
	for _, probe in pairs(probes) do
		if probe.verdict == "quorum" and probe.cluster_id == cluster.id and probe.member_id then
			said[probe.member_id] = true
		end
	end
	for _, member in ipairs(cluster.members) do
		if not member.learner then
			voters = voters + 1
			local mine = facts.is_mine(member, me)
			if said[member.id] and not mine then witnesses = witnesses + 1 end
		end
	end
	return voters > 0 and witnesses >= facts.majority(voters)
end

-- U: the one cluster with quorum; nil where there is none, or two.
function facts.one_quorum(clusters)
	local first, second = clusters[1], clusters[2]
	if first and first.quorum and not (second and second.quorum) then return first end
end

-- Two cluster ids, each with quorum.
function facts.two_with_quorum(f)
	local first, second = f.clusters[1], f.clusters[2]
	return first ~= nil and first.quorum and second ~= nil and second.quorum
end

function facts.voters(cluster)
	local list = {}
	for _, member in ipairs(cluster.members) do
		if not member.learner then table.insert(list, member) end
	end
	return list
end

-- Whether any witness's list has the member.
function facts.listed(cluster, id)
	for _, members in ipairs(cluster.lists) do
		if facts.find(members, id) then return true end
	end
	return facts.find(cluster.members, id) ~= nil
end

-- Members -------------------------------------------------------------------------------------

-- My slot: the member at my peer address, or named as I am, or named by my claim.
function facts.is_mine(member, me, claim)
	if me.name and member.name == me.name then return true end
	if claim and claim.member_id == member.id then return true end
	for _, url in ipairs(me.peer_urls or {}) do
		if has_url(member.peer_urls, url) then return true end
	end
	return false
end

function facts.at_my_address(member, me)
	for _, url in ipairs(me.peer_urls or {}) do
		if not has_url(member.peer_urls, url) then return false end
	end
	return me.peer_urls ~= nil and me.peer_urls[1] ~= nil
end

function facts.find(members, id)
	for _, member in ipairs(members) do
		if member.id == id then return member end
	end
end

-- The instances that a member may be: by name where it has one, else by address.
-- A live instance with that name, or address, is what counts when a dead one has it too.
function facts.instances_of(member, inventory)
	local named, located = {}, {}
	for _, instance in ipairs(inventory.instances) do
		if member.name ~= "" and instance.etcd_name == member.name then table.insert(named, instance) end
		if at_address(instance, member) then table.insert(located, instance) end
	end
	return named[1] and named or located, named[1] ~= nil
end

-- Write who runs where into the members of U and the instances.
function facts.match(inventory, cluster)
	if not inventory or not cluster then return end
	for _, member in ipairs(cluster.members) do
		local candidates = facts.instances_of(member, inventory)
		for _, instance in ipairs(candidates) do
			if not member.instance or instance.state ~= "dead" then member.instance = instance.id end
			if not instance.member or instance.state ~= "dead" then instance.member = member.id end
		end
	end
end

local function all_dead(instances)
	for _, instance in ipairs(instances) do
		if instance.state ~= "dead" then return false end
	end
	return instances[1] ~= nil
end

-- A provider that was asked for a machine by id and does not know it may be the wrong one to ask,
-- unless it knows a majority of the others.
local function forgotten(name, inventory, cluster)
	local asked = false
	for _, known in ipairs(inventory.forgotten or {}) do asked = asked or known == name end
	if not asked or not cluster then return false end
	local known, voters = 0, facts.voters(cluster)
	for _, member in ipairs(voters) do
		local instances, by_name = facts.instances_of(member, inventory)
		if by_name or member.name == "" and instances[1] then known = known + 1 end
	end
	return known >= facts.majority(#voters)
end

-- Whether a machine that would bear this name, and that the list does not hold, is no more.
function facts.absence_counts(name, inventory, cluster)
	local exhaustive = inventory.gone == "dead" or name ~= "" and forgotten(name, inventory, cluster)
	return exhaustive and inventory.complete and facts.settled(inventory)
end

-- Whether a machine that is listed, and not as dead, is the member's or has its address.
function facts.may_live(member, inventory)
	local instances, by_name = facts.instances_of(member, inventory)
	if by_name then return not all_dead(instances) end
	for _, instance in ipairs(instances) do
		if instance.state ~= "dead" then return true end
	end
	return false
end

-- Whether the member's machine is dead: "word" (the provider said so), "absence" (from a list that
-- is exhaustive and settled, nobody else having its address), or nil.
function facts.dead(member, inventory, cluster)
	if not inventory or facts.may_live(member, inventory) then return nil end
	local instances, by_name = facts.instances_of(member, inventory)
	if by_name or member.name == "" and instances[1] then return "word" end
	return facts.absence_counts(member.name, inventory, cluster) and "absence" or nil
end

-- Since when the provider has it dead by its own word, 0 unknown.
function facts.dead_since(member, inventory)
	local since = 0
	for _, instance in ipairs((facts.instances_of(member, inventory))) do
		since = math.max(since, instance.since or 0)
	end
	return since
end

-- Whom a provider may ask for by id: the members of U, else whom this disk's unfinished founding and
-- the marker count on, whose machine is not listed as booting or live.  One that is listed as dead
-- stays among them, since it may be listed only because it was asked for.
function facts.missing(f)
	local list = {}
	local function add(members)
		for _, member in ipairs(members) do
			local found = false
			for _, instance in ipairs(f.inventory and facts.instances_of(member, f.inventory) or {}) do
				found = found or facts.counts_in(instance)
			end
			if not found then table.insert(list, member) end
		end
	end
	if f.cluster then add(f.cluster.members) return list end
	local claim = f.data_dir.claim
	add(f.data_dir.unused and f.data_dir.founders or claim and claim.list or {})
	add(f.marker and f.marker.list or {})
	return list
end

-- Whether nothing at its address answers as this member; another process at a re-used address is
-- silence as well.
function facts.silent(member, probes)
	for _, probe in pairs(probes) do
		if probe.member_id == member.id and facts.is_etcd(probe) then return false end
	end
	return true
end

-- The probe in which this member itself answered, with that verdict.
function facts.answered(member, probes, verdict)
	for _, probe in pairs(probes) do
		if probe.member_id == member.id and probe.verdict == verdict then return probe end
	end
end

-- What was asked at this peer URL.
function facts.probe_at(f, peer_url)
	for _, probe in pairs(f.probes) do
		if probe.peer_url == peer_url then return probe end
	end
end

-- The name of the machine that speaks for a founder: its own, or, when the list proves that no machine
-- has that name any more, of the one at its address.  It is the same one, or came after.
function facts.asked_as(founder, inventory, cluster)
	if not inventory or not facts.absence_counts(founder.name, inventory, cluster) then return founder.name end
	local instances, by_name = facts.instances_of(founder, inventory)
	local name
	for _, instance in ipairs(by_name and {} or instances) do
		if instance.state ~= "dead" and name then return founder.name end
		if instance.state ~= "dead" then name = instance.etcd_name end
	end
	return name or founder.name
end

-- Whether a founder (or member) of the founding `cluster_id` will never take part in it: its machine
-- is dead, or its disk is empty and not promised to it.
function facts.gave_up(f, founder, cluster_id)
	if facts.dead(founder, f.inventory, f.cluster) then return true end
	local name = facts.asked_as(founder, f.inventory, f.cluster)
	for _, probe in pairs(f.probes) do
		local answer = probe.verdict == "waiting" and probe.answer
		if answer and answer.name == name then return answer.claim ~= cluster_id end
	end
	return false
end

-- Whether this is an etcd of the very founding that this machine would begin, which has not had quorum
-- yet and in which this machine has never started: for found = "refused" it is as good as a refusal.
function facts.has_begun(f, probe)
	if probe.verdict ~= "founding" or not f.founding or probe.cluster_id ~= f.founding.cluster_id then return false end
	local mine = facts.find(probe.members or {}, f.founding.member_id)
	return mine and not mine.started or probe.members ~= nil and #probe.members == 0
end

-- How many of these founders (or members), this machine left out, the founding has lost, and whether
-- so many that it can never finish.
function facts.lost(f, founders, cluster_id)
	local gone, n = 0, #founders
	for _, founder in ipairs(founders) do
		if not facts.is_mine(founder, f.me) and facts.gave_up(f, founder, cluster_id) then gone = gone + 1 end
	end
	return gone, n > 0 and gone > n - facts.majority(n)
end

return facts
