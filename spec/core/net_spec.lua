-- core.net: one form for each URL and address, and refusals that say what is wrong.
local net = require "core.net"

describe("net.url", function()
	local canonical = {
		{ "http://10.0.0.1:2380", "http://10.0.0.1:2380", "10.0.0.1" },
		{ "HTTPS://Etcd-1.Example.COM/", "https://etcd-1.example.com:443", "etcd-1.example.com" },
		{ "http://a_b", "http://a_b:80", "a_b" },
		{ "http://h:02380", "http://h:2380", "h" },
		{ "http://h:65535", "http://h:65535", "h" },
		{ "http://[2001:DB8:0:0:1:0:0:1]:2379/", "http://[2001:db8::1:0:0:1]:2379",
			"2001:db8::1:0:0:1" },
		{ "https://[::]", "https://[::]:443", "::" },
		{ "http://[::FFFF:10.0.0.1]:1", "http://10.0.0.1:1", "10.0.0.1" },
		{ "http://[::ffff:a00:1]:1", "http://10.0.0.1:1", "10.0.0.1" },
		{ "http://1.2.3.4.example", "http://1.2.3.4.example:80", "1.2.3.4.example" },
	}
	for _, case in ipairs(canonical) do
		it("reads " .. case[1], function()
			local url = assert(net.url(case[1]))
			assert.equal(case[2], url.url)
			assert.equal(case[3], url.host)
			assert.equal(case[2]:match "^%a+", url.scheme)
			assert.equal(math.tointeger(case[2]:match "%d+$"), url.port)
			assert.equal(case[2], net.url(url.url).url)
			assert.equal(case[2], net.join(url.scheme, url.host, url.port))
		end)
	end

	local wrong = {
		{ "", "begin with" },
		{ "10.0.0.1:2379", "begin with" },
		{ "http:/h", "begin with" },
		{ "unix://h:1", "scheme" },
		{ "://h", "scheme" },
		{ "http://", "host is empty" },
		{ "http://:2379", "host is empty" },
		{ "http://h:", "port" },
		{ "http://h:0", "port" },
		{ "http://h:70000", "port" },
		{ "http://h:-1", "port" },
		{ "http://h:1x", "port" },
		{ "http://h:99999999999999999999", "port" },
		{ "http://h:1/members", "path" },
		{ "http://h//", "path" },
		{ "http://h:1#a", "fragment" },
		{ "http://h/?", "query" },
		{ "http://::1:2379", "brackets" },
		{ "http://[::1", "IPv6" },
		{ "http://[]:1", "IPv6" },
		{ "http://[10.0.0.1]:1", "IPv6" },
		{ "http://[1::2::3]:1", "IPv6" },
		{ "http://[fe80::1%25eth0]:1", "IPv6" },
		{ "http://[::1]2:1", "IPv6" },
		{ "http://10.0.0.256:1", "IPv4" },
		{ "http://127.1:1", "IPv4" },
		{ "http://010.0.0.1:1", "IPv4" },
		{ "http://0x7f.0.0.0x1:1", "IPv4" },
		{ "http://2130706433:1", "IPv4" },
		{ "http://a..b:1", "part" },
		{ "http://.a:1", "part" },
		{ "http://" .. ("a"):rep(64) .. ":1", "part" },
		{ "http://" .. ("a."):rep(127) .. ":1", "too long" },
		{ "http://a%41:1", "character" },
		{ "http://h :1", "character" },
		{ "http://h\n:1", "character" },
		{ "http://h\0:1", "character" },
		{ "http://é:1", "character" },
	}
	for _, case in ipairs(wrong) do
		it(("refuses %q"):format(case[1]), function()
			local url, message, code = net.url(case[1])
			assert.is_nil(url)
			assert.equal("parse", code)
			assert.matches(case[2], message, 1, true)
			local shown = case[1]:match "^[^?#%z]*"
			assert.matches(shown:sub(1, 300), message, 1, true)
		end)
	end

	it("never shows a password or a query", function()
		for _, text in ipairs { "http://user:hunter2@h:1", "http://hunter2@h", "user:hunter2@h:1",
			"http://user:hun/hunter2@h:1", "ftp://hunter2@h", "http://h:1/?token=hunter2",
			"http://h#hunter2", "http://a@hunter2@h:x", "http://h\0?hunter2" } do
			local url, message = net.url(text)
			assert.is_nil(url)
			assert.not_matches("hunter2", message)
			assert.matches("h", message, 1, true)
		end
		assert.matches("user name or password", select(2, net.url "http://u:p@h:1"))
	end)
end)

describe("net.join", function()
	it("puts brackets where they belong", function()
		assert.equal("http://[::1]:2379", net.join("http", "::1", 2379))
		assert.equal("https://[fd00::1]:1", net.join("https", "[FD00:0::1]", 1))
		assert.equal("http://10.0.0.1:1", net.join("http", "::ffff:10.0.0.1", 1))
	end)

	it("raises on what is no URL", function()
		for _, bad in ipairs { { "ftp", "h", 1 }, { "http", "", 1 }, { "http", "h", 0 },
			{ "http", "h/x", 1 }, { "http", "h:2", 1 }, { "http", "h", 65536 } } do
			assert.error_matches(function() net.join(table.unpack(bad)) end, "net.join: bad URL")
		end
	end)

	it("does not show a password", function()
		local _, message = pcall(net.join, "http", "user:hunter2@h", 1)
		assert.matches("net.join", message)
		assert.not_matches("hunter2", message)
	end)
end)

