-- Runs the oracle: with all rules on nothing is lost in any world; with a rule off, the world that
-- it protects is found and printed.  Needs the test build, whose rules can be switched off.
local gate = require "core.gate"
local oracle = require "spec.oracle"

local function tell(...)
	io.write(string.format(...), "\n")
end

describe("oracle", function()
	if not gate.off then
		pending "this is not the test build (make testbin): its rules cannot be switched off"
		return
	end

	after_each(function() gate.off() end)

	it("finds no loss with all rules on, and every action admitted somewhere", function()
		local tally = oracle.run()
		tell("  %d worlds, %d plans, %d admitted", tally.worlds, tally.plans, tally.admitted)
		assert.is_nil(tally.loss)
		assert.truthy(tally.worlds > 30000)
		for _, action in ipairs { "claim", "new", "add", "remove", "promote", "update", "aside", "start", "leave" } do
			tell("    %s: %d", action, tally.by[action] or 0)
			assert.truthy((tally.by[action] or 0) > 10, action)
		end
	end)

	for _, case in ipairs(oracle.protects) do
		local rule, family, action = table.unpack(case)
		it(("finds a loss without %s (%s%s)"):format(rule, family, action and ", " .. action or ""), function()
			local loss = oracle.without(rule, family, action)
			assert.is_string(loss, "nothing is lost without " .. rule)
			tell("without %s:\n%s", rule, loss)
		end)
	end

	for _, pair in ipairs(oracle.layers) do
		local rule, other, family, action = table.unpack(pair)
		it(("finds a loss without %s and %s that the first would prevent (%s%s)"):format(rule, other, family,
			action and ", " .. action or ""), function()
			local loss = oracle.without_both(rule, other, family, action)
			assert.is_string(loss, "nothing is lost without both")
			tell("%s is a second layer behind %s; without both:\n%s", rule, other, loss)
		end)
	end

	it("covers every rule, but for those that pure specs show", function()
		local covered = {}
		for _, case in ipairs(oracle.protects) do covered[case[1]] = true end
		for _, pair in ipairs(oracle.layers) do covered[pair[1]] = true end
		for _, rule in ipairs(gate.rules()) do
			assert.truthy(covered[rule.name] or oracle.excepted[rule.name], rule.name)
		end
	end)
end)
