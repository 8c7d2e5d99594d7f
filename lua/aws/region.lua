-- region.lua - the region that this machine works in.
local metadata = require "aws.metadata"
local profiles = require "aws.profiles"
local settings = require "aws.settings"

local region = {}

-- It becomes part of a host's name.
---@return string|nil, string?, Code?
function region.check(name, where)
	if name:find "^%w[%w-]*$" then return name end
	return nil, ("%s: %q is not the name of a region"):format(where, name), "usage"
end

-- (waits) AWS_REGION, AWS_DEFAULT_REGION, the profile, this machine's metadata.
---@return string|nil, string?, Code?
function region.get()
	for _, variable in ipairs { "AWS_REGION", "AWS_DEFAULT_REGION" } do
		local name = settings.variable(variable)
		if name then return region.check(name, variable) end
	end
	local name, where, code = settings.text "AWS_REGION"
	if name then return region.check(name, where) end
	if code then return nil, where, code end
	local document
	document, where, code = metadata.document()
	if document then return region.check(document.region, "metadata") end
	return nil, ("the AWS region is not known: AWS_REGION and AWS_DEFAULT_REGION are not set, "
		.. "the profile %q has no region; %s"):format(profiles.name(), where), code
end

return region
