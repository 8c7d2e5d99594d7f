-- cautious.lua - steady that evicts nobody: a dead member stays listed until a person removes it.
local steady = require "policies.steady"

local cautious = {}

-- cautious {...} -> function(facts) -> plan; other options as steady's.
local function make(_, options)
	if type(options or {}) ~= "table" then return steady(options) end
	local mine = {}
	for key, value in pairs(options or {}) do mine[key] = value end
	mine.evict = false
	return steady(mine)
end

cautious.decide = make(nil, {})

return setmetatable(cautious, { __call = make })