describe("net.same", function()
	local cases = {
		{ true, "http://A:80/", "http://a" },
		{ true, "http://[::ffff:1.2.3.4]:1", "http://1.2.3.4:1" },
		{ true, "http://[1:0::1]:1", "http://[1::1]:1" },
		{ true, "nonsense", "nonsense" },
		{ false, "nonsense", "Nonsense" },
		{ false, "http://a:1", "https://a:1" },
		{ false, "http://a:1", "http://a:2" },
		{ false, "http://a:1", "http://b:1" },
		{ false, "http://a:1", "http://a:1/x" },
	}
	for _, case in ipairs(cases) do
		it(("%s is %s %s"):format(case[2], case[1] and "the same as" or "not", case[3]), function()
			assert.equal(case[1], net.same(case[2], case[3]))
			assert.equal(case[1], net.same(case[3], case[2]))
		end)
	end
end)

describe("net.address", function()
	local canonical = {
		{ "10.0.0.1", "10.0.0.1", 4 },
		{ "::FFFF:1.2.3.4", "1.2.3.4", 4 },
		{ "::", "::", 6 },
		{ "0:0:0:0:0:0:0:1", "::1", 6 },
		{ "1::", "1::", 6 },
		{ "::1.2.3.4", "::102:304", 6 },
		{ "64:FF9B::1.2.3.4", "64:ff9b::102:304", 6 },
		{ "2001:0DB8:0:0:0:0:0:00a0", "2001:db8::a0", 6 },
		{ "1:0:0:2:0:0:0:3", "1:0:0:2::3", 6 },
		{ "1:0:0:2:3:0:0:4", "1::2:3:0:0:4", 6 },
		{ "1:0:2:3:4:5:6:7", "1:0:2:3:4:5:6:7", 6 },
		{ "0:1:2:3:4:5:6:0", "0:1:2:3:4:5:6:0", 6 },
	}
	for _, case in ipairs(canonical) do
		it("writes " .. case[1] .. " as " .. case[2], function()
			local address, family = net.address(case[1])
			assert.equal(case[2], address)
			assert.equal(case[3], family)
			assert.equal(case[2], (net.address(address)))
		end)
	end

	it("refuses what is none", function()
		for _, text in ipairs { "", "h", "1.2.3", "1.2.3.4.5", "01.2.3.4", "1.2.3.4 ", "[::1]",
			"fe80::1%lo", ":1", "1:2:3:4:5:6:7:8:9", "::g", "1.2.3.4\0", ("1"):rep(100) } do
			local address, message, code = net.address(text)
			assert.is_nil(address)
			assert.is_string(message)
			assert.equal("parse", code)
		end
	end)
end)

describe("net.inside", function()
	local cases = {
		{ "10.1.2.3", "10.0.0.0/8", true },
		{ "10.1.2.3", "10.1.2.2/31", true },
		{ "10.1.2.4", "10.1.2.2/31", false },
		{ "10.1.2.3", "10.1.2.3/32", true },
		{ "11.0.0.0", "10.0.0.0/8", false },
		{ "192.168.0.1", "0.0.0.0/0", true },
		{ "::ffff:10.1.2.3", "10.0.0.0/8", true },
		{ "10.1.2.3", "::ffff:10.0.0.0/104", true },
		{ "fd00::1", "fd00::/8", true },
		{ "2001:db8:0:8000::", "2001:db8::/49", false },
		{ "2001:db8:0:7fff::", "2001:db8::/49", true },
		{ "::1", "::1/128", true },
		{ "::1", "0.0.0.0/0", false },
		{ "10.0.0.1", "::/0", false },
	}
	for _, case in ipairs(cases) do
		it(("%s %s %s"):format(case[1], case[3] and "in" or "not in", case[2]), function()
			assert.equal(case[3], net.inside(case[1], case[2]))
		end)
	end

	it("refuses what is no address or no range", function()
		for _, case in ipairs { { "x", "10.0.0.0/8" }, { "10.0.0.1", "10.0.0.0" },
			{ "10.0.0.1", "10.0.0.0/33" }, { "10.0.0.1", "10.0.0.0/" }, { "::1", "::/129" },
			{ "10.0.0.1", "10.0.0.0/-1" }, { "10.0.0.1", "10.0.0.0/8 " }, { "10.0.0.1", "/8" } } do
			local inside, message, code = net.inside(case[1], case[2])
			assert.is_nil(inside)
			assert.is_string(message)
			assert.equal("parse", code)
		end
	end)
end)

describe("net.interfaces", function()
	it("lists canonical addresses, the loopback's too", function()
		local found = {}
		for _, address in ipairs(net.interfaces()) do
			assert.equal(address, (net.address(address)))
			found[address] = true
		end
		assert.is_true(found["127.0.0.1"])
	end)
end)
