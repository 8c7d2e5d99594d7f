-- boot.lua - the story of a run: look, judge, one change, look again, until the plan is final or
-- time is up; then write etcd's configuration and hand over.  It knows none of the clouds.
local gate = require "core.gate"
local log = require "core.log"
local task = require "core.task"
local act = require "act"
local config = require "config"
local credentials = require "credentials"
local datadir = require "datadir"
local diagnose = require "diagnose"
local diagnosis = require "diagnosis"
local finish = require "finish"
local handover = require "handover"
local leave = require "leave"
local look = require "look"
local marker = require "marker"
local policies = require "policy"
local program = require "program"
local register = require "register"
local report = require "report"
local states = require "state"
local user = require "user"

local boot = {}

local FINAL = { new = true, start = true, standby = true, fail = true }
local STATUS_PATIENCE = 5 -- seconds that status waits for what is registered

-- Exit statuses of the contract.
local DONE, FAILED, USAGE, DEADLINE, REFUSED, RIVALS = 0, 1, 2, 3, 4, 5

local function failed(why)
	log.error(why)
	return FAILED
end

local function wrong_policy(why)
	log.error(why)
	return USAGE
end

-- Judge ---------------------------------------------------------------------------------------

-- Whether what keeps a founding from its next step may be that the marker is not reserved for it.
local function unreserved(f, plan, rule)
	if not f.marker_configured then return false end
	return plan.action == "new" and rule == "marker" or f.found == "refused" and rule == "roll-call"
end

-- The reservation is a step of its own, before the one that is planned, and passes every rule that
-- `new` passes: a marker reserved by one who then may not found would keep the others waiting.
local function reserve(run, f, plan)
	local permit, message, rule = gate.check(f, { action = "reserve" }, run.overrides)
	if permit then
		plan = user.copy(plan)
		plan.reserves = true
		plan.reason = plan.reason .. "; the marker is reserved first"
	end
	return plan, permit, message, rule
end

-- The policy proposes, the gate disposes -> plan, permit | plan, nil, message, rule
local function judge(run, f)
	local plan, why = run.propose(f)
	if not plan and f.data_dir.state ~= "member" then return nil, nil, why end
	if not plan then plan = { action = "start", reason = why .. "; intact data starts all the same", warn = true } end
	f.clock = task.now()
	plan.reserves = nil
	local permit, message, rule = gate.check(f, plan, run.overrides)
	if not permit and unreserved(f, plan, rule) then return reserve(run, f, plan) end
	return plan, permit, message, rule
end

-- A look, and what the policy makes of it.  On what a quick look left out, a plan other than start may rest.
local function consider(run)
	local f = look.look(run)
	if run.unsaved and run.acts then run.state:save() end
	if run.acts then act.confirm(run, f) end
	local plan, permit, message, rule = judge(run, f)
	if not f.quick or permit and plan.action == "start" then return f, plan, permit, message, rule end
	run.thorough = true
	return consider(run)
end

-- Tell ----------------------------------------------------------------------------------------

-- Say what is planned, or waited for, when it is something new.
local function tell(run, plan, message, rule)
	local text = report.telling(plan, message, rule)
	local said = table.concat(text, "\n")
	if said == run.said then return end
	run.said = said
	local level = (plan.action == "fail" or rule) and "warn" or plan.warn and "warn" or "info"
	for _, line in ipairs(text) do log[level](line) end
	act.event(run, rule and "refusal" or "plan", plan, { rule = rule, message = message })
end

-- Settle --------------------------------------------------------------------------------------

local function pause(run)
	local interval = run.policy.interval * (0.5 + math.random())
	task.sleep(math.max(0, math.min(interval, look.left(run))))
end

-- Whether the first change for this machine comes next, before which is seen whether it could use it.
local function to_rehearse(run, f, plan)
	local step = plan.reserves or not FINAL[plan.action] and plan.action ~= "wait"
	return run.acts and step and not run.rehearsed and f.data_dir.state ~= "member"
end

