-- diagnosis.lua - what diagnose.lua found, as a text for a person and as one object.  Pure.
local etcd = require "core.etcd"
local json = require "core.json"
local datadir = require "datadir"
local report = require "report"

local diagnosis = {}

-- As a text --------------------------------------------------------------------------------------

local hex = etcd.hex

local function told_me(me)
	if not me.peer_urls[1] then
		return ("%s, etcd %s"):format(me.name or me.id or "unknown", me.etcd_version or "of unknown version")
	end
	return ("%s, peer %s, client %s, etcd %s%s"):format(me.name or me.id or "unknown", table.concat(me.peer_urls, ","),
		table.concat(me.client_urls, ","), me.etcd_version or "of unknown version", me.running and ", which runs" or "")
end

local function told_data(data)
	if data.state == "hidden" then return "not to be seen from here (data_dir = false)" end
	local text = data.path .. ": " .. data.state
	if data.state == "member" then
		text = ("%s: member %s of cluster %s"):format(data.path, hex(data.member_id), hex(data.cluster_id))
	end
	if data.unused then text = text .. ", a founding that was never used" end
	if data.locked then text = text .. ", in use" end
	return data.why ~= "" and text .. ", " .. data.why or text
end

local function told_log(log)
	return ("to entry %d of term %d, known to be committed to %s"):format(log.index, log.term, log.committed or "none")
end

local function told_claim(claim)
	return ("%s, as member %s of cluster %s"):format(claim.kind, hex(claim.member_id), hex(claim.cluster_id))
end

local function told_marker(f)
	if not f.marker_configured then return "none is configured" end
	if f.marker_unknown then return "unknown: " .. f.marker_unknown end
	local m = f.marker
	if not m then return "nobody has reserved it" end
	return ("cluster %s, %s, by %s"):format(hex(m.cluster_id), m.confirmed and "founded" or "reserved and not confirmed",
		m.founder)
end

local function told_journal(journal)
	local list = {}
	for _, asked in ipairs(journal.asked_remove) do
		table.insert(list, ("asked to remove member %s of cluster %s"):format(hex(asked.member_id), hex(asked.cluster_id)))
	end
	for _, aside in ipairs(journal.asides) do table.insert(list, ("moved data to %s"):format(aside.path)) end
	for _, id in ipairs(journal.clusters) do table.insert(list, ("was started for cluster %s"):format(hex(id))) end
	return list
end

local function told_survivor(one)
	local text = one.name or "this machine"
	if one.revision then
		text = ("%s: revision %d, applied to entry %s of term %s"):format(text, one.revision, one.applied or "unknown",
			one.term or "unknown")
	else
		local there = one.mine and "" or ", run etcd-bootstrap diagnose there"
		text = ("%s: cannot be asked%s: %s"):format(text, there, one.why)
	end
	if one.log then text = text .. "; its log goes " .. told_log(one.log) end
	return text
end

local function commands(lines, list)
	for _, command in ipairs(list) do table.insert(lines, "    " .. command) end
end

local function tell_restore(lines, d)
	local r = d.restore
	local function say(...) table.insert(lines, (...):format(select(2, ...))) end
	say("\nonly if a majority of the disks is lost for good: make it anew; what was written last may be missing")
	if not r then
		say("  the machines are not known; see to the list of machines first")
		return
	end
	if d.survivors[1] and d.survivors[1].revision then
		say("  1. on %s, or any machine that reaches it, take a snapshot of who has come furthest:", d.survivors[1].name)
	else
		say("  1. on the machine whose log goes furthest, its etcd started once more and stopped, copy the database:")
	end
	commands(lines, r.snapshot)
	say("  2. stop etcd on every machine, and let none start again on its old data")
	say("  3. copy %s to each of these, and there:", r.file)
	for _, machine in ipairs(r.machines) do
		say("  on %s:", machine.name)
		commands(lines, machine.commands)
	end
	say("  4. %sstart etcd everywhere as always: it is cluster %s", d.facts.marker_configured
		and "remove the marker, which names the lost cluster; then " or "", hex(r.cluster_id))
end

