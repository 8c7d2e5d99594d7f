-- manual_spec.lua - the unit in the manual is one that systemd reads without a word.
local proc = require "core.proc"
local scratch = require "spec.scratch"

local function unit()
	local file <close> = assert(io.open("docs/manual.md"))
	return file:read "a":match "```ini\n(.-)```"
end

describe("the manual's unit", function()
	local here
	before_each(function() here = scratch.new() end)
	after_each(function() here:remove() end)

	it("says nothing that systemd does not know", function()
		local tool = proc.run { "systemd-analyze", "--version", timeout = 20 }
		if not tool or tool.status ~= 0 then pending "no systemd-analyze here" end
		local text = unit():gsub("(Exec%w+=)%S+", "%1/bin/true")
		local said = assert(proc.run { "systemd-analyze", "verify", here:write("etcd.service", text), timeout = 60 })
		assert.same({ 0, "" }, { said.status, said.stderr })
	end)

	it("runs the three programs in their order", function()
		local order = {}
		for key, words in unit():gmatch "\n(Exec%w+)=%S+/(%S+ ?%l*)" do table.insert(order, key .. " " .. words) end
		assert.same({ "ExecStartPre etcd-bootstrap run", "ExecStart etcd", "ExecStartPost etcd-bootstrap finish" }, order)
	end)
end)
