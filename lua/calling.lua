-- calling.lua - the roll call as it is held: this machine's answer on its own peer port, and the
-- questions to the others.  What the answers mean is rollcall.lua's.
local task = require "core.task"
local etcd = require "core.etcd"
local json = require "core.json"
local log = require "core.log"
local net = require "core.net"
local serve = require "core.serve"
local config = require "config"
local facts = require "facts"
local rollcall = require "rollcall"

local calling = {}

local ASK_PATIENCE = 1 -- seconds that a question may be under way

-- Nobody is answered from now on.
function calling.stop(run)
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

-- How the peer port speaks before etcd does: where etcd would make a certificate of its own, so do we.
local function roll_call_tls(tls)
	if tls.peer_auto then return { auto = true } end
	return { cert = tls.peer_cert, key = tls.peer_key, ca = tls.peer_client_auth and tls.peer_ca or nil }
end

local function start_answering(run, f)
	if run.server or not run.acts or not f.me.peer_urls[1] then return end
	local tls, url = run.policy.etcd.tls, net.url(config.peer_listen(run.policy, f))
	local secure = url.scheme == "https"
	if secure and not (tls.verify and not tls.peer_auto) and not run.warned_forged then
		run.warned_forged = true
		log.warn "peers are not verified: whoever reaches this network can forge the roll call, and with it a founding"
	end
	local server, why = serve.listen {
		address = url.host, port = url.port, bodies = {}, tls = secure and roll_call_tls(tls) or nil,
	}
	run.server = server
	if not server and run.deaf ~= why then log.warn("cannot answer the roll call: " .. why) end
	run.deaf = why
end

-- Say what holds for this list, before anybody is asked anything.
function calling.prepare(run, f)
	local rc, claim = run.roll_call, f.data_dir.claim
	rollcall.about(rc, f.founding and f.founding.cluster_id, claim)
	start_answering(run, f)
	answer(run, f)
	if rollcall.withdraws(rc, claim) then rc.withdrawn = rc.withdrawn or task.now() end
end

-- (waits) Ask all who wait the same question that they may ask me; o: how etcd is asked (see look.lua).
function calling.call(run, f, o)
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
	o.targets, o.timeout = waiting, ASK_PATIENCE
	for _, heard in ipairs(waiting[1] and etcd.ask(o) or {}) do
		if heard.answer then rollcall.store(run.roll_call, heard.answer, heard.sent, f.me) end
	end
	answer(run, f)
end

-- Since when everybody else refuses, or has begun this very founding, for found = "refused".
function calling.refused_since(run, f)
	local all = f.founding ~= nil and facts.settled(f.inventory)
	for _, founder in ipairs(all and f.founding.list or {}) do
		local probe = facts.probe_at(f, founder.peer_urls[1])
		local silent = probe and (probe.verdict == "refused" or facts.has_begun(f, probe))
		if founder.name ~= f.me.name and not silent then all = false end
	end
	local same = f.founding and run.refused_list == f.founding.cluster_id
	run.refused_list = f.founding and f.founding.cluster_id
	run.refused_since = all and (same and run.refused_since or task.now()) or nil
	return run.refused_since
end

return calling
