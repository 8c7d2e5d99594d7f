-- tls_spec.lua - P4, P5, W2: TLS in every mixture, login, and addresses that are not IPv4.

local busted = require "busted"
local assert = require "luassert"
local crypto = require "core.crypto"
local fs = require "core.fs"
local http = require "core.http"
local json = require "core.json"
local net = require "core.net"
local proc = require "core.proc"
local cluster = require "spec.world.cluster"
local pki = require "spec.world.pki"
local world = require "spec.world.world"

-- Two authorities that do not know each other; client port and peer port both demand certificates.
local function separate(w)
	local addresses = { w:address "a", w:address "b", w:address "c", w:address "d", "127.0.0.1" }
	local files = {}
	for _, one in ipairs { { "clients", "server" }, { "clients", "probe" }, { "peers", "peer" } } do
		local dir = w.root .. "/" .. one[1]
		if not files[one[1]] then
			pki.authority(dir)
			files[one[1]] = dir .. "/ca.crt"
		end
		pki.issue(dir, one[2], one[2] == "probe" and { "127.0.0.1" } or addresses)
		files[one[2]] = { cert = dir .. "/" .. one[2] .. ".crt", key = dir .. "/" .. one[2] .. ".key" }
	end
	w.tls = { ca = files.clients, cert = files.probe.cert, key = files.probe.key }
	return files
end

