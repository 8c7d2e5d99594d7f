-- What the core specs need of the world: listeners of bad answers, certificates, a real etcd, and
-- the check that nothing stays behind.
local fs, http, json, proc = require "core.fs", require "core.http", require "core.json", require "core.proc"
local task = require "core.task"

local listener = {}
local here = debug.getinfo(1, "S").source:match "^@(.*/)" or "./"

local function line(command)
	local pipe <close> = assert(io.popen(command))
	return pipe:read "l"
end

-- A new directory below /tmp, removed by listener.forget.
function listener.directory()
	return line "mktemp -d /tmp/core-spec.XXXXXX"
end

function listener.forget(directory)
	assert(directory:match "^/tmp/core%-spec%.%w+$")
	os.execute("rm -rf " .. directory)
end

-- Opens all ports of the list; returns a function that closes them.
function listener.open(directory, ports)
	local config = directory .. "/listener.json"
	assert(fs.write(config, json.encode(json.list(ports))))
	local fifo = directory .. "/fifo"
	os.execute("rm -f " .. fifo .. " && mkfifo " .. fifo)
	-- The listener lives as long as somebody holds the other end of its standard input.
	local pipe = assert(io.popen(("exec python3 %slistener.py %s < %s"):format(here, config, fifo)))
	local hold = assert(io.open(fifo, "w"))
	assert(pipe:read "l" == "ready", "the listener did not start")
	return function()
		hold:close()
		pipe:close()
	end
end

-- A certificate authority with certificates {name = subjectAltName}: files NAME.crt and NAME.key.
function listener.certificates(directory, authority, names)
	local function run(...)
		local command = table.concat({ "cd", directory, "&&", ... }, " ") .. " 2>/dev/null"
		assert(os.execute(command), command)
	end
	run("openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=" .. authority,
		"-keyout", authority .. ".key", "-out", authority .. ".crt")
	for name, alt in pairs(names) do
		assert(fs.write(directory .. "/" .. name .. ".ext",
			"subjectAltName=" .. alt .. "\nextendedKeyUsage=serverAuth,clientAuth\n"))
		run("openssl req -newkey rsa:2048 -nodes -subj /CN=" .. name,
			"-keyout", name .. ".key", "-out", name .. ".csr")
		run("openssl x509 -req -days 2 -CA", authority .. ".crt", "-CAkey", authority .. ".key",
			"-CAcreateserial", "-extfile", name .. ".ext", "-in", name .. ".csr", "-out", name .. ".crt")
	end
end

local Etcd = {}
Etcd.__index = Etcd

-- Starts an etcd at address; o.cluster is its --initial-cluster, o.state "new" or "existing".
function listener.etcd(directory, name, address, o)
	local peer, client = "http://" .. address .. ":2380", "http://" .. address .. ":2379"
	local child = assert(proc.spawn {
		"etcd", "--name", name, "--data-dir", directory .. "/" .. name, "--logger", "zap",
		"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
		"--listen-client-urls", client, "--advertise-client-urls", client,
		"--initial-cluster", o.cluster, "--initial-cluster-state", o.state or "new",
		"--initial-cluster-token", o.token or "core-spec",
		stdout = directory .. "/" .. name .. ".log", stderr = directory .. "/" .. name .. ".log",
	})
	return setmetatable({ child = child, peer = peer, client = client }, Etcd)
end

function Etcd:stop()
	self.child:kill "KILL"
	self.child:wait()
end

-- Calls f until it returns something true; fails loudly after ten seconds.
function listener.until_true(what, f)
	local last = task.now() + 10
	repeat
		local value = f()
		if value then return value end
		task.sleep(0.02)
	until task.now() > last
	error("never came: " .. what)
end

-- Posts an object to etcd's gateway.
function listener.post(url, object)
	return http.request { url = url, method = "POST", body = json.encode(object) }
end

function listener.binary()
	return line("readlink /proc/" .. proc.pid() .. "/exe")
end

local function descriptors()
	collectgarbage()
	return #assert(fs.list("/proc/" .. proc.pid() .. "/fd"))
end

-- Returns a function that raises when anything is left since.
function listener.watch_leaks()
	local before = descriptors()
	return function()
		collectgarbage()
		for what, n in pairs(task.pending()) do
			if n ~= 0 then error(("%d %s left"):format(n, what)) end
		end
		local now = descriptors()
		if now ~= before then error(("%d descriptors, before %d"):format(now, before)) end
	end
end

return listener
