-- exchange.lua - one request to AWS until it is answered: signed with credentials that somebody
-- supplies, mended once where the clock, the credentials or the region were wrong, and tried again with
-- random pauses until the deadline where the refusal may pass.
local arguments = require "aws.arguments"
local clock = require "aws.clock"
local endpoints = require "aws.endpoints"
local errors = require "aws.errors"
local http = require "core.http"
local log = require "core.log"
local query = require "aws.query"
local region = require "aws.region"
local settings = require "aws.settings"
local task = require "task"
local xml = require "core.xml"

local exchange = {}

local DEADLINE = 60 -- seconds, unless told otherwise
local CONNECT = 5 -- seconds for a connection
local PATIENCE = 30 -- seconds for one attempt
local LIMIT = 64 << 20 -- bytes of an answer
local BASE = { transient = 0.05, throttle = 1 } -- seconds of the first pause at most
local CAP = 20 -- seconds of a pause
local ALOUD = 2 -- refusals of one call until the log has them
local OVER = 5 -- seconds that a service may ask for beyond our own pause
local SHOWN = 200 -- bytes of a body in a message

-- A failure of the network that may pass.
local PASSES = { timeout = true, refused = true, unreachable = true, dns = true, http = true, parse = true }

-- What is sent ----------------------------------------------------------------------------------

-- What a message calls it: "ec2 DescribeTags", "s3 GetObject BUCKET/KEY", "route53 GET /PATH".
local function name_of(o, method, path)
	local name = o.service .. " " .. (o.action or method)
	if o.bucket then return ("%s %s%s"):format(name, o.bucket, path) end
	return o.action and name or name .. " " .. path
end

-- The request but for its host and its signature.
local function prepare(o)
	local method, path = o.method or "GET", o.path or "/"
	local call = {
		o = o, what = name_of(o, method, path),
		method = method, rest = path .. query.string(o.query), headers = {}, body = o.body, shape = o.shape,
		deadline = o.deadline or task.now() + DEADLINE, attempts = 0, retries = 0, mended = {},
	}
	for name, value in pairs(o.headers or {}) do call.headers[name:lower()] = value end
	if query.speaks(o.service) then
		call.method, call.rest = "POST", "/"
		call.body = query.form(o.service, o.action, o.params)
		call.headers["content-type"] = "application/x-www-form-urlencoded; charset=utf-8"
		call.shape = o.shape or { [o.action .. "Response"] = {} }
	end
	return call
end

-- The slash stands between host and path whatever the path begins with: who is asked gets a signature.
local function url_of(call, endpoint)
	local base = call.o.bucket and endpoints.bucket(endpoint, call.o.bucket) or endpoint.url
	return base .. "/" .. call.rest:gsub("^/", "")
end

local function send(call, endpoint, keys)
	local ca, why, code = settings.text "AWS_CA_BUNDLE"
	if code then return nil, why, code end
	call.sent, call.offset = task.time(), clock.offset
	local response
	response, why, code = http.request {
		url = url_of(call, endpoint), method = call.method, body = call.body, headers = call.headers,
		proxy = true, limit = LIMIT, tls = ca and { ca = ca }, connect_timeout = CONNECT,
		timeout = math.max(0.001, math.min(PATIENCE, call.deadline - task.now())),
		sign = keys and {
			service = endpoint.service, region = endpoint.signing_region, time = call.sent + call.offset,
			access_key = keys.access_key, secret_key = keys.secret_key, token = keys.token,
		} or nil,
	}
	call.received = task.time()
	return response, why, code
end

