-- survivors.lua - a cluster that has lost its quorum: who of it is left, and how far each has come.
-- An etcd that ran on says so on its client port; one that was started since is silent there until
-- it has quorum, and then only its own machine can tell, from the log.
local http = require "core.http"
local json = require "core.json"
local datadir = require "datadir"
local facts = require "facts"
local look = require "look"
local tasks = require "task"

local survivors = {}

local PATIENCE = 3 -- seconds

local function without_quorum(f, id)
	for _, probe in pairs(f.probes) do
		if probe.verdict == "no-quorum" and probe.cluster_id == id then return true end
	end
	return false
end

-- The cluster that was used and has lost its quorum, as far as it shows from here.
---@param f Facts
---@return {id: Id, members: Member[], version: string?}?
function survivors.lost(f)
	if f.cluster or facts.two_with_quorum(f) then return nil end
	local data = f.data_dir
	local mine = data.state == "member" and not data.unused and data.cluster_id or nil
	for _, cluster in ipairs(f.clusters) do
		if cluster.id == mine or not mine and without_quorum(f, cluster.id) then return cluster end
	end
	return mine and { id = mine, members = {} } or nil
end

local function integer(text)
	return type(text) == "string" and math.tointeger(tonumber(text)) or nil
end

-- What an etcd says of itself, quorum or not -> {revision, applied, term} | nil, message
local function status(run, url)
	local response, why = http.request {
		url = url .. "/v3/maintenance/status", method = "POST", body = "{}", timeout = PATIENCE,
		tls = look.client_tls(run.policy.etcd.tls),
		headers = { ["content-type"] = "application/json", authorization = run.login.token },
	}
	if not response then return nil, why end
	local body = json.decode(response.body)
	if response.status ~= 200 or type(body) ~= "table" or type(body.header) ~= "table" then
		return nil, ("%s: status %d: %s"):format(url, response.status, response.body:sub(1, 200))
	end
	return {
		revision = integer(body.header.revision) or 0, applied = integer(body.raftAppliedIndex),
		term = integer(body.raftTerm),
	}
end

-- The machines to ask: all that answer as members of it, and this one, where its disk is of it.
local function candidates(f, lost)
	local list, me = {}, nil
	for _, probe in pairs(f.probes) do
		local mine = probe.peer_url == f.me.peer_urls[1]
		if facts.is_etcd(probe) and probe.cluster_id == lost.id then
			local one = { name = probe.name or probe.key, client_url = probe.client_url, mine = mine }
			one.member_id = probe.member_id
			table.insert(list, one)
			me = mine and one or me
		end
	end
	if f.data_dir.state == "member" and f.data_dir.cluster_id == lost.id then
		if not me then
			me = { name = f.me.name, mine = true, why = "etcd does not run here" }
			table.insert(list, me)
		end
		me.member_id = f.data_dir.member_id
	end
	return list
end

local function further(a, b)
	if (a.revision or -1) ~= (b.revision or -1) then return (a.revision or -1) > (b.revision or -1) end
	if (a.applied or -1) ~= (b.applied or -1) then return (a.applied or -1) > (b.applied or -1) end
	return (a.name or "") < (b.name or "")
end

-- (waits) Who is left, who has come furthest first.
---@return Survivor[]
function survivors.rank(run, f, lost)
	local list = candidates(f, lost)
	tasks.map(list, function(one)
		if one.mine then one.log = datadir.extent(run.place) end
		local said, why = nil, one.why or "it has no client URL"
		if one.client_url then said, why = status(run, one.client_url) end
		for key, value in pairs(said or { why = why }) do one[key] = value end
		return one
	end)
	table.sort(list, further)
	return list
end

return survivors
