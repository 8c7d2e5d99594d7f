-- config.lua - from what the gate allowed to the ETCD_* values that make etcd do it.
local check = require "check"
local etcd = require "core.etcd"
local identity = require "identity"
local net = require "core.net"
local user = require "user"

local config = { me = identity.me, derive = identity.derive }

-- Listening -------------------------------------------------------------------------------------

local function family(address)
	local _, kind = net.address(address)
	return kind
end

-- An address to bind to: etcd takes no names there.
local function own(facts)
	local address = facts.me.address
	if type(family(address)) == "number" then return address end
	for _, instance in ipairs(facts.inventory and facts.inventory.instances or {}) do
		if instance.id == facts.me.id then
			return instance.addresses.private_v4 or instance.addresses.private_v6 or "0.0.0.0"
		end
	end
	return "0.0.0.0"
end

-- -> URLs for peers, URLs for clients
local function listen(policy, facts)
	local set, here = policy.etcd, own(facts)
	local wanted = set.listen
	local host = here
	if wanted == "any" then
		host = family(here) == 6 and "::" or "0.0.0.0"
	elseif type(wanted) == "string" then
		host = wanted
	end
	local peers = { net.join(set.peer_scheme, host, set.peer_port) }
	local clients = { net.join(set.scheme, host, set.client_port) }
	local loopback = net.inside(here, "127.0.0.0/8") or here == "::1" or here == "0.0.0.0"
	if type(wanted) ~= "string" and not loopback then
		clients[2] = net.join(set.scheme, "127.0.0.1", set.client_port)
	end
	if type(wanted) == "table" then
		peers, clients = wanted.peer or peers, wanted.client or clients
	end
	return peers, clients
end

-- The URL at which this machine's etcd will listen for its peers, the first of them; of every address
-- its own, where that is one.
---@param policy Policy
---@param facts Facts
---@return string
function config.peer_listen(policy, facts)
	if policy.etcd.listen == "any" and identity.is_local(facts.me.address) then return facts.me.peer_urls[1] end
	return (listen(policy, facts))[1]
end

-- The initial cluster ---------------------------------------------------------------------------

local function by_name(list)
	table.sort(list, function(a, b) return a.name < b.name end)
	return list
end

local function has_my_url(member, me)
	for _, mine in ipairs(me.peer_urls) do
		for _, its in ipairs(member.peer_urls) do
			if net.same(mine, its) then return true end
		end
	end
	return false
end

