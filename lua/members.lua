-- members.lua - add, remove, promote, update: one request each, for a permit and for nothing else.
-- A timeout is not a no: the caller reads the list again before it concludes anything.
-- What differs by API and version of etcd stands in the one table here, `members.differs`.
local etcd = require "core.etcd"
local http = require "core.http"
local json = require "core.json"
local login = require "login"

local members = {}

local PATIENCE = 8 -- seconds; etcd itself gives up a change after 7 (5 s and two elections)

-- Each: method, path and body of a request; ids are decimal in v3, hex in v2.
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

local ALL <const> = "run: 3.4.23 (Debian), 3.5.35, 3.6.16, 3.7.3"
local V2_RUN <const> = "run: 3.4.23 and 3.5.35 with --enable-v2"
local SOURCE <const> = "source: 3.4.0 to 3.7.1"

-- Every entry says where it is from: "run" with the versions that were seen to do so, "source" with
-- the tags that were read.
--   apis     how a change is asked for, and since which version there are learners
--   answers  what a refusal begins with, the first that fits: "done" is so already, "exists" may be
--            ours from a request that timed out, "passes" goes away by itself.  The text is the same
--            in every version; status, code and shape of the body are not (see `bodies`), nor is
--            "error" always there beside "message".
--   bodies, rules   for whoever reads a log: nothing here depends on them
members.differs = {
	apis = {
		["/v3"] = { change = V3, learners = { 3, 4 }, from = ALL },
		["/v3beta"] = { change = V3, from = "source: 3.3.27, which has no /v3; run: beside /v3 from 3.4.23 to 3.7.3" },
		["/v3alpha"] = { change = V3, from = "source: 3.0.17, 3.1.20, 3.2.32; run: 404 from 3.4.23 on" },
		["/v2"] = { change = V2, from = V2_RUN .. "; from 3.6.16 on the flag ends etcd with status 2" },
	},
	answers = {
		{ "remove", "etcdserver: member not found", "done", from = ALL },
		{ "remove", "Member permanently removed: ", "done", from = V2_RUN },
		{ "remove", "No such member: ", "done", from = V2_RUN },
		{ "promote", "etcdserver: can only promote a learner member which is in sync", "passes", from = ALL },
		{ "promote", "etcdserver: can only promote a learner member", "done", from = ALL },
		{ "add", "etcdserver: Peer URLs already exists", "exists", from = ALL },
		{ "add", "etcdserver: member ID already exist", "exists", from = "run: 3.4.23, added twice within a second" },
		{ "add", "membership: peerURL exists", "exists", from = V2_RUN },
		{ "add", "etcdserver: member not found", "passes", from = "run: 3.4.23, removed within the same second" },
		{ "add", "etcdserver: too many learner members in cluster", "passes", from = ALL },
		{ "any", "etcdserver: unhealthy cluster", "passes", from = ALL },
		{ "any", "etcdserver: re-configuration failed due to not enough started", "passes", from = ALL },
		{ "any", "Internal Server Error", "passes", from = V2_RUN .. ", for both of the above" },
		{ "any", "etcdserver: no leader", "passes", from = ALL },
		{ "any", "etcdserver: request timed out", "passes", from = SOURCE .. ", longer texts begin so" },
		{ "any", "etcdserver: leader changed", "passes", from = SOURCE },
		{ "any", "etcdserver: server stopped", "passes", from = SOURCE },
	},
	bodies = {
		["a refusal for what the cluster is like"] = "status 412 on 3.4.23 (Debian), 400 on 3.5.35, 3.6.16, 3.7.3: run",
		["a refusal's body"] = "error and message to 3.5.35, message only from 3.6.16 on: run",
		["a learner that is asked"] = "status 503, code 14 to 3.5.35; 400, code 9 from 3.6.16 on: run",
		["/health without a leader"] = "false; with a reason from 3.5.35 on: run",
	},
	rules = {
		["add with one of five down"] = "refused before 3.5.30, 3.6.11: source; run on 3.4.23, 3.5.35, 3.6.16, 3.7.3",
		["update of a learner"] = "makes it a voter before 3.5.31, 3.6.12: run on 3.4.23, source; never asked for",
		["promote of a learner that never started"] = "goes through before 3.4.24, 3.5.7: source; asked for when it answers",
		["a promotion that is lost at a restart"] = "3.5.1 to 3.5.19: source; upgrade within 3.5 before 3.6",
	},
}

