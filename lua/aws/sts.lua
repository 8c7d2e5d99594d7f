-- sts.lua - credentials of a role from the Security Token Service of the region.
local exchange = require "aws.exchange"
local fs = require "core.fs"
local keys = require "aws.keys"
local log = require "core.log"

local sts = {}

local TOKEN_MOST = 1 << 16 -- bytes

local CREDENTIALS = { AccessKeyId = true, SecretAccessKey = true, SessionToken = true, Expiration = true }

-- o: {role, session, duration, external_id, source = for messages}
local function params_of(o)
	return {
		RoleArn = o.role, RoleSessionName = o.session or "etcd-bootstrap", DurationSeconds = o.duration,
		ExternalId = o.external_id,
	}
end

local function ask(action, o, params, supply)
	local decoded, why, code = exchange.run({
		service = "sts", action = action, params = params,
		shape = { [action .. "Response"] = { [action .. "Result"] = { Credentials = CREDENTIALS } } },
	}, supply)
	if not decoded then return nil, ("credentials from %s: %s"):format(o.source, why), code end
	local result = decoded[action .. "Response"][action .. "Result"]
	local given = result and result.Credentials or {}
	return keys.make(o.source, {
		access_key = given.AccessKeyId, secret_key = given.SecretAccessKey, token = given.SessionToken,
		expires = given.Expiration,
	})
end

-- (waits) A role for other credentials.
---@param o {role: string, session: string?, duration: string?, external_id: string?, source: string}
---@param from Keys
---@return Keys|nil, string?, Code?
function sts.assume(o, from)
	return ask("AssumeRole", o, params_of(o), function() return from end)
end

local function token_of(o)
	local text, why, code = fs.read(o.file, TOKEN_MOST)
	text = text and text:gsub("%s+$", "")
	if text and text ~= "" then
		log.secret(text)
		return text
	end
	return nil, ("credentials from %s: %s"):format(o.source, why or o.file .. " is empty"), code or "auth"
end

-- (waits) A role for the token in a file, which somebody renews: it is read each time, and once more
-- where the token was too old.  The request itself is not signed.
---@param o {role: string, file: string, session: string?, source: string}
---@return Keys|nil, string?, Code?
function sts.web_identity(o)
	local function unsigned() return false end
	local params, found = params_of(o), nil
	local token, why, code = token_of(o)
	while token and token ~= params.WebIdentityToken do
		params.WebIdentityToken = token
		found, why, code = ask("AssumeRoleWithWebIdentity", o, params, unsigned)
		if found or code ~= "auth" then break end
		token = token_of(o)
	end
	return found, why, code
end

return sts
