-- credentials.lua - the files of the policy's etcd.tls and its password, read once at the start, so
-- that one that is missing, does not fit or is near its end is told by its key and its path, and
-- not found in a broken handshake later.
local crypto = require "core.crypto"
local fs = require "core.fs"
local log = require "core.log"
local net = require "core.net"

local credentials = {}

local DAY = 86400
local SOON = 30 * DAY

local function day(time)
	return os.date("!%Y-%m-%d", time)
end

-- Every certificate of a PEM text, parsed -> list | nil, message
local function certificates(pem)
	local list = {}
	for block in pem:gmatch "%-%-%-%-%-BEGIN CERTIFICATE.-%-%-%-%-%-END CERTIFICATE[^\n]*" do
		local one, why = crypto.certificate(block .. "\n")
		if not one then return nil, why end
		list[#list + 1] = one
	end
	if not list[1] then return nil, "no certificate in PEM" end
	return list
end

-- The certificate that decides until when a file is good: of a chain the one that ends first, of
-- authorities the one that ends last, for old ones may stay beside the new.
local function decisive(list, authorities)
	local found = list[1]
	for _, one in ipairs(list) do
		local earlier = one.not_after < found.not_after
		if authorities ~= earlier and one.not_after ~= found.not_after then found = one end
	end
	return found
end

-- What is to be said of how long a certificate is good -> level, text | nothing
local function judge(one, now)
	if one.not_after <= now then
		return "error", ("ended on %s: nobody who checks will accept it"):format(day(one.not_after))
	elseif one.not_before > now then
		return "error", ("begins only on %s: is this machine's clock right?"):format(day(one.not_before))
	elseif one.not_after - now < SOON then
		local days = (one.not_after - now) // DAY
		return "warn", ("ends on %s, in %d day%s: renew it"):format(day(one.not_after), days, days == 1 and "" or "s")
	end
end

local function read(found, key, path)
	local text, why = fs.read(path)
	if not text then table.insert(found, { level = "error", broken = true, text = ("%s: %s"):format(key, why) }) end
	return text
end

local function look_at(found, set, key, now)
	local path = set.tls[key]
	local name = "etcd.tls." .. key
	local pem = path and read(found, name, path)
	if not pem then return end
	local list, why = certificates(pem)
	if not list then
		table.insert(found, { level = "error", broken = true, text = ("%s: %s: %s"):format(name, path, why) })
		return
	end
	local one = decisive(list, key:find "ca$" ~= nil)
	local level, text = judge(one, now)
	if level then
		text = ("%s: the certificate in %s (%s) %s"):format(name, path, one.subject, text)
		table.insert(found, { level = level, text = text })
	end
	return pem
end

local function look_at_key(found, set, key, cert)
	local path = set.tls[key]
	local name = "etcd.tls." .. key
	local pem = path and read(found, name, path)
	if not pem or not cert then return end
	local same, why = crypto.matches(cert, pem)
	if not same then
		why = why or "it is not the key of " .. set.tls[key:gsub("key$", "cert")]
		table.insert(found, { level = "error", broken = true, text = ("%s: %s: %s"):format(name, path, why) })
	end
end

local function look_at_password(found, path)
	local stat = fs.stat(path, { follow = true })
	if not read(found, "etcd.password_file", path) or not stat then return end
	if stat.mode & 4 ~= 0 then
		table.insert(found, { level = "warn", text = ("etcd.password_file: everybody may read %s"):format(path) })
	end
end

-- What is wrong with the files that the policy names.  broken: it cannot be used at all.
---@param set PolicyEtcd
---@param now number  Unix time
---@return {level: "warn"|"error", text: string, broken: boolean?}[]
function credentials.check(set, now)
	local found = {}
	for _, prefix in ipairs { "", "peer_", "probe_" } do
		look_at(found, set, prefix .. "ca", now)
		look_at_key(found, set, prefix .. "key", look_at(found, set, prefix .. "cert", now))
	end
	if set.password_file then look_at_password(found, set.password_file) end
	return found
end

-- Names ---------------------------------------------------------------------------------------

local function covers(names, host)
	local domain = host:match "^[^.]+%.(.+)$"
	for _, name in ipairs(names) do
		local its = net.address(name) or name:lower()
		if its == host or domain and its == "*." .. domain then return true end
	end
	return false
end

local function misnamed(found, set, key, url)
	local pem = set.tls[key] and fs.read(set.tls[key])
	local one, parsed = pem and crypto.certificate(pem), net.url(url)
	if not one or parsed.scheme ~= "https" or covers(one.names, parsed.host) then return end
	local names = one.names[1] and table.concat(one.names, ", ") or "nobody"
	table.insert(found, ("etcd.tls.%s: the certificate in %s is not for %s but for %s: "
		.. "whoever checks will not talk to this machine"):format(key, set.tls[key], parsed.host, names))
end

-- Certificates that are not for the address at which this machine is to be reached.
---@param set PolicyEtcd
---@param me Me
---@return string[]
function credentials.misnamed(set, me)
	local found = {}
	if me.client_urls[1] then misnamed(found, set, "cert", me.client_urls[1]) end
	if me.peer_urls[1] then misnamed(found, set, "peer_cert", me.peer_urls[1]) end
	return found
end

-- Telling -------------------------------------------------------------------------------------

-- Say it -> whether a file cannot be used
---@return boolean
function credentials.tell(set, now)
	local broken = false
	for _, one in ipairs(credentials.check(set, now)) do
		log[one.level](one.text)
		broken = broken or one.broken == true
	end
	return broken
end

return credentials
