-- aws.profiles and aws.settings: the shared files, and what is said in them or in the environment.
local fake = require "spec.aws.fake"
local log = require "core.log"
local scratch = require "spec.scratch"

describe("aws.profiles", function()
	local here, profiles, settings, restore, env
	before_each(function()
		here, env = scratch.new(), {}
		env.HOME = here.dir
		restore = fake.environment(env)
		profiles, settings = fake.fresh("aws.profiles", "aws.settings")
	end)
	after_each(function()
		restore()
		here:remove()
	end)

	it("parses sections, comments, blanks, and keys below a key", function()
		assert.same({
			default = { region = "eu-west-1", empty = "" },
			["profile a b"] = { role_arn = "arn:aws:iam::1:role/x=y", s3 = { addressing = "path" }, more = "one\ntwo" },
		}, profiles.parse("\xef\xbb\xbf# a comment\r\n[default]\r\nRegion = eu-west-1   # here\r\nempty =\n\n; another\n"
			.. "[ profile a b ] ; named\nrole_arn=arn:aws:iam::1:role/x=y\ns3 =\n  addressing = path\nmore = one\n\ttwo\n", "x"))
	end)

	for what, text in pairs { ["a key without a section"] = "\na = b", ["a line that is neither"] = "[a]\nAKIASECRET",
		["a section without an end"] = "[a]\n[b" } do
		it("names file and line of " .. what .. ", and shows nothing of it", function()
			local found, why, code = profiles.parse(text, "/x/config")
			assert.same({ nil, "/x/config:2: [SECTION] or KEY = VALUE expected", "parse" }, { found, why, code })
		end)
	end

	it("merges both files, the keys of credentials first, each profile by its name", function()
		here:write(".aws/config", "[default]\nregion = a\n[profile default]\nregion = b\n[profile p]\nregion = c\naws_access_key_id = OLD\n"
			.. "[x]\nregion = d\n[services s]\nec2 =\n  endpoint_url = http://e\n")
		here:write(".aws/credentials", "[p]\naws_access_key_id = NEW\naws_secret_access_key = hushhush\n[q]\naws_access_key_id = Q\n")
		assert.same({
			profiles = { default = { region = "b" }, q = { aws_access_key_id = "Q" },
				p = { region = "c", aws_access_key_id = "NEW", aws_secret_access_key = "hushhush" } },
			services = { s = { ec2 = { endpoint_url = "http://e" } } },
		}, profiles.read())
		assert.equal("[secret]", log.redact "hushhush")
	end)

	it("reads the files that the environment names, where there are any", function()
		env.AWS_CONFIG_FILE, env.AWS_SHARED_CREDENTIALS_FILE = here:write("c", "[default]\nregion = a"), here:path "none"
		assert.same({ profiles = { default = { region = "a" } }, services = {} }, profiles.read())
		env.AWS_CONFIG_FILE = here.dir
		assert.is_nil((profiles.read()))
	end)

	it("wants a profile to be there that somebody named", function()
		assert.same({}, (profiles.current()))
		env.AWS_PROFILE = "nobody"
		local found, why, code = profiles.current()
		assert.same({ nil, "usage" }, { found, code })
		assert.matches('no profile "nobody" in ' .. here.dir .. "/.aws/config", why, 1, true)
	end)

	describe("settings", function()
		it("come from the environment, else from the profile; what is empty says nothing", function()
			here:write(".aws/config", "[default]\nca_bundle = /d\n[profile p]\nca_bundle = /p\nuse_fips_endpoint = True\n")
			assert.same({ "/d", 'ca_bundle of the profile "default"' }, { settings.text "AWS_CA_BUNDLE" })
			env.AWS_PROFILE = "p"
			assert.equal("/p", (settings.text "AWS_CA_BUNDLE"))
			env.AWS_CA_BUNDLE = ""
			assert.equal("/p", (settings.text "AWS_CA_BUNDLE"))
			env.AWS_CA_BUNDLE = "/e"
			assert.same({ "/e", "AWS_CA_BUNDLE" }, { settings.text "AWS_CA_BUNDLE" })
			assert.is_true(settings.flag "AWS_USE_FIPS_ENDPOINT")
			assert.is_false(settings.flag "AWS_USE_DUALSTACK_ENDPOINT")
		end)

		it("are refused by name when they are no yes or no, or no number", function()
			env.AWS_USE_FIPS_ENDPOINT, env.AWS_METADATA_SERVICE_TIMEOUT = "yes", "soon"
			local cases = { { settings.flag "AWS_USE_FIPS_ENDPOINT" }, { settings.number("AWS_METADATA_SERVICE_TIMEOUT", 1) } }
			for i, name in ipairs { "AWS_USE_FIPS_ENDPOINT: true or false", "AWS_METADATA_SERVICE_TIMEOUT: a number" } do
				assert.same({ nil, "usage" }, { cases[i][1], cases[i][3] })
				assert.matches(name, cases[i][2], 1, true)
			end
			assert.equal(3, settings.number("AWS_METADATA_SERVICE_NUM_ATTEMPTS", 3))
		end)
	end)
end)
