-- world.lua - a world for one test: machines on 127.x addresses, a provider's list that the test
-- writes, and the processes on them, each `etcd-bootstrap run` that becomes a real etcd.  A test
-- waits for conditions, never for a time, and the world ends with it: only processes that it
-- started are stopped, and none may be left.

local busted = require "busted"
local assert = require "luassert"
local task = require "core.task"
local proc = require "core.proc"
local fs = require "core.fs"
local json = require "core.json"
local cluster = require "spec.world.cluster"

local world = {}
local World = {}
World.__index = World
local Run = {}
Run.__index = Run

local function succeed(...)
	local result = assert(proc.run { timeout = 60, ... })
	if result.status ~= 0 then
		error(table.concat({ ... }, " ") .. " failed: " .. result.stderr, 2)
	end
	return result.stdout
end

local function read(path)
	local file = io.open(path, "rb")
	if not file then
		return nil
	end
	local text <const> = file:read "a"
	file:close()
	return text
end

-- By rename, so that a run that reads meanwhile sees one or the other.
local function write(path, text)
	local file = assert(io.open(path .. ".new", "wb"))
	assert(file:write(text))
	assert(file:close())
	assert(os.rename(path .. ".new", path))
end

world.read, world.write, world.succeed = read, write, succeed
world.here = succeed("pwd"):gsub("%s+$", "")
world.binary = os.getenv "ETCD_BOOTSTRAP" or world.here .. "/build/etcd-bootstrap"
world.etcd = os.getenv "ETCD" or "etcd"

--- The version of the etcd that worlds run.
function world.etcd_version()
	return succeed(world.etcd, "--version"):match "etcd Version: ([%d.]+)"
end

--- Waits for a condition: the first true value of `holds()` within `seconds`.  What else it returned last
--- tells why it did not hold.
function world.wait(holds, seconds, what, step)
	local limit = task.now() + (seconds or 30)
	while true do
		local value, why = holds()
		if value then
			return value
		end
		if task.now() > limit then
			error(("after %g s still not: %s%s"):format(seconds or 30, what, why and ": " .. tostring(why) or ""), 2)
		end
		task.sleep(step or 0.05)
	end
end

-- Runs ------------------------------------------------------------------------------------------

