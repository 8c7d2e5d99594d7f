-- core.proc: children, what they inherit, what is captured, how they end, and that none is left.
local fs, proc, task = require "core.fs", require "core.proc", require "core.task"
local listener = dofile "spec/core/listener.lua"

local function sh(script, o)
	local command = { "sh", "-c", script }
	for k, v in pairs(o or {}) do command[k] = v end
	return command
end

local function stdout(script, o)
	return assert(proc.run(sh(script, o))).stdout
end

-- Runs Lua text in a process of its own, as the binary does.
local function lua(text, directory)
	local file = directory .. "/script.lua"
	assert(fs.write(file, text))
	return assert(proc.run { listener.binary(), "lua", file })
end

describe("core.proc", function()
	local directory, no_leak

	setup(function() directory = listener.directory() end)
	teardown(function() listener.forget(directory) end)
	before_each(function() no_leak = listener.watch_leaks() end)
	after_each(function()
		while task.pending().children > 0 do task.sleep(0.001) end
		no_leak()
	end)

	describe("run", function()
		it("captures both streams and tells how it ended", function()
			assert.same({ status = 7, stdout = "out\n", stderr = "err\n" },
				proc.run(sh "echo out; echo err >&2; exit 7"))
			assert.same({ signal = 15, stdout = "", stderr = "" }, proc.run(sh "kill -TERM $$"))
		end)

		it("captures to the last byte", function()
			assert.equal(300000, #stdout "head -c 300000 /dev/zero")
		end)

		it("says what cannot be started", function()
			local function fails(command, message, code)
				local r, m, c = proc.run(command)
				assert.is_nil(r)
				assert.matches(message, m, 1, true)
				assert.equal(code, c)
			end
			fails({ "/none/such" }, "cannot start /none/such: No such file", "missing")
			fails({ "no-such-command" }, "no-such-command", "missing")
			fails({ "/etc/passwd" }, "/etc/passwd: Permission denied", "denied")
			fails({ "sh", dir = "/none" }, "No such file", "missing")
		end)

		it("raises for what is no command", function()
			assert.has_error(function() proc.run {} end)
			assert.has_error(function() proc.run { "echo", 1 } end)
			assert.has_error(function() proc.run { "echo", env = { A = {} } } end)
			assert.has_error(function() proc.run { "echo", limit = -1 } end)
		end)

		it("kills the whole process group when its time is up", function()
			local r, message, code = proc.run(sh("sleep 1000 & echo $! > " .. directory .. "/pid; wait", { timeout = 0.3 }))
			assert.same({ nil, "timeout" }, { r, code })
			assert.matches("^sh had not ended", message)
			local pid = fs.read(directory .. "/pid"):match "%d+"
			listener.until_true("the end of the grandchild", function()
				local stat = fs.read("/proc/" .. pid .. "/stat")
				return not stat or stat:match "%) Z"
			end)
		end)

		it("ends one that writes more than the limit", function()
			local r, message, code = proc.run { "yes", limit = 1000 }
			assert.same({ nil, "yes wrote more than 1000 bytes to its standard output", "io" }, { r, message, code })
			assert.equal(1000, #stdout("head -c 1000 /dev/zero", { limit = 1000 }))
		end)

		it("keeps of the complaints what the limit allows, and goes on", function()
			local r = assert(proc.run(sh("head -c 5000 /dev/zero >&2; echo done", { limit = 1000 })))
			assert.same({ 0, "done\n", 1000 }, { r.status, r.stdout, #r.stderr })
		end)

		it("does not wait for a grandchild that keeps the pipe", function()
			local r = assert(proc.run(sh "sleep 1000 & echo $!"))
			assert.is_true(os.execute("kill " .. r.stdout))
		end)

		it("kills its child when its task is cancelled", function()
			local t = task.spawn(proc.run, { "sleep", "1000" })
			task.sleep(0)
			assert.equal(1, task.pending().children)
			t:cancel()
			while task.pending().children > 0 do task.sleep(0.001) end
		end)

		it("changes the environment as told", function()
			assert.equal("1 2--kept\n", stdout('echo "$A-$HOME-$KEPT"', { env = { A = "1 2", HOME = false, KEPT = "kept" } }))
			assert.equal(os.getenv "PATH" .. "\n", stdout "echo $PATH")
		end)

		it("runs many at once", function()
			local tasks = {}
			for i = 1, 50 do tasks[i] = task.spawn(proc.run, sh("exit " .. i)) end
			for i, t in ipairs(tasks) do assert.equal(i, t:join().status) end
		end)
	end)

	describe("spawn", function()
		it("tells the pid, and waits for as often as asked", function()
			local child <close> = assert(proc.spawn(sh("echo $$", { stdout = "pipe" })))
			local first = child:wait()
			assert.equal(child.pid .. "\n", first.stdout)
			assert.same(first, task.spawn(child.wait, child):join())
			assert.same({ nil, "the process has ended", "missing" }, { child:kill() })
		end)

		it("kills by name and by number", function()
			for signal, number in pairs { TERM = 15, [9] = 9, HUP = 1 } do
				local child <close> = assert(proc.spawn { "sleep", "1000" })
				assert.is_true(child:kill(signal))
				assert.equal(number, child:wait().signal)
			end
			local child <close> = assert(proc.spawn { "sleep", "1000" })
			assert.has_error(function() child:kill "NONSENSE" end)
		end)

		it("leads streams to a file, to nothing and out of one", function()
			local file = directory .. "/out"
			assert(fs.write(file, "before\n"))
			local child <close> = assert(proc.spawn(sh("echo after; echo lost >&2", { stdout = file, stderr = "null" })))
			child:wait()
			assert.equal("before\nafter\n", fs.read(file))
			local reader <close> = assert(proc.spawn { "cat", stdin = file, stdout = "pipe" })
			assert.equal("before\nafter\n", reader:wait().stdout)
			local empty <close> = assert(proc.spawn { "cat", stdout = "pipe" })
			assert.equal("", empty:wait().stdout)
			local r, _, code = proc.spawn { "cat", stdout = "/none/such" }
			assert.same({ nil, "missing" }, { r, code })
		end)

		it("drops what is beyond the limit", function()
			local child <close> = assert(proc.spawn(sh("head -c 100000 /dev/zero", { stdout = "pipe", limit = 10 })))
			assert.equal(10, #child:wait().stdout)
		end)

		it("starts in a directory", function()
			local child <close> = assert(proc.spawn { "pwd", dir = directory, stdout = "pipe" })
			assert.equal(directory .. "\n", child:wait().stdout)
		end)

		it("reaps a child that Lua forgot", function()
			assert(proc.spawn { "true" })
			collectgarbage()
			collectgarbage()
			while task.pending().children > 0 do task.sleep(0.001) end
		end)
	end)

	it("gives children signals, limits and descriptors as they were", function()
		local file = directory .. "/inherits.lua"
		assert(fs.write(file, [[
			local proc, task = require "core.proc", require "core.task"
			task.spawn(task.signal)
			task.sleep(0)
			local command = { "sh", "-c", "ulimit -Sn; cat /proc/self/status; ls /proc/self/fd" }
			local pipe = io.popen(command[3])
			local popen = pipe:read "a"
			pipe:close()
			io.write(assert(proc.run(command)).stdout, "\0", popen, "\0")
			io.stdout:flush()
			proc.exec(command)
		]]))
		local text = stdout(("ulimit -Sn 100; exec %s lua %s"):format(listener.binary(), file))
		local ran, popen, execed = text:match "^(.*)%z(.*)%z(.*)$"
		-- The C library keeps signals 32 and 33 for itself, and its posix_spawn, make's for one, leaves them ignored.
		local function ignored(s)
			return ("%016x"):format(tonumber(s:match "SigIgn:%s+(%x+)", 16) & ~(3 << 31))
		end
		local function seen(s)
			return { limit = s:match "^%d+", blocked = s:match "SigBlk:%s+(%x+)", ignored = ignored(s),
				caught = s:match "SigCgt:%s+(%x+)" }
		end
		local none = ("0"):rep(16)
		assert.same({ limit = "100", blocked = none, ignored = none, caught = none }, seen(ran))
		assert.same(seen(ran), seen(execed))
		assert.not_same(seen(ran), seen(popen))
		local function files(s) return s:match "nonvoluntary_ctxt_switches:%s+%d+\n(.*)$" end
		assert.equal(files(popen), files(ran))
		assert.equal(files(popen), files(execed))
	end)

	describe("exec", function()
		it("replaces the process, with the environment as told", function()
			local r = lua([[require "core.proc".exec({ "sh", "-c", "echo $A; exit 3" }, { A = "a", PATH = "/none" })]], directory)
			assert.same({ status = 3, stdout = "a\n", stderr = "" }, r)
		end)

		it("returns when it failed, and the loop works as before", function()
			local r, message, code = proc.exec { "/none/such" }
			assert.same({ nil, "missing" }, { r, code })
			assert.matches("cannot start /none/such", message)
			assert.equal(0, assert(proc.run { "true" }).status)
		end)
	end)
end)
