-- login.lua - etcd's own login.  A token is fetched when an answer says that one is needed, and a
-- new one when etcd no longer knows it: most runs need none.  etcd keeps its tokens in every member,
-- so that one serves for the whole cluster and the whole run.
local fs = require "core.fs"
local http = require "core.http"
local json = require "core.json"
local log = require "core.log"

local login = {}

local PATIENCE = 5 -- seconds for one member to say yes or no
local PASSWORD_MOST = 4096 -- bytes

-- Answers that a new login may change.
local WANTED = { "user name is empty", "invalid auth token", "revision of auth store is old" }

-- A run's login.  set: the policy's etcd; tls: as clients use it.
function login.new(set, tls)
	return { user = set.user, file = set.password_file, scheme = set.scheme, tls = tls }
end

-- Whether an error's text asks for one.
function login.wanted(text)
	for _, words in ipairs(WANTED) do
		if text:find(words, 1, true) then return true end
	end
	return false
end

local function password(l)
	local text, why, code = fs.read(l.file, PASSWORD_MOST)
	if not text then return nil, "etcd.password_file: " .. why, code end
	text = text:gsub("[\r\n]+$", "")
	if text == "" then return nil, ("etcd.password_file: %s is empty"):format(l.file), "parse" end
	log.secret(text)
	return text
end

local function text_of(response)
	local body = json.decode(response.body)
	local text = type(body) == "table" and (body.message or body.error)
	return type(text) == "string" and text or response.body:sub(1, 200)
end

local function token_of(response)
	local body = json.decode(response.body)
	local token = type(body) == "table" and body.token
	return type(token) == "string" and token:find "^[%w%-._~+/=]+$" and token or nil
end

-- What a member said to the password -> true | nil, message, code
local function conclude(l, url, response)
	local text = text_of(response)
	if response.status == 200 then
		local token = token_of(response)
		if not token then return nil, ("%s: no token in the answer"):format(url), "parse" end
		log.secret(token)
		l.token = token
		return true
	elseif text:find("authentication is not enabled", 1, true) then
		l.token = nil
		return true
	end
	local refused = text:find("authentication failed", 1, true) or response.status == 401 or response.status == 403
	local why = ("login as %s on %s: status %d: %s"):format(l.user, url, response.status, text)
	return nil, why, refused and "auth" or "http"
end

local function ask(l, url, secret)
	local response, why, code = http.request {
		url = url, method = "POST", body = json.encode { name = l.user, password = secret }, timeout = PATIENCE, tls = l.tls,
		headers = { ["content-type"] = "application/json" },
	}
	if not response then return nil, why, code end
	return conclude(l, url, response)
end

local function warn_of_clear_text(l)
	if l.scheme == "https" or l.warned then return end
	l.warned = true
	log.warn(("the password of etcd's user %s crosses the network in clear text: etcd.scheme is http"):format(l.user))
end

-- (waits) Log in at the first of these client URLs that says yes or no; l.token is the token then, nil where
-- etcd wants none after all.  A password that was refused is not tried again until it is another.
---@return true|nil, string?, Code?
function login.renew(l, endpoints, api)
	if not l.user then return nil, "set etcd.user and etcd.password_file", "auth" end
	local secret, why, code = password(l)
	if not secret then return nil, why, code end
	if secret == l.refused then return nil, l.why, "auth" end
	warn_of_clear_text(l)
	local ok
	why, code = "no member of the cluster takes a login over " .. l.scheme, "auth"
	for _, endpoint in ipairs(endpoints) do
		if endpoint:sub(1, #l.scheme + 1) == l.scheme .. ":" then
			ok, why, code = ask(l, endpoint .. (api or "/v3") .. "/auth/authenticate", secret)
			if ok then return true end
			if code == "auth" then
				l.refused, l.why = secret, why
				return nil, why, code
			end
		end
	end
	return nil, why, code
end

return login
