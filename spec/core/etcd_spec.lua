-- core.etcd: what each way of answering makes of an address, and the words for it.
local etcd, fs, json = require "core.etcd", require "core.fs", require "core.json"
local proc, task = require "core.proc", require "core.task"
local listener = dofile "spec/core/listener.lua"

local ID, CLUSTER = "9372538179322589801", "14841639068965178418" -- 8211f1d0f64f3269, cdf818194e3a8c32
local directory, close, no_leak
local logged_in = "127.44.3.9" -- where the gateway knows one token

local function target(address, scheme)
	return {
		key = address,
		name = "name-" .. address,
		peer_url = (scheme or "http") .. "://" .. address .. ":2380",
		client_url = (scheme or "http") .. "://" .. address .. ":2379",
	}
end

local function page(body, status, headers) return { status or 200, body, headers or json.null } end

local function member(o)
	return json.encode {
		id = o and o.id or 9372538179322589, name = "a",
		peerURLs = json.list { o and o.peer or "http://127.44.2.1:2380" },
		clientURLs = json.list { "http://127.44.2.1:2379" },
	}
end

local cluster_header = { ["X-Etcd-Cluster-Id"] = "cdf818194e3a8c32" }

-- The same answer to everything on both ports; what the probe makes of it, and words of its why.
local same = {
	{ "404 on everything", { pages = { ["*"] = page("404 page not found", 404) } },
		"/bootstrap: status 404: 404 page not found", "/health%?exclude=NOSPACE: status 404" },
	{ "500", { pages = { ["*"] = page("Internal Server Error", 500) } }, "status 500: Internal Server Error" },
	{ "401", { pages = { ["*"] = page("", 401) } }, "status 401 %(it is up, but refuses us%)" },
	{ "403", { pages = { ["*"] = page('{"message":"forbidden"}', 403) } },
		"status 403 %(it is up, but refuses us%): forbidden" },
	{ "a redirect", { pages = { ["*"] = page("", 302, { Location = "http://127.44.1.1:2379/" }) } }, "status 302" },
	{ "cut JSON of full length", { pages = { ["*"] = page('{"health":"tr', 200, cluster_header) } },
		"bad body: .*health" },
	{ "HTML", { pages = { ["*"] = page("<html>hello\27[31m</html>", 200, cluster_header) } },
		"a page of HTML instead of JSON: <html>hello%?%[31m</html>" },
	{ "an empty body", { pages = { ["*"] = page("", 200, cluster_header) } }, "bad body: it is empty" },
	{ "JSON of another shape", { pages = { ["*"] = page('{"a":[1]}', 200, cluster_header) } },
		"/members: bad body: no list of members", "bad body: it says nothing of health" },
	{ "no cluster id", { pages = { ["/members"] = page("[" .. member() .. "]"), ["*"] = page("{}", 500) } },
		"no valid X%-Etcd%-Cluster%-Id" },
	{ "a body cut by the connection", { kind = "cut" }, "the answer was cut off after 10 bytes" },
	{ "a body of 1 GB", { kind = "huge" }, "answer larger than 4194304 bytes" },
	{ "a byte at a time", { kind = "drip" }, "the answer was not complete within" },
	{ "a reset", { kind = "reset" }, "the connection was reset" },
	{ "a close", { kind = "close" }, "closed without an answer" },
	{ "noise", { kind = "noise" }, "the answer is not HTTP" },
	{ "silence", { kind = "silent" }, "connected, but no answer within" },
	{ "a black hole", { kind = "hole" }, "no connection within" },
}

