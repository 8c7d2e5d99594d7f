-- register.lua - makes the healthy members known where the policy's registrars say: in DNS, at a load
-- balancer, anywhere.  Who is healthy, how long it is tried and what is told of it stands here; a
-- registrar compares what is there with what is wanted, and writes the difference.
local log = require "core.log"
local net = require "core.net"
local task = require "core.task"
local check = require "check"
local facts = require "facts"
local look = require "look"
local tasks = require "task"
local user = require "user"

local register = {}

local PATIENCE = 30 -- seconds that finish keeps at it: a cloud that is silent must not hold etcd's unit up
local LEAST = 5 -- seconds that it gets even where etcd came up at the deadline
local AT_ONCE = 10 -- seconds on the way to etcd's start
local PAUSE, LONGEST = 0.5, 8 -- seconds before the second try, and before any; half of them at random
local LEAST_TRY = 2 -- seconds that a further try gets, so that it ends with a reason of its own
local GRACE = 0.5 -- seconds that one who keeps to the deadline has to say why
local LOOKS = 3 -- at most, for changes alone: two who never agree must not go on

local WORTH_ANOTHER_TRY = {
	timeout = true, refused = true, unreachable = true, dns = true, throttled = true, http = true, parse = true,
	io = true,
}

-- Who is healthy --------------------------------------------------------------------------------

-- What clients of this member use: an address that it advertises, else one of its machine's.
local function address_of(member, instance)
	for _, urls in ipairs { member.client_urls, member.peer_urls } do
		for _, url in ipairs(urls) do
			local host = net.url(url)
			local address = host and net.address(host.host)
			if address then return address end
		end
	end
	for _, key in ipairs(check.address_keys) do
		local address = instance and instance.addresses[key] and net.address(instance.addresses[key])
		if address then return address end
	end
end

local function instance_of(f, id)
	for _, one in ipairs(f.inventory and f.inventory.instances or {}) do
		if one.id == id then return one end
	end
end

local function member_of(f, member)
	local instance = instance_of(f, member.instance)
	return {
		id = member.id, name = member.name, instance = member.instance, address = address_of(member, instance),
		addresses = instance and instance.addresses or {}, zone = instance and instance.zone or "",
		state = instance and instance.state or "unknown",
		client_urls = member.client_urls, peer_urls = member.peer_urls,
	}
end

-- This machine's own member, whose etcd is about to start on its data again: taken out now, it would stay
-- out where nobody runs finish.
local function restarts(f, member)
	return member.started and f.data_dir.member_id == member.id and f.data_dir.cluster_id == f.cluster.id
end

-- The voters that said themselves, in this look, that they work, and the others.
local function voters(f, before_start)
	local healthy, silent = {}, {}
	for _, member in ipairs(facts.voters(f.cluster)) do
		local counts = facts.answered(member, f.probes, "quorum") or before_start and restarts(f, member)
		table.insert(counts and healthy or silent, member_of(f, member))
	end
	table.sort(healthy, function(a, b) return a.name < b.name end)
	return healthy, silent
end

