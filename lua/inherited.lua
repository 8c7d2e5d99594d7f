-- inherited.lua - `inherited.etcd {...}`: a policy's `etcd` table in which the variables that etcd
-- itself reads, where the environment has them, go before what is given.  For policies in place of a
-- tool beside which etcd is configured so: both must mean the same directory, ports and certificates.

local inherited = {}

local TEXTS = { ETCD_NAME = "name", ETCD_DATA_DIR = "data_dir", ETCD_INITIAL_CLUSTER_TOKEN = "token" }
local TLS = {
	CERT_FILE = "cert", KEY_FILE = "key", TRUSTED_CA_FILE = "ca", CLIENT_CERT_AUTH = "client_auth", AUTO_TLS = "auto",
}
local SWITCHES = { ["true"] = true, ["1"] = true, ["false"] = false, ["0"] = false }

local function copy(t)
	local twin = {}
	for key, value in pairs(t or {}) do twin[key] = value end
	return twin
end

local function listen(get, given)
	local peer, client = get "ETCD_LISTEN_PEER_URLS", get "ETCD_LISTEN_CLIENT_URLS"
	if not peer and not client then return given end
	local lists = type(given) == "table" and copy(given) or {}
	for kind, text in pairs { peer = peer, client = client } do
		lists[kind] = {}
		for url in text:gmatch "[^,%s]+" do table.insert(lists[kind], url) end
	end
	return lists
end

local function tls(get, given)
	local files = copy(given)
	for _, prefix in ipairs { "", "PEER_" } do
		for name, key in pairs(TLS) do
			local value = get("ETCD_" .. prefix .. name)
			local switch = value and SWITCHES[value:lower()]
			if value then files[prefix:lower() .. key] = switch == nil and value or switch end
		end
	end
	return files
end

---@param given table?  for what the environment does not say
---@param getenv (fun(name: string): string?)?  default os.getenv
---@return table  for the policy's key `etcd`
function inherited.etcd(given, getenv)
	local function get(name)
		local value = (getenv or os.getenv)(name)
		return value ~= "" and value or nil
	end
	local etcd = copy(given)
	for name, key in pairs(TEXTS) do etcd[key] = get(name) or etcd[key] end
	etcd.listen, etcd.tls, etcd.extra = listen(get, etcd.listen), tls(get, etcd.tls), copy(etcd.extra)
	etcd.extra.ETCD_WAL_DIR = get "ETCD_WAL_DIR" or etcd.extra.ETCD_WAL_DIR
	return etcd
end

return inherited
