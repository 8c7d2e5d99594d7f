-- DNS records of a cluster: which are wanted, whose those are that exist, what must change.
local records = require "records"

local NAME = "etcd.example.com"
local OWNER = "_etcd-bootstrap." .. NAME
local CLUSTER = "10276657743932975437" -- 8e9e05c52164694d

local function member(name, address, more)
	local m = { id = name .. "1", name = name, address = address, addresses = {}, client_urls = { "http://" .. address .. ":2379" } }
	for key, value in pairs(more or {}) do m[key] = value end
	return m
end

local function want(...)
	return {
		cluster_id = CLUSTER, name = "prod", members = { ... }, client_port = 2379, peer_port = 2380,
		client_scheme = "http", peer_scheme = "http",
	}
end

local function options(more)
	local o = { name = NAME, ttl = 60 }
	for key, value in pairs(more or {}) do o[key] = value end
	return o
end

-- "A etcd.example.com 60 10.0.0.1,10.0.0.2"
local function line(set)
	return ("%s %s %s %s"):format(set.type, set.name, set.ttl, table.concat(set.values, ","))
end

local function lines(sets)
	local list = {}
	for i, set in ipairs(sets) do list[i] = line(set) end
	return list
end

local function set(kind, name, values, more)
	local one = { type = kind, name = name, ttl = 60, values = values }
	for key, value in pairs(more or {}) do one[key] = value end
	return one
end

local A, B, C = member("a", "10.0.0.1"), member("b", "10.0.0.2"), member("c", "10.0.0.3")

describe("records.name", function()
	for text, name in pairs {
		["ETCD.Example.COM."] = "etcd.example.com", ["\\052.example.com."] = "*.example.com", ["a\\137b.c"] = "a_b.c", ["a"] = "a",
	} do
		it("compares " .. text .. " as " .. name, function() assert.equal(name, records.name(text)) end)
	end
end)

describe("records.wanted", function()
	local cases = {
		{ "addresses", {}, want(B, A), { "A etcd.example.com 60 10.0.0.1,10.0.0.2" } },
		{ "addresses of both families", { ttl = 5 }, want(A, member("b", "FD00:0::B", { client_urls = {} })),
			{ "A etcd.example.com 5 10.0.0.1", "AAAA etcd.example.com 5 fd00::b" } },
		{ "an address that two members share once", {}, want(A, member("b", "10.0.0.1")), { "A etcd.example.com 60 10.0.0.1" } },
		{ "a record a member", { members = true }, want(A, member("Node_2.internal", "fd00::b")), {
			"A a.etcd.example.com 60 10.0.0.1", "A etcd.example.com 60 10.0.0.1",
			"AAAA etcd.example.com 60 fd00::b", "AAAA node-2-internal.etcd.example.com 60 fd00::b" } },
		{ "labels of one's own", { members = function(m) return "N-" .. m.name end }, want(A),
			{ "A etcd.example.com 60 10.0.0.1", "A n-a.etcd.example.com 60 10.0.0.1" } },
		{ "services at the members' records", { members = true, srv = true }, want(A, B), {
			"A a.etcd.example.com 60 10.0.0.1", "A b.etcd.example.com 60 10.0.0.2", "A etcd.example.com 60 10.0.0.1,10.0.0.2",
			"SRV _etcd-client._tcp.etcd.example.com 60 0 0 2379 a.etcd.example.com.,0 0 2379 b.etcd.example.com.",
			"SRV _etcd-server._tcp.etcd.example.com 60 0 0 2380 a.etcd.example.com.,0 0 2380 b.etcd.example.com." } },
		{ "services at the machines' names", { srv = true }, want(member("a", "10.0.0.1", { addresses = { hostname = "IP-1.internal" } }),
			member("b", "10.0.0.2", { client_urls = { "http://b.example.net:2379" }, addresses = { hostname = "no" } })), {
			"A etcd.example.com 60 10.0.0.1,10.0.0.2",
			"SRV _etcd-client._tcp.etcd.example.com 60 0 0 2379 b.example.net.,0 0 2379 ip-1.internal.",
			"SRV _etcd-server._tcp.etcd.example.com 60 0 0 2380 b.example.net.,0 0 2380 ip-1.internal." } },
	}
	for _, case in ipairs(cases) do
		it("are " .. case[1], function()
			assert.same(case[4], lines(assert(records.wanted(options(case[2]), case[3]))))
		end)
	end

	it("say -ssl where a port speaks https", function()
		local w = want(A)
		w.peer_scheme = "https"
		assert.same({
			"A a.etcd.example.com 60 10.0.0.1", "A etcd.example.com 60 10.0.0.1",
			"SRV _etcd-client._tcp.etcd.example.com 60 0 0 2379 a.etcd.example.com.",
			"SRV _etcd-server-ssl._tcp.etcd.example.com 60 0 0 2380 a.etcd.example.com.",
		}, lines(assert(records.wanted(options { members = true, srv = true }, w))))
	end)

	local wrong = {
		{ "a member without an address", {}, want(member("a", "10.0.0.1", { address = false })), "the address of member a", "missing" },
		{ "SRV records without host names", { srv = true }, want(A), "member a has no host name, .* set members = true", "missing" },
		{ "two members of one label", { members = true }, want(member("n.1", "10.0.0.1"), member("n-1", "10.0.0.2")), "one record, n%-1", "conflict" },
		{ "a name of which nothing is left", { members = true }, want(member("__", "10.0.0.1")), "member __: ", "usage" },
		{ "a label that is none", { members = function() return "a b" end }, want(A), "member a: a b is no label", "usage" },
		{ "no label", { members = function() end }, want(A), "member a: nil is no label", "usage" },
	}
	for _, case in ipairs(wrong) do
		it("are an error for " .. case[1], function()
			local sets, why, code = records.wanted(options(case[2]), case[3])
			assert.same({ nil, case[5] }, { sets, code })
			assert.matches(case[4], why)
		end)
	end
end)

