-- Every rule of the gate: what it refuses and what it lets through, by small changes to plain facts.
local gate = require "core.gate"

local C0 <const>, OTHER <const>, FOUNDING <const> = "9000000000000000001", "700", "18446744073709551615"

local function url(name)
	return ("http://127.0.7.%d:2380"):format(name:byte() - 96)
end

local function id(name)
	return tostring(100 + name:byte() - 96)
end

local function founders(names)
	local list = {}
	for name in names:gmatch "%l" do list[#list + 1] = { name = name, peer_urls = { url(name) } } end
	return list
end

local function instances(names, states)
	local list = {}
	for name in names:gmatch "%l" do
		list[#list + 1] = { id = "i-" .. name, name = name, etcd_name = name, peer_url = url(name), client_url = "",
			addresses = { private_v4 = "127.0.7." .. name:byte() - 96 }, zone = "", region = "", launched = 0, since = 0,
			tags = {}, state = states and states[name] or "live" }
	end
	return list
end

local function members(names, o)
	local list = {}
	for name in names:gmatch "%l" do
		list[#list + 1] = { id = id(name), name = name, peer_urls = { url(name) }, client_urls = { "http://x:2379" },
			learner = false, started = true }
		for key, value in pairs(o and o[name] or {}) do list[#list][key] = value end
	end
	return list
end

local UNSTARTED = { client_urls = {}, started = false }

local function probe(name, verdict, more)
	local p = { key = "i-" .. name, name = name, peer_url = url(name), verdict = verdict, why = "", sent = 99, at = 99 }
	for key, value in pairs(more or {}) do p[key] = value end
	return p
end

local function etcd(name, verdict, list, cluster)
	return probe(name, verdict, { cluster_id = cluster or C0, member_id = id(name), members = list, applied = 10,
		version = "3.4.23", cluster_version = verdict ~= "founding" and "3.4.0" or nil })
end

local function answer(name, more)
	local a = { name = name, data = "empty", cluster_id = FOUNDING, claim = FOUNDING, ready = true, counts = {} }
	for key, value in pairs(more or {}) do a[key] = value end
	return a
end

-- Of a disk that is promised to nobody.
local function blank(name)
	local a = answer(name, { ready = false })
	a.claim = nil
	return a
end

local function facts(me, names, states)
	return {
		now = 1000000, clock = 100, found = "rollcall", promoter = false, history = {}, clusters = {}, changed = false, paused = false,
		me = { id = "i-" .. me, name = me, peer_urls = { url(me) }, client_urls = {}, token = "t", etcd_version = "3.4.23" },
		inventory = { self = "i-" .. me, instances = instances(names, states), desired = 3, complete = true, gone = "dead", lag = 15,
			source = "spec", read = 98, same_since = 70 },
		desired = 3, probes = {}, data_dir = { state = "empty", why = "", unused = false, locked = false, read = 99 },
		roll_call = { heard = {} },
		journal = { dead_since = {}, asked_remove = {}, clusters = {}, asides = {}, pending_since = {} },
	}
end

-- c, with a claim, about to found abc; both others are ready.
local function founding()
	local f = facts("c", "abc")
	f.founding = { list = founders "abc", token = "t-1", cluster_id = FOUNDING, member_id = id "c" }
	f.data_dir.claim = { kind = "founding", cluster_id = FOUNDING, member_id = id "c", token = "t-1", list = founders "abc" }
	f.roll_call.cluster_id = FOUNDING
	for _, name in ipairs { "a", "b" } do
		f.roll_call.heard[name] = { empty = blank(name), last = answer(name) }
		f.probes["i-" .. name] = probe(name, "waiting", { answer = answer(name) })
	end
	return f
end

-- c holds a claim for bcx and the list is abc now; b and x released it, or are dead.
local function changing()
	local f = founding()
	f.data_dir.claim = { kind = "founding", cluster_id = OTHER, member_id = "99", token = "t-0", list = founders "bcx" }
	f.roll_call.withdrawn = 50
	f.roll_call.heard.b.proof, f.roll_call.heard.b.proof_sent = answer "b", 60
	return f
end

-- c has claimed its place and a runs the founding already; everything else is in doubt.
local function resuming()
	local f = founding()
	f.probes = { ["i-a"] = etcd("a", "founding", members("abc", { c = UNSTARTED }), FOUNDING) }
	f.roll_call = { heard = {} }
	f.inventory, f.inventory_why, f.founding, f.desired = nil, "the cloud is silent", nil, nil
	return f
end

-- d, empty, before a cluster abc whose c is dead.
local function replacing()
	local f = facts("d", "abcd", { c = "dead" })
	local list = members "abc"
	f.probes = { ["i-a"] = etcd("a", "quorum", list), ["i-b"] = etcd("b", "quorum", list), ["i-c"] = probe("c", "unknown") }
	return f
end

-- d before a healthy cluster of abc.
local function joining()
	local f = replacing()
	f.inventory.instances = instances "abcd"
	f.probes["i-c"] = etcd("c", "quorum", members "abc")
	return f
end

-- c before abc, its disk empty; or with a promise of its own addition.
local function lost()
	local f = replacing()
	f.me = { id = "i-c", name = "c", peer_urls = { url "c" }, client_urls = {}, token = "t", etcd_version = "3.4.23" }
	f.inventory.self, f.inventory.instances, f.probes["i-c"] = "i-c", instances "abc", nil
	return f
end

local function added()
	local f = lost()
	for _, p in pairs(f.probes) do p.members = members("abc", { c = { name = "", started = false } }) end
	f.data_dir.claim = { kind = "join", cluster_id = C0, member_id = id "c" }
	return f
end

-- c with its data; a and b are a quorum.
local function restarting()
	local f = lost()
	f.data_dir = { state = "member", why = "", cluster_id = C0, member_id = id "c", unused = false, locked = false, read = 99 }
	return f
end

-- c with the data of a founding that has not begun elsewhere: x and y are dead.
local function hopeless()
	local f = restarting()
	f.data_dir.cluster_id, f.data_dir.unused, f.data_dir.founders = FOUNDING, true, founders "cxy"
	f.probes, f.inventory.instances = {}, instances("cxy", { x = "dead", y = "dead" })
	return f
end

-- c with its data, its etcd running, about to leave abc.
local function leaving()
	local f = restarting()
	f.me.running = { cluster_id = C0, member_id = id "c" }
	f.data_dir.locked = true
	f.probes["i-c"] = etcd("c", "quorum", members "abc")
	return f
end

-- x with a copy of c's disk; c itself runs.
local function copied()
	local f = restarting()
	f.me = { id = "i-x", name = "x", peer_urls = { url "x" }, client_urls = {}, token = "t", etcd_version = "3.4.23" }
	f.inventory.self, f.inventory.instances = "i-x", instances "abcx"
	f.probes["i-c"] = etcd("c", "quorum", members "abc")
	return f
end

local function drop_from_lists(name)
	return function(f)
		for _, p in pairs(f.probes) do
			for i, member in ipairs(p.members or {}) do
				if member.name == name then table.remove(p.members, i) break end
			end
		end
	end
end

local function alter(name, more)
	return function(f)
		for _, p in pairs(f.probes) do
			for _, member in ipairs(p.members or {}) do
				if member.id == id(name) then
					for key, value in pairs(more) do member[key] = value end
				end
			end
		end
	end
end

local function both(first, second)
	return function(f)
		first(f)
		second(f)
	end
end

local function remove(name) return { action = "remove", member = id(name) } end
local function leave(name) return { action = "leave", member = id(name) } end
local function promote(name) return { action = "promote", member = id(name) } end
local update_c <const> = { action = "update", member = id "c" }
local claim <const>, new <const>, start <const>, aside <const> = { action = "claim" }, { action = "new" }, { action = "start" }, { action = "aside" }
local reserve <const> = { action = "reserve" }
local add_voter <const>, add_learner <const> = { action = "add" }, { action = "add", learner = true }

local function with_learner(verdict)
	return function(f)
		for _, p in pairs(f.probes) do
			if p.members then
				p.members = members("abce", { e = { learner = true } })
			end
		end
		f.inventory.instances = instances "abcde"
		f.probes["i-e"] = verdict == "learner" and etcd("e", "learner", members("abce", { e = { learner = true } })) or probe("e", verdict)
	end
end

local function refused(f)
	f.found, f.refused_since = "refused", 65
	f.probes = { ["i-a"] = probe("a", "refused"), ["i-b"] = probe("b", "refused") }
	f.roll_call = { heard = {} }
end

-- The provider has names of its own for its machines.
local function renamed(f)
	for _, instance in ipairs(f.inventory.instances) do instance.name, instance.etcd_name = "x-" .. instance.name, "x-" .. instance.name end
end

-- An etcd of the founding at a, in which this machine, c, has never started, or has.
local function begun(verdict, started)
	return function(f)
		local list = { { id = f.founding.member_id, name = started and "c" or "", peer_urls = { url "c" }, client_urls = {}, learner = false,
			started = started or false } }
		f.probes["i-a"] = etcd("a", verdict, list, FOUNDING)
	end
end

local function mark(more)
	return function(f)
		f.marker = { cluster_id = FOUNDING, token = "t-1", list = founders "abc", founder = "a", time = 0, confirmed = false }
		for key, value in pairs(more or {}) do f.marker[key] = value end
	end
end

local function configured(f)
	f.marker_configured = true
end

local function unreadable(f)
	f.marker_configured, f.marker_unknown = true, "nothing is mounted there"
end

local function hidden(f)
	f.data_dir = { state = "hidden", why = "", unused = false, locked = false, read = 99 }
end

local function readdressed(f)
	f.inventory.instances = instances "abd"
	f.inventory.instances[4] = instances("c", { c = "live" })[1]
	f.inventory.instances[4].etcd_name, f.inventory.instances[4].id = "z", "i-z"
end

-- The list lacks a machine, and this name was asked for by id.
local function forgotten(name, lacking)
	return function(f)
		f.inventory.gone, f.inventory.forgotten = "unknown", { name }
		for i, instance in ipairs(f.inventory.instances) do
			if instance.etcd_name == (lacking or name) then return table.remove(f.inventory.instances, i) end
		end
	end
end

-- a stands at the address of x, which no list has any more.
local function moved_in(more)
	return function(f)
		f.data_dir.claim.list[3].peer_urls = { url "a" }
		f.roll_call.heard.a.proof, f.roll_call.heard.a.proof_sent = answer "a", 60
		if more then more(f) end
	end
end

-- e stands at the address of x and says this.
local function in_place_of_x(said)
	return function(f)
		f.inventory.instances = instances("cey", { y = "dead" })
		f.inventory.instances[2].peer_url = url "x"
		f.probes["i-e"] = probe("e", "waiting", { answer = said, peer_url = url "x" })
	end
end

-- rule, what, base, plan, change, overrides; `true` after it where the rule refuses.
local cases = {
	{ "paused", "a file pause holds a change back", joining, add_learner, function(f) f.paused = true end, true },
	{ "paused", "and a founding", founding, new, function(f) f.paused = true end, true },
	{ "paused", "not a start on data", restarting, start, function(f) f.paused = true end },
	{ "paused", "a pause that is overridden", joining, add_learner, function(f) f.paused = true end, override = true },

	{ "paused", "and a member that would leave", leaving, leave "c", function(f) f.paused = true end, true },

	{ "version", "an etcd older than the cluster", restarting, start, function(f) f.me.etcd_version = "3.3.27" end, true },
	{ "version", "an etcd two minor versions ahead", restarting, start, function(f) f.me.etcd_version = "3.6.1" end, true },
	{ "version", "an etcd that runs here already starts nothing", restarting, start, function(f)
		f.me.etcd_version, f.me.running = "3.3.27", { cluster_id = C0, member_id = id "c" }
	end },
	{ "version", "one minor version ahead is fine", restarting, start, function(f) f.me.etcd_version = "3.5.9" end },
	{ "version", "an unknown version is fine", restarting, start, function(f) f.me.etcd_version = nil end },
	{ "version", "a cluster that has not settled on one is fine", restarting, start, function(f)
		for _, p in pairs(f.probes) do p.cluster_version = p.cluster_version and "3.0.0" end
	end },
	{ "version", "a learner before 3.4", joining, add_learner, function(f)
		f.me.etcd_version = "3.3.27"
		for _, p in pairs(f.probes) do p.cluster_version, p.version = "3.3.0", "3.3.27" end
	end, true },

	{ "one-at-a-time", "a second change in a turn", joining, add_learner, function(f) f.changed = true end, true },
	{ "one-at-a-time", "a member that would leave after a change", leaving, leave "c", function(f) f.changed = true end, true },
	{ "one-at-a-time", "a start after a change", restarting, start, function(f) f.changed = true end },
	{ "one-at-a-time", "a first change", joining, add_learner, function() end },

	{ "rivals", "two clusters with quorum", joining, add_learner, function(f) f.probes.x = etcd("x", "quorum", members "x", OTHER) end, true },
	{ "rivals", "a second cluster without quorum", joining, add_learner, function(f) f.probes.x = etcd("x", "no-quorum", members "x", OTHER) end, true },
	{ "rivals", "quorum without a cluster's id", founding, new, function(f)
		f.probes.x, f.probes.y = etcd("x", "quorum", members "x"), probe("y", "quorum")
	end, true },
	{ "rivals", "a member that would leave one of two", leaving, leave "c", function(f)
		f.probes.x = etcd("x", "quorum", members "x", OTHER)
	end, true },
	{ "rivals", "a lone founder is none", joining, add_learner, function(f) f.probes.x = etcd("x", "founding", members "x", OTHER) end },
	{ "rivals", "a start on data does not care", restarting, start, function(f) f.probes.x = etcd("x", "quorum", members "x", OTHER) end },

	{ "incomplete-list", "no list", founding, new, function(f) f.inventory = nil end, true },
	{ "incomplete-list", "a list that is not complete", founding, claim, function(f) f.inventory.complete = false end, true },
	{ "incomplete-list", "a list without me", founding, claim, function(f) f.inventory.self = nil end, true },
	{ "incomplete-list", "a machine without an address", founding, new, function(f) f.inventory.instances[1].peer_url = nil end, true },
	{ "incomplete-list", "an old list", founding, new, function(f) f.inventory.read = 89 end, true },
	{ "incomplete-list", "a list that may still change", founding, new, function(f) f.inventory.same_since = 84 end, true },
	{ "incomplete-list", "a list whose age is unknown", founding, new, function(f) f.inventory.same_since = nil end, true },
	{ "incomplete-list", "a founding list that lacks a machine", founding, new, function(f) table.remove(f.founding.list, 1) end, true },
	{ "incomplete-list", "a founding list with another address", founding, claim, function(f) f.founding.list[1].peer_urls = { url "x" } end, true },
	{ "incomplete-list", "two machines with one name", founding, new, function(f)
		f.inventory.instances[2].etcd_name, f.founding.list[2] = "a", f.founding.list[1]
	end, true },
	{ "incomplete-list", "this machine under another name", founding, new, function(f) f.me.name = "x" end, true },
	{ "incomplete-list", "a settled list", founding, new, function() end },
	{ "incomplete-list", "a founding that has begun needs none", resuming, new, function() end },
	{ "incomplete-list", "a removal by a list that knows no voters", replacing, remove "c", function(f)
		f.inventory.instances = instances "d"
	end, true },
	{ "incomplete-list", "a removal by a list that knows two of five voters", replacing, remove "c", function(f)
		f.inventory.instances = instances "abd"
		for _, p in pairs(f.probes) do p.members = p.members and members "abcxy" end
	end, true },
	{ "incomplete-list", "a removal by a list without a member that answers", replacing, remove "c", function(f)
		f.inventory.instances = instances("acd", { c = "dead" })
	end, true },
	{ "incomplete-list", "a removal by a list of other names, at the addresses where the members answer", replacing, remove "c", renamed },
	{ "incomplete-list", "a removal by a list of other names, where a voter is silent", replacing, remove "c", both(renamed, function(f)
		f.probes["i-b"] = probe("b", "unknown")
	end), true },
	{ "incomplete-list", "a removal by a partial list", replacing, remove "c", function(f) f.inventory.complete = false end, true },
	{ "incomplete-list", "a removal by an old list: death is final", replacing, remove "c", function(f) f.clock = 1000 end },
	{ "incomplete-list", "my own lost slot needs none", lost, remove "c", function(f) f.inventory = nil end },

	{ "desired-size", "fewer machines than desired", founding, claim, function(f) f.desired = 5 end, true },
	{ "desired-size", "a desired size that nobody knows", founding, new, function(f) f.desired = nil end, true },
	{ "desired-size", "as many as desired, one booting", founding, new, function(f) f.inventory.instances[1].state = "booting" end },

	{ "leaving", "a machine that leaves", founding, new, function(f) f.inventory.instances[4] = instances("x", { x = "leaving" })[1] end, true },
	{ "leaving", "a machine in a state never heard of", founding, claim, function(f) f.inventory.instances[4] = instances("x", { x = "hibernated" })[1] end, true },
	{ "leaving", "a dead machine", founding, new, function(f) f.inventory.instances[4] = instances("x", { x = "dead" })[1] end },

	{ "roll-call", "one who has not answered", founding, claim, function(f) f.roll_call.heard.a = nil end, true },
	{ "roll-call", "one who would found another cluster", founding, claim, function(f) f.roll_call.heard.a.empty.cluster_id = OTHER end, true },
	{ "roll-call", "one who still counts on me", founding, claim, function(f) f.roll_call.heard.a.empty.counts = { "b", "c" } end, true },
	{ "roll-call", "an answer in another's name", founding, claim, function(f) f.roll_call.heard.a.empty.name = "b" end, true },
	{ "roll-call", "answers about another list", founding, claim, function(f) f.roll_call.cluster_id = OTHER end, true },
	{ "roll-call", "a working cluster", founding, claim, function(f) f.probes.x = etcd("x", "quorum", members "x") end, true },
	{ "roll-call", "all are empty", founding, claim, function(f) f.data_dir.claim = nil end },
	{ "roll-call", "one who is not ready", founding, new, function(f) f.roll_call.heard.b.last.ready = false end, true },
	{ "roll-call", "one whose claim is another", founding, new, function(f) f.roll_call.heard.b.last.claim = OTHER end, true },
	{ "roll-call", "one who was never heard", founding, new, function(f) f.roll_call.heard.b.last = nil end, true },
	{ "roll-call", "a claim for another list", changing, new, function() end, true },
	{ "roll-call", "a machine that has withdrawn", founding, new, function(f) f.roll_call.withdrawn = 50 end, true },
	{ "roll-call", "all are ready", founding, new, function() end },
	{ "roll-call", "a founding that has begun", resuming, new, function() end },
	{ "roll-call", "a founding in which I have started once: my log was removed by hand", resuming, new, function(f)
		f.probes["i-a"].members = members "abc"
	end, "incomplete-list" },
	{ "roll-call", "a founding that has begun and lists nobody yet", resuming, new, function(f) f.probes["i-a"].members = {} end },
	{ "roll-call", "another founding that lists nobody yet", resuming, new, function(f)
		f.probes["i-a"].members, f.probes["i-a"].cluster_id = {}, OTHER
	end, "incomplete-list" },
	{ "roll-call", "a decided cluster that lists nobody", resuming, new, function(f)
		f.probes["i-a"].members, f.probes["i-a"].verdict = {}, "no-quorum"
	end, "incomplete-list" },
	{ "roll-call", "a founding that lists me no more", resuming, new, drop_from_lists "c", "incomplete-list" },
	{ "roll-call", "a founding that works already", resuming, new, function(f)
		f.probes["i-b"] = etcd("b", "quorum", members "abc", FOUNDING)
	end, "incomplete-list" },
	{ "roll-call", "refusals without a marker", founding, new, refused, true },
	{ "roll-call", "refusals with a marker", founding, new, both(refused, mark()) },
	{ "roll-call", "refusals, waived by hand", founding, new, refused, override = true },
	{ "roll-call", "refusals, and one that has begun this founding, waived by hand", founding, claim, both(refused, begun "founding"), override = true },
	{ "roll-call", "one that had quorum among refusals, waived by hand", founding, claim, both(refused, begun "no-quorum"), true, override = true },
	{ "roll-call", "one in whose founding this machine started, waived by hand", founding, claim, both(refused, begun("founding", true)), true,
		override = true },
	{ "roll-call", "refusals since a moment, waived by hand", founding, new, both(refused, function(f) f.refused_since = 80 end), true, override = true },
	{ "roll-call", "a timeout among refusals, waived by hand", founding, claim, both(refused, function(f)
		f.probes["i-a"].verdict = "unknown"
	end), true, override = true },
	{ "roll-call", "silence, waived by hand", founding, new, function(f) f.roll_call.heard = {} end, override = true },

	{ "claim", "one of the earlier list who was not asked since", changing, claim, function(f) f.roll_call.heard.b.proof = nil end, true },
	{ "claim", "one who was asked before the withdrawal", changing, claim, function(f) f.roll_call.heard.b.proof_sent = 50 end, true },
	{ "claim", "one who still counts on me", changing, claim, function(f) f.roll_call.heard.b.proof.counts = { "c" } end, true },
	{ "claim", "one who may live and is not listed", changing, claim, function(f) f.inventory.gone = "unknown" end, true },
	{ "claim", "a promise to join", changing, claim, function(f) f.data_dir.claim = { kind = "join", cluster_id = OTHER, member_id = "1" } end, true },
	{ "claim", "all have released it or are dead", changing, claim, function() end },
	{ "claim", "one whose place another has taken, and has released it", changing, claim, moved_in() },
	{ "claim", "one whose place another has taken, who was not asked since", changing, claim,
		moved_in(function(f) f.roll_call.heard.a.proof = nil end), true },
	{ "claim", "one whose place another has taken, who counts on me", changing, claim,
		moved_in(function(f) f.roll_call.heard.a.proof.counts = { "c" } end), true },
	{ "claim", "one whose place another has taken, in a list that may forget machines", changing, claim,
		moved_in(function(f) f.inventory.gone = "unknown" end), true },
	{ "claim", "the same list again", founding, claim, function() end },

	{ "marker", "another list's", founding, new, mark { cluster_id = OTHER }, true },
	{ "marker", "of a cluster that had quorum", founding, new, mark { confirmed = true }, true },
	{ "marker", "another's beside a founding that has begun", resuming, new, mark { cluster_id = OTHER }, true },
	{ "marker", "reserved for this list", founding, new, mark() },
	{ "marker", "of the founding that has begun", resuming, new, mark { confirmed = true } },
	{ "marker", "none is configured", founding, new, function(f) f.marker_configured = false end },
	{ "marker", "configured, and nobody has reserved it", founding, new, configured, true },
	{ "marker", "configured, and it cannot be read", founding, new, unreadable, true },
	{ "marker", "configured, cannot be read, a founding that has begun", resuming, new, unreadable, true },
	{ "marker", "done without, by hand", founding, new, configured, override = true },

	{ "marker", "to be reserved, nobody has", founding, reserve, configured },
	{ "marker", "to be reserved, it cannot be read", founding, reserve, unreadable, true },
	{ "marker", "to be reserved, it cannot be read, done without by hand", founding, reserve, unreadable, true, override = true },
	{ "marker", "to be reserved, it is", founding, reserve, mark(), true },
	{ "marker", "to be reserved, a confirmed one", founding, reserve, mark { cluster_id = OTHER, confirmed = true }, true },
	{ "marker", "to be reserved, a confirmed one, done without by hand", founding, reserve,
		mark { cluster_id = OTHER, confirmed = true }, true, override = true },
	{ "marker", "to be reserved for a founding that has begun", resuming, reserve, configured },
	{ "marker", "to be reserved for a founding that has begun, another's is there", resuming, reserve,
		both(mark { cluster_id = OTHER, list = founders "x" }, function(f) f.inventory = facts("c", "abc").inventory end), true },
	{ "marker", "another list's, its machines gone or ready for this one", founding, reserve,
		mark { cluster_id = OTHER, list = founders "abcxy" } },
	{ "marker", "another list's, one of them called terminated", founding, reserve, both(mark { cluster_id = OTHER, list = founders "x" },
		function(f)
			f.inventory.instances[4] = instances("x", { x = "dead" })[1]
			f.inventory.gone = "unknown"
		end) },
	{ "marker", "another list's, one of them not proven dead", founding, reserve, both(mark { cluster_id = OTHER, list = founders "abx" },
		function(f) f.inventory.gone = "unknown" end), true },
	{ "marker", "another list's, one of them at another address", founding, reserve, mark { cluster_id = OTHER,
		list = { { name = "a", peer_urls = { url "x" } } } }, true },
	{ "marker", "another list's, one of them not ready, waived by hand", founding, reserve, both(mark { cluster_id = OTHER },
		function(f) f.roll_call.heard.b.last.ready = false end), true, override = "roll-call" },
	{ "marker", "another list's, which names nobody", founding, reserve, mark { cluster_id = OTHER, list = {} }, true },
	{ "roll-call", "to be reserved, one who is not ready", founding, reserve, function(f)
		f.roll_call.heard.b.last.ready = false
	end, true },
	{ "desired-size", "to be reserved by too few", founding, reserve, function(f) f.desired = 5 end, true },
	{ "paused", "to be reserved in a pause", founding, reserve, function(f) f.paused = true end, true },
	{ "data-dir", "to be reserved without a claim", founding, reserve, function(f)
		f.data_dir.claim = nil
	end, "roll-call" },
	{ "roll-call", "to be reserved among refusals, before the claim", founding, reserve, both(refused, function(f)
		f.data_dir.claim = nil
	end) },
	{ "roll-call", "to be reserved among refusals since a moment", founding, reserve, both(refused, function(f)
		f.refused_since = 80
	end), true },
	{ "marker", "to be reserved among refusals, another's is there", founding, reserve, both(refused,
		mark { cluster_id = OTHER, list = founders "a" }), true },

	{ "amnesia", "an unstarted slot without a claim", added, start, function(f) f.data_dir.claim = nil end, true },
	{ "amnesia", "a claim of another member", added, start, function(f) f.data_dir.claim.member_id = "5" end, true },
	{ "amnesia", "a claim of another cluster", added, start, function(f) f.data_dir.claim.cluster_id = OTHER end, true },
	{ "amnesia", "an empty disk of a started member", lost, start, function() end, true },
	{ "amnesia", "the claim of that member", added, start, function() end },
	{ "amnesia", "a missing vote of a cluster without quorum", added, start, function(f)
		for _, p in pairs(f.probes) do p.verdict = p.members and "no-quorum" or p.verdict end
	end },
	{ "amnesia", "an unstarted slot, the disk not ours to see", added, start, hidden, true },
	{ "amnesia", "a started slot, the disk not ours to see", lost, start, hidden },
	{ "amnesia", "a slot added in this run, the disk not ours to see", added, start, both(hidden, function(f)
		f.history = { { action = "add", member = id "c", ok = true, clock = 1 } }
	end) },

	{ "data-dir", "a founding over data", founding, new, function(f) f.data_dir.state, f.data_dir.claim = "member", nil end, true, override = "roll-call" },
	{ "data-dir", "a claim over data that cannot be read", founding, claim, function(f) f.data_dir.state = "unknown" end, true },
	{ "data-dir", "a founding without a claim", founding, new, function(f) f.data_dir.claim = nil end, true, override = "roll-call" },
	{ "data-dir", "a founding beside a running etcd", founding, new, function(f) f.me.running = {} end, true },
	{ "data-dir", "a hidden disk", founding, new, hidden, true, override = "roll-call" },
	{ "data-dir", "a hidden disk, found by refusals", founding, new, both(both(refused, mark()), hidden) },
	{ "data-dir", "a member that leaves, its etcd running", leaving, leave "c", function() end },
	{ "data-dir", "a member that leaves, its etcd stopped, no list of machines", restarting, leave "c", function(f) f.inventory = nil end },
	{ "data-dir", "a learner that leaves a single voter", leaving, leave "c", function(f)
		f.probes["i-b"], f.probes["i-c"].verdict = nil, "learner"
		for _, p in pairs(f.probes) do p.members = members("ac", { c = { learner = true } }) end
	end },
	{ "data-dir", "another member, to be left", leaving, leave "a", function() end, true },
	{ "data-dir", "a member by its name and address alone", leaving, leave "c", function(f) f.data_dir.member_id = "5" end, true },
	{ "data-dir", "a member of another cluster", leaving, leave "c", function(f) f.data_dir.cluster_id = OTHER end, true },
	{ "data-dir", "an empty disk that would leave", lost, leave "c", function() end, true },
	{ "data-dir", "data that cannot be read, which would leave", leaving, leave "c", function(f) f.data_dir.state = "damaged" end, true },
	{ "data-dir", "to be left, another etcd on my ports", leaving, leave "c", function(f) f.me.running.member_id = "5" end, true },
	{ "data-dir", "to be left, an etcd that does not say who it is yet", leaving, leave "c", function(f) f.me.running = {} end },
	{ "data-dir", "to be left, not listed by a witness", leaving, leave "c", function(f) f.probes["i-b"].members = members "ab" end, true },
	{ "data-dir", "the only voter, which would leave", leaving, leave "c", function(f)
		f.probes = { ["i-c"] = etcd("c", "quorum", members "c") }
	end, true, override = "quorum-after" },
	{ "data-dir", "the only voter beside a learner, which would leave", leaving, leave "c", function(f)
		f.probes = { ["i-c"] = etcd("c", "quorum", members("ac", { a = { learner = true } })),
			["i-a"] = etcd("a", "learner", members("ac", { a = { learner = true } })) }
	end, true, override = "quorum-after" },
	{ "data-dir", "a hidden disk that leaves, its etcd answering", leaving, leave "c", hidden },
	{ "data-dir", "a hidden disk that would leave, its etcd stopped", leaving, leave "c", both(hidden, function(f) f.me.running = nil end), true },
	{ "data-dir", "a hidden disk that would leave, its etcd nameless", leaving, leave "c", both(hidden, function(f) f.me.running = {} end), true },

	{ "data-dir", "damaged data", restarting, start, function(f) f.data_dir.state = "damaged" end, true },
	{ "data-dir", "data of a removed member", restarting, start, drop_from_lists "c", true },
	{ "data-dir", "data of a foreign cluster", restarting, start, function(f) f.data_dir.cluster_id = OTHER end, true },
	{ "data-dir", "data of a cluster known as mine", restarting, start, function(f)
		f.data_dir.cluster_id, f.journal.clusters = OTHER, { OTHER }
	end },
	{ "data-dir", "another etcd on my ports", restarting, start, function(f) f.me.running = { cluster_id = C0, member_id = "5" } end, true },
	{ "data-dir", "my etcd on my ports", restarting, start, function(f) f.me.running = { cluster_id = C0, member_id = id "c" } end },
	{ "data-dir", "intact data, all else silent", restarting, start, function(f)
		f.probes, f.inventory, f.desired, f.paused = {}, nil, nil, true
	end },
	{ "data-dir", "data not listed by a minority", restarting, start, both(drop_from_lists "c", function(f) f.probes["i-b"].verdict = "no-quorum" end) },
	{ "data-dir", "a slot asked to be removed", added, start, function(f)
		f.journal.asked_remove = { { cluster_id = C0, member_id = id "c" } }
	end, true },
	{ "data-dir", "a slot that a witness does not list", added, start, function(f) f.probes["i-b"].members = members "ab" end, true },
	{ "data-dir", "no slot", added, start, drop_from_lists "", true },
	{ "data-dir", "a slot at another address", added, start, alter("c", { peer_urls = { url "x" } }), true },
	{ "data-dir", "data aside while listed", restarting, aside, function() end, true },
	{ "data-dir", "data aside while one witness lists it", restarting, aside, function(f) f.probes["i-b"].members = members "ab" end, true },
	{ "data-dir", "data aside by the word of one", restarting, aside, both(drop_from_lists "c", function(f)
		f.probes["i-a"].members, f.probes["i-b"] = members "abx", probe("b", "unknown")
	end), true },
	{ "data-dir", "data aside of a removed member", restarting, aside, drop_from_lists "c" },
	{ "data-dir", "data aside beside a running etcd", restarting, aside, both(drop_from_lists "c", function(f) f.data_dir.locked = true end), true },
	{ "data-dir", "used data aside for another cluster", restarting, aside, function(f) f.data_dir.cluster_id = OTHER end, true },
	{ "data-dir", "unused data aside for another cluster", restarting, aside, function(f) f.data_dir.cluster_id, f.data_dir.unused = OTHER, true end },
	{ "data-dir", "a founding that cannot finish", hopeless, aside, function() end },
	{ "data-dir", "a founding that may finish", hopeless, aside, function(f) f.inventory.instances[2].state = "unknown" end, true },
	{ "data-dir", "a founder who is promised to it", hopeless, aside, function(f)
		f.inventory.instances[2].state = "live"
		f.probes["i-x"] = probe("x", "waiting", { answer = answer "x" })
	end, true },
	{ "data-dir", "a founder who is empty and not promised to it", hopeless, aside, function(f)
		f.inventory.instances[2].state = "live"
		f.probes["i-x"] = probe("x", "waiting", { answer = blank "x" })
	end },
	{ "data-dir", "a founder whose place another has taken, who is empty", hopeless, aside, in_place_of_x(blank "e") },
	{ "data-dir", "a founder whose place another has taken, who is promised to it", hopeless, aside, in_place_of_x(answer "e"), true },
	{ "data-dir", "a founder whose place another has taken, who is empty, in a list that may forget machines", hopeless, aside,
		both(in_place_of_x(blank "e"), function(f) f.inventory.gone = "unknown" end), true },
	{ "data-dir", "used data of a founding that cannot finish", hopeless, aside, function(f) f.data_dir.unused = false end, true },
	{ "data-dir", "a copy of a living member's disk", copied, start, function() end, true },
	{ "data-dir", "a copy of the disk of a member that has lost its quorum", copied, start, function(f)
		f.probes = { ["i-c"] = etcd("c", "no-quorum", members "abc") }
	end, true },
	{ "data-dir", "a moved disk, another etcd at its old address", copied, start, function(f) f.probes["i-c"].member_id = "5" end },
	{ "data-dir", "a moved disk, its old address silent", copied, start, function(f) f.probes["i-c"] = probe("c", "unknown") end },
	{ "data-dir", "my etcd, which answers under another address of mine too", copied, start, function(f)
		f.me.running = { cluster_id = C0, member_id = id "c" }
	end },
	{ "data-dir", "the address of a living member whose disk was copied", copied, update_c, function() end, true },
	{ "data-dir", "a living member whose disk was copied, to be left", copied, leave "c", function() end, true },
	{ "not-proven-dead", "a living learner whose disk was copied", copied, remove "c", alter("c", { learner = true }), true },
	{ "data-dir", "another's address", restarting, { action = "update", member = id "a" }, function() end, true },
	{ "data-dir", "my learner's address", restarting, update_c, alter("c", { learner = true }), true },
	{ "data-dir", "my own address", restarting, update_c, alter("c", { peer_urls = { url "x" } }) },

	{ "not-proven-dead", "a live machine", joining, remove "b", function() end, true },
	{ "not-proven-dead", "a silent machine that is listed as live", replacing, remove "c", function(f) f.inventory.instances[3].state = "live" end, true },
	{ "not-proven-dead", "one that is leaving", replacing, remove "c", function(f) f.inventory.instances[3].state = "leaving" end, true },
	{ "not-proven-dead", "a dead machine whose member answers", joining, remove "c", function(f) f.inventory.instances[3].state = "dead" end, true },
	{ "not-proven-dead", "a dead machine whose member has no quorum", replacing, remove "c", function(f)
		f.probes["i-c"] = etcd("c", "no-quorum", members "abc")
	end, true },
	{ "not-proven-dead", "a dead machine that was not asked", replacing, remove "c", function(f) f.probes["i-c"] = nil end, true },
	{ "not-proven-dead", "an etcd at its address that does not say which member it is", replacing, remove "c", function(f)
		f.probes["i-c"] = etcd("c", "no-quorum", members "abc")
		f.probes["i-c"].member_id = nil
	end, true },
	{ "not-proven-dead", "a dead machine", replacing, remove "c", function() end },
	{ "not-proven-dead", "a dead machine's address, re-used", replacing, remove "c", function(f)
		f.probes["i-c"] = etcd("c", "quorum", members("abc"))
		f.probes["i-c"].member_id, f.probes["i-c"].verdict = id "z", "founding"
	end },
	{ "not-proven-dead", "absent from an exhaustive list", replacing, remove "c", function(f) table.remove(f.inventory.instances, 3) end },
	{ "not-proven-dead", "absent, and another has its address", replacing, remove "c", readdressed, true },
	{ "not-proven-dead", "absent from a list that is not exhaustive", replacing, remove "c", function(f)
		table.remove(f.inventory.instances, 3)
		f.inventory.gone = "unknown"
	end, true },
	{ "not-proven-dead", "absent from a list that may change", replacing, remove "c", function(f)
		table.remove(f.inventory.instances, 3)
		f.inventory.same_since = 97
	end, true },
	{ "not-proven-dead", "forgotten by a provider that knows the others", replacing, remove "c", forgotten "c" },
	{ "not-proven-dead", "forgotten, and another has its address", replacing, remove "c", both(readdressed, forgotten "c"), true },
	{ "not-proven-dead", "another is forgotten", replacing, remove "c", forgotten("x", "c"), true },
	{ "not-proven-dead", "forgotten since shortly", replacing, remove "c", both(forgotten "c", function(f)
		f.inventory.same_since = 97
	end), true },
	{ "not-proven-dead", "forgotten by a list that is not complete", replacing, remove "c", both(forgotten "c", function(f)
		f.inventory.complete = false
	end), true, override = "incomplete-list" },
	{ "not-proven-dead", "forgotten by a provider that knows two of five voters", replacing, remove "c", both(forgotten "c", function(f)
		for _, p in pairs(f.probes) do p.members = p.members and members "abcxy" end
	end), true, override = "incomplete-list" },
	{ "not-proven-dead", "a nameless member, and no name that is forgotten", replacing, remove "c", both(alter("c", { name = "" }), forgotten("", "c")),
		true },
	{ "data-dir", "a founder who is forgotten, by a list that no cluster vouches for", hopeless, aside, forgotten "x", true },
	{ "not-proven-dead", "a nameless member at a dead machine's address", replacing, remove "c", alter("c", { name = "" }) },
	{ "not-proven-dead", "a nameless member at a dead machine's address, by a list that may change", replacing, remove "c",
		both(alter("c", { name = "" }), function(f) f.inventory.same_since = 97 end), true },
	{ "not-proven-dead", "a nameless member at a live machine's address", replacing, remove "c", both(alter("c", { name = "" }), function(f)
		f.inventory.instances[3].state = "live"
	end), true },
	{ "not-proven-dead", "one name that two machines have, one of them live", replacing, remove "c", function(f)
		f.inventory.instances[5] = instances("e")[1]
		f.inventory.instances[5].etcd_name = "c"
	end, true },
	{ "not-proven-dead", "a member that nobody lists", replacing, remove "x", function() end, true },
	{ "not-proven-dead", "a member that a lagging witness does not list", replacing, remove "c", function(f)
		f.probes["i-b"].members, f.probes["i-b"].applied = members "ab", 9
	end, true },
	{ "not-proven-dead", "my own lost slot", lost, remove "c", function() end },
	{ "not-proven-dead", "my own slot with my data", restarting, remove "c", function() end, true },
	{ "not-proven-dead", "my own slot, the data unreadable", lost, remove "c", function(f) f.data_dir.state = "unknown" end, true },
	{ "not-proven-dead", "my own slot by the word of one", lost, remove "c", function(f) f.probes["i-b"] = probe("b", "unknown") end, true },
	{ "not-proven-dead", "my own slot by a majority that I am part of", lost, remove "c", function(f)
		f.probes["i-b"], f.probes.me = probe("b", "unknown"), etcd("c", "quorum", members "abc")
	end, true },
	{ "not-proven-dead", "my own slot beside a running etcd", lost, remove "c", function(f) f.me.running = {} end, true },
	{ "not-proven-dead", "my address under a live machine's name", lost, remove "c", both(alter("c", { name = "x" }), function(f)
		f.inventory.instances[4] = instances "x"[1]
	end), true },
	{ "not-proven-dead", "my address under a dead machine's name", lost, remove "c", both(alter("c", { name = "x" }), function(f)
		f.inventory.instances[4] = instances("x", { x = "dead" })[1]
	end) },
	{ "not-proven-dead", "my name at a live machine's address", lost, remove "c", both(alter("c", { peer_urls = { url "x" } }), function(f)
		f.inventory.instances[4], f.probes["i-x"] = instances "x"[1], probe("x", "unknown")
	end), true },
	{ "not-proven-dead", "a started slot, the disk not ours to see", lost, remove "c", hidden, true },
	{ "not-proven-dead", "an unstarted slot, the disk not ours to see", added, remove "c", hidden },
	{ "not-proven-dead", "my learner, moved", restarting, remove "c", alter("c", { learner = true, peer_urls = { url "x" } }) },
	{ "not-proven-dead", "a learner never started, since long", joining, remove "e", both(with_learner "refused", both(alter("e", { started = false }), function(f)
		f.journal.pending_since = { [id "e"] = f.now - 900 }
	end)) },
	{ "not-proven-dead", "a learner never started, since shortly", joining, remove "e", both(with_learner "refused", both(alter("e", { started = false }), function(f)
		f.journal.pending_since = { [id "e"] = f.now - 899 }
	end)), true },
	{ "not-proven-dead", "a voter never started, since long", replacing, remove "c", both(alter("c", { started = false }), function(f)
		f.inventory.instances[3].state, f.journal.pending_since = "live", { [id "c"] = 0 }
	end), true },

	{ "quorum-after", "no cluster with quorum", joining, add_learner, function(f) f.probes = {} end, true },
	{ "quorum-after", "a removal that leaves too few", replacing, remove "c", function(f) f.probes["i-b"] = probe("b", "unknown") end, true },
	{ "quorum-after", "a removal by a witness whose list is longer", replacing, remove "c", function(f)
		f.probes["i-b"].members = members "abcxyz"
		f.probes["i-b"].applied = 9
	end, true },
	{ "quorum-after", "a learner's removal, which lowers no majority", replacing, remove "c", function(f)
		for _, p in pairs(f.probes) do p.members = p.members and members("abcxy", { c = { learner = true } }) end
		f.inventory.instances = instances("abcdxy", { c = "dead" })
	end, true },
	{ "quorum-after", "a removal that leaves enough", replacing, remove "c", function() end },
	{ "quorum-after", "a voter beside a single one", joining, add_voter, function(f) f.probes = { ["i-a"] = etcd("a", "quorum", members "a") } end, true },
	{ "quorum-after", "a learner beside a single one", joining, add_learner, function(f) f.probes = { ["i-a"] = etcd("a", "quorum", members "a") } end },
	{ "quorum-after", "a voter beside three", joining, add_voter, function() end },
	{ "quorum-after", "a fourth voter beside two of three", replacing, add_voter, function() end, true },
	{ "quorum-after", "a learner that is up, of a single voter", joining, promote "e", both(with_learner "learner", function(f)
		for _, p in pairs(f.probes) do p.members = members("ae", { e = { learner = true } }) end
	end) },
	{ "quorum-after", "a learner that is down, of a single voter", joining, promote "e", both(with_learner "unknown", function(f)
		f.probes = { ["i-a"] = f.probes["i-a"] }
		f.probes["i-a"].members = members("ae", { e = { learner = true } })
	end), true },
	{ "quorum-after", "a promotion of a voter", joining, promote "b", function() end, true },
	{ "quorum-after", "a neighbour's word", replacing, remove "c", function(f) f.probes["i-b"].member_id = nil end, true },

	{ "quorum-after", "a leave with another voter down", leaving, leave "c", function(f) f.probes["i-b"] = probe("b", "unknown") end, true },
	{ "quorum-after", "a leave of two, the other up", leaving, leave "c", function(f)
		f.probes["i-b"] = nil
		for _, p in pairs(f.probes) do p.members = members "ac" end
	end },
	{ "quorum-after", "a leave of two, the other down", leaving, leave "c", function(f)
		f.probes = { ["i-c"] = etcd("c", "quorum", members "ac") }
	end, true },
	{ "quorum-after", "a leave by a witness whose list is longer", leaving, leave "c", function(f)
		f.probes["i-b"].members, f.probes["i-b"].applied = members "abcxy", 9
	end, true },

	{ "pending", "an unstarted member, before another leaves", leaving, leave "c", alter("a", { started = false }), true },
	{ "pending", "the learner that leaves itself", leaving, leave "c", alter("c", { learner = true }) },
	{ "pending", "an unstarted member", joining, add_voter, alter("c", { started = false }), true },
	{ "pending", "a learner", joining, add_learner, with_learner "learner", true },
	{ "pending", "nobody", joining, add_learner, function() end },
}

local function overrides(case)
	local rule = case.override == true and case[1] or case.override
	return rule and { [rule] = true } or nil
end

describe("gate", function()
	for _, case in ipairs(cases) do
		local rule, what, base, plan, change, refuses = table.unpack(case, 1, 6)
		local expected = refuses == true and rule or refuses or nil
		it(("%s: %s -> %s"):format(rule, what, expected and "refused" or plan.action), function()
			local f = base()
			change(f)
			local permit, message, by = gate.check(f, plan, overrides(case))
			assert.equal(expected, by, message)
			if expected then
				assert.is_nil(permit)
				assert.truthy(#message > 20 and not message:find("[", 1, true), message)
			else
				assert.equal(plan.action, permit:take(plan.action).action)
			end
		end)
	end

	it("has a refusing and an admitting case for every rule", function()
		for _, rule in ipairs(gate.rules()) do
			local refuses, admits = false, false
			for _, case in ipairs(cases) do
				if case[1] == rule.name then
					refuses, admits = refuses or case[6] == true, admits or not case[6]
				end
			end
			assert.truthy(refuses and admits, rule.name)
		end
	end)

	it("asks its rules in their order", function()
		local names, kept = {}, {}
		for i, rule in ipairs(gate.rules()) do
			names[i] = rule.name
			if not rule.override then kept[#kept + 1] = rule.name end
		end
		assert.same({ "paused", "version", "one-at-a-time", "rivals", "incomplete-list", "desired-size", "leaving", "roll-call",
			"claim", "marker", "amnesia", "data-dir", "not-proven-dead", "quorum-after", "pending" }, names)
		assert.same({ "rivals", "amnesia", "data-dir" }, kept)
		local f = founding()
		f.paused, f.desired, f.inventory.complete = true, nil, false
		assert.equal("paused", select(3, gate.check(f, new)))
		assert.equal("incomplete-list", select(3, gate.check(f, new, { paused = true })))
	end)

	it("cannot be switched off here", function()
		if gate.off then pending "a test build" end
		assert.is_nil(gate.off)
	end)

	it("lets a wait, a standby and a failure pass without facts to speak of", function()
		for _, action in ipairs { "wait", "standby", "fail" } do
			local permit = assert(gate.check(facts("a", "a"), { action = action, reason = "" }))
			assert.has_error(function() permit:take "start" end)
			assert.equal(action, permit:take(action).action)
		end
	end)

	it("names machines, and members in hex", function()
		local _, message = gate.check(replacing(), remove "b")
		assert.truthy(message:find("member 66 (b)", 1, true), message)
		local f = founding()
		f.roll_call.heard.a = nil
		_, message = gate.check(f, claim)
		assert.truthy(message:find("^a has not answered"), message)
	end)
end)

describe("permit", function()
	it("is taken once, and for its action", function()
		local permit = assert(gate.check(founding(), new))
		assert.has_error(function() permit:take "claim" end)
		assert.has_error(function() permit:take() end)
		assert.truthy(permit:take "new")
		assert.has_error(function() permit:take "new" end)
	end)

	it("holds the claim's founding, literally", function()
		local f = resuming()
		f.data_dir.claim.token = "t-old"
		local allowed = gate.check(f, new):take "new"
		assert.same({ action = "new", learner = false, cluster_id = FOUNDING, member_id = id "c", token = "t-old",
			members = founders "abc" }, allowed)
	end)

	it("holds the list's founding for a claim, and keeps it", function()
		local f = changing()
		local permit = gate.check(f, claim)
		f.founding.list[1].name = "changed"
		assert.same({ action = "claim", learner = false, cluster_id = FOUNDING, member_id = id "c", token = "t-1",
			members = founders "abc" }, permit:take "claim")
	end)

	it("holds the founding that its marker is reserved for", function()
		local f = founding()
		f.data_dir.claim.cluster_id = OTHER
		refused(f)
		assert.same({ action = "reserve", learner = false, cluster_id = FOUNDING, member_id = id "c", token = "t-1",
			members = founders "abc" }, gate.check(f, reserve):take "reserve")
		f = resuming()
		f.data_dir.claim.token = "t-old"
		assert.equal("t-old", gate.check(f, reserve):take "reserve".token)
		assert.has_error(function() gate.check(f, reserve):take "new" end)
	end)

	it("holds whose change it is", function()
		assert.same({ action = "remove", learner = false, cluster_id = C0, member_id = id "c" }, gate.check(replacing(), remove "c"):take "remove")
		assert.same({ action = "leave", learner = false, cluster_id = C0, member_id = id "c" }, gate.check(leaving(), leave "c"):take "leave")
		assert.same({ action = "add", learner = true, cluster_id = C0, peer_urls = { url "d" } }, gate.check(joining(), add_learner):take "add")
		local f = restarting()
		alter("c", { peer_urls = { url "x" } })(f)
		assert.same({ action = "update", learner = false, cluster_id = C0, member_id = id "c", peer_urls = { url "c" } },
			gate.check(f, update_c):take "update")
	end)

	it("holds who starts", function()
		local mine = { action = "start", learner = false, cluster_id = C0, member_id = id "c" }
		assert.same(mine, gate.check(restarting(), start):take "start")
		assert.same(mine, gate.check(added(), start):take "start")
	end)
end)

describe("gate, given nonsense", function()
	local function raises(pattern, change, plan, over)
		local f = joining()
		change(f)
		local ok, message = pcall(gate.check, f, plan or add_learner, over)
		assert.is_false(ok)
		assert.truthy(tostring(message):find(pattern), message)
	end

	it("raises at a caller's bug", function()
		assert.has_error(function() gate.check() end)
		assert.has_error(function() gate.check(joining()) end)
		raises("me: table expected", function(f) f.me = nil end)
		raises("probes: table expected", function(f) f.probes = nil end)
		raises("now and clock", function(f) f.clock = nil end)
		raises("complete: boolean expected", function(f) f.inventory.complete = "yes" end)
		raises("decimal id expected", function(f) f.probes["i-a"].cluster_id = "0x1" end)
		raises("decimal id expected", function(f) f.probes["i-a"].cluster_id = "18446744073709551616" end)
		raises("member_id: string expected", function(f) f.probes["i-a"].member_id = 5 end)
		raises("peer_urls: string expected", function(f) f.probes["i-a"].members[1].peer_urls = { 1 } end)
		raises("tables expected", function(f) f.probes["i-a"].members[1] = 7 end)
		raises("no such action", function() end, { action = "destroy" })
		raises("no such action", function() end, {})
		raises("needs the decimal id", function() end, { action = "remove" })
		raises("needs the decimal id", function() end, { action = "leave" })
		raises("needs the decimal id", function() end, { action = "remove", member = "x" })
	end)

	it("raises at an override that does not exist", function()
		raises("no such rule", function() end, add_learner, { everything = true })
		for _, rule in ipairs { "rivals", "data-dir", "amnesia" } do
			raises("cannot be overridden", function() end, add_learner, { [rule] = true })
		end
		assert.truthy(gate.check(joining(), add_learner, { rivals = false }))
	end)

	it("refuses, and does not raise, at odd things from outside", function()
		local f = founding()
		f.roll_call.heard["a\0b"] = f.roll_call.heard.a
		f.roll_call.heard.a = nil
		assert.equal("roll-call", select(3, gate.check(f, claim)))
		f = founding()
		f.roll_call.heard.a.empty.name = "a\0b"
		assert.equal("roll-call", select(3, gate.check(f, claim)))
		f = replacing()
		f.inventory.instances[3].state = "dead\0"
		assert.equal("not-proven-dead", select(3, gate.check(f, remove "c")))
		f = joining()
		f.probes["i-a"].verdict, f.probes["i-b"].verdict, f.probes["i-c"].verdict = "splendid", "splendid", "splendid"
		assert.equal("quorum-after", select(3, gate.check(f, add_learner)))
	end)

	it("takes a thousand machines and ids up to 64 bits", function()
		local f = restarting()
		local names = {}
		for i = 1, 1000 do
			names[i] = { id = "18446744073709550" .. 500 + i % 500, name = "m" .. i, peer_urls = { "http://127.1.0.1:1" }, client_urls = {}, learner = false, started = true }
			f.probes["x" .. i] = { key = "x" .. i, peer_url = "http://127.1.0.1:1", verdict = "unknown", why = "" }
		end
		f.probes.big = etcd("x", "no-quorum", names)
		assert.truthy(gate.check(f, start))
	end)
end)
