-- members.lua - add, remove, promote, update: one request each, for a permit and for nothing else.
-- A timeout is not a no: the caller reads the list again before it concludes anything.
local etcd = require "core.etcd"
local http = require "core.http"
local json = require "core.json"

local members = {}

local PATIENCE = 8 -- seconds; etcd itself gives up a change after 7 (5 s and two elections)

-- What differs by API.  v3 by grpc-gateway since etcd 3.0 (the prefix is the probe's, see
-- Probe.api), v2 where there is no v3 (to 3.5, with --enable-v2); ids are decimal there, hex here.
-- Each: method, path and body of a request.
local V3 = {
	add = function(o) return "POST", "/cluster/member/add", { peerURLs = o.peer_urls, isLearner = o.learner } end,
	remove = function(o) return "POST", "/cluster/member/remove", { ID = o.member_id } end,
	promote = function(o) return "POST", "/cluster/member/promote", { ID = o.member_id } end,
	update = function(o) return "POST", "/cluster/member/update", { ID = o.member_id, peerURLs = o.peer_urls } end,
}
local V2 = {
	add = function(o)
		if not o.learner then return "POST", "/members", { peerURLs = o.peer_urls } end
	end,
	remove = function(o) return "DELETE", "/members/" .. etcd.hex(o.member_id) end,
	update = function(o) return "PUT", "/members/" .. etcd.hex(o.member_id), { peerURLs = o.peer_urls } end,
}

-- Answers that say "that is so already".  HTTP status and code differ between builds of one
-- version, the text does not (3.4 to 3.7).
local DONE = {
	remove = { ["etcdserver: member not found"] = true },
	promote = { ["etcdserver: can only promote a learner member"] = true },
}

-- Answers whose cause passes by itself.
local PASSES = {
	"unhealthy cluster", "not enough started members", "too many learner members", "in sync with leader", "no leader",
	"request timed out",
}

local function said(response)
	local body = json.decode(response.body)
	if type(body) == "table" then
		local text = body.message or body.error
		if type(text) == "string" then return text end
	end
	return response.body:sub(1, 200)
end

local function refusal(action, url, response)
	local text = said(response)
	if response.status == 410 or response.status == 404 and action == "remove" or DONE[action] and DONE[action][text] then
		return true
	end
	local code = (response.status == 401 or response.status == 403) and "auth" or "http"
	for _, passing in ipairs(PASSES) do
		if text:find(passing, 1, true) then code = "quorum" end
	end
	return nil, ("%s on %s: status %d: %s"):format(action, url, response.status, text), code
end

-- The id of the member that was just added.
local function added(api, body)
	local answer = json.decode(body)
	if type(answer) ~= "table" then return end
	if api == "/v2" then return type(answer.id) == "string" and etcd.decimal(answer.id) or nil end
	return type(answer.member) == "table" and type(answer.member.ID) == "string" and answer.member.ID or nil
end

-- Make the change that the permit holds.
-- via: {endpoints = client URLs, api = "/v3", tls = Tls}
-- -> true, member id | nil, message, code; nothing is retried, but a refused connection moves on.
function members.change(permit, action, via)
	local allowed = permit:take(action)
	local request = (via.api == "/v2" and V2 or V3)[action]
	local method, path, body
	if request then method, path, body = request(allowed) end
	if not method then
		return nil, ("this etcd speaks %s only and cannot %s%s"):format(via.api, action, allowed.learner and " a learner" or ""), "usage"
	end
	local why, code = "no member of the cluster takes changes", "quorum"
	for _, endpoint in ipairs(via.endpoints) do
		local url = endpoint .. via.api .. path
		local response
		response, why, code = http.request {
			url = url, method = method, body = body and json.encode(body), timeout = PATIENCE,
			headers = { ["content-type"] = "application/json" }, tls = via.tls,
		}
		if response and response.status >= 200 and response.status < 300 then
			return true, action == "add" and added(via.api, response.body) or allowed.member_id
		elseif response then
			local ok, text, kind = refusal(action, url, response)
			if ok then return true, allowed.member_id end
			return nil, text, kind
		elseif code ~= "refused" then
			return nil, why, code
		end
	end
	return nil, why, code
end

return members
