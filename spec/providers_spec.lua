-- The providers static and command: lists, files, programs, and their failures.
local command = require "providers.command"
local scratch = require "spec.scratch"
local static = require "providers.static"

describe("providers.static", function()
	it("lists what is written, complete, and wants them all", function()
		local inv = assert(static { "127.0.0.2", { id = "b", address = "127.0.0.3", state = "dead" }, { name = "c" }, self = "b" } {})
		assert.same({ "b", true, "dead", 0, 2, "static" },
			{ inv.self, inv.complete, inv.gone, inv.lag, inv.desired, inv.source })
		assert.equal("127.0.0.2", inv.instances[1].name)
	end)

	it("takes the desired size as given", function()
		assert.equal(3, assert(static { "127.0.0.2", self = "127.0.0.2", desired = 3 } {}).desired)
	end)

	it("hands out a new list each time", function()
		local ask = static { { id = "a" }, self = "a" }
		ask {}.instances[1].id = "z"
		assert.equal("a", ask {}.instances[1].id)
	end)

	it("is an unknown inventory when no address is this machine's", function()
		local inv, why, code = static { "127.0.0.2" } {}
		assert.is_nil(inv)
		assert.equal("parse", code)
		assert.truthy(why:find("give `self`", 1, true), why)
	end)

	local wrong = {
		{ {}, "no machine is listed" }, { { "127.0.0.2", slef = "x" }, "unknown key \"slef\"; did you mean self" },
		{ { "127.0.0.2", self = "z" }, "self = \"z\", but no such machine is listed" },
		{ { "127.0.0.2", file = "x" }, "either `file = PATH` or a list" }, { { file = 7 }, "either `file = PATH`" },
		{ { "127.0.0.2", "127.0.0.2" }, "two instances" }, { { "10.0.0.256" }, "not an IP address" },
		{ { { id = "a", stat = "live" } }, "unknown key \"stat\"" }, { { 7 }, "a table expected" },
	}
	for i, case in ipairs(wrong) do
		it(("raises for what is wrong in the policy (%d)"):format(i), function()
			local fine, why = pcall(function() local f = static(case[1]); return f end)
			assert.is_false(fine)
			assert.truthy(why:find("providers_spec.lua:", 1, true), why)
			assert.truthy(why:find(case[2], 1, true), why)
		end)
	end

	describe("from a file", function()
		local here
		before_each(function() here = scratch.new() end)
		after_each(function() here:remove() end)

		it("is read again each time, and the file wins", function()
			local ask = static { file = here:path "m.json", self = "a" }
			here:write("m.json", '{"instances":[{"id":"a","address":"127.0.0.2"},{"id":"b"}]}')
			local inv = assert(ask {})
			assert.same({ "a", 2, true, "dead" }, { inv.self, inv.desired, inv.complete, inv.gone })
			here:write("m.json", '{"self":"b","desired":5,"complete":false,"gone":"unknown","lag":9,"instances":[{"id":"a"},{"id":"b"}]}')
			inv = assert(ask {})
			assert.same({ "b", 5, false, "unknown", 9 }, { inv.self, inv.desired, inv.complete, inv.gone, inv.lag })
		end)

		for what, text in pairs { ["cut"] = '{"instances":[{"id":"a"', ["without this machine"] = '{"instances":[{"id":"b"}]}',
			["with two of one address"] = '{"instances":[{"id":"a","address":"127.0.0.2"},{"id":"b","address":"127.0.0.2"}]}' } do
			it("is unknown when the file is " .. what, function()
				local inv, why, code = static { file = here:write("m.json", text), self = "a" } {}
				assert.is_nil(inv)
				assert.equal("parse", code)
				assert.truthy(why:find("m.json: ", 1, true), why)
			end)
		end

		it("is unknown when the file is missing", function()
			local inv, why, code = static { file = here:path "none.json", self = "a" } {}
			assert.is_nil(inv)
			assert.equal("missing", code)
			assert.truthy(why:find("none.json", 1, true), why)
		end)
	end)
end)

describe("providers.command", function()
	local function sh(script, o)
		local t = { "/bin/sh", "-c", script }
		for key, value in pairs(o or {}) do t[key] = value end
		return command(t) {}
	end

	it("reads what the program prints", function()
		local inv = assert(sh [[echo '{"self":"a","instances":[{"id":"a"}]}'; echo noise >&2]])
		assert.same({ "a", false, "unknown", 0, "command" }, { inv.self, inv.complete, inv.gone, inv.lag, inv.source })
		assert.is_nil(inv.desired)
	end)

	local failing = {
		{ "echo no such group >&2; exit 3", "spawn", "ended with status 3: no such group" },
		{ "kill -KILL $$", "spawn", "was ended by signal 9" },
		{ [[echo '{"self":"a","instances":[']], "parse", "command /bin/sh: " },
		{ "true", "parse", "command /bin/sh: " },
		{ [[echo '{"self":"z","instances":[{"id":"a"}]}']], "parse", "this machine, \"z\", is not in the list" },
	}
	for _, case in ipairs(failing) do
		it("is unknown after " .. case[1], function()
			local inv, why, code = sh(case[1])
			assert.is_nil(inv)
			assert.equal(case[2], code)
			assert.truthy(why:find(case[3], 1, true), why)
		end)
	end

	it("is unknown after the time allowed", function()
		local inv, why, code = sh([[sleep 2; echo '{"self":"a","instances":[{"id":"a"}]}']], { timeout = 0.05 })
		assert.is_nil(inv)
		assert.equal("timeout", code)
		assert.truthy(why:find("command /bin/sh", 1, true), why)
	end)

	it("is unknown when there is no such program", function()
		local inv, why = command { "/nonexistent/program" } {}
		assert.is_nil(inv)
		assert.truthy(why:find("/nonexistent/program", 1, true), why)
	end)

	local wrong = {
		{ {}, "a program expected" }, { { "x", timeuot = 1 }, "unknown key \"timeuot\"; did you mean timeout?" },
		{ { "x", timeout = 0 }, "timeout: seconds" }, { { "x", 7 }, "arguments are strings" },
	}
	for i, case in ipairs(wrong) do
		it(("raises for what is wrong in the policy (%d)"):format(i), function()
			local fine, why = pcall(function() local f = command(case[1]); return f end)
			assert.is_false(fine)
			assert.truthy(why:find("providers_spec.lua:", 1, true), why)
			assert.truthy(why:find(case[2], 1, true), why)
		end)
	end
end)
