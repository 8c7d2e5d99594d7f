-- steps.lua - what a run did that somebody else could see, read from a record of its system calls.
-- A call is a step unless it is known to change nothing, so that no new kind of step is forgotten.

local world = require "spec.world.world"

local steps = {}

-- Calls on files and sockets after which the world is as it was.
local QUIET <const> = {}
for name in ([[
	accept accept4 access bind close connect epoll_create1 epoll_ctl epoll_wait eventfd2 execve faccessat2 fcntl
	fstat getdents64 getpeername getsockname getsockopt ioctl lseek lstat mmap newfstatat poll pread64 read
	readlink recvfrom recvmsg select setsockopt shutdown socket stat statx
]]):gmatch "%S+" do
	QUIET[name] = true
end

-- Requests that only ask.
local ASKING <const> = { "^GET ", "^POST /v3%w*/cluster/member/list", "^POST /v3%w*/maintenance/status" }

local function asks(request)
	for _, pattern in ipairs(ASKING) do
		if request:find(pattern) then
			return true
		end
	end
end

--- The command line that records a run into a file; with a step, the run is killed as it enters that call.
function steps.tracer(path, step)
	local argv = { "strace", "-D", "-b", "execve", "-qq", "-yy", "-s", "500", "-o", path }
	if step then
		argv[#argv + 1] = "-e"
		argv[#argv + 1] = ("inject=%s:signal=KILL:when=%d"):format(step.call, step.nth)
	end
	return argv
end

-- What a call does, as a text that is the same in the next run, or nil for one that is no step.
local function label(call, args, root)
	if args:find("%.err>", 1) or args:find("%.out>", 1) then
		return nil
	end
	local sent = args:match "^%d+<TCP.->, (.*)"
	if sent then
		local request = sent:match "%u+ /[%w/_]*" or sent:match "ready..:%a+" or sent:match "%u+/1.1 %d+" or "more"
		return not (QUIET[call] or asks(request)) and call .. " " .. request or nil
	end
	local path = args:match(root:gsub("%p", "%%%0") .. "([^\">]*)")
	local creates = call ~= "openat" or args:find "O_CREAT" or args:find "O_TRUNC"
	if not path or QUIET[call] or not creates then
		return nil
	end
	return call .. " " .. path:gsub("%.etcd%-bootstrap%.%w+", ".new")
end

--- Every step of a record in its order, the same one many times in a row told once:
--- { call, nth (of its kind), label, following = the very next call, step or not }
function steps.read(path, root)
	local list, counts, last = {}, {}, nil
	for line in (world.read(path) or ""):gmatch "[^\n]+" do
		local call, args = line:match "^([%w_]+)%((.*)"
		if call then
			counts[call] = (counts[call] or 0) + 1
			local this = { call = call, nth = counts[call] }
			if last and not last.following then
				last.following = this
			end
			this.label = label(call, args, root)
			if this.label and not (last and last.label == this.label) then
				list[#list + 1] = this
			end
			last = this.label and this or last
		end
	end
	return list
end

--- Every moment to kill at: before each step, and right after each that was a request.
function steps.moments(list)
	local moments = {}
	for _, step in ipairs(list) do
		table.insert(moments, { call = step.call, nth = step.nth, label = "before " .. step.label })
		if step.following and step.label:find "POST" then
			table.insert(moments, { call = step.following.call, nth = step.following.nth, label = "after " .. step.label })
		end
	end
	local over = list[#list]
	if over and over.following then
		table.insert(moments, { call = over.following.call, nth = over.following.nth, label = "after " .. over.label })
	end
	return moments
end

--- Some of them, spread evenly from a random first one on; `all` takes all.
function steps.sample(moments, some)
	if os.getenv "STEPS" == "all" then
		return moments
	end
	local picked, apart = {}, #moments / math.min(some, #moments)
	local first = math.random() * apart
	for i = 0, math.min(some, #moments) - 1 do
		picked[#picked + 1] = moments[math.floor(first + i * apart) + 1]
	end
	return picked
end

return steps