-- Over TLS: how the port is opened, with which scheme and files it is asked.
local secure = {
	{ "an unknown authority", "server", {}, "https", {}, "certificate is not trusted %(the system's authorities%)" },
	{ "a wrong authority", "server", {}, "https", { ca = "other" }, "certificate is not trusted %(.*other.crt%)" },
	{ "a name that does not match", "stranger", {}, "https", { ca = "ours" }, "for another name: .*127.44.1" },
	{ "a client certificate demanded", "server", { ca = "ours" }, "https", { ca = "ours" },
		"refused us without a client certificate" },
	{ "a client certificate demanded, TLS 1.2", "server", { ca = "ours", max = true }, "https", { ca = "ours" },
		"refused us without a client certificate" },
	{ "a client certificate refused", "server", { ca = "ours" }, "https", { ca = "ours", cert = "foreign" },
		"refused our client certificate" },
	{ "http to a TLS port", "server", {}, "http", {}, "http asked of a TLS port", "http" },
	{ "https to a plain port", nil, {}, "https", {}, "does not speak TLS" },
	{ "TLS that never answers", "silent", {}, "https", {}, "no TLS handshake within", "timeout" },
	{ "a missing certificate file", "server", {}, "https", { ca = "ours", cert = "missing" }, "missing.crt" },
	{ "a missing authority file", "server", {}, "https", { ca = "missing" }, "missing.crt" },
}

local function tls_port(case)
	local kind, files = case[2], case[3]
	if kind == "silent" then return { kind = "silent" } end
	local port = { kind = "pages", pages = { ["*"] = page("{}", 500) }, plain = not kind or nil }
	if kind then
		port.tls = {
			cert = directory .. "/" .. kind .. ".crt", key = directory .. "/" .. kind .. ".key",
			ca = files.ca and directory .. "/" .. files.ca .. ".crt" or nil, max = files.max,
		}
	end
	return port
end

local function tls_files(names)
	local tls = { ca = names.ca and directory .. "/" .. names.ca .. ".crt" }
	if names.cert then
		tls.cert, tls.key = directory .. "/" .. names.cert .. ".crt", directory .. "/" .. names.cert .. ".key"
	end
	return tls
end

-- A healthy etcd in pages, to be bent.
local function pages(o)
	local address = o.address
	local function list(id) return json.encode { {
		id = id, name = "a", peerURLs = json.list { "http://" .. address .. ":2380" },
		clientURLs = json.list { "http://" .. address .. ":2379" },
	} } end
	local gateway = json.encode {
		header = { cluster_id = CLUSTER, member_id = ID },
		members = { { ID = ID, name = "a", peerURLs = json.list { "http://" .. address .. ":2380" },
			clientURLs = json.list { "http://" .. address .. ":2379" } } },
	}
	local status = json.encode {
		header = { cluster_id = CLUSTER, member_id = ID }, version = "3.4.23", leader = ID, raftAppliedIndex = "9",
	}
	local all = {
		peer = {
			["/members"] = page((list(1):gsub('"id":1', '"id":' .. ID)), 200, cluster_header),
			["/version"] = page '{"etcdserver":"3.4.23","etcdcluster":"3.4.0"}',
		},
		client = {
			["/health?exclude=NOSPACE"] = page '{"health":"true"}',
			["/v3/cluster/member/list"] = page(gateway),
			["/v3/maintenance/status"] = page(status),
		},
	}
	if o.bend then o.bend(all, gateway, status) end
	return all
end

local function v2(p, list)
	local c = p.client
	c["/v3/cluster/member/list"], c["/v3/maintenance/status"] = nil, nil
	c["/v2/members"] = page(list or '{"members":[{"id":"8211f1d0f64f3269","name":"a","peerURLs":' ..
		'["http://127.44.2.1:2380"],"clientURLs":[]}]}', 200, cluster_header)
	c["/v2/stats/self"] = page '{"id":"8211f1d0f64f3269"}'
end

local function answer(o)
	return page((json.encode {
		name = o.name or "a", data = o.data or "empty", ready = o.ready == nil or o.ready,
		counts = json.list(o.counts or { "b" }), cluster_id = o.cluster_id or json.null,
		claim = o.claim or json.null, more = 1,
	}))
end

