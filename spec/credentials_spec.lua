-- credentials: what is told of the policy's files at the start.
local credentials = require "credentials"
local scratch = require "spec.scratch"
local listener = dofile "spec/core/listener.lua"

describe("credentials", function()
	local pki, here
	local DAY <const> = 86400

	setup(function()
		pki = listener.directory()
		listener.certificates(pki, "ours", { node = "IP:127.0.0.1", other = "DNS:x",
			names = "IP:127.44.7.2,IP:fd77::1,DNS:Node.Example,DNS:*.wide.example" })
		local long = "cd %s && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 400 -subj /O=long "
			.. "-keyout long.key -out long.crt 2>/dev/null && cat ours.crt long.crt > both.crt && chmod 600 long.key"
		assert(os.execute(long:format(pki)))
	end)
	teardown(function() listener.forget(pki) end)
	before_each(function() here = scratch.new() end)
	after_each(function() here:remove() end)

	local function file(name) return pki .. "/" .. name end

	local function without(text, words) return (text:gsub(words:gsub("%p", "%%%0"), "")) end

	-- What is said, a line each, the directory left out.
	local function said(set, days)
		set.tls = set.tls or {}
		local lines = {}
		for i, one in ipairs(credentials.check(set, os.time() + (days or 0) * DAY)) do
			lines[i] = (one.broken and "broken " or "") .. one.level .. ": " .. without(without(one.text, pki), here.dir)
		end
		return table.concat(lines, "\n")
	end

	local function long() return { tls = { cert = file "long.crt", key = file "long.key" } } end

	it("says nothing of what is right, and of nothing", function()
		assert.equal("", said {})
		assert.equal("", said(long()))
		assert.equal("", said(long(), 369))
		assert.equal("", said { password_file = here:write("p", "x", "0640") })
	end)

	it("warns of the last 30 days, once a key, and says until when", function()
		local text = said(long(), 371)
		assert.matches("^warn: etcd.tls.cert: the certificate in /long.crt %(O = long%) ends on %d%d%d%d%-%d%d%-%d%d, in 2%d days: renew it$", text)
		for _, key in ipairs { "cert", "peer_cert", "probe_cert", "ca", "peer_ca" } do
			assert.matches("^warn: etcd.tls." .. key .. ": .*, in [12] days?: renew it$", said { tls = { [key] = file "ours.crt" } })
		end
	end)

	it("calls an error what has ended or not begun, and goes on with it", function()
		assert.matches("^error: etcd.tls.cert: .* ended on %S+: nobody who checks will accept it$", said(long(), 401))
		assert.matches("^error: etcd.tls.cert: .* begins only on %S+: is this machine's clock right%?$", said(long(), -1))
	end)

	it("goes by the last of several authorities, and by the first to end of a chain", function()
		assert.equal("", said { tls = { ca = file "both.crt" } })
		assert.matches("CN = ours", said { tls = { peer_cert = file "both.crt" } })
	end)

	local broken = {
		{ "a missing certificate", { cert = "none.crt", key = "node.key" }, "etcd.tls.cert: cannot read /none.crt: No such file" },
		{ "a missing key", { peer_cert = "long.crt", peer_key = "none.key" }, "etcd.tls.peer_key: cannot read /none.key: No such file" },
		{ "missing authorities", { peer_ca = "none.crt" }, "etcd.tls.peer_ca: cannot read /none.crt: No such file" },
		{ "a key of another", { probe_cert = "long.crt", probe_key = "other.key" },
			"etcd.tls.probe_key: /other.key: it is not the key of /long.crt" },
		{ "a certificate as key", { cert = "long.crt", key = "node.crt" }, "etcd.tls.key: /node.crt: no private key without a password in PEM" },
		{ "a key as certificate", { cert = "long.key", key = "long.key" }, "etcd.tls.cert: /long.key: no certificate in PEM" },
		{ "a directory", { ca = "." }, "etcd.tls.ca: cannot read /.: it is a directory" },
	}
	for _, case in ipairs(broken) do
		it("names key and path of " .. case[1], function()
			local tls = {}
			for key, name in pairs(case[2]) do tls[key] = file(name) end
			local text = said { tls = tls }
			assert.equal("broken error: " .. case[3], text:sub(1, #case[3] + 14))
			assert.is_nil(text:find("\n", 1, true), text)
		end)
	end

	it("names a password that cannot be read, and one that everybody may", function()
		assert.matches("^broken error: etcd.password_file: cannot read /none", said { password_file = here:path "none" })
		assert.equal("warn: etcd.password_file: everybody may read /p", said { password_file = here:write("p", "x", "0644") })
	end)

	local named = {
		{ "127.44.7.2" }, { "fd77::1" }, { "node.example" }, { "a.wide.example" },
		{ "127.44.7.3", true }, { "wide.example", true }, { "b.a.wide.example", true }, { "fd77::2", true }, { "localhost", true },
	}
	for _, case in ipairs(named) do
		it((case[2] and "warns of" or "is content with") .. " a certificate for other names at " .. case[1], function()
			local host = case[1]:find(":", 1, true) and "[" .. case[1] .. "]" or case[1]
			local function ask(key, scheme)
				local set = { tls = { [key] = file "names.crt" } }
				return credentials.misnamed(set, { client_urls = { scheme .. "://" .. host .. ":1" }, peer_urls = { scheme .. "://" .. host .. ":2" } })
			end
			for _, key in ipairs { "cert", "peer_cert" } do
				local wanted = ("etcd.tls.%s: the certificate in %s is not for %s but for 127.44.7.2, fd77::1, Node.Example, *.wide.example: "
					.. "whoever checks will not talk to this machine"):format(key, file "names.crt", case[1])
				assert.equal(case[2] and wanted or nil, ask(key, "https")[1])
				assert.same({}, ask(key, "http"))
			end
		end)
	end

	it("tells all of it, and whether it can go on", function()
		local set = { tls = { ca = file "none.crt" }, password_file = here:write("p", "x", "0644") }
		local lines, cannot = scratch.logged(credentials.tell, set, os.time())
		assert.is_true(cannot)
		assert.same({ "error", "warn" }, { lines[1]:match "^%a+", lines[2]:match "^%a+" })
		lines, cannot = scratch.logged(credentials.tell, { tls = {} }, os.time())
		assert.same({ {}, false }, { lines, cannot })
	end)
end)
