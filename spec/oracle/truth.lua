-- truth.lua - a true world of the oracle, how to make one, and what one machine can see of it: the
-- facts, derived here without the gate and without the code that makes them in a run.
--
-- What is true of a world: per machine its provider state, disk, etcd process, whether I reach it,
-- whom it counts on in the roll call; per cluster its members and whether an entry `w` was
-- acknowledged, per disk whether it holds w; what the provider's list says; what I remember.
local truth = {}

local CLOCK <const> = 1000

-- Names and ids -------------------------------------------------------------------------------

local function url(name)
	return ("http://127.0.9.%d:2380"):format(name:byte())
end

local function majority(n)
	return n // 2 + 1
end

local interned, count = {}, 0

-- The id of the cluster that these machines would found.
local function founding_id(names)
	local key = table.concat(names, " ")
	if not interned[key] then
		count = count + 1
		interned[key] = count * 0x100
	end
	return interned[key]
end

local function copy(value)
	if type(value) ~= "table" then return value end
	local t = {}
	for k, v in pairs(value) do t[k] = copy(v) end
	return t
end

local function split(text)
	local names = {}
	for name in text:gmatch "%u" do names[#names + 1] = name end
	return names
end

local function has(list, value)
	for _, v in ipairs(list or {}) do
		if v == value then return true end
	end
	return false
end

-- True worlds ---------------------------------------------------------------------------------

-- A cluster founded by these machines; options: used (it had quorum), w (it acknowledged an entry).
local function cluster(world, names, o)
	names = split(names)
	local c = { id = founding_id(names), names = table.concat(names), members = {}, used = o.used, w = o.w }
	for i, name in ipairs(names) do
		c.members[i] = { id = c.id + i, owner = name, name = name, started = o.used or false, learner = false }
	end
	world.clusters[c.id] = c
	return c
end

local function member_of(c, owner)
	for _, m in ipairs(c.members) do
		if m.owner == owner then return m end
	end
end

local function machine(world, name, o)
	local m = copy(o or {})
	m.id, m.state, m.proc = name, m.state or "live", m.proc or "stopped"
	if m.reach == nil then m.reach = true end
	m.disk = m.disk or {}
	world.machines[name] = m
	table.insert(world.order, name)
	return m
end

local function data(c, owner, o)
	local disk = copy(o or {})
	disk.cluster, disk.member = c.id, member_of(c, owner).id
	return disk
end

local function claim(c, owner, kind)
	return { claim = { kind = kind or "founding", cluster = c.id, member = member_of(c, owner).id, names = c.names } }
end

local function new_world(me, family)
	return { me = me, family = family, machines = {}, order = {}, clusters = {}, heard = {}, asked = {}, own = {} }
end

-- The member list that this machine's etcd gives: it may lag behind the truth.
local function members_in(world, c, m)
	return m.lagging or world.lagging and world.lagging[c.id] or c.members
end

local function alive(m)
	return m.state ~= "dead"
end

-- Voters that run now, and how many there are.
local function running(world, c)
	local up, all = 0, 0
	for _, member in ipairs(c.members) do
		if not member.learner then
			all = all + 1
			for _, m in pairs(world.machines) do
				if alive(m) and m.proc == "running" and m.disk.cluster == c.id and m.disk.member == member.id then
					up = up + 1
					break
				end
			end
		end
	end
	return up, all
end

local function has_quorum(world, c)
	local up, all = running(world, c)
	return up >= majority(all) and all > 0
end

-- What can be seen ----------------------------------------------------------------------------

local function id(n)
	return n and tostring(n)
end

local function see_members(members)
	local list = {}
	for _, m in ipairs(members) do
		list[#list + 1] = { id = id(m.id), name = m.started and m.name or "", peer_urls = { m.url or url(m.owner) },
			client_urls = m.started and { "http://x:2379" } or {}, learner = m.learner, started = m.started }
	end
	return list
end

local function founders(names)
	local list = {}
	for i, name in ipairs(names) do list[i] = { name = name, peer_urls = { url(name) } } end
	return list
end

-- What a machine with an empty disk answers to whoever calls the roll.
local function answer_of(m, list_id)
	local held = m.disk.claim
	return { name = m.id, data = "empty", cluster_id = id(m.list_id or list_id), claim = held and id(held.cluster),
		ready = held ~= nil and held.cluster == (m.list_id or list_id) and not m.withdrawn, counts = m.counts or {} }
end

local function see_probe(world, m, list_id)
	local probe = { key = m.id, name = m.id, peer_url = url(m.id), verdict = "unknown", why = "", sent = CLOCK, at = CLOCK }
	local c = m.disk.cluster and world.clusters[m.disk.cluster]
	if not alive(m) or not m.reach or m.proc == "paused" then return probe end
	probe.verdict = "refused"
	if m.proc == "running" and c then
		local mine
		for _, member in ipairs(c.members) do mine = member.id == m.disk.member and member or mine end
		if not mine then return probe end
		local quorum = has_quorum(world, c)
		probe.verdict = quorum and (mine.learner and "learner" or "quorum") or c.used and "no-quorum" or "founding"
		probe.cluster_id, probe.member_id = id(c.id), id(mine.id)
		probe.members, probe.applied = see_members(members_in(world, c, m)), m.lagging and 5 or 10
		probe.version, probe.cluster_version = "3.4.23", c.used and "3.4.0" or nil
		if m.disk.blank and not quorum then -- killed right after it made its log
			probe.verdict, probe.members, probe.member_id, probe.cluster_version = "founding", {}, nil, nil
		end
	elseif not c and m.answers then
		probe.verdict, probe.answer = "waiting", answer_of(m, list_id)
	end
	return probe
end

-- The instances that the provider tells of, and the founding list that follows from them.
local function see_list(world, facts)
	local list, names = world.list, {}
	if not list then return end
	local inventory = { self = world.me, instances = {}, desired = list.desired, complete = list.complete ~= false,
		gone = list.gone or "dead", forgotten = list.forgotten, lag = 15, source = "oracle", read = CLOCK - (list.age or 1) }
	inventory.same_since = inventory.read - (list.settled == false and 1 or 20)
	for _, name in ipairs(world.order) do
		local state = list.states[name]
		if state then
			table.insert(inventory.instances, { id = name, name = name, etcd_name = name, peer_url = url(name),
				client_url = "", addresses = {}, zone = "", region = "", launched = 0, since = 0, tags = {}, state = state })
			if state == "live" or state == "booting" then table.insert(names, name) end
		end
	end
	facts.inventory, facts.desired = inventory, list.desired
	table.sort(names)
	local list_id = founding_id(names)
	local mine
	for i, name in ipairs(names) do mine = name == world.me and list_id + i or mine end
	facts.founding = { list = founders(names), token = "t", cluster_id = id(list_id), member_id = id(mine) }
	return list_id, names
end

local function see_disk(disk, proc)
	local seen = { state = disk.cluster and "member" or "empty", why = "", unused = disk.unused or disk.misread or false,
		locked = proc ~= "stopped", read = CLOCK, cluster_id = id(disk.cluster), member_id = id(disk.member) }
	if seen.unused then seen.founders = founders(split(disk.names)) end
	local held = not disk.cluster and disk.claim
	if held then
		seen.claim = { kind = held.kind, cluster_id = id(held.cluster), member_id = id(held.member) }
		if held.kind == "founding" then
			seen.claim.token, seen.claim.list = "t", founders(split(held.names))
		end
	end
	return seen
end

local function see_heard(world, list_id)
	local heard = {}
	for name, what in pairs(world.heard) do
		local told = { proof_sent = what.proof and CLOCK - 1 or nil }
		for key, answer in pairs(what) do
			told[key] = answer == true and answer_of(world.machines[name], list_id) or answer
		end
		heard[name] = told
	end
	return heard
end

-- The facts as this world's `me` can have them.
function truth.see(world)
	local me = world.machines[world.me]
	local facts = { now = 1e9, clock = CLOCK, found = "rollcall", promoter = true, history = {}, clusters = {},
		changed = world.changed or false, paused = false, probes = {},
		journal = { dead_since = {}, asked_remove = {}, clusters = {}, asides = {}, pending_since = {} } }
	facts.me = { id = world.me, name = world.me, peer_urls = { url(world.me) }, client_urls = {}, token = "t",
		etcd_version = "3.4.23" }
	if me.proc ~= "stopped" then
		facts.me.running = { cluster_id = id(me.disk.cluster), member_id = id(me.disk.member) }
	end
	local list_id = see_list(world, facts)
	facts.data_dir = see_disk(me.disk, me.proc)
	facts.roll_call = { cluster_id = id(list_id), heard = see_heard(world, list_id), withdrawn = world.withdrawn and CLOCK - 2 or nil }
	facts.marker = world.marker and { cluster_id = id(world.marker.id), confirmed = world.marker.confirmed, token = "t",
		list = {}, founder = "A", time = 0 }
	for _, number in ipairs(world.own) do table.insert(facts.journal.clusters, id(number)) end
	for _, asked in ipairs(world.asked) do
		table.insert(facts.journal.asked_remove, { cluster_id = id(asked[1]), member_id = id(asked[2]) })
	end
	-- Those on the list are asked, then those that an answer names.
	local asked = {}
	local function ask(name)
		local m = world.machines[name]
		if asked[name] or name == world.me and not world.asks_me or not m then return end
		asked[name] = true
		local probe = see_probe(world, m, list_id)
		facts.probes[name] = probe
		local c = probe.cluster_id and world.clusters[m.disk.cluster]
		for _, member in ipairs(c and members_in(world, c, m) or {}) do ask(member.owner) end
	end
	for name in pairs(world.list and world.list.states or {}) do ask(name) end
	for _, name in ipairs(world.known or {}) do ask(name) end
	return facts
end

truth.url = url
truth.majority = majority
truth.copy = copy
truth.split = split
truth.has = has
truth.id = id
truth.cluster = cluster
truth.member_of = member_of
truth.machine = machine
truth.data = data
truth.claim = claim
truth.new_world = new_world
truth.alive = alive
truth.has_quorum = has_quorum

return truth
