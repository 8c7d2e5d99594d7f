-- damaged_spec.lua - a log that lost a bit is told from one that a crash cut: the first no etcd starts on,
-- the second every etcd repairs.

local assert = require "luassert"
local datadir = require "datadir"
local proc = require "core.proc"
local task = require "core.task"
local world = require "spec.world.world"

local VALUE <const> = ("v"):rep(200)

local function has(text, part)
	assert.is_truthy(text:find(part, 1, true), part .. " in:\n" .. text)
end

local function log_of(w, name)
	return w:machine(name).data .. "/member/wal/0000000000000000-0000000000000000.wal"
end

-- Flip a bit amid the first such text, or flip it back.
local function flip(path, text)
	local file <close> = assert(io.open(path, "r+b"))
	local at = assert(file:read "a":find(text:sub(1, -2), 1, true)) + #text - 2
	assert(file:seek("set", at))
	local byte = file:read(1):byte()
	assert(file:seek("set", at))
	assert(file:write(string.char(byte ~ 16)))
end

-- Every file that etcd has on a machine and what is in it.
local function content(w, name)
	return world.succeed("sh", "-c", "cd " .. w:machine(name).data .. "/member && find snap wal -type f | sort | xargs sha256sum")
end

-- The real etcd on a copy of the data, alone, for so many seconds -> whether it ran on, what it said
local function starts(w, name, seconds)
	local copy = w.root .. "/copy"
	world.succeed("cp", "-a", w:machine(name).data, copy)
	local ran, _, code = proc.run { world.etcd, "--name", name, "--data-dir", copy, "--listen-client-urls", w:client(name),
		"--advertise-client-urls", w:client(name), "--listen-peer-urls", (w:peer(name):gsub("%d+$", "2390")), "--force-new-cluster", timeout = seconds }
	world.succeed("rm", "-r", copy)
	return code == "timeout", ran and ran.stdout .. ran.stderr
end

describe("damaged", function()
	world.it("a flipped bit in the log: the run fails and changes nothing, a person moves it away, the machine joins anew", function(w)
		w:founded "a b c"
		for i = 1, 20 do w:must_put("a", "k" .. i, VALUE) end
		w:converge "a b c"
		local before = w:members "a"
		w:kill "c"
		for _, text in ipairs { "peerURLs", VALUE } do
			assert.is_true(starts(w, "c", 3))
			flip(log_of(w, "c"), text)
			local ran, said = starts(w, "c", 30)
			assert.is_false(ran, said)
			local kept = content(w, "c")
			local code, run = w:ends "c"
			assert.equal(4, code)
			has(run:log(), log_of(w, "c") .. ": the record at byte ")
			has(run:log(), "does not match its checksum, and no etcd starts on it; move it away by hand")
			assert.equal(kept, content(w, "c"))
			flip(log_of(w, "c"), text)
		end
		assert.equal(before.ids, w:members("a").ids)
		flip(log_of(w, "c"), VALUE)
		local told = w:beside("c", "diagnose")
		assert.equal(0, told:exit(60))
		has(told:stdout(), ": damaged, ")
		has(told:stdout(), "/member away by hand (never delete it)")
		assert.is_nil(told:stdout():find("nothing holds it back", 1, true))
		assert.is_nil(told:stdout():find("\nlog ", 1, true))
		world.succeed("mv", w:machine("c").data .. "/member", w:machine("c").data .. "/member.lost")
		w:boot "c"
		w:converge "a b c"
		assert.are_not.equal(before.by.c.id, w:members("a").by.c.id)
	end)

	world.it("a damaged log is ranked with none, and says so, when its cluster has lost its quorum", function(w)
		w:founded "a b c"
		for i = 1, 20 do w:must_put("a", "k" .. i, VALUE) end
		w:kill "b"
		w:kill "c"
		flip(log_of(w, "c"), VALUE)
		local told = w:beside("c", "diagnose")
		assert.equal(3, told:exit(60))
		has(told:stdout(), ": damaged, ")
		has(told:stdout(), "its disk is none to restore from")
		assert.is_nil(told:stdout():find("its log goes", 1, true))
	end)

	world.it("a log whose etcd was killed again and again while it wrote is never called damaged", function(w)
		w:founded "a"
		local place = datadir.at(w:machine("a").data)
		for round = 1, 20 do
			local acknowledged, writers = 0, {}
			for n = 1, 8 do
				writers[n] = task.spawn(function()
					while w:put("a", ("%d.%d.%d"):format(round, n, acknowledged), ("x"):rep(math.random(1, 9000))) do
						acknowledged = acknowledged + 1
					end
				end)
			end
			world.wait(function()
				return acknowledged > math.random(10, 60)
			end, 30, "etcd takes writes in round " .. round)
			w:kill "a"
			for _, writer in ipairs(writers) do writer:join() end
			local data = datadir.read(place)
			assert.equal("member", data.state, data.why)
			w:boot "a"
			w:converge "a"
		end
	end)
end)
