-- From what the gate allowed to the ETCD_* values, and how machines are named and reached.
local check = require "check"
local config = require "config"
local inventory = require "inventory"
local user = require "user"

-- A permit as the gate hands it out.
local function permit(allowed)
	return { take = function(_, action)
		if action ~= allowed.action then error("this permit is for " .. allowed.action) end
		return allowed
	end }
end

local function policy(etcd)
	local set = {
		data_dir = "/d", token = "t", scheme = "http", peer_scheme = "http", client_port = 2379,
		peer_port = 2380, address = "private_v4", tls = { verify = true }, extra = {},
	}
	for key, value in pairs(etcd or {}) do set[key] = value end
	return { etcd = set }
end

local function machines(o)
	local list = { { id = "i-b", name = "b", address = "10.0.0.2" }, { id = "i-a", name = "a", address = "10.0.0.1" } }
	for i, extra in ipairs(o or {}) do list[i + 2] = extra end
	return assert(inventory { self = "i-a", instances = list })
end

local function facts_of(p, inv)
	assert(config.derive(p, inv))
	return {
		me = assert(config.me(p, inv)), inventory = inv, clusters = {}, probes = {},
		data_dir = { state = "empty" },
	}
end

local function member(id, name, ip, t)
	local m = {
		id = id, name = name, peer_urls = { ("http://%s:2380"):format(ip) },
		client_urls = name ~= "" and { ("http://%s:2379"):format(ip) } or {}, learner = false, started = name ~= "",
	}
	for key, value in pairs(t or {}) do m[key] = value end
	return m
end

local function keys(made)
	local out = {}
	for i, pair in ipairs(made.pairs) do out[i] = pair[1] end
	return table.concat(out, " ")
end

local FOUNDING = {
	action = "new", cluster_id = "7", member_id = "8", token = "t-0123", learner = false,
	members = { { name = "b", peer_urls = { "http://10.0.0.2:2380" } }, { name = "a", peer_urls = { "http://10.0.0.1:2380" } } },
}

describe("config.me", function()
	it("takes name and address from the instance", function()
		assert.same({
			id = "i-a", name = "a", address = "10.0.0.1", token = "t", peer_urls = { "http://10.0.0.1:2380" },
			client_urls = { "http://10.0.0.1:2379" },
		}, config.me(policy(), machines()))
	end)

	it("asks the policy's functions", function()
		local me = assert(config.me(policy {
			name = function(i) return "n-" .. i.id end, token = function(i) return i.zone .. "t" end,
			address = function(i) return i.addresses.private_v4:gsub("^10", "11") end,
		}, machines()))
		assert.same({ "n-i-a", "t", "11.0.0.1" }, { me.name, me.token, me.address })
	end)

	local v6 = { id = "i-c", address = "fd00::3" }
	local picks = {
		{ "private_v6", { id = "i-a", addresses = { private_v4 = "10.0.0.1", private_v6 = "fd00::1" } }, "fd00::1" },
		{ "192.168.0.0/16", { id = "i-a", addresses = { private_v4 = "10.0.0.1", public_v4 = "192.168.3.4" } }, "192.168.3.4" },
		{ "fd00::/8", { id = "i-a", addresses = { private_v4 = "10.0.0.1", private_v6 = "fd00::9" } }, "fd00::9" },
		{ "172.16.0.0/12", { id = "i-a", addresses = { private_v4 = "10.0.0.1" } }, nil },
	}
	for _, case in ipairs(picks) do
		it("picks " .. tostring(case[3]) .. " for " .. case[1], function()
			local inv = assert(inventory { self = "i-a", instances = { case[2], v6 } })
			assert.equal(case[3], assert(config.me(policy { address = case[1] }, inv)).address)
		end)
	end

	it("brackets IPv6", function()
		local inv = assert(inventory { self = "i-c", instances = { v6 } })
		assert.same({ "http://[fd00::3]:2380" }, assert(config.me(policy { address = "private_v6" }, inv)).peer_urls)
	end)

	for _, name in ipairs { "a,b", "a=b", "a\nb", "" } do
		it("refuses the name " .. name:gsub("%c", "?"), function()
			local me, why, code = config.me(policy { name = function() return name end }, machines())
			assert.is_nil(me)
			assert.equal("parse", code)
			assert.truthy(why:find("cannot be a member's name", 1, true), why)
		end)
	end

	it("says which function failed", function()
		local me, why, code = config.me(policy { name = function() error "oh" end }, machines())
		assert.is_nil(me)
		assert.equal("usage", code)
		assert.truthy(why:find("etcd%.name %(.*config_spec%.lua:%d+%)"), why)
	end)
end)

