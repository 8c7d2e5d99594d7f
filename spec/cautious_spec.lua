-- A cautious policy is a steady one that evicts nobody.
describe("policies.cautious", function()
	local steady, asked

	local function load()
		package.loaded["policies.cautious"] = nil
		return require "policies.cautious"
	end

	before_each(function()
		steady, asked = require "policies.steady", {}
		package.loaded["policies.steady"] = function(options)
			asked[#asked + 1] = options
			return function() return { action = "wait", reason = "asked" } end
		end
	end)
	after_each(function()
		package.loaded["policies.steady"], package.loaded["policies.cautious"] = steady, nil
	end)

	it("is steady that never evicts, whatever it is told", function()
		local cautious = load()
		local given = { evict = true, evict_after = 5 }
		cautious(given)
		cautious {}
		assert.same({ { evict = false }, { evict = false, evict_after = 5 }, { evict = false } }, asked)
		assert.same({ evict = true, evict_after = 5 }, given)
		assert.equal("asked", cautious.decide({}).reason)
	end)

	it("refuses what steady refuses, and names the policy's line", function()
		package.loaded["policies.steady"] = steady
		local cautious = load()
		local fine, why = pcall(function() local f = cautious { evict_later = 3 }; return f end)
		assert.is_false(fine)
		assert.truthy(why:find("cautious_spec.lua:%d+: .*evict_later"), why)
	end)
end)
