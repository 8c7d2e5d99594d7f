-- register_spec.lua - registration over real etcd, with a registrar that keeps its register in a
-- file: finish makes the healthy known, status tells, and nothing of it keeps etcd down.

local assert = require "luassert"
local json = require "core.json"
local world = require "spec.world.world"

-- A registrar as somebody would write one, in front of a policy: the addresses stand in one file,
-- each write is noted in another.
local PRELUDE = [[
local path = %q
local function known()
	local list = {}
	for word in (fs.read(path) or ""):gmatch "%%S+" do list[#list + 1] = word end
	return list
end
local function book(want)
	local wanted = {}
	for i, member in ipairs(want.members) do wanted[i] = member.address end
	local values, text = known(), table.concat(wanted, "\n")
	local changed = table.concat(values, "\n") ~= text
	if changed and not want.dry then
		assert(fs.write(path, text))
		assert(fs.write(path .. ".writes", (fs.read(path .. ".writes") or "") .. "w"))
		values = known()
	end
	return { what = "book", values = values, wanted = wanted, changed = changed }
end
local function broken() return nil, "the zone Z1 is unknown", "missing" end
local function silent() task.sleep(600) end
local function restless()
	assert(fs.write(path .. ".calls", (fs.read(path .. ".calls") or "") .. "c"))
	return { what = "restless", values = {}, wanted = {}, changed = true }
end
]]

local function prelude(w)
	return PRELUDE:format(w.root .. "/book")
end

local function book(w)
	return world.read(w.root .. "/book")
end

local function addresses(w, names)
	local list = {}
	for name in names:gmatch "%S+" do list[#list + 1] = w:address(name) end
	return list
end

local function has(w, names)
	assert.equal(table.concat(addresses(w, names), "\n"), book(w))
end

-- A verb beside the run that keeps this machine's etcd.
local function beside(w, name, verb, registrars, ...)
	local run = w.machines[name].run
	local code, other = w:ends(name, { verb = verb, prelude = prelude(w), policy = { register = registrars }, ... })
	w.machines[name].run = run
	return code, other
end

local function registrations(run)
	return json.decode(run:stdout()).registrations
end

describe("finish registers", function()
	world.it("the healthy members, once, and what status says of it", function(w)
		w:founded "a b c"
		local code, run = beside(w, "a", "status", "{ book }", "--json")
		assert.equal(0, code)
		assert.same({ { changed = true, ok = true, values = {}, wanted = addresses(w, "a b c"), what = "book", why = "" } },
			registrations(run))
		assert.is_nil(book(w))
		assert.equal(0, (beside(w, "a", "plan", "{ book }")))
		assert.is_nil(book(w))

		code, run = beside(w, "b", "finish", "{ book }")
		assert.equal(0, code)
		run:says "book is registered"
		has(w, "a b c")
		code, run = beside(w, "c", "finish", "{ book }")
		assert.equal(0, code)
		run:says "book needs no change"
		assert.equal("w", world.read(w.root .. "/book.writes"))
		assert.is_false(registrations((select(2, beside(w, "a", "status", "{ book }", "--json"))))[1].changed)

		w:stop "c"
		assert.equal(0, (beside(w, "a", "finish", "{ book }")))
		has(w, "a b")
		w:boot "c"
		w:converge "a b c"
		assert.equal(0, (beside(w, "c", "finish", "{ book }")))
		has(w, "a b c")
	end)

	world.it("again after a change, but not for ever", function(w)
		w:founded "a"
		assert.equal(0, (beside(w, "a", "finish", "{ restless }")))
		assert.equal("ccc", world.read(w.root .. "/book.calls"))
	end)

	world.it("nobody without quorum, and is no failure where a registrar is", function(w)
		w:founded "a b c"
		local code, run = beside(w, "a", "finish", "{ broken, book, function() error 'oh' end }")
		assert.equal(0, code)
		has(w, "a b c")
		run:says "register[1] is not registered: the zone Z1 is unknown"
		run:says "register[3] is not registered"
		run:says "etcd is well, so this is no failure"

		code, run = beside(w, "a", "status", "{ silent, book }", "--json")
		assert.equal(0, code)
		local list = registrations(run)
		assert.same({ false, true }, { list[1].ok, list[2].ok })
		assert.truthy(list[1].why:find("no answer within 5 s", 1, true))

		w:stop "b"
		w:kill "c"
		world.wait(function() return not w:health "a" end, 20, "a has no quorum")
		assert.equal(3, (beside(w, "a", "finish", "{ book }", "--timeout", "2")))
		has(w, "a b c")
		code, run = beside(w, "a", "status", "{ book }", "--json")
		assert.equal(3, code)
		list = registrations(run)
		assert.same({ 1, false }, { #list, list[1].ok })
		assert.truthy(list[1].why:find("no cluster with quorum", 1, true))
	end)
end)

describe("the event output", function()
	local REGISTERS = "function(event)\n\t\tif event.kind ~= 'output' then return end\n"
		.. "\t\tlocal ok, why = event.register()\n\t\tlog.info('now: ' .. tostring(ok or why))\n\tend"

	world.it("may register at once, which touches nothing before anybody is healthy", function(w)
		w:list { "a", "b" }
		w.policy.register, w.policy.on = "{ book }", REGISTERS
		w:boot_all("a b", { prelude = prelude(w) })
		w:converge "a b"
		assert.is_nil(book(w))
		w.machines.a.run:says "now: no cluster with quorum is seen, so nothing is registered"

		w:list { "a", "b", "c" }
		w:boot("c", { prelude = prelude(w) })
		w:converge "a b c"
		has(w, "a b")
		w.machines.c.run:says "now: true"
		w:stop "b"
		w:boot("b", { prelude = prelude(w) })
		w:converge "a b c"
		has(w, "a b c")
	end)

	world.it("without a register in the policy says so, and run asks who registers where nobody does", function(w)
		w:list { "a" }
		local _, run = w:ends("a", { "--no-exec", policy = { on = REGISTERS } })
		run:says "now: the policy has no register"
		_, run = w:ends("a", { "--no-exec", prelude = prelude(w), policy = { register = "{ book }" } })
		run:says "who registers?"
		_, run = w:ends("a", { "--no-exec", prelude = prelude(w), policy = { register = "{ book }", finish = "true" } })
		assert.falsy(run:log():find("who registers?", 1, true))
	end)
end)
