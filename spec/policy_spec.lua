-- Policy files: defaults, free names, and every way to get one wrong.
local modules = require "modules"
local policy = require "policy"
local scratch = require "spec.scratch"

describe("policy", function()
	local here

	before_each(function() here = scratch.new() end)
	after_each(function()
		here:remove()
		modules.setup {}
		modules.env = nil
	end)

	local function load(text, options)
		return policy.load(here:write("p.lua", text), options)
	end

	local STATIC = "discover = static { '127.0.0.2', self = '127.0.0.2' }"

	it("fills in every default of the contract", function()
		local p = assert(load("return { " .. STATIC .. " }"))
		assert.same({ 300, 2, "rollcall", "/var/lib/etcd.state" }, { p.timeout, p.interval, p.found, p.state_dir })
		assert.same({ { path = "-", template = "env" } }, p.output)
		assert.same({
			data_dir = "/var/lib/etcd", token = "etcd-cluster", scheme = "http", peer_scheme = "http",
			client_port = 2379, peer_port = 2380, address = "private_v4", connect_timeout = 2,
			probe_timeout = 5, tls = { verify = true }, extra = {},
		}, p.etcd)
		assert.equal(require "policies.steady".decide, p.decide)
	end)

	it("keeps false apart from absent", function()
		local p = assert(load("return { " .. STATIC .. ", etcd = { data_dir = false, tls = { verify = false } } }"))
		assert.same({ false, false, "/var/lib/etcd-bootstrap" }, { p.etcd.data_dir, p.etcd.tls.verify, p.state_dir })
	end)

	local wrong = {
		{ "x = 1", ":1: .*global \"x\" is assigned" },
		{ "string = 1", ":1: .*global \"string\" is assigned" },
		{ "return", "returns a table, this one returned nothing" },
		{ "return 7", "returns a table, this one returned 7" },
		{ "return {", ":1: " },
		{ "while true do end", ":1: stopped after" },
		{ "return {}", "discover is missing" },
		{ "return {\n\tdiscover = {},\n}", ":2: discover: a function expected, got a table" },
		{ "return { discover = static {} }", ":1: static: no machine is listed" },
		{ "return { discover = static }", "discover: a function expected, got a maker" },
		{ "return {\n S,\n\tdecid = 1 }", ":3: decid: unknown key; did you mean decide%?" },
		{ "return { S,\n etcd = {\n client_port = 70000 } }", ":3: etcd.client_port: .*1 to 65535.*70000" },
		{ "return { S, etcd = { client_port = '2379' } }", "etcd.client_port: a whole number" },
		{ "return { S, etcd = { client_prot = 1 } }", "etcd.client_prot: unknown key; did you mean client_port%?" },
		{ "return { S, etcd = { tls = { crt = 'x' } } }", "etcd.tls.crt: unknown key; did you mean cert%?" },
		{ "return { S, etcd = { tls = { cert = 'x' } } }", "etcd.tls.cert: cert and key belong together" },
		{ "return { S, etcd = { user = 'x' } }", "etcd.user: etcd.user and etcd.password_file belong together" },
		{ "return { S, etcd = { password_file = '/x' } }", "etcd.password_file: .* belong together" },
		{ "return { S, etcd = { user = 1, password_file = '/x' } }", "etcd.user: a string" },
		{ "return {\n S, etcd = {\n scheme = 'https' } }", ":3: etcd.scheme: https needs etcd.tls.cert and etcd.tls.key, or etcd.tls.auto" },
		{ "return { S, etcd = { peer_scheme = 'https', tls = { cert = '/c', key = '/k' } } }",
			"etcd.peer_scheme: https needs etcd.tls.peer_cert and etcd.tls.peer_key, or etcd.tls.peer_auto" },
		{ "return { S, etcd = { tls = { client_auth = true, peer_ca = '/c' } } }", "etcd.tls.client_auth: whose certificates%? etcd.tls.ca is missing" },
		{ "return { S, etcd = { tls = { peer_auto = true, peer_cert = '/c', peer_key = '/k' } } }",
			"etcd.tls.peer_auto: .* only where peer_cert is left out" },
		{ "return { S, marker = 1 }", "marker: a marker, as file .* expected, got 1" },
		{ "return { S, marker = { read = print } }", "unknown name \"print\"" },
		{ "return { S, marker = { read = next } }", "marker: a marker, as file .* expected, got a table" },
		{ "return { S, marker = file }", "marker: a marker, as file .* expected, got a maker; call it" },
		{ "return { S, marker = file { path = 'x' } }", ":1: file: path: an absolute path expected, got \"x\"" },
		{ "return { S, marker = file { mount = '/x' } }", ":1: file: path is needed" },
		{ "return { S, marker = file { path = '/x', pth = '/x' } }", ":1: file: unknown option pth; did you mean path%?" },
		{ "return { S, marker = file '/x' }", ":1: file: a table of options expected, got \"/x\"" },
		{ "return { S, marker = s3 { bucket = 'b', ky = 'k' } }", ":1: s3: unknown option ky; did you mean key%?" },
		{ "return { S, marker = s3 { bucket = 'b' } }", ":1: s3: bucket and key are needed" },
		{ "return { S, marker = s3 { bucket = 'a b', key = 'k' } }", ":1: s3: bucket: the name of a bucket expected" },
		{ "return { S, marker = s3 { bucket = 'b', key = 'k', region = 'x y' } }", ":1: s3: region: the name of a region" },
		{ "return { S, decide = steady { evict_afer = 600 } }", ":1: steady: unknown option evict_afer; did you mean evict_after%?" },
		{ "return { S, decide = steady { evict_after = -1 } }", ":1: steady: evict_after: seconds, 0 or more, expected, got %-1" },
		{ "return { S, decide = steady { evict_after = 0/0 } }", ":1: steady: evict_after: seconds" },
		{ "return { S, decide = steady { evict = 0 } }", ":1: steady: evict: true or false expected, got 0" },
		{ "return { S, decide = cautious(600) }", ":1: steady: a table of options expected, got 600" },
		{ "return { discover = aws.asg }", ":1: discover: a function expected, got a maker; call it" },
		{ "return { discover = aws.asgs() }", ":1: aws has no asgs; did you mean asg%?" },
		{ "return { discover = aws.asg { nmae = 'x' } }", ":1: aws.asg: unknown key \"nmae\"; did you mean name%?" },
		{ "return { S, register = 1 }", "register: a table expected, got 1" },
		{ "return {\n S, register = { static } }", ":2: register: entry 1: a registrar, which is a function, expected, got a maker; call it" },
		{ "return { S, register = { next, 'route53' } }", "register: entry 2: a registrar, .* got \"route53\"" },
		{ "return { S, register = { dns = next } }", "register: a list of registrars expected, got the key \"dns\"" },
		{ "return { S, register = { rout53 {} } }", "unknown name \"rout53\"" },
		{ "return { S, timeout = -1 }", "timeout: seconds, 0 or more, expected, got %-1" },
		{ "return { S, timeout = 0/0 }", "timeout: seconds" },
		{ "return { S, interval = 0 }", "interval: seconds, more than 0" },
		{ "return { S, size = 0 }", "size: a whole number" },
		{ "return { S, size = 2.5 }", "size: a whole number" },
		{ "return { S, found = 'refuse' }", "found: \"rollcall\" or \"refused\" expected, got \"refuse\"" },
		{ "return { S, exec = 'etcd' }", "exec: a list of strings" },
		{ "return { S, exec = {} }", "exec: a list of strings, .* got an empty list" },
		{ "return { S, exec = { 'etcd', 1 } }", "exec: a list of strings, .* got 1 as word 2" },
		{ "return { S, exec = { 'etcd', name = 'x' } }", "exec: a list of strings, .* got \"x\" as the key \"name\"" },
		{ "return { S, output = { ['/x'] = 'evn' } }", "output%[\"/x\"%]: no template \"evn\"; did you mean env%?" },
		{ "return { S, output = { ['/x'] = { mode = '999' } } }", "output%[\"/x\"%].mode: a file mode" },
		{ "return { S, output = {} }", "output: no output is named" },
		{ "return { S, output = { 'env' } }", "output: a path or \"%-\" expected, got 1" },
		{ "return { S, etcd = { address = 'private' } }", "etcd.address: private_v4, .* expected" },
		{ "return { S, etcd = { address = '10.0.0.0/99' } }", "etcd.address: " },
		{ "return { S, etcd = { listen = 'a b' } }", "etcd.listen: " },
		{ "return { S, etcd = { listen = { client = {'x'} } } }", "etcd.listen: " },
		{ "return { S, etcd = { extra = { ETCD_NAME = 'x' } } }", "extra.ETCD_NAME: is made from" },
		{ "return { S, etcd = { extra = { ETCD_FORCE_NEW_CLUSTER = true } } }", "extra.ETCD_FORCE_NEW_CLUSTER: throws every other" },
		{ "return { S, etcd = { extra = { FOO = 'x' } } }", "etcd.extra: a table as in .* expected, got FOO = \"x\"" },
		{ "return { S, etcd = { extra = { 'x' } } }", "etcd.extra: .* expected, got %[1%] = \"x\"" },
		{ "return { S, etcd = { name = 'a,b' } }", "etcd.name: a name of one line without , and =, or a function expected, got \"a,b\"" },
		{ "return { S, etcd = { name = 'a=b' } }", "etcd.name: .* got \"a=b\"" },
		{ "return { S, etcd = { peer_port = 2379 } }", "are both 2379" },
		{ "return { discover = statik {} }", ":1: unknown name \"statik\"; did you mean static%?" },
		{ "print 'x'", ":1: unknown name \"print\"; .*log.info" },
		{ "return { discover = require 'mine' }", ":1: no module \"mine\"" },
		{ "error 'my own words'", ":1: my own words" },
		{ "error {}", "p.lua: error raised a table" },
		{ "return setmetatable({ S }, { __index = function() error {} end })", "p.lua: error raised a table" },
	}
	for _, case in ipairs(wrong) do
		it("refuses " .. case[1]:gsub("%s+", " "), function()
			local text = case[1]:gsub("%f[%w]S%f[%W]", STATIC)
			local p, why, code = load(text)
			assert.is_nil(p)
			assert.equal("usage", code)
			assert.truthy(why:find(here:path "p.lua", 1, true), why)
			assert.truthy(why:find(case[2]), why)
		end)
	end

	it("takes what Lua's own loader takes before the first line", function()
		for _, head in ipairs { "\xEF\xBB\xBF", "#!/usr/bin/etcd-bootstrap run", "\xEF\xBB\xBF#!/x" } do
			assert(load(head .. "\nreturn { " .. STATIC .. " }"))
			local _, why = load(head .. "\nreturn { " .. STATIC .. ",\n decid = 1 }")
			assert.truthy(why:find("p.lua:3: decid", 1, true), why)
		end
	end)

	it("does not take a comment for the key", function()
		local _, why = load("-- timeout = 3\nreturn { " .. STATIC .. ",\ntimeout = -1 }")
		assert.truthy(why:find(":3: timeout", 1, true), why)
	end)

	it("names a missing file and a directory", function()
		local _, why, code = policy.load(here:path "none.lua")
		assert.truthy(why:find("none.lua", 1, true))
		assert.equal("usage", code)
		_, why, code = policy.load(here.dir)
		assert.truthy(why:find("is a directory", 1, true), why)
		assert.equal("usage", code)
	end)

	it("refuses a policy that everybody may write, and says what to do", function()
		local path = here:write("p.lua", "return { " .. STATIC .. " }", "0646")
		local p, why = policy.load(path)
		assert.is_nil(p)
		assert.truthy(why:find("chmod o-w " .. path, 1, true), why)
	end)

	it("warns of a policy that a group may write", function()
		local path = here:write("p.lua", "return { " .. STATIC .. " }", "0664")
		local lines, p = scratch.logged(policy.load, path)
		assert.truthy(p)
		assert.truthy(lines[1]:find("^warn: .*p.lua may be written by a group"), lines[1])
	end)

	it("gives the arguments as args, the library by name and the time", function()
		local p = assert(load([[
			assert(json.encode { 1 } == "[1]" and task.sleep and net.url and fs.read and log.info)
			assert(http and inventory and template and os.getenv "HOME" ~= 1 and os.time() > 0)
			assert(not pcall(function() return os.exit() end))
			return { discover = static { args[1], self = args.me } }
		]], { args = { "127.0.0.9", me = "127.0.0.9" } }))
		assert.equal("127.0.0.9", assert(p.discover()).self)
	end)

	it("finds the user's modules before the binary's, in the order of the path", function()
		here:write("first/providers/static.lua", "return function() return function() return 'first' end end")
		here:write("second/providers/static.lua", "return function() return function() return 'second' end end")
		local text = "return { discover = static { '127.0.0.2' } }"
		local p = assert(load(text, { path = { here:path "first", here:path "second" } }))
		assert.equal("first", p.discover())
		p = assert(load(text, { path = { here:path "second" } }))
		assert.equal("second", p.discover())
		here:write("providers/static.lua", "return function() return function() return 'beside' end end")
		assert.equal("beside", assert(load(text)).discover())
	end)

	it("does not take what decides from a user's directory", function()
		here:write("facts.lua", "error 'taken'")
		here:write("mine.lua", "return { v = require 'facts' }")
		local p = assert(load("return { discover = function() return require 'mine'.v end }"))
		assert.equal(require "facts", p.discover())
	end)

	it("refuses a module that everybody may write", function()
		here:write("mine.lua", "return 1", "0666")
		local _, why = load "return { discover = require 'mine' }"
		assert.truthy(why:find("mine.lua may be written by everybody", 1, true), why)
	end)

	it("ends on modules that require one another", function()
		here:write("a.lua", "return require 'b'")
		here:write("b.lua", "return require 'a'")
		local _, why = load "return { discover = require 'a' }"
		assert.truthy(why:find("requires itself", 1, true), why)
	end)

	it("replaces all outputs by those of the command line", function()
		local p = assert(load("return { " .. STATIC .. ", output = { ['/x'] = 'json' } }", {
			output = { ["-"] = "env" }, timeout = 0,
		}))
		assert.same({ { path = "-", template = "env" } }, p.output)
		assert.equal(0, p.timeout)
	end)

	describe("decide", function()
		local function decide(body)
			local p = assert(load("return { " .. STATIC .. ",\ndecide = function(facts) " .. body .. " end }"))
			return policy.decide(p, { now = 1, me = { name = "a" } })
		end

		it("gives the plan", function()
			assert.same({ action = "wait", reason = "a" }, decide "return { action = 'wait', reason = facts.me.name }")
		end)

		it("gives the plan alone, whatever hangs on it", function()
			assert.same({
				action = "wait", reason = "x", exit = 7, row = 15, waiting_for = { { instance = "b", why = "c" } },
			}, decide [[
				local odd = { __index = function() error "asked" end, __len = function() return 9 end }
				local w = setmetatable({ setmetatable({ instance = "b", why = "c", more = 1 }, odd) }, odd)
				return setmetatable({ action = "wait", reason = "x", exit = 7.0, row = 15, more = w, waiting_for = w }, odd)]])
		end)

		local bad = {
			{ "return nil, {}", "a plan is a table, this is nothing" },
			{ "return setmetatable({}, { __index = function() error 'asked' end })", "action: nothing" },
			{ "return setmetatable({}, { __metatable = 7 })", "action: nothing" },
			{ "return { action = setmetatable({}, { __tostring = error }), reason = 'x' }", "action: a table" },
			{ "return { action = 'wait', reason = 'x', waiting_for = 'b' }", "waiting_for: a list .*, this is \"b\"" },
			{ "return { action = 'wait', reason = 'x', waiting_for = { 'b' } }", "waiting_for: a list" },
			{ "return { action = 'wait', reason = 'x', waiting_for = { { instance = 'b' } } }", "waiting_for: a list" },
			{ "return { action = 'wait', reason = 'x', waiting_for = { { instance = 'b', why = {} } } }", "waiting_for: a list" },
			{ "return { action = 'wait', reason = 'x', waiting_for = { b = { instance = 'b', why = 'c' } } }", "waiting_for" },
			{ "return { action = 'wait', reason = 'x', exit = 0 }", "exit: an exit status from 1 to 255 expected, this is 0" },
			{ "return { action = 'fail', reason = 'x', exit = 0 }", "exit: an exit status" },
			{ "return { action = 'fail', reason = 'x', exit = 300 }", "exit: an exit status" },
			{ "return { action = 'fail', reason = 'x', exit = 4.5 }", "exit: an exit status" },
			{ "return { action = 'fail', reason = 'x', exit = '5' }", "exit: an exit status" },
			{ "return { action = 'start', reason = 'x', exit = 5 }", "exit: of wait and fail only" },
			{ "return { action = 'remove', reason = 'x', member = '0' }", "an id, which is a decimal string, expected, this is \"0\"" },
			{ "return { action = 'remove', reason = 'x', member = '99999999999999999999' }", "an id, which is a decimal string" },
			{ "return { action = 'add', reason = 'x', learner = 1 }", "learner: true or false expected, this is 1" },
			{ "return { action = 'add', reason = 'x', warn = 'y' }", "warn: true or false" },
			{ "return { action = 'remove', member = '7', reason = 'x', own = 0 }", "own: true or false" },
			{ "return { action = 'wait', reason = 'x', row = 1.5 }", "row: the number" },
			{ "return { action = 'claim', reason = 'x', members = { 'a' } }", "members: a list of { name =, peer_urls" },
			{ "return { action = 'claim', reason = 'x', members = { { name = 'a', peer_urls = { 1 } } } }", "members: a list" },
			{ "return { action = 'standby', reason = 'x', exec = { 'etcd', 1 } }", "exec: a list of strings" },
			{ "error {}", "error raised a table" },
			{ "error(setmetatable({}, { __tostring = function() error 'asked' end }))", "error raised a table" },
			{ "return nil", "a plan is a table, this is nothing" },
			{ "return 'wait'", "a plan is a table" },
			{ "return { action = 'wiat', reason = 'x' }", "action: \"wiat\"; did you mean wait%?" },
			{ "return { action = 'wait' }", "the reason is missing" },
			{ "return { action = 'leave', reason = 'x', member = '7' }", "action: \"leave\"" },
			{ "return { action = 'remove', reason = 'x' }", "remove: which member%?" },
			{ "return { action = 'remove', reason = 'x', member = 7 }", "an id, which is a decimal string, expected, this is 7" },
			{ "return { action = 'start', reason = 'x', exec = { 'etcd' } }", "exec: a standby's only" },
			{ "return { action = 'standby', reason = 'x', exec = {} }", "exec: a list of strings, the program first, expected" },
			{ "while true do end", "stopped after" },
			{ "local x = nil; return x.y", "attempt to index" },
		}
		for _, case in ipairs(bad) do
			it("refuses " .. case[1], function()
				local plan, why, code = decide(case[1])
				assert.is_nil(plan)
				assert.equal("usage", code)
				assert.truthy(why:find(case[2]), why)
				assert.truthy(why:find("p.lua:2", 1, true), why)
			end)
		end

		it("keeps what it was given from being changed", function()
			local f = { now = 1, me = { name = "a" } }
			local p = assert(load("return { " .. STATIC .. ", decide = function(f) f.me.name = 'z'; "
				.. "return { action = 'wait', reason = 'x' } end }"))
			assert(policy.decide(p, f))
			assert.equal("a", f.me.name)
		end)
	end)
end)
