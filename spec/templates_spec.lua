-- The shipped templates, value by value.
local env = require "templates.env"
local json = require "templates.json"
local decode = require "core.json".decode

local function config(pairs_)
	local c = { role = "member", state = "new", name = "a", cluster_id = "17293822569102704640", endpoints = { "http://b:1" },
		pairs = pairs_, env = {}, initial_cluster = {} }
	for _, pair in ipairs(pairs_) do c.env[pair[1]] = pair[2] end
	return c
end

describe("templates.env", function()
	it("writes KEY=value in the order given, each line ended", function()
		assert.equal("ETCD_NAME=a\nETCD_DATA_DIR=/var/lib/etcd\n",
			env(config { { "ETCD_NAME", "a" }, { "ETCD_DATA_DIR", "/var/lib/etcd" } }))
	end)

	it("takes every byte of the contract", function()
		local value = "AZaz09_@%+=:,./-[::]"
		assert.equal("ETCD_X=" .. value .. "\n", env(config { { "ETCD_X", value } }))
	end)

	for _, byte in ipairs { " ", "\"", "'", "$", "`", "\n", "\\", "#", ";", "\0", "\xc3\xa9", "~", "*", "\t", "\r" } do
		it("refuses byte " .. byte:byte() .. " and names the key", function()
			local text, why, code = env(config { { "ETCD_OK", "a" }, { "ETCD_BAD", "a" .. byte .. "b" } })
			assert.is_nil(text)
			assert.equal("usage", code)
			assert.truthy(why:find("ETCD_BAD contains", 1, true), why)
		end)
	end

	it("writes nothing for a standby", function()
		assert.equal("", env { role = "standby", pairs = {}, env = {}, endpoints = {} })
	end)
end)

describe("templates.json", function()
	it("is one object on one line, keys sorted", function()
		local text = json(config { { "ETCD_NAME", "a b\"" } })
		assert.equal('{"ETCD_NAME":"a b\\"","cluster_id":"f000000000000000","endpoints":["http://b:1"],"name":"a","role":"member"}\n', text)
		assert.equal("a b\"", assert(decode(text)).ETCD_NAME)
	end)

	it("has null and [] where nothing is known", function()
		assert.equal('{"cluster_id":null,"endpoints":[],"name":null,"role":"standby"}\n',
			json { role = "standby", pairs = {}, env = {}, endpoints = {} })
	end)
end)
