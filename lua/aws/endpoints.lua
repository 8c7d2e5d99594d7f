-- endpoints.lua - where a service of AWS answers, and for which region a request to it is signed.
local net = require "core.net"
local profiles = require "aws.profiles"
local settings = require "aws.settings"

local endpoints = {}

-- region: how its regions are named; dns and dual: what the names of hosts end in, dual for those that
-- have an IPv6 address too; global: where what has no region of its own is signed.  The first is
-- taken for a region that fits none.
local PARTITIONS = {
	{ name = "aws", regions = { "us", "eu", "ap", "sa", "ca", "me", "af", "il", "mx" }, dns = "amazonaws.com",
		dual = "api.aws", global = "us-east-1" },
	{ name = "aws-cn", regions = { "cn" }, dns = "amazonaws.com.cn", dual = "api.amazonwebservices.com.cn",
		global = "cn-northwest-1" },
	{ name = "aws-us-gov", regions = { "us-gov" }, dns = "amazonaws.com", dual = "api.aws", global = "us-gov-west-1" },
	{ name = "aws-eusc", regions = { "eusc-de" }, dns = "amazonaws.eu", dual = "api.amazonwebservices.eu",
		global = "eusc-de-east-1" },
	{ name = "aws-iso", regions = { "us-iso" }, dns = "c2s.ic.gov", dual = "api.aws.ic.gov", global = "us-iso-east-1" },
	{ name = "aws-iso-b", regions = { "us-isob" }, dns = "sc2s.sgov.gov", dual = "api.aws.scloud",
		global = "us-isob-east-1" },
	{ name = "aws-iso-e", regions = { "eu-isoe" }, dns = "cloud.adc-e.uk", dual = "api.cloud-aws.adc-e.uk",
		global = "eu-isoe-west-1" },
	{ name = "aws-iso-f", regions = { "us-isof" }, dns = "csp.hci.ic.gov", dual = "api.aws.hci.ic.gov",
		global = "us-isof-south-1" },
}

-- variable and key: what the service is called in AWS_ENDPOINT_URL_... and in a profile's services.
local SERVICES = {
	ec2 = { variable = "EC2", key = "ec2" },
	autoscaling = { variable = "AUTO_SCALING", key = "auto_scaling" },
	elasticloadbalancing = { variable = "ELASTIC_LOAD_BALANCING_V2", key = "elastic_load_balancing_v2" },
	sts = { variable = "STS", key = "sts" },
	route53 = { variable = "ROUTE_53", key = "route_53", global = true },
	s3 = { variable = "S3", key = "s3" },
}

-- Pure ----------------------------------------------------------------------------------------

---@param region string
---@return {name: string, dns: string, dual: string, global: string}
function endpoints.partition(region)
	for _, partition in ipairs(PARTITIONS) do
		for _, prefix in ipairs(partition.regions) do
			if region:find("^" .. prefix:gsub("%-", "%%-") .. "%-[%w_]+%-%d+$") then return partition end
		end
	end
	return PARTITIONS[1]
end

-- Route 53 has one name for a partition.
local function global_host(partition, fips, dualstack)
	local name = fips and "route53-fips" or "route53"
	if partition.name == "aws-us-gov" then
		name = "route53.us-gov"
	elseif dualstack and not (fips and partition.name ~= "aws") and not partition.name:find "^aws%-iso" then
		name = name .. ".global"
	end
	return ("%s.%s"):format(name, dualstack and partition.dual or partition.dns)
end

local function regional_host(service, region, partition, fips, dualstack)
	local suffix = dualstack and partition.dual or partition.dns
	if service == "s3" then -- its names with IPv6 are older than the suffix
		local name = fips and "s3-fips" or "s3"
		return ("%s%s.%s.%s"):format(name, dualstack and ".dualstack" or "", region, partition.dns)
	end
	-- There the plain name is the one with FIPS.
	local plain = partition.name == "aws-us-gov" and not dualstack
	return ("%s%s.%s.%s"):format(service, fips and not plain and "-fips" or "", region, suffix)
end

