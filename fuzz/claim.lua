-- claim.lua - what must hold of every text taken for a claim; fuzz/claim.c calls it.
local datadir = require "datadir"
local etcd = require "core.etcd"
local json = require "core.json"

-- As a claim is written to disk.
local function written(claim)
	return json.encode {
		kind = claim.kind,
		cluster_id = etcd.hex(claim.cluster_id),
		member_id = etcd.hex(claim.member_id),
		token = claim.token,
		list = claim.list,
	}
end

local function check_founder(who)
	assert(type(who.name) == "string" and #who.peer_urls > 0)
	for _, url in ipairs(who.peer_urls) do
		assert(type(url) == "string")
	end
end

return function(text)
	local claim, why = datadir.parse_claim(text)
	if not claim then
		assert(claim == nil and type(why) == "string" and why ~= "")
		return
	end
	assert(claim.kind == "founding" or claim.kind == "join")
	if claim.kind == "founding" then
		assert(type(claim.token) == "string" and #claim.list > 0)
		for _, who in ipairs(claim.list) do
			check_founder(who)
		end
	end
	local first = written(claim)
	local again = assert(datadir.parse_claim(first))
	assert(written(again) == first and again.cluster_id == claim.cluster_id and again.member_id == claim.member_id)
end
