-- A program of yours knows the machines and prints them as JSON:
--
--	etcd-bootstrap run command.lua -- /usr/local/bin/machines --role etcd
--
--	{"self": "a", "desired": 3, "complete": true, "gone": "dead",
--	 "instances": [{"id": "a", "address": "10.0.0.11"}, {"id": "b", "address": "10.0.0.12"},
--	               {"id": "c", "address": "10.0.0.13"}]}
local program = #args > 0 and { table.unpack(args) } or { "/usr/local/bin/machines" }
program.timeout = 20 -- seconds

return {
	discover = command(program),
	output   = {
		["/run/etcd.env"] = { template = "env", mode = "0640", reload = { "systemctl", "restart", "etcd" } },
	},
}
