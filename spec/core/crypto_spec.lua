-- core.crypto: published figures, encodings that have one spelling only, and what certificates say.
local crypto = require "core.crypto"
local fs = require "core.fs"
local listener = dofile "spec/core/listener.lua"

describe("digests", function()
	local sha1 = {
		[""] = "da39a3ee5e6b4b0d3255bfef95601890afd80709",
		abc = "a9993e364706816aba3e25717850c26c9cd0d89d",
	}
	local sha256 = {
		[""] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
		abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
	}
	for text, digest in pairs(sha1) do
		it(("sha1 of %q"):format(text), function()
			assert.equal(digest, crypto.hex(crypto.sha1(text)))
		end)
	end
	for text, digest in pairs(sha256) do
		it(("sha256 of %q"):format(text), function()
			assert.equal(digest, crypto.hex(crypto.sha256(text)))
		end)
	end

	it("take NUL as any other byte", function()
		assert.not_equal(crypto.sha256 "a", crypto.sha256 "a\0")
	end)
end)

describe("crypto.hmac", function()
	local cases = { -- RFC 4231, the first two and the sixth; and nothing at all
		{ ("\x0b"):rep(20), "Hi There",
			"b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7" },
		{ "Jefe", "what do ya want for nothing?",
			"5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843" },
		{ ("\xaa"):rep(131), "Test Using Larger Than Block-Size Key - Hash Key First",
			"60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54" },
		{ "", "", "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad" },
	}
	for i, case in ipairs(cases) do
		it("figure " .. i, function()
			assert.equal(case[3], crypto.hex(crypto.hmac(case[1], case[2])))
		end)
	end
end)

describe("base64", function()
	local figures = { [""] = "", f = "Zg==", fo = "Zm8=", foo = "Zm9v", foob = "Zm9vYg==",
		fooba = "Zm9vYmE=", foobar = "Zm9vYmFy", ["\0\xff\xfe\xfb"] = "AP/++w==" }
	for text, encoded in pairs(figures) do
		it(("%q is %q"):format(text, encoded), function()
			assert.equal(encoded, crypto.base64(text))
			assert.equal(text, crypto.unbase64(encoded))
		end)
	end

	it("refuses every other spelling", function()
		for _, text in ipairs { "Z", "Zg", "Zg=", "Zg===", "====", "Zh==", "Zm9=", "Zg==Zg==",
			"Z=g=", "Zm9v\n", "Zm9\n", "Zm9-", "Zm9_", "Zm\0v", " Zm9v" } do
			local value, message, code = crypto.unbase64(text)
			assert.is_nil(value)
			assert.equal("parse", code)
			assert.not_matches(text, message, 1, true)
		end
	end)
end)

describe("crypto.random", function()
	it("gives as many bytes as asked for, and others each time", function()
		assert.equal("", crypto.random(0))
		assert.equal(70000, #crypto.random(70000))
		assert.not_equal(crypto.random(16), crypto.random(16))
		assert.has_error(function() crypto.random(-1) end)
		assert.has_error(function() crypto.random(1 << 40) end)
	end)
end)

describe("certificates", function()
	local directory

	setup(function()
		directory = listener.directory()
		listener.certificates(directory, "ours", { node = "IP:127.44.7.2,IP:fd77::1,DNS:node.example,email:a@b", other = "DNS:x" })
	end)
	teardown(function() listener.forget(directory) end)

	local function file(name) return assert(fs.read(directory .. "/" .. name)) end

	it("say whose they are, for which names, and how long", function()
		local now, one = os.time(), assert(crypto.certificate(file "node.crt"))
		assert.same({ "CN = node", { "127.44.7.2", "fd77::1", "node.example" } }, { one.subject, one.names })
		assert.is_true(one.not_before <= now and one.not_before > now - 3600)
		assert.equal(2 * 86400, one.not_after - one.not_before)
		assert.same({}, assert(crypto.certificate(file "ours.crt")).names)
		assert.equal("CN = node", assert(crypto.certificate("words\n" .. file "node.crt" .. file "other.crt")).subject)
	end)

	it("that are none are told", function()
		for _, text in ipairs { "", "x", file "node.key", (file "node.crt":gsub("M", "N")), file "node.crt":sub(1, 200) } do
			local one, message, code = crypto.certificate(text)
			assert.same({ nil, "parse" }, { one, code })
			assert.matches("^no certificate in PEM %(.+%)$", message)
		end
	end)

	it("match their key alone", function()
		assert.is_true(crypto.matches(file "node.crt", file "node.key"))
		assert.is_false(crypto.matches(file "node.crt", file "other.key"))
		local same, message, code = crypto.matches(file "node.crt", file "other.crt")
		assert.same({ nil, "parse" }, { same, code })
		assert.matches("^no private key without a password in PEM %(.+%)$", message)
		assert.matches("^no certificate in PEM", select(2, crypto.matches(file "node.key", file "node.key")))
	end)

	it("do not ask for the password of a key on the terminal", function()
		local command = "cd %s && openssl pkey -in node.key -aes256 -passout pass:word1 -out locked.key"
		assert(os.execute(command:format(directory)))
		local same, message = crypto.matches(file "node.crt", file "locked.key")
		assert.is_nil(same)
		assert.matches("without a password", message)
	end)
end)
