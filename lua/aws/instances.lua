-- instances.lua - EC2's word on machines: DescribeInstances, and what its answer says of each.
local clock = require "aws.clock"
local pages = require "aws.pages"
local request = require "aws.request"

local instances = {}

local PAGE = 1000 -- machines, the most that EC2 takes

local SHAPE = { DescribeInstancesResponse = {
	nextToken = true,
	reservationSet = { item = { { instancesSet = { item = { {
		instanceId = true, instanceState = { name = true }, reason = true, launchTime = true,
		privateIpAddress = true, privateDnsName = true, ipAddress = true, ipv6Address = true,
		placement = { availabilityZone = true },
		networkInterfaceSet = { item = { {
			attachment = { deviceIndex = true }, privateIpAddress = true,
			ipv6AddressesSet = { item = { { ipv6Address = true, isPrimaryIpv6 = true } } },
		} } },
		tagSet = { item = { { key = true, value = true } } },
	} } } } } },
} }
instances.shape = SHAPE

-- Whatever else EC2 may say: of a machine that is stopped, or in a state that does not exist yet, only
-- this is known, that its disk may be there.
local STATES = { pending = "booting", running = "live", ["shutting-down"] = "leaving", terminated = "dead" }

-- What is asked ---------------------------------------------------------------------------------

-- In a filter's value * and ? stand for other text, and a tag may hold them.
local function literal(text)
	return (text:gsub("[*?\\]", "\\%0"))
end

-- Machines that have all of these tags.
---@param tags table<string, string>
---@return table[]
function instances.tagged(tags)
	local filters = {}
	for key, value in pairs(tags) do
		table.insert(filters, { Name = "tag:" .. key, Value = { literal(value) } })
	end
	table.sort(filters, function(a, b) return a.Name < b.Name end)
	return filters
end

-- Machines by id.  As a filter, since one id that EC2 has forgotten would fail the whole call.
---@param ids string[]
---@return table[]
function instances.by_id(ids)
	return { { Name = "instance-id", Value = ids } }
end

-- The instance id in a member's name: the name itself, or a part of it such as a host name's.
---@param name string
---@return string?
function instances.id_in(name)
	local found
	for id in name:gmatch "%f[%w]i%-%x+%f[^%w]" do
		if #id == 10 or #id == 19 then
			if found and found ~= id then return nil end
			found = id
		end
	end
	return found
end

-- What is answered ------------------------------------------------------------------------------

local function some(text)
	return text ~= "" and text or nil
end

local function items(set)
	return set and set.item or {}
end

-- The interface that a machine was launched with; later ones have addresses as well.
local function first_interface(machine)
	local all = items(machine.networkInterfaceSet)
	for _, interface in ipairs(all) do
		if interface.attachment and interface.attachment.deviceIndex == "0" then return interface end
	end
	return all[1] or {}
end

local function first_v6(interface)
	local all = items(interface.ipv6AddressesSet)
	for _, address in ipairs(all) do
		if address.isPrimaryIpv6 == "true" then return some(address.ipv6Address) end
	end
	return all[1] and some(all[1].ipv6Address)
end

local function addresses(machine)
	local interface = first_interface(machine)
	return {
		private_v4 = some(machine.privateIpAddress) or some(interface.privateIpAddress),
		private_v6 = some(machine.ipv6Address) or first_v6(interface),
		public_v4 = some(machine.ipAddress),
		hostname = some(machine.privateDnsName),
	}
end

-- "User initiated (2026-01-02 03:04:05 GMT)", moto says UTC; many reasons come without a time.
local function since(reason)
	local day, time, zone = (reason or ""):match "%((%d%d%d%d%-%d%d%-%d%d) (%d%d:%d%d:%d%d) (%u%u%u)%)"
	return (zone == "GMT" or zone == "UTC") and clock.parse(day .. "T" .. time .. "Z") or 0
end

-- A machine of the answer -> as inventory {} takes it
---@param machine table
---@param region string
---@return table
function instances.of(machine, region)
	local tags = {}
	for _, tag in ipairs(items(machine.tagSet)) do
		tags[tag.key or ""] = tag.value or ""
	end
	return {
		id = machine.instanceId, name = machine.instanceId, addresses = addresses(machine),
		zone = machine.placement and machine.placement.availabilityZone, region = region,
		launched = clock.parse(machine.launchTime or "") or 0, since = since(machine.reason), tags = tags,
		state = STATES[machine.instanceState and machine.instanceState.name] or "unknown",
	}
end

-- An answer without the set, which EC2 gives even where it is empty, would make all be gone.
local function machines_of(answer, where)
	if not answer.reservationSet then
		return nil, ("ec2 DescribeInstances in %s: the answer has no set of machines"):format(where), "parse"
	end
	local list = {}
	for _, reservation in ipairs(items(answer.reservationSet)) do
		for _, machine in ipairs(items(reservation.instancesSet)) do
			if not some(machine.instanceId) then return nil, "EC2 lists an instance without an id", "parse" end
			table.insert(list, machine)
		end
	end
	return list, answer.nextToken
end

-- (waits) The machines that pass all filters, each once, in whatever state.
---@param o {filters: table[], region: string, deadline: number?}
---@return table[]|nil, string?, Code?
function instances.find(o)
	local all, why, code = pages.read("ec2:DescribeInstances in " .. o.region, function(token)
		local answer, problem, kind = request {
			service = "ec2", region = o.region, action = "DescribeInstances", shape = SHAPE, deadline = o.deadline,
			params = { Filter = o.filters, MaxResults = PAGE, NextToken = token },
		}
		if not answer then return nil, problem, kind end
		return machines_of(answer.DescribeInstancesResponse, o.region)
	end)
	if not all then return nil, why, code end
	local list, seen = {}, {}
	for _, machine in ipairs(all) do
		if not seen[machine.instanceId] then table.insert(list, instances.of(machine, o.region)) end
		seen[machine.instanceId] = true
	end
	return list
end

return instances
