-- look.lua - one look at the world: disk, provider, etcd and roll call, put together as facts.
-- Looking changes nothing but this machine's own answer to the roll call; what failed is inside the
-- facts as unknown, with its reason.
local task = require "core.task"
local crypto = require "core.crypto"
local etcd = require "core.etcd"
local log = require "core.log"
local net = require "core.net"
local binary = require "binary"
local calling = require "calling"
local config = require "config"
local credentials = require "credentials"
local datadir = require "datadir"
local facts = require "facts"
local journal = require "journal"
local identity = require "identity"
local login = require "login"
local marker = require "marker"
local rollcall = require "rollcall"
local tasks = require "task"
local user = require "user"

local look = {}

-- Seconds that a look waits for the provider: then intact data starts without, and an empty machine says
-- whom it waits for and answers the roll call.  An older list founds nothing.
local CLOUD_PATIENCE = 10
local CLOCK_JUMP = 5 -- seconds between two looks that the clock was set by, not slewed
local LEAST = 2 -- seconds that provider and marker get in the look at the deadline, whose words are the last
local REUSE = 5 -- seconds that a list which trails anyway is used again

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

-- A run's memory of its looks.  o.acts: it answers the roll call (run), or only watches (plan, status);
-- o.thorough: everybody is asked, even where less would decide (status); o.timeout: seconds.
function look.begin(policy, state, o)
	local run = {
		policy = policy, state = state, place = datadir.of(policy), acts = o.acts, deadline = task.now() + o.timeout,
		thorough = o.thorough, journal = state:journal(), list = {}, roll_call = rollcall.new(), history = {},
		login = login.new(policy.etcd, client_tls(policy.etcd.tls)),
	}
	return setmetatable(run, { __close = look.stop })
end

-- Nobody is answered, and the provider not waited for any more.
function look.stop(run)
	calling.stop(run)
	if run.asking then run.asking:cancel() end
	run.asking = nil
end

-- What this machine's disk holds now -> DataDir
function look.disk(run)
	return datadir.read(run.place, run.state:last())
end

function look.left(run)
	return run.deadline - task.now()
end

-- Asking etcd ---------------------------------------------------------------------------------

local function connection(run, targets)
	local o = run.policy.etcd
	return {
		targets = targets, tls = client_tls(o.tls), peer_tls = peer_tls(o.tls),
		connect_timeout = o.connect_timeout, timeout = o.probe_timeout, learn = true, authorization = run.login.token,
	}
end

-- Probe, and once more with a login where some etcd wants one.
local function ask_etcd(run, targets)
	local probes, wanting = etcd.probe(connection(run, targets)), {}
	for _, one in ipairs(probes) do
		if one.login then table.insert(wanting, one.client_url) end
	end
	if not wanting[1] then return probes end
	local ok, why = login.renew(run.login, wanting)
	if ok then return etcd.probe(connection(run, targets)) end
	for _, one in ipairs(probes) do
		if one.login then one.why = one.why .. "; " .. why end
	end
	return probes
end

-- The machines --------------------------------------------------------------------------------

local function no_inventory(why)
	return nil, "what discover returned is not what inventory {} makes: " .. tostring(why), "parse"
end

-- Ask the provider, as a task of its own.  One that takes longer than a turn is not asked anew: its
-- answer is the next turn's.
local function discover(run)
	run.asking = run.asking or task.spawn(function()
		local known = run.inventory
		if known and known.lag > 0 and task.now() - known.read < REUSE then return known end
		local began = task.now()
		local ask = { missing = run.missing, deadline = math.max(run.deadline, began + LEAST) }
		local inventory, why, code = user.call("discover", run.policy.discover, ask)
		if not inventory then return nil, why, code end
		local fine, ok, problem = pcall(config.derive, run.policy, inventory)
		if not fine then return no_inventory(ok) end
		if not ok then return nil, problem, "parse" end
		fine, inventory = pcall(facts.track, run.list, inventory, began, task.now())
		if not fine then return no_inventory(inventory) end
		run.inventory = inventory
		return inventory
	end)
	return run.asking
end

-- Wait for the provider's list for at most `patience` seconds -> Inventory | nil, message
local function await(run, discovery, patience)
	local inventory, why = tasks.race(function()
		local inventory, why = discovery:join()
		run.asking = nil
		return inventory, why
	end, function()
		task.sleep(patience)
		return nil, ("the provider has not answered within %.0f s"):format(patience)
	end)
	return inventory, why
end

-- Me as I was when this machine last wrote a configuration.  Where the address was never to be seen
-- here, a copied disk would be somebody else, so an empty one may not act by it.
local function remembered_me(run, data)
	local me = run.state:recall "me"
	if not me then return nil end
	if me.on_interface then return identity.is_local(me.address) and me or nil end
	if data.state == "empty" and not data.claim then return nil end
	return me
