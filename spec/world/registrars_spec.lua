-- registrars_spec.lua - Route 53 and target groups, over real etcd and moto: what finish makes of them,
-- that a second finish changes nothing, and that others' records and targets stay.

local assert = require "luassert"
local json = require "core.json"
local cloud = require "spec.world.cloud"
local moto = require "spec.world.moto"

local NAME = "etcd.prod.example.com"

-- A zone of moto's -> its id
local function zone(c)
	local body = ('<CreateHostedZoneRequest xmlns="https://route53.amazonaws.com/doc/2013-04-01/"><Name>example.com</Name>'
		.. "<CallerReference>%s</CallerReference></CreateHostedZoneRequest>"):format(c.world.net)
	local text = c.moto:rest("route53", "POST", "/2013-04-01/hostedzone", body)
	return moto.values(text, "Id")[1]:match "[^/]+$"
end

-- "A www.example.com 300 10.9.9.9" -> such a record, written by somebody else
local function seed(c, id, line)
	local kind, name, ttl, value = line:match "^(%S+) (%S+) (%S+) (.*)$"
	c.moto:rest("route53", "POST", "/2013-04-01/hostedzone/" .. id .. "/rrset/",
		('<ChangeResourceRecordSetsRequest xmlns="https://route53.amazonaws.com/doc/2013-04-01/"><ChangeBatch><Changes><Change>'
		.. "<Action>CREATE</Action><ResourceRecordSet><Name>%s</Name><Type>%s</Type><TTL>%s</TTL><ResourceRecords>"
		.. "<ResourceRecord><Value>%s</Value></ResourceRecord></ResourceRecords></ResourceRecordSet></Change></Changes>"
		.. "</ChangeBatch></ChangeResourceRecordSetsRequest>"):format(name, kind, ttl, value))
end

