-- worlds.lua - the families of worlds that the oracle looks at.  Each is a function that calls
-- visit(world) for every world of it; together they go up to five members.
local truth = require "spec.oracle.truth"

local alive, claim, cluster, copy, data, has, id, machine, majority, member_of, new_world, split, url =
	truth.alive, truth.claim, truth.cluster, truth.copy, truth.data, truth.has, truth.id, truth.machine,
	truth.majority, truth.member_of, truth.new_world, truth.split, truth.url

local families = {}

local function states(names, o)
	local t = {}
	for _, name in ipairs(split(names)) do t[name] = o and o[name] or "live" end
	return t
end

-- Founding of ABC, seen by C.  Others: what their disk is, what runs, whether I reach them.
-- Of those that ran, the first started because it held everybody ready, so an answer of its that
-- C still has says that it counts on C; the others may have answered after their own restart.
local others = {
	{ "empty" }, { "claim" }, { "claim", counts = true }, { "wiped" },
	{ "unused", proc = "running" }, { "unused", proc = "stopped" }, { "unused", proc = "running", blank = true },
	{ "used", proc = "running" }, { "used", proc = "stopped" }, { "used", proc = "paused" },
	{ "used", proc = "running", w = true }, { "used", proc = "stopped", w = true }, { "used", proc = "paused", w = true },
}

