-- act.lua - the one step of a turn that a permit allows, and what is remembered of it.
local etcd = require "core.etcd"
local log = require "core.log"
local task = require "core.task"
local datadir = require "datadir"
local facts = require "facts"
local journal = require "journal"
local look = require "look"
local marker = require "marker"
local members = require "members"
local tasks = require "task"
local user = require "user"

local act = {}

local CHANGE = { add = true, remove = true, promote = true, update = true, leave = true }
local REMOVES = { remove = true, leave = true }
local HOOK_PATIENCE = 15 -- seconds for one event: etcd waits for it
local OWN_SLOT_PAUSE = 2 -- seconds: a slot that is added again within one second gets the same id

-- Tell the policy's own listener; its failure is a warning, and so is a wait without end.
function act.event(run, kind, plan, more)
	if not run.policy.on then return end
	local e = more or {}
	e.kind, e.action, e.reason, e.member = kind, plan.action, plan.reason, plan.member
	local ok, why = tasks.within(HOOK_PATIENCE, user.call, "on", run.policy.on, e)
	if ok == nil and why then log.warn(why:find "^on " and why or "on: " .. why) end
end

function act.note(run, plan, ok, message, rule, member)
	table.insert(run.history, {
		action = plan.action, member = member or plan.member, ok = ok and true or false,
		message = message, rule = rule, clock = task.now(), turn = run.turn,
	})
end

-- Where to ask for a change; who leaves is asked last, since its etcd ends with it.
local function endpoints(f, plan)
	local leaver = plan.action == "leave" and facts.answered({ id = plan.member }, f.probes, "quorum")
	local first, last = {}, {}
	for _, url in ipairs(f.cluster.endpoints) do
		table.insert(leaver and leaver.client_url == url and last or first, url)
	end
	return table.move(last, 1, #last, #first + 1, first), leaver or nil
end

-- A leader that leaves hands its part on, to who knows most; where that fails, the others notice a
-- second later that it is gone.
local function hand_on(f, leaver, via)
	local heir
	for _, probe in pairs(f.probes) do
		local other = probe.verdict == "quorum" and probe.cluster_id == f.cluster.id and probe.member_id
			and probe.member_id ~= leaver.member_id
		if other and (not heir or (probe.applied or 0) > (heir.applied or 0)) then heir = probe end
	end
	if not heir then return end
	local ok, why = members.transfer(via, leaver.client_url, heir.member_id)
	if ok then log.info(("member %s leads now"):format(etcd.hex(heir.member_id))) end
	if not ok then log.warn("the leadership is not handed on before: " .. why) end
end

-- What keeps this machine from its next step; said once, until it is something else.
local function hold_up(run, plan, text)
	if not run.held or run.held.text ~= text then log.error(text) end
	run.held = { action = plan.action, text = text, elsewhere = plan.reserves }
end

-- One change of the membership -> whether it was made
local function change(run, f, plan, permit)
	local cluster = f.cluster
	if REMOVES[plan.action] then
		if not journal.asked_remove(run.journal, cluster.id, plan.member) then
			table.insert(run.journal.asked_remove, { cluster_id = cluster.id, member_id = plan.member })
		end
		local ok, why = run.state:save()
		if not ok then
			hold_up(run, plan, "nothing is removed without a journal: " .. why)
			return nil
		end
	end
	local via = { api = cluster.api, tls = look.client_tls(run.policy.etcd.tls), login = run.login }
	local leaver
	via.endpoints, leaver = endpoints(f, plan)
	if leaver and leaver.leader == leaver.member_id then hand_on(f, leaver, via) end
	local done, member, code = members.change(permit, plan.action, via)
	act.note(run, plan, done, not done and member or nil, nil, done and member or nil)
	if not done then
		local text = ("%s did not go through (%s): %s; the list is read again"):format(plan.action, code, member)
		if text ~= run.refused then log.warn(text) end
		run.refused = text
		return nil
	end
	run.refused = nil
	log.info(("%s done: member %s of cluster %s"):format(plan.action, member and etcd.hex(member) or "unknown",
		etcd.hex(cluster.id)))
	act.event(run, "change", plan)
	if plan.action == "add" and member and f.data_dir.state == "empty" then
		local ok, why = datadir.joined(run.place, cluster.id, member)
		if not ok then log.error("the claim could not be written: " .. why) end
	end
	return true
end

local function aside(run, f, plan, permit)
	local data, seen = look.disk(run), f.data_dir
	if data.locked or data.member_id ~= seen.member_id or data.cluster_id ~= seen.cluster_id
		or data.unused ~= seen.unused then
		return nil, "the data has changed since it was looked at"
	end
	local to, why = datadir.aside(permit, run.place, f.now)
	if not to then return nil, why end
	log.warn(("data of member %s, cluster %s, stands in %s now"):format(
		etcd.hex(f.data_dir.member_id), etcd.hex(f.data_dir.cluster_id), to))
	table.insert(run.journal.asides, { path = to, why = plan.reason, at = f.now })
	return run.state:save()
end

-- The marker, when what runs is what it is reserved for, learns that the founding is over; and when
-- it is not, a person does.
function act.confirm(run, f)
	local known, cluster = f.marker, f.cluster
	if not known or not cluster or known.confirmed then return end
	local ok, why = marker.confirm(run.policy.marker, cluster.id)
	if ok then log.info(("the marker is confirmed: cluster %s has quorum"):format(etcd.hex(cluster.id))) end
	if not ok and why ~= run.unconfirmed then log.warn("the marker is not confirmed: " .. why) end
	run.unconfirmed = why
end

local function reserve(run, f, permit)
	local id, why, code = marker.reserve(permit, run.policy.marker, f)
	if id then
		log.info(("the marker is reserved for cluster %s"):format(etcd.hex(id)))
		if not run.policy.finish then
			log.warn("who confirms the marker? until it is, the loss of all machines goes unseen: "
				.. "run etcd-bootstrap finish after etcd's start, and set finish = true")
		end
	elseif code == "conflict" then
		log.info(why .. "; it is read again")
		why = nil
	end
	return id, why
end

-- The step that the permit allows -> whether the next look should come at once
function act.step(run, f, plan, permit)
	local ok, why
	if CHANGE[plan.action] then
		ok = change(run, f, plan, permit)
		if plan.own and ok then task.sleep(OWN_SLOT_PAUSE) end
		return ok
	elseif plan.reserves then
		ok, why = reserve(run, f, permit)
	elseif plan.action == "claim" then
		ok, why = datadir.claim(permit, run.place)
	elseif plan.action == "aside" then
		ok, why = aside(run, f, plan, permit)
	end
	local what = plan.reserves and "the marker's reservation" or plan.action
	if why then hold_up(run, plan, ("%s failed: %s"):format(what, why)) end
	if ok then run.held = nil end
	return ok
end

return act
