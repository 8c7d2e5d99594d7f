-- The way of a cold machine into a cluster of two, as the proxy's log has it: role credentials, the
-- group's name in the metadata, 50 ms on top of each exchange.  etcd-bootstrap lua bench/aws.lua
-- prints how many exchanges of each kind followed one another, and the seconds from first to last.
-- A read of etcd is several exchanges with each member; VERBOSE=1 lists them all.
local cloud = require "spec.world.cloud"
local task = require "core.task"
local world = require "spec.world.world"

local DELAY = 0.05

-- A member whose ports are the proxy's; etcd listens behind them.
local function member(w, c, one, all)
	local function url(port) return ("http://%s:%d"):format(one.address, port) end
	c:route("etcd " .. one.id, one.address .. ":2379", one.address .. ":12379")
	c:route("peer " .. one.id, one.address .. ":2380", one.address .. ":12380", { stream = "/raft" })
	w:machine(one.id, { address = one.address })
	w:process(one.id, { "etcd", "--logger=zap", "--name", one.id, "--data-dir", w:machine(one.id).data,
		"--listen-client-urls", url(12379), "--advertise-client-urls", url(2379),
		"--listen-peer-urls", url(12380), "--initial-advertise-peer-urls", url(2380),
		"--initial-cluster", all, "--initial-cluster-state", "new" })
end

local function kind(exchange)
	if exchange.route:find "^metadata" then return "metadata" end
	if exchange.route == "api" then return "api" end
	return exchange.path:find "/member/add$" and "change" or "read"
end

-- An exchange's step is one more than the highest of those that had ended when it began -> the kinds
-- of the steps
local function steps(log)
	local kinds = {}
	for i, exchange in ipairs(log) do
		exchange.step = 1
		for n = 1, i - 1 do
			if log[n].ended <= exchange.began then exchange.step = math.max(exchange.step, log[n].step + 1) end
		end
		local before = kinds[exchange.step]
		kinds[exchange.step] = (not before or before == kind(exchange)) and kind(exchange) or "mixed"
	end
	return kinds
end

local function told(kinds)
	local words, n = {}, 0
	for i, what in ipairs(kinds) do
		n = n + 1
		if what ~= kinds[i + 1] then words[#words + 1], n = what .. " " .. n, 0 end
	end
	return table.concat(words, ", ")
end

local function list(log)
	for _, e in ipairs(log) do
		io.stderr:write(("%2d %-8s %.3f to %.3f %s %s %s\n"):format(e.step, kind(e), e.began - log[1].began,
			e.ended - log[1].began, e.route, e.method, e.action or e.path))
	end
end

local function measure(w, c)
	local group = c:group("etcd", { desired = 3 })
	local all = ("%s=http://%s:2380,%s=http://%s:2380"):format(group[1].id, group[1].address, group[2].id,
		group[2].address)
	for i = 1, 2 do member(w, c, group[i], all) end
	w:converge(group[1].id .. " " .. group[2].id)
	task.sleep(6) -- a younger cluster takes no member
	c:machines({ group[3] }, { group = "etcd" })
	c:forget()
	c:fault { delay = DELAY, path = "^/(?!raft)" }
	local code, run = w:ends(group[3].id, { "--no-exec", policy = { finish = "true" } })
	assert(code == 0, run:log())
	local log = {}
	for _, exchange in ipairs(c:log()) do
		if not exchange.agent:find "^Go" then log[#log + 1] = exchange end -- the members talk as well
	end
	local kinds = steps(log)
	if os.getenv "VERBOSE" then list(log) end
	print(told(kinds))
	print(("%.2f"):format(log[#log].ended - log[1].began))
end

local why = cloud.missing()
if why then
	io.stderr:write("bench/aws.lua: ", why, "\n")
	os.exit(1)
end
local c, w = cloud.start(), world.new()
local ok, problem = pcall(function()
	c:begin(w)
	measure(w, c)
end)
w:close()
c:stop()
if not ok then error(problem, 0) end
