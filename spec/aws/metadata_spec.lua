-- aws.metadata against a metadata service that misbehaves in each of the known ways.
local fake = require "spec.aws.fake"
local json = require "core.json"
local log = require "core.log"
local scratch = require "spec.scratch"
local task = require "task"

describe("aws.metadata", function()
	local here, service, metadata, restore, env
	setup(function()
		here = scratch.new()
		service = fake.start(here.dir)
	end)
	teardown(function()
		service:stop()
		here:remove()
	end)
	before_each(function()
		env = { HOME = here.dir, AWS_EC2_METADATA_SERVICE_ENDPOINT = service.url .. "/", AWS_METADATA_SERVICE_TIMEOUT = "0.2" }
		restore = fake.environment(env)
		metadata = fake.fresh "aws.metadata"
	end)
	after_each(function() restore() end)

	local TOKEN, ID, DOCUMENT = "/latest/api/token", "/latest/meta-data/instance-id", "/latest/dynamic/instance-identity/document"
	local function token(...) return { method = "PUT", path = TOKEN, answers = { ... } } end
	local function page(path, ...) return { method = "GET", path = path, answers = { ... } } end
	-- Only for who shows the token.
	local function guarded(path, held, body)
		return { method = "GET", path = path, with = '"x-aws-ec2-metadata-token": "' .. held .. '"', answers = { { body = body } } }
	end
	local REFUSED = { method = "GET", answers = { { status = 401 } } }

	local function get(path) return metadata.get(path) end

	local function puts()
		local n = 0
		for _, path in ipairs(service:paths()) do n = n + (path:find "^PUT" and 1 or 0) end
		return n
	end

	local function fails(path, code, ...)
		local text, why, what = metadata.get(path)
		assert.same({ nil, code }, { text, what }, why)
		for _, word in ipairs { ... } do assert.matches(word, why, 1, true) end
	end

	it("asks for a token and shows it", function()
		service:say(token { body = "TOKEN==" }, guarded(ID, "TOKEN==", "i-1"), REFUSED)
		assert.equal("i-1", metadata.get(ID))
		local asked = service:asked()
		assert.same({ "PUT " .. TOKEN, "GET " .. ID }, service:paths())
		assert.equal("21600", asked[1].headers["x-aws-ec2-metadata-token-ttl-seconds"])
		assert.equal("[secret]", log.redact "TOKEN==")
	end)

	it("asks nothing twice, whoever asks and whenever", function()
		service:say(token { body = "TOKEN==" }, guarded(ID, "TOKEN==", "i-1"), guarded("/b", "TOKEN==", "b"), REFUSED)
		local paths = { ID, ID, "/b", ID, "/b" }
		assert.same({ "i-1", "i-1", "b", "i-1", "b" }, assert(task.map(paths, get)))
		assert.same({ "i-1", "i-1", "b", "i-1", "b" }, assert(task.map(paths, get)))
		local asked = service:paths()
		table.sort(asked)
		assert.same({ "GET /b", "GET " .. ID, "PUT " .. TOKEN }, asked)
		assert.equal("b", metadata.get("/b", { fresh = true }))
		assert.equal(4, #service:asked())
	end)

	it("outlives the cancellation of the one that asks for all", function()
		service:say(token({ ["do"] = "hang" }, { body = "TOKEN==" }), guarded(ID, "TOKEN==", "i-1"), REFUSED)
		env.AWS_METADATA_SERVICE_TIMEOUT = "5"
		local first, second = task.spawn(metadata.get, ID), task.spawn(metadata.get, ID)
		while #service:asked() == 0 do task.sleep(0.01) end
		first:cancel()
		assert.equal("i-1", second:join())
	end)

	for _, status in ipairs { 403, 404, 405 } do
		it(("falls back to the first version when there are no tokens (%d), and keeps to it"):format(status), function()
			service:say(token { status = status }, page(ID, { body = "i-1" }), page("/b", { body = "b" }))
			assert.equal("i-1", metadata.get(ID))
			assert.equal("b", metadata.get "/b")
			assert.same({ "PUT " .. TOKEN, "GET " .. ID, "GET /b" }, service:paths())
			assert.is_nil(service:asked()[2].headers["x-aws-ec2-metadata-token"])
		end)
	end

	it("falls back when the answer with the token is lost on its way", function()
		service:say(token { ["do"] = "hang" }, page(ID, { body = "i-1" }))
		assert.equal("i-1", metadata.get(ID))
	end)

	it("waits for a token that is lost once only, however often it may ask", function()
		env.AWS_METADATA_SERVICE_NUM_ATTEMPTS = "3"
		service:say(token { ["do"] = "hang" }, page(ID, { body = "i-1" }))
		assert.equal("i-1", metadata.get(ID))
		assert.same({ "PUT " .. TOKEN, "GET " .. ID }, service:paths())
	end)

	it("speaks of the hop limit when the token was lost and is needed, and tries again next time", function()
		service:say(token({ ["do"] = "hang" }, { body = "T" }), guarded(ID, "T", "i-1"), REFUSED)
		fails(ID, "auth", "metadata " .. ID, "hop limit", "raise it to 2")
		assert.equal("i-1", metadata.get(ID))
	end)

	it("does not fall back where that is forbidden", function()
		env.AWS_EC2_METADATA_V1_DISABLED = "true"
		service:say(token({ ["do"] = "hang" }, { status = 404 }), page(ID, { body = "i-1" }))
		fails(ID, "timeout", "AWS_EC2_METADATA_V1_DISABLED", "hop limit")
		fails(ID, "denied", "AWS_EC2_METADATA_V1_DISABLED", "status 404")
		assert.same({ "PUT " .. TOKEN, "PUT " .. TOKEN }, service:paths())
	end)

	it("does not fall back when the question for a token was wrong, or when nobody is there", function()
		service:say(token { status = 400 }, page(ID, { body = "i-1" }))
		fails(ID, "http", "status 400")
		env.AWS_EC2_METADATA_SERVICE_ENDPOINT = service.refused
		fails(ID, "refused", service.refused .. "/latest/api/token", "only a machine on EC2 has this service")
	end)

	it("takes no page for a token", function()
		service:say(token { body = "<html>log in</html>" }, page(ID, { body = "i-1" }))
		fails(ID, "parse")
	end)

	it("does not throw away a new token for one who showed the old", function()
		service:say(token({ body = "OLD" }, { body = "NEW" }), guarded("/", "NEW", "new"),
			page("/slow", { status = 401, after = 5 }), REFUSED)
		assert.same({ "new", "new" }, assert(task.map({ "/a", "/slow" }, get)))
		assert.equal(2, puts())
	end)

	it("gets a new token when the old one has ended, once, for all who noticed", function()
		service:say(token({ body = "OLD" }, { body = "NEW" }), guarded("/", "NEW", "new"), REFUSED)
		assert.same({ "new", "new", "new" }, assert(task.map({ "/a", "/b", "/c" }, get)))
		assert.equal(2, puts())
		service:say(token { body = "WORSE" }, REFUSED)
		fails("/d", "auth", "401")
		assert.same({ "GET /d", "PUT " .. TOKEN, "GET /d" }, service:paths())
	end)

	it("tells what is missing from what is forbidden and from what broke", function()
		service:say(token { body = "T" }, page("/denied", { status = 403 }), page("/many", { status = 429 }), page("/broken", { status = 500 }))
		fails("/none", "missing")
		fails("/denied", "denied", "403", "disabled", "--http-endpoint enabled")
		fails("/many", "throttled")
		fails("/broken", "http", "500")
	end)

	it("asks as often as it is told to", function()
		env.AWS_METADATA_SERVICE_NUM_ATTEMPTS = "3"
		service:say(token({ status = 503 }, { ["do"] = "close" }, { body = "T" }), page(ID, { status = 500 }, { body = "i-1" }))
		assert.equal("i-1", metadata.get(ID))
		assert.equal(5, #service:asked())
	end)

	it("says nothing where it is switched off, or told wrong", function()
		service:say(token { body = "T" })
		env.AWS_EC2_METADATA_DISABLED = "TRUE"
		fails(ID, "denied", "AWS_EC2_METADATA_DISABLED")
		env.AWS_EC2_METADATA_DISABLED, env.AWS_METADATA_SERVICE_TIMEOUT = nil, "never"
		fails(ID, "usage", "AWS_METADATA_SERVICE_TIMEOUT")
		env.AWS_EC2_METADATA_SERVICE_ENDPOINT, env.AWS_METADATA_SERVICE_TIMEOUT = nil, nil
		env.AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE = "IPv5"
		fails(ID, "usage", "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "IPv5")
		env.AWS_PROFILE = "nobody"
		assert.matches('^AWS_PROFILE: no profile "nobody"', (select(2, metadata.get(ID))))
		assert.same({}, service:asked())
	end)

	it("goes to the addresses of the link alone, and past every proxy", function()
		local http, asked = require "core.http", {}
		local request = http.request
		http.request = function(o)
			asked[#asked + 1] = o
			return nil, "no connection", "unreachable"
		end
		env.AWS_EC2_METADATA_SERVICE_ENDPOINT = nil
		metadata.get(ID)
		env.AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE = "ipv6"
		metadata.get(ID)
		http.request = request
		assert.same({ "http://169.254.169.254" .. TOKEN, "http://[fd00:ec2::254]" .. TOKEN }, { asked[1].url, asked[2].url })
		assert.is_nil(asked[1].proxy)
	end)

	describe("the identity document", function()
		local WHOLE = { instanceId = "i-1", region = "eu-west-1", availabilityZone = "eu-west-1a", privateIp = "10.0.0.1", accountId = "1" }

		it("says who this machine is", function()
			service:say(token { body = "T" }, page(DOCUMENT, { body = json.encode(WHOLE) }))
			assert.same({ instance_id = "i-1", region = "eu-west-1", zone = "eu-west-1a", private_ip = "10.0.0.1", account = "1" },
				metadata.document())
		end)

		it("may have no address of the fourth version", function()
			service:say(token { body = "T" }, page(DOCUMENT, { body = (json.encode(WHOLE):gsub('"10.0.0.1"', "null")) }))
			assert.same({ instance_id = "i-1", region = "eu-west-1", zone = "eu-west-1a", account = "1" }, metadata.document())
		end)

		for what, body in pairs { ["a page"] = "<html>", ["cut"] = '{"instanceId":"i-1"', ["without an id"] = '{"region":"x"}' } do
			it("is unknown when it is " .. what, function()
				service:say(token { body = "T" }, page(DOCUMENT, { body = body }))
				local found, why, code = metadata.document()
				assert.same({ nil, "parse" }, { found, code })
				assert.matches(DOCUMENT, why, 1, true)
			end)
		end
	end)
end)