end

-- What the log, or at last the policy and the interfaces, tell of a machine whose data must start.
local function unremembered(run, data)
	local me = config.me(run.policy, nil) or { peer_urls = {}, client_urls = {} }
	for _, founder in ipairs(data.founders or {}) do
		local url = founder.id == data.member_id and net.url(founder.peer_urls[1])
		if url then me.name, me.address, me.peer_urls = me.name or founder.name, url.host, founder.peer_urls end
	end
	if data.state ~= "member" then return me end
	me.name = me.name or "id-" .. etcd.hex(data.member_id)
	for _, address in ipairs(net.interfaces() or {}) do
		local reachable = not (net.inside(address, "127.0.0.0/8") or net.inside(address, "169.254.0.0/16")
			or address == "::1" or net.inside(address, "fe80::/10"))
		me.address = me.address or reachable and address or nil
	end
	if not me.address then return me end
	local set = run.policy.etcd
	if not me.peer_urls[1] then me.peer_urls = { net.join(set.peer_scheme, me.address, set.peer_port) } end
	if not me.client_urls[1] then me.client_urls = { net.join(set.scheme, me.address, set.client_port) } end
	return me
end

local function myself(run, f)
	local me, why
	local inventory = f.inventory or run.inventory -- who this machine is stays true while the provider is silent
	if inventory then me, why = config.me(run.policy, inventory) end
	return me or remembered_me(run, f.data_dir) or unremembered(run, f.data_dir), why
end

-- Said once a run.
local function warn_of_names(run, me)
	if run.named or not me.peer_urls[1] then return end
	run.named = true
	for _, text in ipairs(credentials.misnamed(run.policy.etcd, me)) do log.warn(text) end
end

-- Only a machine without data asks for the marker, as a task of its own: shared storage that hangs
-- must not hold up one that has data.
local function ask_marker(run, f)
	local state, store = f.data_dir.state, run.policy.marker
	if not store or state ~= "empty" and state ~= "hidden" then return nil end
	return task.spawn(marker.look, store, math.max(look.left(run), LEAST))
end

local function marker_seen(marking)
	local seen, why = marking:join()
	if not seen then return nil, nil, why end
	return seen.marker, seen.marker_tag, seen.marker_unknown
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

-- An address that was remembered or learnt may be a listed machine's, one that is dead.
local function key_of(f, probe)
	local unlisted = probe.key == probe.peer_url
	for _, instance in ipairs(unlisted and f.inventory and f.inventory.instances or {}) do
		if instance.peer_url == probe.peer_url and not f.probes[instance.id] then return instance.id end
	end
	return probe.key
end

-- Putting it together -------------------------------------------------------------------------

local function running(f, probe)
	if probe and facts.is_etcd(probe) then
		return { cluster_id = probe.cluster_id, member_id = probe.member_id }
	end
	if f.data_dir.locked then return {} end
end

-- Times in the journal move with the wall clock when somebody sets it, so that a grace stays as long.
local function follow_clock(run)
	local offset = task.time() - task.now()
	local jump = offset - (run.clock_offset or offset)
	run.clock_offset = offset
	if math.abs(jump) < CLOCK_JUMP then return end
	for _, dead in pairs(run.journal.dead_since) do dead.at = dead.at + jump end
	for id, at in pairs(run.journal.pending_since) do run.journal.pending_since[id] = at + jump end
end

local function remember_silence(run, f)
	follow_clock(run)
	local died = journal.note_dead(run.journal, f.cluster, f.inventory, task.time())
	local pending = journal.note_pending(run.journal, f.cluster, f.now)
	run.unsaved = died or pending
	run.saw_quorum = f.cluster ~= nil
	run.missing = facts.missing(f)
end

local function conclude(run, f)
	f.data_dir = look.disk(run) -- the provider may have taken its time
	for _, url in ipairs(f.me.peer_urls) do
		for _, probe in pairs(f.probes) do
			if probe.peer_url == url then f.me.running = running(f, probe) end
		end
	end
	f.me.running = f.me.running or running(f)
	f.clusters = facts.clusters(f.probes, f.me)
	f.cluster = facts.one_quorum(f.clusters)
	facts.match(f.inventory, f.cluster)
	remember_silence(run, f)
	f.refused_since = calling.refused_since(run, f)
	f.clock = task.now()
end

