-- One machine of `make demo`: who the machines are stands in a file, and etcd runs in the foreground.
-- Try it: etcd-bootstrap run examples/demo.lua --set name=a --set list=machines.json --set dir=/tmp/a
local name = args.name or "a"
local list = args.list or "machines.json"
local dir  = args.dir or "/var/lib/etcd-demo"

return {
	discover = static { file = list, self = name },
	decide   = steady { evict_after = 1 },      -- seconds; a real group would wait longer
	output   = { [dir .. "/etcd.env"] = "env" },
	exec     = { "etcd", "--logger=zap" },
	interval = 0.2,
	timeout  = tonumber(args.timeout or 60),
	etcd     = { data_dir = dir .. "/data", token = "demo" },
}
