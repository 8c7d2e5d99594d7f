-- cloud_spec.lua - the cloud of the specs itself: moto, the metadata mocks, and the proxy's faults.

local assert = require "luassert"
local http = require "core.http"
local proc = require "core.proc"
local task = require "task"
local cloud = require "spec.world.cloud"
local moto = require "spec.world.moto"
local world = require "spec.world.world"

local TOKEN = { ["X-aws-ec2-metadata-token-ttl-seconds"] = "60" }

-- DescribeRegions, or another, by way of the proxy; its signature is not checked.
local function regions(c, o)
	o = o or {}
	return http.request { url = c.url .. "/", method = "POST", timeout = 20,
		body = "Version=2016-11-15&Action=" .. (o.action or "DescribeRegions"),
		headers = { ["Content-Type"] = "application/x-www-form-urlencoded; charset=utf-8",
			["X-Amz-Date"] = os.date("!%Y%m%dT%H%M%SZ", os.time() + (o.ahead or 0)),
			Authorization = ("AWS4-HMAC-SHA256 Credential=AKID/20260101/eu-west-1/%s/aws4_request, "
				.. "SignedHeaders=host, Signature=0"):format(o.service or "ec2") } }
end

local function metadata(endpoint, path, token)
	return http.request { url = endpoint .. path, timeout = 20,
		headers = token and { ["X-aws-ec2-metadata-token"] = token } }
end

local function ask_token(endpoint, timeout)
	return http.request { url = endpoint .. "/latest/api/token", method = "PUT", headers = TOKEN, timeout = timeout or 20 }
end

