-- look.lua - one look at the world: disk, provider, etcd and roll call, put together as facts.
-- Looking changes nothing but this machine's own answer to the roll call; what failed is inside the
-- facts as unknown, with its reason.
local task = require "core.task"
local crypto = require "core.crypto"
local etcd = require "core.etcd"
local json = require "core.json"
local log = require "core.log"
local net = require "core.net"
local serve = require "core.serve"
local binary = require "binary"
local config = require "config"
local datadir = require "datadir"
local facts = require "facts"
local rollcall = require "rollcall"
local tasks = require "task"
local user = require "user"

local look = {}

local CLOUD_PATIENCE = 10 -- seconds that intact data waits for the provider
local ASK_PATIENCE = 1 -- seconds that a roll-call question may be under way
local REUSE = 5 -- seconds that a list which trails anyway is used again

-- A run's memory of its looks.  o.acts: it answers the roll call (run), or only watches (plan, status);
-- o.thorough: everybody is asked, even where less would decide (status); o.timeout: seconds.
function look.begin(policy, state, o)
	local run = {
		policy = policy, state = state, place = datadir.at(policy.etcd.data_dir, policy.etcd.extra.ETCD_WAL_DIR), acts = o.acts, deadline = task.now() + o.timeout,
		thorough = o.thorough, journal = state:journal(), list = {}, roll_call = rollcall.new(), history = {}, missing = {},
	}
	return setmetatable(run, { __close = look.stop_answering })
end

function look.left(run)
	return run.deadline - task.now()
end

-- TLS as probes use it ------------------------------------------------------------------------

local function client_tls(tls)
	return {
		ca = tls.ca, cert = tls.probe_cert or tls.cert, key = tls.probe_key or tls.key,
		verify = tls.verify and not tls.auto,
	}
end
look.client_tls = client_tls

local function peer_tls(tls)
	return {
		ca = tls.peer_ca, cert = tls.peer_cert, key = tls.peer_key,
		verify = tls.verify and not tls.peer_auto,
	}
end

local function connection(run, targets)
	local o = run.policy.etcd
	return {
		targets = targets, tls = client_tls(o.tls), peer_tls = peer_tls(o.tls),
		connect_timeout = o.connect_timeout, timeout = o.probe_timeout, learn = true,
	}
end

-- The machines --------------------------------------------------------------------------------

-- Ask the provider, as a task of its own.
local function discover(run)
	return task.spawn(function()
		local known = run.inventory
		if known and known.lag > 0 and task.now() - known.read < REUSE then return known end
		local inventory, why, code = user.call("discover", run.policy.discover, { missing = run.missing })
		if not inventory then return nil, why, code end
		local ok, problem = config.derive(run.policy, inventory)
		if not ok then return nil, problem, "parse" end
		inventory = facts.track(run.list, inventory, task.now())
		run.inventory = inventory
		return inventory
	end)
end

-- Wait for the provider's list for at most `patience` seconds -> Inventory | nil, message
local function await(discovery, patience)
	local inventory, why = tasks.race(function() return discovery:join() end, function()
		task.sleep(patience)
		return nil, ("the provider has not answered within %.0f s"):format(patience)
	end)
	discovery:cancel()
	return inventory, why
end

-- Me as I was when this machine last wrote a configuration.
local function remembered_me(run)
	local me = run.state:recall "me"
	if me and me.on_interface then
		local still = false
		for _, address in ipairs(net.interfaces()) do still = still or address == me.address end
		if not still then return nil end
	end
	return me
end

local function myself(run, inventory)
	local me, why
	if inventory then me, why = config.me(run.policy, inventory) end
	return me or remembered_me(run) or { peer_urls = {}, client_urls = {} }, why
end

-- Founding ------------------------------------------------------------------------------------

-- So that the same addresses on other machines are another cluster.
local function token_of(list, configured)
	local names = {}
	for i, founder in ipairs(list) do names[i] = founder.name end
	return configured .. "-" .. crypto.hex(crypto.sha256(table.concat(names, ","))):sub(1, 8)
end

-- L and what etcd will compute from it -> Founding | nil while the list is unknown
local function founding(inventory, me)
	if not inventory or not inventory.complete then return nil end
	for _, instance in ipairs(inventory.instances) do
		if facts.counts_in(instance) and not instance.peer_url then return nil end
	end
	local list = facts.founders(inventory)
	local token = token_of(list, me.token)
	local cluster_id, ids = etcd.identify(list, token)
	for i, founder in ipairs(list) do
		if founder.name == me.name then
			return { list = list, token = token, cluster_id = cluster_id, member_id = ids[i] }
		end
	end
