-- core.wal: the sums of a log, whatever else stands in it.
local fs = require "core.fs"
local framed = require "spec.framed"
local proc = require "core.proc"
local wal = require "core.wal"

local function entry(index, size)
	return framed.frame(2, framed.int(2, 2) .. framed.int(3, index) .. framed.bytes(4, ("w"):rep(size)))
end

local HEAD = framed.frame(4, "") .. framed.frame(1, framed.int(1, 7) .. framed.int(2, 9))

describe("core.wal", function()
	local dir, count

	before_each(function()
		dir, count = os.tmpname(), 0
		os.remove(dir)
		assert(fs.mkdir(dir))
	end)
	after_each(function() proc.run { "rm", "-rf", dir } end)

	local function file(content)
		count = count + 1
		local path = dir .. "/" .. count
		local out <close> = assert(io.open(path, "wb"))
		out:write(content)
		return path
	end

	it("follows the sums over segments, through records longer than any buffer", function()
		local first, sum = framed.sealed(HEAD .. entry(1, 70000) .. entry(2, 3), 0)
		local second = framed.sealed(HEAD .. entry(3, 140000), sum)
		local found = assert(wal.sound { file(first), file(second .. ("\0"):rep(100000)) })
		assert.same({ segment = 2, offset = #second }, found)
		local wrong = framed.sealed(HEAD .. entry(3, 140000), sum ~ 1)
		assert.same({ segment = 2, offset = 0, why = "does not match its checksum" }, wal.sound { file(first), file(wrong) })
		assert.same({ segment = 1, offset = #wrong }, wal.sound { file(wrong) })
	end)

	it("finds every bit that a checksum covers", function()
		local log = framed.sealed(HEAD .. entry(1, 40) .. entry(2, 700), 0)
		local last = #framed.sealed(HEAD .. entry(1, 40), 0)
		for at = last - 30, last - 10 do
			local found = assert(wal.sound { file(log:sub(1, at) .. string.char(log:byte(at + 1) ~ 1) .. log:sub(at + 2)) })
			assert.equal("does not match its checksum", found.why)
			assert.is_true(found.offset < last)
		end
	end)

	it("ends at zeros, whatever stands behind them", function()
		local log = framed.sealed(HEAD .. entry(1, 40), 0)
		assert.same({ segment = 1, offset = #log }, wal.sound { file(log .. ("\0"):rep(8) .. ("\x7f"):rep(600)) })
	end)

	-- What etcd's parser calls an unexpected end is repaired where it is the last segment.
	it("tells a record that is none from one that goes on behind its end", function()
		local function framing(record)
			return string.pack("<i8", #record | (0x80 | -#record % 8) << 56) .. record .. ("\1"):rep(-#record % 8)
		end
		for _, record in ipairs { "\0\1", "\31\1", ("\255"):rep(12), "\8" .. ("\128"):rep(12), "\14\1" } do
			assert.same({ segment = 1, offset = 0, why = "cannot be parsed" }, wal.sound { file(framing(record)) })
		end
		local rest = file(framed.sealed(HEAD, 0))
		for _, record in ipairs { "\8", "\26\255\255\255\255\255\255\255\255\127", "\9\1\2\3", "\29abc", "\11\1\1", "\255" } do
			local path = file(framing(record))
			assert.same({ segment = 1, offset = 0 }, wal.sound { path })
			assert.same({ segment = 1, offset = 0, why = "is cut short" }, wal.sound { path, rest })
		end
	end)

	it("takes no length for granted", function()
		for _, head in ipairs { -1, 1 << 40, 0x7fffffffffffffff, -1 << 56 | 65 } do
			assert.same({ segment = 1, offset = 0 }, wal.sound { file(string.pack("<i8", head) .. ("\1"):rep(64)) })
		end
		assert.equal("is of no known type", wal.sound { file(string.pack("<i8", math.mininteger) .. ("\1"):rep(64)) }.why)
	end)

	it("says what cannot be read, and is no judge of it", function()
		local found, why, code = wal.sound { dir .. "/none" }
		assert.is_nil(found)
		assert.matches(dir .. "/none: No such file", why, 1, true)
		assert.equal("io", code)
		assert.is_nil(wal.sound { dir })
		assert.has_error(function() wal.sound {} end)
		assert.has_error(function() wal.sound { {} } end)
	end)
end)
