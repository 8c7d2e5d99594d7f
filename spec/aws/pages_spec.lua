-- Answers that come in pages: all of them, or none.
local pages = require "aws.pages"

-- An asker that gives these pages in turn: { items, next token } or { nil, message, code }.
local function book(...)
	local all, asked = { ... }, {}
	return function(token)
		table.insert(asked, token or "first")
		local page = all[#asked]
		return table.unpack(page, 1, 3)
	end, asked
end

describe("pages", function()
	local good = {
		{ "one", { { { 1, 2 } } }, { 1, 2 }, "first" },
		{ "one that ends in an empty token", { { { 1 }, "" } }, { 1 }, "first" },
		{ "three", { { { 1 }, "a" }, { { 2 }, "b" }, { { 3 } } }, { 1, 2, 3 }, "first a b" },
		{ "an empty one with a token", { { {}, "a" }, { { 2 } } }, { 2 }, "first a" },
		{ "a token that ended", { { { 1 }, "a" }, { nil, "InvalidNextToken", "http" }, { { 1 }, "b" }, { { 2 } } }, { 1, 2 }, "first a first b" },
	}
	for _, case in ipairs(good) do
		it("are read to the last: " .. case[1], function()
			local ask, asked = book(table.unpack(case[2]))
			assert.same(case[3], pages.read("list", ask))
			assert.equal(case[4], table.concat(asked, " "))
		end)
	end

	local bad = {
		{ "the first fails", { { nil, "no", "http" } }, "no", "http", 1 },
		{ "a later one is denied", { { { 1 }, "a" }, { nil, "no", "denied" } }, "no", "denied", 2 },
		{ "a later one does not come in time", { { { 1 }, "a" }, { nil, "late", "timeout" } }, "late", "timeout", 2 },
		{ "a token that ends again and again", { { { 1 }, "a" }, { nil, "old", "http" }, { { 1 }, "a" }, { nil, "old", "http" },
			{ { 1 }, "a" }, { nil, "old", "http" } }, "old", "http", 6 },
		{ "a token that comes twice", { { { 1 }, "a" }, { { 2 }, "a" } }, "read already", "parse", 2 },
		{ "tokens in a circle", { { { 1 }, "a" }, { { 2 }, "b" }, { { 3 }, "a" } }, "read already", "parse", 3 },
	}
	for _, case in ipairs(bad) do
		it("are no answer: " .. case[1], function()
			local ask, asked = book(table.unpack(case[2]))
			local all, why, code = pages.read("list", ask)
			assert.is_nil(all)
			assert.truthy(why:find(case[3], 1, true), why)
			assert.equal(case[4], code)
			assert.equal(case[5], #asked)
		end)
	end

	it("come to an end", function()
		local n = 0
		local all, why = pages.read("list", function()
			n = n + 1
			return {}, tostring(n)
		end)
		assert.is_nil(all)
		assert.truthy(why:find("^list: more than"), why)
	end)
end)
