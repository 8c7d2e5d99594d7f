-- The marker's text, its conditional write, and the file that keeps it.
local fs = require "core.fs"
local proc = require "core.proc"
local file = require "markers.file"
local marker = require "marker"
local scratch = require "spec.scratch"
local task = require "core.task"

local BINARY <const> = assert(fs.stat "/proc/self/exe") and io.popen("readlink /proc/$PPID/exe"):read "l"

local function founding(more)
	local m = { cluster_id = "4660", token = "t-1", founder = "a", time = 1700000000, confirmed = false,
		list = { { name = "a", peer_urls = { "http://127.0.0.1:2380" } }, { name = "b", peer_urls = { "http://127.0.0.2:2380" } } } }
	for key, value in pairs(more or {}) do m[key] = value end
	return m
end

describe("marker", function()
	it("is read as it was written, its id in hex between", function()
		local text = marker.text(founding())
		assert.truthy(text:find("\"cluster_id\":\"1234\"", 1, true), text)
		assert.same(founding(), marker.parse(text))
	end)

	local damaged = {
		{ "nothing", "" },
		{ "a cut text", marker.text(founding()):sub(1, -9) },
		{ "more than one text", marker.text(founding()):rep(2) },
		{ "a list", "[]" },
		{ "null", "null" },
		{ "an empty object", "{}" },
		{ "a key never heard of", (marker.text(founding()):gsub("^{", "{\"x\":1,")) },
		{ "a founder's key never heard of", (marker.text(founding()):gsub("\"name\"", "\"x\":1,\"name\"", 1)) },
		{ "an id that is none", (marker.text(founding()):gsub("\"1234\"", "\"xyz\"")) },
		{ "an id that is a number", (marker.text(founding()):gsub("\"1234\"", "1234")) },
		{ "no founders", (marker.text(founding()):gsub("\"list\":%[.*%]}%]", "\"list\":[]")) },
		{ "a founder without an address", (marker.text(founding()):gsub("%[\"http[^%]]*%]", "[]", 1)) },
		{ "confirmed by a word", (marker.text(founding()):gsub("false", "\"no\"")) },
		{ "a time that is none", (marker.text(founding()):gsub("1700000000", "-1")) },
		{ "no token", (marker.text(founding()):gsub("\"t%-1\"", "null")) },
	}
	for _, case in ipairs(damaged) do
		it("is no marker: " .. case[1], function()
			local m, why, code = marker.parse(case[2])
			assert.is_nil(m)
			assert.is_string(why)
			assert.equal("parse", code)
		end)
	end

	local function store(...)
		local answers = table.pack(...)
		return { read = function() return table.unpack(answers, 1, answers.n) end, write = function() end }
	end

	it("is absent only where its store says so", function()
		assert.same({}, marker.look(store(false)))
		assert.same({ marker = founding(), marker_tag = "7" }, marker.look(store(founding(), "7")))
		for _, odd in ipairs {
			store(), store(nil, "no route"), store(true), store({}), store(founding()), store(founding { confirmed = 1 }, "7"),
			{ read = function() error "broken" end },
		} do
			local seen = marker.look(odd)
			assert.is_nil(seen.marker)
			assert.truthy(#seen.marker_unknown > 5)
		end
	end)
end)

describe("a store that never answers", function()
	it("makes the marker unknown, and holds nobody up beyond the look", function()
		local told
		local seen = marker.look({ read = function(ask)
			told = ask.deadline
			task.event():wait()
		end }, -1)
		assert.is_true(told < task.now())
		assert.matches("no end", seen.marker_unknown)
	end)
end)

describe("a marker that is confirmed", function()
	local kept, writes
	local function store(before_write)
		return {
			read = function() return kept, tostring(writes) end,
			write = function(m, tag)
				before_write()
				if tag ~= tostring(writes) then return nil, "another", "conflict" end
				kept, writes = m, writes + 1
				return tostring(writes)
			end,
		}
	end
	before_each(function()
		kept, writes = founding(), 0
	end)

	it("is written once", function()
		local s = store(function() end)
		assert.is_true(marker.confirm(s, "4660"))
		assert.is_true(marker.confirm(s, "4660"))
		assert.same(founding { confirmed = true }, kept)
		assert.equal(1, writes)
	end)

	it("is read again when another was at it", function()
		local others = 1
		assert.is_true(marker.confirm(store(function()
			writes, others = writes + others, 0
		end), "4660"))
		assert.is_true(kept.confirmed)
	end)

	it("is not when it is of another cluster, or gone, or unknown", function()
		local _, why = marker.confirm(store(function() end), "4661")
		assert.truthy(why:find("1234", 1, true) and why:find("1235", 1, true), why)
		assert.is_false(kept.confirmed)
		assert.is_nil(marker.confirm({ read = function() return false end }, "4660"))
		assert.equal("no route", select(2, marker.confirm({ read = function() return nil, "no route" end }, "4660")))
		assert.equal("full", select(2, marker.confirm({ read = function() return founding(), "1" end,
			write = function() return nil, "full", "io" end }, "4660")))
	end)
end)

describe("a marker in a file", function()
	local here, path, kept
	before_each(function()
		here = scratch.new()
		path = here:path "m.json"
		kept = file { path = path }
	end)
	after_each(function()
		here:remove()
	end)

	local function unknown(store, words)
		local m, why = (store or kept).read()
		assert.is_nil(m)
		assert.truthy(why:find(words, 1, true), why)
	end

	it("is there when it was written, and absent before", function()
		assert.is_false(kept.read())
		local tag = assert(kept.write(founding()))
		local m, read = kept.read()
		assert.same(founding(), m)
		assert.equal(tag, read)
	end)

	it("is written once", function()
		assert(kept.write(founding()))
		local tag, _, code = kept.write(founding { founder = "b" })
		assert.is_nil(tag)
		assert.equal("conflict", code)
		assert.equal("a", kept.read().founder)
	end)

	it("is replaced by who knows its version, and by nobody else", function()
		local first = assert(kept.write(founding()))
		local second = assert(kept.write(founding { confirmed = true }, first))
		for _, stale in ipairs { first, "none" } do
			assert.equal("conflict", select(3, kept.write(founding { founder = "b" }, stale)))
		end
		assert.equal("conflict", select(3, kept.write(founding(), second)), "as it was before")
		assert.equal(second, kept.write(founding { confirmed = true }, second))
		local m, tag = kept.read()
		assert.same(founding { confirmed = true }, m)
		assert.equal(second, tag)
		assert.equal(marker.text(m), fs.read(path))
	end)

	it("is the newest version where its writer died before the copy", function()
		local first = assert(kept.write(founding()))
		local old = fs.read(path)
		local second = assert(kept.write(founding { confirmed = true }, first))
		assert(fs.write(path, old))
		local m, tag = kept.read()
		assert.is_true(m.confirmed)
		assert.equal(second, tag)
		assert.equal("conflict", select(3, kept.write(founding { founder = "b" }, first)))
	end)

	it("is cleared by removing the file, whatever versions are left beside it", function()
		local first = assert(kept.write(founding()))
		assert(kept.write(founding { confirmed = true }, first))
		assert(fs.remove(path))
		assert.is_false(kept.read())
		assert(kept.write(founding { time = 1700000001 }))
		assert.is_false(kept.read().confirmed)
	end)

	it("is unknown, not absent, when it is damaged or no file", function()
		assert(kept.write(founding()))
		assert(fs.write(path, fs.read(path):sub(1, 40)))
		unknown(kept, path)
		assert.equal("parse", select(3, kept.read()))
		assert.is_nil(kept.write(founding()))
		for _, kind in ipairs { "mkdir '%s'", "mkfifo '%s'", "ln -s none '%s'", "ln -s m.json '%s'" } do
			assert(fs.remove(here:path "odd") or os.remove(here:path "odd"))
			assert(os.execute(kind:format(here:path "odd")))
			unknown(file { path = here:path "odd" }, "no regular file")
			assert(os.remove(here:path "odd"))
		end
	end)

	it("is unknown, not absent, where its directory is not there", function()
		unknown(file { path = here:path "gone/m.json" }, "gone")
		here:write("plain", "")
		unknown(file { path = here:path "plain/m.json" }, "plain")
		local odd = file { path = here:path "m.json", mount = here.dir }
		unknown(odd, here.dir .. " is not mounted")
		assert.equal("missing", select(3, odd.write(founding())))
		assert.is_false(file { path = "/proc/none.json", mount = "/proc/" }.read())
	end)

	it("is unknown where it may not be read", function()
		assert(kept.write(founding()))
		assert(fs.write(path, fs.read(path), { mode = "0000" }))
		assert(os.execute("chmod 755 " .. here.dir))
		local script = here:write("read.lua", [[
			local m, why, code = require "markers.file" { path = arg[1] }.read()
			io.write(tostring(m), " ", tostring(code))
		]])
		local argv = { BINARY, "lua", script, path }
		if assert(proc.run { "id", "-u" }).stdout:match "^0%s" then
			table.move({ "setpriv", "--reuid=65534", "--clear-groups", "--bounding-set=-all", "--inh-caps=-all" }, 1, 5, 1,
				table.move(argv, 1, #argv, 6))
		end
		local result = assert(proc.run(argv))
		assert.equal("nil denied", result.stdout, result.stderr)
	end)

	it("knows what should be mounted and is not", function()
		local mounts = "21 1 8:1 / / rw - ext4 /dev/a rw\n22 21 0:5 / /shared\\040x rw - nfs4 s:/x rw\n"
		local fstab = "# s:/x /dead nfs\n/dev/a / ext4\ns:/x\t/shared\\040x/ nfs4 soft 0 0\ns:/y /srv nfs\n/swap none swap\n"
		local function says(o, tab)
			return file.not_mounted(o, mounts, tab or fstab)
		end
		assert.is_nil(says { path = "/shared x/m.json" })
		assert.is_nil(says { path = "/other/m.json" })
		assert.is_nil(says { path = "/srvx/m.json" })
		assert.truthy(says { path = "/srv/a/m.json" }:find("/srv is in /etc/fstab", 1, true))
		assert.is_nil(says({ path = "/srv/a/m.json" }, ""))
		assert.truthy(says({ path = "/srv/a/m.json", mount = "/srv" }, ""):find("/srv is not mounted", 1, true))
		assert.is_nil(says({ path = "/shared x/m.json", mount = "/shared x" }, ""))
	end)

	-- Two processes meet before each of 50 markers, then both make it, and then both replace it.
	it("is written by one of two who try at once", function()
		local script = here:write("race.lua", [[
			local fs, task = require "core.fs", require "core.task"
			local file = require "markers.file"
			local dir, me, other = arg[1], arg[2], arg[3]
			local function meet(what)
				assert(fs.write(("%s/%s.%s"):format(dir, what, me), ""))
				while not fs.stat(("%s/%s.%s"):format(dir, what, other)) do task.sleep(0) end
			end
			local function try(kept, tag, confirmed)
				local new, why, code = kept.write({ cluster_id = "1", token = "t", founder = me, time = 1, confirmed = confirmed,
					list = { { name = me, peer_urls = { "http://x:1" } } } }, tag)
				assert(new or code == "conflict", why)
				io.write(new and "1" or "0")
			end
			for i = 1, 50 do
				local kept = file { path = ("%s/m%d"):format(dir, i) }
				meet("make" .. i)
				try(kept, nil, false)
				meet("made" .. i)
				local _, tag = kept.read()
				meet("replace" .. i)
				try(kept, tag, true)
				meet("replaced" .. i)
				assert(kept.read().confirmed)
			end
		]])
		local function racer(me, other)
			return assert(proc.spawn { BINARY, "lua", script, here.dir, me, other, stdout = "pipe", stderr = "pipe" })
		end
		local one, two = racer("a", "b"), racer("b", "a")
		local a, b = one:wait(), two:wait()
		assert.same({ 0, 0, 100, 100 }, { a.status, b.status, #a.stdout, #b.stdout }, a.stderr .. b.stderr)
		for i = 1, 100 do
			assert.equal(1, tonumber(a.stdout:sub(i, i)) + tonumber(b.stdout:sub(i, i)), "attempt " .. i)
		end
	end)
end)