-- o: {service, region, fips, dualstack, url = an endpoint that was configured, where = by what}
---@return {url: string, service: string, signing_region: string, custom: boolean}|nil, string?, Code?
function endpoints.resolve(o)
	local partition = endpoints.partition(o.region)
	local global = SERVICES[o.service].global
	local found = { service = o.service, signing_region = global and partition.global or o.region, custom = o.url ~= nil }
	if not o.url then
		if o.service == "s3" and o.fips and partition.name == "aws-cn" then
			return nil, "AWS_USE_FIPS_ENDPOINT: S3 has no such endpoint in China", "usage"
		end
		local make = global and global_host(partition, o.fips, o.dualstack)
			or regional_host(o.service, o.region, partition, o.fips, o.dualstack)
		found.url = "https://" .. make
		return found
	end
	local authority = o.url:match "^(https?://[^/?#]+)[^?#]*$"
	if not authority or not net.url(authority) then
		return nil, ("%s: http://HOST or https://HOST expected, not %q"):format(o.where, o.url), "usage"
	elseif o.fips or o.dualstack then
		return nil, ("%s and %s are both set, and one rules out the other"):format(o.where,
			o.fips and "AWS_USE_FIPS_ENDPOINT" or "AWS_USE_DUALSTACK_ENDPOINT"), "usage"
	end
	found.url = o.url:gsub("/+$", "")
	return found
end

-- A bucket's own host where its name may be one, else its path: a certificate for *.s3 does not cover a
-- name with dots, and a server somewhere else has one name only.
---@param endpoint {url: string, custom: boolean}
---@param bucket string
---@return string url  of the bucket, no slash at the end
function endpoints.bucket(endpoint, bucket)
	local scheme, rest = endpoint.url:match "^(https?://)(.*)$"
	if not endpoint.custom and #bucket >= 3 and #bucket <= 63 and bucket:find "^[a-z0-9][a-z0-9-]*[a-z0-9]$" then
		return scheme .. bucket .. "." .. rest
	end
	return endpoint.url .. "/" .. bucket
end

-- By the settings -----------------------------------------------------------------------------

-- The endpoint that somebody configured for a service -> url, where | nil | nil, message, code
local function configured(service)
	local ignore, why, code = settings.flag "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"
	if code then return nil, why, code end
	if ignore then return nil end
	local names = SERVICES[service]
	for _, variable in ipairs { "AWS_ENDPOINT_URL_" .. names.variable, "AWS_ENDPOINT_URL" } do
		local url = settings.variable(variable)
		if url then return url, variable end
	end
	local profile, all
	profile, all, code = profiles.current()
	if not profile then return nil, all, code end
	local section = all.services[profile.services]
	if profile.services and not section then
		return nil, ("services of the profile %q: there is no section [services %s]")
			:format((profiles.name()), profile.services), "usage"
	end
	local own = section and section[names.key]
	local url = type(own) == "table" and own.endpoint_url
	if url then return url, ("endpoint_url of %s in [services %s]"):format(names.key, profile.services) end
	return settings.text "AWS_ENDPOINT_URL"
end

-- Where a service answers.
---@param service "ec2"|"autoscaling"|"elasticloadbalancing"|"sts"|"route53"|"s3"
---@param region string
---@return {url: string, service: string, signing_region: string, custom: boolean}|nil, string?, Code?
function endpoints.find(service, region)
	local o = { service = service, region = region }
	local why, code
	o.fips, why, code = settings.flag "AWS_USE_FIPS_ENDPOINT"
	if code then return nil, why, code end
	o.dualstack, why, code = settings.flag "AWS_USE_DUALSTACK_ENDPOINT"
	if code then return nil, why, code end
	o.url, o.where, code = configured(service)
	if code then return nil, o.where, code end
	return endpoints.resolve(o)
end

---@param service string
---@return boolean
function endpoints.knows(service)
	return SERVICES[service] ~= nil
end

-- The services that can be asked.
---@return string[]
function endpoints.services()
	local names = {}
	for name in pairs(SERVICES) do names[#names + 1] = name end
	table.sort(names)
	return names
end

return endpoints
