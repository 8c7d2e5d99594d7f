-- core.http: responses, and each way of not getting one with its code and its words.
local fs, http, proc = require "core.fs", require "core.http", require "core.proc"
local task = require "core.task"
local listener = dofile "spec/core/listener.lua"

describe("http.request", function()
	local directory, close, no_leak
	local base = "http://127.44.6.1:8000"

	setup(function()
		directory = listener.directory()
		listener.certificates(directory, "ours", { server = "IP:127.44.6.20" })
		local ports = { {
			address = "127.44.6.1", port = 8000, kind = "pages", pages = {
				["/"] = { 200, "hello", { ["X-One"] = "1", ["Content-Type"] = "text/plain" } },
				["/empty"] = { 204, "" }, ["/away"] = { 302, "", { Location = base .. "/" } },
				["/big"] = { 200, ("x"):rep(5000) }, ["/broken"] = { 503, "no" },
			},
		} }
		for i, kind in ipairs { "cut", "huge", "drip", "reset", "silent", "close", "noise", "hole" } do
			ports[#ports + 1] = { address = "127.44.6.1", port = 8000 + i, kind = kind }
		end
		ports[#ports + 1] = { address = "127.44.6.1", port = 8009, kind = "echo" }
		local tls = { cert = directory .. "/server.crt", key = directory .. "/server.key" }
		ports[#ports + 1] = { address = "127.44.6.20", port = 8443, kind = "pages", tls = tls,
			pages = { ["/"] = { 200, "secret" } } }
		close = listener.open(directory, ports)
	end)
	teardown(function()
		close()
		listener.forget(directory)
	end)
	before_each(function() no_leak = listener.watch_leaks() end)
	after_each(function() no_leak() end)

	it("returns status, headers in lower case and body", function()
		local r = assert(http.request { url = base .. "/" })
		assert.same({ 200, "hello", "1" }, { r.status, r.body, r.headers["x-one"] })
		assert.same({ 204, "" }, (function(x) return { x.status, x.body } end)(assert(http.request { url = base .. "/empty" })))
	end)

	it("takes 4xx, 5xx and redirects as responses", function()
		for path, status in pairs { ["/broken"] = 503, ["/none"] = 404, ["/away"] = 302 } do
			assert.equal(status, assert(http.request { url = base .. path }).status)
		end
	end)

	it("sends method, headers and body", function()
		local r = assert(http.request { url = base .. "/", method = "PUT", headers = { ["X-A"] = "" }, body = "a\0b" })
		assert.equal(200, r.status)
		assert.equal("", assert(http.request { url = base .. "/", method = "HEAD" }).body)
	end)

	it("adds nothing to a request that was not asked for", function()
		local function sent(o)
			o.url = "http://127.44.6.1:8009/x"
			return assert(http.request(o)).body
		end
		local head = " /x HTTP/1.1\r\nHost: 127.44.6.1:8009\r\nAccept: */*\r\n"
		assert.equal("GET" .. head .. "\r\n", sent {})
		for _, method in ipairs { "PUT", "POST" } do
			assert.equal(method .. head .. "Content-Length: 0\r\n\r\n", sent { method = method })
		end
		local large = ("x"):rep(3 << 20)
		assert.equal("PUT" .. head .. "Content-Length: 3145728\r\n\r\n" .. large, sent { method = "PUT", body = large })
		assert.equal("POST" .. head .. "X: 1\r\nX: 2\r\nContent-Length: 1\r\n\r\ny", sent { body = "y", headers = { X = { "1", "2" } } })
	end)

	local failures = {
		{ "a refused connection", { url = "http://127.44.6.9:1/" }, "refused", "connection refused" },
		{ "a black hole", { url = "http://127.44.6.1:8008/", connect_timeout = 0.2 }, "timeout", "no connection within" },
		{ "silence", { url = "http://127.44.6.1:8005/", timeout = 0.2 }, "timeout", "connected, but no answer within" },
		{ "a drip", { url = "http://127.44.6.1:8003/", timeout = 0.3 }, "timeout", "not complete within" },
		{ "a cut body", { url = "http://127.44.6.1:8001/" }, "http", "cut off after 10 bytes" },
		{ "a body without end", { url = "http://127.44.6.1:8002/", limit = 70000 }, "http", "larger than 70000 bytes" },
		{ "a body over the limit", { url = base .. "/big", limit = 4999 }, "http", "larger than 4999 bytes" },
		{ "a reset", { url = "http://127.44.6.1:8004/" }, "http", "was reset" },
		{ "a close", { url = "http://127.44.6.1:8006/" }, "http", "closed without an answer" },
		{ "noise", { url = "http://127.44.6.1:8007/" }, "http", "is not HTTP" },
		{ "an unknown name", { url = "http://nowhere.invalid/" }, "dns", "nowhere.invalid" },
		{ "another protocol", { url = "file:///etc/passwd" }, "usage", "only http and https" },
		{ "no URL", { url = "http://" }, "usage", "not a URL" },
		{ "an unknown authority", { url = "https://127.44.6.20:8443/" }, "tls", "not trusted" },
		{ "a missing authority file", { url = "https://127.44.6.20:8443/", tls = { ca = "/nowhere.crt" } }, "tls", "/nowhere.crt" },
		{ "a user and a password", { url = "http://me:hush@127.44.6.9:1/x" }, "refused", "^http://127.44.6.9:1/x: " },
	}
	for _, case in ipairs(failures) do
		it("explains " .. case[1], function()
			local r, message, code = http.request(case[2])
			assert.is_nil(r)
			assert.matches(case[4], message)
			assert.equal(case[3], code)
			assert.is_nil(message:find("hush", 1, true))
		end)
	end

	it("trusts the given authority, or nobody's when told not to verify", function()
		for _, tls in ipairs { { ca = directory .. "/ours.crt" }, { verify = false } } do
			assert.equal("secret", assert(http.request { url = "https://127.44.6.20:8443/", tls = tls }).body)
		end
	end)

	it("names the file of a key that has a password, and asks nobody", function()
		os.execute(("openssl rsa -aes128 -passout pass:x -in %s/server.key -out %s/locked.key 2>/dev/null"):format(directory, directory))
		local _, message, code = http.request { url = "https://127.44.6.20:8443/", tls = {
			verify = false, cert = directory .. "/server.crt", key = directory .. "/locked.key" } }
		assert.equal("tls", code)
		assert.matches("locked.key", message, 1, true)
	end)

	it("runs many at once", function()
		local tasks = {}
		for i = 1, 50 do tasks[i] = task.spawn(function() return http.request { url = base .. "/" } end) end
		for _, t in ipairs(tasks) do assert.equal("hello", assert(t:join()).body) end
	end)

	it("is cancelled at any moment", function()
		local asking = task.spawn(http.request, { url = "http://127.44.6.1:8005/" })
		task.sleep(0.02)
		asking:cancel()
		assert.equal("cancelled", select(3, asking:join()))
	end)

	it("raises on a caller's bug", function()
		for _, o in ipairs { {}, { url = 1 }, { url = base, headers = { a = 1 } }, { url = base, headers = { ["a\r\nb"] = "c" } },
			{ url = base, headers = { a = "b\nc" } }, { url = base, headers = { a = { "b", 1 } } },
			{ url = base, tls = { cert = "x" } }, { url = base, method = "HEAD", body = "" }, { url = base, proxy = 1 }, { url = base, limit = 0 } } do
			assert.has_error(function() http.request(o) end)
		end
	end)

	it("uses the environment's proxy only when asked, and never on the way to this machine", function()
		local script = directory .. "/proxy.lua"
		assert(fs.write(script, [[
			local http = require "core.http"
			local function status(o) local r, m = http.request(o) return r and r.status or m end
			print(status { url = "http://203.0.113.7/", proxy = true, timeout = 1 })
			print(status { url = "]] .. base .. [[/broken", proxy = true })
			print(status { url = "]] .. base .. [[/broken" })
		]]))
		local done = assert(proc.run { listener.binary(), "lua", script, env = { http_proxy = base, all_proxy = base, no_proxy = "x.example" } })
		assert.equal("404\n503\n503\n", done.stdout, done.stderr)
	end)
end)