-- Every record of the zone but its own, as lines, TXT of ours left out.
local function zone_lines(c, id)
	local list = {}
	local text = c.moto:rest("route53", "GET", "/2013-04-01/hostedzone/" .. id .. "/rrset")
	for one in text:gmatch "<ResourceRecordSet>(.-)</ResourceRecordSet>" do
		local kind, name = moto.values(one, "Type")[1], moto.values(one, "Name")[1]
		if kind ~= "NS" and kind ~= "SOA" and not name:find("_etcd-bootstrap", 1, true) then
			for _, value in ipairs(moto.values(one, "Value")) do
				list[#list + 1] = ("%s %s %s %s"):format(kind, name:gsub("%.$", ""), moto.values(one, "TTL")[1], value)
			end
		end
	end
	table.sort(list)
	return list
end

-- A verb beside the run that keeps this machine's etcd.
local function beside(w, name, verb, register, ...)
	local run = w.machines[name].run
	local code, other = w:ends(name, { verb = verb, policy = { register = register }, ... })
	w.machines[name].run = run
	return code, other
end

local function finish(w, name, register, ...)
	local code, run = beside(w, name, "finish", register, ...)
	assert.equal(0, code)
	return run
end

-- Three machines of EC2 that are one cluster -> their ids
local function three(w, c)
	local group = c:group("etcd", { desired = 3 })
	w.policy.discover = nil
	c:machines(group)
	local ids = {}
	for i, one in ipairs(group) do ids[i] = one.id end
	w:founded(table.concat(ids, " "))
	c:forget()
	return ids, group
end

local function sorted(list)
	table.sort(list)
	return list
end

-- Calls that change something, of one service, since the log was forgotten.
local function changes(c, ...)
	local list, wanted = {}, {}
	for _, action in ipairs { ... } do wanted[action] = true end
	for _, one in ipairs(c:log { route = "api" }) do
		if wanted[one.action] then list[#list + 1] = ("%s %s"):format(one.action, one.status) end
	end
	return list
end

local function route53_changes(c) return changes(c, "ChangeResourceRecordSets") end

cloud.describe("route53", function(it)
	it("A7: has the healthy members, a second run changes nothing, foreign records stay", function(w, c)
		local ids, group = three(w, c)
		local id = zone(c)
		local foreign = { "A www.example.com 300 10.9.9.9", "TXT " .. NAME .. ' 300 "x"', "A zz." .. NAME .. " 300 10.9.9.8" }
		for _, line in ipairs(foreign) do seed(c, id, line) end
		local REGISTER = ("{ route53 { zone = '/hostedzone/%s', name = 'ETCD.prod.example.com.', srv = true, members = true } }"):format(id)
		local function expected(...)
			local lines = { table.unpack(foreign) }
			for _, i in ipairs { ... } do
				local own = ids[i] .. "." .. NAME
				lines[#lines + 1] = ("A %s 60 %s"):format(NAME, group[i].address)
				lines[#lines + 1] = ("A %s 60 %s"):format(own, group[i].address)
				lines[#lines + 1] = ("SRV _etcd-client._tcp.%s 60 0 0 2379 %s."):format(NAME, own)
				lines[#lines + 1] = ("SRV _etcd-server._tcp.%s 60 0 0 2380 %s."):format(NAME, own)
			end
			return sorted(lines)
		end

		local code, run = beside(w, ids[1], "status", REGISTER, "--json")
		assert.equal(0, code)
		local told = json.decode(run:stdout()).registrations[1]
		assert.same({ true, {}, 12, "route53 " .. NAME }, { told.changed, told.values, #told.wanted, told.what })
		assert.same({}, route53_changes(c))

		finish(w, ids[1], REGISTER):says("route53 " .. NAME .. " is registered")
		assert.same(expected(1, 2, 3), zone_lines(c, id))
		assert.same({ "ChangeResourceRecordSets 200" }, route53_changes(c))
		c:forget()
		finish(w, ids[2], REGISTER):says("route53 " .. NAME .. " needs no change")
		assert.same({}, route53_changes(c))

		w:stop(ids[3])
		finish(w, ids[1], REGISTER)
		assert.same(expected(1, 2), zone_lines(c, id))
		w:boot(ids[3])
		w:converge(table.concat(ids, " "))
		finish(w, ids[3], REGISTER)
		assert.same(expected(1, 2, 3), zone_lines(c, id))
	end)

	it("completes a bare label, takes over only what it is told to, and waits its turn", function(w, c)
		local ids, group = three(w, c)
		local id = zone(c)
		seed(c, id, "A etcd.example.com 300 10.9.9.9")
		local function register(more) return ("{ route53 { zone = %q, name = 'etcd', ttl = 300%s } }"):format(id, more or "") end
		local run = finish(w, ids[1], register())
		run:says "A record of etcd.example.com that etcd-bootstrap did not write (10.9.9.9)"
		assert.same({ "A etcd.example.com 300 10.9.9.9" }, zone_lines(c, id))
		assert.same({}, route53_changes(c))

		for _, code in ipairs { "PriorRequestNotComplete", "Throttling" } do
			c:fault { action = "ChangeResourceRecordSets", times = 1, status = 400, body =
				("<ErrorResponse><Error><Type>Sender</Type><Code>%s</Code><Message>wait</Message></Error></ErrorResponse>"):format(code) }
		end
		finish(w, ids[1], register ", adopt = true")
		local lines = {}
		for i, one in ipairs(group) do lines[i] = "A etcd.example.com 300 " .. one.address end
		assert.same(sorted(lines), zone_lines(c, id))
		assert.same({ "ChangeResourceRecordSets 400", "ChangeResourceRecordSets 400", "ChangeResourceRecordSets 200" }, route53_changes(c))
	end)

	it("is a warning where AWS is silent or says no, and etcd's start is none of it", function(w, c)
		local ids = three(w, c)
		local REGISTER = "{ route53 { zone = 'ZNONE', name = 'etcd.example.com' } }"
		finish(w, ids[1], REGISTER):says "NoSuchHostedZone"
		c:fault { service = "route53", hang = true }
		local run = finish(w, ids[1], REGISTER, "--timeout", "1")
		run:says "etcd is well, so this is no failure"
		local code, status = beside(w, ids[1], "status", REGISTER, "--json")
		assert.equal(0, code)
		local told = json.decode(status:stdout()).registrations[1]
		assert.is_false(told.ok)
		assert.not_equal("", told.why)
	end)
end)

-- A target group -> its ARN
local function target_group(c, kind)
	local text = c.moto:call("elasticloadbalancing", "CreateTargetGroup", { Name = "etcd-" .. kind, Protocol = "TCP", Port = 2379,
		VpcId = c.moto.vpc, TargetType = kind })
	return moto.values(text, "TargetGroupArn")[1]
end

local function add_targets(c, arn, ...)
	for _, target in ipairs { ... } do
		local id, port = target:match "^(.*):(%d+)$"
		c.moto:call("elasticloadbalancing", "RegisterTargets", { TargetGroupArn = arn, ["Targets.member.1.Id"] = id,
			["Targets.member.1.Port"] = port })
	end
end

local function targets(c, arn)
	local list = {}
	local text = c.moto:call("elasticloadbalancing", "DescribeTargetHealth", { TargetGroupArn = arn })
	for one in text:gmatch "<Target>(.-)</Target>" do
		list[#list + 1] = moto.values(one, "Id")[1] .. ":" .. moto.values(one, "Port")[1]
	end
	return sorted(list)
end

local function group_changes(c) return changes(c, "RegisterTargets", "DeregisterTargets", "AddTags", "RemoveTags") end

cloud.describe("target_group", function(it)
	for kind, key in pairs { ip = "address", instance = "id" } do
		it("A8: has the members by " .. key .. ", only stale targets of its own leave", function(w, c)
			local ids, group = three(w, c)
			local arn = target_group(c, kind)
			local strangers = { c:instance()[key] .. ":2379", c:instance()[key] .. ":9100" }
			add_targets(c, arn, table.unpack(strangers))
			local REGISTER = ("{ target_group { name = 'etcd-%s' } }"):format(kind)
			local function expected(members)
				local list = { table.unpack(strangers) }
				for _, one in ipairs(members) do list[#list + 1] = one[key] .. ":2379" end
				return sorted(list)
			end

			finish(w, ids[1], REGISTER):says("target_group etcd-" .. kind .. ":2379 is registered")
			assert.same(expected(group), targets(c, arn))
			assert.same({ "AddTags 200", "RegisterTargets 200" }, group_changes(c))
			c:forget()
			finish(w, ids[2], REGISTER):says "needs no change"
			assert.same({}, group_changes(c))

			-- One is silent: the load balancer sees that by itself.
			w:kill(ids[3])
			finish(w, ids[1], REGISTER)
			assert.same({}, group_changes(c))

			-- It is replaced, and gone from every list.
			local new = c:terminate(group[3])
			c:machines { new }
			w:list({ ids[1], ids[2], new.id, desired = 3 })
			w:boot(new.id, { policy = { decide = "steady { evict_after = 0.1, evict_gone_after = 0.1 }" } })
			w:converge(table.concat({ ids[1], ids[2], new.id }, " "))
			c:forget()
			finish(w, new.id, REGISTER)
			assert.same(expected { group[1], group[2], new }, targets(c, arn))
			-- An instance that is terminated leaves by itself.
			local left = kind == "ip" and "DeregisterTargets 200" or nil
			assert.same({ "AddTags 200", "RegisterTargets 200", left or "RemoveTags 200", left and "RemoveTags 200" }, group_changes(c))
			c:forget()
			finish(w, ids[1], REGISTER)
			assert.same({}, group_changes(c))
		end)
	end

	it("does without tags where they are denied, and says what group is missing", function(w, c)
		local ids, group = three(w, c)
		local arn = target_group(c, "ip")
		add_targets(c, arn, w.net .. ".200:2379")
		for _, action in ipairs { "DescribeTags", "AddTags" } do
			c:fault { action = action, status = 403, body =
				"<ErrorResponse><Error><Code>AccessDenied</Code><Message>no</Message></Error></ErrorResponse>" }
		end
		finish(w, ids[1], "{ target_group { arn = '" .. arn .. "' } }")
		local list = { w.net .. ".200:2379" }
		for _, one in ipairs(group) do list[#list + 1] = one.address .. ":2379" end
		assert.same(sorted(list), targets(c, arn))
		finish(w, ids[1], "{ target_group { arn = '" .. arn .. "', adopt = true } }")
		assert.equal(3, #targets(c, arn))
		finish(w, ids[1], "{ target_group { name = 'none' } }"):says "TargetGroupNotFound"
	end)
end)
