-- My own rule on top: no evictions in working hours (UTC), unless it is this machine that lost its
-- own disk.  Whatever a rule says, the gate has the last word.
local function decide(facts)
	local plan = steady.decide(facts)
	local hour = tonumber(os.date("!%H", facts.now))
	if plan.action == "remove" and not plan.own and hour >= 7 and hour < 19 then
		return { action = "wait", reason = "no evictions in working hours: " .. plan.reason }
	end
	return plan
end

return {
	discover = static { file = "/etc/etcd-machines.json" },
	decide   = decide,
	output   = { ["/run/etcd.env"] = "env" },
	exec     = { "etcd" },
}