local bent = {
	{ "all well", function() end, "quorum", "" },
	{ "only /v3beta", function(p)
		for _, path in ipairs { "cluster/member/list", "maintenance/status" } do
			p.client["/v3beta/" .. path], p.client["/v3/" .. path] = p.client["/v3/" .. path], nil
		end
	end, "quorum", "", { api = "/v3beta", version = "3.4.23" } },
	{ "only /v3alpha", function(p)
		for _, path in ipairs { "cluster/member/list", "maintenance/status" } do
			p.client["/v3alpha/" .. path], p.client["/v3/" .. path] = p.client["/v3/" .. path], nil
		end
	end, "quorum", "", { api = "/v3alpha" } },
	{ "only v2", function(p) v2(p) end, "quorum", "", { api = "/v2", member_id = ID, cluster_id = CLUSTER } },
	{ "only v2, peer port says learner", function(p)
		v2(p)
		p.peer["/members"][2] = p.peer["/members"][2]:gsub('"name"', '"isLearner":true,"name"')
	end, "learner", "" },
	{ "only v2, peer port broken", function(p) v2(p) p.peer["/members"] = page("", 500) end, "unknown",
		"whether it is a learner is not known" },
	{ "health without its own entry", function(p, list)
		p.client["/v3/cluster/member/list"] = page((list:gsub('"ID":"%d+"', '"ID":"5"')))
	end, "unknown", "not in its own list" },
	{ "another cluster on the peer port", function(p)
		p.peer["/members"][3] = { ["X-Etcd-Cluster-Id"] = "1f" }
	end, "unknown", "cluster cdf818194e3a8c32 answers there, on the peer port cluster 1f" },
	{ "status that fails", function(p) p.client["/v3/maintenance/status"] = page("{}", 500) end, "quorum", "",
		{ member_id = ID, version = "3.4.23" } },
	{ "a learner by its status", function(p, _, status)
		p.client["/v3/maintenance/status"] = page((status:gsub('"version"', '"isLearner":true,"version"')))
	end, "learner", "" },
	{ "a learner by its refusal", function(p)
		p.client["/v3/cluster/member/list"] = page('{"code":9,"message":"etcdserver: rpc not supported for learner"}', 400)
	end, "learner", "", { member_id = ID, cluster_id = CLUSTER } },
	{ "a learner by its list", function(p, list)
		p.client["/v3/cluster/member/list"] = page((list:gsub('"name"', '"isLearner":true,"name"')))
		p.client["/v3/maintenance/status"] = page("{}", 500)
	end, "learner", "" },
	{ "a login wanted", function(p)
		p.client["/v3/cluster/member/list"] = page('{"error":"x","message":"etcdserver: user name is empty","code":3}', 400)
	end, "unknown", "%(etcd is up, login needed%): etcdserver: user name is empty", { login = true, code = "auth" } },
	{ "health false", function(p) p.client["/health?exclude=NOSPACE"] = page('{"health":"false","reason":"RAFT NO LEADER"}', 503) end,
		"no-quorum", "health false: RAFT NO LEADER", { cluster_id = CLUSTER, member_id = ID } },
	{ "health false, not decided", function(p)
		p.client["/health?exclude=NOSPACE"] = page('{"health":"false"}', 503)
		p.peer["/version"] = page '{"etcdserver":"3.4.23","etcdcluster":"not_decided"}'
	end, "founding", "" },
	{ "a list that is null, not decided: killed right after it made its log", function(p)
		p.client["/health?exclude=NOSPACE"] = page('{"health":"false"}', 503)
		p.peer["/members"] = page("null\n", 200, cluster_header)
		p.peer["/version"] = page '{"etcdserver":"3.4.23","etcdcluster":"not_decided"}'
	end, "founding", "", { cluster_id = CLUSTER, members = {} } },
	{ "health true, not decided", function(p)
		p.peer["/version"] = page '{"etcdserver":"3.4.23","etcdcluster":"not_decided"}'
	end, nil },
	{ "two members with one id", function(p, list)
		local entry = list:match '"members":%[(.*)%]'
		p.client["/v3/cluster/member/list"] = page((list:gsub('"members":%[.*%]', function()
			return '"members":[' .. entry .. "," .. entry:gsub("2380", "2381") .. "]"
		end)))
	end, "unknown", "two members with id" },
	{ "two members at one URL", function(p)
		p.peer["/members"][2] = p.peer["/members"][2]:gsub("^%[(.*)%]$", function(entry)
			return "[" .. entry .. "," .. entry:gsub(ID, "77") .. "]"
		end)
		p.client = { ["*"] = page("", 500) }
	end, "unknown", "two members at http://127.44.2" },
	{ "a negative id", function(p)
		p.peer["/members"][2] = p.peer["/members"][2]:gsub(ID, "-4")
		p.client = { ["*"] = page("", 500) }
	end, "unknown", "without a valid id" },
	{ "a member without an id", function(p)
		p.peer["/members"][2] = p.peer["/members"][2]:gsub('"id":%d+,', "")
		p.client = { ["*"] = page("", 500) }
	end, "unknown", "without a valid id" },
	{ "a URL that is none", function(p, list)
		p.client["/v3/cluster/member/list"] = page((list:gsub(":2380", ":99999")))
	end, "unknown", "peerURLs: not a URL: http://127.44.2.%d+:99999" },
	{ "the roll call", function(p)
		p.client, p.peer = { ["*"] = page("", 404) }, { ["/bootstrap"] = answer { cluster_id = "cdf818194e3a8c32" } }
	end, "waiting", "", { answer = { name = "a", data = "empty", ready = true, counts = { "b" }, cluster_id = CLUSTER } } },
	{ "the roll call of another", function(p)
		p.client, p.peer = { ["*"] = page("", 404) }, { ["/bootstrap"] = answer { name = "z" } }
	end, "unknown", 'answered by "z", not by "a"' },
	{ "a client certificate with a CommonName, and auth on", function(p)
		p.client["/v3/cluster/member/list"] = page("CommonName of client sending a request against gateway will be ignored "
			.. "and not used as expected\n", 400)
	end, "unknown", "give etcd.tls.probe_cert one without%): CommonName of client", { code = "auth" } },
	{ "a login wanted by the status alone: its list has said enough", function(p)
		p.client["/v3/maintenance/status"] = page('{"code":3,"message":"etcdserver: user name is empty"}', 400)
	end, "quorum", "", { member_id = ID } },
}
for what, o in pairs {
	["other data"] = { data = "full" }, ["an id of 17 digits"] = { claim = "1cdf818194e3a8c32" },
	["an id that is none"] = { cluster_id = "0x1" }, ["ready as text"] = { ready = "yes" }, ["counts of numbers"] = { counts = { 1 } },
} do
	bent[#bent + 1] = { "a roll call with " .. what, function(p)
		p.client, p.peer = { ["*"] = page("", 404) }, { ["/bootstrap"] = answer(o) }
	end, "unknown", "not an answer of the roll call" }
