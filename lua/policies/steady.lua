-- steady.lua - the default policy: the decision table, one function a row, the first that has
-- something to say wins.  The rows are numbered as in the manual.  Pure: facts -> plan.
local etcd = require "core.etcd"
local facts = require "facts"
local rollcall = require "rollcall"

local ROLLCALL_SILENCE = 30 -- seconds of settled refusals, for found = "refused"
local NEVER_STARTED = 900 -- seconds until a learner that never started may go

-- Words ---------------------------------------------------------------------------------------

local function hex(id)
	return etcd.hex(id)
end

local function who(member)
	return ("%s (%s)"):format(member.name ~= "" and member.name or "a nameless member", hex(member.id))
end

local function plan(action, reason, more)
	local p = more or {}
	p.action, p.reason = action, reason
	return p
end

local function wait(reason, more)
	return plan("wait", reason, more)
end

-- What the rows ask ---------------------------------------------------------------------------

local function two_with_quorum(f)
	local first, second = f.clusters[1], f.clusters[2]
	return first ~= nil and first.quorum and second ~= nil and second.quorum
end

local function voters(cluster)
	local list = {}
	for _, member in ipairs(cluster.members) do
		if not member.learner then table.insert(list, member) end
	end
	return list
end

local function listed_anywhere(cluster, id)
	for _, members in ipairs(cluster.lists) do
		if facts.find(members, id) then return true end
	end
	return facts.find(cluster.members, id) ~= nil
end

-- An etcd of that cluster, founding or without quorum, that lists the member -> its probe.  One that
-- lists nobody was killed right after it made its log: it holds nothing, and is of that founding.
local function listed_without_quorum(f, cluster_id, member_id)
	for _, probe in pairs(f.probes) do
		local down = probe.verdict == "founding" or probe.verdict == "no-quorum"
		if down and probe.cluster_id == cluster_id then
			local blank = probe.verdict == "founding" and #probe.members == 0
			if blank or facts.find(probe.members, member_id) then return probe end
		end
	end
end

local function my_slot(f)
	local claim = f.data_dir.claim
	for _, member in ipairs(f.cluster.members) do
		if facts.is_mine(member, f.me, claim) then return member end
	end
end

-- What an address said, as a sentence part.
local function describe(probe)
	if probe.verdict == "refused" then return "refuses connections on both ports, which says nothing about its disk" end
	if probe.verdict == "waiting" then return "waits as well, its disk is empty" end
	if facts.is_etcd(probe) then return "etcd answers: " .. probe.verdict end
	return probe.why
end

-- Steps of this run, newest first, until one says true.
local function tried(f, action, member)
	for i = #f.history, 1, -1 do
		local step = f.history[i]
		if step.action == action and step.member == member then return step end
	end
end

local function fails_rivals(f)
	local first, second = f.clusters[1], f.clusters[2]
	return plan("fail", ("two clusters have quorum at once: %s on %s, and %s on %s; stop one of them by hand"):format(
		hex(first.id), table.concat(first.witnesses, ", "), hex(second.id), table.concat(second.witnesses, ", ")),
		{ exit = 5 })
end

-- With data -----------------------------------------------------------------------------------

local function row_0_running(f)
	local running, data = f.me.running, f.data_dir
	if not running then return end
	if data.state == "empty" then
		return plan("fail", "an etcd answers on this machine's own ports, yet its data directory is empty: "
			.. "it keeps its data elsewhere; stop it, or set etcd.data_dir")
	end
	if data.state == "hidden" then return plan("start", "etcd runs here already") end
	local same = data.state == "member"
		and (running.cluster_id == nil or running.cluster_id == data.cluster_id)
		and (running.member_id == nil or running.member_id == data.member_id)
	if same then return plan("start", "etcd runs here already, on this data") end
	return plan("fail", ("the etcd on this machine's own ports is not the one whose data is in %s%s"):format(
		data.path or "the data directory", data.why ~= "" and ": " .. data.why or ""))
end

local function row_1_damaged(f)
	if f.data_dir.state ~= "damaged" then return end
	return plan("fail", ("the data in %s is damaged: %s; move it away by hand, or restore it"):format(
		f.data_dir.path, f.data_dir.why))
end