local function txt(cluster, ...)
	local values = { ('"etcd-bootstrap cluster=%s token=prod"'):format(cluster) }
	for _, kept in ipairs { ... } do values[#values + 1] = ('"%s"'):format(kept) end
	return set("TXT", OWNER, values)
end

local MINE = txt("8e9e05c52164694d", "A " .. NAME)
local OTHERS = txt("77", "A " .. NAME, "A x." .. NAME)

describe("records.compare", function()
	-- options, members, what is seen -> the changes in short
	local cases = {
		{ "writes what is not there, with who wrote it", {}, { A, B }, {},
			{ "UPSERT A etcd.example.com 60 10.0.0.1,10.0.0.2",
				'UPSERT TXT ' .. OWNER .. ' 60 "etcd-bootstrap cluster=8e9e05c52164694d token=prod","A etcd.example.com"' } },
		{ "changes nothing that is right, in any order and of any others", {}, { A, B },
			{ set("A", NAME, { "10.0.0.2", "10.0.0.1" }), MINE, set("MX", NAME, { "1 mail." }), set("A", "x.example.com", { "10.9.9.9" }) }, {} },
		{ "replaces a set of its own", {}, { A }, { set("A", NAME, { "10.0.0.1", "10.0.0.2" }), MINE },
			{ "UPSERT A etcd.example.com 60 10.0.0.1" } },
		{ "replaces one whose time to live is another", {}, { A }, { set("A", NAME, { "10.0.0.1" }, { ttl = 300 }), MINE },
			{ "UPSERT A etcd.example.com 60 10.0.0.1" } },
		{ "removes exactly what is its own and wanted no more", { members = true }, { A }, {
			set("A", NAME, { "10.0.0.1" }), set("A", "a." .. NAME, { "10.0.0.1" }), set("A", "b." .. NAME, { "10.0.0.2" }, { ttl = 7 }),
			set("A", "z." .. NAME, { "10.0.0.9" }), set("SRV", "_etcd-server._tcp." .. NAME, { "0 0 2380 b.etcd.example.com." }),
			txt("8e9e05c52164694d", "A " .. NAME, "A a." .. NAME, "A b." .. NAME, "A gone." .. NAME, "SRV _etcd-server._tcp." .. NAME) },
			{ "DELETE A b.etcd.example.com 7 10.0.0.2", "DELETE SRV _etcd-server._tcp.etcd.example.com 60 0 0 2380 b.etcd.example.com.",
				'UPSERT TXT ' .. OWNER .. ' 60 "etcd-bootstrap cluster=8e9e05c52164694d token=prod","A a.etcd.example.com","A etcd.example.com"' } },
		{ "takes over what it may", { adopt = true }, { A }, { set("A", NAME, { "10.0.0.1" }), set("AAAA", NAME, { "::1" }) },
			{ 'UPSERT TXT ' .. OWNER .. ' 60 "etcd-bootstrap cluster=8e9e05c52164694d token=prod","A etcd.example.com"' } },
		{ "takes over from another cluster all that it kept", { adopt = true }, { A },
			{ set("A", NAME, { "10.7.7.7" }), set("A", "x." .. NAME, { "10.7.7.7" }), OTHERS },
			{ "DELETE A x.etcd.example.com 60 10.7.7.7", "UPSERT A etcd.example.com 60 10.0.0.1",
				'UPSERT TXT ' .. OWNER .. ' 60 "etcd-bootstrap cluster=8e9e05c52164694d token=prod","A etcd.example.com"' } },
		{ "is at ease at the top of a zone", {}, { A }, { set("NS", NAME, { "ns." }), set("SOA", NAME, { "x" }), set("A", NAME, { "10.0.0.1" }), MINE }, {} },
	}
	for _, case in ipairs(cases) do
		it(case[1], function()
			local o, w = options(case[2]), want(table.unpack(case[3]))
			local plan = assert(records.compare(o, w, assert(records.wanted(o, w)), case[4]))
			local short = {}
			for i, change in ipairs(plan.changes) do short[i] = change.action .. " " .. line(change.set) end
			assert.same(case[5], short)
		end)
	end

	it("compares values as what they mean", function()
		local o, w = options { members = true, srv = true }, want(member("a", "fd00::a"))
		local wanted = assert(records.wanted(o, w))
		local seen = {
			set("AAAA", NAME, { "FD00:0:0::A" }), set("AAAA", "a." .. NAME, { "fd00:0:0:0:0:0:0:a" }),
			set("SRV", "_etcd-client._tcp." .. NAME, { "0 0 2379 A.etcd.example.com" }),
			set("SRV", "_etcd-server._tcp." .. NAME, { "0 0 2380 a.etcd.example.com." }),
		}
		local first = assert(records.compare(options { members = true, srv = true, adopt = true }, w, wanted, seen))
		assert.equal(1, #first.changes)
		table.insert(seen, first.changes[1].set)
		assert.same({}, assert(records.compare(o, w, wanted, seen)).changes)
	end)

	it("tells what is registered and what is wanted", function()
		local o, w = options { members = true }, want(A, C)
		local plan = assert(records.compare(o, w, assert(records.wanted(o, w)), {
			set("A", NAME, { "10.0.0.1", "10.0.0.2" }), set("A", "b." .. NAME, { "10.0.0.2" }),
			txt("8e9e05c52164694d", "A " .. NAME, "A b." .. NAME) }))
		assert.same({ "10.0.0.1", "10.0.0.2", "A b.etcd.example.com 10.0.0.2" }, plan.values)
		assert.same({ "10.0.0.1", "10.0.0.3", "A a.etcd.example.com 10.0.0.1", "A c.etcd.example.com 10.0.0.3" }, plan.wanted)
	end)

	local conflicts = {
		{ "a record that somebody wrote", {}, { set("A", NAME, { "10.0.0.1" }) }, "A record of etcd.example.com .*10.0.0.1.*adopt = true" },
		{ "one beside ours that somebody wrote", { members = true }, { set("A", NAME, { "10.0.0.1" }), set("A", "a." .. NAME, { "10.0.0.1" }), MINE },
			"A record of a.etcd.example.com" },
		{ "another cluster's", {}, { set("A", NAME, { "10.0.0.9" }), OTHERS }, "belong to cluster 77 .token prod.*8e9e05c52164694d.*adopt = true" },
		{ "another cluster's name, its records being gone", {}, { OTHERS }, "belong to cluster 77" },
		{ "a TXT record that is none of ours", { adopt = true }, { set("TXT", OWNER, { '"v=spf1 -all"' }) }, "TXT record _etcd%-bootstrap" },
		{ "an alias", { adopt = true }, { set("A", NAME, {}, { special = "an alias" }) }, "is an alias, which" },
		{ "an alias in the place of ours", {}, { set("A", NAME, {}, { special = "an alias" }), MINE }, "is an alias, which" },
		{ "a CNAME", { adopt = true }, { set("CNAME", NAME, { "lb.example.com" }) }, "CNAME for lb.example.com" },
		{ "a zone of its own", { adopt = true }, { set("NS", NAME, { "ns." }) }, "zone of its own" },
	}
	for _, case in ipairs(conflicts) do
		it("does not touch " .. case[1], function()
			local o, w = options(case[2]), want(A)
			local plan, why, code = records.compare(o, w, assert(records.wanted(o, w)), case[3])
			assert.same({ nil, "conflict" }, { plan, code })
			assert.matches(case[4], why)
		end)
	end

	it("leaves alone what was its own and is an alias by now", function()
		local o, w = options(), want(A)
		local plan = assert(records.compare(o, w, assert(records.wanted(o, w)), { set("A", NAME, { "10.0.0.1" }),
			set("A", "b." .. NAME, {}, { special = "an alias" }), txt("8e9e05c52164694d", "A " .. NAME, "A b." .. NAME) }))
		assert.same({ "TXT" }, { plan.changes[1].set.type })
		assert.is_nil(plan.changes[2])
	end)
end)
