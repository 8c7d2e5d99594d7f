-- target_group.lua - the healthy members as targets of an Elastic Load Balancing target group:
--
--	register = { target_group { name = "etcd-clients" } }
--
--	name, arn    of the group; its target type says whether addresses or instance ids are registered
--	port         the port of the targets; default etcd.client_port
--	region       default: this machine's own
--	outside_vpc  true: the addresses are not of the group's VPC (on premises, peered)
--	adopt        true: every target on this port that is no member is stale, whoever registered it
--
-- A target that is missing is registered, one that is ours and stale is deregistered, all others stay.
-- Which are ours is written in the group's tags, etcd-bootstrap/ID/PORT with the cluster's id as value,
-- for a machine that is gone from every list has left no other trace.  Where the credentials may not
-- read tags, ours are those alone that are on machines that the provider lists.
local arguments = require "aws.arguments"
local check = require "check"
local errors = require "aws.errors"
local etcd = require "core.etcd"
local log = require "core.log"
local net = require "core.net"
local request = require "aws.request"
local task = require "task"

local TAG = "etcd-bootstrap/"
local KINDS = { ip = true, instance = true }

-- What must change.  Pure -----------------------------------------------------------------------

local function tag_of(id, port)
	return ("%s%s/%d"):format(TAG, id, port)
end

-- The id as which a member is registered.
local function id_of(kind, member)
	if kind == "ip" then return member.address end
	return member.instance
end

-- Every id of a machine, by whichever a target may be of it.
local function listed_ids(instances)
	local ids = {}
	for _, instance in ipairs(instances) do
		ids[instance.id] = true
		for _, address in pairs(instance.addresses) do ids[address] = true end
	end
	return ids
end

-- The ids that should be targets, and those that may stay: a voter that was silent for one look is left
-- to the load balancer's own checks, unless its machine is dead -> wanted, staying | nil, message, code
local function members_of(kind, want)
	local wanted, staying = {}, {}
	for _, member in ipairs(want.members) do
		local id = id_of(kind, member)
		if not id then
			local what = kind == "ip" and "address" or "instance"
			return nil, ("the %s of member %s is not known"):format(what, member.name), "missing"
		end
		staying[id] = true
		if member.state ~= "leaving" and member.state ~= "dead" then table.insert(wanted, id) end
	end
	for _, member in ipairs(want.silent) do
		local id = id_of(kind, member)
		if id and member.state ~= "dead" then staying[id] = true end
	end
	table.sort(wanted)
	return wanted, staying
end

-- targets: {id, port, state}[]; tags: {key = value}, nil where they may not be read
-- -> {register, deregister, tag, untag (lists of ids), values, wanted} | nil, message, code
local function compare(o, want, targets, tags)
	local wanted, staying, code = members_of(o.kind, want)
	if not wanted then return nil, staying, code end
	local cluster, listed = etcd.hex(want.cluster_id), listed_ids(want.instances)
	local plan = { register = {}, deregister = {}, tag = {}, untag = {}, values = {}, wanted = {} }
	local function is_tagged(id) return tags ~= nil and tags[tag_of(id, o.port)] == cluster end
	local there, remaining = {}, {}
	for _, target in ipairs(targets) do
		local here = target.port == o.port and target.state ~= "draining"
		if here and (staying[target.id] or is_tagged(target.id) or listed[target.id] or o.adopt) then
			there[target.id] = true
			table.insert(plan.values, target.id)
			table.insert(staying[target.id] and plan.wanted or plan.deregister, target.id)
		end
	end
	for _, id in ipairs(wanted) do
		remaining[id] = true
		if not there[id] then
			table.insert(plan.register, id)
			table.insert(plan.wanted, id)
		end
		if tags and not is_tagged(id) then table.insert(plan.tag, id) end
	end
	for _, id in ipairs(plan.wanted) do remaining[id] = true end
	for key, value in pairs(tags or {}) do
		local id, port = key:match "^etcd%-bootstrap/(.+)/(%d+)$"
		local ours = id and value == cluster and tonumber(port) == o.port
		if ours and not remaining[id] then table.insert(plan.untag, id) end
	end
	for _, list in pairs(plan) do table.sort(list) end
	return plan
end

-- Requests --------------------------------------------------------------------------------------

local function ask(call, action, params, shape)
	local t, why, code, response = request {
		service = "elasticloadbalancing", action = action, params = params, region = call.o.region,
		deadline = call.deadline, shape = { [action .. "Response"] = { [action .. "Result"] = shape or {} } },
	}
	if not t then return nil, why, errors.lasting(code, response) end
	local result = t[action .. "Response"][action .. "Result"]
	if not result then return nil, ("%s: the answer has no result"):format(action), "parse" end
	return result
end