end

local function open_all()
	directory = listener.directory()
	listener.certificates(directory, "ours", {
		server = "IP:127.44.1.101,IP:127.44.1.102,IP:127.44.1.104,IP:127.44.1.105,IP:127.44.1.106,IP:127.44.1.107,IP:127.44.1.110,IP:127.44.1.111",
		stranger = "IP:127.44.9.9,DNS:other.example",
	})
	listener.certificates(directory, "other", { foreign = "DNS:foreign" })
	local ports = {}
	local function open(address, port, spec)
		local copy = { address = address, port = port, kind = spec.kind or "pages", pages = spec.pages, tls = spec.tls, plain = spec.plain,
			token = spec.token }
		ports[#ports + 1] = copy
	end
	for i, case in ipairs(same) do
		for port = 2379, 2380 do open("127.44.1." .. i, port, case[2]) end
	end
	for i, case in ipairs(secure) do
		for port = 2379, 2380 do open("127.44.1." .. 100 + i, port, tls_port(case)) end
	end
	for i, case in ipairs(bent) do
		local address = "127.44.2." .. i
		local all = pages { address = address, bend = case[2] }
		open(address, 2379, { pages = all.client })
		open(address, 2380, { pages = all.peer })
	end
	local all = pages { address = logged_in }
	open(logged_in, 2379, { pages = all.client, token = "Tok.12" })
	open(logged_in, 2380, { pages = all.peer, token = "never asked for" })
	return listener.open(directory, ports)
end

-- Short only where the answer is that none comes.
local waits = { drip = true, silent = true, hole = true }

local function probe(o)
	o.connect_timeout, o.timeout = o.connect_timeout or 10, o.timeout or 20
	return etcd.probe(o)
end

describe("etcd.probe", function()
	setup(function() close = open_all() end)
	teardown(function()
		close()
		listener.forget(directory)
	end)
	before_each(function() no_leak = listener.watch_leaks() end)
	after_each(function() no_leak() end)

	for i, case in ipairs(same) do
		it("calls " .. case[1] .. " unknown and says why", function()
			local address = "127.44.1." .. i
			local limit = waits[case[2].kind] and 0.3 or nil
			local p = probe { targets = { target(address) }, connect_timeout = limit, timeout = limit and 2 * limit }[1]
			assert.equal("unknown", p.verdict)
			assert.matches(case[3], p.why)
			assert.matches(case[4] or case[3], p.why)
			assert.matches("http://" .. address .. ":2379", p.why, 1, true)
			assert.matches("http://" .. address .. ":2380", p.why, 1, true)
		end)
	end

	for i, case in ipairs(secure) do
		it("calls " .. case[1] .. " unknown and says why", function()
			local tls = tls_files(case[5])
			local p = probe {
				targets = { target("127.44.1." .. 100 + i, case[4]) }, tls = tls, peer_tls = tls,
				connect_timeout = case[2] == "silent" and 0.3 or nil,
			}[1]
			assert.same({ "unknown", case[7] or "tls" }, { p.verdict, p.code })
			assert.matches(case[6], p.why)
		end)
	end

	for i, case in ipairs(bent) do
		if case[3] then
			it("makes " .. case[3] .. " of " .. case[1], function()
				local t = target("127.44.2." .. i)
				t.name = "a"
				local p = probe { targets = { t } }[1]
				assert.equal(case[3], p.verdict, p.why)
				if case[4] == "" then assert.equal("", p.why) else assert.matches(case[4], p.why) end
				for key, value in pairs(case[5] or {}) do assert.same(value, p[key], key) end
			end)
		end
	end

	it("never calls a node founding that said it is healthy before", function()
		local index
		for i, case in ipairs(bent) do index = case[1] == "health true, not decided" and i or index end
		for _ = 1, 5 do
			local p = probe { targets = { target("127.44.2." .. index) } }[1]
			assert.is_true(p.verdict == "quorum" or p.verdict == "founding")
			if p.verdict == "quorum" then assert.is_nil(p.cluster_version) end
		end
	end)

	it("asks all at once and keeps the order", function()
		local targets = {}
		for i = 1, #same do targets[i] = target("127.44.1." .. i) end
		targets[#targets + 1] = target "127.44.3.3"
		local probes = probe { targets = targets, connect_timeout = 0.3, timeout = 0.6 }
		for i, p in ipairs(probes) do assert.equal(targets[i].key, p.key) end
		assert.equal("refused", probes[#probes].verdict)
	end)

	it("calls refused only what refuses on both ports", function()
		local one = target "127.44.3.1"
		assert.equal("refused", probe { targets = { one } }[1].verdict)
		one.client_url = "http://127.44.1.18:2379"
		local p = probe { targets = { one }, connect_timeout = 0.3 }[1]
		assert.equal("unknown", p.verdict)
		assert.matches("peer port http://127.44.3.1:2380: connection refused", p.why)
		assert.matches("client port http://127.44.1.18:2379: no connection within", p.why)
		one.client_url = nil
		assert.equal("refused", probe { targets = { one } }[1].verdict)
	end)

	it("tells the gravest code of both ports", function()
		local one = target "127.44.3.1"
		for address, code in pairs { [1] = "missing", [2] = "http", [3] = "auth", [4] = "denied", [6] = "parse" } do
			one.client_url = ("http://127.44.1.%d:2379"):format(address)
			assert.equal(code, probe { targets = { one } }[1].code)
		end
		assert.is_nil(probe { targets = { target "127.44.3.1" } }[1].code)
	end)

	it("shows its authorization to client ports, and tells when it is not taken", function()
		local t = target(logged_in)
		t.name = "a"
		local function ask(authorization) return probe { targets = { t }, authorization = authorization }[1] end
		assert.same({ "quorum", nil }, { ask("Tok.12").verdict, ask("Tok.12").login })
		for given, words in pairs { none = "login needed%): etcdserver: user name is empty",
			["Tok.13"] = "login needed%): etcdserver: invalid auth token" } do
			local p = ask(given ~= "none" and given or nil)
			assert.same({ "unknown", true, "auth" }, { p.verdict, p.login, p.code })
			assert.matches(words, p.why)
			assert.not_matches("Tok.13", p.why, 1, true)
		end
		assert.has_error(function() ask "two\r\nX-Lines: 1" end)
		assert.has_error(function() ask "" end)
	end)

	it("is cancelled at any moment", function()
		local asking = task.spawn(function() return probe { targets = { target "127.44.1.17" }, timeout = 9 } end)
		task.sleep(0.05)
		asking:cancel()
		assert.is_nil((asking:join()))
	end)

	it("raises on what no target can be", function()
		assert.has_error(function() etcd.probe { targets = { { key = "a" } } } end)
		assert.has_error(function() etcd.probe { targets = { { key = "a", peer_url = "http://a:1/x" } } } end)
		assert.has_error(function() etcd.probe {} end)
	end)

	it("heeds no proxy and no netrc", function()
		local script = directory .. "/env.lua"
		assert(fs.write(directory .. "/.netrc", "default login u password p\n"))
		assert(fs.write(script, [[
			local etcd = require "core.etcd"
			local function t(a) return { key = a, name = "a", peer_url = "http://" .. a .. ":2380", client_url = "http://" .. a .. ":2379" } end
			for _, p in ipairs(etcd.probe { targets = { t "127.44.2.1", t "127.44.3.1" } }) do io.write(p.verdict, " ") end
		]]))
		local env = { HOME = directory, NETRC = directory .. "/.netrc" }
		for _, name in ipairs { "http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY" } do
			env[name] = "http://127.44.1.1:2379"
		end
		local done = assert(proc.run { listener.binary(), "lua", script, env = env })
		assert.equal("quorum refused ", done.stdout, done.stderr)
	end)

	it("gives right answers with 64 open files", function()
		local script = directory .. "/files.lua"
		assert(fs.write(script, [[
			local etcd = require "core.etcd"
			local targets, count = {}, {}
			local function t(a, i) targets[#targets + 1] = { key = a .. i, name = "a", peer_url = "http://" .. a .. ":2380", client_url = "http://" .. a .. ":2379" } end
			for i = 1, 100 do t("127.44.2.1", i) t("127.44.3.1", i) t("127.44.1.18", i) end
			for _, p in ipairs(etcd.probe { targets = targets, connect_timeout = 0.3 }) do
				local what = p.peer_url:match "//([%d.]+)" .. " " .. p.verdict
				count[what] = (count[what] or 0) + 1
			end
			print(count["127.44.2.1 quorum"], count["127.44.3.1 refused"], count["127.44.1.18 unknown"])
		]]))
		local done = assert(proc.run { "sh", "-c", "ulimit -n 64 && exec " .. listener.binary() .. " lua " .. script, timeout = 60 })
		assert.equal("100\t100\t100\n", done.stdout, done.stderr)
	end)
end)

describe("etcd.probe of a real etcd", function()
	local started
	setup(function() directory = listener.directory() end)
	teardown(function() listener.forget(directory) end)
	before_each(function()
		no_leak, started = listener.watch_leaks(), {}
	end)
	after_each(function()
		for _, node in ipairs(started) do node:stop() end
		started = nil
		no_leak()
	end)

	local function start(name, address, o)
		local node = listener.etcd(directory, name, address, o)
		started[#started + 1] = node
		return node
	end
	local function verdict(address, wanted, o)
		local t = target(address)
		return listener.until_true(address .. " " .. wanted, function()
			local probes = etcd.probe { targets = { t }, learn = o and o.learn }
			return probes[1].verdict == wanted and probes
		end)
	end

	it("tells founding from quorum, learns members and sees a learner", function()
		local list = "a=http://127.44.4.1:2380,b=http://127.44.4.2:2380"
		start("a", "127.44.4.1", { cluster = list })
		local p = verdict("127.44.4.1", "founding", { learn = true })
		assert.equal(2, #p)
		assert.same({ true, "http://127.44.4.2:2380", "b", "refused" }, { p[2].learnt, p[2].key, p[2].name, p[2].verdict })
		local cluster, ids = etcd.identify({
			{ name = "a", peer_urls = { "http://127.44.4.1:2380" } }, { name = "b", peer_urls = { "http://127.44.4.2:2380" } },
		}, "core-spec")
		assert.equal(cluster, p[1].cluster_id)
		assert.equal(ids[1], p[1].member_id)
		assert.equal(cluster, etcd.founded { ids[2], ids[1] })
		assert.not_equal(cluster, etcd.founded { ids[1] })
		for _, bad in ipairs { { "x" }, { "0" }, { {} }, { "-1" } } do
			assert.error_matches(function() etcd.founded(bad) end, "not decimal ids")
		end

		start("b", "127.44.4.2", { cluster = list })
		p = verdict("127.44.4.1", "quorum")[1]
		assert.same({ cluster, ids[1], "/v3", "3.4.23" }, { p.cluster_id, p.member_id, p.api, p.version })
		assert.equal(2, #p.members)

		listener.until_true("learner added", function()
			local r = assert(listener.post("http://127.44.4.1:2379/v3/cluster/member/add",
				{ peerURLs = { "http://127.44.4.3:2380" }, isLearner = true }))
			return r.status == 200
		end)
		start("c", "127.44.4.3", { cluster = list .. ",c=http://127.44.4.3:2380", state = "existing" })
		p = verdict("127.44.4.3", "learner")[1]
		assert.equal(cluster, p.cluster_id)
		assert.equal(3, #p.members)

		started[2]:stop()
		p = verdict("127.44.4.1", "no-quorum")[1]
		assert.matches("health false", p.why)
		local l = etcd.lists { targets = { target "127.44.4.1", target "127.44.4.2" } }
		assert.equal(3, #l[1].members)
		assert.same({ cluster, "refused" }, { l[1].cluster_id, l[2].code })
	end)
end)

describe("etcd.ask", function()
	it("brings the other machine's answer, or why there is none", function()
		local serve = require "core.serve"
		local server <close> = setmetatable({}, { __close = function(s) s.it:close() end })
		server.it = assert(serve.listen { address = "127.44.5.1", port = 2380, bodies = { ["/bootstrap"] =
			'{"claim":null,"cluster_id":"1f","counts":[],"data":"empty","name":"name-127.44.5.1","ready":false}' } })
		local heard = etcd.ask { targets = { target "127.44.5.1", target "127.44.5.2" } }
		assert.same({ name = "name-127.44.5.1", data = "empty", ready = false, counts = {}, cluster_id = "31" }, heard[1].answer)
		assert.is_true(heard[1].sent <= heard[1].at)
		assert.same({ "refused", "peer port http://127.44.5.2:2380: connection refused" }, { heard[2].code, heard[2].why })
	end)
end)

describe("etcd ids", function()
	it("are decimal within and hex outside", function()
		assert.equal("ffffffffffffffff", etcd.hex "18446744073709551615")
		assert.equal("1f", etcd.hex "31")
		assert.equal("18446744073709551615", etcd.decimal "ffffffffffffffff")
		assert.equal("866461567393194136", etcd.decimal "c064a346fffe098")
		for _, wrong in ipairs { "", "0", "10000000000000000", "xyz", "-1" } do
			local id, message, code = etcd.decimal(wrong)
			assert.is_nil(id)
			assert.equal("parse", code)
			assert.matches(wrong, message, 1, true)
		end
		assert.has_error(function() etcd.hex "18446744073709551616" end)
	end)
end)
