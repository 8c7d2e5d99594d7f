-- settings.lua - what may be said in the environment, or in the profile under a name of its own: the
-- environment goes first.  An empty variable says nothing.
local profiles = require "aws.profiles"

local settings = {}

-- The key of a profile that stands for a variable.
local KEYS = {
	AWS_CA_BUNDLE = "ca_bundle",
	AWS_EC2_INSTANCE_PROFILE_NAME = "ec2_instance_profile_name",
	AWS_EC2_METADATA_SERVICE_ENDPOINT = "ec2_metadata_service_endpoint",
	AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE = "ec2_metadata_service_endpoint_mode",
	AWS_EC2_METADATA_V1_DISABLED = "ec2_metadata_v1_disabled",
	AWS_ENDPOINT_URL = "endpoint_url",
	AWS_IGNORE_CONFIGURED_ENDPOINT_URLS = "ignore_configured_endpoint_urls",
	AWS_METADATA_SERVICE_NUM_ATTEMPTS = "metadata_service_num_attempts",
	AWS_METADATA_SERVICE_TIMEOUT = "metadata_service_timeout",
	AWS_REGION = "region",
	AWS_USE_DUALSTACK_ENDPOINT = "use_dualstack_endpoint",
	AWS_USE_FIPS_ENDPOINT = "use_fips_endpoint",
}

-- A variable of the environment alone.
---@return string?
function settings.variable(name)
	local value = os.getenv(name)
	return value ~= "" and value or nil
end

-- A setting, and where it was found -> text, where | nil: not set | nil, message, code
---@param name string  of the variable
---@return string|nil, string?, Code?
function settings.text(name)
	local value = settings.variable(name)
	if value then return value, name end
	local profile, why, code = profiles.current()
	if not profile then return nil, why, code end
	value = profile[KEYS[name]]
	if type(value) == "string" and value ~= "" then
		return value, ("%s of the profile %q"):format(KEYS[name], (profiles.name()))
	end
end

-- A setting that is true or false -> boolean | nil, message, code
---@return boolean|nil, string?, Code?
function settings.flag(name)
	local value, where, code = settings.text(name)
	if code then return nil, where, code end
	local word = value and value:lower()
	if word and word ~= "true" and word ~= "false" then
		return nil, ("%s: true or false expected, not %q"):format(where, value), "usage"
	end
	return word == "true"
end

-- A setting that is a number above 0, or the default -> number | nil, message, code
---@return number|nil, string?, Code?
function settings.number(name, default)
	local value, where, code = settings.text(name)
	if code then return nil, where, code end
	local n = value and tonumber(value) or default
	if value and not tonumber(value) or n <= 0 or n ~= n or n > 1e6 then
		return nil, ("%s: a number above 0 expected, not %q"):format(where, value), "usage"
	end
	return n
end

return settings