local function start(w, name, argv, o)
	w.count = w.count + 1
	local base = ("%s/%s/%d"):format(w.root, name, w.count)
	argv.env = { ETCD_BOOTSTRAP_WORLD = w.root }
	for _, part in ipairs { w.machines[name].env or {}, o.env or {} } do
		for key, value in pairs(part) do
			argv.env[key] = value
		end
	end
	argv.stdout, argv.stderr = base .. ".out", base .. ".err"
	local child = assert(proc.spawn(argv))
	local run = setmetatable({ name = name, child = child, pid = child.pid,
		out = argv.stdout, err = argv.stderr }, Run)
	w.runs[#w.runs + 1] = run
	task.spawn(function()
		run.done = child:wait()
	end)
	return run
end

--- What it has said so far.
function Run:log()
	return read(self.err) or ""
end

function Run:stdout()
	return read(self.out) or ""
end

--- Waits for its end; 128+n for a signal, as a shell counts.
function Run:exit(seconds)
	world.wait(function()
		return self.done
	end, seconds or 60, self.name .. " has ended")
	return self.done.status or 128 + self.done.signal
end

--- Waits until its log has the plain text.
function Run:says(text, seconds)
	world.wait(function()
		return self:log():find(text, 1, true)
	end, seconds, self.name .. " says: " .. text)
end

function Run:kill(signal)
	if not self.done then
		self.child:kill(signal)
	end
end

-- Machines --------------------------------------------------------------------------------------

--- The machine of that name, made when first named.  o: address, env (of all that is started there).
function World:machine(name, o)
	local m = self.machines[name]
	if not m then
		o = o or {}
		self.last = self.last + 1
		local dir = self.root .. "/" .. name
		m = { name = name, dir = dir, address = o.address or self.net .. "." .. self.last, env = o.env,
			data = dir .. "/data", output = dir .. "/etcd.env", list = self.root .. "/list.json" }
		assert(fs.mkdir(dir))
		self.machines[name] = m
	end
	return m
end

function World:address(name)
	return self:machine(name).address
end

function World:peer(name)
	return self.scheme .. "://" .. self:address(name) .. ":2380"
end

function World:client(name)
	return self.scheme .. "://" .. self:address(name) .. ":2379"
end

--- The provider's list: { "a", { "c", state = "dead" }, desired = 3 }; with `for_machine`, what that one sees.
function World:list(entries, for_machine)
	local instances = json.list {}
	for i, entry in ipairs(entries) do
		local one = type(entry) == "table" and entry or { entry }
		instances[i] = { id = one[1], name = one[1], address = self:address(one[1]),
			state = one.state or "live" }
	end
	local path = self.root .. "/list.json"
	if for_machine then
		local m = self:machine(for_machine)
		path = m.dir .. "/list.json"
		m.list = path
	end
	write(path, json.encode { instances = instances, desired = entries.desired,
		complete = entries.complete, lag = entries.lag })
end

local function braces(fields)
	local lines = {}
	for key, value in pairs(fields) do
		lines[#lines + 1] = ("\t%s = %s,\n"):format(key, value)
	end
	table.sort(lines)
	return "{\n" .. table.concat(lines) .. "}"
end

local function merged(...)
	local all = {}
	for _, part in ipairs { ... } do
		for key, value in pairs(part) do
			all[key] = value or nil
		end
	end
	return all
end

-- Each field is Lua source; what a test gives replaces what stands here, false leaves it out.
local function policy(w, m, o)
	local etcd = merged({
		data_dir = ("%q"):format(m.data), connect_timeout = "1", probe_timeout = "2",
		token = ("%q"):format("world-" .. w.net),
	}, w.etcd, o.etcd or {})
	local fields = merged({
		discover = ("static { file = %q, self = %q }"):format(m.list, m.name),
		decide = "steady { evict_after = 1, evict_gone_after = 1 }",
		interval = "0.2",
		timeout = "60",
		output = ("{ [%q] = \"env\" }"):format(m.output),
		exec = ("{ %q, \"--logger=zap\" }"):format(world.etcd),
		etcd = braces(etcd),
	}, w.policy, o.policy or {})
	return (o.prelude or "") .. "return " .. braces(fields) .. "\n"
end

--- Starts a verb (default run) on a machine.  o: [n] arguments, verb, env, policy, etcd, prelude, wrap.
function World:boot(name, o)
	o = o or {}
	local m = self:machine(name)
	local path = m.dir .. "/policy.lua"
	write(path, policy(self, m, o))
	local argv = {}
	table.move(o.wrap or {}, 1, #(o.wrap or {}), 1, argv)
	argv[#argv + 1] = world.binary
	argv[#argv + 1] = o.verb or "run"
	argv[#argv + 1] = path
	table.move(o, 1, #o, #argv + 1, argv)
	m.run = start(self, name, argv, o)
	return m.run
end

--- Starts another verb beside the etcd that runs there, which stays the machine's own run.
function World:beside(name, verb, o)
	local etcd = self:machine(name).run
	local run = self:boot(name, merged(o or {}, { verb = verb }))
	self.machines[name].run = etcd
	return run
end

--- Any other process on a machine.
function World:process(name, argv)
	local m = self:machine(name)
	m.run = start(self, name, argv, { env = argv.env })
	return m.run
end

--- Boots and waits for the end.
function World:ends(name, o)
	local run = self:boot(name, o)
	return run:exit(o and o.seconds or 60), run
end

function World:boot_all(names, o)
	for name in names:gmatch "%S+" do
		self:boot(name, o)
	end
end

--- Its service is stopped in good order.
function World:stop(name)
	local run = self:machine(name).run
	run:kill "TERM"
	run:exit(20)
end

--- Power off: no process gets to say anything.
function World:kill(name)
	local run = self:machine(name).run
	run:kill "KILL"
	run:exit(20)
end

--- The disk is lost: data and everything that this machine remembered.
function World:wipe(name)
	local m = self:machine(name)
	succeed("rm", "-rf", m.data, m.data .. ".state", m.output)
end

function World:pause(name)
	self:machine(name).run:kill "STOP"
end

function World:resume(name)
	self:machine(name).run:kill "CONT"
end

--- A listener that misbehaves: see faults.py.
function World:fault(name, ...)
	self:machine(name)
	local run = start(self, name, { "python3", world.here .. "/spec/world/faults.py", ... }, {})
	world.wait(function()
		return run:stdout():find("ready", 1, true)
	end, 20, "faults.py listens for " .. name)
	return run
end

-- What is to be seen ------------------------------------------------------------------------------

function World:output(name)
	return read(self:machine(name).output)
end

--- The output file as a table.
function World:env(name)
	local env = {}
	for key, value in (self:output(name) or ""):gmatch "([%w_]+)=([^\n]*)" do
		env[key] = value
	end
	return env
end

function World:exists(name, path)
	return fs.stat(self:machine(name).dir .. "/" .. path) ~= nil
end

function World:claimed(name)
	return self:exists(name, "data/member/claim.json")
end

function World:has_log(name)
	for _, file in ipairs(fs.list(self:machine(name).data .. "/member/wal") or {}) do
		if file:match "%.wal$" then
			return true
		end
	end
	return false
end

--- Directories of data that were moved aside on this machine.
function World:asides(name)
	local found = {}
	for _, file in ipairs(fs.list(self:machine(name).data) or {}) do
		if file:find("aside", 1, true) then
			found[#found + 1] = file
		end
	end
	return found
end

function World:members(via)
	return cluster.members(self:client(via), self.tls)
end

function World:health(name)
	return cluster.healthy(self:client(name), self.tls)
end

function World:put(via, key, value)
	return cluster.put(self:client(via), key, value, self.tls)
end

function World:get(via, key)
	return cluster.get(self:client(via), key, self.tls)
end

--- Writes as soon as the cluster takes it.
function World:must_put(via, key, value)
	world.wait(function()
		return self:put(via, key, value)
	end, 30, ("%s takes a write of %s"):format(via, key))
end

function World:must_get(via, key, value)
	world.wait(function()
		return self:get(via, key) == value
	end, 30, ("%s reads %s as %s"):format(via, key, value))
end

local function agreed(w, names)
	local id
	for _, name in ipairs(names) do
		local seen = w:health(name) and w:members(name)
		if not seen or seen.names ~= table.concat(names, " ") or seen.waiting > 0 then
			return nil
		end
		id = id or seen.cluster_id
		if seen.cluster_id ~= id then
			error("two clusters: " .. id .. " and " .. seen.cluster_id, 0)
		end
	end
	return id
end

--- Waits until exactly these form one healthy cluster, all started voters; its id.
function World:converge(names, seconds)
	local sorted = {}
	for name in names:gmatch "%S+" do
		sorted[#sorted + 1] = name
	end
	table.sort(sorted)
	return world.wait(function()
		return agreed(self, sorted)
	end, seconds or 60, "one healthy cluster of " .. names)
end

--- Founds a cluster of these and waits for it.
function World:founded(names, list)
	local entries = list or {}
	for name in names:gmatch "%S+" do
		entries[#entries + 1] = name
	end
	self:list(entries)
	self:boot_all(names)
	return self:converge(names)
end

-- The end of a world ------------------------------------------------------------------------------

local function ours(w)
	local left = {}
	for _, pid in ipairs(fs.list "/proc") do
		local environ = pid:match "^%d+$" and read("/proc/" .. pid .. "/environ")
		if environ and environ:find("ETCD_BOOTSTRAP_WORLD=" .. w.root .. "\0", 1, true) then
			left[#left + 1] = pid
		end
	end
	return left
end

-- What we said, and the last words of etcd, whose lines are long.
local function tail(log)
	local mine, theirs = {}, {}
	for line in log:gmatch "[^\n]+" do
		local to = line:find "^etcd%-bootstrap: " and mine or theirs
		to[#to + 1] = line:sub(1, 300)
	end
	local said = table.concat(mine, "\n", math.max(1, #mine - 30))
	return said .. "\n" .. table.concat(theirs, "\n", math.max(1, #theirs - 4))
end

function World:tails()
	local parts = {}
	for _, run in ipairs(self.runs) do
		local how = run.done and "ended with " .. (run.done.status or "signal " .. run.done.signal)
			or "still runs"
		parts[#parts + 1] = ("==> %s, process %d, %s\n%s"):format(run.name, run.pid, how, tail(run:log()))
	end
	return table.concat(parts, "\n")
end

--- Stops what is left; an orphan, a process that no run of ours waits for, is an error.
function World:close()
	for _, run in ipairs(self.runs) do
		run:kill "KILL"
		run:exit(20)
	end
	local orphans = ours(self)
	for _, pid in ipairs(orphans) do
		proc.run { "kill", "-9", pid }
	end
	if not os.getenv "KEEP_WORLD" then
		succeed("rm", "-rf", self.root)
	end
	return orphans
end

-- 127.A.B.0/24 from our own process id: no two specs that run at the same time share it.
function world.range()
	local pid = proc.pid()
	return ("127.%d.%d"):format(64 + pid // 250 % 160, pid % 250)
end

--- A new world.  o: policy, etcd (fields of every policy file), scheme, tls (for our own questions).
function world.new(o)
	o = o or {}
	local root = succeed("mktemp", "-d", "-t", "etcd-bootstrap-world.XXXXXX"):gsub("%s+$", "")
	return setmetatable({ root = root, net = world.range(), last = 0, count = 0, machines = {}, runs = {},
		policy = o.policy or {}, etcd = o.etcd or {}, scheme = o.scheme or "http", tls = o.tls }, World)
end

--- A test with a world of its own; on failure the tails of all logs are shown.
function world.it(name, body)
	busted.it(name, function()
		local w = world.new()
		local ok, why = xpcall(body, function(message)
			return type(message) == "string" and debug.traceback(message, 2) or message
		end, w)
		if not ok then
			io.write("\n", name, "\n", w:tails(), "\n")
		end
		local orphans = w:close()
		if not ok then
			error(why, 0)
		end
		assert.same({}, orphans, "processes were left")
	end)
end

return world
