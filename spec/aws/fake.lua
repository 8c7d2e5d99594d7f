-- fake.lua - an environment, and a service of AWS that answers what a test tells it (fake.py).
local fs = require "core.fs"
local json = require "core.json"
local proc = require "core.proc"
local task = require "core.task"

local fake = {}
local Fake = {}
Fake.__index = Fake

local here = debug.getinfo(1, "S").source:match "^@(.*/)" or "./"

-- Starts one on an address of this process's own -> fake with url, and `refused`, one where nobody listens;
-- directory: of the test's own.
function fake.start(directory)
	local pid, port = proc.pid(), 8050
	local address = ("127.%d.%d.240"):format(64 + pid // 250 % 160, pid % 250)
	local script, fifo, log = directory .. "/script.json", directory .. "/hold", directory .. "/log"
	assert(fs.write(log, ""))
	assert(os.execute("mkfifo " .. fifo))
	-- It lives as long as somebody holds the other end of its standard input.
	local command = ("exec python3 %sfake.py %s %d %s < %s > %s"):format(here, address, port, script, fifo, log)
	local pipe = assert(io.popen(command, "r"))
	local self = setmetatable({ url = ("http://%s:%d"):format(address, port), refused = ("http://%s:1"):format(address),
		script = script, log = log, pipe = pipe, hold = assert(io.open(fifo, "w")), before = 0, turn = 0 }, Fake)
	self:say()
	local last = task.now() + 10
	while #self:lines() == 0 do
		assert(task.now() < last, "the fake did not start")
		task.sleep(0.01)
	end
	return self
end

function Fake:lines()
	local list = {}
	for line in io.lines(self.log) do list[#list + 1] = line end
	return list
end

-- What it answers from now on: rules as fake.py says; what was asked before is forgotten.
function Fake:say(...)
	local rules = json.list { ... }
	for _, rule in ipairs(rules) do json.list(rule.answers) end
	self.turn = self.turn + 1
	assert(fs.write(self.script, json.encode { turn = self.turn, rules = rules }))
	self.before = #self:lines()
end

-- The requests since then, in the order in which they came.
function Fake:asked()
	local list, lines = {}, self:lines()
	for i = self.before + 1, #lines do list[#list + 1] = assert(json.decode(lines[i])) end
	return list
end

-- "PUT /path" of each.
function Fake:paths()
	local list = {}
	for i, request in ipairs(self:asked()) do list[i] = request.method .. " " .. request.path end
	return list
end

function Fake:stop()
	self.hold:close()
	self.pipe:close()
end

-- From now on os.getenv knows these variables alone -> function that ends it.
function fake.environment(variables)
	local before = os.getenv
	os.getenv = function(name) return variables[name] end -- luacheck: ignore
	return function() os.getenv = before end -- luacheck: ignore
end

-- A module of lua/aws as a new process has it, that remembers nothing.
function fake.fresh(...)
	for name in pairs(package.loaded) do
		if name:find "^aws%." then package.loaded[name] = nil end
	end
	local modules = {}
	for i, name in ipairs { ... } do modules[i] = require(name) end
	return table.unpack(modules)
end

return fake