end

-- Addresses -----------------------------------------------------------------------------------

-- Whom to ask: the listed machines that are not dead, the members known from before, and everyone
-- whom this disk's founding names.  Each address once.
local function targets(run, f, ask_myself)
	local list, taken = {}, {}
	for _, url in ipairs(f.me.peer_urls) do taken[url] = not ask_myself or nil end
	local function add(key, name, peer_url, client_url)
		if not peer_url or taken[peer_url] then return end
		taken[peer_url] = true
		table.insert(list, { key = key or peer_url, name = name, peer_url = peer_url, client_url = client_url })
	end
	for _, instance in ipairs(f.inventory and f.inventory.instances or {}) do
		if instance.state ~= "dead" then
			add(instance.id, instance.etcd_name, instance.peer_url, instance.client_url)
		end
	end
	add(f.me.id, f.me.name, f.me.peer_urls[1], f.me.client_urls[1])
	local known = run.state:recall "members"
	for _, member in ipairs(known and known.addresses or {}) do
		add(nil, member.name, member.peer_url, member.client_url)
	end
	local claim = f.data_dir.claim
	for _, founder in ipairs(f.data_dir.founders or claim and claim.list or {}) do
		add(nil, founder.name, founder.peer_urls[1])
	end
	return list
end

-- A learnt address may be a listed machine's, one that is dead.
local function key_of(f, probe)
	for _, instance in ipairs(probe.learnt and f.inventory and f.inventory.instances or {}) do
		if instance.peer_url == probe.peer_url and not f.probes[instance.id] then return instance.id end
	end
	return probe.key
end

-- The roll call -------------------------------------------------------------------------------

function look.stop_answering(run)
	if run.server then run.server:close() end
	run.server = nil
end

local function answer(run, f, asking)
	if not run.server then return end
	local a = rollcall.answer(run.roll_call, f.me, f.data_dir.claim, asking or {})
	run.server:set("/bootstrap", json.encode {
		name = a.name, data = a.data, ready = a.ready, counts = json.list(a.counts),
		cluster_id = a.cluster_id and etcd.hex(a.cluster_id) or json.null,
		claim = a.claim and etcd.hex(a.claim) or json.null,
	})
end

local function start_answering(run, f)
	local url = f.me.peer_urls[1] and net.url(f.me.peer_urls[1])
	if run.server or not run.acts or not url then return end
	local tls = run.policy.etcd.tls
	local server, why = serve.listen {
		address = f.me.address, port = url.port, bodies = {},
		tls = url.scheme == "https" and {
			cert = tls.peer_cert, key = tls.peer_key, ca = tls.peer_client_auth and tls.peer_ca or nil,
		} or nil,
	}
	run.server = server
	if not server and run.deaf ~= why then log.warn("cannot answer the roll call: " .. why) end
	run.deaf = why
end

-- Say what holds for this list, before anybody is asked anything.
local function prepare(run, f)
	local rc, claim = run.roll_call, f.data_dir.claim
	rollcall.about(rc, f.founding and f.founding.cluster_id, claim)
	start_answering(run, f)
	answer(run, f)
	if rollcall.withdraws(rc, claim) then rc.withdrawn = rc.withdrawn or task.now() end
end

-- Ask all who wait the same question that they may ask me.
local function call_roll(run, f)
	local waiting, asking = {}, {}
	for _, probe in pairs(f.probes) do
		if probe.verdict == "waiting" and probe.name ~= f.me.name then
			table.insert(waiting, { key = probe.key, name = probe.name, peer_url = probe.peer_url })
			asking[probe.name] = true
		end
		local claim = f.data_dir.claim
		if claim and facts.is_etcd(probe) and probe.cluster_id == claim.cluster_id and probe.name then
			rollcall.saw_running(run.roll_call, probe.name)
		end
	end
	answer(run, f, asking)
	local o = connection(run, waiting)
	o.timeout = ASK_PATIENCE
	for _, heard in ipairs(waiting[1] and etcd.ask(o) or {}) do
		if heard.answer then rollcall.store(run.roll_call, heard.answer, heard.sent, f.me) end
	end
	answer(run, f)
end

-- Since when everybody else refuses, for found = "refused".
local function refused_since(run, f)
	local all = f.founding ~= nil and facts.settled(f.inventory)
	for _, founder in ipairs(all and f.founding.list or {}) do
		local probe
		for _, candidate in pairs(f.probes) do
			if candidate.peer_url == founder.peer_urls[1] then probe = candidate end
		end
		if founder.name ~= f.me.name and not (probe and probe.verdict == "refused") then all = false end
	end
	run.refused_since = all and (run.refused_since or task.now()) or nil
	return run.refused_since
