-- steady.lua - the default policy: the decision table, one function a row, the first that has
-- something to say wins.  The rows are numbered as in the manual.  Pure: facts -> plan.
local check = require "check"
local data = require "rows.data"
local empty = require "rows.empty"
local founding = require "rows.founding"
local members = require "rows.members"

local ROWS = {
	{ 0, data.row_0_running }, { 1, data.row_1_damaged }, { 2, data.row_2_listed }, { 3, data.row_3_removed },
	{ 4, data.row_4_other_cluster }, { 5, data.row_5_hopeless }, { 6, data.row_6_data },
	{ 6, data.row_unknown_data },
	{ 7, empty.row_7_rivals }, { 8, empty.row_8_leaving }, { 9, empty.row_9_resume }, { 10, empty.row_10_added },
	{ 11, empty.row_11_missing_vote }, { 11, empty.row_11_hidden },
	{ 12, members.row_12_own_slot }, { 13, members.row_13_promote }, { 14, members.row_14_evict },
	{ 15, members.row_15_add },
	{ 16, empty.row_16_learner_only }, { 17, empty.row_17_no_quorum }, { 18, empty.row_18_failures },
	{ 19, empty.row_19_marker }, { 20, founding.row_20_found },
}

-- Graces in seconds.
local DEFAULTS = { evict = true, evict_after = 60, evict_gone_after = 600 }
local CHECKS = { evict = check.boolean, evict_after = check.seconds_or_none, evict_gone_after = check.seconds_or_none }

local function make(_, options)
	local wrong = check.options("steady", options or {}, CHECKS)
	if wrong then error(wrong, 2) end
	local o = setmetatable({}, { __index = DEFAULTS })
	for key, value in pairs(options or {}) do o[key] = value end
	return function(f)
		for _, row in ipairs(ROWS) do
			local number, says = row[1], row[2]
			local p = says(f, o)
			if p then
				p.row = number
				return p
			end
		end
	end
end

return setmetatable({ decide = make() }, { __call = make })
