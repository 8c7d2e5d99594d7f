-- The command line: verbs, options, exit statuses, and what the examples say.
local fs = require "core.fs"
local modules = require "modules"
local proc = require "core.proc"
local scratch = require "spec.scratch"
local task = require "core.task"

local BINARY = os.getenv "ETCD_BOOTSTRAP" or "build/etcd-bootstrap"
local GOOD = "return { discover = static { '127.0.0.2', self = '127.0.0.2' } }"

describe("the command line", function()
	local here

	before_each(function() here = scratch.new() end)
	after_each(function() here:remove() end)

	local function call(...)
		return assert(proc.run { BINARY, timeout = 20, ... })
	end

	local function policy(text) return here:write("p.lua", text or GOOD) end

	local refused = {
		{ {}, "usage: etcd%-bootstrap VERB" },
		{ { "rnu" }, "unknown verb rnu; did you mean run%?" },
		{ { "supervise", "P" }, "unknown verb supervise" },
		{ { "check" }, "a policy file is missing" },
		{ { "check", "P", "P" }, "one policy file expected" },
		{ { "check", "--jsno", "P" }, "unknown option %-%-jsno; did you mean %-%-json%?" },
		{ { "run", "--record", "x", "P" }, "unknown option %-%-record" },
		{ { "check", "P", "--timeout" }, "%-%-timeout: a value is missing" },
		{ { "check", "P", "--timeout", "-3" }, "%-%-timeout: %-3: seconds expected" },
		{ { "check", "P", "--timeout=soon" }, "%-%-timeout: soon: seconds expected" },
		{ { "check", "P", "--timeout=nan" }, "seconds expected" },
		{ { "check", "P", "--json=1" }, "%-%-json takes no value" },
		{ { "check", "P", "--set", "x" }, "%-%-set: x: K=V expected" },
		{ { "check", "P", "--output", "=env" }, "%-%-output: =env: PATH or PATH=TEMPLATE expected" },
		{ { "check", "P", "--output", "/x=evn" }, ": %-%-output /x: no template \"evn\"; did you mean env%?" },
		{ { "check", "P", "--log-level", "inof" }, "did you mean info%?" },
		{ { "check", "P", "--log-format", "xml" }, "%-%-log%-format: xml is none of text, json, journald\n" },
		{ { "check", "P", "--override", "rol-call" }, "no rule rol%-call; did you mean roll%-call%?" },
		{ { "check", "P", "--override", "rivals" }, "the rule rivals has no override" },
		{ { "check", "P", "--override", "data-dir" }, "the rule data%-dir has no override" },
		{ { "check", "P", "--override", "amnesia" }, "the rule amnesia has no override" },
		{ { "check", "/nonexistent/p.lua" }, "/nonexistent/p.lua" },
		{ { "lua" }, "a Lua file is missing" },
		{ { "version", "x" }, "takes no arguments" },
	}
	for _, case in ipairs(refused) do
		it("ends with 2 for " .. table.concat(case[1], " "), function()
			local argv = {}
			for i, word in ipairs(case[1]) do argv[i] = word == "P" and policy() or word end
			local result = call(table.unpack(argv))
			assert.equal(2, result.status)
			assert.equal("", result.stdout)
			assert.truthy(result.stderr:find(case[2]), result.stderr)
		end)
	end

	it("names file, line and key of what is wrong in a policy", function()
		for _, verb in ipairs { "check", "run", "plan", "status" } do
			local result = call(verb, policy "return {\n\tdiscovr = 1 }")
			assert.equal(2, result.status)
			assert.equal("", result.stdout)
			assert.equal(("etcd-bootstrap: error: %s:2: discovr: unknown key; did you mean discover?\n"):format(here:path "p.lua"),
				result.stderr)
		end
	end)

	it("checks a policy, options before and after it, all given to it", function()
		local path = policy [[
			assert(args[1] == "--json" and args[2] == "y" and #args == 2 and args.k == "a=b" and args.l == "")
			return { discover = static { "127.0.0.2" } }
		]]
		local result = call("check", "--set", "k=a=b", "--timeout=1.5", path, "--json", "--set=l=", "--override", "roll-call",
			"--override=paused", "--output", "-=json", "--output", "/x", "--no-exec", "--", "--json", "y")
		assert.same({ 0, path .. ": ok\n", "" }, { result.status, result.stdout, result.stderr })
	end)

	it("prints help on stdout, and names every verb and option there", function()
		local help = call "help"
		assert.same({ 0, "" }, { help.status, help.stderr })
		assert.equal(help.stdout, call "--help".stdout)
		assert.equal(help.stdout, call("run", "--help").stdout)
		for word in ([[run plan status check modules lua version help --timeout --output --json --override --no-exec --path --set
			--log-level --log-format]]):gmatch "%S+" do
			assert.truthy(help.stdout:find("\n  " .. word, 1, true), word)
		end
	end)

	it("prints a version", function()
		local result = call "version"
		assert.equal(0, result.status)
		assert.truthy(result.stdout:find "^etcd%-bootstrap %d+%.%d+%.%d+\n$")
	end)

	it("lists the modules and which file wins", function()
		local mine = here:write("providers/static.lua", "return 1")
		here:write("policies/own.lua", "return 1")
		local result = call("modules", "--path", here.dir)
		assert.equal(0, result.status)
		assert.truthy(result.stdout:find("providers.static%s+" .. mine:gsub("%p", "%%%0") .. "\n"), result.stdout)
		assert.truthy(result.stdout:find("policies.own%s+/"))
		assert.truthy(result.stdout:find("policies.steady%s+%(binary%)\n"))
	end)

	it("knows every module that may be replaced", function()
		local found = {}
		for _, kind in ipairs(modules.kinds) do
			for _, file in ipairs(fs.list("lua/" .. kind) or {}) do
				found[#found + 1] = kind .. "." .. file:gsub("%.lua$", "")
			end
		end
		table.sort(found)
		assert.same(found, modules.shipped)
	end)

	for name, number in pairs { TERM = 15, INT = 2, HUP = 1 } do
		it("ends with 128 + n on " .. name .. " and lets go of what it held", function()
			local path = policy [[
				return {
					discover = function()
						local mine <close> = setmetatable({}, { __close = function() fs.write(args.dir .. "/closed", "") end })
						fs.write(args.dir .. "/asked", "")
						task.sleep(3600)
					end,
					etcd = { data_dir = args.dir .. "/data", version = "3.4.23" },
				}
			]]
			local child = assert(proc.spawn { BINARY, "run", path, "--set", "dir=" .. here.dir, stderr = "null" })
			while not fs.stat(here:path "asked") do task.sleep(0.01) end
			assert(child:kill(name))
			assert.equal(128 + number, child:wait().status)
			assert.truthy(fs.stat(here:path "closed"))
		end)
	end
end)

describe("examples", function()
	local NEEDED = { ["etcd-discovery.lua"] = { "--", "-environment-file=/x", "-etcd-client-schema=http", "-etcd-peer-scheme=http" } }

	local function loads(file)
		it(file .. " loads and is short", function()
			local path = "examples/" .. file
			local result = assert(proc.run { BINARY, "check", path, timeout = 20, table.unpack(NEEDED[file] or {}) })
			assert.same({ 0, path .. ": ok\n", "" }, { result.status, result.stdout, result.stderr })
			local text = assert(fs.read(path))
			local _, lines = text:gsub("\n", "")
			assert.truthy(lines <= (text:find "^%-%- In place of" and 70 or 25), lines .. " lines")
		end)
	end

	for _, file in ipairs(assert(fs.list "examples")) do
		if file:find "%.lua$" then loads(file) end
	end

	it("own-rule.lua evicts nobody in working hours but this machine's own slot", function()
		local policies = require "policy"
		local p = assert(policies.load "examples/own-rule.lua")
		local steady, proposed = require "policies.steady", nil
		local real = steady.decide
		steady.decide = function() return proposed end
		local function action(hour, plan)
			proposed = plan
			return assert(policies.decide(p, { now = 1700006400 + hour * 3600 })).action
		end
		local evict = { action = "remove", reason = "dead", member = "7" }
		local own = { action = "remove", reason = "mine", member = "7", own = true }
		local got = { action(6, evict), action(7, evict), action(18, evict), action(19, evict), action(12, own) }
		steady.decide = real
		assert.same({ "remove", "wait", "wait", "remove", "remove" }, got)
	end)
end)
