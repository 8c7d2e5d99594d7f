-- handover.lua - the end of a run: a permitted final plan becomes outputs, a memory for the next start,
-- and a running etcd.
local log = require "core.log"
local act = require "act"
local config = require "config"
local datadir = require "datadir"
local identity = require "identity"
local look = require "look"
local output = require "output"
local program = require "program"
local register = require "register"

local handover = {}

local function first_known(list, peer_url)
	for _, one in ipairs(list) do
		local url = one.client_url or one.client_urls and one.client_urls[1]
		local there = one.peer_url or one.peer_urls and one.peer_urls[1]
		if url and there == peer_url then return url end
	end
end

-- Where the members of a configuration are reached, by whatever tells it.
local function addresses(run, f, made)
	local list, known = {}, run.state:recall "members"
	local sources = { { f.me }, f.inventory and f.inventory.instances or {}, known and known.addresses or {} }
	for _, cluster in ipairs(f.clusters) do table.insert(sources, 1, cluster.members) end
	for i, founder in ipairs(made.initial_cluster) do
		list[i] = { name = founder.name, peer_url = founder.peer_urls[1] }
		for _, source in ipairs(sources) do
			list[i].client_url = list[i].client_url or first_known(source, founder.peer_urls[1])
		end
	end
	return list
end

-- What the next start may need when everything else is silent.
local function remember(run, f, made)
	local me, known = f.me, false
	run.state:remember("me", {
		id = me.id, name = me.name, address = me.address, peer_urls = me.peer_urls, client_urls = me.client_urls,
		token = me.token, on_interface = identity.is_local(me.address),
	})
	if made.cluster_id then
		run.state:remember("members", { cluster_id = made.cluster_id, addresses = addresses(run, f, made) })
		for _, id in ipairs(run.journal.clusters) do known = known or id == made.cluster_id end
		if not known then table.insert(run.journal.clusters, made.cluster_id) end
	end
	run.state:remember("config", made)
	return run.state:save()
end

-- Intact data is not kept down by what may be a misjudgement: etcd will say itself what it refuses.
-- Never returns, but for a failure -> message
local function exec(run, f, made)
	local argv, why = program.words(run.policy, made)
	if not argv then return why end
	local wrong = program.disagrees(run.policy, argv, made.env)
	if wrong and f.data_dir.state ~= "member" then return wrong end
	if wrong then log.error(wrong) end
	return program.become(argv, made.env)
end

-- (waits) Whether this machine could be given what it is about to become, before anything is changed for
-- it: a member that cannot be started is one that the others wait for.
-- -> true | nil, message
function handover.rehearse(run, f, plan)
	if plan.action ~= "claim" then -- that one writes it first of all, and may be tried again
		local ok, why = datadir.rehearse(run.place)
		if not ok then return nil, "no claim could be written: " .. why end
	end
	if not f.me.name or not f.me.peer_urls[1] then return true end
	local made = config.rehearsal(f, run.policy)
	local ok, why = output.rehearse(made, run.policy.output)
	if ok and not run.no_exec then why = program.unfit(run.policy, made) end
	if why then return nil, why end
	return true
end

local function configuration(run, plan, f, permit)
	if plan.action == "standby" then return config.standby(f, run.policy) end
	return config.make(permit, plan.action, f, run.policy, run.state)
end

-- Done, or never returns where something is to be executed.
-- nil, message, code: with "missing" what is missing may still turn up.
function handover.give(run, plan, f, permit)
	look.stop(run)
	local made, why, code = configuration(run, plan, f, permit)
	if not made then return nil, why, code end
	local ok, problem = output.write(made, run.policy.output)
	if not ok then return nil, problem end
	register.remind(run.policy)
	act.event(run, "output", plan, { register = function() return register.now(run) end })
	if plan.action == "standby" then
		if run.no_exec or not plan.exec then return true end
		return nil, program.become(plan.exec, made.env)
	end
	ok, problem = remember(run, f, made)
	if not ok then log.warn("cannot remember this configuration: " .. problem) end
	if f.me.running or run.no_exec or not run.policy.exec then return true end
	return nil, exec(run, f, made)
end

return handover
