-- What a data directory holds: logs as etcd writes them, and logs that nobody should trust.
local datadir = require "datadir"
local etcd = require "core.etcd"
local framed = require "spec.framed"
local fs = require "core.fs"
local proc = require "core.proc"
local task = require "core.task"

local dir, place

local function path(name) return dir .. "/" .. name end

local int, bytes, frame = framed.int, framed.bytes, framed.frame

local function founder(index, name, url)
	local context = ('{"id":%d,"peerURLs":["%s"],"name":"%s"}'):format(index, url, name)
	local change = int(1, index) .. int(2, 0) .. int(3, index) .. bytes(4, context)
	return frame(2, int(1, 1) .. int(2, 1) .. int(3, index) .. bytes(4, change))
end

local function meta(member_id, cluster_id) return frame(4, "") .. frame(1, int(1, member_id) .. int(2, cluster_id)) .. frame(5, "") end

local META = meta(1, 0x869b3badfbf1d6b7) -- what members 1 and 2 found
local FOUNDERS = founder(1, "b", "http://127.9.1.2:2380") .. founder(2, "a", "http://127.9.1.1:2380")
local NORMAL = frame(2, int(1, 0) .. int(2, 2) .. int(3, 3) .. bytes(4, "w"))

local FIRST, SECOND = "0000000000000000-0000000000000000.wal", "0000000000000001-0000000000000009.wal"

-- A segment as it is given, else with the right sums; one that has a name goes on from where the last ended.
local function raw(content, name)
	assert(fs.mkdir(path "member/wal"))
	assert(fs.write(path("member/wal/" .. (name or FIRST)), content))
end
local rolled
local function wal(content, name)
	content, rolled = framed.sealed(content, name and rolled or 0)
	raw(content, name)
end

local function permit(allowed)
	return { take = function(_, action)
		assert.equal(allowed.action, action)
		return allowed
	end }
end

