-- main.c: how the binary starts, where modules come from, how it ends.
local fs, proc = require "core.fs", require "core.proc"
local listener = dofile "spec/core/listener.lua"

describe("the binary", function()
	local directory, binary

	setup(function()
		directory = listener.directory()
		binary = listener.binary()
	end)
	teardown(function() listener.forget(directory) end)

	local function lua(text, ...)
		local file = directory .. "/script.lua"
		assert(fs.write(file, text))
		return assert(proc.run { binary, "lua", file, ... })
	end

	it("tells its version", function()
		local r = assert(proc.run { binary, "version" })
		assert.matches("^etcd%-bootstrap %d+%.%d+%.%d+\n$", r.stdout)
		assert.equal(0, r.status)
	end)

	it("gives a file its arguments, and ends with 0", function()
		local r = lua("print(arg[0], arg[1], #arg, arg[-1], ...)", "a b", "c")
		assert.equal(directory .. "/script.lua\ta b\t2\tlua\ta b\tc\n", r.stdout)
		assert.equal(0, r.status)
	end)

	it("prints what was not caught with a traceback, and ends with 1", function()
		local r = lua "local function f() error 'broken' end f()"
		assert.matches("^etcd%-bootstrap: error: .*script.lua:1: broken\nstack traceback:\n", r.stderr)
		assert.same({ 1, "" }, { r.status, r.stdout })
		assert.matches("error: .*script.lua:1: unexpected symbol", lua("x = = 1").stderr)
		assert.matches("cannot open /none/such", proc.run({ binary, "lua", "/none/such" }).stderr, 1, true)
	end)

	it("says so when the system refuses what is basic", function()
		local r = assert(proc.run { "sh", "-c", "ulimit -n 4; exec " .. binary .. " help",
			env = { ASAN_OPTIONS = "detect_leaks=0" } }) -- that check wants descriptors
		assert.equal(111, r.status)
		assert.matches("^etcd%-bootstrap: error: ", r.stderr)
	end)

	it("starts without standard descriptors", function()
		local file = directory .. "/script.lua"
		local written = directory .. "/written"
		assert(fs.write(file, ("io.open(%q, 'w'):write('kept'):close() print 'lost'"):format(written)))
		assert.equal(0, proc.run({ "sh", "-c", ("exec %s lua %s <&- >&- 2>&-"):format(binary, file) }).status)
		assert.equal("kept", fs.read(written))
	end)

	it("finds embedded modules under their true names and lines", function()
		local r = lua [[
			package.path = ""
			local task = require "task"
			print(debug.getinfo(task.map, "S").source)
			local n = 0
			for line in io.lines "lua/task.lua" do
				n = n + 1
				if line:find "^function task.map" then break end
			end
			print(debug.getinfo(task.map, "S").linedefined == n)
		]]
		assert.equal("@lua/task.lua\ntrue\n", r.stdout)
	end)

	it("prefers the working copy when a file is run, and nothing but itself otherwise", function()
		assert(fs.write(directory .. "/task.lua", "return 'working copy'"))
		local path = { LUA_PATH = directory .. "/?.lua", LUA_PATH_5_4 = directory .. "/?.lua" }
		local file = directory .. "/which.lua"
		assert(fs.write(file, "print((require 'task'))"))
		assert.equal("working copy\n", proc.run({ binary, "lua", file, env = path }).stdout)
		assert(fs.write(directory .. "/cli.lua", "error 'a cli from elsewhere'"))
		local r = proc.run { binary, "help", env = path }
		assert.equal(0, r.status)
		assert.equal("", r.stderr)
	end)
end)
