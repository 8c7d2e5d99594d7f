-- autopsy.lua - whether a cluster that does not come back ever could: what the disks hold, against
-- the members that each etcd lists.

local http = require "core.http"
local json = require "core.json"
local datadir = require "datadir"

-- What each machine's disk is, or was promised to become: member id -> machine's name
local function disks(f)
	local held = {}
	for _, m in ipairs(f.slots) do
		local data = datadir.read(datadir.at(m.data))
		local id = data.member_id or data.claim and data.claim.member_id
		if id then
			held[id] = m.name
		end
	end
	return held
end

local function members(f, m)
	local response = http.request { url = f.world:peer(m.name) .. "/members", timeout = 2, proxy = false }
	local list = response and response.status == 200 and json.decode(response.body)
	return type(list) == "table" and list[1] and list
end

--- A text when every list that there is has more voters without a disk than a quorum can spare.
return function(f)
	local held, why = disks(f), nil
	for _, m in ipairs(f.slots) do
		local voters, gone = 0, 0
		for _, member in ipairs(members(f, m) or {}) do
			if not member.isLearner then
				voters = voters + 1
				gone = gone + (held[tostring(member.id)] and 0 or 1)
			end
		end
		if voters > 0 and gone <= voters - (voters // 2 + 1) then
			return nil
		end
		if voters > 0 then
			why = ("the cluster is dead: of its %d voters %d have no disk any more, as %s lists them"):format(
				voters, gone, m.name)
		end
	end
	return why
end
