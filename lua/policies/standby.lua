-- standby.lua - for a machine that is never a member, such as a proxy: it waits for a cluster that
-- works, and stands by.  With gateway = "127.0.0.1:2379" it becomes etcd's gateway to that cluster,
-- which listens there.  Pure.
local check = require "check"
local empty = require "rows.empty"
local plan = require "plan"

local function listening(value)
	if type(value) ~= "string" or not value:find ":%d+$" then
		return "an address and a port to listen at, as \"127.0.0.1:2379\","
	end
end

local function make(_, options)
	local wrong = check.options("standby", options or {}, { gateway = listening })
	if wrong then error(wrong, 2) end
	local gateway = options and options.gateway
	return function(f)
		local rivals = empty.row_7_rivals(f)
		if rivals then return rivals end
		if not f.cluster then
			local unlisted = f.inventory and "" or ": who the machines are is unknown: " .. (f.inventory_why or "nobody said")
			return plan.wait("there is no cluster with quorum to stand by for" .. unlisted, { waiting_for = plan.silent(f) })
		end
		local argv = gateway and { "etcd", "gateway", "start", "--listen-addr=" .. gateway,
			"--endpoints=" .. table.concat(f.cluster.endpoints, ",") } or nil
		return plan.of("standby", ("cluster %s works, and this machine is not to be a member"):format(plan.hex(f.cluster.id)),
			{ exec = argv })
	end
end

return setmetatable({ decide = make() }, { __call = make })
