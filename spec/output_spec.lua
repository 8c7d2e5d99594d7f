-- Outputs: all or none, nothing rewritten without need, the old file or the new one.
local fs = require "core.fs"
local output = require "output"
local scratch = require "spec.scratch"

local CONFIG = { role = "member", endpoints = {}, pairs = { { "ETCD_NAME", "a" } }, env = { ETCD_NAME = "a" }, initial_cluster = {} }
local STANDBY = { role = "standby", endpoints = {}, pairs = {}, env = {}, initial_cluster = {} }

describe("output", function()
	local here

	before_each(function() here = scratch.new() end)
	after_each(function() here:remove() end)

	local function write(specs, config)
		local results
		local lines = scratch.logged(function()
			results = table.pack(output.write(config or CONFIG, specs))
		end)
		return lines, table.unpack(results, 1, results.n)
	end

	local function says(text) return function() return text end end

	it("writes with the mode asked for", function()
		local _, ok = write { { path = here:path "a", template = "env", mode = "0600" } }
		assert.is_true(ok)
		assert.equal("ETCD_NAME=a\n", fs.read(here:path "a"))
		assert.equal(tonumber("600", 8), fs.stat(here:path "a").mode)
	end)

	it("does not rewrite what is unchanged, and says so", function()
		write { { path = here:path "a", template = "env" } }
		local before = fs.stat(here:path "a").inode
		local lines = write { { path = here:path "a", template = "env" } }
		assert.equal(before, fs.stat(here:path "a").inode)
		assert.same({ "info: output " .. here:path "a" .. " is unchanged" }, lines)
	end)

	it("sets another mode on the same content", function()
		write { { path = here:path "a", template = "env", mode = "0644" } }
		write { { path = here:path "a", template = "env", mode = "0600" } }
		assert.equal(tonumber("600", 8), fs.stat(here:path "a").mode)
	end)

	it("writes nothing when one of them cannot be made", function()
		local _, ok, why, code = write {
			{ path = here:path "a", template = "env" }, { path = here:path "b", template = function() error "oh" end },
		}
		assert.is_nil(ok)
		assert.equal("usage", code)
		assert.truthy(why:find("output " .. here:path "b", 1, true), why)
		assert.is_nil(fs.stat(here:path "a"))
	end)

	it("puts back what was written when one of them cannot be written", function()
		here:write("a", "old")
		local _, ok, why = write {
			{ path = here:path "a", template = says "new" }, { path = here:path "b", template = says "new" },
			{ path = here:path "none/c", template = says "new" },
		}
		assert.is_nil(ok)
		assert.truthy(why:find("none/c", 1, true), why)
		assert.equal("old", fs.read(here:path "a"))
		assert.is_nil(fs.stat(here:path "b"))
	end)

	it("refuses a directory before anything is written", function()
		local _, ok, why = write { { path = here:path "a", template = "env" }, { path = here.dir, template = "env" } }
		assert.is_nil(ok)
		assert.truthy(why:find("output " .. here.dir, 1, true), why)
		assert.is_nil(fs.stat(here:path "a"))
	end)

	it("is rehearsed without a change of anything", function()
		here:write("a", "old")
		local function rehearse(spec) return output.rehearse(CONFIG, { { path = here:path "a", template = "env" }, spec }) end
		assert.is_true(rehearse { path = here:path "b", template = "env" })
		assert.is_true(rehearse { path = "-", template = "env" })
		assert.is_true(rehearse { path = here:path "none/b", template = says "" })
		local bad = {
			{ { path = here:path "none/b", template = "env" }, "none/b: .*; make its directory first" },
			{ { path = here:path "b", template = "env", owner = "no-such-user" }, "the owner \"no%-such%-user\" is unknown" },
			{ { path = here:path "b", template = function() error "oh" end }, "output .*/b: template .* failed: .*oh" },
			{ { path = here.dir, template = "env" }, "it is a directory$" },
			{ { path = "/dev/stdout", template = "env" }, "output /dev/stdout: .*; for the standard output name %-" },
			{ { path = "/dev/null", template = "env" }, "; for the standard output name %-" },
		}
		for _, case in ipairs(bad) do
			local ok, why = rehearse(case[1])
			assert.is_nil(ok)
			assert.matches(case[2], why)
		end
		assert.same({ "a" }, fs.list(here.dir))
		assert.equal("old", fs.read(here:path "a"))
	end)

	it("writes nothing where a template gives nothing", function()
		local _, ok = write({ { path = here:path "a", template = "env" }, { path = here:path "b", template = "json" } }, STANDBY)
		assert.is_true(ok)
		assert.is_nil(fs.stat(here:path "a"))
		assert.truthy(fs.read(here:path "b"):find('"role":"standby"', 1, true))
	end)

	it("calls reload after a change and only then, and only warns when that fails", function()
		local spec = { path = here:path "a", template = "env", reload = { "/bin/sh", "-c", "echo x >>" .. here:path "ran" } }
		write { spec }
		write { spec }
		assert.equal("x\n", fs.read(here:path "ran"))
		spec.template, spec.reload = "json", { "/bin/sh", "-c", "exit 7" }
		local lines, ok = write { spec }
		assert.is_true(ok)
		assert.truthy(lines[#lines]:find("^warn: .*reload /bin/sh failed: status 7"), lines[#lines])
		spec.template, spec.reload = "env", { here:path "none" }
		lines, ok = write { spec }
		assert.is_true(ok)
		assert.truthy(lines[#lines]:find("^warn: .*reload"), lines[#lines])
	end)
end)
