-- aws.credentials: every source of keys, their order, and how they are renewed.
local fake = require "spec.aws.fake"
local json = require "core.json"
local log = require "core.log"
local scratch = require "spec.scratch"
local task = require "task"

local ROLE = "/latest/meta-data/iam/security-credentials/"

describe("aws.credentials", function()
	local here, service, credentials, restore, env
	setup(function()
		here = scratch.new()
		service = fake.start(here.dir)
	end)
	teardown(function()
		service:stop()
		here:remove()
	end)
	before_each(function()
		env = { HOME = here:path "home", AWS_EC2_METADATA_DISABLED = "true", AWS_ENDPOINT_URL_STS = service.url,
			AWS_REGION = "eu-west-1", PATH = os.getenv "PATH" }
		restore = fake.environment(env)
		credentials = fake.fresh "aws.credentials"
		here:write("home/.aws/config", "")
		here:write("home/.aws/credentials", "")
	end)
	after_each(function() restore() end)

	local function iso(seconds) return os.date("!%Y-%m-%dT%H:%M:%SZ", os.time() + seconds) end
	local function pair(key, secret, o)
		local t = { AccessKeyId = key, SecretAccessKey = secret or "secret-of-" .. key, Token = "token-of-" .. key, Expiration = iso(3600) }
		for k, v in pairs(o or {}) do t[k] = v end
		return json.encode(t)
	end
	local function sts_answer(action, key)
		return { body = ("<%sResponse><%sResult><Credentials><AccessKeyId>%s</AccessKeyId><SecretAccessKey>secret-of-%s</SecretAccessKey>"
			.. "<SessionToken>token-of-%s</SessionToken><Expiration>%s</Expiration></Credentials></%sResult></%sResponse>")
			:format(action, action, key, key, key, iso(3600), action, action) }
	end
	local function sts_error(status, code)
		return { status = status, body = ("<ErrorResponse><Error><Code>%s</Code><Message>because</Message></Error></ErrorResponse>"):format(code) }
	end
	local function gives(key, source)
		local keys, why = credentials.get()
		assert.truthy(keys, why)
		assert.equal(key, keys.access_key)
		assert.equal("secret-of-" .. key, keys.secret_key)
		assert.matches(source, keys.source, 1, true)
		return keys
	end
	local function fails(code, ...)
		local keys, why, what = credentials.get()
		assert.same({ nil, code }, { keys, what }, why)
		for _, word in ipairs { ... } do assert.matches(word, why, 1, true) end
		assert.is_nil(why:find("secret-of", 1, true))
	end
	local function metadata(...)
		env.AWS_EC2_METADATA_DISABLED, env.AWS_EC2_METADATA_SERVICE_ENDPOINT = nil, service.url
		service:say({ method = "PUT", answers = { { body = "T" } } }, ...)
	end
	local function page(path, ...) return { path = path, answers = { ... } } end

	describe("from the environment", function()
		it("go before all others", function()
			env.AWS_ACCESS_KEY_ID, env.AWS_SECRET_ACCESS_KEY = "AKENV", "secret-of-AKENV"
			env.AWS_WEB_IDENTITY_TOKEN_FILE, env.AWS_CONTAINER_CREDENTIALS_FULL_URI = "/none", service.url
			assert.is_nil(gives("AKENV", "the environment").token)
			assert.equal("[secret]", log.redact "secret-of-AKENV")
		end)

		it("have a token, by its old name too", function()
			env.AWS_ACCESS_KEY_ID, env.AWS_SECRET_ACCESS_KEY, env.AWS_SECURITY_TOKEN = "AKENV", "secret-of-AKENV", "old"
			assert.equal("old", gives("AKENV", "the environment").token)
			env.AWS_SESSION_TOKEN = "new"
			assert.equal("new", fake.fresh("aws.credentials").get().token)
		end)

		it("are a pair, or an error", function()
			env.AWS_ACCESS_KEY_ID = "AKENV"
			fails("auth", "AWS_ACCESS_KEY_ID is set and AWS_SECRET_ACCESS_KEY is not")
			env.AWS_ACCESS_KEY_ID, env.AWS_SECRET_ACCESS_KEY = nil, "secret-of-AKENV"
			fails("auth", "AWS_SECRET_ACCESS_KEY is set and AWS_ACCESS_KEY_ID is not")
		end)

		it("cannot bring lines of their own into a request", function()
			env.AWS_ACCESS_KEY_ID, env.AWS_SECRET_ACCESS_KEY, env.AWS_SESSION_TOKEN = "AKENV", "secret-of-AKENV", "a\nb"
			fails("auth", "the environment", "the token is there but malformed: there is a blank or the end of a line in it")
			env.AWS_SECRET_ACCESS_KEY = "secret-of-AKENV\n"
			fails("auth", "the environment", "the secret key is there but malformed: there is a blank or the end of a line in it")
			env.AWS_ACCESS_KEY_ID = ("A"):rep(129)
			fails("auth", "the access key is there but malformed")
		end)
	end)

	describe("by web identity", function()
		before_each(function()
			env.AWS_WEB_IDENTITY_TOKEN_FILE, env.AWS_ROLE_ARN = here:write("jwt", "JWT-ONE\n"), "arn:aws:iam::1:role/r"
			env.AWS_CONTAINER_CREDENTIALS_FULL_URI = service.url
		end)

		it("ask the token service, unsigned, with the token of the file", function()
			service:say(page("/", sts_answer("AssumeRoleWithWebIdentity", "AKWEB")))
			assert.equal("token-of-AKWEB", gives("AKWEB", "the web identity").token)
			local asked = service:asked()
			assert.equal("Action=AssumeRoleWithWebIdentity&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fr&RoleSessionName=etcd-bootstrap"
				.. "&Version=2011-06-15&WebIdentityToken=JWT-ONE", asked[1].body)
			assert.is_nil(asked[1].headers.authorization)
			assert.equal("[secret]", log.redact "JWT-ONE")
		end)

		it("ask in the region, by default", function()
			local http, url = require "core.http", nil
			local request = http.request
			http.request = function(o)
				url = o.url
				return nil, "no route", "denied"
			end
			env.AWS_ENDPOINT_URL_STS = nil
			credentials.get()
			http.request = request
			assert.equal("https://sts.eu-west-1.amazonaws.com/", url)
		end)

		it("read the file again when the token was too old, and ask no more where it is the same", function()
			service:say(page("/", sts_error(400, "ExpiredTokenException")))
			fails("auth", "the web identity", "ExpiredTokenException: because")
			assert.equal(1, #service:asked())
			local reads = 0
			service:say({ with = "JWT-ONE", answers = { sts_error(400, "ExpiredTokenException") } }, page("/", sts_answer("AssumeRoleWithWebIdentity", "AKWEB")))
			local fs = require "core.fs"
			local read = fs.read
			fs.read = function(path, ...)
				local text, why, code = read(path, ...)
				if path == env.AWS_WEB_IDENTITY_TOKEN_FILE then
					reads = reads + 1
					here:write("jwt", "JWT-" .. reads)
				end
				return text, why, code
			end
			local fine, why = pcall(gives, "AKWEB", "the web identity")
			fs.read = read
			assert(fine, why)
			assert.matches("WebIdentityToken=JWT%-1$", service:asked()[2].body)
			assert.equal(2, #service:asked())
		end)

		it("fail rather than be somebody else", function()
			service:say(page("/", sts_error(403, "AccessDenied")))
			fails("denied", "the web identity", "AssumeRoleWithWebIdentity", "AccessDenied: because")
			here:write("jwt", "")
			fails("auth", "jwt is empty")
			env.AWS_WEB_IDENTITY_TOKEN_FILE = here:path "none"
			fails("missing", here:path "none")
			env.AWS_ROLE_ARN = nil
			fails("auth", "AWS_ROLE_ARN is not")
		end)
	end)

	describe("by profile", function()
		local function profile(text)
			here:write("home/.aws/config", text)
		end
		before_each(function() env.AWS_PROFILE = "p" end)

		it("are its own", function()
			here:write("home/.aws/credentials", "[p]\naws_access_key_id = AKP\naws_secret_access_key = secret-of-AKP\naws_session_token = tok\n")
			assert.equal("tok", gives("AKP", 'the profile "p"').token)
		end)

		it("are a pair", function()
			profile "[profile p]\naws_access_key_id = AKP\n"
			fails("auth", 'the profile "p"', "one of")
		end)

		it("are of a role that another profile may take, and that one by another", function()
			profile("[profile p]\nrole_arn = arn:p\nsource_profile = q\nexternal_id = x\nrole_session_name = s\nduration_seconds = 900\n"
				.. "[profile q]\nrole_arn = arn:q\nsource_profile = r\n[profile r]\naws_access_key_id = AKR\naws_secret_access_key = secret-of-AKR\n")
			service:say({ with = "arn%3Aq", answers = { sts_answer("AssumeRole", "AKQ") } }, page("/", sts_answer("AssumeRole", "AKP")))
			gives("AKP", "the role arn:p")
			local asked = service:asked()
			assert.equal("Action=AssumeRole&RoleArn=arn%3Aq&RoleSessionName=etcd-bootstrap&Version=2011-06-15", asked[1].body)
			assert.matches("Credential=AKR/%d+/eu%-west%-1/sts/", asked[1].headers.authorization)
			assert.equal("Action=AssumeRole&DurationSeconds=900&ExternalId=x&RoleArn=arn%3Ap&RoleSessionName=s&Version=2011-06-15", asked[2].body)
			assert.matches("Credential=AKQ/", asked[2].headers.authorization)
			assert.equal("token-of-AKQ", asked[2].headers["x-amz-security-token"])
		end)

		it("may be the keys beside the role itself", function()
			profile "[profile p]\nrole_arn = arn:p\nsource_profile = p\naws_access_key_id = AKR\naws_secret_access_key = secret-of-AKR\n"
			service:say(page("/", sts_answer("AssumeRole", "AKP")))
			gives("AKP", "the role arn:p")
		end)

		it("name whose permission to take a role is missing", function()
			profile "[profile p]\nrole_arn = arn:p\ncredential_source = Environment\n"
			env.AWS_ACCESS_KEY_ID, env.AWS_SECRET_ACCESS_KEY = "AKENV", "secret-of-AKENV"
			local chain = require "aws.chain"
			service:say(page("/", sts_error(403, "AccessDenied")))
			local keys, why, code = chain.profile()
			assert.same({ nil, "denied" }, { keys, code })
			assert.matches("the credentials from the environment lack the permission sts:AssumeRole", why, 1, true)
		end)

		local wrong = {
			{ "[profile p]\nrole_arn = a\nsource_profile = q\n[profile q]\nrole_arn = b\nsource_profile = p\n", "leads back" },
			{ "[profile p]\nrole_arn = a\nsource_profile = q\n", 'there is no profile "q"' },
			{ "[profile p]\nrole_arn = a\nsource_profile = q\n[profile q]\nregion = x\n", '"q" has no credentials' },
			{ "[profile p]\nrole_arn = a\nsource_profile = p\n", "has no keys" },
			{ "[profile p]\nrole_arn = a\n", "needs source_profile" },
			{ "[profile p]\nrole_arn = a\nsource_profile = p\ncredential_source = Environment\n", "both set" },
			{ "[profile p]\nrole_arn = a\ncredential_source = Moon\n", "Ec2InstanceMetadata expected" },
			{ "[profile p]\nrole_arn = a\ncredential_source = EcsContainer\n", "nothing from EcsContainer" },
			{ "[profile p]\nrole_arn = a\nsource_profile = p\nmfa_serial = b\n", "mfa_serial" },
			{ "[profile p]\nsso_session = x\n", "SSO is not supported" },
			{ "[profile p]\nsso_start_url = x\n", "SSO is not supported" },
			{ "[profile q]\n", 'no profile "p"', "usage" },
		}
		for _, case in ipairs(wrong) do
			it("are refused: " .. case[2], function()
				profile(case[1])
				fails(case[3] or "auth", case[2])
			end)
		end

		it("may be by the web identity of a profile", function()
			profile("[profile p]\nrole_arn = arn:p\nweb_identity_token_file = " .. here:write("jwt", "JWT") .. "\n")
			service:say(page("/", sts_answer("AssumeRoleWithWebIdentity", "AKP")))
			gives("AKP", 'the web identity of the profile "p"')
		end)

		describe("of a program", function()
			local function program(text)
				profile(("[profile p]\ncredential_process = %s 'an argument' \"a \\\"quoted\\\" one\"\n"):format(here:write("bin/keys", text, "0755")))
			end

			it("are what it prints, run without a shell", function()
				program('#!/bin/sh\n[ "$1" = "an argument" ] && [ "$2" = "a \\"quoted\\" one" ] || exit 9\n'
					.. [[printf '{"Version":1,"AccessKeyId":"AKX","SecretAccessKey":"secret-of-AKX","SessionToken":"t","Expiration":"2099-01-01T00:00:00Z"}']])
				local keys = gives("AKX", "credential_process")
				assert.same({ "t", 4070908800 }, { keys.token, keys.expires })
			end)

			local broken = {
				{ "#!/bin/sh\necho no luck >&2; exit 3", "spawn", "status 3: no luck" },
				{ "#!/bin/sh\necho '{\"Version\":2,\"AccessKeyId\":\"secret-of\"}'", "parse", "another version" },
				{ "#!/bin/sh\necho secret-of", "parse", "no JSON object" },
				{ "#!/bin/sh\necho '{\"Version\":1,\"AccessKeyId\":\"A\"}'", "auth", "is missing" },
				{ "#!/bin/sh\necho '{\"Version\":1,\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"secret-of\",\"Expiration\":\"soon\"}'", "parse", "no time" },
			}
			for _, case in ipairs(broken) do
				it("fail by name: " .. case[3], function()
					program(case[1])
					fails(case[2], 'credential_process of the profile "p"', case[3])
				end)
			end

			it("are asked for once, whoever wants them", function()
				program(("#!/bin/sh\necho x >> %s\nsleep 0.1\n"):format(here:path "runs")
					.. [[printf '{"Version":1,"AccessKeyId":"AKX","SecretAccessKey":"secret-of-AKX"}']])
				assert(task.map({ 1, 2, 3 }, function() return credentials.get() end))
				assert.equal(2, assert(require "core.fs".stat(here:path "runs")).size)
			end)

			it("need a program that is there, and quotes that close", function()
				profile "[profile p]\ncredential_process = /nonexistent/keys secret-of\n"
				fails("missing", "/nonexistent/keys")
				profile "[profile p]\ncredential_process = keys 'secret-of\n"
				fails("usage", "a quote is not closed")
			end)
		end)
	end)

	it("split a command as a shell would", function()
		local process = require "aws.process"
		local cases = {
			["a  b\tc"] = { "a", "b", "c" }, ["'a b'c d"] = { "a bc", "d" }, ['"a \\"b\\" \\n" ""'] = { 'a "b" \\n', "" },
			["a\\ b '\\'"] = { "a b", "\\" }, ["$HOME;`x`"] = { "$HOME;`x`" }, ['"a\\\\" b'] = { "a\\", "b" }, [""] = {},
		}
		for text, words in pairs(cases) do assert.same(words, process.words(text), text) end
		for _, text in ipairs { "'a", '"a', '"a\\"' } do assert.is_nil((process.words(text))) end
	end)

	describe("of a container", function()
		before_each(function()
			env.AWS_CONTAINER_CREDENTIALS_FULL_URI = service.url .. "/keys?x=1"
			env.AWS_EC2_METADATA_DISABLED, env.AWS_EC2_METADATA_SERVICE_ENDPOINT = nil, service.url
		end)

		it("are asked for with the token in a file, read each time, or with the one given", function()
			env.AWS_CONTAINER_AUTHORIZATION_TOKEN = "Basic given"
			service:say(page("/keys?x=1", { body = pair "AKC" }))
			gives("AKC", "the container's service")
			assert.equal("Basic given", service:asked()[1].headers.authorization)
			env.AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE = here:write("token", "Bearer file\n")
			credentials = fake.fresh "aws.credentials"
			gives("AKC", "the container's service")
			assert.equal("Bearer file", service:asked()[2].headers.authorization)
		end)

		it("come from the address of ECS when the URI has no host", function()
			local http, asked = require "core.http", nil
			local request = http.request
			env.AWS_CONTAINER_CREDENTIALS_RELATIVE_URI = "/v2/credentials/x"
			http.request = function(o)
				asked = o
				return { status = 200, headers = {}, body = pair "AKC" }
			end
			gives("AKC", "the container's service")
			http.request = request
			assert.same({ "http://169.254.170.2/v2/credentials/x" }, { asked.url, asked.proxy })
		end)

		it("are at a place that is a secret itself", function()
			for _, place in ipairs { "/v2/credentials/01234567-89ab-cdef", "/keys?token=hush-hush", "" } do
				env.AWS_CONTAINER_CREDENTIALS_FULL_URI = "http://127.51.0.3:1" .. place
				credentials = fake.fresh "aws.credentials"
				local why = require "core.log".redact(select(2, credentials.get()))
				assert.truthy(why:find("http://127.51.0.3:1", 1, true), why)
				assert.is_nil(why:find("cdef", 1, true) or why:find("hush", 1, true), why)
			end
		end)

		it("are asked for again where the service fails for a moment", function()
			service:say(page("/keys", { status = 500 }, { ["do"] = "close" }, { body = pair "AKC" }))
			gives("AKC", "the container's service")
		end)

		it("fail rather than be the machine's", function()
			service:say(page("/keys", { status = 400, body = '{"code":"InvalidToken","message":"no"}' }), page("/", { body = "T" }))
			fails("auth", "the container's service", "InvalidToken: no", "status 400")
			service:say(page("/keys", { status = 404, body = "<html>" }), page("/", { body = "T" }))
			fails("auth", "the container's service", "status 404")
			assert.same({ "GET /keys?x=1" }, service:paths())
			env.AWS_CONTAINER_AUTHORIZATION_TOKEN = "a\r\nb"
			fails("usage", "more than one line")
			env.AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE = here:path "none"
			fails("missing", here:path "none")
		end)

		it("go in clear text over no network", function()
			local container = require "aws.container"
			for _, url in ipairs { "http://127.9.9.9:1/a", "http://[::1]/a", "http://localhost/a", "http://169.254.170.2/a", "http://169.254.170.23/a",
				"http://[fd00:ec2::23]/a", "https://example.com/a" } do
				assert.is_true(container.allowed(url), url)
			end
			for _, url in ipairs { "http://169.254.169.254/a", "http://example.com/a", "http://localhost.evil/a", "http://127.0.0.1@evil/a", "ftp://127.0.0.1/",
				"http://[fd00:ec2::24]/a", "" } do
				assert.is_nil((container.allowed(url)), url)
			end
		end)
	end)

	describe("of the instance role", function()
		it("are asked for by the role's name", function()
			metadata(page(ROLE .. "etcd-role", { body = pair "AKI" }), page(ROLE, { body = "etcd-role" }))
			assert.equal("token-of-AKI", gives("AKI", "the instance role etcd-role").token)
			assert.same({ "PUT /latest/api/token", "GET " .. ROLE, "GET " .. ROLE .. "etcd-role" }, service:paths())
		end)

		it("take a step less where the name is known", function()
			env.AWS_EC2_INSTANCE_PROFILE_NAME = "etcd-role"
			metadata(page(ROLE .. "etcd-role", { body = pair "AKI" }))
			gives("AKI", "the instance role etcd-role")
			assert.equal(2, #service:asked())
		end)

		it("are none where AWS says so in an answer of status 200", function()
			metadata(page(ROLE .. "r", { body = '{"Code":"AssumeRoleUnauthorizedAccess","Message":"the trust"}' }), page(ROLE, { body = "r" }))
			fails("auth", "the instance role r", "AssumeRoleUnauthorizedAccess: the trust")
		end)

		it("are missed with every source that was looked at", function()
			metadata()
			fails("missing", "no AWS credentials", "AWS_ACCESS_KEY_ID", 'profile "default"', "container", "no instance profile is attached")
			env.AWS_EC2_METADATA_DISABLED = "true"
			fails("denied", "AWS_EC2_METADATA_DISABLED")
		end)

		for what, body in pairs { ["a page"] = "<html>", ["cut"] = '{"Code":"Success","AccessKeyId":"A","SecretAccessKey":"secret-of' } do
			it("are not believed when they are " .. what, function()
				metadata(page(ROLE .. "r", { body = body }), page(ROLE, { body = "r" }))
				fails("parse", "the instance role r")
			end)
		end
	end)

	describe("in time", function()
		local clock
		before_each(function()
			clock = require "aws.clock"
			env.AWS_EC2_INSTANCE_PROFILE_NAME = "r"
		end)
		-- As if so many seconds had passed.
		local function later(seconds, f)
			local core = require "core.task"
			local now, time = core.now, core.time
			core.now, core.time = function() return now() + seconds end, function() return time() + seconds end
			local fine, why = pcall(f)
			core.now, core.time = now, time
			assert(fine, why)
		end
		local function count()
			local n = 0
			for _, path in ipairs(service:paths()) do n = n + (path:find(ROLE, 1, true) and 1 or 0) end
			return n
		end

		it("are fetched once, whoever asks", function()
			metadata(page(ROLE, { body = pair "AKI" }))
			local all = assert(task.map({ 1, 2, 3 }, function() return credentials.get() end))
			assert.same({ "AKI", "AKI", "AKI" }, { all[1].access_key, all[2].access_key, all[3].access_key })
			gives("AKI", "r")
			assert.equal(1, count())
		end)

		it("are renewed ten minutes before their end", function()
			metadata(page(ROLE, { body = pair "AKOLD" }, { body = pair "AKNEW" }))
			gives("AKOLD", "r")
			later(2900, function() gives("AKOLD", "r") end)
			later(3100, function() gives("AKNEW", "r") end)
		end)

		it("are used on where no new ones come, with a word, and asked for again a minute later", function()
			metadata(page(ROLE, { body = pair "AKOLD" }, { status = 500 }, { status = 500 }, { body = pair "AKNEW" }))
			gives("AKOLD", "r")
			later(3100, function()
				local lines = scratch.logged(function() gives("AKOLD", "r") end)
				assert.matches("^warn: .*status 500; the credentials from the instance role r are used on$", lines[1])
				gives("AKOLD", "r")
				assert.equal(2, count())
			end)
			later(4000, function() -- ended, and still better than none
				assert.equal(1, #scratch.logged(function() gives("AKOLD", "r") end))
			end)
			later(4100, function()
				scratch.logged(function() gives("AKNEW", "r") end)
			end)
		end)

		it("are used when they have ended by this machine's clock, and not asked for every time", function()
			metadata(page(ROLE, { body = pair("AKOLD", nil, { Expiration = iso(-60) }) }, { body = pair "AKNEW" }))
			local lines = scratch.logged(function() gives("AKOLD", "r") end)
			assert.matches("have ended", lines[1])
			later(290, function() gives("AKOLD", "r") end)
			later(610, function() gives("AKNEW", "r") end)
		end)

		it("end by the clock of AWS", function()
			metadata(page(ROLE, { body = pair "AKOLD" }, { body = pair "AKNEW" }))
			clock.offset = 3500
			gives("AKOLD", "r")
			later(61, function() gives("AKNEW", "r") end)
		end)

		it("are renewed at once when AWS calls them too old, and not kept if that fails", function()
			metadata(page(ROLE, { body = pair "AKOLD" }, { body = pair "AKNEW" }, { status = 500 }))
			local old = gives("AKOLD", "r")
			assert.equal("AKNEW", credentials.get(old).access_key)
			assert.equal("AKNEW", credentials.get(old).access_key) -- another was late to notice
			assert.equal(2, count())
			local keys, _, code = credentials.get(credentials.get())
			assert.same({ nil, "http" }, { keys, code })
		end)
	end)
end)
