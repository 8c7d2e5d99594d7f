-- Command lines and environments of other tools, by declaration.
local flags = require "flags"

local SPEC = {
	["o,output-file"] = "/run/x", ["peer-port"] = 2380, debug = false, tls = true, cloud = { "aws", "gcp" }, zone = "",
	["V,verbose"] = false, { "aws", "srv" },
}

local function parse(...) return flags.parse({ ... }, SPEC) end

describe("flags.parse", function()
	local DEFAULTS = { output_file = "/run/x", peer_port = 2380, debug = false, tls = true, cloud = "aws", zone = "", verbose = false }

	it("has the defaults where nothing is given", function()
		assert.same(DEFAULTS, parse())
	end)

	local forms = {
		{ "-o", "/a" }, { "--o", "/a" }, { "-o=/a" }, { "-output-file", "/a" }, { "--output-file=/a" }, { "-o", "/b", "-o", "/a" },
		{ "-o/a" }, { "-Vo", "/a" }, { "-Vo/a" }, { "-VVo=/a" },
	}
	for _, words in ipairs(forms) do
		it("takes " .. table.concat(words, " "), function()
			assert.equal("/a", assert(flags.parse(words, SPEC)).output_file)
		end)
	end

	local values = {
		{ { "-peer-port", "1" }, "peer_port", 1 }, { { "-peer-port=-1" }, "peer_port", -1 },
		{ { "-debug" }, "debug", true }, { { "-debug=false" }, "debug", false }, { { "-tls=0" }, "tls", false },
		{ { "-debug=T" }, "debug", true }, { { "-cloud", "gcp" }, "cloud", "gcp" }, { { "-zone=" }, "zone", "" },
		{ { "-zone", "-x" }, "zone", "-x" }, { { "-zone=a=b" }, "zone", "a=b" },
		{ { "aws", "-debug" }, 1, "aws" }, { { "-debug", "srv" }, 1, "srv" }, { { "-debug", "--", "srv" }, 1, "srv" },
	}
	for _, case in ipairs(values) do
		it("reads " .. table.concat(case[1], " "), function()
			assert.equal(case[3], assert(flags.parse(case[1], SPEC))[case[2]])
		end)
	end

	local wrong = {
		{ { "-clout", "aws" }, "unknown flag -clout; did you mean -cloud?" },
		{ { "--outputfile=/a" }, "unknown flag --outputfile; did you mean --output-file?" },
		{ { "-peer-port", "x" }, "-peer-port: a whole number expected, got \"x\"" },
		{ { "-peer-port", "99999999999999999999" }, "-peer-port: a whole number expected" },
		{ { "-debug=maybe" }, "-debug: true or false expected, got \"maybe\"" },
		{ { "--cloud", "azure" }, "--cloud: aws or gcp expected, got \"azure\"" },
		{ { "-o" }, "-o: a value is missing" }, { { "-Vo" }, "-o: a value is missing" }, { { "-Vx" }, "unknown flag -x" },
		{ { "-outptu", "x" }, "unknown flag -outptu" }, { { "-verbsoe" }, "unknown flag -verbsoe; did you mean -verbose?" },
		{ { "-vebrose" }, "unknown flag -vebrose; did you mean -verbose?" },
		{ { "-h" }, "flags:\n  -V, -verbose\n" }, { { "aws", "--help" }, "flags:\n" },
		{ { "-debug", "false" }, "unexpected word \"false\"" },
		{ { "aws", "srv" }, "unexpected word \"srv\"" },
		{ { "--", "-debug" }, "unexpected word \"-debug\"" },
		{ { "---debug" }, "---debug is no flag" }, { { "-=x" }, "-=x is no flag" }, { { "-" }, "unexpected word \"-\"" },
	}
	for _, case in ipairs(wrong) do
		it("refuses " .. table.concat(case[1], " "), function()
			local o, why, code = flags.parse(case[1], SPEC)
			assert.is_nil(o)
			assert.equal("usage", code)
			assert.equal(case[2], why:sub(1, #case[2]))
		end)
	end

	it("shows every flag, its kind and its default in the error", function()
		local _, why = parse "-x"
		assert.equal([[

flags:
  -V, -verbose
  -cloud aws|gcp
  -debug
  -o, -output-file TEXT (/run/x)
  -peer-port N (2380)
  -tls (true)
  -zone TEXT]], why:sub(why:find("\n", 1, true), -1))
	end)

	it("takes no words where none are declared", function()
		local _, why = flags.parse({ "aws" }, { debug = false })
		assert.equal("unexpected word \"aws\"\nflags:\n  -debug", why)
	end)
end)

describe("flags.environment", function()
	local function environment(set)
		return flags.environment({ PORT = 2379, SCHEME = { "http", "https" }, TAG = "etcd", AUTO = false }, function(name)
			return set[name]
		end)
	end

	it("reads what is set, and what is empty is not", function()
		assert.same({ PORT = 4001, SCHEME = "https", TAG = "etcd", AUTO = true },
			environment { PORT = "4001", SCHEME = "https", TAG = "", AUTO = "true" })
	end)

	it("names the variable that is wrong", function()
		local o, why, code = environment { PORT = "many" }
		assert.is_nil(o)
		assert.equal("usage", code)
		assert.equal("PORT: a whole number expected, got \"many\"", why)
	end)

	it("reads the process's own environment", function()
		assert.equal(os.getenv "HOME", assert(flags.environment { HOME = "" }).HOME)
	end)
end)
