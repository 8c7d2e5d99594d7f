-- groups.lua - Auto Scaling's word on a group: who belongs to it, how far each machine has come, and
-- how many are wanted.
local pages = require "aws.pages"
local request = require "aws.request"

local groups = {}

local GROUPS = { DescribeAutoScalingGroupsResponse = { DescribeAutoScalingGroupsResult = {
	NextToken = true,
	AutoScalingGroups = { member = { {
		AutoScalingGroupName = true, DesiredCapacity = true, DesiredCapacityType = true,
		Instances = { member = { { InstanceId = true, LifecycleState = true, WeightedCapacity = true } } },
	} } },
} } }

local OWN = { DescribeAutoScalingInstancesResponse = { DescribeAutoScalingInstancesResult = {
	AutoScalingInstances = { member = { { InstanceId = true, AutoScalingGroupName = true } } },
} } }

-- States -----------------------------------------------------------------------------------------

-- The word before the colon decides, as in "Pending:Wait".  Warmed machines are of the group's pool,
-- not of the group.
local LIFECYCLE = {
	Pending = "booting", InService = "live",
	Terminating = "leaving", Terminated = "leaving", Detaching = "leaving", Detached = "leaving", Warmed = "leaving",
}

-- What a machine is, EC2 saying `state` and its group `lifecycle`, nil where the group does not have
-- it.  While EC2 says that a machine runs, no word of the group makes it dead, and a word never
-- heard of, or one like Standby, neither live.
---@param state string
---@param lifecycle string?
---@return string
function groups.state(state, lifecycle)
	if state ~= "booting" and state ~= "live" then return state end
	if not lifecycle then return "leaving" end
	local said = LIFECYCLE[lifecycle:match "^%a+"] or "unknown"
	return said == "live" and state or said
end

-- Calls ------------------------------------------------------------------------------------------

local function members(set)
	return set and set.member or {}
end

-- How many machines are wanted; nil where the group counts something else, as one whose types of
-- instances have weights does.
local function desired(group)
	local units = group.DesiredCapacityType
	if units and units ~= "" and units ~= "units" then return nil end
	for _, instance in ipairs(members(group.Instances)) do
		if instance.WeightedCapacity and instance.WeightedCapacity ~= "" then return nil end
	end
	return math.tointeger(tonumber(group.DesiredCapacity))
end

---@param group table  as Auto Scaling tells of it
---@return {desired: integer?, lifecycle: table<string, string>}
function groups.of(group)
	local lifecycle = {}
	for _, instance in ipairs(members(group.Instances)) do
		if instance.InstanceId then lifecycle[instance.InstanceId] = instance.LifecycleState or "" end
	end
	return { desired = desired(group), lifecycle = lifecycle }
end

-- (waits) A group by its name.
---@param o {name: string, region: string, deadline: number?}
---@return {desired: integer?, lifecycle: table<string, string>}|nil, string?, Code?
function groups.read(o)
	local all, why, code = pages.read("autoscaling:DescribeAutoScalingGroups in " .. o.region, function(token)
		local answer, problem, kind = request {
			service = "autoscaling", region = o.region, action = "DescribeAutoScalingGroups", shape = GROUPS,
			params = { AutoScalingGroupNames = { o.name }, NextToken = token }, deadline = o.deadline,
		}
		if not answer then return nil, problem, kind end
		local result = answer.DescribeAutoScalingGroupsResponse.DescribeAutoScalingGroupsResult or {}
		return members(result.AutoScalingGroups), result.NextToken
	end)
	for _, group in ipairs(all or {}) do
		if group.AutoScalingGroupName == o.name then return groups.of(group) end
	end
	if not all then return nil, why, code end
	return nil, ("there is no Auto Scaling group %q in %s"):format(o.name, o.region), "missing"
end

-- (waits) The name of the group that a machine belongs to.
---@param o {id: string, region: string, deadline: number?}
---@return string|nil, string?, Code?
function groups.own(o)
	local answer, why, code = request {
		service = "autoscaling", region = o.region, action = "DescribeAutoScalingInstances", shape = OWN,
		params = { InstanceIds = { o.id } }, deadline = o.deadline,
	}
	if not answer then return nil, why, code end
	local result = answer.DescribeAutoScalingInstancesResponse.DescribeAutoScalingInstancesResult or {}
	for _, instance in ipairs(members(result.AutoScalingInstances)) do
		if instance.InstanceId == o.id and (instance.AutoScalingGroupName or "") ~= "" then
			return instance.AutoScalingGroupName
		end
	end
	return nil, ("this machine, %s, is in no Auto Scaling group in %s; name one, or select by tags"):format(o.id,
		o.region), "missing"
end

return groups