-- -> {arn, kind} | nil, message, code
local function find(call)
	local which = call.o.name and { Names = { call.o.name } } or { TargetGroupArns = { call.o.arn } }
	local t, why, code = ask(call, "DescribeTargetGroups", which,
		{ TargetGroups = { member = { { TargetGroupArn = true, TargetType = true } } } })
	if not t then return nil, why, code end
	local groups = t.TargetGroups and t.TargetGroups.member or {}
	local group = groups[1]
	if #groups ~= 1 or not group.TargetGroupArn then
		return nil, ("%d groups have that name"):format(#groups), "missing"
	end
	local kind = group.TargetType or "instance"
	if not KINDS[kind] then
		return nil, ("it takes targets of type %s: a group of type ip or instance is needed"):format(kind), "usage"
	end
	return { arn = group.TargetGroupArn, kind = kind }
end

local function targets_of(call, group)
	local t, why, code = ask(call, "DescribeTargetHealth", { TargetGroupArn = group.arn }, {
		TargetHealthDescriptions = { member = {
			{ Target = { Id = true, Port = true }, TargetHealth = { State = true } },
		} },
	})
	if not t then return nil, why, code end
	if not t.TargetHealthDescriptions then return nil, "the list of targets is missing in the answer", "parse" end
	local list = {}
	for i, one in ipairs(t.TargetHealthDescriptions.member) do
		local target = one.Target or {}
		if not target.Id then return nil, "a target in the answer has no id", "parse" end
		list[i] = {
			id = net.address(target.Id) or target.Id, port = math.tointeger(tonumber(target.Port)),
			state = one.TargetHealth and one.TargetHealth.State,
		}
	end
	return list
end

-- -> {key = value} | false: they may not be read | nil, message, code
local function tags_of(call, group)
	local t, why, code = ask(call, "DescribeTags", { ResourceArns = { group.arn } }, {
		TagDescriptions = { member = { { Tags = { member = { { Key = true, Value = true } } } } } },
	})
	if code == "denied" then
		log.debug(why)
		return false
	end
	if not t then return nil, why, code end
	local tags = {}
	for _, of in ipairs(t.TagDescriptions and t.TagDescriptions.member or {}) do
		for _, tag in ipairs(of.Tags and of.Tags.member or {}) do tags[tag.Key or ""] = tag.Value or "" end
	end
	return tags
end

-- Doing it --------------------------------------------------------------------------------------

local function targets_for(call, ids)
	local list, zone = {}, call.o.outside_vpc and call.o.kind == "ip" and "all" or nil
	for i, id in ipairs(ids) do list[i] = { Id = id, Port = call.o.port, AvailabilityZone = zone } end
	return list
end

-- A tag that may not be written is no reason to leave a member out.
local function mark(call, action, params)
	local done, why, code = ask(call, action, params)
	if code ~= "denied" then return done, why, code end
	log.debug(why)
	return true
end

-- In an order in which an end in between leaves no target of ours that is not known to be.
local function change(call, group, plan, want)
	local keys, tags, arn = {}, {}, group.arn
	for i, id in ipairs(plan.tag) do tags[i] = { Key = tag_of(id, call.o.port), Value = etcd.hex(want.cluster_id) } end
	for i, id in ipairs(plan.untag) do keys[i] = tag_of(id, call.o.port) end
	local steps = {
		{ plan.tag, mark, "AddTags", { ResourceArns = { arn }, Tags = tags } },
		{ plan.register, ask, "RegisterTargets", { TargetGroupArn = arn, Targets = targets_for(call, plan.register) } },
		{ plan.deregister, ask, "DeregisterTargets", { TargetGroupArn = arn, Targets = targets_for(call, plan.deregister) } },
		{ plan.untag, mark, "RemoveTags", { ResourceArns = { arn }, TagKeys = keys } },
	}
	for _, step in ipairs(steps) do
		if step[1][1] then
			local done, why, code = step[2](call, step[3], step[4])
			if not done then return nil, why, code end
		end
	end
	return true
end

local function settle(call, want)
	local group, why, code = find(call)
	if not group then return nil, why, code end
	call.o.kind = group.kind
	local seen
	seen, why, code = task.all(function() return targets_of(call, group) end, function() return tags_of(call, group) end)
	if not seen then return nil, why, code end
	local plan
	plan, why, code = compare(call.o, want, seen[1], seen[2] or nil)
	if not plan then return nil, why, code end
	local done = { what = call.what, values = plan.values, wanted = plan.wanted }
	done.changed = plan.register[1] ~= nil or plan.deregister[1] ~= nil
	if want.dry then return done end
	local fine
	fine, why, code = change(call, group, plan, want)
	if not fine then return nil, why, code end
	done.values = plan.wanted
	return done
end

-- The maker -------------------------------------------------------------------------------------

local OPTIONS = {
	name = check.text, arn = check.text, region = arguments.region, port = check.port, outside_vpc = check.boolean,
	adopt = check.boolean,
}

local function make(_, o)
	local wrong = check.options("target_group", o, OPTIONS)
	if not wrong and (o.name == nil) == (o.arn == nil) then wrong = "target_group: either name or arn is needed" end
	if wrong then error(wrong, 2) end
	return function(want)
		local mine = { name = o.name, arn = o.arn, port = o.port or want.client_port, region = o.region,
			outside_vpc = o.outside_vpc, adopt = o.adopt }
		local what = ("target_group %s:%d"):format(o.name or o.arn:match "targetgroup/([^/]+)" or o.arn, mine.port)
		local done, why, code = settle({ o = mine, what = what, deadline = want.deadline }, want)
		if done then return done end
		return nil, ("%s: %s"):format(what, why), code
	end
end

return setmetatable({ compare = compare }, { __call = make })
