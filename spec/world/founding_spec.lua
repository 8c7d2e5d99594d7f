-- founding_spec.lua - F1 to F11: how a cluster is founded, and when it must not be.

local assert = require "luassert"
local task = require "core.task"
local http = require "core.http"
local json = require "core.json"
local world = require "spec.world.world"
local pki = require "spec.world.pki"

local function sorted_names(env)
	local names = {}
	for name in (env.ETCD_INITIAL_CLUSTER or ""):gmatch "([^=,]+)=" do
		names[#names + 1] = name
	end
	return table.concat(names, " ")
end

-- Boots all with random delays, which are printed, and waits for one cluster.
local function found(w, names, delay)
	local starts, entries = {}, {}
	for name in names:gmatch "%S+" do
		entries[#entries + 1] = name
		starts[#starts + 1] = { name = name, at = delay and math.random() * delay or 0 }
	end
	w:list(entries)
	table.sort(starts, function(a, b)
		return a.at < b.at
	end)
	local begun, told = task.now(), {}
	for _, one in ipairs(starts) do
		local left = begun + one.at - task.now()
		if left > 0 then
			task.sleep(left)
		end
		w:boot(one.name)
		told[#told + 1] = ("%s %.2f s"):format(one.name, one.at)
	end
	print("    start delays: " .. table.concat(told, ", "))
	w:converge(names)
	for _, name in ipairs(entries) do
		local env = w:env(name)
		assert.equal(names, sorted_names(env))
		assert.is_truthy(env.ETCD_INITIAL_CLUSTER_STATE == "new" or env.ETCD_INITIAL_CLUSTER_STATE == "existing")
		assert.equal(w:env(entries[1]).ETCD_INITIAL_CLUSTER, env.ETCD_INITIAL_CLUSTER)
	end
end

local function never_founded(w, name)
	assert.is_nil(w:output(name))
	assert.is_false(w:has_log(name))
end

describe("founding", function()
	local seed = tonumber(os.getenv "SEED") or os.time()
	setup(function()
		print("    SEED=" .. seed)
		math.randomseed(seed)
	end)

	for i = 1, tonumber(os.getenv "FOUNDINGS") or 20 do
		world.it("F1 three machines, repeat " .. i, function(w)
			found(w, "a b c", 2)
		end)
	end

	world.it("F1 one machine", function(w)
		found(w, "a")
		assert.is_truthy(w.machines.a.run:log():find("warn", 1, true))
	end)

	world.it("F1 two machines", function(w)
		found(w, "a b", 2)
	end)

	world.it("F1 five machines", function(w)
		found(w, "a b c d e", 2)
	end)

	world.it("F1 three machines over TLS", function(w)
		local dir = pki.authority(w.root .. "/pki")
		pki.issue(dir, "node", { w:address "a", w:address "b", w:address "c", "127.0.0.1" })
		local file = "%q, "
		local crt, key, ca = dir .. "/node.crt", dir .. "/node.key", dir .. "/ca.crt"
		w.scheme, w.tls = "https", { ca = ca, cert = crt, key = key }
		w.etcd = { scheme = "\"https\"", peer_scheme = "\"https\"",
			tls = ("{ ca = " .. file .. "cert = " .. file .. "key = " .. file .. "client_auth = true, "
				.. "peer_ca = " .. file .. "peer_cert = " .. file .. "peer_key = " .. file
				.. "peer_client_auth = true }"):format(ca, crt, key, ca, crt, key) }
		found(w, "a b c", 1)
	end)

	world.it("F2 staggered: the first waits for the others by name, then one cluster", function(w)
		w:list { "a", "b", "c" }
		local run = w:boot "a"
		world.wait(function()
			local log = run:log()
			return log:find("%f[%w]b%f[%W]") and log:find("%f[%w]c%f[%W]")
		end, 20, "a says that it waits for b and c")
		w:boot "b"
		world.wait(function()
			return w.machines.b.run:log() ~= ""
		end, 20, "b says something")
		never_founded(w, "a")
		never_founded(w, "b")
		w:boot "c"
		w:converge "a b c"
	end)

	world.it("F2 without the others it ends at the deadline and writes nothing", function(w)
		w:list { "a", "b", "c" }
		local code, run = w:ends("a", { "--timeout", "2" })
		assert.equal(3, code)
		assert.is_truthy(run:log():find "%f[%w]b%f[%W]" and run:log():find "%f[%w]c%f[%W]")
		never_founded(w, "a")
		assert.is_false(w:claimed "a")
	end)

	world.it("F3 black holes are unknown: never new", function(w)
		w:list { "a", "b", "c" }
		for _, name in ipairs { "b", "c" } do
			w:fault(name, "blackhole", w:address(name), "2379", "2380")
			for _, port in ipairs { 2379, 2380 } do
				local _, _, code = http.request { connect_timeout = 0.5, timeout = 1,
					url = ("http://%s:%d/"):format(w:address(name), port) }
				assert.equal("timeout", code)
			end
		end
		local code, run = w:ends("a", { "--timeout", "4" })
		assert.equal(3, code)
		assert.is_truthy(run:log():find "%f[%w]b%f[%W]" and run:log():find "%f[%w]c%f[%W]")
		never_founded(w, "a")
	end)

	world.it("F4 one survivor without quorum and two fresh machines: nobody founds", function(w)
		w:founded "a b c"
		w:kill "b"
		w:kill "c"
		world.wait(function()
			return not w:health "a"
		end, 20, "a has lost its quorum")
		w:list { "a", { "b", state = "dead" }, { "c", state = "dead" }, "d", "e" }
		w:boot("d", { "--timeout", "4" })
		w:boot("e", { "--timeout", "4" })
		for _, name in ipairs { "d", "e" } do
			local run = w.machines[name].run
			assert.is_truthy(run:exit() == 3 or run:exit() == 4)
			assert.is_truthy(run:log():find("quorum", 1, true))
			never_founded(w, name)
		end
		assert.equal("a b c", w:members("a").names)
	end)

	world.it("F6 refused is silence: an acknowledged write survives a lost disk", function(w)
		w:founded "a b c"
		w:pause "b"
		w:must_put("a", "w", "acknowledged")
		for name in ("a b c"):gmatch "%S" do
			w:kill(name)
		end
		w:wipe "c"
		local code = w:ends("c", { "--timeout", "3" })
		assert.equal(3, code)
		never_founded(w, "c")
		w:boot_all "c b a"
		w:converge "a b c"
		w:must_get("c", "w", "acknowledged")
		w:stop "a"
		w:must_get("c", "w", "acknowledged")
	end)

	-- They take part in the roll call and are ready, but never get to start their etcd.
	local held_back = { policy = { decide = [[function(facts)
		local plan = steady.decide(facts)
		return plan.action == "new" and { action = "wait", reason = "held back" } or plan
	end]] } }

	-- a has started as new with {a,b,c}; b and c were ready, and are off.
	local function only_a_started(w)
		w:list { "a", "b", "c" }
		w:boot "a"
		w:boot_all("b c", held_back)
		world.wait(function()
			local response = http.request { url = w:peer "a" .. "/members", timeout = 1 }
			local members = response and response.status == 200 and json.decode(response.body)
			return type(members) == "table" and #members == 3
		end, 30, "a has started as new, and its log names all three")
		w:kill "b"
		w:kill "c"
	end

	world.it("F7 a founder was replaced before its etcd ever ran", function(w)
		only_a_started(w)
		assert.is_true(w:claimed "c")
		w:wipe "b"
		w:list { "a", { "b", state = "dead" }, "c", "d" }
		w:boot_all "c d"
		w:converge "a c d"
	end)

	world.it("F7 both others were replaced: unused data is moved aside", function(w)
		only_a_started(w)
		w:list { "a", { "b", state = "dead" }, { "c", state = "dead" }, "d", "e" }
		w:stop "a"
		w:boot_all "a d e"
		w:converge "a d e"
		assert.is_true(#w:asides "a" >= 1)
	end)

	-- The log as etcd leaves it when it is killed right after it made it: zeros where its entries come.
	local function cut_before_entries(w, name)
		local path = w:machine(name).data .. "/member/wal/0000000000000000-0000000000000000.wal"
		local text, at = world.read(path), 1
		while true do
			local head = string.unpack("<i8", text, at)
			local length = (head & 0xffffffffffffff) + (head < 0 and head >> 56 & 7 or 0)
			if text:byte(at + 9) == 2 then break end -- the record's first field, its type: an entry
			at = at + 8 + length
		end
		world.write(path, text:sub(1, at - 1) .. ("\0"):rep(#text - at + 1))
	end

	world.it("F7 both others were replaced before this etcd wrote its first entries: its data is moved aside", function(w)
		only_a_started(w)
		w:list { "a", { "b", state = "dead" }, { "c", state = "dead" }, "d", "e" }
		w:stop "a"
		cut_before_entries(w, "a")
		w:boot_all "a d e"
		w:converge "a d e"
		assert.is_true(#w:asides "a" >= 1)
	end)

	world.it("a provider that hangs is waited for aloud", function(w)
		w:boot("a", { policy = { discover = "command { \"sleep\", \"600\", timeout = 600 }" } })
			:says("who the machines are is unknown: the provider has not answered within 10 s", 30)
		w:stop "a"
	end)

	local function announced(w, name)
		local response = http.request { url = w:peer(name) .. "/bootstrap", timeout = 2 }
		return response and response.status == 200 and json.decode(response.body).cluster_id
	end

	world.it("F7 a founder is gone from a list that trails: unused data waits for it to settle, then gives way", function(w)
		only_a_started(w)
		w:wipe "c"
		w:list { "a", "c", "d", lag = 2 }
		w:stop "a"
		w:boot_all "c d"
		world.wait(function()
			return announced(w, "c") and announced(w, "d")
		end, 20, "c and d answer the roll call")
		w:boot "a"
		w:converge "a c d"
		assert.is_true(#w:asides "a" >= 1)
	end)

	world.it("F7 both others were replaced at their own addresses: unused data is moved aside", function(w)
		only_a_started(w)
		w:stop "a"
		w:machine("d", { address = w:address "b" })
		w:machine("e", { address = w:address "c" })
		w:list { "a", "d", "e" }
		w:boot_all "d e"
		world.wait(function()
			return announced(w, "d") and announced(w, "e")
		end, 20, "d and e answer the roll call")
		w:boot "a"
		w:converge "a d e"
		assert.is_true(#w:asides "a" >= 1)
	end)

	world.it("F8 claims for a machine that was replaced at its address are given up", function(w)
		w:list { "a", "b", "c" }
		w:boot_all("a b c", held_back)
		world.wait(function()
			return w:claimed "a" and w:claimed "b" and w:claimed "c"
		end, 30, "all have claimed their places")
		for name in ("a b c"):gmatch "%S" do
			w:kill(name)
		end
		w:machine("d", { address = w:address "c" })
		w:list { "a", "b", "d" }
		w:boot_all "a b d"
		w:converge "a b d"
	end)

	world.it("F8 lists that differ: nobody founds until they agree", function(w)
		w:list { "a", { "b", state = "dead" }, "c", "d" }
		w:list({ "a", "b", "c" }, "a")
		w:boot_all "a c d"
		world.wait(function()
			local a, d = announced(w, "a"), announced(w, "d")
			return a and d and a ~= d
		end, 20, "a and d announce two different clusters")
		for _ = 1, 20 do
			task.sleep(0.1)
			for name in ("a c d"):gmatch "%S" do
				never_founded(w, name)
			end
		end
		w:list({ "a", { "b", state = "dead" }, "c", "d" }, "a")
		w:converge "a c d"
	end)

	-- Whatever cluster ids these machines' etcds tell of until `over` holds, each as a key.
	local function clusters_seen(w, names, over)
		local seen = {}
		return task.spawn(function()
			repeat
				for name in names:gmatch "%S+" do
					local answer = w:health(name) and w:members(name)
					if answer then
						seen[answer.cluster_id] = true
					end
				end
				task.sleep(0.1)
			until over.now
			return seen
		end)
	end

	-- One machine after the other is told of five, while three were to found.
	local function resized(w, order, begin)
		local all, three, over = "a b c d e", { "a", "b", "c" }, {}
		for name in all:gmatch "%S" do
			w:list(three, name)
		end
		local watching = clusters_seen(w, all, over)
		begin()
		for name in order:gmatch "%S" do
			w:list({ "a", "b", "c", "d", "e" }, name)
			if not w.machines[name].run then
				w:boot(name)
			end
			task.sleep(math.random() * 0.5)
		end
		local id = w:converge(all, 90)
		over.now = true
		local seen = watching:join()
		assert.same({ [id] = true }, seen)
	end

	world.it("F9 the desired size changes while the first machines wait: one cluster", function(w)
		resized(w, "d a c b e", function()
			w:boot "a"
			w:boot("b"):says "waits for c"
		end)
	end)

	world.it("F9 the desired size changes while three are founding: one cluster", function(w)
		resized(w, "e d b a c", function()
			w:boot_all "a b c"
			world.wait(function()
				return w:claimed "a" or w:claimed "b" or w:claimed "c"
			end, 30, "one of three has claimed", 0.005)
		end)
	end)

	-- b is to take the place of a, which still lives: b ends at its deadline and founds nothing.
	local function waits(w, list, text)
		w:list(list)
		local code, run = w:ends("b", { "--timeout", "3" })
		assert.equal(3, code)
		assert.is_truthy(run:log():find(text, 1, true), run:log())
		never_founded(w, "b")
	end

	world.it("F10 size 1: while the old machine lives, running, stopped or empty, the new one never founds", function(w)
		local overlap = { { "a", state = "leaving" }, "b", desired = 1 }
		local id = w:founded "a"
		waits(w, overlap, "1 voter of 1 wanted already")
		waits(w, { "a", "b", desired = 1 }, "1 voter of 1 wanted already")
		w:kill "a"
		waits(w, overlap, "leaving")
		waits(w, { "a", "b", desired = 1 }, "2 living machines, 1 is wanted")
		w:list(overlap)
		w:boot "a"
		assert.equal(id, w:converge "a")
		w:kill "a"
		w:wipe "a"
		w:list(overlap)
		w:boot("a", { "--timeout", "30" })
		waits(w, overlap, "leaving")
		never_founded(w, "a")
	end)

	-- The member at a machine's address, as another's etcd lists it
	local function listed_at(w, name, via)
		local response = http.request { url = w:peer(via) .. "/members", timeout = 3 }
		for _, member in ipairs(response and json.decode(response.body) or {}) do
			if member.peerURLs[1] == w:peer(name) then
				return member
			end
		end
	end

	world.it("F11 c took a write, its start unknown to b, and lost its disk: it never takes that slot again", function(w)
		w:list { "a", "b", "c" }
		w:boot_all "a b"
		w:boot("c", held_back)
		world.wait(function()
			return w:health "a" and w:health "b"
		end, 30, "a and b have founded")
		w:kill "b"
		w:kill "c"
		w:boot "c"
		w:must_put("c", "w", "acknowledged")
		w:kill "a"
		w:kill "c"
		w:wipe "c"
		w:boot "b"
		local slot = world.wait(function()
			return listed_at(w, "c", "b")
		end, 30, "b's etcd lists its peers")
		assert.same({}, slot.clientURLs or {})
		local code, run = w:ends("c", { "--timeout", "3" })
		assert.equal(3, code, run:log())
		never_founded(w, "c")
		local careless = "function() return { action = \"start\", reason = \"careless\" } end"
		code, run = w:ends("c", { "--timeout", "2", policy = { decide = careless } })
		assert.equal(4, code)
		assert.is_truthy(run:log():find("[amnesia]", 1, true) or run:log():find("[data-dir]", 1, true), run:log())
		never_founded(w, "c")
		w:boot_all "a c"
		w:converge "a b c"
		assert.not_equal(tostring(slot.id), w:members("b").by.c.id)
		w:must_get("c", "w", "acknowledged")
		w:kill "a"
		w:must_get("b", "w", "acknowledged")
	end)
end)
