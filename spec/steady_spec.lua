-- The decision table, row by row: what is seen -> what is planned.
local facts = require "facts"
local journal = require "journal"
local rollcall = require "rollcall"
local steady = require "policies.steady"

-- A world of three machines a, b, c at 127.9.0.1 to 3 and the cluster 100 of members 1, 2, 3.
local function url(i) return ("http://127.9.0.%d:2380"):format(i) end
local function client(i) return ("http://127.9.0.%d:2379"):format(i) end
local NAMES = { "a", "b", "c", "d", "e" }

local function instance(i, state)
	return {
		id = NAMES[i], name = NAMES[i], etcd_name = NAMES[i], addresses = {}, state = state or "live", since = 0,
		peer_url = url(i), client_url = client(i), zone = "", tags = {},
	}
end

local function inventory(states, more)
	local list = { self = "a", instances = {}, desired = #states, complete = true, gone = "dead", lag = 0, read = 100, same_since = 100 }
	for i, state in ipairs(states) do
		if state then table.insert(list.instances, instance(i, state)) end
	end
	for key, value in pairs(more or {}) do list[key] = value end
	return list
end

local function member(i, more)
	local m = {
		id = tostring(i), name = NAMES[i], peer_urls = { url(i) }, client_urls = { client(i) }, learner = false, started = true,
	}
	for key, value in pairs(more or {}) do m[key] = value end
	return m
end

local UNSTARTED = { name = "", client_urls = {}, started = false }

local function probe(i, verdict, more)
	local p = { key = NAMES[i], name = NAMES[i], peer_url = url(i), client_url = client(i), verdict = verdict, why = "", sent = 99, at = 100 }
	for key, value in pairs(more or {}) do p[key] = value end
	return p
end

-- Facts of machine a.  o.members: the list that every etcd gives; o.see: {i = verdict}.
local function seen(o)
	local f = {
		now = 1000, clock = 100, me = { id = "a", name = "a", address = "127.9.0.1", peer_urls = { url(1) }, client_urls = { client(1) }, token = "t" },
		inventory = inventory { "live", "live", "live" }, probes = {}, data_dir = { state = "empty", why = "", unused = false, locked = false, path = "/data" },
		found = "rollcall", roll_call = rollcall.new(), promoter = false, history = {}, changed = false, paused = false,
		journal = { dead_since = {}, pending_since = {}, asked_remove = {}, clusters = {}, asides = {} },
	}
	for i, verdict in pairs(o.see or {}) do
		local more = type(verdict) == "table" and verdict or {}
		local p = probe(i, more.verdict or verdict, more)
		if facts.is_etcd(p) then
			p.cluster_id = p.cluster_id or "100"
			p.members = p.members or o.members
			p.member_id = p.member_id or tostring(i)
			p.applied = i
		end
		f.probes[p.key] = p
	end
	for key, value in pairs(o) do
		if key ~= "see" and key ~= "members" then f[key] = value end
	end
	f.clusters = facts.clusters(f.probes, f.me)
	f.cluster = facts.one_quorum(f.clusters)
	facts.match(f.inventory, f.cluster)
	journal.note_dead(f.journal, f.cluster, f.inventory, f.now)
	f.desired = o.desired or f.inventory and f.inventory.desired
	if f.inventory and f.inventory.complete then
		f.founding = { list = facts.founders(f.inventory), token = "t-1", cluster_id = "900", member_id = "11" }
		f.roll_call.cluster_id = f.roll_call.cluster_id or "900"
	end
	return f
end

local function data(more)
	local d = { state = "member", why = "", cluster_id = "100", member_id = "1", unused = false, locked = false, path = "/data" }
	for key, value in pairs(more or {}) do d[key] = value end
	return d
end

local FOUNDERS = {
	{ name = "a", peer_urls = { url(1) } }, { name = "b", peer_urls = { url(2) } }, { name = "c", peer_urls = { url(3) } },
}
local function founding_claim(id)
	return { kind = "founding", cluster_id = id, member_id = "1", token = "t", list = FOUNDERS }
end
local function empty(claim)
	return { state = "empty", why = "", unused = false, locked = false, path = "/data", claim = claim }
end

local ABC = { member(1), member(2), member(3) }
local NEVER_RAN = { client_urls = {}, started = false }
local FOUNDED_WITHOUT_A = { member(1, NEVER_RAN), member(2), member(3) }
local BC = { member(2), member(3) }

local function answer(name, more)
	local a = { name = name, data = "empty", cluster_id = "900", ready = false, counts = {} }
	for key, value in pairs(more or {}) do a[key] = value end
	return a
end

-- A roll call in which b and c have said this.
local function called(b, c, more)
	local rc = rollcall.new()
	rc.cluster_id = "900"
	for key, value in pairs(more or {}) do rc[key] = value end
	for _, a in pairs { b or nil, c or nil } do rollcall.store(rc, a, 98, { name = "a" }) end
	return rc
end

local function marker(id, confirmed)
	return { cluster_id = id, token = "t", founder = "x", time = 1, confirmed = confirmed,
		list = { { name = "x", peer_urls = { url(8) } }, { name = "y", peer_urls = { url(9) } } } }
end

-- An etcd of the founding that a, unless it says otherwise member 11 and never started, would begin.
local function begun(verdict, mine)
	return { verdict = verdict, cluster_id = "900", members = { member(1, mine or { id = "11", client_urls = {}, started = false }), member(2) } }
end

local READY = { ready = true, claim = "900" }

local TABLE = {
	-- row, what is seen, facts, action, more of the plan
	{ "0", "an etcd runs on this data", { data_dir = data(), me_running = { cluster_id = "100", member_id = "1" }, members = ABC,
		see = { "quorum", "quorum", "quorum" } }, "start" },
	{ "0", "an etcd runs, the data directory is empty", { me_running = { cluster_id = "100", member_id = "1" } }, "fail" },
	{ "0", "an etcd runs on other data", { data_dir = data(), me_running = { cluster_id = "7", member_id = "1" } }, "fail" },
	{ "1", "damaged data", { data_dir = { state = "damaged", why = "zero length", path = "/data" } }, "fail" },
	{ "2", "listed by a working cluster", { data_dir = data(), members = ABC, see = { "refused", "quorum", "quorum" } }, "start" },
	{ "2", "listed, the address changed", { data_dir = data(), members = { member(1, { peer_urls = { url(9) } }), member(2), member(3) },
		see = { "refused", "quorum", "quorum" } }, "update", { member = "1" } },
	{ "2", "listed, the update was refused", { data_dir = data(), members = { member(1, { peer_urls = { url(9) } }), member(2), member(3) },
		see = { "refused", "quorum", "quorum" }, history = { { action = "update", member = "1", ok = false } } }, "start" },
	{ "2", "a learner's address changed", { data_dir = data(), members = { member(1, { peer_urls = { url(9) }, learner = true }), member(2), member(3) },
		see = { "refused", "quorum", "quorum" } }, "remove", { member = "1", own = true } },
	{ "3", "removed, a majority says so", { data_dir = data(), members = BC, see = { "refused", "quorum", "quorum" } }, "aside" },
	{ "3", "removed, a minority says so", { data_dir = data(), members = BC, see = { "refused", "quorum", "unknown" } }, "start" },
	{ "3", "removed, one of the lists still has it", { data_dir = data(), members = BC,
		see = { "refused", "quorum", { verdict = "quorum", members = ABC } } }, "start" },
	{ "4", "another cluster works, the founding never had quorum", { data_dir = data { cluster_id = "7", unused = true, founders = FOUNDERS },
		members = BC, see = { "refused", "quorum", "quorum" } }, "aside" },
	{ "4", "another cluster works, this one is remembered", { data_dir = data { cluster_id = "7" }, members = BC, see = { "refused", "quorum", "quorum" },
		journal = { dead_since = {}, pending_since = {}, asked_remove = {}, clusters = { "7" }, asides = {} } }, "start" },
	{ "4", "another cluster works, a volume from elsewhere", { data_dir = data { cluster_id = "7" }, members = BC,
		see = { "refused", "quorum", "quorum" } }, "fail" },
	{ "5", "unused, one founder dead and one empty", { data_dir = data { unused = true, founders = FOUNDERS },
		inventory = inventory { "live", "dead", "live" }, see = { "refused", "unknown", { verdict = "waiting", answer = answer "c" } } }, "aside" },
	{ "5", "unused, one founder dead, the other claims the same", { data_dir = data { unused = true, founders = FOUNDERS },
		inventory = inventory { "live", "dead", "live" },
		see = { "refused", "unknown", { verdict = "waiting", answer = answer("c", { claim = "100" }) } } }, "start" },
	{ "5", "used, both founders empty", { data_dir = data { founders = FOUNDERS },
		see = { "refused", { verdict = "waiting", answer = answer "b" }, { verdict = "waiting", answer = answer "c" } } }, "start" },
	{ "5", "unused, only one founder empty", { data_dir = data { unused = true, founders = FOUNDERS },
		see = { "refused", "refused", { verdict = "waiting", answer = answer "c" } } }, "start" },
	{ "5", "unused, one founder empty, another not in a list that may trail", { data_dir = data { unused = true, founders = FOUNDERS },
		inventory = inventory({ "live", false, "live" }, { lag = 5 }),
		see = { "refused", [3] = { verdict = "waiting", answer = answer "c" } } }, "wait" },
	{ "5", "the same, the list settled", { data_dir = data { unused = true, founders = FOUNDERS },
		inventory = inventory({ "live", false, "live" }, { lag = 5, same_since = 95 }),
		see = { "refused", [3] = { verdict = "waiting", answer = answer "c" } } }, "aside" },
	{ "5", "the same, the list not a complete one", { data_dir = data { unused = true, founders = FOUNDERS },
		inventory = inventory({ "live", false, "live" }, { lag = 5, complete = false }),
		see = { "refused", [3] = { verdict = "waiting", answer = answer "c" } } }, "start" },
	{ "6", "data, the cloud silent", { data_dir = data(), inventory = false }, "start" },
	{ "6", "data, two clusters with quorum", { data_dir = data(),
		see = { "refused", { verdict = "quorum", members = ABC }, { verdict = "quorum", cluster_id = "200", members = ABC } } }, "start" },
	{ "-", "data that cannot be read", { data_dir = { state = "unknown", why = "denied", path = "/data" } }, "wait" },
	{ "7", "two clusters with quorum", { see = { "refused", { verdict = "quorum", members = ABC },
		{ verdict = "quorum", cluster_id = "200", members = ABC } } }, "fail", { exit = 5 } },
	{ "7", "quorum, and a confirmed marker of another", { members = BC, see = { "refused", "quorum", "quorum" },
		marker = marker("200", true) }, "fail", { exit = 5 } },
	{ "7", "quorum, and a confirmed marker of its own", { members = BC, see = { "refused", "quorum", "quorum" },
		marker = marker("100", true) }, "add" },
	{ "7", "quorum, and a marker of another that nobody confirmed", { members = BC, see = { "refused", "quorum", "quorum" },
		marker = marker("200", false) }, "add" },
	{ "7", "quorum, and a marker that cannot be read", { members = BC, see = { "refused", "quorum", "quorum" },
		marker_unknown = "denied" }, "add" },
	{ "8", "this machine is leaving", { inventory = inventory { "leaving", "live", "live" }, members = BC,
		see = { "refused", "quorum", "quorum" } }, "wait" },
	{ "9", "the founding that is claimed runs", { data_dir = empty(founding_claim "100"), members = FOUNDED_WITHOUT_A, see = { "refused", "founding" } }, "new" },
	{ "9", "the founding that is claimed lost its quorum", { data_dir = empty(founding_claim "100"), members = FOUNDED_WITHOUT_A,
		see = { "refused", "no-quorum" } }, "new" },
	{ "9", "the claim is for a slot that has started: the log was removed by hand", { data_dir = empty(founding_claim "100"), members = ABC,
		see = { "refused", "no-quorum" } }, "wait" },
	{ "9", "the founding that is claimed lists nobody yet", { data_dir = empty(founding_claim "100"), members = {}, see = { "refused", "founding" } }, "new" },
	{ "9", "another founding lists nobody yet", { data_dir = empty(founding_claim "300"), members = {}, see = { "refused", "founding" } }, "wait" },
	{ "9", "the founding of the claim does not list me", { data_dir = empty(founding_claim "100"), members = BC, see = { "refused", "founding" } }, "wait" },
	{ "10", "added, claimed, not started", { data_dir = empty { kind = "join", cluster_id = "100", member_id = "1" },
		members = { member(1, UNSTARTED), member(2), member(3) }, see = { "refused", "quorum", "quorum" } }, "start" },
	{ "10", "founding claim, the founding has quorum", { data_dir = empty(founding_claim "100"), members = FOUNDED_WITHOUT_A,
		see = { "refused", "quorum", "quorum" } }, "start" },
	{ "10", "the claim is for a slot that has started: the log was removed by hand", { data_dir = empty(founding_claim "100"), members = ABC,
		see = { "refused", "quorum", "quorum" } }, "remove", { member = "1", own = true } },
	{ "10", "added, claimed, but asked to be removed", { data_dir = empty { kind = "join", cluster_id = "100", member_id = "1" },
		members = { member(1, UNSTARTED), member(2), member(3) }, see = { "refused", "quorum", "quorum" },
		journal = { dead_since = {}, pending_since = {}, asked_remove = { { cluster_id = "100", member_id = "1" } }, clusters = {}, asides = {} } }, "remove" },
	{ "11", "join claim, the cluster lost its quorum", { data_dir = empty { kind = "join", cluster_id = "100", member_id = "1" },
		members = { member(1, UNSTARTED), member(2) }, see = { "refused", "no-quorum" } }, "start" },
	{ "11", "join claim as a learner", { data_dir = empty { kind = "join", cluster_id = "100", member_id = "1" },
		members = { member(1, { client_urls = {}, started = false, learner = true }), member(2) }, see = { "refused", "no-quorum" } }, "wait" },
	{ "12", "the disk was lost", { members = ABC, see = { "refused", "quorum", "quorum" } }, "remove", { member = "1", own = true } },
	{ "12", "a slot that never started, without a claim", { members = { member(1, UNSTARTED), member(2), member(3) },
		see = { "refused", "quorum", "quorum" } }, "remove", { member = "1", own = true } },
	{ "12", "the disk was lost, a minority answers", { members = ABC, see = { "refused", "quorum", "unknown" } }, "wait" },
	{ "12", "a dead machine's member at my address", { members = { member(1, { name = "old" }), member(2), member(3) },
		see = { "refused", "quorum", "quorum" } }, "remove", { member = "1", own = true } },
	{ "12", "a member at my address whose machine is not listed", { members = { member(1, { name = "old" }), member(2), member(3) },
		inventory = inventory({ "live", "live", "live" }, { gone = "unknown" }), see = { "refused", "quorum", "quorum" } }, "wait" },
	{ "12", "a member at my address whose machine is forgotten", { members = { member(1, { name = "old" }), member(2), member(3) },
		inventory = inventory({ "live", "live", "live" }, { gone = "unknown", forgotten = { "old" } }),
		see = { "refused", "quorum", "quorum" } }, "remove", { member = "1", own = true } },
	{ "12", "a live machine's member at my address", { members = { member(1, { name = "c" }), member(2) },
		see = { "refused", "quorum" }, inventory = inventory { "live", "live", "live" } }, "wait" },
	{ "13", "a learner answers", { members = { member(2), member(3), member(4, { learner = true }) },
		see = { [2] = "quorum", [3] = "quorum", [4] = "learner" }, desired = 4 }, "promote", { member = "4" } },
	{ "14", "a dead and silent member, grace over", { members = { member(2), member(3), member(4) },
		inventory = inventory({ "live", "live", "live", "dead" }, { desired = 3 }), see = { [2] = "quorum", [3] = "quorum", [4] = "unknown" },
		journal = { dead_since = { ["4"] = { at = 1, word = true } }, pending_since = {}, asked_remove = {}, clusters = {}, asides = {} } },
		"remove", { member = "4" } },
	{ "14", "a dead and silent member, within grace", { members = { member(2), member(3), member(4) },
		inventory = inventory({ "live", "live", "live", "dead" }, { desired = 3 }), see = { [2] = "quorum", [3] = "quorum" } }, "wait" },
	{ "14", "gone from an exhaustive list, grace over", { members = { member(2), member(3), member(4) },
		inventory = inventory({ "live", "live", "live" }), see = { [2] = "quorum", [3] = "quorum" },
		journal = { dead_since = { ["4"] = { at = 1, word = false } }, pending_since = {}, asked_remove = {}, clusters = {}, asides = {} } },
		"remove", { member = "4" } },
	{ "14", "gone from a list that proves nothing", { members = { member(2), member(3), member(4) },
		inventory = inventory({ "live", "live", "live" }, { gone = "unknown" }), see = { [2] = "quorum", [3] = "quorum" } }, "wait" },
	{ "14", "forgotten by a provider that knows the others, grace over", { members = { member(2), member(3), member(4) },
		inventory = inventory({ "live", "live", "live" }, { gone = "unknown", forgotten = { "d" } }), see = { [2] = "quorum", [3] = "quorum" },
		journal = { dead_since = { ["4"] = { at = 1, word = false } }, pending_since = {}, asked_remove = {}, clusters = {}, asides = {} } },
		"remove", { member = "4" } },
	{ "14", "forgotten since shortly", { members = { member(2), member(3), member(4) },
		inventory = inventory({ "live", "live", "live" }, { gone = "unknown", forgotten = { "d" }, lag = 15, same_since = 90 }),
		see = { [2] = "quorum", [3] = "quorum" },
		journal = { dead_since = { ["4"] = { at = 1, word = false } }, pending_since = {}, asked_remove = {}, clusters = {}, asides = {} } },
		"wait" },
	{ "14", "forgotten by a provider that knows one of three voters", { members = { member(2), member(3), member(4) },
		inventory = inventory({ "live", "live" }, { gone = "unknown", forgotten = { "d" } }), see = { [2] = "quorum", [3] = "quorum" },
		journal = { dead_since = { ["4"] = { at = 1, word = false } }, pending_since = {}, asked_remove = {}, clusters = {}, asides = {} } },
		"wait" },
	{ "14", "dead for the provider, yet it answers", { members = { member(2), member(3), member(4) },
		inventory = inventory({ "live", "live", "live", "dead" }, { desired = 3 }), see = { [2] = "quorum", [3] = "quorum", [4] = "quorum" },
		journal = { dead_since = { ["4"] = { at = 1, word = true } }, pending_since = {}, asked_remove = {}, clusters = {}, asides = {} } }, "wait" },
	{ "15", "room, and all voters answer", { members = BC, see = { "refused", "quorum", "quorum" } }, "add", { learner = false } },
	{ "15", "no room", { members = BC, desired = 2, see = { "refused", "quorum", "quorum" } }, "wait" },
	{ "15", "somebody else's addition is pending", { members = { member(2), member(3), member(4, UNSTARTED) }, desired = 5,
		inventory = inventory { "live", "live", "live", "live", "live" }, see = { "refused", "quorum", "quorum" } }, "wait" },
	{ "15", "a voter does not answer", { members = BC, see = { "refused", "quorum", "unknown" } }, "wait" },
	{ "15", "one member: a voter would take its quorum", { members = { member(2) }, see = { "refused", "quorum" } }, "add", { learner = true } },
	{ "15", "one member that cannot have learners", { members = { member(2) },
		see = { "refused", { verdict = "quorum", cluster_version = "3.3.0" } } }, "wait" },
	{ "15", "one member that speaks v2 only", { members = { member(2) }, see = { "refused", { verdict = "quorum", api = "/v2" } } }, "wait" },
	{ "15", "room, and somebody promotes", { members = BC, see = { "refused", "quorum", "quorum" }, promoter = true }, "add", { learner = true } },
	{ "15", "one member, somebody promotes", { members = { member(2) }, see = { "refused", "quorum" }, promoter = true }, "add", { learner = true } },
	{ "16", "a learner only", { members = { member(2, { learner = true }), member(3) }, see = { "refused", "learner" } }, "wait" },
	{ "17", "a cluster without quorum", { members = ABC, see = { "refused", "no-quorum", "refused" } }, "wait" },
	{ "17", "a founding of others", { members = BC, see = { "refused", "founding", "refused" } }, "wait" },
	{ "18", "a cluster that wants a login: whether it has quorum is not known", { see = { "refused",
		{ verdict = "unknown", code = "auth", cluster_id = "100", member_id = "2", members = BC }, "refused" } }, "wait", { exit = 4 } },
	{ "17", "a cluster without quorum, and another that is silent", { members = ABC, see = { "refused", "no-quorum",
		{ verdict = "unknown", code = "timeout", cluster_id = "100", member_id = "3", members = ABC } } },
		"wait", { reason = "cluster 64 exists and has no quorum: 2 of its 3 voters must run; start them on their data, "
			.. "or if their disks are lost, restore a snapshot" } },
	{ "18", "not found on either API", { see = { "refused", { verdict = "unknown", code = "missing" }, "refused" } }, "wait", { exit = 4 } },
	{ "18", "a TLS failure", { see = { "refused", { verdict = "unknown", code = "tls" }, "refused" } }, "wait", { exit = 4 } },
	{ "19", "a confirmed marker, and all are here and empty", { marker = marker("256", true), roll_call = called(answer "b", answer "c") },
		"wait", { reason = "cluster 100 was founded before, by x, y: restore it, or clear the marker if it is gone for good" } },
	{ "19", "a confirmed marker of this very list", { marker = marker("900", true), data_dir = empty(founding_claim "900"),
		roll_call = called(answer("b", READY), answer("c", READY)) }, "wait" },
	{ "19", "a marker that cannot be read, and all are here and empty", { marker_unknown = "denied", roll_call = called(answer "b", answer "c") },
		"wait", { reason = "whether a cluster was founded here before is not known: denied" } },
	{ "19", "a marker that nobody confirmed", { marker = marker("256", false), roll_call = called(answer "b", answer "c") }, "claim" },
	{ "20", "all are here and empty", { roll_call = called(answer "b", answer "c") }, "claim" },
	{ "20", "one counts on me from before", { roll_call = called(answer "b", answer("c", { counts = { "a" } })) }, "wait" },
	{ "20", "one sees another list", { roll_call = called(answer "b", answer("c", { cluster_id = "901" })) }, "wait" },
	{ "20", "claimed, not all are ready", { data_dir = empty(founding_claim "900"), roll_call = called(answer("b", READY), answer "c") }, "wait" },
	{ "20", "claimed, all are ready", { data_dir = empty(founding_claim "900"), roll_call = called(answer("b", READY), answer("c", READY)) }, "new" },
	{ "20", "claimed for an earlier list", { data_dir = empty(founding_claim "800"), roll_call = called(answer "b", answer "c") }, "wait" },
	{ "20", "claimed for an earlier list, all let go", { data_dir = empty(founding_claim "800"),
		roll_call = called(answer "b", answer "c", { withdrawn = 97 }) }, "claim" },
	{ "20", "size one", { inventory = inventory { "live" } }, "claim" },
	{ "20", "size one, claimed", { inventory = inventory { "live" }, data_dir = empty(founding_claim "900") }, "new" },
	{ "20", "refusal does not found", { see = { "refused", "refused", "refused" } }, "wait" },
	{ "20", "found = refused, silent for long enough", { see = { "refused", "refused", "refused" }, found = "refused", refused_since = 60 }, "claim" },
	{ "20", "found = refused, another has begun this founding", { see = { "refused", begun "founding", "refused" }, found = "refused",
		refused_since = 60 }, "claim" },
	{ "17", "found = refused, another founding has begun", { see = { "refused", "founding", "refused" }, members = ABC, found = "refused",
		refused_since = 60 }, "wait" },
	{ "17", "found = refused, this founding had its quorum", { see = { "refused", begun "no-quorum", "refused" }, found = "refused",
		refused_since = 60 }, "wait" },
	{ "17", "found = refused, in this founding this machine has started before", { see = { "refused", begun("founding", { id = "11" }), "refused" },
		found = "refused", refused_since = 60 }, "wait" },
	{ "17", "another has begun this founding, and no claim", { see = { "refused", begun "founding", "refused" } }, "wait" },
	{ "20", "found = refused, not silent for long enough", { found = "refused", refused_since = 90 }, "wait" },
	{ "20", "too few machines", { inventory = inventory({ "live", "live" }, { desired = 3 }), roll_call = called(answer "b") }, "wait" },
	{ "20", "a machine is leaving", { inventory = inventory({ "live", "live", "live", "leaving" }, { desired = 3 }),
		roll_call = called(answer "b", answer "c") }, "wait" },
	{ "21", "the list is unknown", { inventory = false, inventory_why = "no answer" }, "wait" },
	{ "21", "the list is not complete", { inventory = inventory({ "live", "live", "live" }, { complete = false }) }, "wait" },
	{ "hidden", "a started slot of mine", { data_dir = { state = "hidden", why = "" }, members = ABC, see = { "refused", "quorum", "quorum" } }, "start" },
	{ "hidden", "an unstarted slot of mine", { data_dir = { state = "hidden", why = "" }, members = { member(1, UNSTARTED), member(2), member(3) },
		see = { "refused", "quorum", "quorum" } }, "remove" },
	{ "hidden", "an unstarted slot that this run added", { data_dir = { state = "hidden", why = "" },
		members = { member(1, UNSTARTED), member(2), member(3) }, see = { "refused", "quorum", "quorum" },
		history = { { action = "add", member = "1", ok = true } } }, "start" },
	{ "hidden", "a started slot of mine, no quorum", { data_dir = { state = "hidden", why = "" }, members = ABC,
		see = { "refused", "no-quorum", "refused" } }, "start" },
	{ "hidden", "an unstarted slot of mine, no quorum", { data_dir = { state = "hidden", why = "" },
		members = { member(1, UNSTARTED), member(2), member(3) }, see = { "refused", "no-quorum", "refused" } }, "wait" },
	{ "13", "a learner that was refused the turn before", { members = { member(2), member(3), member(4, { learner = true }) },
		see = { [2] = "quorum", [3] = "quorum", [4] = "learner" }, desired = 4, turn = 5,
		history = { { action = "promote", member = "4", ok = false, turn = 4 } } }, "wait" },
	{ "13", "a learner that was refused earlier", { members = { member(2), member(3), member(4, { learner = true }) },
		see = { [2] = "quorum", [3] = "quorum", [4] = "learner" }, desired = 4, turn = 6,
		history = { { action = "promote", member = "4", ok = false, turn = 4 } } }, "promote" },
	{ "hidden", "no roll call", { data_dir = { state = "hidden", why = "" }, roll_call = called(answer "b", answer "c") }, "wait" },
}

describe("facts", function()
	local function missing(o)
		local names = {}
		for i, one in ipairs(facts.missing(seen(o))) do names[i] = one.name end
		return table.concat(names, " ")
	end

	it("ask for members whose machines are not listed as booting or live", function()
		local o = { members = { member(1), member(2), member(3), member(4, UNSTARTED), member(5) }, see = { [2] = "quorum" } }
		o.inventory = inventory { "live", "booting", "dead", "live" }
		assert.equal("c e", missing(o))
		o.inventory = inventory { "live", "live", "leaving", "unknown" }
		assert.equal("c  e", missing(o))
	end)

	it("ask for all members when the list is unknown", function()
		local f = seen { members = ABC, see = { [2] = "quorum" } }
		f.inventory = nil
		assert.equal(3, #facts.missing(f))
	end)

	it("ask for whom this disk counts on, or the marker, only while no cluster works", function()
		local o = { inventory = inventory { "live", "live", "dead" }, data_dir = empty(founding_claim "900"),
			marker = { list = { { name = "e", peer_urls = { url(5) } } } } }
		assert.equal("c e", missing(o))
		o.data_dir = data { unused = true, founders = FOUNDERS }
		assert.equal("c e", missing(o))
		o.data_dir.unused = false
		assert.equal("e", missing(o))
		o.members, o.see = BC, { [2] = "quorum", [3] = "quorum" }
		assert.equal("c", missing(o))
	end)

	it("are settled again only when two reads agree on who is forgotten", function()
		local memory = {}
		local function read(clock, forgotten)
			return facts.settled(facts.track(memory, inventory({ "live" }, { lag = 15, forgotten = forgotten }), clock, clock))
		end
		read(0)
		assert.is_true(read(15))
		assert.is_false(read(16, { "d" }))
		assert.is_false(read(20, { "d" }))
		assert.is_true(read(31, { "d" }))
		assert.is_false(read(32))
	end)
end)

describe("steady", function()
	for _, row in ipairs(TABLE) do
		local number, what, given, action, more = table.unpack(row)
		it(("row %s: %s -> %s"):format(number, what, action), function()
			local f = seen(given)
			if given.inventory == false then f.inventory, f.founding, f.desired = nil, nil, nil end
			f.me.running = given.me_running
			local plan = steady.decide(f)
			assert.equal(action, plan.action, plan.reason)
			assert.is_true(#plan.reason > 0)
			for key, value in pairs(more or {}) do assert.equal(value, plan[key]) end
		end)
	end

	it("would ask the leader first, which alone can promote where etcd wants a login", function()
		local f = seen { members = ABC, see = { "refused", { verdict = "quorum", leader = "3" }, { verdict = "quorum", leader = "3" } } }
		assert.same({ client(3), client(2) }, f.cluster.endpoints)
	end)

	it("says what the provider says of a machine that it does not count", function()
		local f = seen { members = BC, inventory = inventory { "leaving", "live", "live" }, see = { [2] = "quorum", [3] = "quorum" } }
		f.inventory.instances[1].why = 'has no tag role = "etcd"'
		assert.equal('this machine has no tag role = "etcd", so it joins nothing', steady.decide(f).reason)
	end)

	it("adds no machine without an address", function()
		local f = seen { members = BC, desired = 3, see = { [2] = "quorum", [3] = "quorum" } }
		assert.equal("add", steady.decide(f).action)
		f.me.peer_urls = {}
		assert.equal("wait", steady.decide(f).action)
	end)

	it("never evicts when told not to", function()
		local f = seen { members = { member(2), member(3), member(4) }, inventory = inventory({ "live", "live", "live", "dead" }, { desired = 3 }),
			see = { [2] = "quorum", [3] = "quorum" },
			journal = { dead_since = { ["4"] = { at = 1, word = true } }, pending_since = {}, asked_remove = {}, clusters = {}, asides = {} } }
		assert.equal("wait", steady { evict = false }(f).action)
		assert.equal("remove", steady {}(f).action)
	end)

	it("counts the grace of absence on its own", function()
		local f = seen { members = { member(2), member(3), member(4) }, see = { [2] = "quorum", [3] = "quorum" },
			journal = { dead_since = { ["4"] = { at = 1000 - 599, word = false } }, pending_since = {}, asked_remove = {}, clusters = {}, asides = {} } }
		local plan = steady {}(f)
		assert.equal("wait", plan.action)
		assert.matches("silent and its machine is gone from a complete list; it is removed after its grace", plan.reason, 1, true)
		assert.equal("remove", steady { evict_gone_after = 599 }(f).action)
		assert.equal("wait", steady { evict_after = 0 }(f).action)
	end)

	it("counts the grace of absence on in the next run, whose first read has not settled", function()
		local kept = { dead_since = {}, pending_since = {}, asked_remove = {}, clusters = {}, asides = {} }
		local function planned(now, more, states)
			more.gone, more.lag = "unknown", 15
			return steady.decide(seen { now = now, journal = kept, members = { member(2), member(3), member(4) }, desired = 3,
				see = { [2] = "quorum", [3] = "quorum" }, inventory = inventory(states or { "live", "live", "live" }, more) }).action
		end
		local settled, first = { same_since = 85, forgotten = { "d" } }, { same_since = 101 }
		planned(1000, settled)
		planned(1300, first)
		assert.equal("wait", planned(1599, settled))
		assert.equal("remove", planned(1600, settled))
		planned(1700, first, { "live", "live", "live", "leaving" }) -- it is back
		assert.equal("wait", planned(1800, settled))
	end)

	it("names an option that it does not know", function()
		assert.error_matches(function() steady { evict_later = 3 } end, "evict_later")
		assert.error_matches(function() steady { evict_after = "3" } end, "evict_after")
	end)

	it("names the machines that it waits for", function()
		local plan = steady.decide(seen { see = { "refused", { verdict = "unknown", why = "no answer within 2 s" }, "refused" } })
		assert.same({ "b", "c" }, { plan.waiting_for[1].instance, plan.waiting_for[2].instance })
		assert.equal("no answer within 2 s", plan.waiting_for[1].why)
	end)

	it("names the voter that is silent where there is no room", function()
		local plan = steady.decide(seen { members = BC, desired = 2, see = { "refused", "quorum", "unknown" } })
		assert.equal("wait", plan.action)
		assert.equal("c", plan.waiting_for[1].instance)
	end)
end)