-- Whether learners can be added to such a cluster; a version that is not known is taken for one of today.
function members.can_learn(cluster)
	local api = members.differs.apis[cluster.api or "/v3"]
	if not api.learners then return false end
	local major, minor = (cluster.version or "3.4"):match "^(%d+)%.(%d+)"
	major, minor = tonumber(major), tonumber(minor)
	return major > api.learners[1] or major == api.learners[1] and minor >= api.learners[2]
end

-- What is asked of etcd: a leave is a removal that the gate judges by other rules.
local function asked_as(action)
	return action == "leave" and "remove" or action
end

-- What a refusal of this action means -> "done" | "exists" | "passes" | nil
function members.meaning(action, text)
	for _, entry in ipairs(members.differs.answers) do
		if (entry[1] == action or entry[1] == "any") and text:sub(1, #entry[2]) == entry[2] then return entry[3] end
	end
end

local CODE = { passes = "quorum", exists = "conflict" }

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
	local meaning = members.meaning(action, text)
	if meaning == "done" then return true end
	local code = (response.status == 401 or response.status == 403) and "auth" or CODE[meaning] or "http"
	return nil, ("%s on %s: status %d: %s"):format(action, url, response.status, text), code
end

-- The id of the member that was just added.
local function added(api, body)
	local answer = json.decode(body)
	if type(answer) ~= "table" then return end
	if api == "/v2" then return type(answer.id) == "string" and etcd.decimal(answer.id) or nil end
	return type(answer.member) == "table" and type(answer.member.ID) == "string" and answer.member.ID or nil
end

local function send(via, url, method, body)
	return http.request {
		url = url, method = method, body = body, timeout = PATIENCE, tls = via.tls,
		headers = { ["content-type"] = "application/json", authorization = via.login and via.login.token },
	}
end

-- Send it, and once more with a login where etcd refused it for want of one.
local function request_change(via, endpoint, url, method, body)
	local response, why, code = send(via, url, method, body)
	if not response or not via.login or not login.wanted(said(response)) then return response, why, code end
	local ok
	ok, why, code = login.renew(via.login, { endpoint }, via.api)
	if not ok then return nil, ("%s: %s; %s"):format(url, said(response), why), code end
	return send(via, url, method, body)
end

-- (waits) Have the member at this endpoint, which leads, hand that on -> true | nil, message, code
function members.transfer(via, endpoint, member_id)
	local url = endpoint .. via.api .. "/maintenance/transfer-leadership"
	local response, why, code = request_change(via, endpoint, url, "POST", json.encode { targetID = member_id })
	if not response then return nil, why, code end
	if response.status == 200 then return true end
	return nil, ("%s: status %d: %s"):format(url, response.status, said(response)), "http"
end

-- (waits) Make the change that the permit holds.
-- via: {endpoints = client URLs, api = "/v3", tls = Tls, login = a run's}
-- -> true, member id | nil, message, code; nothing is retried, but a refused connection moves on.
function members.change(permit, action, via)
	local allowed = permit:take(action)
	action = asked_as(action)
	local request = members.differs.apis[via.api].change[action]
	local method, path, body
	if request then method, path, body = request(allowed) end
	if not method then
		local what = allowed.learner and " a learner" or ""
		return nil, ("this etcd speaks %s only and cannot %s%s"):format(via.api, action, what), "usage"
	end
	local why, code = "no member of the cluster takes changes", "quorum"
	for _, endpoint in ipairs(via.endpoints) do
		local url = endpoint .. via.api .. path
		local response
		response, why, code = request_change(via, endpoint, url, method, body and json.encode(body))
		if response and response.status >= 200 and response.status < 300 then
			if action == "add" then return true, added(via.api, response.body) end
			return true, allowed.member_id
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
