-- network.lua - one network namespace for each address, all on a bridge inside the private
-- namespace that chaos/run made; a cut is a packet filter in each.  Without namespaces the machines
-- stand on 127.x addresses and cannot be cut off.

local proc = require "core.proc"
local world = require "spec.world.world"

local network = {}
local Network = {}
Network.__index = Network

local function sh(...)
	return world.succeed("sh", "-ec", (...))
end

--- The network of one world; `range` is of the addresses where there are no namespaces.
function network.new(root, range)
	local private = os.getenv "CHAOS_PRIVATE" == "1"
	local net = setmetatable({ private = private, root = root, range = private and "10.77.0" or range,
		hosts = {}, cuts = {}, last = 0 }, Network)
	if private then
		sh "ip link set lo up; ip link add br0 type bridge; ip addr add 10.77.255.254/16 dev br0; ip link set br0 up"
	end
	return net
end

--- A new address -> address
function Network:host()
	self.last = self.last + 1
	local address = self.range .. "." .. self.last
	if not self.private then
		return address
	end
	local said = ("%s/host-%d"):format(self.root, self.last)
	local child = assert(proc.spawn { "unshare", "-n", "sh", "-c", "ip link set lo up && echo up && exec sleep 100000",
		stdout = said })
	world.wait(function()
		return (world.read(said) or "") ~= ""
	end, 10, "a network namespace")
	sh(("ip link add v%d type veth peer name eth0 netns %d; ip link set v%d master br0 up; "
		.. "nsenter -t %d -n sh -ec 'ip addr add %s/16 dev eth0; ip link set eth0 up'"):format(
		self.last, child.pid, self.last, child.pid, address))
	self.hosts[address] = child
	return address
end

--- What a command line begins with so that it runs there.
function Network:wrap(address)
	local child = self.hosts[address]
	return child and { "nsenter", "-t", tostring(child.pid), "-n" } or {}
end

-- Each end of a cut drops what comes from the other.
local function apply(net)
	for address, child in pairs(net.hosts) do
		local rules = { "table inet cut\ndelete table inet cut\ntable inet cut { chain in {",
			"type filter hook input priority 0; policy accept;" }
		for inside in pairs(net.cuts) do
			for other in pairs(net.hosts) do
				if (inside[address] == nil) ~= (inside[other] == nil) then
					table.insert(rules, ("ip saddr %s drop;"):format(other))
				end
			end
		end
		table.insert(rules, "} ; }\n")
		local path = net.root .. "/rules"
		world.write(path, table.concat(rules, "\n"))
		world.succeed("nsenter", "-t", tostring(child.pid), "-n", "nft", "-f", path)
	end
end

--- Cuts the addresses off from all others -> the cut, for mend
function Network:cut(addresses)
	local inside = {}
	for _, address in ipairs(addresses) do
		inside[address] = true
	end
	self.cuts[inside] = true
	apply(self)
	return inside
end

function Network:mend(cut)
	if self.cuts[cut] then
		self.cuts[cut] = nil
		apply(self)
	end
end

function Network:heal()
	self.cuts = {}
	if self.private then
		apply(self)
	end
end

function Network:close()
	for i = 1, self.private and self.last or 0 do -- a namespace that ends takes its time over them
		sh(("ip link del v%d"):format(i))
	end
	for _, child in pairs(self.hosts) do
		child:kill "KILL"
		child:wait()
	end
	if self.private then
		sh "ip link del br0"
	end
end

return network