local function begin_facts(run)
	run.turn = (run.turn or 0) + 1
	local policy = run.policy
	return {
		now = math.floor(task.time()), clock = task.now(), probes = {}, clusters = {},
		data_dir = look.disk(run),
		found = policy.found, roll_call = run.roll_call, promoter = policy.finish == true,
		turn = run.turn, journal = run.journal, history = run.history, changed = false, paused = run.state:paused(),
		marker_configured = policy.marker ~= nil,
	}
end

-- Whether what members answered settles it: every list is of this data's cluster and has this member
-- at its address, and one that gave it has quorum.
local function all_list_me(answers, data, me)
	local working = false
	for _, got in ipairs(answers) do
		local mine = got.peer_url == me.peer_urls[1]
		if got.members and not mine then
			local member = got.cluster_id == data.cluster_id and facts.find(got.members, data.member_id)
			if not member or not facts.at_my_address(member, me) then return false end
			working = working or got.healthy
		elseif mine and not got.members and got.code ~= "refused" then
			return false
		end
	end
	return working
end

-- Me, for a quick restart: as remembered, unless the provider has said something else by now.  An
-- address that was never to be seen on this machine may have changed, so there it is waited for.
local function same_me(run, data, discovery)
	local me = remembered_me(run, data)
	if me and not me.on_interface then await(run, discovery, CLOUD_PATIENCE) end
	local now = run.inventory and config.me(run.policy, run.inventory)
	if me and now and not (now.name == me.name and now.address == me.address) then return nil end
	return me
end

local function quick_probe(f, got)
	return {
		key = got.key, peer_url = got.peer_url, verdict = "unknown", why = "was asked for its list only",
		cluster_id = got.cluster_id, members = got.members, sent = f.clock, at = task.now(),
	}
end

-- Whether etcd is another here than the one last configured: then the cluster's version matters.
local function another_etcd(run, version)
	local last = run.state:recall "config"
	return version ~= nil and last ~= nil and last.version ~= version
end

-- Intact data that is listed by a working cluster: one read of etcd is enough -> Facts | nil
local function restart(run, f, discovery, version)
	local known, data = run.state:recall "members", f.data_dir
	local eligible = data.state == "member" and not data.unused and known and known.cluster_id == data.cluster_id
	f.me = not run.thorough and eligible and same_me(run, data, discovery) or nil
	if not f.me then return end
	local o = connection(run, targets(run, f, true))
	o.timeout = o.connect_timeout
	local answers = etcd.lists(o)
	if not all_list_me(answers, data, f.me) or not same_me(run, data, discovery) then return end
	if another_etcd(run, version:join()) then return end
	for _, got in ipairs(answers) do
		if got.members then f.probes[got.key] = quick_probe(f, got) end
		if got.members and got.peer_url == f.me.peer_urls[1] then
			f.me.running = { cluster_id = got.cluster_id, member_id = data.member_id }
		end
	end
	f.me.running = f.me.running or running(f)
	f.clusters = facts.clusters(f.probes, f.me)
	f.quick = true
	return f
end

-- Who the machines are, and who of them is me.
local function identify(run, f, discovery)
	local left = math.max(look.left(run), LEAST)
	local member = f.data_dir.state == "member"
	local patience = (member or run.acts) and math.min(CLOUD_PATIENCE, member and left / 2 or left) or left
	f.inventory, f.inventory_why = await(run, discovery, patience)
	local me, problem = myself(run, f)
	f.me = me
	warn_of_names(run, me)
	if problem then f.inventory, f.inventory_why = nil, problem end
	f.desired = run.policy.size or f.inventory and f.inventory.desired
	f.founding = founding(f.inventory, f.me)
end

-- Ask every address, and call the roll where nothing but empty disks may be there.
local function ask(run, f)
	local marking = ask_marker(run, f)
	local empty = f.data_dir.state == "empty" and f.found == "rollcall" and not run.saw_quorum
	if empty then calling.prepare(run, f) else calling.stop(run) end
	for _, probe in ipairs(ask_etcd(run, targets(run, f, not run.server))) do
		f.probes[key_of(f, probe)] = probe
	end
	if empty then calling.call(run, f, connection(run)) end
	if marking then f.marker, f.marker_tag, f.marker_unknown = marker_seen(marking) end
end

-- One look -> Facts
function look.look(run)
	local f = begin_facts(run)
	run.missing = run.missing or facts.missing(f)
	local discovery, version = discover(run), binary.ask(run)
	local _ <close> = setmetatable({}, { __close = function()
		if run.asking and run.acts and f.data_dir.state ~= "member" then return end
		discovery:cancel()
		run.asking = nil
	end })
	local seen = restart(run, f, discovery, version)
	if not seen then
		f.probes, f.clusters = {}, {}
		identify(run, f, discovery)
		ask(run, f)
		conclude(run, f)
	end
	f.me.etcd_version = version:join()
	return f
end

return look
