-- aws.request and aws.s3 against a service that throttles, breaks, lies about the time and moves away.
local fake = require "spec.aws.fake"
local http = require "core.http"
local log = require "core.log"
local scratch = require "spec.scratch"
local task = require "task"

describe("aws.request", function()
	local here, service, request, clock, restore, env, pauses
	local http_request = http.request
	setup(function()
		here = scratch.new()
		service = fake.start(here.dir)
	end)
	teardown(function()
		service:stop()
		here:remove()
	end)
	before_each(function()
		env = { HOME = here.dir, AWS_ENDPOINT_URL = service.url, AWS_REGION = "eu-west-1", AWS_ACCESS_KEY_ID = "AKENV",
			AWS_SECRET_ACCESS_KEY = "secret-of-AKENV", AWS_SESSION_TOKEN = "token-of-AKENV", AWS_EC2_METADATA_DISABLED = "true" }
		restore = fake.environment(env)
		request, clock = fake.fresh("aws.request", "aws.clock")
		pauses = {}
		local now, slept = task.now, 0
		task.now = function() return now() + slept end
		task.sleep = function(seconds) pauses[#pauses + 1], slept = seconds, slept + seconds end
	end)
	after_each(function()
		task.sleep, task.now, http.request = nil, nil, http_request -- core.task's again
		restore()
	end)

	local function answers(...) service:say { answers = { ... } } end
	local function ec2_error(status, code, message, headers)
		return { status = status, headers = headers, body = ("<Response><Errors><Error><Code>%s</Code><Message>%s</Message></Error></Errors></Response>")
			:format(code, message or "because") }
	end
	local function date(seconds) return { Date = os.date("!%a, %d %b %Y %H:%M:%S GMT", math.floor(task.time() + seconds)) } end
	local OK = { body = "<DescribeTagsResponse><tagSet><item><key>k</key></item></tagSet></DescribeTagsResponse>" }
	local SHAPE = { DescribeTagsResponse = { tagSet = { item = { { key = true } } } } }
	local function ask(o)
		o = o or {}
		o.service, o.action, o.shape = o.service or "ec2", o.action or "DescribeTags", o.shape or SHAPE
		return request(o)
	end
	local function fails(code, result, why, what)
		assert.same({ nil, code }, { result, what }, why)
		return why
	end

	it("sends a signed form and decodes what the shape names", function()
		answers(OK)
		local decoded, response = ask { params = { Filter = { { Name = "key", Value = { "k" } } } } }
		assert.same({ DescribeTagsResponse = { tagSet = { item = { { key = "k" } } } } }, decoded)
		assert.equal(200, response.status)
		local asked = service:asked()[1]
		assert.same({ "POST", "/", "Action=DescribeTags&Filter.1.Name=key&Filter.1.Value.1=k&Version=2016-11-15" }, { asked.method, asked.path, asked.body })
		assert.equal("application/x-www-form-urlencoded; charset=utf-8", asked.headers["content-type"])
		assert.equal("token-of-AKENV", asked.headers["x-amz-security-token"])
		assert.matches("^AWS4%-HMAC%-SHA256 Credential=AKENV/%d+/eu%-west%-1/ec2/aws4_request", asked.headers.authorization)
	end)

	it("sends REST: Route 53 is signed for its own region", function()
		answers { body = "<GetHostedZoneResponse><HostedZone><Name>a.</Name></HostedZone></GetHostedZoneResponse>" }
		local decoded = assert(request { service = "route53", path = "/2013-04-01/hostedzone/Z1", query = { maxitems = 1, name = "a b" },
			shape = { GetHostedZoneResponse = { HostedZone = { Name = true } } } })
		assert.equal("a.", decoded.GetHostedZoneResponse.HostedZone.Name)
		assert.equal("GET /2013-04-01/hostedzone/Z1?maxitems=1&name=a%20b", service:paths()[1])
		assert.matches("/us%-east%-1/route53/aws4_request", service:asked()[1].headers.authorization)
	end)

	it("goes through the environment's proxy, and trusts the authorities that it names", function()
		local asked
		http.request = function(o)
			asked = o
			return nil, "no route", "usage"
		end
		env.AWS_ENDPOINT_URL, env.AWS_CA_BUNDLE = nil, "/ca.pem"
		local why = fails("usage", ask {})
		assert.same({ "https://ec2.eu-west-1.amazonaws.com/", true, "/ca.pem" }, { asked.url, asked.proxy, asked.tls.ca })
		assert.equal("ec2 DescribeTags in eu-west-1: no route", why)
	end)

	it("names a proxy that does not answer, without its password", function()
		http.request = function() return nil, "connection refused", "refused" end
		env.AWS_ENDPOINT_URL = nil
		local function why()
			return (select(2, ask { deadline = task.now() + 0.2 }))
		end
		for value, shown in pairs { ["http://me:pass@word@proxy.example:3128"] = "http://proxy.example:3128", ["me:word@proxy.example:3128"] = "proxy.example:3128" } do
			env.https_proxy = value
			assert.equal(("ec2 DescribeTags in eu-west-1: connection refused (https_proxy is %s)"):format(shown), why())
		end
		env.no_proxy = "example.com, .amazonaws.com"
		assert.equal("ec2 DescribeTags in eu-west-1: connection refused", why())
	end)

	it("tries again what may pass, with pauses at random that grow", function()
		local random = math.random
		math.random = function() return 1 end -- luacheck: ignore
		answers(ec2_error(503, "RequestLimitExceeded"), ec2_error(503, "RequestLimitExceeded"), ec2_error(503, "RequestLimitExceeded"),
			{ ["do"] = "close" }, { status = 502, body = "<html>bad gateway</html>" }, { ["do"] = "cut", body = OK.body }, OK)
		local decoded = ask()
		math.random = random -- luacheck: ignore
		assert.truthy(decoded)
		assert.same({ 1.0, 2.0, 4.0, 0.4, 0.8, 1.6 }, pauses)
	end)

	local no_answers = {
		{ "a page", { body = "<html><body>log in</body></html>" } }, { "nothing", { body = "" } }, { "half", { body = OK.body:sub(1, -2) } },
		{ "another answer", { body = "<DescribeInstancesResponse/>" } }, { "binary", { body = "\1\2\3" } },
	}
	for _, case in ipairs(no_answers) do
		it(("takes %s for no answer, and tries again"):format(case[1]), function()
			answers(case[2], OK)
			assert(ask())
			answers(case[2])
			local why = fails("parse", ask { deadline = task.now() + 20 })
			assert.matches("ec2 DescribeTags in eu-west-1: the answer cannot be read", why, 1, true)
		end)
	end

	it("never takes an answer that is cut for one, wherever", function()
		for i = 0, #OK.body - 1 do
			answers({ body = OK.body:sub(1, i) }, ec2_error(400, "ValidationError"))
			fails("http", ask())
			assert.equal(2, #service:asked())
		end
	end)

	it("ends at the deadline, with the last reason", function()
		answers(ec2_error(503, "RequestLimitExceeded", "slower"))
		local why = fails("throttled", ask { deadline = task.now() + 0.2 })
		assert.matches("status 503: RequestLimitExceeded: slower", why, 1, true)
		answers { ["do"] = "hang" }
		why = fails("timeout", ask { deadline = task.now() + 0.2 })
		assert.matches("no answer within", why, 1, true)
		env.AWS_ENDPOINT_URL = service.refused
		fails("refused", ask { deadline = task.now() + 0.2 })
	end)

	it("tells what was refused before the time was over", function()
		answers(ec2_error(503, "RequestLimitExceeded", "slower"), { ["do"] = "hang" })
		local random = math.random
		math.random = function() return 0 end -- luacheck: ignore
		local _, why, code = ask { deadline = task.now() + 0.3 }
		math.random = random -- luacheck: ignore
		assert.equal("timeout", code)
		assert.matches("no answer within 0%.%d+ s; before that: ec2 DescribeTags in eu%-west%-1: status 503: RequestLimitExceeded: slower$", why)
	end)

	it("waits as long as it is asked to, within bounds", function()
		answers(ec2_error(503, "Unavailable", nil, { ["x-amz-retry-after"] = "2500" }), ec2_error(503, "Unavailable", nil, { ["x-amz-retry-after"] = "60000" }),
			ec2_error(503, "Unavailable", nil, { ["Retry-After"] = "7" }), ec2_error(503, "Unavailable", nil, { ["Retry-After"] = "3600" }), OK)
		assert(ask())
		assert.equal(2.5, pauses[1])
		assert.is_true(pauses[2] > 4.9 and pauses[2] < 5.2, pauses[2])
		assert.same({ 7, 20 }, { pauses[3], pauses[4] })
	end)

	it("takes a no for a no: names the permission that is missing and whose keys they are", function()
		answers(ec2_error(403, "UnauthorizedOperation", "You are not authorized. " .. ("x"):rep(500)), OK)
		local why = fails("denied", ask())
		assert.matches("^ec2 DescribeTags in eu%-west%-1: status 403: UnauthorizedOperation: You are not authorized%. x+%.%.%.; ", why)
		assert.matches("the credentials from the environment lack the permission ec2:DescribeTags$", why)
		assert.is_true(#why < 400)
		answers(ec2_error(403, "AccessDenied", "User: arn:x is not authorized to perform: autoscaling:DescribeTags on resource: y"))
		assert.matches("permission autoscaling:DescribeTags$", fails("denied", ask()))
		assert.equal(0, #pauses)
	end)

	for _, code in ipairs { "AuthFailure", "InvalidClientTokenId", "OptInRequired" } do
		it(("does not repeat what %s will be said to"):format(code), function()
			answers(ec2_error(401, code), OK)
			assert.matches("the credentials are from the environment$", fails("auth", ask()))
			assert.equal(1, #service:asked())
		end)
	end

	it("says nothing of permissions where somebody in between refused", function()
		answers { status = 403, body = "<html>blocked by policy\n\n\tof the house</html>" }
		local why = fails("http", ask())
		assert.equal("ec2 DescribeTags in eu-west-1: status 403: <html>blocked by policy of the house</html>", why)
	end)

	it("shows no secret, even where it is cut in two", function()
		answers { status = 400, body = ("x"):rep(190) .. "token-of-AKENV" }
		local why = fails("http", ask())
		assert.is_nil(why:find("token", 1, true))
		assert.equal(why, log.redact(why))
	end)

	it("shows what is no text so that it can be written down", function()
		local json = require "core.json"
		for _, body in ipairs { "\u{1}\u{0}\u{1b}[2J", ("x"):rep(199) .. "ü", "<Error><Code>A</Code><Message>" .. ("ü"):rep(101) .. "</Message></Error>" } do
			answers { status = 400, body = body }
			local why = fails("http", ask())
			assert.equal(why, json.decode(json.encode(why)))
			assert.is_nil(why:find "%c")
		end
	end)

	it("gives an answer that is expected, and no other's", function()
		answers(ec2_error(400, "InvalidInstanceID.NotFound"))
		local decoded, response = ask { expect = { 400 } }
		assert.is_false(decoded)
		assert.same({ 400, "InvalidInstanceID.NotFound" }, { response.status, response.error.code })
		answers { status = 400, body = "<html>" }
		fails("http", ask { expect = { 400 } })
	end)

	it("asks for a region, credentials and an endpoint first, and names what is wrong", function()
		env.AWS_ENDPOINT_URL = "nowhere"
		assert.matches("AWS_ENDPOINT_URL", fails("usage", ask()))
		env.AWS_REGION = nil
		assert.matches("^ec2 DescribeTags: the AWS region is not known", fails("denied", ask()))
		env.AWS_REGION, env.AWS_SECRET_ACCESS_KEY = "eu-west-1", nil
		request = fake.fresh "aws.request"
		assert.matches("^ec2 DescribeTags: credentials from the environment", fails("auth", ask()))
	end)

	it("asks for region and role at the same time", function()
		env.AWS_ENDPOINT_URL, env.AWS_REGION, env.AWS_ACCESS_KEY_ID, env.AWS_SECRET_ACCESS_KEY = nil, nil, nil, nil
		env.AWS_EC2_METADATA_DISABLED, env.AWS_EC2_METADATA_SERVICE_ENDPOINT, env.AWS_METADATA_SERVICE_TIMEOUT = nil, service.url, "60"
		local role = "/latest/meta-data/iam/security-credentials/"
		service:say({ method = "PUT", answers = { { body = "T" } } }, { path = role .. "r", answers = { { ["do"] = "hang" } } },
			{ path = role, answers = { { body = "r" } } }, { answers = { { ["do"] = "hang" } } })
		local asking, last = task.spawn(ask), task.now() + 10
		while #service:asked() < 4 do
			assert(task.now() < last, "one waits for the other")
			require "core.task".sleep(0.01)
		end
		asking:cancel()
		local paths = service:paths()
		assert.same({ "PUT /latest/api/token", "GET " .. role .. "r" }, { paths[1], paths[4] })
	end)

	local EC2, ROUTE53 = { service = "ec2", action = "DescribeTags" }, { service = "route53", shape = { A = true } }
	local bugs = {
		{ false, "a table of options expected" }, { {}, "service: one of autoscaling ec2 .* expected, got nothing" },
		{ { service = "ec3" }, "service: one of autoscaling ec2 .* expected, got \"ec3\"" }, { { service = "ec2" }, "action: a string such as" },
		{ EC2, "unknown option parms; did you mean params%?", parms = {} }, { EC2, "unknown option regoin; did you mean region%?", regoin = "x" },
		{ EC2, "region: the name of a region expected, got 5", region = 5 }, { EC2, "region: .*, got \"a.b/\"", region = "a.b/" },
		{ EC2, "action: .* got \"A B\"", action = "A B" }, { EC2, "params: a table by name", params = "x" }, { EC2, "params: a table by name", params = { "x" } },
		{ EC2, "params: a: a string", params = { a = print } }, { EC2, "shape: a shape", shape = "x" }, { EC2, "shape: a shape", shape = { A = 1 } },
		{ EC2, "deadline: a time", deadline = "x" }, { EC2, "path: nothing %(it is for route53 and s3%) expected, got \"/x\"", path = "/x" },
		{ EC2, "bucket: nothing %(it is for s3%)", bucket = "b" }, { ROUTE53, "bucket: nothing", bucket = "b" }, { ROUTE53, "params: nothing", params = {} },
		{ ROUTE53, "method: a string such as \"GET\"", method = "get it" }, { ROUTE53, "query: a table", query = { a = {} } }, { ROUTE53, "body: a string", body = {} },
		{ ROUTE53, "headers: a table", headers = "x" }, { ROUTE53, "headers: .* of one line", headers = { ["x-a"] = "b\r\nEvil: 1" } },
		{ ROUTE53, "headers: ", headers = { ["x-a:"] = "b" } }, { ROUTE53, "expect: a list of statuses", expect = 404 }, { ROUTE53, "expect: ", expect = { "404" } },
		{ { service = "route53" }, "shape: a shape as xml.decode takes it" }, { ROUTE53, "path: an encoded path .* got 5", path = 5 },
	}
	for i, case in ipairs(bugs) do
		it(("raises for a caller's bug, which it names, and asks nobody (%d)"):format(i), function()
			local o = case[1] and {}
			for _, from in ipairs(o and { case[1], case } or {}) do
				for name, value in pairs(from) do if type(name) == "string" then o[name] = value end end
			end
			answers(OK)
			local fine, why = pcall(function() local r = request(o) return r end)
			assert.is_false(fine)
			assert.matches("request_spec.lua:%d+: aws.request: .*" .. case[2], why)
			assert.same({}, service:asked())
		end)
	end

	it("asks no other host than the endpoint's, whatever is given as a path or a bucket", function()
		local asked = {}
		http.request = function(o)
			table.insert(asked, o.url)
			return nil, "no route", "usage"
		end
		env.AWS_ENDPOINT_URL = nil
		for _, path in ipairs { ".evil.example/x", "@evil.example/x", ":8080/x", "", "x", "?x", "/x?y", "/x#y", "/x y", "/x\n", "\\evil.example" } do
			for _, o in ipairs { { service = "s3", bucket = "my-bucket", path = path }, { service = "route53", shape = SHAPE, path = path } } do
				assert.error_matches(function() request(o) end, "aws.request: path: an encoded path that begins with / expected, got ")
			end
		end
		for _, bucket in ipairs { "evil.example/", "a@b", "a:80", "a#", "a?", "..", "", "a b", "a\n" } do
			assert.error_matches(function() request { service = "s3", bucket = bucket, path = "/x" } end, "aws.request: bucket: the name of a bucket")
		end
		assert.same({}, asked)
		for _, o in ipairs { { bucket = "my-bucket", path = "//evil.example/x" }, { bucket = "my-bucket", path = "/@evil.example/x" },
			{ bucket = "evil.example", path = "/x" } } do
			o.service = "s3"
			request(o)
		end
		assert.same({ "https://my-bucket.s3.eu-west-1.amazonaws.com//evil.example/x", "https://my-bucket.s3.eu-west-1.amazonaws.com/@evil.example/x",
			"https://s3.eu-west-1.amazonaws.com/evil.example/x" }, asked)
	end)

	describe("with a clock that is off", function()
		for _, code in ipairs { "RequestTimeTooSkewed", "RequestInTheFuture", "SignatureDoesNotMatch", "AuthFailure" } do
			it("takes the server's time once, and keeps it: " .. code, function()
				answers(ec2_error(403, code, nil, date(7200)), OK)
				assert(ask())
				local asked = service:asked()
				local hour = os.date("!%Y%m%dT%H", os.time() + 7200)
				assert.equal(hour, asked[2].headers["x-amz-date"]:sub(1, 11))
				assert.is_true(math.abs(clock.offset - 7200) < 3)
				assert(ask())
				assert.equal(hour, service:asked()[3].headers["x-amz-date"]:sub(1, 11))
				assert.same({}, pauses)
			end)
		end

		it("does so once for a request, and not where the clock was right", function()
			answers(ec2_error(403, "RequestTimeTooSkewed", nil, date(7200)), ec2_error(403, "RequestTimeTooSkewed", nil, date(-7200)), OK)
			fails("auth", ask())
			assert.equal(2, #service:asked())
			clock.offset = 0
			answers(ec2_error(403, "SignatureDoesNotMatch", nil, date(30)), OK)
			fails("auth", ask())
		end)
	end)

	describe("with credentials that ended", function()
		before_each(function()
			env.AWS_ACCESS_KEY_ID, env.AWS_SECRET_ACCESS_KEY, env.AWS_SESSION_TOKEN = nil, nil, nil
			env.AWS_CONTAINER_CREDENTIALS_FULL_URI = service.url .. "/keys"
		end)
		local function key(name) return { body = ('{"AccessKeyId":"%s","SecretAccessKey":"secret-of-%s"}'):format(name, name) } end
		local function both(answer_keys, rest)
			service:say({ path = "/keys", answers = answer_keys }, { answers = rest })
		end

		for _, code in ipairs { "ExpiredToken", "ExpiredTokenException", "RequestExpired" } do
			it("gets others once: " .. code, function()
				both({ key "AKOLD", key "AKNEW" }, { ec2_error(400, code), OK })
				assert(ask())
				local asked = service:asked()
				assert.matches("Credential=AKOLD/", asked[2].headers.authorization)
				assert.matches("Credential=AKNEW/", asked[4].headers.authorization)
				assert.same({}, pauses)
			end)
		end

		it("gives up when those have ended too, or do not come", function()
			both({ key "AKOLD", key "AKNEW" }, { ec2_error(400, "ExpiredToken") })
			assert.matches("ExpiredToken: because; the credentials are from the container's service$", fails("auth", ask()))
			assert.equal(4, #service:asked())
			request = fake.fresh "aws.request"
			both({ key "AKOLD", { status = 400 } }, { ec2_error(400, "ExpiredToken") })
			assert.matches("^ec2 DescribeTags: credentials from the container's service", fails("auth", ask()))
			request = fake.fresh "aws.request"
			both({ key "AKOLD", { ["do"] = "hang" } }, { ec2_error(400, "ExpiredToken") })
			assert.matches("^ec2 DescribeTags: no end after", fails("timeout", ask { deadline = task.now() + 0.3 }))
		end)
	end)

	describe("for S3", function()
		local s3
		before_each(function() s3 = fake.fresh "aws.s3" end)
		local function s3_error(status, code, o)
			o = o or {}
			return { status = status, headers = o.headers, body = ("<Error><Code>%s</Code><Message>m</Message>%s</Error>"):format(code, o.more or "") }
		end
		local O = { bucket = "my-bucket", key = "etcd/a b+ü" }
		local function put(o)
			o.bucket, o.key, o.body = "my-bucket", "k", "text"
			return s3.put(o)
		end

		it("gets an object and its tag", function()
			answers { body = "text\0", headers = { ETag = '"t"' } }
			assert.same({ "text\0", '"t"' }, { s3.get(O) })
			local asked = service:asked()[1]
			assert.equal("/my-bucket/etcd/a%20b%2B%C3%BC", asked.path)
			assert.truthy(asked.headers["x-amz-content-sha256"])
		end)

		it("knows a key that is missing from everything else that is", function()
			answers(s3_error(404, "NoSuchKey"))
			fails("missing", s3.get(O))
			for _, code in ipairs { "NoSuchBucket", "NoSuchAccessPoint", "NotFound", "NoSuchSomethingElse", "" } do
				answers(s3_error(404, code))
				assert.matches("status 404: " .. code, fails("http", s3.get(O)), 1, true)
			end
			for _, status in ipairs { 400, 403 } do
				answers(s3_error(status, "NoSuchKey"))
				assert.is_nil((s3.get(O)))
				assert.not_equal("missing", select(3, s3.get(O)), status)
			end
			answers { status = 404, body = "<html>not found</html>" }
			fails("http", s3.get(O))
			answers(s3_error(403, "AccessDenied"))
			assert.matches("permission s3:GetObject %(or s3:ListBucket", fails("denied", s3.get(O)))
			answers { body = "<html>log in</html>" }
			assert.matches("no ETag", fails("parse", s3.get(O)))
		end)

		it("signs again for the region that the bucket is in, once, and remembers it", function()
			for _, moved in ipairs { s3_error(301, "PermanentRedirect", { headers = { ["x-amz-bucket-region"] = "us-west-2" } }),
				s3_error(400, "AuthorizationHeaderMalformed", { more = "<Region>us-west-2</Region>" }),
				{ status = 307, headers = { ["x-amz-bucket-region"] = "us-west-2" } } } do
				s3 = fake.fresh "aws.s3"
				answers(moved, { headers = { ETag = "t" } })
				assert.equal("", (s3.get(O)))
				assert.matches("/us%-west%-2/s3/", service:asked()[2].headers.authorization)
				assert(s3.get(O))
				assert.matches("/us%-west%-2/s3/", service:asked()[3].headers.authorization)
			end
			answers(s3_error(301, "PermanentRedirect", { headers = { ["x-amz-bucket-region"] = "a-1" } }),
				s3_error(301, "PermanentRedirect", { headers = { ["x-amz-bucket-region"] = "b-1" } }))
			fails("http", fake.fresh "aws.s3".get(O))
			assert.equal(2, #service:asked())
		end)

		it("puts under a condition", function()
			answers { headers = { ETag = '"n"' } }
			assert.equal('"n"', put { if_none_match = "*" })
			assert.equal('"n"', put { if_match = '"o"' })
			local asked = service:asked()
			assert.same({ "PUT", "text", "*" }, { asked[1].method, asked[1].body, asked[1].headers["if-none-match"] })
			assert.equal('"o"', asked[2].headers["if-match"])
		end)

		it("tells a condition that is not met from everything else", function()
			for code, status in pairs { PreconditionFailed = 412, ConditionalRequestConflict = 409, NoSuchKey = 404 } do
				answers(s3_error(status, code))
				assert.matches(code, fails("conflict", put { if_match = "o" }))
			end
			answers(s3_error(404, "NoSuchBucket"))
			assert.matches("NoSuchBucket", fails("http", put {}))
			answers { status = 412, body = "<html>" }
			fails("http", put {})
			answers { body = "<html>" }
			fails("parse", put {})
		end)

		it("knows its own object when the answer to the first attempt was lost", function()
			service:say({ method = "PUT", answers = { { ["do"] = "close" }, s3_error(412, "PreconditionFailed") } },
				{ method = "GET", answers = { { body = "text", headers = { ETag = '"mine"' } }, { body = "other", headers = { ETag = '"theirs"' } } } })
			assert.equal('"mine"', put { if_none_match = "*" })
			service:say({ method = "PUT", answers = { { ["do"] = "close" }, s3_error(412, "PreconditionFailed") } },
				{ method = "GET", answers = { { body = "other", headers = { ETag = '"theirs"' } } } })
			fails("conflict", put { if_none_match = "*" })
		end)

		it("raises for a caller's bug", function()
			for words, o in pairs { ["bucket: it is needed"] = {}, ["key: it is needed"] = { bucket = "b" }, ["bucket: the name"] = { bucket = "a/b", key = "k" },
				["key: a string"] = { bucket = "b", key = "" }, ["unknown option regoin; did you mean region?"] = { bucket = "b", key = "k", regoin = "x" },
				["region: the name of"] = { bucket = "b", key = "k", region = "a.b" }, ["deadline: a time"] = { bucket = "b", key = "k", deadline = "x" } } do
				local fine, why = pcall(s3.get, o)
				assert.is_false(fine)
				assert.matches("aws.s3.get: " .. words, why, 1, true)
			end
			assert.has_error(function() s3.put(O) end)
		end)
	end)
end)
