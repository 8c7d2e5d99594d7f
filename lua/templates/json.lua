-- json.lua - one JSON object on one line: the ETCD_* values, role, name, cluster_id and endpoints.
local etcd = require "core.etcd"
local json = require "core.json"

---@param config Config
---@return string
return function(config)
	local object = {
		role = config.role, name = config.name or json.null,
		cluster_id = config.cluster_id and etcd.hex(config.cluster_id) or json.null,
		endpoints = json.list { table.unpack(config.endpoints) },
	}
	for key, value in pairs(config.env) do object[key] = value end
	return json.encode(object) .. "\n"
end
