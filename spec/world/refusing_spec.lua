-- refusing_spec.lua - W3, W4: careless policies meet the gate; nothing is left open.

local assert = require "luassert"
local json = require "core.json"
local cluster = require "spec.world.cluster"
local world = require "spec.world.world"

local function careless(plan)
	return "function(facts)\n\t\treturn " .. plan .. "\n\tend"
end

-- The run ends with 4 and the last refusal names its rule, and says enough for a person.
local function refused(w, name, rule, plan, o)
	o = o or {}
	o[1], o[2] = "--timeout", "1.5"
	o.policy = o.policy or {}
	o.policy.decide = plan and careless(plan) or nil
	local code, run = w:ends(name, o)
	assert.equal(4, code)
	local message
	for line in run:log():gmatch "[^\n]+" do
		if line:sub(-#rule - 3) == " [" .. rule .. "]" then
			message = line
		end
	end
	assert.is_truthy(message, "a line ends in [" .. rule .. "]: " .. run:log())
	print("    " .. message)
	local _, words = message:gsub("%S+", "")
	assert.is_true(words >= 10, "it says what was seen and what to do")
	local last = run:log():match "etcd%-bootstrap: error: ([^\n]+)\n*$"
	assert.matches("^gave up after .* refused: .* %[" .. rule:gsub("%-", "%%-") .. "%]$", last)
	assert.is_nil(w:output(name))
end

local new = "{ action = \"new\", reason = \"careless\", members = facts.founding and facts.founding.list }"
local claim = new:gsub("\"new\"", "\"claim\"")

describe("refusing", function()
	world.it("W3 paused", function(w)
		w:list { "a" }
		world.succeed("mkdir", "-p", w:machine("a").data .. ".state")
		world.write(w.machines.a.data .. ".state/pause", "")
		refused(w, "a", "paused", claim)
	end)

	world.it("W3 incomplete-list", function(w)
		w:list { "a", complete = false }
		refused(w, "a", "incomplete-list", claim)
	end)

	world.it("W3 desired-size", function(w)
		w:list { "a", desired = 3 }
		refused(w, "a", "desired-size", claim)
	end)

	world.it("W3 leaving", function(w)
		w:list { "a", { "b", state = "leaving" }, desired = 1 }
		refused(w, "a", "leaving", claim)
	end)

	world.it("W3 roll-call", function(w)
		w:list { "a", "b" }
		refused(w, "a", "roll-call", claim)
		refused(w, "a", "roll-call", new)
	end)

	world.it("W3 rivals", function(w)
		w:list({ "a" }, "a")
		w:list({ "b" }, "b")
		w:boot_all "a b"
		w:converge "a"
		w:converge "b"
		w:list { "a", "b", "c" }
		refused(w, "c", "rivals", "{ action = \"add\", learner = true, reason = \"careless\" }")
		local code = w:ends("c", { "--timeout", "5" })
		assert.equal(5, code)
		assert.equal(5, (w:ends("c", { verb = "status" })))
	end)

	world.it("W3 amnesia: an unstarted slot that this disk has no claim to", function(w)
		w:founded "a b c"
		world.wait(function()
			return cluster.add(w:client "a", w:peer "d")
		end, 30, "a slot for d is added by hand")
		w:list { "a", "b", "c", "d", desired = 4 }
		refused(w, "d", "amnesia", "{ action = \"start\", reason = \"careless\" }")
	end)

	world.it("W3 not-proven-dead, quorum-after, version", function(w)
		w:founded "a b c"
		w:list { "a", "b", "c", "d", desired = 4 }
		refused(w, "d", "not-proven-dead",
			"{ action = \"remove\", member = facts.cluster.members[1].id, reason = \"careless\" }")
		refused(w, "d", "version", "{ action = \"start\", reason = \"careless\" }",
			{ etcd = { version = "\"3.3.10\"" } })
		w:kill "c"
		refused(w, "d", "quorum-after", "{ action = \"add\", learner = false, reason = \"careless\" }")
		assert.equal(3, #w:members("a").all)
	end)

	world.it("W3 pending", function(w)
		w:founded "a b c"
		w:kill "c"
		local dead = w:members("a").by.c.id
		world.wait(function()
			return cluster.remove(w:client "a", dead)
		end, 20, "c is removed")
		world.wait(function()
			return cluster.add(w:client "a", w:peer "e")
		end, 30, "a slot for e is added by hand")
		w:list { "a", "b", "e", "d", desired = 4 }
		refused(w, "d", "pending", "{ action = \"add\", learner = true, reason = \"careless\" }")
	end)

	world.it("W3 data-dir", function(w)
		w:founded "a"
		w:stop "a"
		assert(os.remove(w.machines.a.output))
		refused(w, "a", "data-dir", "{ action = \"aside\", reason = \"careless\" }")
		assert.is_true(w:has_log "a")
	end)

	world.it("a copy of a living member's disk starts nowhere, moves nobody and leaves nothing", function(w)
		local function copy()
			w:wipe "d"
			world.succeed("cp", "-r", w.machines.c.data, w:machine("d").data)
		end
		w:founded "a b c"
		w:list { "a", "b", "c", "d", desired = 3 }
		w:machine "d"
		copy()
		refused(w, "d", "data-dir")
		refused(w, "d", "data-dir", nil, { verb = "leave" })
		assert.equal(w:peer "c", w:members("a").by.c.peer)
		w:converge "a b c"
		w:stop "c"
		copy()
		w:must_put("a", "k", "v")
		w:boot "d" -- a disk that has moved
		w:converge "a b d"
		assert.equal(w:peer "d", w:members("a").by.d.peer)
		w:must_get("d", "k", "v")
	end)

	world.it("W4 no descriptor reaches what run ends in, and the limit of files is the old one", function(w)
		local seen = w.root .. "/seen"
		w:list { "a" }
		local script = "ulimit -n; for f in /proc/$$/fd/*; do echo ${f##*/} $(readlink $f); done"
		local code = w:ends("a", { wrap = { "sh", "-c", "ulimit -Sn 512; exec \"$@\"", "sh" },
			policy = { exec = ("{ \"sh\", \"-c\", %q }"):format("{ " .. script .. "; } >" .. seen .. " 2>&1") } })
		assert.equal(0, code)
		local text = world.read(seen)
		assert.equal("512", text:match "^%d+")
		for descriptor in text:gmatch "\n(%d+) /[^\n]*" do
			-- 10 and above are the shell's own; it saves its standard output there.
			assert.is_true(tonumber(descriptor) <= 2 or tonumber(descriptor) >= 10, text)
		end
		assert.is_falsy(text:find("socket:", 1, true))
		assert.is_falsy(text:find("anon_inode", 1, true))
	end)

	world.it("W4 1,000 endpoints with 64 open files: right, or a clear error, never refused", function(w)
		local entries = { "a" }
		local silent = {}
		for i = 1, 999 do
			local name = ("m%03d"):format(i)
			w:machine(name, { address = ("127.16.%d.%d"):format(i // 250, i % 250 + 1) })
			entries[#entries + 1] = name
		end
		for i = 1, 5 do
			local name = ("m%03d"):format(i * 190)
			silent[name] = true
			w:fault(name, "answer", "hang", w:address(name), "2379", "2380")
		end
		w:list(entries)
		local _, run = w:ends("a", { "--json", verb = "status", seconds = 60,
			wrap = { "sh", "-c", "ulimit -n 64; exec \"$@\"", "sh" } })
		local seen = json.decode(run:stdout())
		if not seen then
			assert.is_truthy(run:log():find "open files" or run:log():find "descriptor")
			return
		end
		for _, instance in ipairs(seen.instances) do
			if silent[instance.name] then
				assert.equal("unknown", instance.probe)
			elseif instance.name ~= "a" then
				assert.is_truthy(instance.probe == "refused" or instance.probe == "unknown")
				assert.is_truthy(instance.probe == "refused" or instance.why ~= "")
			end
		end
	end)

	world.it("changes nothing for a program that is not there", function(w)
		w:list { "a" }
		local code, run = w:ends("a", { policy = { exec = "{ \"no-such-etcd\" }" } })
		assert.equal(1, code)
		assert.matches("no%-such%-etcd", world.read(run.err))
		assert.is_nil(world.read(w.machines.a.data .. "/member/claim.json"))
	end)

	world.it("tells what it could not write before the cluster is changed for it", function(w)
		w:founded "a b c"
		w:list { "a", "b", "c", "d", desired = 4 }
		local file = w:machine("d").output
		world.write(w.root .. "/file", "")
		local cases = {
			{ policy = { output = ("{ [%q] = \"env\" }"):format(w.root .. "/none/d.env") }, says = "make its directory first" },
			{ policy = { output = ("{ [%q] = { owner = \"no-such-user\" } }"):format(file) }, says = "no%-such%-user" },
			{ policy = { output = ("{ [%q] = function() error \"oh\" end }"):format(file) }, says = "oh" },
			{ policy = { exec = "function() error \"oh\" end" }, says = "exec failed: .*oh" },
			{ etcd = { name = "\"c c\"" }, says = "ETCD_NAME contains" },
			{ etcd = { data_dir = "\"/proc/none/d\"" }, says = "no claim could be written",
				policy = { state_dir = ("%q"):format(w.root .. "/d.state") } },
		}
		for _, case in ipairs(cases) do
			local code, run = w:ends("d", case)
			assert.equal(1, code)
			assert.matches("error: [^\n]*" .. case.says, run:log())
			assert.equal(3, #w:members("a").all)
		end
		w:boot "d"
		w:converge "a b c d"
	end)

	world.it("a claim that cannot be written is told once, and is what the run failed of", function(w)
		w:list { "a" }
		local code, run = w:ends("a", { "--timeout", "1.5", etcd = { data_dir = "\"/proc/none/a\"" },
			policy = { state_dir = ("%q"):format(w.root .. "/a.state") } })
		assert.equal(1, code)
		local _, times = run:log():gsub("error: claim failed: cannot make", "")
		assert.equal(1, times)
		assert.matches("gave up after 1.5 s: claim failed: cannot make [^\n]*\n*$", run:log())
	end)

	world.it("a plan that is none ends with 2, and intact data is started all the same", function(w)
		w:list { "a" }
		local cases = {
			"{ action = \"wait\", reason = \"x\", waiting_for = { \"b\" } }",
			"{ action = \"fail\", reason = \"x\", exit = 0 }",
			"setmetatable({}, { __index = function() error {} end })",
		}
		for _, plan in ipairs(cases) do
			local code, run = w:ends("a", { policy = { decide = careless(plan) } })
			assert.equal(2, code)
			assert.matches("did not return a plan", run:log())
		end
		w:founded "a"
		for _, plan in ipairs(cases) do
			w:stop "a"
			w:boot("a", { policy = { decide = careless(plan) } })
			w:must_put("a", "k", "v")
		end
	end)

	world.it("names a flag whose variable is set before anything is changed, and etcd would die of it", function(w)
		w:list { "a" }
		local code, run = w:ends("a", { policy = { exec = "{ \"etcd\", \"--name=a\" }" } })
		assert.equal(1, code)
		assert.matches("exec has %-%-name, and ETCD_NAME is set by this policy", run:log())
		code, run = w:ends("a", { env = { ETCD_LOGGER = "" } })
		assert.equal(1, code)
		assert.matches("exec has %-%-logger, and ETCD_LOGGER is in the environment", run:log())
		assert.is_nil(world.read(w.machines.a.data .. "/member/claim.json"))
		w:founded "a"
		w:stop "a"
		code, run = w:ends("a", { policy = { exec = "{ \"etcd\", \"--name=a\" }" } })
		assert.equal(1, code)
		assert.matches("exec has %-%-name.*shadowed", run:log())
	end)

	world.it("lets etcd inherit what nobody here sets, and says what gives way", function(w)
		w:list { "a" }
		w:boot("a", { env = { ETCD_NAME = "z", ETCD_QUOTA_BACKEND_BYTES = "1048576", ETCD_WAL_DIR = w.root .. "/wal" } })
		w:converge "a"
		local log = w.machines.a.run:log()
		assert.matches("warn: ETCD_NAME stood in the environment with another value", log)
		assert.matches("1048576", log)
		assert.is_truthy(world.read(w.root .. "/wal/0000000000000000-0000000000000000.wal"))
		w:stop "a"
		w:boot("a", { env = { ETCD_WAL_DIR = w.root .. "/wal" } })
		w:must_put("a", "k", "v")
		assert.matches("start: the data is of member", w.machines.a.run:log())
	end)

	world.it("ETCD_FORCE_NEW_CLUSTER was left in the environment: nobody is thrown out", function(w)
		w:founded "a b c"
		w:stop "c"
		w:boot("c", { env = { ETCD_FORCE_NEW_CLUSTER = "true" } })
		w.machines.c.run:says "starts etcd"
		assert.matches("warn: ETCD_FORCE_NEW_CLUSTER stood in the environment", w.machines.c.run:log())
		w:must_put("c", "k", "v")
		w:must_get("a", "k", "v")
		w:converge "a b c"
	end)
end)
