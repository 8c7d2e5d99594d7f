-- container.lua - credentials of a container: the service beside it that ECS and EKS offer.
local fs = require "core.fs"
local http = require "core.http"
local keys = require "aws.keys"
local log = require "core.log"
local net = require "core.net"
local settings = require "aws.settings"

local container = {}

local ECS = "http://169.254.170.2"
local TIMEOUT, ATTEMPTS, LIMIT = 2, 3, 1 << 20
local SOURCE = "the container's service"
local SECRET = 12 -- letters of what is hidden, at least: "credentials" has eleven

-- Where keys may come from in clear text: this machine, ECS, EKS.
local ALLOWED = { "127.0.0.0/8", "::1/128", "169.254.170.2/32", "169.254.170.23/32", "fd00:ec2::23/128" }

local function bad(why, code)
	return nil, ("credentials from %s: %s"):format(SOURCE, why), code
end

-- Whether a URL may be asked -> true | nil, message, code
---@param url string
function container.allowed(url)
	local authority = url:match "^(https?://[^/?#]+)"
	local parsed = authority and net.url(authority)
	if not parsed then return bad("AWS_CONTAINER_CREDENTIALS_FULL_URI is not a URL", "usage") end
	if parsed.scheme == "https" or parsed.host == "localhost" then return true end
	for _, network in ipairs(ALLOWED) do
		if net.inside(parsed.host, network) then return true end
	end
	return bad(("AWS_CONTAINER_CREDENTIALS_FULL_URI: https is needed to ask %s"):format(parsed.host), "usage")
end

-- Who knows the end of such a path, an id that nobody guesses or a query, gets the keys as well.
local function hide(path)
	local last = path:match "[^/?]*$"
	if #last >= SECRET then log.secret(last) end
end

local function place()
	local relative = settings.variable "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"
	if relative then
		if relative:sub(1, 1) ~= "/" then return bad("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI: a path expected", "usage") end
		hide(relative)
		return ECS .. relative
	end
	local full = settings.variable "AWS_CONTAINER_CREDENTIALS_FULL_URI"
	if not full then return false end
	hide(full:match "^%a+://[^/?]*(.*)" or "")
	local fine, why, code = container.allowed(full)
	if not fine then return nil, why, code end
	return full
end

-- What to show; the file is read each time, for somebody renews it -> text | false: nothing | nil, message, code
local function authorization()
	local path = settings.variable "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"
	local text = settings.variable "AWS_CONTAINER_AUTHORIZATION_TOKEN"
	if path then
		local why, code
		text, why, code = fs.read(path, 1 << 16)
		if not text then return bad(why, code) end
		text = text:gsub("\r?\n$", "")
	end
	if not text then return false end
	log.secret(text)
	if text:find "[\r\n]" then return bad("the authorization token is more than one line", "usage") end
	return text
end

local function ask(request)
	local response, why, code
	for _ = 1, ATTEMPTS do
		response, why, code = http.request(request)
		if response and response.status ~= 429 and response.status < 500 then break end
	end
	return response, why, code
end

-- (waits) -> keys | false: this is no such container | nil, message, code
---@return Keys|false|nil, string?, Code?
function container.get()
	local url, why, code = place()
	if not url then return url, why, code end
	local token
	token, why, code = authorization()
	if token == nil then return nil, why, code end
	local response
	response, why, code = ask {
		url = url, headers = { authorization = token or nil }, timeout = TIMEOUT, connect_timeout = TIMEOUT, limit = LIMIT,
	}
	if not response then return bad(why, code) end
	if response.status == 200 then return keys.decode(SOURCE, response.body) end
	local _, said = keys.decode(SOURCE, response.body)
	return nil, ("%s (status %d)"):format(said, response.status), "auth"
end

return container
