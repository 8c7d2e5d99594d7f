-- instance.lua - credentials of this machine's role, from its metadata.
local keys = require "aws.keys"
local metadata = require "aws.metadata"
local settings = require "aws.settings"

local instance = {}

local PATH = "/latest/meta-data/iam/security-credentials/"

-- The role's name; knowing it saves a step.
local function role_name()
	local name, why, code = settings.text "AWS_EC2_INSTANCE_PROFILE_NAME"
	if name or code then return name, why, code end
	local text
	text, why, code = metadata.get(PATH, { fresh = true })
	if not text then
		if code == "missing" then why = why .. "; no instance profile is attached to this machine" end
		return nil, why, code
	end
	name = text:match "^%s*([%w+=,.@_-]+)"
	if not name then return nil, ("metadata %s: no role is named there"):format(PATH), "parse" end
	return name
end

-- (waits) -> keys | nil, message, code.  Keys that have ended are better than none: the service that
-- renews them may be down, and AWS may still take them; they are marked `stable`.
---@return Keys|nil, string?, Code?
function instance.get()
	local name, why, code = role_name()
	local text
	if name then text, why, code = metadata.get(PATH .. name, { fresh = true }) end
	if not text then return nil, ("credentials from the instance role: %s"):format(why), code end
	local found
	found, why, code = keys.decode(("the instance role %s"):format(name), text)
	if found then found.stable = true end
	return found, why, code
end

return instance
