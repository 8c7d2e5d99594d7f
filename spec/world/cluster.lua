-- cluster.lua - what the world specs ask a real etcd, through its own gateway and nothing of ours
-- but the transfer.

local http = require "core.http"
local json = require "core.json"
local crypto = require "core.crypto"

local cluster = {}

local function call(base, path, body, tls)
	local response, message, code = http.request { url = base .. path, method = "POST", timeout = 3,
		body = json.encode(body), tls = tls, headers = { ["Content-Type"] = "application/json" } }
	if not response then
		return nil, message, code
	end
	local value = json.decode(response.body)
	if response.status ~= 200 then
		return nil, value and (value.message or value.error) or response.body
	end
	return value
end

cluster.call = call

--- A change -> what etcd answers, or nil and its refusal.  One of the membership gets no answer at all where
--- raft drops it: while the one before is not applied, or where the leader has just died.  It is asked for again.
function cluster.change(base, path, body, tls)
	local answer, message, code
	for _ = 1, 10 do
		answer, message, code = call(base, path, body, tls)
		if answer or not (code == "timeout" or message:find "timed out") then
			break
		end
	end
	return answer, message
end

function cluster.healthy(base, tls)
	local response = http.request { url = base .. "/health", timeout = 3, tls = tls }
	return response ~= nil and response.status == 200
		and response.body:find("\"true\"", 1, true) ~= nil
end

--- names (of the started) and ids (of all), each sorted in one string, waiting (unstarted and learners), cluster_id,
--- by[name] = member, all.
function cluster.members(base, tls)
	local answer, message = call(base, "/v3/cluster/member/list", {}, tls)
	if not answer then
		return nil, message
	end
	local seen = { cluster_id = answer.header.cluster_id, waiting = 0, all = {}, by = {} }
	local names, ids = {}, {}
	for i, one in ipairs(answer.members) do
		local member = { id = one.ID, name = one.name or "", peer = one.peerURLs[1],
			learner = one.isLearner or false, started = one.clientURLs ~= nil }
		seen.all[i], ids[i] = member, member.id
		seen.by[member.name] = member
		if member.started then
			names[#names + 1] = member.name
		end
		if member.learner or not member.started then
			seen.waiting = seen.waiting + 1
		end
	end
	table.sort(names)
	table.sort(ids)
	seen.names, seen.ids = table.concat(names, " "), table.concat(ids, " ")
	return seen
end

--- A slot for that peer URL -> its id, or nil and etcd's refusal.  What an earlier call added, although no
--- answer came, counts.
function cluster.add(base, peer, learner, tls)
	local answer, message = cluster.change(base, "/v3/cluster/member/add",
		{ peerURLs = json.list { peer }, isLearner = learner or nil }, tls)
	if answer then
		return answer.member.ID
	end
	local seen = message:find "exist" and cluster.members(base, tls)
	for _, one in ipairs(seen and seen.all or {}) do
		if one.peer == peer then
			return one.id
		end
	end
	return nil, message
end

--- Whether that member is gone, or nil and etcd's refusal.
function cluster.remove(base, id, tls)
	local answer, message = cluster.change(base, "/v3/cluster/member/remove", { ID = id }, tls)
	return answer ~= nil or message:find "not found" ~= nil or nil, message
end

function cluster.put(base, key, value, tls)
	return call(base, "/v3/kv/put",
		{ key = crypto.base64(key), value = crypto.base64(value) }, tls) ~= nil
end

function cluster.get(base, key, tls)
	local answer = call(base, "/v3/kv/range", { key = crypto.base64(key) }, tls)
	local pair = answer and answer.kvs and answer.kvs[1]
	return pair and crypto.unbase64(pair.value)
end

return cluster
