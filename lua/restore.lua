-- restore.lua - the commands that make a cluster anew out of a snapshot of its best survivor, for a
-- person to read and to run.  Old data is moved aside, and nothing is overwritten.  Pure.
local etcd = require "core.etcd"

local restore = {}

local function word(text)
	if text:find "^[%w_@%%+=:,./-]+$" then return text end
	return "'" .. text:gsub("'", "'\\''") .. "'"
end

local function words(...)
	local list = {}
	for i, text in ipairs { ... } do list[i] = word(text) end
	return table.concat(list, " ")
end

local function at_least(version, major, minor)
	local first, second = (version or "3.6"):match "^(%d+)%.(%d+)"
	first, second = tonumber(first), tonumber(second)
	return first > major or first == major and second >= minor
end

-- How etcdctl is let in where etcd wants certificates or a login.
local function access(set)
	local tls, flags = set.tls, {}
	local function add(flag, value)
		if value then table.insert(flags, flag .. "=" .. word(value)) end
	end
	add("--cacert", tls.ca)
	add("--cert", tls.probe_cert or tls.cert)
	add("--key", tls.probe_key or tls.key)
	if set.scheme == "https" and (tls.auto or not tls.verify) then table.insert(flags, "--insecure-skip-tls-verify") end
	add("--user", set.user)
	return flags[1] and " " .. table.concat(flags, " ") or ""
end

local function initial_cluster(founders)
	local entries = {}
	for _, founder in ipairs(founders) do
		for _, url in ipairs(founder.peer_urls) do table.insert(entries, founder.name .. "=" .. url) end
	end
	return table.concat(entries, ",")
end

-- What is in its place already goes aside; `mv -T` overwrites nothing that holds something.
local function put(from, to)
	local old = word(to)
	local aside = ("test ! -e %s || mv -T %s %s"):format(old, old, word(to .. ".aside-restore"))
	return aside, ("mv -T %s %s"):format(word(from), old)
end

local function commands(o, founder, token, file)
	local set, dir = o.etcd, o.etcd.data_dir or "DATA_DIR"
	local wal = set.extra.ETCD_WAL_DIR
	local line = ("%s snapshot restore %s --name=%s --initial-cluster=%s --initial-cluster-token=%s "
		.. "--initial-advertise-peer-urls=%s --data-dir=%s"):format(
		at_least(o.version, 3, 6) and "etcdutl" or "etcdctl", word(file), word(founder.name),
		word(initial_cluster(o.founders)), word(token), word(table.concat(founder.peer_urls, ",")),
		word(dir .. "/restored"))
	local list = { "mkdir -p -m 700 " .. word(dir) }
	if wal then line = line .. " --wal-dir=" .. word(wal .. ".restored") end
	if not o.best then line = line .. " --skip-hash-check" end
	table.insert(list, line)
	local function move(from, to)
		for _, command in ipairs { put(from, to) } do table.insert(list, command) end
	end
	if wal then move(wal .. ".restored", wal) end
	move(dir .. "/restored/member", dir .. "/member")
	table.insert(list, "rmdir " .. word(dir .. "/restored"))
	table.insert(list, ("chown -R --reference=%s %s"):format(word(dir), words(dir .. "/member", wal)))
	return list
end

-- o: {lost = id, best = who is asked for the snapshot, nil: nobody can be, founders = the new members,
-- etcd = the policy's, token = the configured one, version = etcd's}
-- The token makes of the same addresses another cluster than the one that was lost, so that no old disk
-- can come back; whoever works it out again for this loss gets the same.
---@return Restoration
function restore.commands(o)
	local hex = etcd.hex(o.lost)
	local set = o.etcd
	local dir = set.data_dir or "/var/tmp/etcd"
	local file = ("%s.%s.snapshot"):format(dir, hex)
	local made = { token = ("%s-after-%s"):format(o.token, hex), file = file, snapshot = {}, machines = {} }
	made.cluster_id = etcd.identify(o.founders, made.token)
	if o.best then
		table.insert(made.snapshot, ("%setcdctl --endpoints=%s%s snapshot save %s"):format(
			at_least(o.version, 3, 4) and "" or "ETCDCTL_API=3 ", word(o.best.client_url), access(set), word(file)))
	else
		table.insert(made.snapshot, "cp " .. words((set.data_dir or "DATA_DIR") .. "/member/snap/db", file))
	end
	for i, founder in ipairs(o.founders) do
		made.machines[i] = { name = founder.name, commands = commands(o, founder, made.token, file) }
	end
	return made
end

return restore