cloud.describe("the cloud", function(it)
	it("gives a group's instances addresses of the world", function(w, c)
		local group = c:group("etcd", { desired = 3 })
		assert.equal(3, #group)
		for _, one in ipairs(group) do
			assert.equal(w.net, one.address:match "^%d+%.%d+%.%d+")
			assert.is_truthy(one.id:find "^i%-")
		end
		local given = c:group("chosen", { addresses = { w.net .. ".40", w.net .. ".41" } })
		assert.same({ w.net .. ".40", w.net .. ".41" }, { given[1].address, given[2].address })
		local new = c:terminate(given[1])
		assert.not_equal(given[1].id, new.id)
		assert.equal(2, #c.moto:members "chosen")
		assert.is_nil(c:terminate(c:instance { address = w.net .. ".60", tags = { role = "etcd" } }))
	end)

	it("is empty for the next test", function(_, c)
		assert.same({}, c.moto:members "etcd")
		assert.same({}, c:log())
	end)

	it("has metadata with tokens for each machine", function(w, c)
		local group = c:group("etcd", { desired = 2 })
		c:machines(group, { group = "etcd" })
		for _, one in ipairs(group) do
			local m = w:machine(one.id)
			assert.equal(one.address, m.address)
			local endpoint = m.env.AWS_EC2_METADATA_SERVICE_ENDPOINT
			assert.equal(401, metadata(endpoint, "/latest/meta-data/instance-id").status)
			local token = ask_token(endpoint).body
			local function text(path)
				return metadata(endpoint, path, token).body
			end
			assert.equal(one.id, text "/latest/meta-data/instance-id")
			assert.equal("etcd", text "/latest/meta-data/tags/instance/aws:autoscaling:groupName")
			assert.equal("etcd", text "/latest/meta-data/iam/security-credentials/")
			assert.is_truthy(text "/latest/meta-data/iam/security-credentials/etcd":find("ASIAEXAMPLE", 1, true))
			assert.is_truthy(text "/latest/dynamic/instance-identity/document":find(one.address, 1, true))
		end
		assert.equal(2, #c:log { route = "metadata " .. group[1].id, status = 401 } + #c:log {
			route = "metadata " .. group[1].id, method = "PUT" })
	end)

	it("has metadata without tokens, and without the group", function(_, c)
		local one = c:instance()
		local endpoint = c:metadata(one, { tokens = "optional" })
		assert.equal(one.id, metadata(endpoint, "/latest/meta-data/instance-id").body)
		assert.equal(404, metadata(endpoint, "/latest/meta-data/tags/instance/aws:autoscaling:groupName").status)
	end)

	it("bears many askers of tokens at once", function(_, c)
		local endpoint = c:metadata(c:instance())
		local many = {}
		for i = 1, 60 do
			many[i] = i
		end
		for _, answer in ipairs(task.map(many, function() return ask_token(endpoint).status end)) do
			assert.equal(200, answer)
		end
	end)

	it("checks signatures and policies when told", function(_, c)
		local role = c.moto:role("reader", { Version = "2012-10-17",
			Statement = { { Effect = "Allow", Action = "ec2:DescribeRegions", Resource = "*" } } })
		assert.is_truthy(role.token)
		c.moto:auth(true)
		assert.equal(401, regions(c).status)
		assert.is_truthy(c:instance().id)
		assert.equal(401, regions(c).status)
		c.moto:auth(false)
		assert.equal(200, regions(c).status)
	end)

	it("logs service, action and status", function(_, c)
		assert.equal(200, regions(c).status)
		http.request { url = c.url .. "/bucket/key", timeout = 20, headers = {
			Authorization = "AWS4-HMAC-SHA256 Credential=A/20260101/eu-west-1/s3/aws4_request, SignedHeaders=host, Signature=0" } }
		assert.same({ "ec2:DescribeRegions 200", "s3:GetObject 404" }, c:said())
		local one = c:log()[1]
		assert.is_true(one.began < one.ended)
		assert.equal("api", one.route)
		assert.is_nil(one.fault)
		c:forget()
		assert.same({}, c:said())
	end)

	it("answers instead of AWS, as often as told", function(_, c)
		c:fault { action = "DescribeRegions", skip = 1, times = 2, status = 503, body = "busy",
			headers = { ["Retry-After"] = "1" } }
		local seen = {}
		for i = 1, 4 do
			seen[i] = regions(c).status
		end
		assert.same({ 200, 503, 503, 200 }, seen)
		c:fault { service = "ec2", html = true }
		local page = regions(c)
		assert.is_truthy(page.status == 200 and page.body:find "<html>")
		c:heal()
		assert.is_nil(regions(c).body:find "<html>")
	end)

	it("cuts answers, with and without saying so", function(_, c)
		local whole = regions(c).body
		c:fault { cut = 100, times = 1 }
		assert.equal(whole:sub(1, 100), regions(c).body)
		c:fault { cut = 100, broken = true, times = 1 }
		local response, message, code = regions(c)
		assert.is_nil(response)
		assert.equal("http", code, message)
	end)

	it("resets connections, before and after AWS has done its part", function(_, c)
		c:fault { reset = true, times = 1 }
		assert.is_nil(regions(c))
		c:fault { reset = true, after = true, action = "CreateVpc", times = 1 }
		assert.is_nil(regions(c, { action = "CreateVpc&CidrBlock=10.77.0.0%2F16" }))
		assert.equal(200, regions(c).status)
		assert.is_truthy(c.moto:call("ec2", "DescribeVpcs"):find("10.77.0.0/16", 1, true))
	end)

	it("hangs, and notes that nobody got an answer", function(_, c)
		local endpoint = c:metadata(c:instance())
		c:fault { method = "PUT", path = "^/latest/api/token$", hang = true }
		local response, _, code = ask_token(endpoint, 0.3)
		assert.is_nil(response)
		assert.equal("timeout", code)
		world.wait(function()
			local one = c:log()[1]
			return one.ended and not one.status
		end, 20, "the proxy notes the end")
	end)

	it("has a clock of its own", function(_, c)
		c:fault { date = 600 }
		for service, code in pairs { ec2 = "RequestExpired", autoscaling = "SignatureDoesNotMatch", s3 = "RequestTimeTooSkewed" } do
			local response = regions(c, { service = service })
			assert.is_truthy(response.body:find(code, 1, true), service)
			assert.is_true(response.status >= 400)
		end
		local response = regions(c, { ahead = 600 })
		assert.equal(200, response.status)
		assert.is_truthy(moto.values(response.body, "regionName")[1])
	end)
end)

describe("without moto", function()
	world.it("all of this is skipped, and says why", function(w)
		local result = assert(proc.run { world.binary, "lua", "/usr/bin/busted", "--ignore-lua", "-o", "spec/handler.lua",
			"spec/world/permissions_spec.lua", env = { ETCD_BOOTSTRAP_CACHE = w.root, TALLY = false }, timeout = 60 }).stdout
		assert.is_truthy(result:find "0 passed, 0 failed, %d+ skipped", result)
		assert.is_truthy(result:find("no moto_server (tools/python/install moto)", 1, true), result)
	end)
end)