local function row_2_listed(f)
	local data, cluster = f.data_dir, f.cluster
	if data.state ~= "member" or not cluster or cluster.id ~= data.cluster_id then return end
	local member = facts.find(cluster.members, data.member_id)
	if not member then return end
	local moved = f.inventory and not facts.at_my_address(member, f.me)
	if moved and member.learner and not tried(f, "remove", member.id) then
		return plan("remove", ("this machine's address changed to %s; a learner is removed and added again"):format(
			table.concat(f.me.peer_urls, ",")), { member = member.id, own = true })
	end
	if moved and not member.learner and not tried(f, "update", member.id) then
		return plan("update", ("this machine's address changed from %s to %s"):format(
			table.concat(member.peer_urls, ","), table.concat(f.me.peer_urls, ",")), { member = member.id })
	end
	return plan("start", ("the data is of member %s, listed by the working cluster %s"):format(
		hex(data.member_id), hex(data.cluster_id)))
end

local function row_3_removed(f)
	local data, cluster = f.data_dir, f.cluster
	if data.state ~= "member" or not cluster or cluster.id ~= data.cluster_id or not cluster.strong then return end
	if listed_anywhere(cluster, data.member_id) then return end
	return plan("aside", ("member %s was removed from cluster %s: its data is moved aside, then this machine joins anew")
		:format(hex(data.member_id), hex(cluster.id)))
end

local function remembered(f, cluster_id)
	for _, id in ipairs(f.journal.clusters) do
		if id == cluster_id then return true end
	end
	return false
end

local function row_4_other_cluster(f)
	local data, cluster = f.data_dir, f.cluster
	if data.state ~= "member" or not cluster or cluster.id == data.cluster_id then return end
	if data.unused then
		return plan("aside", ("the data is of a founding of %s that never had quorum, and cluster %s works"):format(
			hex(data.cluster_id), hex(cluster.id)))
	end
	if remembered(f, data.cluster_id) then
		return plan("start", ("the data is of cluster %s, which this machine knows as its own, though cluster %s has quorum: "
			.. "look into this, one of them is a rogue"):format(hex(data.cluster_id), hex(cluster.id)), { warn = true })
	end
	return plan("fail", ("the data in %s belongs to cluster %s, the live cluster is %s: "
		.. "mount the right volume, or move this data away by hand"):format(data.path, hex(data.cluster_id), hex(cluster.id)))
end

local function is_me(f, founder)
	return facts.is_mine({ name = founder.name, peer_urls = founder.peer_urls }, f.me)
end

local function row_5_hopeless(f)
	local data = f.data_dir
	if data.state ~= "member" or not data.unused or f.cluster or two_with_quorum(f) then return end
	local n, gone = #data.founders, 0
	for _, founder in ipairs(data.founders) do
		if not is_me(f, founder) and facts.gave_up(f, founder, data.cluster_id) then gone = gone + 1 end
	end
	if gone < n - facts.majority(n) + 1 then return end
	return plan("aside", ("the founding of %s can never finish: %d of its %d machines are gone or empty"):format(
		hex(data.cluster_id), gone, n))
end

local function row_6_data(f)
	if f.data_dir.state ~= "member" then return end
	local data = f.data_dir
	local what = ("the data is of member %s of cluster %s"):format(hex(data.member_id), hex(data.cluster_id))
	for _, cluster in ipairs(f.clusters) do
		if cluster.id == data.cluster_id and facts.find(cluster.members, data.member_id) then
			return plan("start", what .. ", whose members list it")
		end
	end
	return plan("start", what .. "; no working cluster says otherwise")
end

local function row_unknown_data(f)
	if f.data_dir.state ~= "unknown" then return end
	return wait("the data directory could not be read: " .. f.data_dir.why)
end

-- Without data --------------------------------------------------------------------------------

local function row_7_rivals(f)
	if two_with_quorum(f) then return fails_rivals(f) end
	local marker, cluster = f.marker, f.cluster
	if cluster and marker and marker.confirmed and marker.cluster_id ~= cluster.id then
		return plan("fail", ("cluster %s has quorum, but %s was founded here before: one of them is a rogue"):format(
			hex(cluster.id), hex(marker.cluster_id)), { exit = 5 })
	end
end

local function row_8_leaving(f)
	local mine = facts.myself(f.inventory)
	if mine and mine.state == "leaving" then
		return wait("the provider says that this machine is leaving")
	end
end

local function row_9_resume(f)
	local claim = f.data_dir.claim
	if not claim or claim.kind ~= "founding" or f.cluster then return end
	local probe = listed_without_quorum(f, claim.cluster_id, claim.member_id)
	if not probe then return end
	return plan("new", ("the founding of %s that this disk has claimed a place in runs on %s"):format(
		hex(claim.cluster_id), probe.name or probe.key), { members = claim.list })
end

