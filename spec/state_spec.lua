-- The memory of a machine: kept, locked, and forgotten when it is damaged.
local fs = require "core.fs"
local scratch = require "spec.scratch"
local states = require "state"

describe("state", function()
	local here, dir

	before_each(function()
		here = scratch.new()
		dir = here:path "made/state"
	end)
	after_each(function() here:remove() end)

	-- Open, hand to f, close -> what f returns.
	local function with(f, o)
		local state <close> = assert(states.open(dir, o))
		return f(state)
	end

	it("makes a directory of mode 0700 and files of mode 0600", function()
		with(function(state) state:remember("x", 1) end)
		assert.equal(tonumber("700", 8), assert(fs.stat(dir)).mode)
		assert.equal(tonumber("600", 8), assert(fs.stat(dir .. "/memory.json")).mode)
	end)

	it("is for one run at a time, and says who is in the way", function()
		with(function()
			local other, why, code = states.open(dir)
			assert.is_nil(other)
			assert.equal("conflict", code)
			assert.truthy(why:find("another run is at work", 1, true), why)
		end)
		with(function() end)
	end)

	it("remembers across runs, exactly", function()
		with(function(state)
			state:remember("me", { name = "a", id = "18446744073709551615", n = 2379, peer_urls = {}, client_urls = {} })
			state:remember("x", 1)
			state:remember("x", nil)
			local journal = state:journal()
			journal.dead_since["255"] = { at = 1700000000.5, word = true }
			table.insert(journal.asked_remove, { cluster_id = "7", member_id = "8" })
		end)
		with(function(state)
			assert.same({ name = "a", id = "18446744073709551615", n = 2379, peer_urls = {}, client_urls = {} }, state:recall "me")
			assert.is_nil(state:recall "x")
			assert.same({ at = 1700000000.5, word = true }, state:journal().dead_since["255"])
			assert.same({ { cluster_id = "7", member_id = "8" } }, state:journal().asked_remove)
			assert.same({}, state:journal().clusters)
		end)
	end)

	it("takes and hands out copies", function()
		with(function(state)
			local me = { name = "a" }
			state:remember("me", me)
			me.name = "z"
			state:recall "me".name = "z"
			assert.equal("a", state:recall "me".name)
		end)
	end)

	it("does not write what has not changed", function()
		with(function(state)
			state:remember("x", 1)
			assert(state:save())
			local before = assert(fs.stat(dir .. "/memory.json")).inode
			state:remember("x", 1)
			assert(state:save())
			assert.equal(before, assert(fs.stat(dir .. "/memory.json")).inode)
		end)
	end)

	it("warns when it cannot keep its memory", function()
		local state = assert(states.open(dir))
		state:remember("x", 1)
		state.dir = here:path "nowhere"
		local lines = scratch.logged(state.close, state)
		assert.truthy(lines[1]:find("^warn: this run's memory is not kept: "), lines[1])
		with(function() end)
	end)

	local damaged = {
		{ "journal.json", '{"clusters":["7"' }, { "journal.json", "7" }, { "journal.json", "" },
		{ "journal.json", '{"clusters":7}' }, { "journal.json", '{"clusters":[7]}' },
		{ "journal.json", '{"dead_since":{"7":3}}' }, { "journal.json", '{"dead_since":{"7":{}}}' },
		{ "journal.json", '{"pending_since":{"7":"x"}}' }, { "memory.json", '{"me"' },
		{ "memory.json", '{"me":"a"}' }, { "memory.json", '{"me":{"name":"a"}}' },
		{ "memory.json", '{"members":{"addresses":null}}' }, { "memory.json", '{"config":{"pairs":[]}}' },
	}
	for _, case in ipairs(damaged) do
		local file, text = case[1], case[2]
		it(("moves a %s of %s aside and starts afresh"):format(file, text), function()
			here:write("made/state/" .. file, text)
			local lines = scratch.logged(with, function(state)
				assert.same({ {}, {} }, { state:journal().clusters, state:journal().dead_since })
				assert.is_nil(state:recall "me")
				assert.is_nil(state:last())
			end)
			assert.truthy(lines[#lines]:find("^warn: .*" .. file .. " was damaged"), lines[#lines])
			assert.is_nil(fs.stat(dir .. "/" .. file))
			local kept
			for _, name in ipairs(fs.list(dir)) do kept = kept or name:match("^" .. file .. "%.damaged%-%d+$") end
			assert.equal(text, fs.read(dir .. "/" .. kept))
		end)
	end

	it("is paused by a file, and only by that", function()
		with(function(state)
			assert.is_false(state:paused())
			here:write("made/state/pause", "")
			assert.is_true(state:paused())
		end)
	end)

	describe("opened to read only", function()
		local READ = { readonly = true }

		it("makes nothing", function()
			with(function(state)
				assert.same({}, state:journal().dead_since)
				assert.is_nil(state:last())
				assert.is_false(state:paused())
				state:remember("x", 1)
				assert(state:save())
				assert.equal(1, state:recall "x")
			end, READ)
			assert.is_nil(fs.stat(here:path "made"))
		end)

		it("reads beside a run at work", function()
			with(function(state)
				state:remember("x", 1)
				assert(state:save())
				with(function(other) assert.equal(1, other:recall "x") end, READ)
			end)
		end)

		it("leaves a damaged journal where it is", function()
			here:write("made/state/journal.json", "{")
			scratch.logged(with, function() end, READ)
			assert.equal("{", fs.read(dir .. "/journal.json"))
			assert.same({ "journal.json" }, fs.list(dir))
		end)
	end)
end)