local function lua(fields)
	local parts = {}
	for key, value in pairs(fields) do
		parts[#parts + 1] = ("%s = %s"):format(key, type(value) == "string" and ("%q"):format(value) or tostring(value))
	end
	table.sort(parts)
	return "{ " .. table.concat(parts, ", ") .. " }"
end

local function client_side(files)
	return { ca = files.clients, cert = files.server.cert, key = files.server.key, client_auth = true,
		probe_cert = files.probe.cert, probe_key = files.probe.key }
end

local function peer_side(files, to)
	to = to or {}
	to.peer_ca, to.peer_cert, to.peer_key, to.peer_client_auth = files.peers, files.peer.cert, files.peer.key, true
	return to
end

local function roll_call(w, name, scheme, tls)
	return http.request { url = ("%s://%s:2380/bootstrap"):format(scheme, w:address(name)), timeout = 3, tls = tls }
end

local function lose_a_disk(w)
	w:must_put("a", "k", "v")
	w:kill "c"
	w:wipe "c"
	w:boot "c"
	w:converge "a b c"
	w:must_get("c", "k", "v")
end

-- Enables etcd's auth with root and a password.
local function enable_auth(w, via)
	local function post(path, body)
		assert(cluster.change(w:client(via), path, body, w.tls))
	end
	post("/v3/auth/user/add", { name = "root", password = "correct horse" })
	post("/v3/auth/role/add", { name = "root" })
	post("/v3/auth/user/grant", { user = "root", role = "root" })
	post("/v3/auth/enable", {})
end

-- The members' names as someone sees them who is logged in.
local function names_seen(w, via)
	local answer = cluster.call(w:client(via), "/v3/auth/authenticate", { name = "root", password = "correct horse" }, w.tls)
	local response = answer and http.request { url = w:client(via) .. "/v3/cluster/member/list", method = "POST", body = "{}",
		timeout = 3, tls = w.tls, headers = { authorization = answer.token, ["content-type"] = "application/json" } }
	local list = response and response.status == 200 and json.decode(response.body)
	local names = {}
	for _, one in ipairs(list and list.members or {}) do
		names[#names + 1] = one.clientURLs and not one.isLearner and one.name or "(pending)"
	end
	table.sort(names)
	return table.concat(names, " ")
end

describe("TLS", function()
	world.it("P4 separate authorities, client certificates on both ports: founds, and a lost disk comes back", function(w)
		local files = separate(w)
		w.scheme = "https"
		w.etcd = { scheme = "\"https\"", peer_scheme = "\"https\"", tls = lua(peer_side(files, client_side(files))) }
		w:list { "a", "b", "c" }
		w:boot "a"
		local peers = { ca = files.peers, cert = files.peer.cert, key = files.peer.key }
		world.wait(function()
			return roll_call(w, "a", "https", peers)
		end, 20, "a answers the roll call")
		assert.equal("a", json.decode(roll_call(w, "a", "https", peers).body).name)
		local _, why, code = roll_call(w, "a", "https", { ca = files.peers })
		assert.equal("tls", code, why)
		_, why, code = roll_call(w, "a", "https", { ca = files.peers, cert = files.probe.cert, key = files.probe.key })
		assert.equal("tls", code, why)
		w:boot_all "b c"
		w:converge "a b c"
		assert.is_nil(w.machines.a.run:log():find("will not talk to this machine", 1, true))
		lose_a_disk(w)
	end)

	world.it("P4 https for clients on a port of their own, http for peers", function(w)
		local files = separate(w)
		w.client = function(self, name)
			return ("https://%s:3379"):format(self:address(name))
		end
		w.etcd = { scheme = "\"https\"", client_port = "3379", peer_port = "3380", tls = lua(client_side(files)) }
		w:founded "a b c"
		assert.equal(("http://%s:3380"):format(w:address "a"), w:env("a").ETCD_LISTEN_PEER_URLS)
		lose_a_disk(w)
	end)

	world.it("P4 http for clients, https for peers", function(w)
		local files = separate(w)
		w.etcd = { peer_scheme = "\"https\"", tls = lua(peer_side(files)) }
		w:founded "a b c"
		lose_a_disk(w)
	end)

	world.it("P5 automatic certificates are taken where the policy says so, and only there", function(w)
		w.scheme, w.tls = "https", { verify = false }
		w.etcd = { scheme = "\"https\"", peer_scheme = "\"https\"", tls = "{ auto = true, peer_auto = true }" }
		w:founded "a b c"
		assert.is_truthy(w.machines.a.run:log():find("forge the roll call", 1, true))
		lose_a_disk(w)
		local files = separate(w)
		local tls = peer_side(files, client_side(files))
		tls.cert, tls.key = files.probe.cert, files.probe.key
		local code, run = w:ends("a", { verb = "status", etcd = { tls = lua(tls) } })
		local misnamed = ("probe.crt is not for %s but for 127.0.0.1: whoever checks"):format(w:address "a")
		assert.is_truthy(run:log():find(misnamed, 1, true), run:log())
		assert.equal(3, code)
		assert.is_truthy(run:stdout():find("not trusted", 1, true), run:stdout())
	end)

	world.it("files that cannot be used are named at once, and hold up no intact data", function(w)
		local files = separate(w)
		local tls = client_side(files)
		w.etcd = { scheme = "\"https\"", tls = lua(tls) }
		w.scheme = "https"
		w:founded "a"
		tls.probe_cert, tls.probe_key = w.root .. "/none.crt", w.root .. "/none.key"
		w.etcd.tls = lua(tls)
		w:list { "a", "b" }
		local code, run = w:ends "b"
		assert.equal(1, code)
		assert.is_truthy(run:log():find("etcd.tls.probe_cert: cannot read " .. w.root .. "/none.crt: No such file", 1, true), run:log())
		assert.equal(1, (w:ends("b", { verb = "plan" })))
		w:stop "a"
		w:boot "a"
		w:converge "a"
		assert.is_truthy(w.machines.a.run:log():find("etcd.tls.probe_cert: cannot read", 1, true))
	end)
end)

describe("login", function()
	for _, version in ipairs { "3.4", "3.5", "3.6", "3.7" } do
		local binary = version == "3.4" and "etcd" or "etcd-" .. version
		local asked = proc.run { binary, "--version", timeout = 20 }
		local there = asked and asked.stdout:find("etcd Version: " .. version, 1, true)
		local case = there and world.it or function(name)
			busted.it(name, function()
				pending("no etcd " .. version .. " here")
			end)
		end

		case("P4 etcd " .. version .. ": a lost disk comes back with user and password", function(w)
			w.policy.exec = ("{ %q, \"--logger=zap\" }"):format(binary)
			w:founded "a b c"
			enable_auth(w, "a")
			world.write(w.root .. "/password", "correct horse\n")
			world.succeed("chmod", "600", w.root .. "/password")
			w:kill "c"
			w:wipe "c"
			local code, run = w:ends("c", { "--timeout", "3" })
			assert.is_true(code == 3 or code == 4)
			assert.is_truthy(run:log():find("user name is empty; set etcd.user and etcd.password_file", 1, true), run:log())
			local _, seen = w:ends("a", { verb = "status" })
			if version ~= "3.4" then -- whose later releases alone want a login for their list
				assert.is_truthy(seen:stdout():find("(etcd is up, login needed)", 1, true), seen:stdout())
			end
			w.etcd = { user = "\"root\"", password_file = ("%q"):format(w.root .. "/password") }
			w.policy.finish = "true"
			assert.equal(0, (w:ends("a", { verb = "status" })))
			local c = w:boot "c"
			assert.equal(0, (w:ends("c", { verb = "finish" })))
			world.wait(function()
				return names_seen(w, "c") == "a b c" and names_seen(w, "a") == "a b c"
			end, 60, "c is a voter again")
			assert.is_truthy(w.machines.c.run:log():find("promote done", 1, true))
			local log = c:log()
			assert.is_nil(log:find("correct horse", 1, true))
			assert.is_truthy(log:find("clear text", 1, true))
		end)
	end

	-- The command lines and environments of everything that runs in this world.
	local function process_list(w)
		local found = {}
		for _, pid in ipairs(fs.list "/proc") do
			local environ = pid:match "^%d+$" and world.read("/proc/" .. pid .. "/environ")
			if environ and environ:find("ETCD_BOOTSTRAP_WORLD=" .. w.root .. "\0", 1, true) then
				table.insert(found, environ)
				table.insert(found, world.read("/proc/" .. pid .. "/cmdline") or "")
			end
		end
		return table.concat(found, "\n")
	end

	-- What was said and written in this world, but for etcd's own data.
	local function all_files(w)
		local texts = {}
		for path in world.succeed("find", w.root, "-type", "f", "-not", "-path", "*/member/*", "-not", "-name", "password")
			:gmatch "[^\n]+" do
			table.insert(texts, world.read(path))
		end
		return table.concat(texts, "\n")
	end

	world.it("W2 neither the password nor a token is in any output, log, file or process list", function(w)
		w:founded("a b", { desired = 2 })
		enable_auth(w, "a")
		world.write(w.root .. "/password", "correct horse\n")
		world.succeed("chmod", "600", w.root .. "/password")
		w.etcd = { user = "\"root\"", password_file = ("%q"):format(w.root .. "/password") }
		w.policy.finish = "true"
		w:list { "a", "b", "c" }
		w:boot("c", { "--log-level", "debug" })
		local finish, listed = w:beside("c", "finish", { "--log-level", "debug" }), {}
		world.wait(function()
			table.insert(listed, process_list(w))
			return finish.done
		end, 60, "c is promoted", 0.02)
		assert.equal(0, finish:exit())
		for _, verb in ipairs { "status", "plan", "diagnose" } do
			w:beside("c", verb, { "--json", "--log-level", "debug" }):exit()
		end
		local said = all_files(w) .. table.concat(listed, "\n")
		assert.is_truthy(said:find("promote done", 1, true))
		for _, secret in ipairs { "correct horse", crypto.base64 "correct horse", "%f[%a]%a%a%a%a%a%a%a%a%a%a%a%a%a%a%a%a%.%d+" } do
			local at = said:find(secret)
			assert.is_nil(at, at and said:sub(at - 200, at + 60))
		end
	end)

	world.it("F5 a certificate with a CommonName, and auth on: said in words", function(w)
		local files = separate(w)
		w.scheme = "https"
		w.etcd = { scheme = "\"https\"", tls = lua(client_side(files)) }
		w:founded "a"
		enable_auth(w, "a")
		local dir = w.root .. "/clients"
		world.succeed("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
			"-CA", dir .. "/ca.crt", "-CAkey", dir .. "/ca.key", "-subj", "/CN=somebody", "-keyout", dir .. "/cn.key",
			"-out", dir .. "/cn.crt", "-addext", "basicConstraints=CA:FALSE")
		local tls = client_side(files)
		tls.probe_cert, tls.probe_key = dir .. "/cn.crt", dir .. "/cn.key"
		w.etcd.tls = lua(tls)
		w:list { "a", "b" }
		-- 3.4.23 gives its list to everybody, but not over its gateway to such a certificate
		local code, run = w:ends("b", { "--timeout", "2" })
		assert.equal(4, code)
		assert.is_truthy(run:log():find("give etcd.tls.probe_cert one without", 1, true), run:log())
		assert.is_nil(w:output "b")
	end)
end)

-- Addresses ---------------------------------------------------------------------------------------

-- A private network on the loopback interface for as long as f runs; nil where it cannot be had.
local function with_ipv6(f)
	local prefix = ("fd77:%x:%x"):format(proc.pid() // 65536, proc.pid() % 65536)
	local added, result = {}, nil
	for i = 1, 3 do
		local address = ("%s::%x"):format(prefix, i)
		local done = proc.run { "ip", "-6", "addr", "add", address .. "/128", "dev", "lo", timeout = 10 }
		if not done or done.status ~= 0 then break end
		added[i] = address
	end
	if added[3] then result = table.pack(pcall(f, added)) end
	for _, address in ipairs(added) do
		proc.run { "ip", "-6", "addr", "del", address .. "/128", "dev", "lo", timeout = 10 }
	end
	if result and not result[1] then error(result[2], 0) end
	return result
end

-- The machine's list, each entry with the addresses that it is given.
local function write_list(w, addresses)
	local instances = {}
	for i, name in ipairs { "a", "b", "c" } do
		if addresses[i] then instances[i] = { id = name, name = name, addresses = addresses[i] } end
	end
	world.write(w.root .. "/list.json", json.encode { instances = json.list(instances) })
end

describe("addresses", function()
	world.it("IPv6 peers found, written as they like and read as one", function(w)
		local done = with_ipv6(function(six)
			for i, name in ipairs { "a", "b", "c" } do
				w:machine(name, { address = "[" .. six[i] .. "]" })
			end
			local long = six[2]:gsub("::", ":0:00:000:0000:"):upper()
			assert.equal(six[2], (net.address(long)))
			write_list(w, { { private_v6 = six[1], private_v4 = w.net .. ".1" }, { private_v6 = long, private_v4 = w.net .. ".2" },
				{ private_v6 = six[3], private_v4 = w.net .. ".3" } })
			for i, name in ipairs { "a", "b", "c" } do
				w:boot(name, { etcd = { address = i == 2 and "\"fd77::/16\"" or "\"private_v6\"", listen = ("%q"):format(six[i]) } })
			end
			w:converge "a b c"
			assert.equal(("http://[%s]:2380"):format(six[2]), w:env("b").ETCD_INITIAL_ADVERTISE_PEER_URLS)
			for name in ("a b c"):gmatch "%S" do w:stop(name) end
		end)
		if not done then pending "no IPv6 addresses can be added to the loopback interface here" end
	end)

	world.it("a host name is advertised, an address listened at and asked for the roll call", function(w)
		w:machine("a", { address = "127.0.0.1" })
		local port = 10000 + proc.pid() % 20000 -- below the ports that connections take of themselves
		w.client = function() return "http://localhost:" .. port end
		w.etcd = { address = "\"hostname\"", client_port = tostring(port), peer_port = tostring(port + 1) }
		write_list(w, { { hostname = "LocalHost", private_v4 = "127.0.0.1" } })
		w:boot "a"
		w:converge "a"
		local env = w:env "a"
		assert.same({ "http://localhost:" .. port + 1, "http://127.0.0.1:" .. port + 1 },
			{ env.ETCD_INITIAL_ADVERTISE_PEER_URLS, env.ETCD_LISTEN_PEER_URLS })
		assert.is_nil(w.machines.a.run:log():find("cannot answer the roll call", 1, true))
	end)
end)
