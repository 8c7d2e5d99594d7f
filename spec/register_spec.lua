-- Registration: who is healthy, what a registrar is asked, and what is made of its answer, with
-- registrars that are plain functions.
local register = require "register"
local task = require "core.task"

local ETCD = { client_port = 2379, peer_port = 2380, scheme = "http", peer_scheme = "https" }

local function member(id, name, more)
	local m = {
		id = id, name = name, learner = false, started = true, instance = name, peer_urls = { "https://127.0.0." .. id .. ":2380" },
		client_urls = { "http://127.0.0." .. id .. ":2379" },
	}
	for key, value in pairs(more or {}) do m[key] = value end
	return m
end

-- A cluster of these members; `verdicts` by name, "quorum" where it is left out.
local function facts(members, verdicts)
	local f = { me = { token = "prod" }, probes = {}, cluster = { id = "77", members = members }, inventory = { instances = {} } }
	for i, m in ipairs(members) do
		f.probes[m.name] = { member_id = m.id, verdict = verdicts and verdicts[m.name] or "quorum" }
		f.inventory.instances[i] = {
			id = m.name, zone = "z" .. m.id, state = "live",
			addresses = { private_v4 = "10.0.0." .. m.id, hostname = m.name .. ".internal" },
		}
	end
	return f
end

local function names(want)
	local list = {}
	for i, one in ipairs(want.members) do list[i] = one.name end
	return table.concat(list, " ")
end

local function ask(registrars, o)
	o = o or {}
	local policy = { etcd = ETCD, register = registrars }
	return register.all(policy, o.facts or facts { member("1", "a") }, { dry = o.dry, deadline = task.now() + (o.seconds or 5) })
end

local function registration(more)
	local r = { what = "dns", values = { "1" }, wanted = { "1" }, changed = false }
	for key, value in pairs(more or {}) do r[key] = value end
	return function() return r end
end

