-- What a run said to the network, from its strace: exchanges, addresses, sequential steps, and
-- everything else that it connected to or started.  lua5.4 steps.lua FILE
--
-- An exchange is a request, or a connection that was refused.  Its step is one more than that of the
-- latest exchange that had been answered when it began, connecting included; so the highest step is
-- the number of round trips that follow one another.
local fds, count = {}, { exchanges = 0, steps = 0, others = 0, children = 0 }
local addresses, names, answered = {}, 0, 0

local function ask(fd)
	local to = fds[fd]
	to.step = (to.born or answered) + 1
	to.born = nil
	count.exchanges = count.exchanges + 1
	count.steps = math.max(count.steps, to.step)
	if not addresses[to.address] then names = names + 1 end
	addresses[to.address] = true
end

local function answer(fd)
	answered = math.max(answered, fds[fd].step)
	fds[fd].step = nil
end

local on = {}

function on.connect(fd, rest)
	local port, address = rest:match "htons%((%d+)%).-inet_addr%(\"([%d.]+)\"%)"
	fds[fd] = port and { address = address .. ":" .. port, born = answered } or nil
	if not port then count.others = count.others + 1 end
end

function on.getsockopt(fd, rest)
	if not (fds[fd] and rest:find "ECONNREFUSED") then return end
	ask(fd)
	answer(fd)
	fds[fd] = nil
end

function on.sendto(fd, rest)
	if fds[fd] and rest:find "^, \"%u+ /" then ask(fd) end
end

function on.recvfrom(fd, rest)
	if fds[fd] and fds[fd].step and rest:find "^, \"HTTP/" then answer(fd) end
end

local programs = 0
for line in io.lines(arg[1]) do
	local call, fd, rest = line:match "^[%d:. ]*(%w+)%((%d*)(.*)$"
	if call == "execve" and rest:find "= 0$" then programs = programs + 1 end
	if programs > 1 then break end
	if call == "vfork" or call == "clone" or call == "clone3" then count.children = count.children + 1 end
	if on[call] then on[call](fd, rest) end
end
print(count.exchanges, names, count.steps, count.others, count.children)