describe("config.derive", function()
	it("writes name and URLs into each instance", function()
		local inv = machines()
		assert(config.derive(policy { scheme = "https", peer_port = 3380 }, inv))
		assert.same({ "b", "http://10.0.0.2:3380", "https://10.0.0.2:2379" },
			{ inv.instances[2].etcd_name, inv.instances[2].peer_url, inv.instances[2].client_url })
	end)

	it("leaves a machine without that address without URLs", function()
		local inv = machines { { id = "i-c", address = "fd00::3" } }
		assert(config.derive(policy(), inv))
		assert.is_nil(inv.instances[3].peer_url)
	end)

	it("refuses two living machines with one name or address, not a dead one", function()
		local _, why = config.derive(policy { name = function() return "x" end }, machines())
		assert.equal("instances i-a and i-b have one name, \"x\"", why)
		_, why = config.derive(policy { address = function() return "10.9.9.9" end }, machines())
		assert.equal("instances i-a and i-b have one address, http://10.9.9.9:2380", why)
		assert(config.derive(policy(), machines { { id = "i-z", name = "a", address = "10.0.0.1", state = "dead" } }))
	end)

	it("lets a dead machine be without a name, a live one not", function()
		local by_host = policy { name = function(instance) return instance.addresses.hostname or instance.name:match "^%l$" end }
		local inv = machines { { id = "i-z", state = "dead" } }
		assert(config.derive(by_host, inv))
		assert.is_nil(inv.instances[3].etcd_name)
		assert.is_nil((config.derive(by_host, machines { { id = "i-z" } })))
	end)
end)

