-- core.sigv4: the official figures, a second signer, and what is signed being what http sends.
local crypto, fs, http, json = require "core.crypto", require "core.fs", require "core.http", require "core.json"
local proc, sigv4 = require "core.proc", require "core.sigv4"
local listener = dofile "spec/core/listener.lua"

local SCOPE = "20150830/us-east-1/service/aws4_request"

-- A request to sign, changed by o.
local function request(o)
	local r = {
		url = "https://example.amazonaws.com/", service = "service", region = "us-east-1", time = 1440938160,
		access_key = "AKIDEXAMPLE", secret_key = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
	}
	for key, value in pairs(o or {}) do r[key] = value end
	return r
end

local function canonical(o) return (sigv4.canonical(request(o))) end

describe("the official suite", function()
	local vectors = dofile "spec/core/sigv4_vectors.lua"

	it("has 38 requests", function() assert.equal(38, #vectors) end)

	for _, v in ipairs(vectors) do
		it(v.name, function()
			local o = request { method = v.method, url = "https://example.amazonaws.com" .. v.target, headers = v.headers,
				body = v.body, token = v.token, normalize = v.normalize, sign_body = v.sign_body }
			local form, to_sign = sigv4.canonical(o)
			assert.equal(v.canonical, crypto.hex(crypto.sha256(form)), form)
			assert.equal("AWS4-HMAC-SHA256\n20150830T123600Z\n" .. SCOPE .. "\n" .. v.canonical, to_sign)
			local signed = sigv4.sign(o)
			assert.equal(("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/%s, SignedHeaders=%s, Signature=%s"):format(
				SCOPE, form:match "\n([^\n]+)\n%x+$", v.signature), signed.Authorization)
			assert.equal("20150830T123600Z", signed["X-Amz-Date"])
			assert.equal(v.token, signed["X-Amz-Security-Token"])
			assert.equal(v.sign_body and crypto.hex(crypto.sha256(v.body)), signed["X-Amz-Content-Sha256"] or nil)
		end)
	end
end)

describe("the canonical form", function()
	it("is the one of the documentation", function()
		assert.equal(table.concat({ "POST", "/a/b%2520c", "Action=X&Version=1", "content-type:text/plain",
			"host:example.com:8443", "x-amz-date:20150830T123600Z", "x-amz-security-token:t", "",
			"content-type;host;x-amz-date;x-amz-security-token", crypto.hex(crypto.sha256 "hello") }, "\n"),
			canonical { url = "https://example.com:8443/./a//x/../b%20c?Version=1&Action=X#there", body = "hello",
				headers = { ["Content-Type"] = " text/plain", ["User-Agent"] = "etcd", Expect = "" }, token = "t" })
	end)

	local paths = { -- on the wire, for most services, for s3
		{ "", "/", "/" }, { "/", "/", "/" }, { "/..", "/", "/.." }, { "/../..", "/", "/../.." },
		{ "/a/b/..", "/a", "/a/b/.." }, { "/a/../", "/", "/a/../" }, { "/a//b/", "/a/b/", "/a//b/" },
		{ "/a%2Fb%7e", "/a%252Fb%257e", "/a%2Fb%7e" }, { "/%", "/%25", "/%25" }, { "/%zz", "/%25zz", "/%25zz" },
		{ "/a+b=c&d:e*", "/a%2Bb%3Dc%26d%3Ae%2A", "/a%2Bb%3Dc%26d%3Ae%2A" }, { "/...", "/...", "/..." },
	}
	for _, case in ipairs(paths) do
		it(("takes the path %q"):format(case[1]), function()
			local url = "https://example.com" .. case[1]
			assert.equal(case[2], canonical { url = url }:match "^GET\n([^\n]*)")
			assert.equal(case[3], canonical { url = url, service = "s3" }:match "^GET\n([^\n]*)")
		end)
	end

	local queries = {
		[""] = "", ["a"] = "a=", ["a="] = "a=", ["&&a&"] = "a=", ["=b"] = "=b", ["a=b=c"] = "a=b%3Dc",
		["a-b=1&a=2"] = "a=2&a-b=1", ["a=2&a=10&a"] = "a=&a=10&a=2", ["b&a=%7E&A"] = "A=&a=%7E&b=", ["a=b?c/d"] = "a=b%3Fc%2Fd",
	}
	for given, wanted in pairs(queries) do
		it(("takes the query %q"):format(given), function()
			assert.equal(wanted, canonical { url = "https://example.com/?" .. given }:match "^GET\n/\n([^\n]*)")
		end)
	end

	local hosts = {
		["http://h/"] = "h", ["http://h:80/"] = "h", ["https://h:443?a"] = "h", ["https://h:80#a"] = "h:80",
		["http://h:443"] = "h:443", ["http://u:p@h:8000/@:1"] = "h:8000", ["http://[fd00::1]/"] = "[fd00::1]",
		["http://[fd00::1]:5000/"] = "[fd00::1]:5000", ["h:7/x"] = "h:7", ["http://h:/"] = "h", ["h/?a=http://b"] = "h", ["HTTP://h:80"] = "h", ["HTTPS://h:443"] = "h",
	}
	for url, host in pairs(hosts) do
		it("takes the host of " .. url, function()
			assert.equal(host, canonical { url = url }:match "\nhost:([^\n]*)")
		end)
	end

	it("takes a Host that is given", function()
		assert.equal("other", canonical { headers = { HOST = "other" } }:match "\nhost:([^\n]*)")
	end)

	it("has the digest of the body as a header for s3, unless told", function()
		local digest = crypto.hex(crypto.sha256 "")
		assert.equal(digest, sigv4.sign(request { service = "s3" })["X-Amz-Content-Sha256"])
		assert.is_nil(sigv4.sign(request { service = "s3", sign_body = false })["X-Amz-Content-Sha256"])
		assert.is_nil(sigv4.sign(request())["X-Amz-Content-Sha256"])
	end)
end)

describe("a caller's bug", function()
	local bugs = {
		{ "no url", { url = false } }, { "no time", { time = false } }, { "a time that never was", { time = -1 } },
		{ "a time after all calendars", { time = 1e18 } }, { "a time that is none", { time = 0 / 0 } },
		{ "no service", { service = false } }, { "an empty region", { region = "" } }, { "a key of two lines", { access_key = "a\nb" } },
		{ "a token of two lines", { token = "hush\r\nX: y" } }, { "a secret with a NUL", { secret_key = "hush\0" } },
		{ "a secret without end", { secret_key = ("hush"):rep(100) } }, { "a body that is none", { body = {} } },
		{ "headers that are none", { headers = "hush" } }, { "a header without a value", { headers = { a = 1 } } },
		{ "a header of an empty list", { headers = { a = {} } } }, { "a header of a list of numbers", { headers = { a = { 1 } } } },
		{ "a NUL in a header", { headers = { a = "hush\0" } } }, { "a name with a colon", { headers = { ["a:hush"] = "b" } } },
		{ "a name that is none", { headers = { "hush" } } }, { "a header twice", { headers = { a = "hush", A = "hush" } } },
		{ "what is signed already", { headers = { Authorization = "hush" } } },
		{ "a date of its own", { headers = { ["x-amz-date"] = "hush" } } }, { "a flag that is none", { normalize = 1 } },
	}
	for _, bug in ipairs(bugs) do
		it("is " .. bug[1] .. ", and shows no secret", function()
			local o = request(bug[2])
			for key, value in pairs(o) do if not value then o[key] = nil end end
			for _, f in ipairs { sigv4.sign, sigv4.canonical } do
				local ok, message = pcall(f, o)
				assert.is_false(ok)
				assert.is_nil(message:find "hush", message)
				assert.is_nil(message:find("wJalr", 1, true), message)
			end
		end)
	end

	it("is no table", function() assert.has_error(function() sigv4.sign "x" end) end)
end)

-- Random requests whose text is encoded already, as both signers want it.
local pieces = { "a", "Z", "0", "-", ".", "_", "~", "%20", "%2F", "%E1%88%B4", "%7E", "%25", "%3D", "%2B" }

local function pick(list) return list[math.random(#list)] end

local function word(most)
	local out = {}
	for i = 1, math.random(most) do out[i] = pick(pieces) end
	return table.concat(out)
end

local function random_path(service)
	local out = {}
	for i = 1, math.random(0, 5) do
		out[i] = pick { word(5), ".", "..", "", word(3), service == "s3" and "a%2fb" or "a:b@c!" }
	end
	return "/" .. table.concat(out, "/")
end

local function random_query()
	local out = {}
	for i = 1, math.random(0, 6) do out[i] = word(2) .. pick { "", "=", "=" .. word(6), "=" .. word(1) } end
	return out[1] and "?" .. table.concat(out, "&") or ""
end

local function random_headers()
	local out = {}
	for _ = 1, math.random(0, 4) do
		local values = {}
		for i = 1, math.random(3) do values[i] = pick { "", " a  b\tc ", "x", "a, b", "\"q   q\"", "b=c;d" } end
		out[pick { "X-B", "x-a", "Content-Type", "X-Amz-Target", "x-a-b" }] = #values > 1 and values or values[1]
	end
	return out
end

local function random_request()
	local service = pick { "ec2", "s3", "autoscaling", "route53", "sts" }
	return {
		method = pick { "GET", "POST", "PUT", "DELETE", "HEAD" }, service = service,
		url = pick { "http://", "https://" } .. pick { "example.com", "127.0.0.1:5000", "example.com:443", "[fd00::1]:80", "h:80" }
			.. random_path(service) .. random_query(),
		headers = random_headers(), body = crypto.random(math.random(0, 80)),
		region = pick { "us-east-1", "eu-central-1" }, time = math.random(0, 4102444800),
		access_key = "AKID" .. word(4), secret_key = crypto.base64(crypto.random(30)),
		token = math.random(2) == 1 and crypto.base64(crypto.random(200)) or nil,
	}
end

local function as_json(r)
	local copy, headers = {}, json.list {}
	for key, value in pairs(r) do copy[key] = value end
	for name, value in pairs(r.headers) do
		for _, one in ipairs(type(value) == "table" and value or { value }) do headers[#headers + 1] = { name, one } end
	end
	copy.headers, copy.body = headers, crypto.base64(r.body)
	return copy
end

describe("a second signer", function()
	local moto = (os.getenv "ETCD_BOOTSTRAP_CACHE" or os.getenv "HOME" .. "/.cache/etcd-bootstrap") .. "/moto"

	it("agrees on 2,000 random requests", function()
		if not fs.stat(moto .. "/pins") then return pending "no botocore in the cache (tools/python/install moto)" end
		local requests, batch = {}, json.list {}
		for i = 1, 2000 do
			requests[i] = random_request()
			batch[i] = as_json(requests[i])
		end
		local directory = listener.directory()
		assert(fs.write(directory .. "/requests.json", json.encode(batch)))
		local done = assert(proc.run { moto .. "/bin/python", "spec/core/signer.py", directory .. "/requests.json", timeout = 120 })
		listener.forget(directory)
		assert.equal(0, done.status, done.stderr)
		local i = 0
		for theirs in done.stdout:gmatch "[^\n]+" do
			i = i + 1
			assert.equal(theirs, sigv4.sign(requests[i]).Authorization, json.encode(batch[i]))
		end
		assert.equal(2000, i)
	end)
end)

describe("http.request with sign", function()
	local directory, close
	local root = assert(io.popen "id -u"):read "n" == 0 -- who may listen on port 80
	local keys = { service = "ec2", region = "us-east-1", access_key = "AKIDEXAMPLE", secret_key = "hush", token = "t0k3n" }

	setup(function()
		directory = listener.directory()
		close = listener.open(directory, { { address = "127.44.9.1", port = 8000, kind = "echo" },
			root and { address = "127.44.9.1", port = 80, kind = "echo" } or nil })
	end)
	teardown(function()
		close()
		listener.forget(directory)
	end)

	-- What the server got: {line, headers {name = values}, body}.
	local function sent(o)
		local text = assert(http.request(o)).body
		local line, head, body = text:match "^(.-)\r\n(.-\r\n)\r\n(.*)$"
		local headers = {}
		for name, value in head:gmatch "(.-): ?(.-)\r\n" do
			headers[name] = headers[name] or {}
			table.insert(headers[name], value)
		end
		return line, headers, body
	end

	local requests = {
		{ url = "http://127.44.9.1:8000/" },
		{ url = "http://127.44.9.1/a/../b//%20?b=1&a" },
		{ url = "http://127.44.9.1:80", method = "DELETE" },
		{ url = "http://127.44.9.1:8000/key/../x%2Fy", method = "PUT", body = "a\0b", s3 = true },
		{ url = "http://127.44.9.1:8000/", body = "Action=X", headers = { ["Content-Type"] = "text/plain; charset=utf-8" } },
		{ url = "http://127.44.9.1:8000/", headers = { ["X-A"] = { "1", "2" }, ["x-b"] = "", Host = "example.com" } },
	}
	for i, r in ipairs(requests) do
		it(("signs what is sent, request %d"):format(i), function()
			if not root and not r.url:find ":8000" then return pending "needs root" end
			local sign = { time = 1440938160, service = r.s3 and "s3" }
			for key, value in pairs(keys) do sign[key] = sign[key] or value end
			local line, headers, body = sent { url = r.url, method = r.method, body = r.body, headers = r.headers, sign = sign }
			local authorization = headers.Authorization[1]
			local signed = {}
			for name, values in pairs(headers) do
				local low = name:lower()
				if (";" .. authorization:match "SignedHeaders=([^,]+)" .. ";"):find(";" .. low .. ";", 1, true)
					and not (low:match "^x%-amz%-") then signed[name] = values end
			end
			assert.is_table(signed.Host)
			local method, target = line:match "^(%S+) (%S+) HTTP/1.1$"
			sign.method, sign.url, sign.headers, sign.body = method, "http://x" .. target, signed, body
			local expected = sigv4.sign(sign)
			for name, value in pairs(expected) do assert.same({ value }, headers[name]) end
			for name in pairs(r.headers or {}) do assert.is_table(signed[name]) end
			local path = r.url:match "^http://[^/]+(.*)$"
			assert.equal(path == "" and "/" or path, target)
		end)
	end

	it("takes the time of now when none is given", function()
		local before = os.date "!%Y%m%dT%H%M%SZ"
		local _, headers = sent { url = "http://127.44.9.1:8000/", sign = keys }
		local date = headers["X-Amz-Date"][1]
		assert.is_true(before <= date and date <= os.date "!%Y%m%dT%H%M%SZ", date)
	end)

	it("raises on a caller's bug, and shows no secret", function()
		for _, sign in ipairs { 1, {}, { service = "ec2", region = "r", access_key = "a", secret_key = { "hush" } },
			{ service = "ec2", region = "r", access_key = "a", secret_key = "hush", token = "hush\nhush" } } do
			local ok, message = pcall(http.request, { url = "http://127.44.9.1:8000/", sign = sign })
			assert.is_false(ok)
			assert.is_nil(message:find "hush", message)
		end
	end)
end)