-- The members as etcd wants them listed: each with a name of its own, mine the one that I use.
-- The names of others are free, so one that is missing or used twice gives way to the id.
---@param members Member[]
---@param me Me
---@param my_id Id?
---@return Founder[]
function config.founders(members, me, my_id)
	local list, taken = {}, { [me.name] = true }
	local seen = false
	for _, member in ipairs(members) do
		local mine = my_id and member.id == my_id or not my_id and has_my_url(member, me)
		local name = mine and not seen and me.name or member.name
		if name == "" or taken[name] and not (mine and not seen) then
			name = "id-" .. etcd.hex(member.id)
		end
		seen = seen or mine
		taken[name] = true
		list[#list + 1] = { name = name, peer_urls = member.peer_urls }
	end
	local count = {}
	for _, one in ipairs(list) do
		assert(not count[one.name], "two members with one name")
		count[one.name] = true
	end
	return by_name(list)
end

local function find_cluster(facts, id)
	local one = facts.cluster
	if one and (not id or one.id == id) then return one end
	for _, cluster in ipairs(facts.clusters or {}) do
		if cluster.id == id then return cluster end
	end
end

-- What is listed although nobody could be asked; with data present etcd reads none of it.
local function unasked(facts)
	local data = facts.data_dir
	local list = data.claim and data.claim.list or data.founders
	if list and list[1] then return by_name(user.copy(list)) end
	return { { name = facts.me.name, peer_urls = facts.me.peer_urls } }
end

-- The values ------------------------------------------------------------------------------------

local TLS = {
	{ "CERT_FILE", "cert" }, { "KEY_FILE", "key" }, { "TRUSTED_CA_FILE", "ca" },
	{ "CLIENT_CERT_AUTH", "client_auth" }, { "AUTO_TLS", "auto" },
}

-- Adds ETCD_KEY, unless there is no value.
local function put(to, key, value)
	if value == nil or value == false or value == "" then return end
	to.pairs[#to.pairs + 1] = { key, tostring(value) }
	to.env[key] = tostring(value)
end

local function put_tls(to, tls)
	for _, prefix in ipairs { "", "peer_" } do
		for _, row in ipairs(TLS) do
			put(to, "ETCD_" .. prefix:upper() .. row[1], tls[prefix .. row[2]])
		end
	end
end

local function initial_cluster(list)
	local entries = {}
	for _, one in ipairs(list) do
		for _, peer in ipairs(one.peer_urls) do
			entries[#entries + 1] = one.name .. "=" .. peer
		end
	end
	return table.concat(entries, ",")
end

local function fill(made, policy, facts, token)
	local me, set = facts.me, policy.etcd
	local peers, clients = listen(policy, facts)
	put(made, "ETCD_NAME", me.name)
	put(made, "ETCD_DATA_DIR", set.data_dir)
	put(made, "ETCD_INITIAL_CLUSTER_STATE", made.state)
	put(made, "ETCD_INITIAL_CLUSTER", initial_cluster(made.initial_cluster))
	put(made, "ETCD_INITIAL_CLUSTER_TOKEN", token)
	put(made, "ETCD_INITIAL_ADVERTISE_PEER_URLS", table.concat(me.peer_urls, ","))
	put(made, "ETCD_LISTEN_PEER_URLS", table.concat(peers, ","))
	put(made, "ETCD_LISTEN_CLIENT_URLS", table.concat(clients, ","))
	put(made, "ETCD_ADVERTISE_CLIENT_URLS", table.concat(me.client_urls, ","))
	put_tls(made, set.tls)
	for _, key in ipairs(check.sorted(set.extra)) do put(made, key, set.extra[key]) end
	return made
end

-- The variables that the configuration of any member will have, whatever their values.
---@param policy Policy
---@return table<string, string>
function config.variables(policy)
	local urls = { "http://127.0.0.1:1" }
	local me = { name = "a", address = "127.0.0.1", peer_urls = urls, client_urls = urls }
	local made = { state = "new", pairs = {}, env = {}, initial_cluster = { me } }
	return fill(made, policy, { me = me }, "token").env
end

-- Client URLs of the members that are known to have one, mine among them.
local function endpoints(facts, members, list)
	local seen = {}
	for _, one in ipairs(facts.me.client_urls) do seen[one] = true end
	for _, member in ipairs(members) do
		for _, one in ipairs(member.client_urls) do seen[one] = true end
	end
	for _, instance in ipairs(facts.inventory and facts.inventory.instances or {}) do
		for _, founder in ipairs(list) do
			if instance.peer_url and instance.peer_url == founder.peer_urls[1] then
				seen[instance.client_url] = true
			end
		end
	end
	return check.sorted(seen)
end

-- The name and address that a start needs, from wherever they are known.
local function known_me(facts, members, my_id)
	local me = user.copy(facts.me)
	for _, member in ipairs(members) do
		if member.id == my_id and not me.name and member.name ~= "" then me.name = member.name end
	end
	if not me.name or not me.address then
		local what = me.name and "address" or "name"
		return nil, ("the %s of this machine is not known: neither the provider nor the memory of "
			.. "an earlier run tells it"):format(what), "missing"
	end
	return me
end

local function new(allowed, facts, policy)
	local list = by_name(user.copy(allowed.members))
	local made = {
		role = "member", state = allowed.state or "new", name = facts.me.name, pairs = {}, env = {},
		initial_cluster = list, endpoints = endpoints(facts, allowed.known or {}, list),
		cluster_id = allowed.cluster_id, member_id = allowed.member_id, version = facts.me.etcd_version,
	}
	return fill(made, policy, facts, allowed.token or facts.me.token)
end

-- The configuration of the member that this machine, which must know its name and address, is about to
-- become, as far as it is known before.  A slot that is still to be added has no id: 1 stands for it.
---@param facts Facts
---@param policy Policy
---@return Config
function config.rehearsal(facts, policy)
	local cluster, founding, me = facts.cluster, facts.founding, facts.me
	if founding and not cluster then
		return new({
			members = founding.list, token = founding.token, cluster_id = founding.cluster_id, member_id = founding.member_id,
		}, facts, policy)
	end
	local members, mine = {}, false
	for i, member in ipairs(cluster and cluster.members or {}) do
		members[i], mine = member, mine or has_my_url(member, me)
	end
	if not mine then table.insert(members, { id = "1", name = "", peer_urls = me.peer_urls, client_urls = {} }) end
	return new({
		state = "existing", members = config.founders(members, me), known = members,
		cluster_id = cluster and cluster.id, member_id = "1",
	}, facts, policy)
end

-- The configuration of an earlier run, when it was for this very member.
local function usable(last, facts, cluster_id)
	local same_name = last and (not facts.me.name or last.name == facts.me.name)
	return same_name and last.role == "member" and last.cluster_id == cluster_id and last or nil
end

-- A start when nobody tells who the members are: what was handed over last, as far as it is known,
-- with the policy's present settings where this machine knows itself.
local function restart(made, facts, policy, last)
	made.state = last and last.state or "existing"
	made.initial_cluster = last and last.initial_cluster or unasked(facts)
	made.endpoints = last and last.endpoints or endpoints(facts, {}, made.initial_cluster)
	return fill(made, policy, facts, last and last.env.ETCD_INITIAL_CLUSTER_TOKEN or facts.me.token)
end

local function start(allowed, facts, policy, last)
	local data = facts.data_dir
	local cluster_id = allowed.cluster_id or data.cluster_id
	local my_id = allowed.member_id or data.member_id
	local cluster = find_cluster(facts, cluster_id)
	local members = cluster and cluster.members or {}
	last = #members == 0 and usable(last, facts, cluster_id) or nil
	local me, why, code = known_me(facts, members, my_id)
	if not me then
		if last then return last end
		return nil, why, code
	end
	local seen = setmetatable({ me = me }, { __index = facts })
	local made = {
		role = "member", state = "existing", name = me.name, pairs = {}, env = {},
		cluster_id = cluster_id, member_id = my_id, version = me.etcd_version,
	}
	if #members == 0 then return restart(made, seen, policy, last) end
	made.initial_cluster = config.founders(members, me, my_id)
	made.endpoints = endpoints(seen, members, made.initial_cluster)
	return fill(made, policy, seen, me.token)
end

-- What the gate allowed, as a configuration of etcd.
---@param permit Permit
---@param action "new"|"start"  what it is for
---@param facts Facts
---@param policy Policy
---@param state State  remembers the configuration to use when nobody can be asked
---@return Config|nil, string?, Code?
function config.make(permit, action, facts, policy, state)
	local allowed = permit:take(action)
	if action == "new" then return new(allowed, facts, policy) end
	return start(allowed, facts, policy, state and state:last())
end

local NOBODY = { name = "", peer_urls = {} }

-- What a proxy is told by variables: etcd itself up to 3.5; from 3.6 on there is only the gateway,
-- which reads none, so the one that is written is ours.
local function proxy(made)
	local major, minor = (made.version or ""):match "^(%d+)%.(%d+)"
	if major and (tonumber(major) > 3 or tonumber(major) == 3 and tonumber(minor) >= 6) then
		return { ETCD_NAME = made.name, ETCD_GATEWAY_ENDPOINTS = table.concat(made.endpoints, ",") }
	end
	return {
		ETCD_NAME = made.name, ETCD_INITIAL_CLUSTER_STATE = "existing", ETCD_PROXY = "on",
		ETCD_INITIAL_CLUSTER = initial_cluster(made.initial_cluster),
	}
end

-- For a machine that is to wait outside of the cluster: where its members are reached, by clients and
-- by peers.  `pairs` is empty: who asks for nothing else gets nothing written.
---@return Config
function config.standby(facts, _)
	local cluster, me = facts.cluster, facts.me
	local made = { role = "standby", name = me.name, pairs = {}, env = {}, initial_cluster = {}, endpoints = {} }
	made.version = me.etcd_version or cluster and cluster.version
	if not cluster then return made end
	made.cluster_id, made.endpoints = cluster.id, { table.unpack(cluster.endpoints) }
	made.initial_cluster = config.founders(cluster.members, NOBODY)
	made.env = proxy(made)
	return made
end

return config