describe("config.make", function()
	it("founds with exactly the list and the token of the permit, in the order of the contract", function()
		local p = policy()
		local made = assert(config.make(permit(FOUNDING), "new", facts_of(p, machines()), p))
		assert.equal("ETCD_NAME ETCD_DATA_DIR ETCD_INITIAL_CLUSTER_STATE ETCD_INITIAL_CLUSTER ETCD_INITIAL_CLUSTER_TOKEN "
			.. "ETCD_INITIAL_ADVERTISE_PEER_URLS ETCD_LISTEN_PEER_URLS ETCD_LISTEN_CLIENT_URLS ETCD_ADVERTISE_CLIENT_URLS", keys(made))
		assert.same({
			ETCD_NAME = "a", ETCD_DATA_DIR = "/d", ETCD_INITIAL_CLUSTER_STATE = "new",
			ETCD_INITIAL_CLUSTER = "a=http://10.0.0.1:2380,b=http://10.0.0.2:2380",
			ETCD_INITIAL_CLUSTER_TOKEN = "t-0123", ETCD_INITIAL_ADVERTISE_PEER_URLS = "http://10.0.0.1:2380",
			ETCD_LISTEN_PEER_URLS = "http://10.0.0.1:2380",
			ETCD_LISTEN_CLIENT_URLS = "http://10.0.0.1:2379,http://127.0.0.1:2379",
			ETCD_ADVERTISE_CLIENT_URLS = "http://10.0.0.1:2379",
		}, made.env)
		assert.same({ "http://10.0.0.1:2379", "http://10.0.0.2:2379" }, made.endpoints)
		assert.same({ "member", "new", "7", "8" }, { made.role, made.state, made.cluster_id, made.member_id })
	end)

	it("writes the TLS keys after, then the extra ones sorted, and only what is set", function()
		local p = policy {
			data_dir = false, extra = { ETCD_Z = "1", ETCD_A = "2" },
			tls = { cert = "c", key = "k", ca = "a", client_auth = true, auto = false, peer_cert = "pc", peer_key = "pk",
				peer_ca = "pa", peer_client_auth = true, peer_auto = true, probe_cert = "x", probe_key = "y" },
		}
		local made = assert(config.make(permit(FOUNDING), "new", facts_of(p, machines()), p))
		assert.equal("ETCD_NAME ETCD_INITIAL_CLUSTER_STATE", keys(made):match "^%S+ %S+")
		assert.equal("ETCD_ADVERTISE_CLIENT_URLS ETCD_CERT_FILE ETCD_KEY_FILE ETCD_TRUSTED_CA_FILE ETCD_CLIENT_CERT_AUTH "
			.. "ETCD_PEER_CERT_FILE ETCD_PEER_KEY_FILE ETCD_PEER_TRUSTED_CA_FILE ETCD_PEER_CLIENT_CERT_AUTH ETCD_PEER_AUTO_TLS "
			.. "ETCD_A ETCD_Z", keys(made):match "ETCD_ADVERTISE_CLIENT.*")
		assert.equal("true", made.env.ETCD_CLIENT_CERT_AUTH)
	end)

	local listening = {
		{ nil, "10.0.0.1", "http://10.0.0.1:2380", "http://10.0.0.1:2379,http://127.0.0.1:2379" },
		{ nil, "127.0.0.5", "http://127.0.0.5:2380", "http://127.0.0.5:2379" },
		{ nil, "fd00::1", "http://[fd00::1]:2380", "http://[fd00::1]:2379,http://127.0.0.1:2379" },
		{ nil, "::1", "http://[::1]:2380", "http://[::1]:2379" },
		{ nil, "FD00:0:0::00A", "http://[fd00::a]:2380", "http://[fd00::a]:2379,http://127.0.0.1:2379" },
		{ "any", "10.0.0.1", "http://0.0.0.0:2380", "http://0.0.0.0:2379" },
		{ "any", "fd00::1", "http://[::]:2380", "http://[::]:2379" },
		{ "10.9.9.9", "10.0.0.1", "http://10.9.9.9:2380", "http://10.9.9.9:2379" },
		{ { client = { "http://x:1", "http://y:2" } }, "10.0.0.1", "http://10.0.0.1:2380", "http://x:1,http://y:2" },
		{ { peer = { "http://x:1" } }, "10.0.0.1", "http://x:1", "http://10.0.0.1:2379,http://127.0.0.1:2379" },
	}
	for _, case in ipairs(listening) do
		it(("listens at %s of %s"):format(check.shown(case[1]), case[2]), function()
			local p = policy { listen = case[1], address = function() return case[2] end }
			local inv = assert(inventory { self = "i-a", instances = { { id = "i-a" } } })
			local made = assert(config.make(permit(FOUNDING), "new", facts_of(p, inv), p))
			assert.same({ case[3], case[4] }, { made.env.ETCD_LISTEN_PEER_URLS, made.env.ETCD_LISTEN_CLIENT_URLS })
			assert.equal(case[3], config.peer_listen(p, facts_of(p, inv)))
		end)
	end

	it("never listens at a host name, which etcd refuses", function()
		local p = policy { address = "hostname" }
		local inv = assert(inventory { self = "i-a", instances = {
			{ id = "i-a", addresses = { hostname = "a.example", private_v4 = "10.0.0.1" } } } })
		local made = assert(config.make(permit(FOUNDING), "new", facts_of(p, inv), p))
		assert.same({ "http://10.0.0.1:2380", "http://a.example:2380" },
			{ made.env.ETCD_LISTEN_PEER_URLS, made.env.ETCD_INITIAL_ADVERTISE_PEER_URLS })
		assert.equal("http://10.0.0.1:2380", config.peer_listen(p, facts_of(p, inv)))
	end)

	local function start(members, t)
		local p = policy()
		local f = facts_of(p, machines())
		f.clusters = { { id = "7", members = members } }
		for key, value in pairs(t or {}) do f[key] = value end
		return config.make(permit { action = "start", cluster_id = "7", member_id = "18446744073709551615" }, "start", f, p)
	end

	it("joins with every member listed, unstarted ones too, each under a name of its own", function()
		local made = assert(start {
			member("18446744073709551615", "", "10.0.0.1"), member("255", "", "10.0.0.9"), member("16", "b", "10.0.0.2"),
		})
		assert.equal("existing", made.env.ETCD_INITIAL_CLUSTER_STATE)
		assert.equal("a=http://10.0.0.1:2380,b=http://10.0.0.2:2380,id-ff=http://10.0.0.9:2380", made.env.ETCD_INITIAL_CLUSTER)
		assert.equal("t", made.env.ETCD_INITIAL_CLUSTER_TOKEN)
	end)

	it("gives way to the id where a name is used twice, mine first", function()
		local made = assert(start {
			member("16", "a", "10.0.0.2"), member("17", "x", "10.0.0.3"), member("18", "x", "10.0.0.4"),
			member("18446744073709551615", "old", "10.0.0.1"),
		})
		assert.equal("a=http://10.0.0.1:2380,id-10=http://10.0.0.2:2380,id-12=http://10.0.0.4:2380,x=http://10.0.0.3:2380",
			made.env.ETCD_INITIAL_CLUSTER)
	end)

	it("sorts by bytes, not by letters", function()
		local made = assert(start {
			member("18446744073709551615", "a", "10.0.0.1"), member("16", "B", "10.0.0.2"), member("17", "Z-1", "10.0.0.3"),
		})
		assert.truthy(made.env.ETCD_INITIAL_CLUSTER:find "^B=.*,Z%-1=.*,a=")
	end)

	local MINE = { state = "member", cluster_id = "7", member_id = "18446744073709551615" }

	describe("when nobody can be asked", function()
		local ALLOWED = { action = "start", cluster_id = "7", member_id = "18446744073709551615" }
		local p, f, last

		before_each(function()
			p = policy()
			f = facts_of(p, machines())
			last = assert(config.make(permit(FOUNDING), "new", f, p))
			f.data_dir = MINE
		end)

		local function again()
			return config.make(permit(ALLOWED), "start", f, p, { last = function() return last end })
		end

		it("keeps the last configuration", function()
			last.member_id = MINE.member_id
			assert.same(last, again())
		end)

		it("keeps it even when this machine does not know itself", function()
			f.me = config.me(p)
			assert.equal(last, again())
		end)

		it("takes up the policy's present settings", function()
			p.etcd.extra.ETCD_X = "1"
			f.me = user.copy(f.me)
			f.me.peer_urls = { "http://10.0.0.77:2380" }
			local made = assert(again())
			assert.same({ "1", "http://10.0.0.77:2380", "new", last.env.ETCD_INITIAL_CLUSTER },
				{ made.env.ETCD_X, made.env.ETCD_INITIAL_ADVERTISE_PEER_URLS, made.state, made.env.ETCD_INITIAL_CLUSTER })
		end)

		it("does not use one of another cluster or another name", function()
			last.cluster_id = "9"
			assert.equal("a=http://10.0.0.1:2380", assert(again()).env.ETCD_INITIAL_CLUSTER)
			last.cluster_id, last.name = "7", "z"
			assert.equal("a=http://10.0.0.1:2380", assert(again()).env.ETCD_INITIAL_CLUSTER)
		end)
	end)

	it("lists the founders that the disk names when nothing else is known", function()
		local f = { data_dir = user.copy(MINE) }
		f.data_dir.founders = { { name = "b", peer_urls = { "http://b:1" } }, { name = "a", peer_urls = { "http://a:1" } } }
		assert.equal("a=http://a:1,b=http://b:1", assert(start({}, f)).env.ETCD_INITIAL_CLUSTER)
	end)

	it("says what is missing when this machine is not known", function()
		local p = policy()
		local f = { me = config.me(p), clusters = {}, data_dir = MINE }
		local made, why, code = config.make(permit { action = "start", cluster_id = "7" }, "start", f, p)
		assert.is_nil(made)
		assert.equal("missing", code)
		assert.truthy(why:find("the name of this machine is not known", 1, true), why)
	end)

	it("has the members' addresses for a standby, and nothing that is written unasked", function()
		local f = { me = { name = "i-p" }, cluster = { id = "7", endpoints = { "http://b:1", "http://c:1" },
			version = "3.6.0", members = { member("9", "b", "10.0.0.2"), member("17", "", "10.0.0.3") } } }
		local made = config.standby(f)
		assert.same({ "standby", "i-p", {}, { "http://b:1", "http://c:1" }, 2 },
			{ made.role, made.name, made.pairs, made.endpoints, #made.initial_cluster })
		assert.same({ ETCD_NAME = "i-p", ETCD_GATEWAY_ENDPOINTS = "http://b:1,http://c:1" }, made.env)
		f.me.etcd_version = "3.5.9"
		assert.same({ ETCD_NAME = "i-p", ETCD_INITIAL_CLUSTER_STATE = "existing", ETCD_PROXY = "on",
			ETCD_INITIAL_CLUSTER = "b=http://10.0.0.2:2380,id-11=http://10.0.0.3:2380" }, config.standby(f).env)
		f.cluster = nil
		assert.same({ {}, {}, "3.5.9" }, { config.standby(f).env, config.standby(f).endpoints, config.standby(f).version })
	end)

	it("tells beforehand which variables there will be", function()
		local p, f = policy { extra = { ETCD_X = "1" }, tls = { cert = "/c", key = "/k" } }, facts_of(policy(), machines())
		local made = assert(config.make(permit(FOUNDING), "new", f, p))
		local known, there = {}, {}
		for key in pairs(config.variables(p)) do known[key] = true end
		for key in pairs(made.env) do there[key] = true end
		assert.same(there, known)
		p.etcd.data_dir = false
		assert.is_nil(config.variables(p).ETCD_DATA_DIR)
	end)

	it("rehearses a founding as it will be", function()
		local p, f = policy(), facts_of(policy(), machines())
		f.founding = { list = FOUNDING.members, token = "t-0123", cluster_id = "7", member_id = "8" }
		assert.same(assert(config.make(permit(FOUNDING), "new", f, p)), config.rehearsal(f, p))
	end)

	it("rehearses a slot as it will be, but for the id that it has not got yet", function()
		local p, f = policy(), facts_of(policy(), machines())
		local others = { member("9", "b", "10.0.0.2"), member("10", "", "10.0.0.3") }
		f.cluster = { id = "7", members = others }
		local made = config.rehearsal(f, p)
		f.cluster = { id = "7", members = { others[1], others[2], member("1", "", "10.0.0.1") } }
		f.clusters = { f.cluster }
		local later = assert(config.make(permit { action = "start", cluster_id = "7", member_id = "1" }, "start", f, p))
		assert.same(later, made)
		assert.same(later, config.rehearsal(f, p))
	end)

	it("answers the roll call at its own address where etcd will listen at every one", function()
		local f = { me = { address = "127.0.0.9", peer_urls = { "http://127.0.0.9:2380" } } }
		assert.equal("http://127.0.0.9:2380", config.peer_listen(policy { listen = "any" }, f))
		f.me = { address = "203.0.113.9", peer_urls = { "http://203.0.113.9:2380" } } -- translated, say
		assert.equal("http://0.0.0.0:2380", config.peer_listen(policy { listen = "any" }, f))
	end)
end)