end

-- Putting it together -------------------------------------------------------------------------

local function running(f, probe)
	if probe and facts.is_etcd(probe) then
		return { cluster_id = probe.cluster_id, member_id = probe.member_id }
	end
	if f.data_dir.locked then return {} end
end

local function conclude(run, f)
	for _, url in ipairs(f.me.peer_urls) do
		for _, probe in pairs(f.probes) do
			if probe.peer_url == url then f.me.running = running(f, probe) end
		end
	end
	f.me.running = f.me.running or running(f)
	f.clusters = facts.clusters(f.probes, f.me)
	f.cluster = facts.one_quorum(f.clusters)
	facts.match(f.inventory, f.cluster)
	local died = facts.note_dead(run.journal, f.cluster, f.inventory, task.time())
	local pending = facts.note_pending(run.journal, f.cluster, f.now)
	run.unsaved = died or pending
	f.clock = task.now()
end

local function begin_facts(run)
	local policy = run.policy
	return {
		now = math.floor(task.time()), clock = task.now(), probes = {}, clusters = {},
		data_dir = datadir.read(run.place),
		found = policy.found, roll_call = run.roll_call, promoter = policy.finish == true,
		journal = run.journal, history = run.history, changed = false, paused = run.state:paused(),
	}
end

-- Whether the lists that members gave settle it: every one is of this data's cluster and has this
-- member at its address.
local function all_list_me(answers, data, me)
	local listed = false
	for _, got in ipairs(answers) do
		local mine = got.peer_url == me.peer_urls[1]
		if got.members and not mine then
			local member = got.cluster_id == data.cluster_id and facts.find(got.members, data.member_id)
			if not member or not facts.at_my_address(member, me) then return false end
			listed = true
		elseif mine and not got.members and got.code ~= "refused" then
			return false
		end
	end
	return listed
end

-- Intact data whose remembered members list this machine: one read of etcd is enough -> Facts | nil
local function restart(run, f, discovered)
	local known, me = run.state:recall "members", remembered_me(run)
	if run.thorough or f.data_dir.state ~= "member" or not known or not me or known.cluster_id ~= f.data_dir.cluster_id then return end
	f.me = me
	local answers = etcd.lists(connection(run, targets(run, f, true)))
	if not all_list_me(answers, f.data_dir, me) then return end
	if discovered() and not (me.name == discovered().name and me.address == discovered().address) then return end
	for _, got in ipairs(answers) do
		if got.members then
			f.probes[got.key] = {
				key = got.key, peer_url = got.peer_url, verdict = "unknown", why = "was asked for its list only",
				cluster_id = got.cluster_id, members = got.members, sent = f.clock, at = task.now(),
			}
			if got.peer_url == me.peer_urls[1] then
				f.me.running = { cluster_id = got.cluster_id, member_id = f.data_dir.member_id }
			end
		end
	end
	f.me.running = f.me.running or running(f)
	f.clusters = facts.clusters(f.probes, me)
	return f
end

-- One look -> Facts
function look.look(run)
	local policy, f = run.policy, begin_facts(run)
	local discovery = discover(run)
	local version = binary.ask(run)
	local seen = restart(run, f, function()
		local inventory = run.inventory
		return inventory and config.me(policy, inventory) or nil
	end)
	if seen then
		discovery:cancel()
		seen.me.etcd_version = version:join()
		return seen
	end
	f.probes, f.clusters = {}, {}
	local left = math.max(look.left(run), 1)
	f.inventory, f.inventory_why = await(discovery, f.data_dir.state == "member" and math.min(CLOUD_PATIENCE, left / 2) or left)
	local problem
	f.me, problem = myself(run, f.inventory)
	if problem then f.inventory, f.inventory_why = nil, problem end
	f.desired = policy.size or f.inventory and f.inventory.desired
	f.founding = founding(f.inventory, f.me)

	local empty = f.data_dir.state == "empty" and not run.saw_quorum
	if empty then prepare(run, f) else look.stop_answering(run) end
	for _, probe in ipairs(etcd.probe(connection(run, targets(run, f, not run.server)))) do
		f.probes[key_of(f, probe)] = probe
	end
	if empty then call_roll(run, f) end
	conclude(run, f)
	f.me.etcd_version = version:join()
	f.refused_since = refused_since(run, f)
	run.saw_quorum = f.cluster ~= nil
	run.missing = {}
	for _, member in ipairs(f.cluster and f.cluster.members or {}) do
		if not member.instance then table.insert(run.missing, member) end
	end
	return f
end

return look
