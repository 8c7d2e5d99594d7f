-- Three etcd nodes whose addresses are known beforehand: the same file on every machine.
return {
	discover = static { "10.0.0.11", "10.0.0.12", "10.0.0.13" },
	output   = { ["/run/etcd.env"] = "env" },
	exec     = { "etcd" },
}