local function tell_disk(say, d)
	local f = d.facts
	say("machine", told_me(f.me))
	say("data", told_data(f.data_dir))
	if f.data_dir.state == "member" then say("log", d.log and told_log(d.log) or d.log_why) end
	if f.data_dir.claim then say("claim", told_claim(f.data_dir.claim)) end
	if d.asides > 0 then say("asides", ("%d, of at most %d"):format(d.asides, datadir.ASIDES_KEPT)) end
	say("marker", told_marker(f))
	say("pause", f.paused and d.pause or "no")
	for _, text in ipairs(told_journal(f.journal)) do say("journal", text) end
end

local function tell_plan(lines, d)
	local plan = d.plan
	local row = plan.row and ("row %d of the decision table"):format(plan.row) or "a row of the policy's own"
	table.insert(lines, ("run would now (%s):"):format(row))
	for _, text in ipairs(report.telling(plan, d.message, d.rule)) do table.insert(lines, "  " .. text) end
	if not d.after then return end
	table.insert(lines, "finish would now:")
	for _, text in ipairs(report.telling(d.after)) do table.insert(lines, "  " .. text) end
end

---@return string
function diagnosis.text(d)
	local lines = {}
	tell_disk(function(label, text) table.insert(lines, ("%-8s %s"):format(label, report.clean(text))) end, d)
	table.insert(lines, "\n" .. report.status_text(d.facts, d.registered))
	tell_plan(lines, d)
	table.insert(lines, "\nwhat to do:")
	for _, text in ipairs(d.advice) do table.insert(lines, "  " .. report.clean(text)) end
	if d.lost then
		table.insert(lines, ("\nwho is left of cluster %s, the furthest first:"):format(hex(d.lost.id)))
		for _, one in ipairs(d.survivors) do table.insert(lines, "  " .. report.clean(told_survivor(one))) end
		tell_restore(lines, d)
	end
	return table.concat(lines, "\n") .. "\n"
end

-- The same as one object --------------------------------------------------------------------------

local function or_null(value)
	if value == nil then return json.null end
	return value
end

local function hex_or_null(id)
	return id and hex(id) or json.null
end

local function extent(log)
	return log and { committed = or_null(log.committed), index = log.index, term = log.term } or json.null
end

local function claim_object(claim)
	if not claim then return json.null end
	return { cluster_id = hex(claim.cluster_id), kind = claim.kind, member_id = hex(claim.member_id) }
end

local function data_object(d)
	local data = d.facts.data_dir
	return {
		asides = d.asides, claim = claim_object(data.claim), cluster_id = hex_or_null(data.cluster_id),
		locked = data.locked, log = extent(d.log), member_id = hex_or_null(data.member_id), path = or_null(data.path),
		state = data.state, unused = data.unused, why = report.clean(data.why),
	}
end

local function marker_object(f)
	local m = f.marker
	return {
		cluster_id = hex_or_null(m and m.cluster_id), configured = f.marker_configured, confirmed = m ~= nil and m.confirmed,
		unknown = f.marker_unknown and report.clean(f.marker_unknown) or json.null,
	}
end

local function survivor_objects(d)
	local list = json.list {}
	for i, one in ipairs(d.survivors or {}) do
		list[i] = {
			applied = or_null(one.applied), client_url = or_null(one.client_url), log = extent(one.log),
			me = one.mine, member = hex_or_null(one.member_id), name = or_null(one.name),
			revision = or_null(one.revision), term = or_null(one.term), why = report.clean(one.why or ""),
		}
	end
	return list
end

local function restore_object(r)
	if not r then return json.null end
	local machines = json.list {}
	for i, one in ipairs(r.machines) do machines[i] = { commands = json.list(one.commands), name = one.name } end
	return {
		cluster_id = hex(r.cluster_id), file = r.file, machines = machines, snapshot = json.list(r.snapshot),
		token = r.token,
	}
end

local function cleaned(texts)
	local list = json.list {}
	for i, text in ipairs(texts) do list[i] = report.clean(text) end
	return list
end

---@return string one line
function diagnosis.json(d)
	local o = report.status_object(d.facts, d.registered)
	o.advice, o.data_dir, o.journal = cleaned(d.advice), data_object(d), cleaned(told_journal(d.facts.journal))
	o.marker, o.paused = marker_object(d.facts), d.facts.paused
	o.plan, o.row = report.plan_object(d.facts, d.plan, d.rule), or_null(d.plan.row)
	o.lost, o.survivors, o.restore = hex_or_null(d.lost and d.lost.id), survivor_objects(d), restore_object(d.restore)
	return json.encode(o) .. "\n"
end

return diagnosis
