-- keys.lua - credentials as some source gave them, checked, and hidden from every log.
local clock = require "aws.clock"
local json = require "core.json"
local log = require "core.log"

local keys = {}

local TOKEN_MOST = 1 << 16 -- bytes
local SHOWN = 200 -- bytes of what a source says itself

-- What is wrong with one of them; it is not shown.
local function wrong(what, value, longest)
	if value == nil or value == json.null or value == "" then return what .. " is missing" end
	if type(value) ~= "string" or #value > longest or value:find "[^!-~]" then
		local blank = type(value) == "string" and value:find "%s" and ": there is a blank or the end of a line in it" or ""
		return ("%s is there but malformed%s"):format(what, blank)
	end
end

-- o: {access_key, secret_key, token, expires = ISO 8601 | nil}; source: for messages, such as "the environment"
---@return Keys|nil, string?, Code?
function keys.make(source, o)
	local token = o.token ~= json.null and o.token ~= "" and o.token or nil
	for _, secret in ipairs { o.secret_key, token } do
		if type(secret) == "string" then log.secret(secret) end
	end
	local problem = wrong("the access key", o.access_key, 128) or wrong("the secret key", o.secret_key, 256)
		or token and wrong("the token", token, TOKEN_MOST)
	if problem then return nil, ("credentials from %s: %s"):format(source, problem), "auth" end
	local expires = type(o.expires) == "string" and clock.parse(o.expires) or nil
	if o.expires ~= nil and o.expires ~= json.null and not expires then
		return nil, ("credentials from %s: their end is no time"):format(source), "parse"
	end
	return { access_key = o.access_key, secret_key = o.secret_key, token = token, expires = expires, source = source }
end

-- The JSON that a program, a container's service and the metadata give; nothing of it goes into a
-- message but its own word for a failure.
---@param source string
---@param text string
---@return Keys|nil, string?, Code?
function keys.decode(source, text)
	local t = json.decode(text)
	if type(t) ~= "table" then
		return nil, ("credentials from %s: the answer is no JSON object"):format(source), "parse"
	end
	local code = t.Code or t.code
	if type(code) == "string" and code ~= "Success" then
		local message = t.Message or t.message
		message = type(message) == "string" and message or "no reason given"
		return nil, ("credentials from %s: %s"):format(source, log.redact(code .. ": " .. message):sub(1, SHOWN)), "auth"
	end
	return keys.make(source, {
		access_key = t.AccessKeyId, secret_key = t.SecretAccessKey, token = t.Token or t.SessionToken, expires = t.Expiration,
	})
end

return keys
