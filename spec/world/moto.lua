-- moto.lua - what a test puts into moto's AWS, by plain requests to moto itself, past the proxy: a
-- network, groups, instances, roles.  Answers are read by patterns: nothing of lua/aws has a part in
-- what it is tested with.

local http = require "core.http"
local json = require "core.json"

local moto = { region = "eu-west-1", account = "123456789012" }
local Moto = {}
Moto.__index = Moto

local VERSION = {
	autoscaling = "2011-01-01", cloudformation = "2010-05-15", ec2 = "2016-11-15",
	elasticloadbalancing = "2015-12-01", iam = "2010-05-08", sts = "2011-06-15",
}

local function escape(text)
	return (tostring(text):gsub("[^%w._~-]", function(byte)
		return ("%%%02X"):format(byte:byte())
	end))
end

local function form(params)
	local pairs_ = {}
	for key, value in pairs(params) do
		pairs_[#pairs_ + 1] = escape(key) .. "=" .. escape(value)
	end
	table.sort(pairs_)
	return table.concat(pairs_, "&")
end

-- Every value of an element, in order.
local function values(text, element)
	local found = {}
	for value in text:gmatch("<" .. element .. ">([^<]*)</" .. element .. ">") do
		found[#found + 1] = value
	end
	return found
end

moto.values = values

--- moto's server at a base URL.
function moto.new(base)
	return setmetatable({ base = base, region = moto.region, checking = false }, Moto)
end

-- moto finds the service by the scope.  The signature is none, so checking rests meanwhile.
local function ask(self, service, method, path, body, type)
	local response = assert(http.request { url = self.base .. path, method = method, body = body, timeout = 60,
		headers = { ["Content-Type"] = type, Authorization = ("AWS4-HMAC-SHA256 Credential=AKIDSEED/20260101/"
			.. "%s/%s/aws4_request, SignedHeaders=host, Signature=0"):format(self.region, service) } })
	if response.status > 299 then
		error(("moto: %s %s %s: %d %s"):format(service, method, path, response.status, response.body), 3)
	end
	return response.body
end

local function check(self, on)
	ask(self, "ec2", "POST", "/moto-api/reset-auth", on and "0" or "inf", "text/plain")
end

--- An instance with tags in another region's default network.
function Moto:elsewhere(region, tags)
	local there = setmetatable({ region = region, subnet = false }, { __index = self })
	return Moto.instance(there, { tags = tags })
end

--- Any request of a service with paths -> the answer's body.
function Moto:rest(service, method, path, body, type)
	if self.checking then
		check(self, false)
	end
	local answer = ask(self, service, method, path, body, type or "application/xml")
	if self.checking then
		check(self, true)
	end
	return answer
end

--- Any action of a service with actions -> its XML.
function Moto:call(service, action, params)
	params = params or {}
	params.Action, params.Version = action, VERSION[service]
	return self:rest(service, "POST", "/", form(params), "application/x-www-form-urlencoded")
end

function Moto:reset()
	self:auth(false)
	self:rest("ec2", "POST", "/moto-api/reset")
end

--- Whether signatures and IAM policies are checked from now on.
function Moto:auth(on)
	self.checking = on
	check(self, on)
end

--- The world's own /24 as a subnet of its /16.
function Moto:network(net)
	self.vpc = values(self:call("ec2", "CreateVpc", { CidrBlock = net:match "^%d+%.%d+" .. ".0.0/16" }), "vpcId")[1]
	self.subnet = values(self:call("ec2", "CreateSubnet", { VpcId = self.vpc, CidrBlock = net .. ".0/24",
		AvailabilityZone = moto.region .. "a" }), "subnetId")[1]
end

local function tagged(params, tags)
	local n = 0
	for key, value in pairs(tags or {}) do
		n = n + 1
		params["TagSpecification.1.ResourceType"] = "instance"
		params["TagSpecification.1.Tag." .. n .. ".Key"] = key
		params["TagSpecification.1.Tag." .. n .. ".Value"] = value
	end
	return params
end

local function described(text)
	return { id = values(text, "instanceId")[1], address = values(text, "privateIpAddress")[1] }
end

--- An instance {id, address}.  o: address, tags, group (attached to that one), params (of RunInstances).
function Moto:instance(o)
	o = o or {}
	local params = tagged({ ImageId = "ami-12c6146b", MinCount = 1, MaxCount = 1,
		SubnetId = self.subnet or nil, InstanceType = "t3.micro", PrivateIpAddress = o.address }, o.tags)
	for key, value in pairs(o.params or {}) do
		params[key] = value or nil
	end
	local one = described(self:call("ec2", "RunInstances", params))
	if o.group then
		self:call("autoscaling", "AttachInstances",
			{ AutoScalingGroupName = o.group, ["InstanceIds.member.1"] = one.id })
		one.group = o.group
	end
	return one
end

--- The instances {id, address} of a group, sorted by address.
function Moto:members(group)
	local list = {}
	local text = self:call("autoscaling", "DescribeAutoScalingGroups", { ["AutoScalingGroupNames.member.1"] = group })
	for _, id in ipairs(values(text, "InstanceId")) do
		local one = described(self:call("ec2", "DescribeInstances", { ["InstanceId.1"] = id }))
		one.group = group
		list[#list + 1] = one
	end
	table.sort(list, function(a, b)
		return tonumber(a.address:match "%d+$") < tonumber(b.address:match "%d+$")
	end)
	return list
end

--- An Auto Scaling group -> its instances.  o: desired, tags, addresses (one each, else as moto likes).
function Moto:group(name, o)
	local params = { LaunchTemplateName = name, ["LaunchTemplateData.ImageId"] = "ami-12c6146b",
		["LaunchTemplateData.InstanceType"] = "t3.micro" }
	self:call("ec2", "CreateLaunchTemplate", params)
	self:call("autoscaling", "CreateAutoScalingGroup", { AutoScalingGroupName = name, MinSize = 0, MaxSize = 200,
		DesiredCapacity = o.addresses and 0 or o.desired, VPCZoneIdentifier = self.subnet,
		["LaunchTemplate.LaunchTemplateName"] = name, ["LaunchTemplate.Version"] = "$Latest" })
	for _, address in ipairs(o.addresses or {}) do
		self:instance { address = address, tags = o.tags, group = name }
	end
	return self:members(name)
end

--- EC2's items of a group's instances by id, terminated ones as well, for an answer() of a test's own.
function Moto:items(group)
	local text = self:call("ec2", "DescribeInstances",
		{ ["Filter.1.Name"] = "tag:aws:autoscaling:groupName", ["Filter.1.Value.1"] = group })
	local items = {}
	for _, id in ipairs(values(text, "instanceId")) do
		items[id] = self:call("ec2", "DescribeInstances", { ["InstanceId.1"] = id }):match "<instancesSet>(.*)</instancesSet>"
	end
	return items
end

--- An answer of DescribeInstances that lists these items.
function moto.answer(items, token)
	local all = {}
	for i, item in ipairs(items) do
		all[i] = ("<item><reservationId>r-%d</reservationId><instancesSet>%s</instancesSet></item>"):format(i, item)
	end
	return ("<DescribeInstancesResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\"><requestId>1</requestId>"
		.. "<reservationSet>%s</reservationSet>%s</DescribeInstancesResponse>"):format(table.concat(all),
		token and "<nextToken>" .. token .. "</nextToken>" or "")
end

--- Terminated, by a person or by EC2; a group of moto's replaces it at once -> the replacement or nil.
--- o.by_group: by the group, which takes the tags away as well.
function Moto:terminate(one, o)
	local before = {}
	for _, other in ipairs(one.group and self:members(one.group) or {}) do
		before[other.id] = true
	end
	if o and o.by_group then
		self:call("autoscaling", "TerminateInstanceInAutoScalingGroup",
			{ InstanceId = one.id, ShouldDecrementDesiredCapacity = "false" })
	else
		self:call("ec2", "TerminateInstances", { ["InstanceId.1"] = one.id })
	end
	for _, other in ipairs(one.group and self:members(one.group) or {}) do
		if not before[other.id] then
			return other
		end
	end
end

--- A role with that policy document, JSON or a table -> keys of it: name, access_key, secret_key, token.
function Moto:role(name, document)
	local everyone = { Version = "2012-10-17", Statement = { { Effect = "Allow", Action = "sts:AssumeRole",
		Principal = { AWS = "*" } } } }
	local role = self:call("iam", "CreateRole", { RoleName = name, AssumeRolePolicyDocument = json.encode(everyone) })
	self:call("iam", "PutRolePolicy", { RoleName = name, PolicyName = name,
		PolicyDocument = type(document) == "table" and json.encode(document) or document })
	local text = self:call("sts", "AssumeRole", { RoleArn = values(role, "Arn")[1], RoleSessionName = name })
	return { name = name, access_key = values(text, "AccessKeyId")[1],
		secret_key = values(text, "SecretAccessKey")[1], token = values(text, "SessionToken")[1] }
end

--- A stack of CloudFormation's -> its outputs.
function Moto:stack(name, template, parameters)
	local params, n = { StackName = name, TemplateBody = template, ["Capabilities.member.1"] = "CAPABILITY_IAM" }, 0
	for key, value in pairs(parameters) do
		n = n + 1
		params["Parameters.member." .. n .. ".ParameterKey"] = key
		params["Parameters.member." .. n .. ".ParameterValue"] = value
	end
	self:call("cloudformation", "CreateStack", params)
	local text, outputs = self:call("cloudformation", "DescribeStacks", { StackName = name }), {}
	local status = values(text, "StackStatus")[1]
	if status ~= "CREATE_COMPLETE" then
		error("moto: the stack is " .. tostring(status), 2)
	end
	for i, key in ipairs(values(text, "OutputKey")) do
		outputs[key] = values(text, "OutputValue")[i]
	end
	return outputs
end

return moto