local function founder(world, c, name, kind, reach)
	local m = machine(world, name, { reach = reach, answers = true, proc = kind.proc })
	if kind[1] == "claim" then
		m.disk = claim(c, name)
		member_of(c, name).started = false
		local rest = {}
		for _, other in ipairs(split(c.names)) do
			if other ~= name then rest[#rest + 1] = other end
		end
		m.counts = kind.counts and rest or {}
	elseif kind[1] == "unused" or kind[1] == "used" then
		m.disk = data(c, name, { w = kind.w, unused = kind[1] == "unused" or nil, blank = kind.blank, names = c.names })
	end
	m.heard_kind = kind[1]
	return m
end

-- What C can remember of X without contradicting what X did since.
local function memories(world, name, c)
	local m = world.machines[name]
	local kind = m.heard_kind
	local counted = { name = name, data = "empty", cluster_id = id(c.id), claim = id(c.id), ready = true, counts = { world.me } }
	if kind == "empty" or kind == "wiped" then
		return { { empty = true, last = true }, kind == "wiped" and { last = counted } or nil, {} }
	elseif kind == "claim" then
		return { has(m.counts, world.me) and { last = true } or { empty = true, last = true }, {} }
	end
	return { { last = counted }, {} }
end

local function found(visit, a, b, w, mine)
	local used = a[1] == "used" or b[1] == "used" or mine == "used"
	for _, reach in ipairs { 0, 1, 2, 3 } do
		local world = new_world("C", "founding")
		local c = cluster(world, "ABC", { used = used, w = w })
		founder(world, c, "A", a, reach & 1 == 0)
		founder(world, c, "B", b, reach & 2 == 0)
		local me = machine(world, "C", {})
		if mine == "claim" then
			me.disk = claim(c, "C")
			member_of(c, "C").started = false
		elseif mine == "used" then
			me.disk = data(c, "C", { w = w })
		elseif mine == "unused" then
			me.disk = data(c, "C", { unused = true, names = "ABC" })
		end
		for _, first in ipairs(memories(world, "A", c)) do
			for _, second in ipairs(memories(world, "B", c)) do
				world.heard = { A = first, B = second }
				for _, list in ipairs {
					{ states = states "ABC", desired = 3 }, { states = states "ABC", desired = 5 },
					{ states = states "BC", desired = 2, settled = false }, { states = states "BC", desired = 2, complete = false },
				} do
					world.list = list
					visit(world)
				end
			end
		end
	end
end

-- Whether ABC can have come to this: who runs or ran was counted on, w was acknowledged by two of
-- three disks of which at most one is lost since (a wiped one had run).
local function consistent(a, b, mine)
	local w = (a.w and 1 or 0) + (b.w and 1 or 0)
	local lost = (a[1] == "wiped" and 1 or 0) + (b[1] == "wiped" and 1 or 0) + (mine == "wiped" and 1 or 0)
	local used = a[1] == "used" or b[1] == "used" or mine == "used"
	local ran = used or a[1] == "unused" or b[1] == "unused" or mine == "unused"
	local had = (a[1] == "used" and 1 or 0) + (b[1] == "used" and 1 or 0) + (mine == "used" and 1 or 0)
	if lost > 1 or (lost == 1 and not used) or (used and had + lost < 2) then return false end
	-- Nobody starts before all claims are durable, so beside data there is no disk that never claimed.
	if ran and (a[1] == "empty" or b[1] == "empty" or mine == "empty") then return false end
	-- A log that is blank still may stand beside used ones.
	local fresh = a[1] == "unused" and not a.blank or b[1] == "unused" and not b.blank or mine == "unused"
	if used and fresh then return false end
	-- One that counts on all holds C ready, which C is with its claim, or was before it lost its disk.
	if (a.counts or b.counts) and mine == "empty" then return false end
	if w > 0 and mine ~= "used" and mine ~= "wiped" and w + lost < 2 then return false end
	return true, w > 0
end

function families.founding(visit)
	for _, a in ipairs(others) do
		for _, b in ipairs(others) do
			for _, mine in ipairs { "empty", "claim", "wiped", "unused", "used" } do
				local can, w = consistent(a, b, mine)
				if can then found(visit, a, b, w, mine) end
			end
		end
	end
end

-- A list that flips: C has claimed ABC, which A may still hold it ready for, and now sees CDE.
local function flipped(visit, o)
	local world = new_world("C", "flipping")
	local abc, cde = cluster(world, "ABC", {}), cluster(world, "CDE", {})
	world.list = { states = states "CDE", desired = 3, gone = "unknown" }
	for _, name in ipairs { "A", "B" } do
		local kind = o[name]
		local m = founder(world, abc, name, { kind == "unused" and "unused" or "claim", counts = kind == "counts",
			proc = kind == "unused" and "running" or nil }, true)
		if kind == "dead" then m.state, world.list.states[name] = "dead", "dead" end
		m.list_id = abc.id
		local free = alive(m) and not m.disk.cluster and not has(m.counts, "C")
		world.heard[name] = { proof = o.asked and o.withdrawn and free or nil }
	end
	machine(world, "C", { disk = claim(abc, "C") })
	for _, name in ipairs { "D", "E" } do
		local other = name == "D" and "E" or "D"
		machine(world, name, { disk = o[name] and claim(cde, name) or {}, counts = { o[other] and other or nil }, answers = true })
		world.heard[name] = { empty = true, last = true }
	end
	world.known, world.withdrawn = { "A", "B" }, o.withdrawn
	visit(world)
end

function families.flipping(visit)
	local kinds <const> = { "claim", "counts", "unused", "dead" }
	for _, a in ipairs(kinds) do
		for _, b in ipairs(kinds) do
			for bits = 0, 15 do
				flipped(visit, { A = a, B = b, asked = bits & 1 == 0, withdrawn = bits & 2 == 0, D = bits & 4 == 0, E = bits & 8 == 0 })
			end
		end
	end
end

-- Lists that differ: C and B are ready for ABC; A was, withdrew, and is ready for ADE with D and E.
function families.hasty(visit)
	for _, a in ipairs { "away", "withdrawn", "ready" } do
		for _, told in ipairs { "now", "before", "never" } do
			for bits = 0, 3 do
				local world = new_world("C", "hasty")
				local abc, ade = cluster(world, "ABC", {}), cluster(world, "ADE", {})
				local away = a == "away"
				machine(world, "A", { disk = claim(away and ade or abc, "A"), answers = true, withdrawn = a == "withdrawn",
					list_id = a == "ready" and abc.id or ade.id, counts = away and { "D", "E" } or {} })
				machine(world, "B", { disk = claim(abc, "B"), answers = true, counts = bits & 1 == 0 and { "C" } or {}, list_id = abc.id })
				machine(world, "C", { disk = bits & 2 == 0 and claim(abc, "C") or {} })
				for _, name in ipairs { "D", "E" } do
					machine(world, name, { disk = claim(ade, name), answers = true, list_id = ade.id, counts = away and { "A" } or {} })
				end
				-- A's `ready` is of no more worth once it withdrew: its newer answer has replaced it.
				world.heard = { B = { empty = bits & 1 ~= 0, last = true }, A = { empty = { name = "A", data = "empty",
					cluster_id = id(abc.id), claim = nil, ready = false, counts = {} }, last = told == "now" or nil } }
				if told == "never" then world.heard.A = {} end
				world.heard.B.empty = world.heard.B.empty or nil
				world.list = { states = states "ABC", desired = 3 }
				visit(world)
			end
		end
	end
end

-- Replacing: a machine that leaves still runs; a stale list misses a machine; another selection.
function families.replacing(visit)
	for _, state in ipairs { "leaving", "unknown", "dead" } do
		for _, proc in ipairs { "running", "stopped", "paused" } do
			for _, reach in ipairs { true, false } do
				for _, claimed in ipairs { true, false } do
					local world = new_world("B", "replacing")
					local a = cluster(world, "A", { used = true, w = true })
					local b = cluster(world, "B", {})
					machine(world, "A", { state = state, reach = reach, proc = proc, disk = data(a, "A", { w = true }) })
					machine(world, "B", { disk = claimed and claim(b, "B") or {} })
					world.list = { states = { A = state, B = "live" }, desired = 1 }
					visit(world)
				end
			end
		end
	end
end

-- A running ABC that a list does not know, be it stale or cut; the others are ready to found.
function families.unlisted(visit)
	for _, names in ipairs { "D", "DE", "DEF" } do
		for bits = 1, 7 do
			for _, claimed in ipairs { true, false } do
				local world = new_world("D", "unlisted")
				local old, here = cluster(world, "ABC", { used = true, w = true }), cluster(world, names, {})
				for _, name in ipairs { "A", "B", "C" } do
					machine(world, name, { disk = data(old, name, { w = name ~= "C" or nil }), proc = "running", reach = false })
				end
				for _, name in ipairs(split(names)) do
					machine(world, name, { disk = (claimed or name ~= "D") and claim(here, name) or {}, answers = true })
					world.heard[name] = name ~= "D" and { empty = true, last = true } or nil
				end
				world.list = { states = states(names), desired = #names, settled = bits & 1 == 0, age = bits & 2 == 0 and 1 or 60,
					complete = bits & 4 == 0 }
				visit(world)
			end
		end
	end
end

-- The desired size grows from 3 to 5 while ABC begins: C lost its disk, D and E are new.
function families.resizing(visit)
	for _, proc in ipairs { "running", "stopped", "paused" } do
		for _, desired in ipairs { 3, 5 } do
			for _, reach in ipairs { true, false } do
				local world = new_world("E", "resizing")
				local old, here = cluster(world, "ABC", { used = true, w = true }), cluster(world, "ABCDE", {})
				for _, name in ipairs { "A", "B" } do
					machine(world, name, { disk = data(old, name, { w = true }), proc = proc, reach = reach })
				end
				machine(world, "C", { disk = claim(here, "C"), answers = true, counts = { "A", "B", "D" } })
				machine(world, "D", { disk = claim(here, "D"), answers = true, counts = { "A", "B", "C" } })
				machine(world, "E", {})
				world.heard = { C = { empty = true, last = true }, D = { empty = true, last = true } }
				world.list = { states = states "ABCDE", desired = desired }
				visit(world)
			end
		end
	end
end

-- A provider that selects other machines than those of the cluster: only a marker tells.
function families.marked(visit)
	for _, confirmed in ipairs { true, false } do
		for _, claimed in ipairs { true, false } do
			local world = new_world("F", "marked")
			local old = cluster(world, "ABC", { used = true, w = true })
			local here = cluster(world, "DEF", {})
			for _, name in ipairs { "A", "B", "C" } do
				machine(world, name, { disk = data(old, name, { w = true }), proc = "running", reach = false })
			end
			for _, name in ipairs { "D", "E", "F" } do
				machine(world, name, { disk = (claimed or name ~= "F") and claim(here, name) or {}, answers = true })
				world.heard[name] = name ~= "F" and { empty = true, last = true } or nil
			end
			world.list = { states = states "DEF", desired = 3 }
			world.marker = { id = old.id, confirmed = confirmed }
			visit(world)
		end
	end
end

-- Two clusters already, or one and another without quorum; E, ready to found with nobody else.
function families.rivals(visit)
	for _, quorum in ipairs { true, false } do
		for _, claimed in ipairs { true, false } do
			local world = new_world("E", "rivals")
			local first, second = cluster(world, "AB", { used = true, w = true }), cluster(world, "CD", { used = true, w = true })
			for _, name in ipairs { "A", "B" } do
				machine(world, name, { disk = data(first, name, { w = true }), proc = "running" })
			end
			machine(world, "C", { disk = data(second, "C", { w = true }), proc = "running" })
			machine(world, "D", { disk = data(second, "D", { w = true }), proc = quorum and "running" or "stopped" })
			local here = cluster(world, "E", {})
			machine(world, "E", { disk = claimed and claim(here, "E") or {} })
			world.list, world.known = { states = { E = "live" }, desired = 1 }, { "A", "C" }
			visit(world)
		end
	end
end

-- A running ABC with w, and a newcomer D, or C which lost its disk, before it.
local lists = {
	{ }, { settled = false }, { age = 60 }, { complete = false, hide = true }, { gone = "unknown", hide = true },
	{ settled = false, hide = true }, { few = true },
}

local function join_list(world, o)
	local list = { states = {}, desired = 3, settled = o.settled, age = o.age, complete = o.complete, gone = o.gone }
	for _, name in ipairs(world.order) do list.states[name] = world.machines[name].state end
	if o.hide then list.states.C = nil end
	if o.few then list.states = { [world.me] = "live" } end
	world.list = world.me == "C" and o.hide and { states = {}, complete = false } or list
end

local function joined(visit, me, o)
	local world = new_world(me, "joining")
	local c = cluster(world, "ABC", { used = true, w = true })
	for _, name in ipairs { "A", "B", "C" } do
		machine(world, name, { disk = data(c, name, { w = o.holders:find(name) ~= nil or nil }), proc = o[name], reach = o.reach ~= name })
	end
	local third = world.machines.C
	member_of(c, "C").started = o.published
	if o.C_state == "dead" then third.state = "dead" end
	if me == "C" then
		third.proc, third.disk = "stopped", {}
	else
		third.state = o.C_state
		if o.C_lost then third.disk, third.proc = {}, "stopped" end
		machine(world, "D", {})
	end
	if o.slot then
		table.insert(c.members, { id = c.id + 0x20, owner = o.slot_of or me, name = me, started = false, learner = o.slot == "learner" })
		if o.slot_of == nil and o.claimed then world.machines[me].disk = claim(c, me, "join") end
		if o.slot_of == nil and o.claimed then world.machines[me].disk.claim.member = c.id + 0x20 end
		if o.asked then world.asked = { { c.id, c.id + 0x20 } } end
	end
	for _, list in ipairs(lists) do
		join_list(world, list)
		visit(world)
	end
end

local processes = { "running", "stopped", "paused" }

function families.joining(visit)
	for _, holders in ipairs { "AB", "AC", "BC" } do
		for _, a in ipairs(processes) do
			for _, b in ipairs(processes) do
				for _, reach in ipairs { "", "A", "B", "C" } do
					for _, published in ipairs { true, false } do
						joined(visit, "C", { holders = holders, A = a, B = b, C = "stopped", C_state = "live", reach = reach, published = published })
						for _, state in ipairs { "live", "leaving", "dead" } do
							for _, third in ipairs(processes) do
								if published or third ~= "running" then
									joined(visit, "D", { holders = holders, A = a, B = b, C = third, C_state = state, reach = reach, published = published })
								end
							end
						end
					end
					for _, slot in ipairs { "voter", "learner" } do
						for _, claimed in ipairs { true, false } do
							joined(visit, "D", { holders = holders, A = a, B = b, C = "running", C_state = "live", reach = reach, published = true,
								slot = slot, claimed = claimed, asked = not claimed })
						end
					end
				end
			end
		end
	end
end

-- D has the address of dead C, whose slot looks as if it had never been started.
function families.reused(visit)
	for _, holders in ipairs { "AC", "BC", "AB" } do
		for _, published in ipairs { true, false } do
			for _, a in ipairs(processes) do
				for _, b in ipairs(processes) do
					for _, kind in ipairs { "none", "join" } do
						local world = new_world("D", "reused")
						local c = cluster(world, "ABC", { used = true, w = true })
						for _, name in ipairs { "A", "B" } do
							machine(world, name, { disk = data(c, name, { w = holders:find(name) ~= nil or nil }), proc = name == "A" and a or b })
						end
						machine(world, "C", { state = "dead", disk = data(c, "C", { w = true }) })
						machine(world, "D", {})
						member_of(c, "C").started, member_of(c, "C").url = published, url "D"
						if kind == "join" then
							world.machines.D.disk = { claim = { kind = "join", cluster = c.id, member = c.id + 0x77 } }
						end
						world.list = { states = states("ABCD", { C = "dead" }), desired = 3 }
						visit(world)
					end
				end
			end
		end
	end
end

-- A cluster of n voters of which `up` run, with or without a learner or an unstarted voter, before
-- a newcomer F; `changed` when an earlier change of this turn added a voter that I did not see yet.
local function grown(visit, n, up, extra, changed, reach)
	local world = new_world("F", "growing")
	local names = ("ABCDE"):sub(1, n)
	local c = cluster(world, names, { used = true, w = true })
	for i, name in ipairs(split(names)) do
		machine(world, name, { disk = data(c, name, { w = true }), proc = i <= up and "running" or "stopped", reach = i ~= reach })
	end
	machine(world, "F", {})
	if extra then
		local member = { id = c.id + 0x30, owner = "G", name = "G", started = extra == "learner up", learner = extra ~= "voter" }
		table.insert(c.members, member)
		machine(world, "G", { disk = extra == "voter" and {} or data(c, "G"), proc = extra == "learner up" and "running" or "stopped" })
	end
	if changed then
		world.lagging, world.changed = { [c.id] = copy(c.members) }, true
		table.insert(c.members, { id = c.id + 0x40, owner = "H", name = "H", started = false, learner = false })
		machine(world, "H", {})
	end
	world.list = { states = {}, desired = 9 }
	for _, name in ipairs(world.order) do world.list.states[name] = "live" end
	visit(world)
end

function families.growing(visit)
	for n = 1, 5 do
		for up = 0, n do
			for _, extra in ipairs { false, "voter", "learner up", "learner down" } do
				for _, changed in ipairs { false, true } do
					for reach = 0, n do
						grown(visit, n, up, extra, changed, reach)
					end
				end
			end
		end
	end
end

-- Removing: of n voters `up` run, the last `dead` are terminated, the rest is stopped but alive.
-- A provider that is asked by id forgets a machine that is dead, or one of another region or account.
local doubts = {
	{ gone = "unknown", hide = true, forgets = true }, { gone = "unknown", minority = true, forgets = true },
	{}, { settled = false, hide = true }, { complete = false, hide = true }, { gone = "unknown", hide = true },
	{ few = true }, { wrong = true },
}

function families.removing(visit)
	for n = 2, 5 do
		for up = 1, n do
			for dead = 0, n - up do
				for _, list in ipairs(doubts) do
					for _, blind in ipairs { false, true } do
						local world = new_world("F", "removing")
						local names = ("ABCDE"):sub(1, n)
						local c = cluster(world, names, { used = true, w = true })
						world.list = { states = {}, desired = n, settled = list.settled, complete = list.complete, gone = list.gone,
							forgotten = {} }
						for i, name in ipairs(split(names)) do
							local state = i > n - dead and "dead" or "live"
							machine(world, name, { state = state, disk = data(c, name, { w = i <= majority(n) or nil }),
								proc = i <= up and "running" or "stopped", reach = not (blind and i == up) })
							world.list.states[name] = state
							if list.hide and i == n or list.few or list.minority and i >= majority(n) then
								world.list.states[name] = nil
								if list.forgets and (state == "dead" or list.minority) then table.insert(world.list.forgotten, name) end
							end
						end
						machine(world, "F", {})
						world.list.states.F, world.known = "live", { "A", "B" }
						-- A provider that calls a machine dead which answers; one that is silent as well is lost.
						if list.wrong then world.list.states.A = "dead" end
						if not (list.wrong and blind and up == 1) then visit(world) end
					end
				end
			end
		end
	end
end

-- Restarting: what my data is, and what of the cluster I see.
local function restarted(visit, o)
	local world = new_world("C", "restarting")
	local c = cluster(world, "ABC", { used = o.used, w = o.used })
	local other = cluster(world, "DE", { used = true, w = true })
	local function disk(name)
		return data(c, name, { w = o.used and o.holders:find(name) ~= nil or nil, unused = not o.used or nil, names = "ABC" })
	end
	machine(world, "A", { disk = disk "A", proc = o.A, state = o.A_state })
	machine(world, "B", { disk = disk "B", proc = o.B, reach = o.reach })
	machine(world, "C", { disk = disk "C" })
	for _, name in ipairs { "D", "E" } do
		machine(world, name, { disk = data(other, name, { w = true }), proc = o.other and "running" or "stopped", reach = o.other })
	end
	if o.removed then
		-- C left and D2 came: only then are C's entries the cluster's no more.
		for i, member in ipairs(c.members) do
			if member.owner == "C" then table.remove(c.members, i) end
		end
	end
	if o.lagging then world.machines.A.lagging = { c.members[1], c.members[2] } end
	world.own = o.own and { c.id } or {}
	world.list = { states = states("ABC", { A = o.A_state }), desired = 3 }
	if o.other then world.known = { "D" } end
	visit(world)
end

function families.restarting(visit)
	for _, used in ipairs { true, false } do
		for _, holders in ipairs { "AB", "AC", "BC", "ABC" } do
			for _, a in ipairs(processes) do
				for _, b in ipairs(processes) do
					for _, state in ipairs { "live", "dead" } do
						for _, reach in ipairs { true, false } do
							for _, other in ipairs { false, true } do
								for _, own in ipairs { true, false } do
									for _, how in ipairs { "listed", "removed", "lagging" } do
										if used or how == "listed" then
											restarted(visit, { used = used, holders = holders, A = a, B = b, A_state = state, reach = reach,
												other = other, own = own, removed = how == "removed", lagging = how == "lagging" })
										end
									end
								end
							end
						end
					end
				end
			end
		end
	end
end

-- My etcd runs, and its log was read as unused before it acknowledged w.
function families.misread(visit)
	for _, names in ipairs { "C", "BC" } do
		for _, other in ipairs { true, false } do
			local world = new_world("C", "misread")
			local c, rogue = cluster(world, names, { used = true, w = true }), cluster(world, "DE", { used = true })
			for _, name in ipairs(split(names)) do
				machine(world, name, { disk = data(c, name, { w = true }), proc = "running", reach = false })
			end
			world.machines.C.disk.misread, world.machines.C.disk.names = true, names
			for _, name in ipairs { "D", "E" } do
				machine(world, name, { disk = data(rogue, name), proc = other and "running" or "stopped" })
			end
			world.list, world.known = { states = states(names), desired = #names }, { "D" }
			visit(world)
		end
	end
end

-- Leaving: A of n voters goes, or would; of the others `up` run.  With `extra`, a member that has not
-- started or is a learner, which may be A itself; `lag`: another change of this turn has removed B.
local function departed(visit, n, up, o)
	local world = new_world("A", "departing")
	local names = ("ABCDE"):sub(1, n)
	local c = cluster(world, names, { used = true, w = true })
	world.list, world.asks_me = { states = {}, desired = n }, o.mine ~= "stopped"
	for i, name in ipairs(split(names)) do
		local mine = i == 1
		machine(world, name, { disk = data(c, name, { w = i <= majority(n) or nil }), reach = i ~= o.reach,
			proc = mine and o.mine or i <= up + 1 and "running" or "stopped" })
		world.list.states[name] = "live"
	end
	if o.extra then
		table.insert(c.members, { id = c.id + 0x30, owner = "G", name = "G", started = o.extra ~= "voter", learner = o.extra == "learner" })
		machine(world, "G", { disk = o.extra == "learner" and data(c, "G") or {}, proc = o.extra == "learner" and "running" or "stopped" })
		world.list.states.G = "live"
	elseif o.learner then
		c.members[1].learner = true
	end
	if o.lag and n > 2 then
		world.lagging, world.changed = { [c.id] = copy(c.members) }, true
		table.remove(c.members, 2)
	end
	visit(world)
end

function families.departing(visit)
	for n = 1, 5 do
		for up = 0, n - 1 do
			for _, mine in ipairs { "running", "stopped" } do
				for reach = 1, n do
					for _, extra in ipairs { false, "voter", "learner" } do
						departed(visit, n, up, { mine = mine, reach = reach, extra = extra })
					end
					departed(visit, n, up, { mine = mine, reach = reach, learner = true })
					departed(visit, n, up, { mine = mine, reach = reach, lag = true })
				end
			end
		end
	end
end

families.order = {
	"founding", "flipping", "hasty", "replacing", "unlisted", "resizing", "marked", "rivals", "joining", "reused", "growing",
	"removing", "restarting", "misread", "departing",
}

return families