local function row_10_added(f)
	local claim, cluster = f.data_dir.claim, f.cluster
	if not claim or not cluster or cluster.id ~= claim.cluster_id then return end
	local member = facts.find(cluster.members, claim.member_id)
	if not member or not facts.at_my_address(member, f.me) then return end
	if facts.asked_remove(f.journal, cluster.id, member.id) then return end
	return plan("start", ("this machine was added to cluster %s as member %s and has not started yet"):format(
		hex(cluster.id), hex(member.id)))
end

local function row_11_missing_vote(f)
	local claim = f.data_dir.claim
	if not claim or claim.kind ~= "join" or f.cluster then return end
	for _, probe in pairs(f.probes) do
		local member = probe.verdict == "no-quorum" and probe.cluster_id == claim.cluster_id
			and facts.find(probe.members or {}, claim.member_id)
		if member and not member.learner and not member.started then
			return plan("start", ("cluster %s has no quorum and lists this machine as a voter that never started: "
				.. "it may be the missing vote"):format(hex(claim.cluster_id)))
		end
	end
end

-- Row 12 leaves a slot alone whose name belongs to a machine that may live.
local function name_of_another(f, member)
	if member.name == "" or member.name == f.me.name then return nil end
	local inventory = f.inventory
	if not inventory then return "the list of machines is unknown" end
	for _, instance in ipairs(inventory.instances) do
		if instance.etcd_name == member.name and instance.state ~= "dead" then
			return "machine " .. instance.id .. " has that name and may live"
		end
	end
	if facts.dead(member, inventory) == "word" then return nil end
	if inventory.complete and inventory.gone == "dead" and facts.settled(inventory) then return nil end
	return "the list of machines cannot prove that nobody has that name"
end

-- Hidden data: whether the disk was lost cannot be known, so a slot that has started is kept.
local function hidden_start(f, member)
	local added = tried(f, "add", member.id)
	if member.started or (added and added.ok and not facts.asked_remove(f.journal, f.cluster.id, member.id)) then
		return plan("start", ("member %s is this machine's slot; with data_dir = false it cannot be known whether its disk was lost")
			:format(hex(member.id)), { warn = member.started })
	end
end

local function row_12_own_slot(f)
	local cluster = f.cluster
	local member = cluster and my_slot(f)
	if not member then return end
	if f.data_dir.state == "hidden" then
		local start = hidden_start(f, member)
		if start then return start end
	end
	if not cluster.strong then
		return wait(("cluster %s lists %s as this machine's slot; a majority of its voters must say so themselves "
			.. "before the slot is given up"):format(hex(cluster.id), who(member)))
	end
	local reason = name_of_another(f, member)
	if reason then
		return wait(("the slot at this machine's address is %s: %s"):format(who(member), reason))
	end
	return plan("remove", ("this machine's disk does not hold the data of %s: the slot is given up and added anew"):format(
		who(member)), { member = member.id, own = true })
end