-- Turns until a plan is final and permitted, or time is up -> plan, facts, permit |
-- plan, facts, nil, rule, message | nil, exit status
local function settle(run)
	while true do
		local f, plan, permit, message, rule = consider(run)
		if not plan then return nil, wrong_policy(message) end
		tell(run, plan, message, rule)
		local first = permit and to_rehearse(run, f, plan)
		if first then
			local fit, why = handover.rehearse(run, f, plan)
			if not fit then return nil, failed(why) end
			run.rehearsed = true
		end
		if permit and (first or run.policy.on) and not plan.reserves then -- they may have taken their time
			f.clock = task.now()
			permit, message, rule = gate.check(f, plan, run.overrides)
		end
		if permit and FINAL[plan.action] and not plan.reserves then
			if run.acts and f.inventory_why then log.warn("who the machines are is unknown: " .. f.inventory_why) end
			return plan, f, permit
		end
		if not permit then act.note(run, plan, false, message, rule) end
		if look.left(run) <= 0 then return plan, f, nil, rule, message end
		if not (permit and act.step(run, f, plan, permit)) then pause(run) end
	end
end

-- The verbs -----------------------------------------------------------------------------------

local function begin(policy, options, state, how)
	how.timeout = options.timeout or policy.timeout
	local run = look.begin(policy, state, how)
	run.timeout, run.propose = how.timeout, how.propose or function(f) return policies.decide(policy, f) end
	run.overrides, run.no_exec = options.overrides or {}, options.no_exec
	run.broken = credentials.tell(policy.etcd, task.time())
	for rule in pairs(run.overrides) do
		log.warn(("the rule %s is overridden: what it protects from is up to you now"):format(rule))
	end
	return run
end

-- An empty machine whose files cannot be used gets nowhere, and a file may yet be put there: no
-- usage error.  Intact data starts all the same.
local function unfit(run)
	return run.broken and datadir.read(run.place).state == "empty"
end

local function status_of(plan, permit, rule)
	if rule then return REFUSED end
	if plan.action == "fail" then return plan.exit or REFUSED end
	if plan.action == "wait" then return plan.exit or DEADLINE end
	return permit and DONE or DEADLINE
end

-- The last words of a run, and its exit status.
local function ended(run, plan, permit, rule, message)
	if permit then return status_of(plan, permit) end
	local held = not rule and run.held and run.held.action == plan.action and run.held
	local why = held and held.text or rule and plan.reason .. "; " .. report.refusal(message, rule) or plan.reason
	log.error(("gave up after %g s: %s"):format(run.timeout, why))
	return held and not held.elsewhere and FAILED or status_of(plan, nil, rule)
end

local function settle_claim(run)
	local ok, why = datadir.settle_claim(run.place)
	local data = not ok and datadir.read(run.place)
	if data and (data.state == "damaged" or data.state == "unknown") then
		log.warn("the data directory cannot be used: " .. data.why)
	elseif data then
		log.warn("a claim beside a log could not be removed: " .. why)
	end
end

-- The memory of a run -> State | nil, message.  Where it cannot be kept, intact data starts without:
-- then -> State that keeps nothing, message.
local function memory_for(policy)
	local state, why, code = states.open(policy.state_dir)
	if state or code == "conflict" then return state, why end
	if datadir.read(datadir.of(policy)).state ~= "member" then return nil, why end
	return states.open(policy.state_dir, { readonly = true }), why
end

-- Without a memory nothing may be done that must be remembered.
local function only_start(propose, unkept)
	return function(f)
		local plan, why = propose(f)
		if not plan or plan.action == "start" or plan.action == "wait" or plan.action == "fail" then return plan, why end
		return { action = "wait", reason = ("%s: %s, and what is done could not be remembered: %s"):format(
			plan.action, plan.reason, unkept) }
	end
end

---@return integer exit status, or never when exec succeeds
function boot.run(policy, options)
	local state <close>, unkept = memory_for(policy)
	if not state then return failed(unkept) end
	local run <close> = begin(policy, options, state, { acts = true })
	if unkept then run.propose = only_start(run.propose, unkept) end
	settle_claim(run)
	if unfit(run) then return FAILED end
	local wrong = not run.no_exec and program.unfit(policy)
	if wrong and datadir.read(run.place).state ~= "member" then return failed(wrong) end
	local plan, f, permit, rule, message = settle(run)
	if not plan then return f end
	while permit and plan.action ~= "fail" do
		local done, why, code = handover.give(run, plan, f, permit)
		if done then return DONE end
		if code ~= "missing" then return failed(why) end
		plan = { action = "wait", reason = why }
		tell(run, plan)
		if look.left(run) <= 0 then break end
		pause(run)
		plan, f, permit, rule, message = settle(run)
		if not plan then return f end
	end
	return ended(run, plan, permit, rule, message)