describe("register.want", function()
	local policy = { etcd = ETCD }

	it("has the voters that said themselves that they work, by name", function()
		local f = facts({ member("2", "b"), member("1", "a"), member("3", "c"), member("4", "d"), member("5", "l", { learner = true }) },
			{ c = "no-quorum" })
		local want = assert(register.want(policy, f))
		assert.equal("a b d", names(want))
		assert.same({ 1, "c" }, { #want.silent, want.silent[1].name })
		assert.same({
			id = "1", name = "a", instance = "a", address = "127.0.0.1", zone = "z1", state = "live",
			addresses = { private_v4 = "10.0.0.1", hostname = "a.internal" },
			client_urls = { "http://127.0.0.1:2379" }, peer_urls = { "https://127.0.0.1:2380" },
		}, want.members[1])
		assert.same({ "77", "prod", 2379, 2380, "http", "https", 5 }, { want.cluster_id, want.name, want.client_port,
			want.peer_port, want.client_scheme, want.peer_scheme, #want.instances })
	end)

	it("takes a machine's address where its URLs have a host name", function()
		local f = facts { member("1", "a", { client_urls = { "http://a.example.com:2379" }, peer_urls = { "https://a.example.com:2380" } }),
			member("2", "b", { client_urls = { "http://[fd00::2]:2379" } }) }
		local want = assert(register.want(policy, f))
		assert.same({ "10.0.0.1", "fd00::2" }, { want.members[1].address, want.members[2].address })
	end)

	it("has a member whose machine the provider does not list", function()
		local f = facts { member("1", "a") }
		f.cluster.members[1].instance, f.inventory = nil, nil
		local one = assert(register.want(policy, f)).members[1]
		assert.same({ "127.0.0.1", {}, "unknown" }, { one.address, one.addresses, one.state })
	end)

	it("is nothing without quorum, or where the majority of the voters is out of sight", function()
		local function nothing(f, text)
			local want, why, code = register.want(policy, f)
			assert.same({ nil, "quorum" }, { want, code })
			assert.matches(text, why)
		end
		local four = { member("1", "a"), member("2", "b"), member("3", "c"), member("4", "d") }
		nothing(facts(four, { c = "unknown", d = "no-quorum" }), "only 2 of 4 voters")
		nothing(facts { member("1", "a", { learner = true }) }, "only 0 of 0 voters")
		local f = facts(four)
		f.cluster = nil
		nothing(f, "no cluster with quorum")
	end)

	it("has this machine's own member before its etcd starts again, and no joiner", function()
		local f = facts({ member("1", "a"), member("2", "b"), member("3", "c") }, { c = "refused" })
		f.data_dir = { state = "member", cluster_id = "77", member_id = "3" }
		assert.equal("a b", names(register.want(policy, f)))
		assert.equal("a b c", names(register.want(policy, f, true)))
		f.cluster.members[3].started = false
		assert.equal("a b", names(register.want(policy, f, true)))
		f.cluster.members[3].started, f.data_dir.cluster_id = true, "78"
		assert.equal("a b", names(register.want(policy, f, true)))
	end)
end)

describe("register.all", function()
	it("hands out what the registrars found, in their order", function()
		local list = ask { registration(), registration { what = "lb", changed = true, wanted = { "2" } } }
		assert.same({
			{ what = "dns", ok = true, changed = false, values = { "1" }, wanted = { "1" }, why = "" },
			{ what = "lb", ok = true, changed = true, values = { "1" }, wanted = { "2" }, why = "" },
		}, list)
	end)

	it("tells each that nothing may be changed, or that it may, and until when", function()
		local seen = {}
		local function look_at(want)
			table.insert(seen, want)
			want.members[1].name = "spoilt"
			return registration()()
		end
		ask({ look_at, look_at }, { dry = true })
		ask { look_at }
		assert.same({ true, true, false }, { seen[1].dry, seen[2].dry, seen[3].dry })
		assert.not_equal(seen[1].members[1], seen[2].members[1])
		assert.is_true(seen[1].deadline > task.now())
	end)

	it("asks nobody without quorum", function()
		local f = facts { member("1", "a") }
		f.cluster = nil
		local asked = false
		local list = ask({ function() asked = true end }, { facts = f })
		assert.is_false(asked)
		assert.same({ false, "quorum" }, { list[1].ok, list[1].code })
	end)

	local wrong = {
		{ "returns nothing", function() end, "it returned nothing" },
		{ "fails", function() return nil, "the zone is gone", "missing" end, "the zone is gone", "missing" },
		{ "raises", function() error "oh" end, "oh", "usage" },
		{ "returns something else", function() return true end, "no registration", "usage" },
		{ "returns half of it", function() return { what = "x", values = {} } end, "no registration", "usage" },
		{ "hangs", function() task.sleep(600) end, "no answer within 0.05 s, by the function at spec/register_spec.lua:", "timeout" },
	}
	for _, case in ipairs(wrong) do
		it("goes on when one " .. case[1], function()
			local list = ask({ case[2], registration() }, { seconds = case[4] == "timeout" and 0.05 or 5 })
			assert.same({ "register[1]", false, {}, {}, case[4] },
				{ list[1].what, list[1].ok, list[1].values, list[1].wanted, list[1].code })
			assert.truthy(list[1].why:find(case[3], 1, true), list[1].why)
			assert.same({ "dns", true }, { list[2].what, list[2].ok })
		end)
	end
end)

describe("register.finish", function()
	local look = require "look"
	local sleep, now, me, pauses, slept

	before_each(function()
		sleep, now, me, pauses, slept = task.sleep, task.now, coroutine.running(), {}, 0
		task.now = function() return now() + slept end
		task.sleep = function(seconds)
			if coroutine.running() ~= me then return sleep(seconds) end
			pauses[#pauses + 1], slept = seconds, slept + seconds
		end
		look.look, look.left = function() return facts { member("1", "a") } end, function() return 60 end
	end)
	local real = { look = look.look, left = look.left }
	after_each(function()
		task.sleep, task.now, look.look, look.left = sleep, now, real.look, real.left
	end)

	local function finish(registrar)
		return register.finish({ policy = { etcd = ETCD, register = { registrar } } }, facts { member("1", "a") })
	end

	it("tries again what may pass, with pauses that grow and are not the same twice", function()
		local tries = 0
		local ok, why = finish(function()
			tries = tries + 1
			return nil, "dns prod: slower", "throttled"
		end)
		assert.same({ nil, "register[1] is not registered: dns prod: slower", true }, { ok, why, tries >= 4 and tries <= 9 })
		for i, pause in ipairs(pauses) do
			local most = math.min(8, 0.5 * 2 ^ (i - 1))
			assert.is_true(pause >= most / 2 and pause <= most, pause)
		end
	end)

	it("does not repeat what is refused for good", function()
		local tries = 0
		finish(function()
			tries = tries + 1
			return nil, "the name is not in the zone", "usage"
		end)
		assert.same({ 1, {} }, { tries, pauses })
	end)

	it("ends with the last reason, not with that the time was over", function()
		local tries = 0
		local ok, why = finish(function(want)
			tries = tries + 1
			if tries == 1 then return nil, "dns prod: slower", "throttled" end
			slept = slept + want.deadline - task.now()
			return nil, "no end after 20 s", "timeout"
		end)
		assert.same({ nil, 2 }, { ok, tries })
		assert.equal("register[1] is not registered: no end after 20 s; before that: dns prod: slower", why)
	end)
end)
