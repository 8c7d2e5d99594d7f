-- The zone of Route 53: reading pages that are ordered in a way that is not quite told, and one batch
-- of what differs, against a zone in this process.
local scratch = {}

local route53, calls, zone

-- A request as aws.request takes it, answered from `zone`: {sets, page, order, refuse}
local function request(o)
	table.insert(calls, o.action)
	if o.action == "GetHostedZone" then return { GetHostedZoneResponse = { HostedZone = { Name = "Example.com." } } } end
	if o.action == "ChangeResourceRecordSets" then
		zone.body = o.body
		zone.writes = (zone.writes or 0) + 1
		if zone.refuse and zone.refuse(zone.writes) then
			return nil, "route53 ChangeResourceRecordSets: status 400: InvalidChangeBatch: it was another", "http"
		end
		return { ChangeResourceRecordSetsResponse = {} }
	end
	local sets, list, rest = zone.sets, {}, nil
	table.sort(sets, function(a, b) return zone.order(a.Name) .. " " .. a.Type < zone.order(b.Name) .. " " .. b.Type end)
	for _, set in ipairs(sets) do
		local there = zone.order(set.Name) .. " " .. set.Type >= zone.order(o.query.name) .. " " .. (o.query.type or "")
		if there and #list == zone.page then
			rest = rest or set
		elseif there then
			list[#list + 1] = set
		end
	end
	return { ListResourceRecordSetsResponse = {
		IsTruncated = tostring(rest ~= nil), NextRecordName = rest and rest.Name, NextRecordType = rest and rest.Type,
		ResourceRecordSets = { ResourceRecordSet = list },
	} }
end

local function reversed(between)
	return function(name)
		local labels = {}
		for label in name:lower():gmatch "[^.]+" do table.insert(labels, 1, label) end
		return table.concat(labels, between) .. between
	end
end

local function set(kind, name, ...)
	local list = {}
	for i, value in ipairs { ... } do list[i] = { Value = value } end
	return { Name = name, Type = kind, TTL = "60", ResourceRecords = { ResourceRecord = list } }
end

local function want(more)
	local w = { cluster_id = "255", name = "prod", client_port = 2379, peer_port = 2380, client_scheme = "http", peer_scheme = "http",
		deadline = 0, members = {
			{ id = "1", name = "a", address = "10.0.0.1", addresses = {}, client_urls = {} },
			{ id = "2", name = "b", address = "10.0.0.2", addresses = {}, client_urls = {} },
		} }
	for key, value in pairs(more or {}) do w[key] = value end
	return w
end

local function register(o, more)
	o.zone, o.name = "Z1", o.name or "etcd.example.com"
	calls = {}
	return route53(o)(want(more))
end

-- The actions of a body, "UPSERT A etcd.example.com. 60 10.0.0.1,10.0.0.2" each.
local function actions(body)
	local list = {}
	for change in body:gmatch "<Change>(.-)</Change>" do
		local values = {}
		for value in change:gmatch "<Value>(.-)</Value>" do values[#values + 1] = value end
		list[#list + 1] = ("%s %s %s %s %s"):format(change:match "<Action>(.-)</Action>", change:match "<Type>(.-)</Type>",
			change:match "<Name>(.-)</Name>", change:match "<TTL>(.-)</TTL>", table.concat(values, ","))
	end
	return list
end

describe("route53", function()
	setup(function()
		scratch.request, scratch.route53 = package.loaded["aws.request"], package.loaded["registrars.route53"]
		package.loaded["aws.request"], package.loaded["registrars.route53"] = request, nil
		route53 = require "registrars.route53"
	end)
	teardown(function()
		package.loaded["aws.request"], package.loaded["registrars.route53"] = scratch.request, scratch.route53
	end)

	local OWNER = set("TXT", "_etcd-bootstrap.etcd.example.com.", '"etcd-bootstrap cluster=ff token=prod"', '"A a.etcd.example.com"',
		'"A b.etcd.example.com"', '"A etcd.example.com"')
	local function right()
		return { set("SOA", "example.com.", "x"), set("A", "etcd.example.com.", "10.0.0.2", "10.0.0.1"), set("A", "A.etcd.Example.com.", "10.0.0.1"),
			set("A", "b.etcd.example.com.", "10.0.0.2"), OWNER }
	end

	for order, between in pairs { ["as text"] = ".", ["label by label"] = "\0" } do
		it("finds every record in a zone that is ordered " .. order .. ", whatever the page", function()
			local function label(member) return member.name == "b" and "a-b" or "a" end
			for page = 1, 12 do
				zone = { sets = right(), page = page, order = reversed(between) }
				zone.sets[4].Name = "a-b.etcd.example.com."
				zone.sets[5] = set("TXT", OWNER.Name, '"etcd-bootstrap cluster=ff token=prod"', '"A a.etcd.example.com"',
					'"A a-b.etcd.example.com"', '"A etcd.example.com"')
				for _, name in ipairs { "etcd-2.example.com.", "etcd.a.example.com.", "z.etcd.example.com.", "a.a.etcd.example.com.", "\\052.example.com." } do
					table.insert(zone.sets, set("A", name, "10.9.9.9"))
				end
				local done = assert(register { members = label })
				assert.same({ false, 4 }, { done.changed, #done.values }, "pages of " .. page)
				assert.is_nil(zone.body)
			end
		end)
	end

	it("asks a zone of thousands only for what it wants", function()
		zone = { sets = right(), page = 100, order = reversed "." }
		for i = 1, 2000 do table.insert(zone.sets, set("A", ("www%d.example.com."):format(i), "10.9.9.9")) end
		for i = 1, 2000 do table.insert(zone.sets, set("A", ("aaa%d.example.com."):format(i), "10.9.9.9")) end
		assert.is_false(assert(register { members = true }).changed)
		assert.same({ "ListResourceRecordSets" }, calls)
	end)

	it("gives up on a zone without order", function()
		zone = { sets = {}, page = 1, order = function() return "" end }
		for i = 1, 3 do zone.sets[i] = set("A", ("a%d.example.com."):format(i), "10.9.9.9") end
		local done, why, code = register {}
		assert.same({ nil, "parse" }, { done, code })
		assert.matches("route53 etcd.example.com in the zone Z1: .*no order", why)
	end)

	it("writes what differs in one batch, with what is deleted as it is", function()
		zone = { sets = { set("A", "Etcd.example.com.", "10.0.0.1"), set("AAAA", "etcd.example.com.", "fd00::1"),
			set("TXT", "_etcd-bootstrap.etcd.example.com.", '"etcd-bootstrap cluster=ff token=a"', '"A etcd.example.com"', '"AAAA etcd.example.com"') },
			page = 100, order = reversed "." }
		zone.sets[2].TTL = "7"
		local done = assert(register { ttl = 30 })
		assert.same({ true, { "10.0.0.1", "10.0.0.2" } }, { done.changed, done.values })
		assert.same({
			"DELETE AAAA etcd.example.com. 7 fd00::1", "UPSERT A etcd.example.com. 30 10.0.0.1,10.0.0.2",
			"UPSERT TXT _etcd-bootstrap.etcd.example.com. 30 &quot;etcd-bootstrap cluster=ff token=prod&quot;,&quot;A etcd.example.com&quot;",
		}, actions(zone.body))
	end)

	it("deletes the record of a member that is gone, of which only the owner's record knows", function()
		zone = { sets = { OWNER, set("A", "b.etcd.example.com.", "10.0.0.2"), set("A", "etcd.example.com.", "10.0.0.1") }, page = 1, order = reversed "." }
		local a = want().members[1]
		assert(register({ members = true }, { members = { a } }))
		assert.same({ "DELETE A b.etcd.example.com. 60 10.0.0.2", "UPSERT A a.etcd.example.com. 60 10.0.0.1" },
			{ table.unpack(actions(zone.body), 1, 2) })
	end)

	it("writes nothing when asked what would be", function()
		zone = { sets = {}, page = 100, order = reversed "." }
		local done = assert(register({}, { dry = true }))
		assert.same({ true, {}, { "10.0.0.1", "10.0.0.2" } }, { done.changed, done.values, done.wanted })
		assert.is_nil(zone.body)
	end)

	it("reads again when what it wanted to change was another by then, and not for ever", function()
		local owner = set("TXT", OWNER.Name, '"etcd-bootstrap cluster=ff token=prod"', '"A etcd.example.com"', '"AAAA etcd.example.com"')
		local function others_write(least)
			zone = { page = 100, order = reversed "." }
			function zone.refuse(n)
				zone.sets = { owner, set("AAAA", "etcd.example.com.", "fd00::" .. n) }
				return n < least
			end
			zone.refuse(0)
		end
		others_write(3)
		assert.is_true(assert(register {}).changed)
		assert.equal(3, zone.writes)
		others_write(99)
		local done, why, code = register {}
		assert.same({ nil, "http" }, { done, code })
		assert.matches("InvalidChangeBatch", why)
		assert.same({ "ListResourceRecordSets", "ChangeResourceRecordSets" }, { calls[1], calls[2] })
		assert.equal(6, #calls)
	end)

	it("writes once what is refused for good, and says why and in which zone", function()
		zone = { sets = {}, page = 100, order = reversed ".", refuse = function() return true end }
		local done, why, code = register {}
		assert.same({ nil, "usage", 1 }, { done, code, zone.writes })
		assert.matches("^route53 etcd.example.com in the zone Z1: route53 ChangeResourceRecordSets: .*InvalidChangeBatch: it was another$", why)
	end)

	it("takes what the service calls wrong for final, and nothing that may pass", function()
		local real = route53
		for code, refusal in pairs { usage = { 400, "InvalidInput" }, http = { 400, "RequestTimeout" }, throttled = { 400, "Throttling" } } do
			package.loaded["registrars.route53"] = nil
			package.loaded["aws.request"] = function()
				return nil, "no", code == "usage" and "http" or code, { status = refusal[1], error = { code = refusal[2] } }
			end
			route53 = require "registrars.route53"
			assert.equal(code, (select(3, register {})))
		end
		package.loaded["aws.request"], route53 = request, real
	end)

	it("sees that a name is one of several, or an alias", function()
		local alias = { Name = "etcd.example.com.", Type = "A", AliasTarget = { DNSName = "lb." } }
		local weighted = set("A", "etcd.example.com.", "10.9.9.9")
		weighted.SetIdentifier = "blue"
		for what, one in pairs { ["an alias"] = alias, ["set identifier blue"] = weighted } do
			zone = { sets = { one }, page = 100, order = reversed "." }
			local done, why, code = register { adopt = true }
			assert.same({ nil, "conflict" }, { done, code })
			assert.matches(what, why)
		end
	end)

	it("completes a bare label, and no other", function()
		zone = { sets = {}, page = 100, order = reversed "." }
		assert.equal("route53 etcd.example.com", assert(register { name = "etcd" }).what)
		assert.equal("GetHostedZone", calls[1])
		assert.equal("route53 etcd.prod.example.com", assert(register { name = "etcd.prod", relative = true }).what)
		assert.equal("route53 etcd.example.org", assert(register { name = "Etcd.example.org." }).what)
		assert.not_equal("GetHostedZone", calls[1])
	end)

	local wrong = {
		{ nil, "a table of options expected" }, { { name = "a" }, "zone and name" }, { { zone = "Z/1", name = "a" }, "zone: " }, { { zone = "Z1" }, "zone and name" },
		{ { zone = "Z1", name = "a b" }, "name: " }, { { zone = "Z1", name = "a", tll = 1 }, "unknown option tll; did you mean ttl%?" },
		{ { zone = "Z1", name = "a", ttl = 1.5 }, "ttl: " }, { { zone = "Z1", name = "a", srv = 1 }, "srv: true or false" },
		{ { zone = "Z1", name = "a", members = "x" }, "members: true, or" },
	}
	for i, case in ipairs(wrong) do
		it(("refuses wrong options (%d)"):format(i), function()
			assert.error_matches(function() route53(case[1]) end, "route53: " .. case[2])
		end)
	end
end)
