-- core.log: no secret gets out, and no text from outside looks like ours.
local json = require "core.json"
local log = require "core.log"

-- What a program that has `log` says on stderr, and nothing that it says on stdout.
local function said(program)
	local name = os.tmpname()
	local file = assert(io.open(name, "w"))
	file:write("local log = require 'core.log'\n", program)
	file:close()
	local pipe = assert(io.popen(("exe=$(readlink /proc/$PPID/exe); "
		.. "\"$exe\" lua '%s' 2>&1 >/dev/null"):format(name)))
	local text = pipe:read "a"
	pipe:close()
	os.remove(name)
	return text
end

describe("log lines", function()
	local every = "log.debug 'd' log.info 'i' log.warn 'w' log.error 'e'"

	it("carry the program's name and the level", function()
		assert.equal("etcd-bootstrap: info: i\netcd-bootstrap: warn: w\netcd-bootstrap: error: e\n",
			said(every))
	end)

	for i, level in ipairs { "debug", "info", "warn", "error" } do
		it("begin at level " .. level, function()
			local text = said(("log.setup { level = %q } %s"):format(level, every))
			assert.equal(5 - i, select(2, text:gsub("\n", "")))
			assert.matches("^etcd%-bootstrap: " .. level .. ": ", text)
		end)
	end

	it("carry priorities for the journal", function()
		assert.equal("<7>d\n<6>i\n<4>w\n<3>e\n",
			said("log.setup { level = 'debug', format = 'journald' } " .. every))
	end)

	it("are objects with sorted keys in JSON", function()
		local line = said [[log.setup { format = "json" }
			log.warn('a "b" \\ \27[31m\n<3>c\xff é')]]
		assert.matches('^{"level":"warn","text":.*,"time":%d+%.%d%d%d}\n$', line)
		assert.equal('a "b" \\ \\x1b[31m\n<3>c\\xff é', assert(json.decode(line)).text)
	end)

	it("cannot be forged", function()
		assert.equal("etcd-bootstrap: error: a\netcd-bootstrap: error:   etcd-bootstrap: info: b\n",
			said [[log.error "a\netcd-bootstrap: info: b\n"]])
		assert.equal("<6>a\n<6>  <0>b\n<6>  \n<6>  c\n",
			said [[log.setup { format = "journald" } log.info "a\n<0>b\n\nc\n\n"]])
	end)

	it("cannot steer a terminal", function()
		local text = said [[
			log.info "\27[31m\r\t\8\0\127 \u{85}\u{9b}1m \u{202e} \u{2028} \x9b \xff"]]
		assert.equal("etcd-bootstrap: info: \\x1b[31m\\x0d\\x09\\x08\\x00\\x7f \\xc2\\x85\\xc2\\x9b1m "
			.. "\\xe2\\x80\\xae \\xe2\\x80\\xa8 \\x9b \\xff\n", text)
	end)

	it("keep the letters of the world", function()
		assert.equal("etcd-bootstrap: info: é € 😀 \\ \"\n", said [[log.info "é € 😀 \\ \""]])
		assert.equal("etcd-bootstrap: info: \n", said [[log.info ""]])
	end)

	it("show no secret", function()
		local text = said [[log.secret "hun\nter2" log.setup { format = "json" }
			log.error "a hun\nter2 b http://u:p@h"]]
		assert.equal("a [secret] b http://[secret]@h", assert(json.decode(text)).text)
	end)
end)

describe("log.setup", function()
	it("raises on what it does not know, and changes nothing then", function()
		assert.error_matches(function() log.setup { level = "loud" } end, 'unknown level "loud"')
		assert.error_matches(function() log.setup { format = "xml" } end, 'unknown format "xml"')
		assert.error_matches(function() log.setup { level = true } end, "unknown level")
		assert.matches("info: still", said [[
			pcall(log.setup, { level = "error", format = "xml" }) log.info "still"]])
	end)

	it("leaves alone what is not named", function()
		assert.equal("", said [[log.setup { level = "error" } log.setup { format = "text" }
			log.warn "w"]])
	end)
end)

describe("log.redact", function()
	it("hides what log.secret was told", function()
		log.secret "correct horse"
		log.secret "horse battery"
		log.secret "horse"
		log.secret "  from-a-file\n"
		log.secret "nul\0byte"
		log.secret(123456789)
		for text, redacted in pairs {
			["<correct horse>"] = "<[secret]>",
			["correct horse battery!"] = "[secret]!",
			["horsehorse"] = "[secret]",
			["hors Horse"] = "hors Horse",
			["x=from-a-file."] = "x=[secret].",
			["nul\0byte"] = "[secret]",
			["a\0b"] = "a\0b",
			["n123456789n"] = "n[secret]n",
			[""] = "",
		} do
			assert.equal(redacted, log.redact(text))
		end
	end)

	it("ignores values that are too short", function()
		log.secret "xyz"
		log.secret "\n"
		log.secret ""
		assert.equal("xyz\n", log.redact "xyz\n")
	end)

	local urls = {
		{ "http://u:p@h:1/x", "http://[secret]@h:1/x" },
		{ "get 'https://u@h', http://a:b@c", "get 'https://[secret]@h', http://[secret]@c" },
		{ "//u:p@ss@h", "//[secret]@h" },
		{ "//u:p/w@h", "//[secret]@h" },
		{ "//u:1/w2@h", "//u:1/w2@h" },
		{ "http://h:1/a@b", "http://h:1/a@b" },
		{ "http://[::1]:2379/@", "http://[::1]:2379/@" },
		{ "http://h me@example.com", "http://h me@example.com" },
		{ "// user@host", "// user@host" },
	}
	for _, case in ipairs(urls) do
		it("shows " .. case[2], function()
			assert.equal(case[2], log.redact(case[1]))
		end)
	end

	local headers = {
		{ "Authorization: Bearer abc\nHost: h", "Authorization: [secret]\nHost: h" },
		{ "proxy-AUTHORIZATION:abc", "proxy-AUTHORIZATION:[secret]" },
		{ [[{"Authorization":"Bearer a\"b","Host":"h"}]],
			[[{"Authorization":"[secret]","Host":"h"}]] },
		{ "authorization = 'abc', x", "authorization = '[secret]', x" },
		{ "Authorization:", "Authorization:" },
		{ "Authorization", "Authorization" },
		{ "authorization failed", "authorization failed" },
	}
	for _, case in ipairs(headers) do
		it("shows " .. case[2], function()
			assert.equal(case[2], log.redact(case[1]))
		end)
	end
end)
