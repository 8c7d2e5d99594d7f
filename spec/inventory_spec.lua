-- Lists of machines: what is taken, what is refused and why.
local inventory = require "inventory"

describe("inventory", function()
	local function instance(t)
		return inventory { self = "a", instances = { { id = "a", address = "127.0.0.2" }, t } }
	end

	it("sorts by id and fills in what is absent", function()
		local inv = assert(inventory { self = "b", instances = { { address = "127.0.0.3", id = "b" }, { address = "127.0.0.2" } } })
		assert.same({ "127.0.0.2", "b" }, { inv.instances[1].id, inv.instances[2].id })
		assert.same({
			id = "127.0.0.2", name = "127.0.0.2", addresses = { private_v4 = "127.0.0.2" }, zone = "", region = "",
			launched = 0, since = 0, tags = {}, state = "live",
		}, inv.instances[1])
		assert.same({ false, "unknown", 0 }, { inv.complete, inv.gone, inv.lag })
	end)

	it("puts an address where its family belongs, canonical", function()
		assert.same({ private_v6 = "fd00::1" }, assert(instance { id = "b", address = "FD00:0::1" }).instances[2].addresses)
	end)

	local wrong = {
		{ { id = "b", state = "runing" }, "b: unknown state \"runing\"" },
		{ { id = "b", state = "lve" }, "did you mean live%?" },
		{ { id = "a" }, "two instances have the id \"a\"" },
		{ { id = "b", name = "a" }, "instances a and b have one name" },
		{ { id = "b", address = "127.0.0.2" }, "instances a and b have one address, 127.0.0.2" },
		{ { id = "b", addresses = { public_v4 = "127.0.0.2" } }, "one address" },
		{ { id = "b", address = "host.example" }, "not an IP address" },
		{ { id = "b", adress = "127.0.0.3" }, "b: unknown key \"adress\"; did you mean address" },
		{ { zone = "z" }, "has no id, no name and no address" },
		{ { id = "b", since = "yesterday" }, "since must be a Unix time" },
		{ { id = "b", addresses = { lan = "127.0.0.3" } }, "unknown key \"lan\"" },
		{ { id = 7 }, "id must be a string" },
		{ { id = "b\n" }, "control characters" }, { { id = "b", why = "a\nb" }, "b: why: a string of one line" },
	}
	for i, case in ipairs(wrong) do
		it(("is none with a wrong instance (%d)"):format(i), function()
			local inv, why, code = instance(case[1])
			assert.is_nil(inv)
			assert.equal("parse", code)
			assert.truthy(why:find(case[2]), why)
		end)
	end

	it("lets the dead share a name and an address with the living", function()
		assert(instance { id = "b", name = "a", address = "127.0.0.2", state = "dead" })
	end)

	it("does not take i-1 for i-12, nor 10.0.2.15 for 10.0.2.150", function()
		assert(inventory { self = "i-1", instances = {
			{ id = "i-1", address = "10.0.2.15" }, { id = "i-12", address = "10.0.2.150" },
		} })
	end)

	it("wants this machine in the list", function()
		local _, why = inventory { self = "z", instances = { { id = "a" } } }
		assert.equal("this machine, \"z\", is not in the list", why)
		_, why = inventory { instances = { { id = "a", address = "127.0.0.1" } } }
		assert.truthy(why:find("no instance has an address of this machine", 1, true), why)
	end)

	it("knows this machine by the one local address", function()
		local net = require "core.net"
		local real = net.interfaces
		net.interfaces = function() return { "127.0.0.1", "10.1.2.3", "10.1.2.4" } end
		local inv = inventory { instances = { { id = "a", address = "127.0.0.1" }, { id = "b", address = "10.1.2.3" } } }
		local _, why = inventory { instances = { { id = "a", address = "10.1.2.4" }, { id = "b", address = "10.1.2.3" } } }
		net.interfaces = real
		assert.equal("b", inv.self)
		assert.truthy(why:find("more than one instance", 1, true), why)
	end)

	for key, value in pairs { desired = 2.5, complete = "yes", gone = "maybe", lag = -1, slef = "a", forgotten = "b" } do
		it("refuses a wrong " .. key, function()
			local inv, why = inventory { self = "a", instances = { { id = "a" } }, [key] = value }
			assert.is_nil(inv)
			assert.truthy(why:find(key, 1, true), why)
		end)
	end

	describe("decode", function()
		local DEFAULTS = { complete = true, gone = "dead", lag = 3, self = "b" }

		it("lets the text win over the defaults", function()
			local inv = assert(inventory.decode([[{"self":"a","complete":false,"desired":null,
				"instances":[{"id":"a","addresses":{"private_v4":"127.0.0.2","hostname":null}},{"id":"b","zone":null}]}]], DEFAULTS))
			assert.same({ "a", false, "dead", 3 }, { inv.self, inv.complete, inv.gone, inv.lag })
			assert.is_nil(inv.desired)
			assert.same({ private_v4 = "127.0.0.2" }, inv.instances[1].addresses)
		end)

		for _, text in ipairs { "", "[", "7", "[]", "{}", '{"instances":7}', '{"instances":["a"]}',
			'{"instances":[{"id":"a"}', '{"instances":{"a":1}}', ("["):rep(10000) } do
			it("is none for " .. text:sub(1, 20), function()
				local inv, why, code = inventory.decode(text, DEFAULTS)
				assert.is_nil(inv)
				assert.equal("parse", code)
				assert.is_string(why)
			end)
		end
	end)
end)
