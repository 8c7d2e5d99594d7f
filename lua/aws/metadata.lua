-- metadata.lua - what this machine's own metadata service says: IMDSv2, falling back to the first
-- version as the SDKs do.  One token serves the whole process, whoever asks at the same time for the
-- same thing waits for one answer, and what was answered is remembered.  No proxy is ever asked.
local http = require "core.http"
local json = require "core.json"
local log = require "core.log"
local settings = require "aws.settings"
local task = require "task"

local metadata = {}

local HOSTS = { ipv4 = "http://169.254.169.254", ipv6 = "http://[fd00:ec2::254]" }
local TTL = "21600" -- seconds, the most that is given
local LIMIT = 1 << 20 -- bytes of an answer
local DOCUMENT = "/latest/dynamic/instance-identity/document"
local HOPS = "the answer may not travel further than the instance's hop limit allows, and a container "
	.. "is one hop away: raise it to 2 (aws ec2 modify-instance-metadata-options --http-put-response-hop-limit 2)"
local DISABLED = "it is disabled for this instance, or something in between refuses it: enable it "
	.. "(aws ec2 modify-instance-metadata-options --http-endpoint enabled)"
local WHERE = "only a machine on EC2 has this service, and only where it is switched on "
	.. "(AWS_EC2_METADATA_SERVICE_ENDPOINT names another)"

-- How this process asks: { text = token } | { first = true: by the first version, lost = its token's
-- answer never came }; nil: not decided.
local access
local known = {} -- path -> text

-- Settings ------------------------------------------------------------------------------------

local function host()
	local url, why, code = settings.text "AWS_EC2_METADATA_SERVICE_ENDPOINT"
	if code then return nil, why, code end
	if url then return (url:gsub("/+$", "")) end
	local mode
	mode, why, code = settings.text "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE"
	if code then return nil, why, code end
	url = HOSTS[(mode or "IPv4"):lower()]
	if not url then return nil, ("%s: IPv4 or IPv6 expected, not %q"):format(why, mode), "usage" end
	return url
end

local function options()
	if (settings.variable "AWS_EC2_METADATA_DISABLED" or ""):lower() == "true" then
		return nil, "switched off by AWS_EC2_METADATA_DISABLED", "denied"
	end
	local o = {}
	local why, code
	o.host, why, code = host()
	if not o.host then return nil, why, code end
	o.timeout, why, code = settings.number("AWS_METADATA_SERVICE_TIMEOUT", 1)
	if not o.timeout then return nil, why, code end
	o.attempts, why, code = settings.number("AWS_METADATA_SERVICE_NUM_ATTEMPTS", 1)
	if not o.attempts then return nil, why, code end
	o.strict, why, code = settings.flag "AWS_EC2_METADATA_V1_DISABLED"
	if code then return nil, why, code end
	return o
end

-- Exchanges -----------------------------------------------------------------------------------

local function busy(response)
	return response.status == 429 or response.status >= 500
end

-- One question, again where no answer came, or none that says anything.  unless: a failure that counts.
local function ask(o, request, unless)
	request.timeout, request.connect_timeout, request.limit = o.timeout, o.timeout, LIMIT
	local response, why, code
	for _ = 1, o.attempts do
		response, why, code = http.request(request)
		if response and not busy(response) or unless and unless(why) then break end
	end
	return response, why, code
end

-- It took the question and its answer did not come: that is how a hop limit shows itself.
local function lost(why)
	return why ~= nil and why:find("connected, but", 1, true) ~= nil
end

local function fall_back(o, why, never_came)
	if not o.strict then return { first = true, lost = never_came } end
	why = ("no token (%s), and AWS_EC2_METADATA_V1_DISABLED forbids to ask without one"):format(why)
	return nil, never_came and why .. "; " .. HOPS or why, never_came and "timeout" or "denied"
end

local function decide(o)
	local response, why, code = ask(o, {
		url = o.host .. "/latest/api/token", method = "PUT", body = "",
		headers = { ["x-aws-ec2-metadata-token-ttl-seconds"] = TTL },
	}, lost)
	if not response then
		if lost(why) then return fall_back(o, why, true) end
		return nil, why .. "; " .. WHERE, code
	end
	local status = response.status
	if status == 403 or status == 404 or status == 405 then
		return fall_back(o, "status " .. status, false)
	elseif status ~= 200 then
		return nil, ("a token was refused with status %d"):format(status), "http"
	elseif not response.body:find "^[%w+/=_-]+$" then
		return nil, "what came for a token is none", "parse"
	end
	log.secret(response.body)
	return { text = response.body }
end

local fetch = task.shared(function()
	local o, why, code = options()
	if not o then return nil, why, code end
	access, why, code = decide(o)
	return access, why, code
end)

-- That way to ask no longer works.
local function forget(held)
	if access == held then access = nil end
end

-- An answer -> text | nil, message, code
local function conclude(response)
	local status = response.status
	if status == 200 then return response.body end
	if status == 404 then return nil, "there is no such thing here", "missing" end
	if status == 403 then return nil, "status 403: " .. DISABLED, "denied" end
	return nil, ("status %d"):format(status), status == 429 and "throttled" or "http"
end

local function get(path)
	local o, why, code = options()
	if not o then return nil, why, code end
	local held, response
	for _ = 1, 2 do
		held, why, code = access, nil, nil
		if not held then held, why, code = fetch "token" end
		if not held then return nil, why, code end
		response, why, code = ask(o, { url = o.host .. path, headers = { ["x-aws-ec2-metadata-token"] = held.text } })
		if not response then return nil, why, code end
		if response.status ~= 401 then return conclude(response) end
		forget(held)
		if held.first then break end
	end
	return nil, held.lost and "a token is needed, and none came when one was asked for: " .. HOPS
		or "status 401: a token is needed, and the one given is not taken", "auth"
end

local fly = task.shared(function(path)
	local text, why, code = get(path)
	if code == "usage" then return nil, why, code end -- a setting, which names itself
	if not text then return nil, ("metadata %s: %s"):format(path, why), code end
	known[path] = text
	return text
end)

-- The public part -----------------------------------------------------------------------------

-- (waits) What stands at a path such as "/latest/meta-data/instance-id".  "missing": nothing does.
---@param path string
---@param o {fresh: boolean?}?  fresh: what was answered before may have changed
---@return string|nil, string?, Code?
function metadata.get(path, o)
	if known[path] and not (o and o.fresh) then return known[path] end
	return fly(path)
end

local FIELDS = {
	instance_id = "instanceId", region = "region", zone = "availabilityZone", account = "accountId",
	private_ip = "privateIp",
}

-- (waits) Who this machine is; private_ip is nil where it has no IPv4 address.
---@return {instance_id: string, region: string, zone: string, private_ip: string?, account: string}|nil, string?, Code?
function metadata.document()
	local text, why, code = metadata.get(DOCUMENT)
	if not text then return nil, why, code end
	local body = json.decode(text)
	local document = {}
	for name, field in pairs(FIELDS) do
		local value = type(body) == "table" and body[field]
		if type(value) == "string" then
			document[name] = value
		elseif name ~= "private_ip" then
			return nil, ("metadata %s: no %s in it"):format(DOCUMENT, field), "parse"
		end
	end
	return document
end

return metadata
