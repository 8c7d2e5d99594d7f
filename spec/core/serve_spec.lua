-- core.serve: fixed bodies on fixed paths, whatever the client does.
local http, proc, serve = require "core.http", require "core.proc", require "core.serve"
local listener = dofile "spec/core/listener.lua"

local body = '{"data":"empty"}'

describe("serve.listen", function()
	local server, no_leak, directory
	local url = "http://127.44.7.1:2380"

	setup(function()
		directory = listener.directory()
		listener.certificates(directory, "ours", { server = "IP:127.44.7.2", client = "DNS:client" })
		listener.certificates(directory, "other", { foreign = "DNS:foreign" })
	end)
	teardown(function() listener.forget(directory) end)
	before_each(function()
		no_leak = listener.watch_leaks()
		server = assert(serve.listen { address = "127.44.7.1", port = 2380, bodies = { ["/bootstrap"] = body } })
	end)
	after_each(function()
		server:close()
		no_leak()
	end)

	-- Sends bytes through a shell, so that no client of ours tidies them up; returns what came back.
	local function raw(bytes, o)
		local done = assert(proc.run { "python3", "-c", [[
import socket, sys
s = socket.create_connection(("127.44.7.1", 2380))
s.sendall(sys.argv[1].encode().decode("unicode_escape").encode("latin-1"))
out = b""
while True:
    piece = s.recv(4096)
    if not piece: break
    out += piece
sys.stdout.write(out.decode())
]], bytes, timeout = o and o.timeout or 8 })
		return done.stdout
	end

	it("answers its paths and nothing else", function()
		local r = assert(http.request { url = url .. "/bootstrap" })
		assert.same({ 200, body, "application/json", "close" },
			{ r.status, r.body, r.headers["content-type"], r.headers.connection })
		for path, method in pairs { ["/"] = "GET", ["/members"] = "GET", ["/bootstrap/"] = "GET", ["/bootstrap?x"] = "HEAD" } do
			assert.equal(404, assert(http.request { url = url .. path, method = method }).status)
		end
	end)

	it("finds nothing for other methods", function()
		for _, method in ipairs { "POST", "PUT", "DELETE", "OPTIONS" } do
			assert.equal(404, assert(http.request { url = url .. "/bootstrap", method = method, body = ("x"):rep(20000) }).status)
		end
		assert.equal(404, assert(http.request { url = url .. "/bootstrap", method = "HEAD" }).status)
	end)

	it("changes what it answers", function()
		server:set("/bootstrap", "2")
		server:set("/more", "3")
		assert.equal("2", assert(http.request { url = url .. "/bootstrap" }).body)
		assert.equal("3", assert(http.request { url = url .. "/more" }).body)
		server:set("/bootstrap", nil)
		assert.equal(404, assert(http.request { url = url .. "/bootstrap" }).status)
	end)

	it("takes a request in pieces, and only a small one", function()
		assert.matches("^HTTP/1.1 200 OK.*" .. body .. "$", raw "GET /bootstrap HTTP/1.0\\r\\n\\r\\n")
		assert.matches("^HTTP/1.1 400 ", raw "hello\\r\\n\\r\\n")
		assert.matches("^HTTP/1.1 400 ", raw "GET /bootstrap\\r\\n\\r\\n")
		assert.matches("^HTTP/1.1 400 ", raw "\\x00\\xff\\r\\n\\r\\n")
		assert.matches("^HTTP/1.1 431 ", raw("GET /" .. ("a"):rep(5000) .. " HTTP/1.1\\r\\n\\r\\n"))
	end)

	it("drops a client that says nothing", function()
		assert.equal("", raw "GET /boots")
	end)

	it("answers the 65th while 64 say nothing", function()
		local done = assert(proc.run { "python3", "-c", [[
import socket
idle = [socket.create_connection(("127.44.7.1", 2380)) for _ in range(200)]
s = socket.create_connection(("127.44.7.1", 2380))
s.sendall(b"GET /bootstrap HTTP/1.1\r\n\r\n")
print(s.recv(15).decode())
]] })
		assert.equal("HTTP/1.1 200 OK\n", done.stdout, done.stderr)
	end)

	it("frees the port at once", function()
		for _ = 1, 3 do
			assert.equal(200, assert(http.request { url = url .. "/bootstrap" }).status)
			server:close()
			server:close()
			assert.equal("refused", select(3, http.request { url = url .. "/bootstrap" }))
			server = assert(serve.listen { address = "127.44.7.1", port = 2380, bodies = { ["/bootstrap"] = body } })
		end
		server:close()
		assert.has_error(function() server:set("/", "x") end)
	end)

	it("says when the port is taken or the address is not ours", function()
		local s, message, code = serve.listen { address = "127.44.7.1", port = 2380, bodies = {} }
		assert.is_nil(s)
		assert.matches("cannot listen on 127.44.7.1 port 2380: Address already in use", message)
		assert.equal("conflict", code)
		assert.equal("io", select(3, serve.listen { address = "203.0.113.9", port = 2380, bodies = {} }))
		assert.equal("usage", select(3, serve.listen { address = "not an address", port = 2380, bodies = {} }))
	end)

	it("listens on IPv6", function()
		local six = serve.listen { address = "::1", port = 23807, bodies = { ["/"] = "six" } }
		if not six then return pending "no IPv6 here" end
		assert.equal("six", assert(http.request { url = "http://[::1]:23807/" }).body)
		six:close()
	end)

	describe("over TLS", function()
		local function file(name) return directory .. "/" .. name end
		local function listen(ca)
			return assert(serve.listen { address = "127.44.7.2", port = 2380, bodies = { ["/bootstrap"] = body },
				tls = { cert = file "server.crt", key = file "server.key", ca = ca and file(ca) } })
		end
		local function get(cert)
			return http.request { url = "https://127.44.7.2:2380/bootstrap", tls = {
				ca = file "ours.crt", cert = cert and file(cert .. ".crt"), key = cert and file(cert .. ".key") } }
		end

		it("answers", function()
			local _ <close> = setmetatable({ it = listen() }, { __close = function(s) s.it:close() end })
			for _ = 1, 3 do assert.equal(body, assert(get()).body) end
			local _, message = http.request { url = "http://127.44.7.2:2380/" }
			assert.matches("TLS", message)
		end)

		it("demands a client certificate where told, from the right authority", function()
			local _ <close> = setmetatable({ it = listen "ours.crt" }, { __close = function(s) s.it:close() end })
			assert.equal(body, assert(get "client").body)
			local _, message, code = get()
			assert.equal("tls", code)
			assert.matches("refused us without a client certificate", message)
			_, message, code = get "foreign"
			assert.equal("tls", code)
			assert.matches("refused our client certificate", message)
		end)

		it("makes a certificate of its own, which only those take who do not verify", function()
			local s = assert(serve.listen { address = "127.44.7.2", port = 2380, bodies = { ["/bootstrap"] = body },
				tls = { auto = true } })
			local _ <close> = setmetatable({ it = s }, { __close = function(t) t.it:close() end })
			local place = "https://127.44.7.2:2380/bootstrap"
			assert.equal(body, assert(http.request { url = place, tls = { verify = false } }).body)
			local _, message, code = get()
			assert.equal("tls", code)
			assert.matches("self%-signed certificate", message)
			local _, other = http.request { url = place }
			assert.matches("self%-signed certificate", other)
		end)

		it("names the file that it cannot use", function()
			for name, o in pairs {
				["missing.crt"] = { cert = file "missing.crt", key = file "server.key" },
				["client.key"] = { cert = file "server.crt", key = file "client.key" },
				["missing.ca"] = { cert = file "server.crt", key = file "server.key", ca = file "missing.ca" },
			} do
				local s, message, code = serve.listen { address = "127.44.7.2", port = 2380, bodies = {}, tls = o }
				assert.is_nil(s)
				assert.equal("tls", code)
				assert.matches(name, message, 1, true)
			end
		end)
	end)
end)