end

-- A marker that cannot be confirmed now is a warning: whoever calls this after etcd's start would
-- stop a healthy etcd for a failure.
local function confirm(policy, f)
	if not policy.marker or not f.cluster then return end
	local ok, why = marker.confirm(policy.marker, f.cluster.id)
	if not ok then log.warn("the marker is not confirmed: " .. why) end
end

-- After etcd's start: wait for it, promote it, confirm the marker, register.  Without the lock, since
-- `run` may still be on its way to that start.
---@return integer exit status
function boot.finish(policy, options)
	local state = states.open(policy.state_dir, { readonly = true })
	local run <close> = begin(policy, options, state, { thorough = true, propose = finish.decide })
	local plan, f, permit, rule, message = settle(run)
	settle_claim(run)
	if permit and plan.action == "start" then
		confirm(policy, f)
		register.finish(run, f)
		return DONE
	end
	return ended(run, plan, permit, rule, message)
end

-- What the person who asked has to know, and what the next `run` would do.
local function farewell(f)
	local path = f.data_dir.path
	log.info(("this machine is out of the cluster%s; run would join again: keep etcd's service from starting, or take "
		.. "the machine out of the provider's list"):format(path and f.data_dir.state == "member"
		and (", and its etcd ends by itself; its data stays in %s, where the next run moves it aside"):format(path) or ""))
end

-- This machine's member leaves its cluster.  Its etcd may run, and ends by itself then.
---@return integer exit status
function boot.leave(policy, options)
	local state <close>, why = states.open(policy.state_dir)
	if not state then return failed(why) end
	local run <close> = begin(policy, options, state, { thorough = true, propose = leave.decide })
	local plan, f, permit, rule, message = settle(run)
	if permit and plan.action == "standby" then
		farewell(f)
		return DONE
	end
	return ended(run, plan, permit, rule, message)
end

-- A run that changes nothing.
local function watch(policy, options, how)
	return begin(policy, options, states.open(policy.state_dir, { readonly = true }), how)
end

---@return integer exit status, as run would end now
function boot.plan(policy, options)
	local run = watch(policy, options, {})
	if unfit(run) then return FAILED end
	local f, plan, permit, message, rule = consider(run)
	if not plan then return wrong_policy(message) end
	local made
	if permit and not plan.reserves and (plan.action == "new" or plan.action == "start") then
		made = config.make(permit, plan.action, f, policy, run.state)
	end
	io.stdout:write(options.json and report.plan_json(f, plan, rule, made) or report.plan_text(plan, message, rule, made))
	return status_of(plan, permit, rule)
end

-- What is seen, for who only looks -> run, facts, registrations, exit status
local function survey(policy, options)
	local run = watch(policy, options, { thorough = true })
	local f = look.look(run)
	local registered = register.all(policy, f, { dry = true, deadline = task.now() + STATUS_PATIENCE })
	local status = f.cluster and DONE or f.clusters[2] and f.clusters[2].quorum and RIVALS or DEADLINE
	if not f.inventory and next(f.probes) == nil then status = failed(f.inventory_why or "nobody to ask") end
	return run, f, registered, status
end

---@return integer exit status: 0 one cluster with quorum, 3 none, 5 two, 1 nothing could be seen
function boot.status(policy, options)
	local _, f, registered, status = survey(policy, options)
	io.stdout:write(options.json and report.status_json(f, registered) or report.status_text(f, registered))
	return status
end

---@return integer exit status  as of status
function boot.diagnose(policy, options)
	local run, f, registered, status = survey(policy, options)
	local plan, permit, message, rule = judge(run, f)
	plan = plan or { action = "fail", reason = message }
	local found = diagnose.examine(run, f, {
		plan = plan, message = message, rule = not permit and rule or nil, registered = registered,
	})
	io.stdout:write(options.json and diagnosis.json(found) or diagnosis.text(found))
	return status
end

return boot