-- What is to be made known.  Pure.
---@param policy Policy
---@param f Facts
---@param before_start boolean?  this machine's etcd is about to be started
---@return Want|nil, string?, Code?
function register.want(policy, f, before_start)
	if not f.cluster then return nil, "no cluster with quorum is seen, so nothing is registered", "quorum" end
	local members, silent = voters(f, before_start)
	if #members < facts.majority(#members + #silent) then -- they would not be taken out for being out of our sight
		return nil, ("only %d of %d voters say that they are healthy, so nothing is registered"):format(#members,
			#members + #silent), "quorum"
	end
	local etcd = policy.etcd
	return {
		cluster_id = f.cluster.id, name = f.me.token, members = members, silent = silent,
		instances = f.inventory and f.inventory.instances or {},
		client_port = etcd.client_port, peer_port = etcd.peer_port,
		client_scheme = etcd.scheme, peer_scheme = etcd.peer_scheme,
	}
end

-- Asking the registrars -------------------------------------------------------------------------

local function is_list(value)
	if type(value) ~= "table" then return false end
	for _, one in ipairs(value) do
		if type(one) ~= "string" then return false end
	end
	return true
end

-- What a registrar returned -> Registered, whatever it was.
local function told(i, r, why, code)
	local it = ("register[%d]"):format(i)
	if r == nil then
		return { what = it, ok = false, changed = false, values = {}, wanted = {}, code = code,
			why = why and tostring(why) or "it returned nothing" }
	elseif type(r) ~= "table" or type(r.what) ~= "string" or not is_list(r.values) or not is_list(r.wanted) then
		return told(i, nil, "it returned no registration, which has what, values, wanted and changed", "usage")
	end
	return { what = r.what, ok = true, changed = r.changed == true, values = r.values, wanted = r.wanted, why = "" }
end

-- (waits) Ask every registrar, side by side, none beyond the deadline.
---@param policy Policy
---@param f Facts
---@param o {deadline: number, dry: boolean?, before_start: boolean?}
---@return Registered[]  in their order
function register.all(policy, f, o)
	local want, why, code = register.want(policy, f, o.before_start)
	return tasks.map(policy.register or {}, function(registrar, i)
		if not want then return told(i, nil, why, code) end
		local asked = user.copy(want)
		asked.dry, asked.deadline = o.dry == true, o.deadline
		local seconds = math.max(0, o.deadline - task.now())
		local function ask() return user.call("register", registrar, asked) end
		local function give_up()
			task.sleep(seconds + GRACE)
			return nil, ("no answer within %.2g s, by the function at %s"):format(seconds, user.where(registrar)), "timeout"
		end
		return told(i, tasks.race(ask, give_up))
	end)
end

-- Telling ---------------------------------------------------------------------------------------

local function words(r)
	if r.ok then
		return ("%s %s: %s"):format(r.what, r.changed and "is registered" or "needs no change", table.concat(r.values, ", "))
	end
	return r.code == "quorum" and r.why or ("%s is not registered: %s"):format(r.what, r.why)
end

-- Each text once, for the same is said again by every try.
local function tell(results, said)
	for _, r in ipairs(results) do
		local text = words(r)
		if not said[text] then log[r.ok and "info" or "warn"](text) end
		said[text] = true
	end
end

local function all_ok(results)
	for _, r in ipairs(results) do
		if not r.ok then return nil, words(r) end
	end
	return true
end

-- What changed is looked at again: between our look and our write another may have written what it
-- saw later than we did, and then the newer look must have the last word.
local function unsettled(results, before_start)
	local changed, failed = false, false
	for _, r in ipairs(results) do
		local may_pass = WORTH_ANOTHER_TRY[r.code] or r.code == "quorum" and not before_start
		changed = changed or r.changed
		failed = failed or not r.ok and may_pass or false
	end
	return changed, failed
end

-- That the time was over by the last try is not why it failed: what was said before is told as well.
local function recall(results, heard)
	for i, r in ipairs(results) do
		if r.code ~= "timeout" then
			heard[i] = not r.ok and r.why or nil
		elseif heard[i] then
			r.why = ("%s; before that: %s"):format(r.why, heard[i])
		end
	end
end

-- Doing it --------------------------------------------------------------------------------------

local function pause_after(failures)
	return math.min(LONGEST, PAUSE * 2 ^ (failures - 1)) * (1 + math.random()) / 2
end

-- (waits) Register those who are healthy, and look again until nothing is left to change or `patience`
-- is over.  A failure is told here; it is no reason to stop an etcd that works.
---@param run table  of look.begin, thorough
---@param f Facts
---@return true|nil, string?
local function settle(run, f, patience, before_start)
	local deadline, said, heard, changes, failures = task.now() + patience, {}, {}, 0, 0
	while true do
		local results = register.all(run.policy, f, { deadline = deadline, before_start = before_start })
		recall(results, heard)
		tell(results, said)
		local changed, failed = unsettled(results, before_start)
		changes, failures = changes + (changed and 1 or 0), failures + (failed and 1 or 0)
		local again = failed or changed and changes < LOOKS
		local pause = failed and pause_after(failures) or 0
		if not again or task.now() + pause + LEAST_TRY >= deadline then return all_ok(results) end
		task.sleep(pause)
		f = look.look(run)
	end
end

-- Run itself registers nobody: its etcd does not run yet.
function register.remind(policy)
	if policy.register and not policy.finish and not policy.on then
		log.warn("who registers? run etcd-bootstrap finish after etcd's start, and set finish = true")
	end
end

-- (waits) What finish does, when this machine's etcd is a voter.
function register.finish(run, f)
	if not run.policy.register then return true end
	local ok, why = settle(run, f, math.min(PATIENCE, math.max(LEAST, look.left(run))))
	if not ok then
		log.warn(("not everything is registered (%s); etcd is well, so this is no failure: run finish again, or see status")
			:format(why))
	end
	return ok, why
end

-- (waits) At once, with whoever is healthy now: for policies whose forerunner did it so.
---@param run table  of a run
---@return true|nil, string?
function register.now(run)
	if not run.policy.register then return nil, "the policy has no register" end
	local watch <close> = look.begin(run.policy, run.state, { thorough = true, timeout = AT_ONCE })
	local f = look.look(watch)
	return settle(watch, f, math.max(0, look.left(watch)), true)
end

return register