local function row_13_promote(f)
	local cluster = f.cluster
	if not cluster then return end
	local last = f.history[#f.history]
	for _, member in ipairs(cluster.members) do
		local refused = last and last.action == "promote" and last.member == member.id and not last.ok
		if member.learner and not refused and facts.answered(member, f.probes, "learner") then
			return plan("promote", ("%s is a learner and answers"):format(who(member)), { member = member.id })
		end
	end
end

local function grace_left(f, options, member)
	local known = f.journal.dead_since[member.id]
	if not known then return math.huge end
	return known.at + (known.word and options.evict_after or options.evict_gone_after) - f.now
end

-- A member that row 14 may remove -> why, or nil and how long the grace still lasts
local function removable(f, options, member)
	if not facts.silent(member, f.probes) then return nil end
	local how = facts.dead(member, f.inventory)
	if how then
		local left = grace_left(f, options, member)
		if left > 0 then return nil, left end
		return how == "word" and "its machine is dead, the provider says"
			or "its machine is gone from a complete list"
	end
	local seen = f.journal.pending_since[member.id]
	if member.learner and not member.started and seen and f.now - seen >= NEVER_STARTED then
		return "this learner has never started"
	end
end

local function nameless_learners_first(members)
	local list = {}
	for _, member in ipairs(members) do table.insert(list, member) end
	table.sort(list, function(a, b)
		local x, y = a.learner and a.name == "", b.learner and b.name == ""
		if x ~= y then return x end
		return a.id < b.id
	end)
	return list
end

local function row_14_evict(f, options)
	if not f.cluster or not options.evict then return end
	local grace
	for _, member in ipairs(nameless_learners_first(f.cluster.members)) do
		local why, left = removable(f, options, member)
		if why then
			return plan("remove", ("%s is silent and %s"):format(who(member), why), { member = member.id })
		end
		if left and left < math.huge then grace = grace or { member = member, left = left } end
	end
	if grace then
		return wait(("%s is dead for the provider; it is removed after its grace, at %s UTC"):format(
			who(grace.member), os.date("!%H:%M:%S", math.ceil(f.now + grace.left))))
	end
end

local function pending(cluster)
	for _, member in ipairs(cluster.members) do
		if not member.started or member.learner then return member end
	end
end

local function quiet_because(f, member)
	for _, probe in pairs(f.probes) do
		if probe.member_id == member.id or facts.at_address(probe, member) then return describe(probe) end
	end
	return "was not asked"
end

local function quiet_voters(f)
	local quiet = {}
	for _, member in ipairs(voters(f.cluster)) do
		if not facts.answered(member, f.probes, "quorum") then
			table.insert(quiet, { instance = member.instance or who(member), why = quiet_because(f, member) })
		end
	end
	return quiet
end

-- Learners: etcd 3.4 and later, through its v3 API.
local function can_learn(cluster)
	local major, minor = (cluster.version or "3.4"):match "^(%d+)%.(%d+)"
	return cluster.api ~= "/v2" and (tonumber(major) > 3 or tonumber(major) == 3 and tonumber(minor) >= 4)
end

local function row_15_add(f)
	local cluster = f.cluster
	if not cluster then return end
	local count = #voters(cluster)
	if not f.desired then
		return wait("how many members are wanted is not known: set size in the policy")
	end
	if count >= f.desired then
		return wait(("cluster %s has %d voters of %d wanted already"):format(hex(cluster.id), count, f.desired))
	end
	local before_me = pending(cluster)
	if before_me then
		return wait(("%s was added to cluster %s and has not %s yet: one at a time"):format(who(before_me), hex(cluster.id),
			before_me.learner and "been promoted" or "started"))
	end
	local quiet = quiet_voters(f)
	if quiet[1] then
		return wait(("every voter of cluster %s must answer before a machine is added"):format(hex(cluster.id)),
			{ waiting_for = quiet })
	end
	local holds = count >= facts.majority(count + 1)
	local text = ("cluster %s has %d of %d voters, and all of them answer"):format(hex(cluster.id), count, f.desired)
	if not holds and not can_learn(cluster) then
		return wait(text .. "; a voter more would take its quorum until it has started, and it cannot have learners")
	end
	if not holds and not f.promoter then
		text = text .. "; as a learner, for a voter would take its quorum: etcd-bootstrap finish must be run after etcd's start"
	end
	return plan("add", text, { learner = can_learn(cluster) and (f.promoter or not holds) })
end

local function row_16_learner_only(f)
	for _, probe in pairs(f.probes) do
		if probe.verdict == "learner" then
			return wait(("a learner of cluster %s answers, and no voter"):format(hex(probe.cluster_id)))
		end
	end
end

local function silent_instances(f)
	local list = {}
	for _, instance in ipairs(f.inventory and f.inventory.instances or {}) do
		local probe = f.probes[instance.id]
		if instance.id ~= f.inventory.self and instance.state ~= "dead" and probe and not facts.is_etcd(probe) then
			table.insert(list, { instance = instance.id, why = describe(probe) })
		end
	end
	return list
end

local function row_17_no_quorum(f)
	for _, cluster in ipairs(f.clusters) do
		if not cluster.quorum then
			local count = #voters(cluster)
			if count == 0 then
				return wait(("the founding of %s has begun on %s"):format(hex(cluster.id), table.concat(cluster.witnesses, ", ")),
					{ waiting_for = silent_instances(f) })
			end
			return wait(("cluster %s exists and has no quorum: %d of its %d voters must run; start them on their data, "
				.. "or if their disks are lost, restore a snapshot"):format(hex(cluster.id), facts.majority(count), count),
				{ waiting_for = silent_instances(f) })
		end
	end
end

local GRAVE = { tls = true, auth = true, http = true, parse = true }

local function row_18_failures(f)
	local list = {}
	for _, probe in pairs(f.probes) do
		if probe.verdict == "unknown" and GRAVE[probe.code] then
			table.insert(list, { instance = probe.name or probe.key, why = probe.why })
		end
	end
	if not list[1] then return end
	table.sort(list, function(a, b) return a.instance < b.instance end)
	return wait("something answers there that is not understood, and that is not an empty machine",
		{ waiting_for = list, exit = 4 })
end

local function row_19_marker(f)
	if not f.marker or not f.marker.confirmed then return end
	return wait(("cluster %s was founded before; restore it or clear the marker"):format(hex(f.marker.cluster_id)))
end

-- Founding ------------------------------------------------------------------------------------

local function unknown_list(f)
	local inventory = f.inventory
	if not inventory then
		return wait("who the machines are is unknown: " .. (f.inventory_why or "the provider said nothing"))
	end
	if not inventory.complete then
		return wait("the list of machines is not known to be complete, and a cluster is founded by a complete one only")
	end
	if not f.desired then
		return wait("how many members are wanted is not known: set size in the policy")
	end
	if not f.founding then return wait("some machine of the list has no address yet") end
end

local function wrong_size(f)
	local waiting, count = {}, #f.founding.list
	for _, instance in ipairs(f.inventory.instances) do
		if instance.state == "leaving" or instance.state == "unknown" then
			table.insert(waiting, { instance = instance.id, why = "is " .. instance.state .. " for the provider" })
		end
	end
	if waiting[1] then
		return wait("no cluster is founded while a machine is leaving or in a state unknown", { waiting_for = waiting })
	end
	if count ~= f.desired then
		return wait(("the list has %d machines that live, %d are wanted"):format(count, f.desired))
	end
	if not facts.settled(f.inventory) then return wait("the list of machines has not settled yet") end
end

local function everybody_refuses(f)
	local since = f.refused_since
	if not since or f.clock - since < ROLLCALL_SILENCE then
		return wait(("all other machines must refuse connections for %d s"):format(ROLLCALL_SILENCE),
			{ waiting_for = silent_instances(f) })
	end
end

local function claims(f)
	return plan("claim", ("all %d machines are here and empty: this disk claims its place in cluster %s"):format(
		#f.founding.list, hex(f.founding.cluster_id)), { members = f.founding.list })
end

local function founds(f)
	local n = #f.founding.list
	return plan("new", n == 1 and "one machine is wanted, this one, and it is empty"
		or ("all %d machines are here, empty and ready"):format(n),
		{ members = f.founding.list, warn = n == 1 })
end

local function by_refusal(f, claimed)
	local not_yet = everybody_refuses(f)
	if not_yet then return not_yet end
	if not claimed and f.data_dir.state ~= "hidden" then return claims(f) end
	return founds(f)
end

local function row_20_found(f)
	local not_yet = unknown_list(f) or wrong_size(f)
	if not_yet then return not_yet end
	local claim = f.data_dir.claim
	local claimed = claim ~= nil and claim.kind == "founding" and claim.cluster_id == f.founding.cluster_id
	if f.found == "refused" then return by_refusal(f, claimed) end
	if f.data_dir.state == "hidden" then
		return wait("with data_dir = false no disk can be shown to be empty: a cluster is founded only with found = \"refused\"")
	end
	local ok, waiting
	if not claimed and claim and claim.kind == "founding" then
		ok, waiting = rollcall.may_change(f)
		if not ok then return wait("this disk is promised to an earlier list of machines", { waiting_for = waiting }) end
	end
	if not claimed then
		ok, waiting = rollcall.all_empty(f)
		if not ok then return wait("not every machine has said yet that it is empty", { waiting_for = waiting }) end
		return claims(f)
	end
	ok, waiting = rollcall.all_ready(f)
	if not ok then return wait("not every machine is ready yet", { waiting_for = waiting }) end
	return founds(f)
end

-- The table -----------------------------------------------------------------------------------

local ROWS = {
	row_0_running, row_1_damaged, row_2_listed, row_3_removed, row_4_other_cluster, row_5_hopeless, row_6_data,
	row_unknown_data, row_7_rivals, row_8_leaving, row_9_resume, row_10_added, row_11_missing_vote, row_12_own_slot,
	row_13_promote, row_14_evict, row_15_add, row_16_learner_only, row_17_no_quorum, row_18_failures, row_19_marker,
	row_20_found,
}

local DEFAULTS = { evict = true, evict_after = 60, evict_gone_after = 600 }

local function make(_, options)
	local o = setmetatable({}, { __index = DEFAULTS })
	for key, value in pairs(options or {}) do
		local default = DEFAULTS[key]
		if default == nil then error(("steady has no option '%s'"):format(tostring(key)), 2) end
		if type(value) ~= type(default) then
			error(("steady.%s must be a %s"):format(key, type(default)), 2)
		end
		o[key] = value
	end
	return function(f)
		for _, row in ipairs(ROWS) do
			local p = row(f, o)
			if p then return p end
		end
	end
end

return setmetatable({ decide = make() }, { __call = make })
