-- chain.lua - credentials as a profile says: its own keys, a program, or a role for the credentials of
-- another profile, which may need a role itself.
local container = require "aws.container"
local instance = require "aws.instance"
local keys = require "aws.keys"
local process = require "aws.process"
local profiles = require "aws.profiles"
local settings = require "aws.settings"
local sts = require "aws.sts"

local chain = {}

local function bad(name, fmt, ...)
	return nil, ("credentials from the profile %q: " .. fmt):format(name, ...), "auth"
end

-- Keys of the environment -> keys | false: none | nil, message, code
---@return Keys|false|nil, string?, Code?
function chain.environment()
	local access, secret = settings.variable "AWS_ACCESS_KEY_ID", settings.variable "AWS_SECRET_ACCESS_KEY"
	if not access and not secret then return false end
	if not access or not secret then
		local given = access and "AWS_ACCESS_KEY_ID" or "AWS_SECRET_ACCESS_KEY"
		local other = access and "AWS_SECRET_ACCESS_KEY" or "AWS_ACCESS_KEY_ID"
		return nil, ("credentials from the environment: %s is set and %s is not"):format(given, other), "auth"
	end
	return keys.make("the environment", { access_key = access, secret_key = secret,
		token = settings.variable "AWS_SESSION_TOKEN" or settings.variable "AWS_SECURITY_TOKEN" })
end

local function own_keys(profile, name)
	local access, secret = profile.aws_access_key_id, profile.aws_secret_access_key
	if not access and not secret then return false end
	if not access or not secret then return bad(name, "one of aws_access_key_id and aws_secret_access_key is missing") end
	return keys.make(("the profile %q"):format(name), { access_key = access, secret_key = secret,
		token = profile.aws_session_token })
end

-- What credential_source may say.
local SOURCES = {
	Environment = chain.environment,
	EcsContainer = container.get,
	Ec2InstanceMetadata = instance.get,
}

local resolve

-- The credentials that a role is asked for with.
local function source_of(all, name, seen)
	local profile = all.profiles[name]
	local from, kind = profile.source_profile, profile.credential_source
	if from and kind then return bad(name, "source_profile and credential_source are both set") end
	if not from and not kind then return bad(name, "role_arn needs source_profile or credential_source") end
	if from == name then
		local found, why, code = own_keys(profile, name)
		if found == false then return bad(name, "it is its own source_profile and has no keys") end
		return found, why, code
	elseif from then
		if not all.profiles[from] then return bad(name, "source_profile: there is no profile %q", from) end
		local found, why, code = resolve(all, from, seen)
		if found == false then return bad(name, "source_profile: the profile %q has no credentials", from) end
		return found, why, code
	end
	if not SOURCES[kind] then
		return bad(name, "credential_source: Environment, EcsContainer or Ec2InstanceMetadata expected")
	end
	local found, why, code = SOURCES[kind]()
	if found == false then return bad(name, "credential_source: nothing from %s", kind) end
	return found, why, code
end

local function role(all, name, seen)
	local profile = all.profiles[name]
	local o = {
		role = profile.role_arn, session = profile.role_session_name, duration = profile.duration_seconds,
		external_id = profile.external_id, source = ("the role %s of the profile %q"):format(profile.role_arn, name),
	}
	if profile.mfa_serial then return bad(name, "mfa_serial: there is nobody here to type a code") end
	local from, why, code = source_of(all, name, seen)
	if not from then return nil, why, code end
	return sts.assume(o, from)
end

-- -> keys | false: the profile says nothing of credentials | nil, message, code
function resolve(all, name, seen)
	local profile = all.profiles[name]
	if seen[name] then return bad(name, "source_profile leads back to it") end
	seen[name] = true
	if profile.role_arn and profile.web_identity_token_file then
		return sts.web_identity { role = profile.role_arn, file = profile.web_identity_token_file,
			session = profile.role_session_name, source = ("the web identity of the profile %q"):format(name) }
	elseif profile.role_arn then
		return role(all, name, seen)
	end
	local found, why, code = own_keys(profile, name)
	if found ~= false then return found, why, code end
	if profile.credential_process then
		return process.get(profile.credential_process, ("credential_process of the profile %q"):format(name))
	elseif profile.sso_session or profile.sso_start_url then
		return bad(name, "SSO is not supported, for nobody is here to log in; use credential_process")
	end
	return false
end

-- (waits) Those of the profile that is meant.
---@return Keys|false|nil, string?, Code?
function chain.profile()
	local profile, all, code = profiles.current()
	if not profile then return nil, all, code end
	local name = profiles.name()
	if not all.profiles[name] then return false end
	return resolve(all, name, {})
end

return chain
