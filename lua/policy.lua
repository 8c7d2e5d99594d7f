-- policy.lua - loads a policy file, checks every key and fills in the defaults.  What is wrong in it
-- comes back as nil, message, "usage", and the message names the file, the line and the key.
local check = require "check"
local environment = require "environment"
local modules = require "modules"
local nearest = require "nearest"
local proposal = require "proposal"
local task = require "core.task"
local template = require "template"
local user = require "user"

local policy = { call = user.call, pure = user.pure, copy = user.copy }

-- Seconds of CPU time that a policy file may take to load.
local PATIENCE = 5

-- The keys --------------------------------------------------------------------------------------

local TLS = {
	ca = check.text, cert = check.text, key = check.text, client_auth = check.boolean,
	peer_ca = check.text, peer_cert = check.text, peer_key = check.text,
	peer_client_auth = check.boolean, probe_cert = check.text, probe_key = check.text,
	auto = check.boolean, peer_auto = check.boolean, verify = check.boolean,
}

local ETCD = {
	version = check.version, data_dir = check.data_dir, name = check.name_or_function,
	token = check.text_or_function, scheme = check.one_of("http", "https"),
	peer_scheme = check.one_of("http", "https"), client_port = check.port, peer_port = check.port,
	address = check.address, listen = check.listen, tls = check.table,
	connect_timeout = check.seconds, probe_timeout = check.seconds, extra = check.extra,
	user = check.text, password_file = check.text,
}

local KEYS = {
	discover = check.func, decide = check.func, size = check.size,
	found = check.one_of("rollcall", "refused"), timeout = check.seconds_or_none,
	interval = check.seconds, state_dir = check.text, output = check.table, exec = check.argv_or_function,
	on = check.func, etcd = check.table, finish = check.boolean, marker = check.marker,
	register = check.table,
}

local OUTPUT = {
	template = check.text_or_function, mode = check.mode, owner = check.text, reload = check.argv,
}

local ETCD_DEFAULTS = {
	data_dir = "/var/lib/etcd", token = "etcd-cluster", scheme = "http", peer_scheme = "http",
	client_port = 2379, peer_port = 2380, address = "private_v4", connect_timeout = 2,
	probe_timeout = 5,
}

local DEFAULTS = { found = "rollcall", timeout = 300, interval = 2 }

-- The line of the source where the last of these keys is given, each looked for below the one
-- before; nil when it is not to be seen.
local function line_of(source, path)
	local from, found = 1, nil
	for _, key in ipairs(path) do
		local plain, n = key:gsub("%W", "%%%0"), 0
		for line in (source .. "\n"):gmatch "(.-)\n" do
			n = n + 1
			local code = line:gsub("%-%-.*", "")
			if n >= from and (code:find("%f[%w_]" .. plain .. "%f[^%w_]%s*=[^=]")
				or code:find("%[%s*[\"']" .. plain .. "[\"']%s*%]%s*=")) then
				from, found = n, n
				break
			end
		end
	end
	return found
end

-- Raises a fault of the file's: {key path}, what is wrong with it.
local function fault(path, fmt, ...)
	error({ path = path, why = fmt:format(...) }, 0)
end