describe("datadir", function()
	before_each(function()
		dir = os.tmpname()
		os.remove(dir)
		place = datadir.at(dir)
	end)
	after_each(function() proc.run { "rm", "-rf", dir } end)

	it("is empty when it does not exist, or holds no log", function()
		assert.equal("empty", datadir.read(place).state)
		assert(fs.mkdir(path "member/wal"))
		assert.equal("empty", datadir.read(place).state)
		assert(fs.write(path "member/wal/0.tmp", ("\0"):rep(64)))
		assert.equal("empty", datadir.read(place).state)
	end)

	it("reads ids above 2^63 exactly", function()
		wal(meta(0xfedcba9876543210, 0x8000000000000001) .. FOUNDERS .. ("\0"):rep(4096))
		local data = datadir.read(place)
		assert.equal("member", data.state)
		assert.equal("18364758544493064720", data.member_id)
		assert.equal("9223372036854775809", data.cluster_id)
	end)

	local cases = {
		{ "bootstrap entries alone are unused", META .. FOUNDERS, true },
		{ "bootstrap entries and votes are unused", META .. FOUNDERS .. frame(3, int(1, 7) .. int(2, 1)), true },
		{ "a normal entry is use", META .. FOUNDERS .. NORMAL, false },
		{ "a membership change of a later term is use", META .. FOUNDERS .. frame(2, int(1, 1) .. int(2, 2) .. int(3, 3)), false },
		{ "a snapshot is use", META .. frame(5, int(1, 10) .. int(2, 2)) .. FOUNDERS, false },
		{ "no entry at all is not a founding", META, false },
		{ "a founder whose id is no number is use", META .. frame(2, int(1, 1) .. int(2, 1) .. int(3, 1) .. bytes(4, int(1, 1) .. int(2, 0)
			.. bytes(3, "x") .. bytes(4, '{"name":"b","peerURLs":["http://127.9.1.2:2380"]}'))), false },
		{ "a record that was being written ends the log", META .. FOUNDERS .. NORMAL:sub(1, 12), true },
		{ "entries that were cut short are not a founding", META .. FOUNDERS:sub(1, #FOUNDERS // 2), false },
		{ "entries of another founding are use", meta(1, 5) .. FOUNDERS, false },
	}
	for _, case in ipairs(cases) do
		it(case[1], function()
			wal(case[2])
			local data = datadir.read(place)
			assert.equal("member", data.state)
			assert.equal(case[3], data.unused)
		end)
	end

	it("lists the founders of an unused log by name", function()
		wal(META .. FOUNDERS)
		assert.same({
			{ id = "2", name = "a", peer_urls = { "http://127.9.1.1:2380" } },
			{ id = "1", name = "b", peer_urls = { "http://127.9.1.2:2380" } },
		}, datadir.read(place).founders)
	end)

	it("knows the founding of a log without entries by the configuration written last, if that proves it", function()
		local list = { { name = "a", peer_urls = { "http://127.9.1.1:2380" } }, { name = "b", peer_urls = { "http://127.9.1.2:2380" } } }
		local cluster_id, ids = etcd.identify(list, "t")
		local function last(token) return { initial_cluster = list, env = { ETCD_INITIAL_CLUSTER_TOKEN = token } } end
		local function number(id) return tonumber("0x" .. etcd.hex(id)) end
		wal(meta(number(ids[2]), number(cluster_id)))
		assert.is_false(datadir.read(place).unused)
		assert.is_false(datadir.read(place, last "other").unused)
		assert.is_false(datadir.read(place, last(nil)).unused)
		assert.is_false(datadir.read(place, { initial_cluster = { { name = "a", peer_urls = { 1 } } }, env = { ETCD_INITIAL_CLUSTER_TOKEN = "t" } }).unused)
		local data = datadir.read(place, last "t")
		assert.is_true(data.unused)
		assert.same({ { id = ids[1], name = "a", peer_urls = list[1].peer_urls }, { id = ids[2], name = "b", peer_urls = list[2].peer_urls } },
			data.founders)
		wal(meta(77, number(cluster_id))) -- a member that joined later
		assert.is_false(datadir.read(place, last "t").unused)
		wal(meta(number(ids[2]), number(cluster_id)) .. NORMAL)
		assert.is_false(datadir.read(place, last "t").unused)
	end)

	it("takes a second segment for use", function()
		wal(META .. FOUNDERS)
		wal(META, SECOND)
		assert.is_false(datadir.read(place).unused)
	end)

	it("tells how far a log goes, by its newest segment that has an entry", function()
		assert.same({ nil, "there is no log" }, { datadir.extent(place) })
		local state = frame(3, int(1, 2) .. int(2, 1) .. int(3, 3))
		wal(META .. FOUNDERS .. NORMAL .. state .. NORMAL:sub(1, 12))
		assert.same({ term = 2, index = 3, committed = 3 }, datadir.extent(place))
		wal(META .. frame(3, int(1, 5) .. int(2, 1) .. int(3, 4)), "0000000000000001-0000000000000004.wal")
		assert.same({ term = 2, index = 3, committed = 4 }, datadir.extent(place))
	end)

	it("counts no entry that etcd will throw away, behind a record that was cut", function()
		local log, sum = framed.sealed(META .. FOUNDERS .. NORMAL, 0)
		local cut = string.pack("<i8", 1 | 0x87 << 56) .. "\8" .. ("\0"):rep(7)
		local later = framed.sealed(frame(2, int(1, 0) .. int(2, 2) .. int(3, 4) .. bytes(4, "w")), sum)
		raw(log .. later)
		assert.equal(4, datadir.extent(place).index)
		raw(log .. cut .. later)
		assert.equal("member", datadir.read(place).state)
		assert.equal(3, datadir.extent(place).index)
	end)

	it("says so of a log that holds no entry", function()
		wal(META)
		assert.same({ nil, "it holds no entry" }, { datadir.extent(place) })
	end)

	for name, content in pairs { ["of no length"] = "", ["of zeros"] = ("\0"):rep(512), ["of noise"] = ("\x7f"):rep(512),
		["without metadata"] = frame(4, ""), ["with metadata cut"] = META:sub(1, 20) } do
		it("calls a log " .. name .. " damaged", function()
			wal(content)
			local data = datadir.read(place)
			assert.equal("damaged", data.state)
			assert.matches("wal", data.why, 1, true)
		end)
	end

	-- Offsets below are those of the frames, of which META has three.
	local function flip(log, at) return log:sub(1, at) .. string.char(log:byte(at + 1) ~ 4) .. log:sub(at + 2) end
	local function damaged(at, what, name)
		local data = datadir.read(place)
		assert.equal("damaged", data.state)
		assert.equal(("%s: the record at byte %d %s, and no etcd starts on it"):format(path("member/wal/" .. (name or FIRST)), at, what),
			data.why)
	end
	local SUM, ZEROS = "does not match its checksum", ("\0"):rep(4096)
	local BIG = frame(2, int(1, 0) .. int(2, 2) .. int(3, 4) .. bytes(4, ("w"):rep(1500)))

	it("calls a log damaged from whose first, middle or last record a bit was lost", function()
		local log = framed.sealed(META .. FOUNDERS .. NORMAL, 0)
		local metadata, middle, last = #framed.sealed(frame(4, ""), 0), #framed.sealed(META, 0), #framed.sealed(META .. FOUNDERS, 0)
		raw(log .. ZEROS)
		assert.equal("member", datadir.read(place).state)
		raw(flip(log, 11) .. ZEROS) -- the sum that the segment begins with
		damaged(metadata, SUM)
		raw(flip(log, metadata + 24) .. ZEROS)
		damaged(metadata, SUM)
		raw(flip(log, middle + 40) .. ZEROS)
		damaged(middle, SUM)
		raw(flip(log, last + 20) .. ZEROS)
		damaged(last, SUM)
	end)

	it("calls a log damaged where a record is none, or none that etcd knows", function()
		local log = framed.sealed(META .. FOUNDERS .. NORMAL, 0)
		local middle = #framed.sealed(META, 0)
		raw(log:sub(1, middle + 9) .. "\9" .. log:sub(middle + 11))
		damaged(middle, "is of no known type")
		raw(log:sub(1, middle + 8) .. "\0" .. log:sub(middle + 10))
		damaged(middle, "cannot be parsed")
	end)

	it("leaves what a crash did to the end of a log to etcd", function()
		local log = framed.sealed(META .. FOUNDERS .. BIG, 0)
		local start = #framed.sealed(META .. FOUNDERS, 0)
		for cut = start + 1, #log - 1, 7 do
			raw(log:sub(1, cut))
			assert.equal("member", datadir.read(place).state)
		end
		local sector = 1024
		raw(log:sub(1, sector) .. ("\0"):rep(512) .. log:sub(sector + 513) .. ZEROS)
		assert.equal("member", datadir.read(place).state)
		raw(log:sub(1, sector) .. ("\0"):rep(511) .. log:sub(sector + 512) .. ZEROS)
		damaged(start, SUM)
	end)

	it("follows the sums from segment to segment, of which only the last one may be cut", function()
		wal(META .. FOUNDERS .. BIG .. ZEROS)
		local first, sum = framed.sealed(META .. FOUNDERS .. BIG, 0)
		wal(META .. NORMAL .. ZEROS, SECOND)
		assert.equal("member", datadir.read(place).state)
		raw(framed.sealed(META .. NORMAL, sum ~ 1), SECOND)
		damaged(0, SUM, SECOND)
		wal(META .. FOUNDERS .. BIG)
		wal(META .. NORMAL, SECOND)
		raw(first:sub(1, -9))
		damaged(#framed.sealed(META .. FOUNDERS, 0), "is cut short")
		raw(first:sub(1, 1024) .. ("\0"):rep(512) .. first:sub(1537))
		damaged(#framed.sealed(META .. FOUNDERS, 0), SUM)
	end)

	it("minds no segment that the newest snapshot makes needless", function()
		wal(META .. FOUNDERS .. NORMAL)
		wal(META .. NORMAL, SECOND)
		raw(flip(framed.sealed(META .. FOUNDERS .. NORMAL, 0), 200))
		assert.equal("damaged", datadir.read(place).state)
		assert(fs.mkdir(path "member/snap"))
		assert(fs.write(path "member/snap/0000000000000002-0000000000000008.snap", "x"))
		assert.equal("damaged", datadir.read(place).state)
		assert(fs.write(path "member/snap/0000000000000002-0000000000000009.snap", "x"))
		assert.equal("member", datadir.read(place).state)
	end)

	it("calls no log damaged that an etcd has open, or whose segments are named as etcd never does", function()
		raw(flip(framed.sealed(META .. FOUNDERS, 0), 60))
		assert(fs.mkdir(path "member/snap"))
		local database = assert(fs.lock(path "member/snap/db"))
		assert.equal("member", datadir.read(place).state)
		database:close()
		assert.equal("damaged", datadir.read(place).state)
		raw(META, "x.wal")
		assert.equal("member", datadir.read(place).state)
	end)

	it("calls a database without a log damaged, unless a claim lies beside it", function()
		assert(fs.mkdir(path "member/snap"))
		assert(fs.write(path "member/snap/db", "x"))
		assert.equal("damaged", datadir.read(place).state)
		assert(datadir.joined(place, "5", "18446744073709551615"))
		local data = datadir.read(place)
		assert.equal("empty", data.state)
		assert.same({ kind = "join", cluster_id = "5", member_id = "18446744073709551615" }, data.claim)
	end)

	it("keeps a founding claim as it was allowed", function()
		local list = { { name = "a", peer_urls = { "http://127.9.1.1:2380" } } }
		assert(datadir.claim(permit { action = "claim", cluster_id = "18446744073709551615", member_id = "7", token = "t", members = list }, place))
		assert.same({ kind = "founding", cluster_id = "18446744073709551615", member_id = "7", token = "t", list = list }, datadir.read(place).claim)
		assert.equal(tonumber("700", 8), fs.stat(dir).mode & 0x1ff)
	end)

	for name, text in pairs { cut = '{"kind":"join"', ["of another kind"] = '{"kind":"x","cluster_id":"1","member_id":"2"}',
		["without ids"] = '{"kind":"join"}', ["of no founders"] = '{"kind":"founding","cluster_id":"1","member_id":"2","token":"t","list":[]}' } do
		it("calls a claim " .. name .. " damage: what was promised is not known", function()
			assert(fs.mkdir(path "member"))
			assert(fs.write(path "member/claim.json", text))
			assert.equal("damaged", datadir.read(place).state)
		end)
	end

	it("removes a claim that stands beside a log", function()
		assert(datadir.joined(place, "5", "6"))
		assert(datadir.settle_claim(place))
		assert.is_table(datadir.read(place).claim)
		wal ""
		assert(datadir.settle_claim(place))
		assert.is_nil(fs.stat(path "member/claim.json"))
		assert(datadir.joined(place, "5", "6"))
		wal(META .. FOUNDERS)
		assert(datadir.settle_claim(place))
		assert.is_nil(fs.stat(path "member/claim.json"))
	end)

	it("moves data aside with the claim, and never over another", function()
		wal(META .. FOUNDERS)
		local to = assert(datadir.aside(permit { action = "aside" }, place, 0))
		assert.equal(path "member.aside-19700101T000000Z", to)
		assert.equal("empty", datadir.read(place).state)
		wal(META .. FOUNDERS)
		local ok, why = datadir.aside(permit { action = "aside" }, place, 0)
		assert.is_nil(ok)
		assert.matches("aside", why)
		assert.equal("member", datadir.read(place).state)
	end)

	it("keeps no more than ten directories aside", function()
		for i = 1, 10 do assert(fs.mkdir(path("member.aside-" .. i))) end
		wal(META .. FOUNDERS)
		local ok, why, code = datadir.aside(permit { action = "aside" }, place, 0)
		assert.is_nil(ok)
		assert.matches("remove", why)
		assert.equal("conflict", code)
	end)

	it("keeps the claim beside a log that is elsewhere, and moves both", function()
		place = datadir.at(path "data", path "logs/wal")
		assert(datadir.joined(place, "5", "6"))
		assert.is_table(fs.stat(path "logs/wal.claim.json"))
		assert.equal("5", datadir.read(place).claim.cluster_id)
		assert(fs.mkdir(path "logs/wal"))
		assert(fs.mkdir(path "data/member/snap"))
		assert(fs.write(path("logs/wal/" .. FIRST), (framed.sealed(META .. FOUNDERS, 0))))
		assert(datadir.settle_claim(place))
		assert.is_nil(fs.stat(path "logs/wal.claim.json"))
		assert.is_true(datadir.read(place).unused)
		assert(datadir.aside(permit { action = "aside" }, place, 0))
		assert.equal("empty", datadir.read(place).state)
		assert.is_table(fs.stat(path "data/member.aside-19700101T000000Z"))
		assert.is_table(fs.stat(path "logs/wal.aside-19700101T000000Z"))
	end)

	it("calls a file in the directory's place damage", function()
		assert(fs.write(dir, "x"))
		assert.equal("damaged", datadir.read(place).state)
		os.remove(dir)
	end)

	it("says that a directory is not its own to see", function()
		assert.equal("hidden", datadir.read(datadir.at(false)).state)
	end)

	it("agrees with a real etcd about ids, use and lock", function()
		local net = "http://127.9." .. proc.pid() % 250 -- another run of this spec has another one
		local a, b = net .. ".1:2380", net .. ".2:2380"
		local cluster_id, ids = etcd.identify({ { name = "a", peer_urls = { a } }, { name = "b", peer_urls = { b } } }, "tok")
		assert(datadir.claim(permit { action = "claim", cluster_id = cluster_id, member_id = ids[1], token = "tok",
			members = { { name = "a", peer_urls = { a } }, { name = "b", peer_urls = { b } } } }, place))
		local child = assert(proc.spawn { "etcd", "--name", "a", "--data-dir", dir, "--listen-peer-urls", a, "--initial-advertise-peer-urls", a,
			"--listen-client-urls", net .. ".1:2379", "--advertise-client-urls", net .. ".1:2379",
			"--initial-cluster", "a=" .. a .. ",b=" .. b, "--initial-cluster-token", "tok", stdout = "null", stderr = "null" })
		local deadline = task.now() + 20
		local lists
		repeat
			task.sleep(0.05)
			lists = etcd.lists { targets = { { key = "a", peer_url = a } } }
		until lists[1].members or task.now() > deadline
		local while_running = datadir.read(place)
		child:kill "KILL"
		child:wait()
		local after = datadir.read(place)
		assert.equal(cluster_id, lists[1].cluster_id)
		assert.is_true(while_running.locked)
		assert.is_false(while_running.unused)
		assert.is_false(after.locked)
		assert.is_true(after.unused)
		assert.equal(cluster_id, after.cluster_id)
		assert.equal(ids[1], after.member_id)
		assert.equal(2, #after.founders)
	end)
end)
