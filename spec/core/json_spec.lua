-- core.json: RFC 8259 exactly, ids that keep every digit, and one way to write a value.
local json = require "core.json"

describe("json.decode", function()
	local values = {
		{ "0", 0 },
		{ "-0", 0 },
		{ " 2379 ", 2379 },
		{ "9223372036854775807", math.maxinteger },
		{ "-9223372036854775808", math.mininteger },
		{ "9223372036854775808", "9223372036854775808" },
		{ "-9223372036854775809", "-9223372036854775809" },
		{ "18446744073709551615", "18446744073709551615" },
		{ "1.0", 1.0 },
		{ "1e3", 1000.0 },
		{ "-2.5E-1", -0.25 },
		{ "true", true },
		{ "false", false },
		{ "null", json.null },
		{ '""', "" },
		{ [["\"\\\/\b\f\n\r\t\u0041\u0000"]], "\"\\/\b\f\n\r\tA\0" },
		{ [["\u00e9\u20AC\ud83d\ude00"]], "é€😀" },
		{ '"é€😀"', "é€😀" },
		{ "\t[1 ,\r\n[ ] ]", { 1, {} } },
		{ '{"a":{"b":null},"":1}', { a = { b = json.null }, [""] = 1 } },
	}
	for _, case in ipairs(values) do
		it("reads " .. case[1], function()
			local value = json.decode(case[1])
			assert.same(case[2], value)
			assert.equal(math.type(case[2]), math.type(value))
		end)
	end

	local wrong = { -- text, the byte where it goes wrong
		{ "", 1 }, { " ", 2 }, { "nul", 1 }, { "nulL", 1 }, { "True", 1 }, { "NaN", 1 },
		{ "-Infinity", 1 }, { "0x10", 2 }, { "01", 1 }, { "-", 1 }, { "+1", 1 }, { ".5", 1 },
		{ "1.", 1 }, { "1e", 1 }, { "1e999", 1 }, { "1 2", 3 }, { "[1]\0", 4 },
		{ "\xef\xbb\xbf1", 1 }, { "'a'", 1 }, { '"a', 3 }, { '"\n"', 2 }, { [["\x41"]], 2 },
		{ [["\u12g4"]], 2 }, { [["\u123]], 2 }, { [["\ud800"]], 2 }, { [["\udc00"]], 2 },
		{ [["\udc00\udc00"]], 2 },
		{ [["\ud800\u0041"]], 2 }, { '"\x80"', 2 }, { '"\xc0\x80"', 2 },
		{ '"\xed\xa0\x80"', 2 }, { '"\xf4\x90\x80\x80"', 2 }, { '"\xe2\x82"', 2 },
		{ "[", 2 }, { "[1", 3 }, { "[1,]", 4 }, { "[1 2]", 4 }, { "[,1]", 2 }, { "]", 1 },
		{ "{", 2 }, { "{a:1}", 2 }, { '{"a"}', 5 }, { '{"a" 1}', 6 }, { '{"a":}', 6 },
		{ '{"a":1,}', 8 }, { "{1:2}", 2 }, { "// a\n1", 1 }, { '{"a":1,"\\u0061":2}', 8 },
	}
	for _, case in ipairs(wrong) do
		it(("refuses %q at byte %d"):format(case[1], case[2]), function()
			local value, message, code = json.decode(case[1])
			assert.is_nil(value)
			assert.equal("parse", code)
			assert.equal(case[2], tonumber(message:match "^bad JSON at byte (%d+): "))
		end)
	end

	it("goes as deep as allowed and no deeper", function()
		local function nested(n)
			return ("["):rep(n) .. ("]"):rep(n)
		end
		assert.is_table(json.decode(nested(64)))
		assert.is_nil((json.decode(nested(65))))
		assert.is_nil((json.decode(('{"a":'):rep(65) .. "1" .. ("}"):rep(65))))
		assert.is_nil((json.decode(("["):rep(100000))))
		assert.is_table(json.decode(nested(3), 3))
		assert.is_nil((json.decode(nested(4), 3)))
		assert.equal(1, json.decode("1", 0))
		assert.is_table(json.decode("[" .. ("[],"):rep(1000) .. "[]]", 2))
		assert.has_error(function() json.decode("1", 100000) end)
	end)

	it("refuses every prefix of a document", function()
		local text = [[{"a":[1.5e3,"\ud83d\ude00é",null,true,{"b":{}}]}]]
		assert.is_table(json.decode(text))
		for n = 0, #text - 1 do
			assert.is_nil((json.decode(text:sub(1, n))), n)
		end
	end)
end)

describe("json.encode", function()
	local values = {
		{ math.mininteger, "-9223372036854775808" },
		{ 1.0, "1.0" },
		{ -0.0, "-0.0" },
		{ 0.1, "0.1" },
		{ 1 / 3, "0.3333333333333333" },
		{ 0.1 + 0.2, "0.30000000000000004" },
		{ 1e100, "1e+100" },
		{ 5e-324, "4.94065645841247e-324" },
		{ json.null, "null" },
		{ false, "false" },
		{ "a\"\\/\b\f\n\r\t\0\x1f\x7fé😀", [["a\"\\/\b\f\n\r\t\u0000\u001f\u007fé😀"]] },
		{ {}, "{}" },
		{ json.list {}, "[]" },
		{ json.list { 1, "b" }, '[1,"b"]' },
		{ { 1, { 2 } }, "[1,[2]]" },
		{ { b = 1, a = { json.null }, ab = 2, ["é"] = 3, A = 4, ["a\0"] = 5 },
			[[{"A":4,"a":[null],"a\u0000":5,"ab":2,"b":1,"é":3}]] },
	}
	for _, case in ipairs(values) do
		it("writes " .. case[2], function()
			assert.equal(case[2], json.encode(case[1]))
			assert.equal(case[2], json.encode(json.decode(case[2])))
		end)
	end

	it("keeps a value that is larger than its first buffer", function()
		local list = {}
		for i = 1, 2000 do
			list[i] = { name = ("x"):rep(i % 300), n = i }
		end
		assert.same(list, json.decode(json.encode(list)))
	end)

	local cycle = {}
	cycle[1] = cycle
	local wrong = {
		{ "NaN", 0 / 0 },
		{ "infinity", -math.huge },
		{ "a function", { print } },
		{ "bytes that are no UTF-8", "\xff" },
		{ "a key that is no UTF-8", { ["\xc3"] = 1 } },
		{ "a number as a key", { [1.5] = 1 } },
		{ "a boolean as a key", { [true] = 1 } },
		{ "a list with holes", { 1, nil, 3 } },
		{ "a list with a name", { 1, a = 2 } },
		{ "a list() with a name", json.list { a = 2 } },
		{ "a table within itself", cycle },
	}
	for _, case in ipairs(wrong) do
		it("raises on " .. case[1], function()
			assert.error_matches(function() json.encode(case[2]) end, "json.encode: ")
		end)
	end

	it("raises without a value", function()
		assert.has_error(function() json.encode() end)
	end)
end)

describe("json.list", function()
	it("returns its table", function()
		local t = {}
		assert.equal(t, json.list(t))
		assert.has_error(function() json.list "a" end)
	end)

	it("marks what decode made", function()
		assert.equal('{"a":[],"b":{}}', json.encode(json.decode '{"b":{},"a":[ ]}'))
	end)
end)