-- The proxy that the environment names for a URL, without its password; libcurl's own rules are finer.
local function proxy_of(url)
	local scheme, host = url:match "^(%a+)://([^/:]+)"
	for word in (os.getenv "no_proxy" or os.getenv "NO_PROXY" or ""):gmatch "[^%s,]+" do
		local suffix = word:gsub("^%.", "")
		if word == "*" or host:sub(-#suffix) == suffix then return nil end
	end
	local names = { "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY" }
	if scheme == "http" then names = { "http_proxy", "all_proxy", "ALL_PROXY" } end
	for _, name in ipairs(names) do
		local value = settings.variable(name)
		local kind = value and value:match "^%a[%w+.-]*://" or ""
		if value then return ("%s is %s%s"):format(name, kind, value:sub(#kind + 1):match "[^@]*$") end
	end
end

-- What came back --------------------------------------------------------------------------------

-- The beginning of a text from outside, for a message: one line of UTF-8; secrets go before it is cut.
local function shown(text)
	local line = log.redact(text):gsub("[%s%c]+", " ")
	local start = line:sub(1, SHOWN)
	if not utf8.len(start) then start = start:gsub("[\x80-\xff]", "?") end
	return #line > SHOWN and start .. "..." or start
end

local function place(call)
	return call.signing and " in " .. call.signing or ""
end

-- The permission that is missing, as an IAM policy writes it.
local function permission(call, found)
	return found and found.message:match "not authorized to perform:? ([%w-]+:%w+)" or call.o.permission
		or call.o.action and call.o.service .. ":" .. call.o.action
end

local function refusal(call, response, found, code, keys)
	local text = found and found.code ~= "" and found.code .. ": " .. found.message or response.body
	local message = ("%s%s: status %d: %s"):format(call.what, place(call), response.status, shown(text))
	if not keys then return message end
	local needed = permission(call, found)
	if code == "denied" and needed then
		return ("%s; the credentials from %s lack the permission %s"):format(message, keys.source, needed)
	elseif code == "denied" or code == "auth" then
		return ("%s; the credentials are from %s"):format(message, keys.source)
	end
	return message
end

-- An answer that may be believed -> true, decoded | false, why
local function decode(call, response)
	if not call.shape then return true, response.body end
	local decoded, why = xml.decode(response.body, call.shape)
	if not decoded then return false, why end
	return true, decoded
end

-- Mending: each once for a request.
local function mend(call, response, found, verdict, keys)
	local mended = false
	local function once(what, f)
		if call.mended[what] or not f() then return end
		call.mended[what], mended = true, true
	end
	local elsewhere = call.o.service == "s3" and (response.headers["x-amz-bucket-region"] or found and found.region)
	if elsewhere and elsewhere ~= call.region and region.check(elsewhere, "S3") then
		once("region", function()
			call.region = elsewhere
			return true
		end)
	end
	if verdict.skewed and keys then
		once("clock", function()
			return clock.correct(response, call)
		end)
	end
	if verdict.expired and keys then
		once("credentials", function()
			call.stale = keys
			return true
		end)
	end
	return mended
end

-- What one response is -> {decoded, response} | {mended} | {message, code, retry, response}
local function conclude(call, response, keys)
	local status = response.status
	response.region, response.attempts = call.region, call.attempts
	local fine, decoded
	if status >= 200 and status < 300 then
		fine, decoded = decode(call, response)
		if fine then return { decoded = decoded, response = response } end
	end
	local found = errors.read(response.body)
	response.error = found
	if status < 300 and not found then
		local message = ("%s%s: the answer cannot be read, %s: %s"):format(call.what, place(call), decoded,
			shown(response.body))
		return { message = message, code = "parse", retry = "transient", response = response }
	end
	for _, expected in ipairs(call.o.expect or {}) do -- of theirs, and not of somebody in between
		local theirs = found or call.method == "HEAD"
		if status == expected and theirs then return { decoded = false, response = response } end
	end
	local verdict = errors.judge(status, found)
	if mend(call, response, found, verdict, keys) then return { mended = true } end
	verdict.response = response
	verdict.message = refusal(call, response, found, verdict.code, keys)
	return verdict
end

local function attempt(call, keys)
	local endpoint, why, code = endpoints.find(call.o.service, call.region)
	if not endpoint then return { message = why, code = code } end
	call.signing, call.attempts = endpoint.signing_region, call.attempts + 1
	local response
	response, why, code = send(call, endpoint, keys)
	if response then return conclude(call, response, keys) end
	local message = ("%s%s: %s"):format(call.what, place(call), why)
	local proxy = PASSES[code] and proxy_of(endpoint.url)
	if proxy then message = ("%s (%s)"):format(message, proxy) end
	return { message = message, code = code, retry = PASSES[code] and "transient" or nil }
end

-- The loop --------------------------------------------------------------------------------------

-- Seconds to wait before the next attempt.
local function pause(call, verdict)
	local most = math.min(CAP, BASE[verdict.retry] * 2 ^ call.retries)
	local own = math.random() * most
	local headers = verdict.response and verdict.response.headers or {}
	local milliseconds = tonumber(headers["x-amz-retry-after"])
	if milliseconds then return math.max(own, math.min(milliseconds / 1000, own + OVER)) end
	local seconds = tonumber(headers["retry-after"])
	return seconds and math.max(own, math.min(seconds, CAP)) or own
end

-- f's results, or those of a deadline that came first.
local function in_time(call, f, ...)
	return task.within(math.max(0, call.deadline - task.now()), f, ...)
end

-- Region and credentials, which do not depend on each other.
local function settle(call, supply)
	local both, why, code = in_time(call, task.all, function()
		if call.o.region then return region.check(call.o.region, "region") end
		return region.get()
	end, supply)
	if not both then return nil, call.what .. ": " .. why, code end
	call.region = both[1]
	return both
end

-- (waits) o: as in aws.request.  supply: function(stale) -> keys | false: not signed | nil, message,
-- code; stale are the keys that were refused as too old.
---@return any decoded, table|string response, Code?, table? response  the last, where it is a refusal
function exchange.run(o, supply)
	local wrong = arguments.problem(o)
	if wrong then error(wrong, 2) end
	local call = prepare(o)
	local both, why, code = settle(call, supply)
	if not both then return nil, why, code end
	local keys = both[2]
	while true do
		local verdict = attempt(call, keys)
		if verdict.response and verdict.decoded ~= nil then return verdict.decoded, verdict.response end
		local message = verdict.message
		if verdict.response then
			call.heard = message
		elseif verdict.code == "timeout" and call.heard then -- it may have had the rest of the time alone
			message = ("%s; before that: %s"):format(message, call.heard)
		end
		if call.stale then
			keys, why, code = in_time(call, supply, call.stale)
			call.stale = nil
			if keys == nil then return nil, call.what .. ": " .. why, code end
		end
		if not verdict.mended then
			local wait = verdict.retry and pause(call, verdict)
			if not wait or task.now() + wait >= call.deadline then return nil, message, verdict.code, verdict.response end
			call.retries = call.retries + 1
			if call.retries == ALOUD then log.info(verdict.message .. "; it is asked again") end
			task.sleep(wait)
		end
	end
end

return exchange
