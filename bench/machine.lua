-- One machine of a measurement: --set name=, list= and dir= as in examples/demo.lua; version= keeps
-- it from asking etcd for it.
return {
	discover = static { file = args.list, self = args.name },
	output   = { [args.dir .. "/etcd.env"] = "env" },
	exec     = { "etcd", "--logger=zap" },
	interval = 0.2,
	timeout  = 60,
	etcd     = { data_dir = args.dir .. "/data", version = args.version },
}
