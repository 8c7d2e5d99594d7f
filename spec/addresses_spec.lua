-- Addresses are compared as parsed and printed in one way, whoever wrote them: the provider, the
-- policy, etcd.  A machine is at each of its addresses.
local config = require "config"
local facts = require "facts"
local inventory = require "inventory"
local net = require "core.net"

local function policy(etcd)
	local set = { name = nil, token = "t", scheme = "https", peer_scheme = "http", client_port = 23790, peer_port = 23800,
		address = "private_v4", tls = {}, extra = {} }
	for key, value in pairs(etcd or {}) do set[key] = value end
	return { etcd = set }
end

local function derived(etcd, ...)
	local list = { ... }
	local inv, why = inventory { self = list[1].id, instances = list }
	if not inv then return nil, why end
	local p = policy(etcd)
	local ok, problem = config.derive(p, inv)
	return ok and inv, problem, p
end

describe("an address", function()
	local spellings = {
		{ "private_v6", { private_v6 = "FD00:0:0:0:0:0:0:0A" }, "http://[fd00::a]:23800", "https://[fd00::a]:23790" },
		{ "private_v6", { private_v6 = "fd00::192.0.2.1" }, "http://[fd00::c000:201]:23800", "https://[fd00::c000:201]:23790" },
		{ "private_v4", { private_v4 = "::ffff:10.0.0.1" }, "http://10.0.0.1:23800", "https://10.0.0.1:23790" },
		{ "hostname", { hostname = "Node-1.Example" }, "http://node-1.example:23800", "https://node-1.example:23790" },
		{ "fd00::/8", { private_v4 = "10.0.0.1", public_v6 = "2001:DB8::1", private_v6 = "FD00::1" },
			"http://[fd00::1]:23800", "https://[fd00::1]:23790" },
		{ "2001:db8::/32", { private_v4 = "10.0.0.1", public_v6 = "2001:DB8::1", private_v6 = "FD00::1" },
			"http://[2001:db8::1]:23800", "https://[2001:db8::1]:23790" },
		{ function(i) return i.addresses.public_v4 end, { private_v4 = "10.0.0.1", public_v4 = "192.0.2.7" },
			"http://192.0.2.7:23800", "https://192.0.2.7:23790" },
	}
	for _, case in ipairs(spellings) do
		it("is printed as " .. case[3], function()
			local inv, why, p = derived({ address = case[1] }, { id = "a", addresses = case[2] })
			assert.truthy(inv, why)
			assert.same({ case[3], case[4] }, { inv.instances[1].peer_url, inv.instances[1].client_url })
			local me = assert(config.me(p, inv))
			assert.same({ { case[3] }, { case[4] } }, { me.peer_urls, me.client_urls })
		end)
	end

	it("of two machines is one address, however they are written", function()
		local _, why = derived({ address = "private_v6" }, { id = "a", addresses = { private_v6 = "fd00::1" } },
			{ id = "b", addresses = { private_v6 = "FD00:0::0:1" } })
		assert.equal("instances a and b have one address, fd00::1", why)
		_, why = derived({ address = "hostname" }, { id = "a", addresses = { hostname = "n" } }, { id = "b", addresses = { hostname = "N" } })
		assert.equal("instances a and b have one address, n", why)
	end)

	it("that is no host name is refused where the provider tells it", function()
		for _, name in ipairs { "a b", "a/b", "a:1", "u@a", "", "127.1" } do
			local inv, why = inventory { self = "a", instances = { { id = "a", addresses = { hostname = name } } } }
			assert.is_nil(inv, name)
			assert.truthy(why:find("addresses.hostname is not an address", 1, true), why)
		end
	end)
end)

describe("a machine with several addresses", function()
	local inv = assert(derived({ address = "private_v6" },
		{ id = "a", addresses = { private_v4 = "10.0.0.1", private_v6 = "fd00::1" } },
		{ id = "b", addresses = { private_v4 = "10.0.0.2", private_v6 = "fd00::2", public_v6 = "2001:DB8::2", hostname = "B.example" } }))
	inv.complete, inv.gone, inv.read, inv.same_since = true, "dead", 100, 0

	local function member(url, name)
		return { id = "7", name = name or "", peer_urls = { assert(net.url(url)).url }, client_urls = {}, learner = false, started = false }
	end

	for _, url in ipairs { "http://10.0.0.2:2380", "http://[FD00:0:0:0:0:0:0:2]:99", "https://[2001:db8::2]:2380", "http://b.EXAMPLE:2380" } do
		it("is where its member is, at " .. url, function()
			local m = member(url)
			facts.match(inv, { members = { m } })
			assert.equal("b", m.instance)
			assert.is_nil(facts.dead(m, inv))
			assert.is_nil(facts.dead(member(url, "renamed"), inv))
		end)
	end

	it("is not where another is", function()
		local m = member "http://10.0.0.3:2380"
		facts.match(inv, { members = { m } })
		assert.is_nil(m.instance)
		assert.equal("absence", facts.dead(m, inv))
	end)
end)