local function names_of(keys)
	local names = {}
	for name in pairs(keys) do names[#names + 1] = name end
	table.sort(names)
	return names
end

-- A copy of t with every value checked; `above` is the path of keys down to t.
local function checked(t, keys, above)
	local out = {}
	for _, key in ipairs(check.sorted(t)) do
		local path = table.move(above, 1, #above, 1, {})
		path[#path + 1] = tostring(key)
		if not keys[key] then
			fault(path, "unknown key%s", nearest.hint(tostring(key), names_of(keys)))
		end
		local wanted, value, got = keys[key](t[key])
		if wanted then fault(path, "%s expected, got %s", wanted, got or check.shown(t[key])) end
		if value == nil then value = t[key] end
		out[key] = value
	end
	return out
end

local function fill(t, defaults)
	for key, value in pairs(defaults) do
		if t[key] == nil then t[key] = value end
	end
	return t
end

-- A port that speaks TLS needs a certificate, unless its URLs are told apart from ours.
local function needs_certificate(etcd, tls, scheme, prefix)
	local auto, cert = prefix .. "auto", prefix .. "cert"
	if tls[auto] and tls[cert] then
		fault({ "etcd", "tls", auto }, "etcd makes a certificate of its own only where %s is left out", cert)
	elseif etcd[scheme] == "https" and not tls[auto] and not tls[cert] and type(etcd.listen) ~= "table" then
		fault({ "etcd", scheme }, "https needs etcd.tls.%s and etcd.tls.%skey, or etcd.tls.%s", cert, prefix, auto)
	elseif tls[prefix .. "client_auth"] and not tls[prefix .. "ca"] then
		fault({ "etcd", "tls", prefix .. "client_auth" }, "whose certificates? etcd.tls.%sca is missing", prefix)
	end
end

local function login_of(etcd)
	if (etcd.user == nil) ~= (etcd.password_file == nil) then
		fault({ "etcd", etcd.user and "user" or "password_file" }, "etcd.user and etcd.password_file belong together")
	end
end

local function pairs_of_files(tls)
	for _, prefix in ipairs { "", "peer_", "probe_" } do
		local cert, key = prefix .. "cert", prefix .. "key"
		if (tls[cert] == nil) ~= (tls[key] == nil) then
			fault({ "etcd", "tls", tls[cert] and cert or key }, "%s and %s belong together", cert, key)
		end
	end
	return tls
end

local function etcd_of(t)
	local etcd = fill(checked(t or {}, ETCD, { "etcd" }), ETCD_DEFAULTS)
	etcd.tls = pairs_of_files(checked(etcd.tls or {}, TLS, { "etcd", "tls" }))
	if etcd.tls.verify == nil then etcd.tls.verify = true end
	needs_certificate(etcd, etcd.tls, "scheme", "")
	needs_certificate(etcd, etcd.tls, "peer_scheme", "peer_")
	login_of(etcd)
	etcd.extra = etcd.extra or {}
	for _, name in ipairs(check.sorted(etcd.extra)) do
		if check.ours[name] then
			fault({ "etcd", "extra", name }, "is made from the policy's other keys")
		elseif name == "ETCD_FORCE_NEW_CLUSTER" then
			fault({ "etcd", "extra", name }, "throws every other member out at each start; start etcd so by hand, once")
		end
	end
	if etcd.client_port == etcd.peer_port then
		fault({ "etcd", "peer_port" }, "etcd.client_port and etcd.peer_port are both %d",
			etcd.client_port)
	end
	return etcd
end

local function output_of(key, path, spec)
	if type(path) ~= "string" or path == "" then
		fault({ key }, "a path or \"-\" expected, got %s", check.shown(path))
	end
	local above = key == "output" and { key, path } or { key .. " " .. path }
	if type(spec) == "string" or type(spec) == "function" then spec = { template = spec } end
	if type(spec) ~= "table" then
		fault(above, "the name of a template, a function or a table expected, got %s",
			check.shown(spec))
	end
	local out = checked(spec, OUTPUT, above)
	out.path, out.template = path, out.template or "env"
	if type(out.template) == "string" then
		local found, why = template.find(out.template)
		if not found then fault(above, "%s", why) end
	end
	return out
end

-- From the command line, which goes before, or from the file.
local function outputs_of(given, t)
	local list = {}
	for path, spec in pairs(given or t or { ["-"] = "env" }) do
		list[#list + 1] = output_of(given and "--output" or "output", path, spec)
	end
	if #list == 0 then fault({ "output" }, "no output is named; leave the key out for stdout") end
	table.sort(list, function(a, b) return a.path < b.path end)
	return list
end

local function registrars_of(t)
	for _, key in ipairs(check.sorted(t)) do
		if math.type(key) ~= "integer" or key < 1 or key > #t then
			fault({ "register" }, "a list of registrars expected, got the key %s", check.shown(key))
		elseif type(t[key]) ~= "function" then
			fault({ "register" }, "entry %d: a registrar, which is a function, expected, got %s", key, check.shown(t[key]))
		end
	end
	return t[1] and t or nil
end

local function state_dir(data_dir)
	return data_dir and data_dir .. ".state" or "/var/lib/etcd-bootstrap"
end

-- The table that the file returned -> Policy.
local function policy_of(path, t, options)
	if type(t) ~= "table" then
		fault({}, "a policy file returns a table, this one returned %s", check.shown(t))
	end
	local p = fill(checked(t, KEYS, {}), DEFAULTS)
	if not p.discover then
		fault({}, "the key discover is missing: who are the machines? e.g. "
			.. "discover = static { \"10.0.0.11\" }")
	end
	p.path, p.etcd = path, etcd_of(t.etcd)
	p.decide = p.decide or modules.require("policies.steady").decide
	p.state_dir = p.state_dir or state_dir(p.etcd.data_dir)
	p.register = registrars_of(p.register or {})
	p.output = outputs_of(options.output, t.output)
	p.timeout = options.timeout or p.timeout
	return p
end

-- Loading ---------------------------------------------------------------------------------------

local function usage(fmt, ...)
	return nil, fmt:format(...), "usage"
end

-- What the file raised; Lua puts file and line before a text alone.
local function told(path, raised)
	return usage("%s%s", type(raised) == "string" and "" or path .. ": ", user.raised(raised))
end

-- "etcd.client_port", "output["/run/etcd.env"].mode"
local function key_of(path)
	local words = {}
	for i, key in ipairs(path) do
		local plain = key:find "^[%w_-]+$"
		words[i] = (plain or i == 1) and (i > 1 and "." or "") .. key or ("[%q]"):format(key)
	end
	return table.concat(words)
end

-- "policy.lua:3: etcd.client_port: ..." out of what fault raised.
local function explain(path, source, raised)
	if type(raised) ~= "table" or not rawget(raised, "why") then return told(path, raised) end
	local line, key = line_of(source, raised.path), key_of(raised.path)
	return usage("%s:%s %s%s", path, line and line .. ":" or "", key ~= "" and key .. ": " or "",
		raised.why)
end

---@param path string
---@param options {path: string[]?, args: table?, output: table?, timeout: number?}?
---@return Policy|nil, string?, Code?
function policy.load(path, options)
	options = options or {}
	modules.setup { path = options.path, policy = path }
	modules.env = environment.make(options.args or {})
	local source, why = modules.source(path)
	if not source then return usage("%s", why) end
	local chunk, broken = load(source, "@" .. path, "t", modules.env)
	if not chunk then return usage("%s", broken) end
	local fine, result = task.guard(PATIENCE, chunk)
	if not fine then return told(path, result) end
	fine, result = pcall(policy_of, path, result, options)
	if not fine then return explain(path, source, result) end
	return result
end

-- Deciding --------------------------------------------------------------------------------------

-- What the policy wants done.
---@param p Policy
---@param facts Facts
---@return Plan|nil, string?, Code?
function policy.decide(p, facts)
	local said, why, code = user.pure("decide", p.decide, facts)
	if said == nil and type(why) == "string" then return nil, why, code end
	local plan, wrong = proposal.read(said)
	if plan then return plan end
	return usage("decide (%s) did not return a plan: %s", user.where(p.decide), wrong)
end

return policy
