-- identity.lua - what this machine, and each other one, is called and reached at, by the policy's
-- etcd.name, etcd.address, ports and schemes.
local check = require "check"
local net = require "core.net"
local user = require "user"

local identity = {}

local function bad(fmt, ...)
	return nil, fmt:format(...), "parse"
end

-- A setting that is a value, or a function of the instance.
local function setting(what, value, instance)
	if type(value) ~= "function" then return value end
	return user.pure(what .. " (" .. user.where(value) .. ")", value, instance)
end

local function member_name(policy, inventory, instance)
	local given, name, why, code = policy.etcd.name, instance.name, nil, nil
	if type(given) == "function" then
		name, why, code = setting("etcd.name", given, instance)
	elseif instance.id == inventory.self then
		name = given or name
	end
	if name == nil and why then return nil, why, code end
	local wanted = check.member_name(name)
	if wanted then
		return bad("instance %s: %s cannot be a member's name (%s expected); see etcd.name", instance.id,
			check.shown(name), wanted)
	end
	return name
end

local function inside(instance, cidr)
	for _, key in ipairs(check.address_keys) do
		local address = instance.addresses[key]
		if address and net.inside(address, cidr) then return address end
	end
end

-- The address of an instance; nil alone when it has none.
local function address_of(policy, instance)
	local wanted = policy.etcd.address
	if type(wanted) == "function" then
		local address, why, code = setting("etcd.address", wanted, instance)
		if address == nil or type(address) == "string" then return address, why, code end
		return bad("etcd.address: an address expected for instance %s, got %s", instance.id,
			check.shown(address))
	end
	if wanted:find "/" then return inside(instance, wanted) end
	return instance.addresses[wanted]
end

local function url(scheme, address, port)
	local fine, text = pcall(net.join, scheme, address, port)
	if fine then return text end
	return bad("%s is not an address that etcd could be reached at", check.shown(address))
end

-- Writes etcd_name, peer_url and client_url into one instance.
local function derive_one(policy, inventory, instance)
	local name, address, why, code
	name, why, code = member_name(policy, inventory, instance)
	if not name then return nil, why, code end
	instance.etcd_name = name
	address, why, code = address_of(policy, instance)
	if not address then
		if why then return nil, why, code end
		return true
	end
	local set = policy.etcd
	instance.peer_url, why, code = url(set.peer_scheme, address, set.peer_port)
	if not instance.peer_url then return nil, why, code end
	instance.client_url, why, code = url(set.scheme, address, set.client_port)
	if not instance.client_url then return nil, why, code end
	return true
end

-- Writes etcd_name, peer_url and client_url into every instance.  No two that may be alive share a
-- name or an address.  A dead one may have neither any more: clouds take tags and host names away.
---@param policy Policy
---@param inventory Inventory
---@return true|nil, string?, Code?
function identity.derive(policy, inventory)
	local names, taken = {}, {}
	for _, instance in ipairs(inventory.instances) do
		local fine, why, code = derive_one(policy, inventory, instance)
		if not fine and instance.state ~= "dead" then return nil, why, code end
		if instance.state ~= "dead" then
			local name, peer = instance.etcd_name, instance.peer_url
			if names[name] then
				return bad("instances %s and %s have one name, %q", names[name], instance.id, name)
			elseif peer and taken[peer] then
				return bad("instances %s and %s have one address, %s", taken[peer], instance.id, peer)
			end
			names[name] = instance.id
			if peer then taken[peer] = instance.id end
		end
	end
	return true
end

-- Whether the address is one of this machine's own; 127/8 always is.
---@param address string?
---@return boolean
function identity.is_local(address)
	if not address then return false end
	if net.inside(address, "127.0.0.0/8") then return true end
	for _, known in ipairs(net.interfaces() or {}) do
		if known == address then return true end
	end
	return false
end

-- Who this machine is.  Without an inventory: what the policy alone can say.
---@param policy Policy
---@param inventory Inventory?
---@return Me|nil, string?, Code?
function identity.me(policy, inventory)
	local set = policy.etcd
	local me = { peer_urls = {}, client_urls = {}, token = "" }
	if type(set.name) == "string" then me.name = set.name end
	if type(set.token) == "string" then me.token = set.token end
	if not inventory then return me end
	local mine
	for _, instance in ipairs(inventory.instances) do
		if instance.id == inventory.self then mine = instance end
	end
	local why, code
	me.id = mine.id
	me.name, why, code = member_name(policy, inventory, mine)
	if not me.name then return nil, why, code end
	me.token, why, code = setting("etcd.token", set.token, mine)
	if type(me.token) ~= "string" then return nil, why or "etcd.token: a string expected", code end
	me.address, why, code = address_of(policy, mine)
	if not me.address then
		if why then return nil, why, code end
		return me
	end
	local peer, client
	peer, why, code = url(set.peer_scheme, me.address, set.peer_port)
	if not peer then return nil, why, code end
	client, why, code = url(set.scheme, me.address, set.client_port)
	if not client then return nil, why, code end
	me.peer_urls, me.client_urls = { peer }, { client }
	return me
end

return identity
