-- 1,000 endpoints, a third refused, a third black holes, a third answering, against one connect
-- timeout: etcd-bootstrap lua bench/probe.lua.  Then the peak memory of probing five, in a child.
local etcd, fs, json, proc, task = require "core.etcd", require "core.fs", require "core.json", require "core.proc", require "core.task"
local listener = dofile "spec/core/listener.lua"

local CONNECT = 2
local ID, CLUSTER = "9372538179322589801", "14841639068965178418"

local function pages(address)
	local peer, client = json.encode { "http://" .. address .. ":2380" }, json.encode { "http://" .. address .. ":2379" }
	local header = ('"header":{"cluster_id":"%s","member_id":"%s"}'):format(CLUSTER, ID)
	local entry = ('"name":"a","peerURLs":%s,"clientURLs":%s'):format(peer, client)
	return {
		["/members"] = { 200, ('[{"id":%s,%s}]'):format(ID, entry), { ["X-Etcd-Cluster-Id"] = "cdf818194e3a8c32" } },
		["/version"] = { 200, '{"etcdserver":"3.4.23","etcdcluster":"3.4.0"}' },
		["/health?exclude=NOSPACE"] = { 200, '{"health":"true"}' },
		["/v3/cluster/member/list"] = { 200, ('{%s,"members":[{"ID":"%s",%s}]}'):format(header, ID, entry) },
		["/v3/maintenance/status"] = { 200, ('{%s,"version":"3.4.23","leader":"%s","raftAppliedIndex":"9"}'):format(header, ID) },
	}
end

local function address(third, i) return ("127.45.%d.%d"):format(third * 2 + i // 200, i % 200 + 1) end

local ports, targets, wanted = {}, {}, {}
for i = 0, 999 do
	local third = i % 3
	local a = address(third, i // 3)
	targets[#targets + 1] = { key = a, peer_url = "http://" .. a .. ":2380", client_url = "http://" .. a .. ":2379" }
	wanted[a] = ({ [0] = "refused", "unknown", "quorum" })[third]
	for port = 2379, third > 0 and 2380 or 0 do
		ports[#ports + 1] = { address = a, port = port, kind = third == 1 and "hole" or "pages", pages = pages(a) }
	end
end

local directory = listener.directory()
local close = listener.open(directory, ports)

local from = task.now()
local wrong = 0
for _, p in ipairs(etcd.probe { targets = targets, connect_timeout = CONNECT, timeout = 5 }) do
	if p.verdict ~= wanted[p.key] then
		wrong = wrong + 1
		if wrong < 4 then print(p.key, p.verdict, p.why) end
	end
end
local took = task.now() - from
print(("1000 endpoints: %.2f s, %.2f connect timeouts, %d wrong"):format(took, took / CONNECT, wrong))

local script = directory .. "/five.lua"
local five = {}
for i = 1, 5 do five[i] = targets[3 * i] end
assert(fs.write(script, ([[
local etcd, json = require "core.etcd", require "core.json"
etcd.probe { targets = json.decode [=[%s]=] }
print(io.open("/proc/self/status"):read("a"):match "VmHWM:%%s*(%%d+)")
]]):format(json.encode(five))))
local done = assert(proc.run { listener.binary(), "lua", script })
print(("5 members: %.1f MB at the peak"):format(tonumber(done.stdout) / 1024))
close()
listener.forget(directory)
os.exit(wrong == 0)
