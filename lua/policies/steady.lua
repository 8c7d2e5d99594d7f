-- steady.lua - the default policy: the decision table, one function a row, the first that has
-- something to say wins.  The rows are numbered as in the manual.  Pure: facts -> plan.
local data = require "rows.data"
local empty = require "rows.empty"
local founding = require "rows.founding"
local members = require "rows.members"

local ROWS = {
	data.row_0_running, data.row_1_damaged, data.row_2_listed, data.row_3_removed, data.row_4_other_cluster,
	data.row_5_hopeless, data.row_6_data, data.row_unknown_data,
	empty.row_7_rivals, empty.row_8_leaving, empty.row_9_resume, empty.row_10_added, empty.row_11_missing_vote,
	empty.row_11_hidden,
	members.row_12_own_slot, members.row_13_promote, members.row_14_evict, members.row_15_add,
	empty.row_16_learner_only, empty.row_17_no_quorum, empty.row_18_failures, empty.row_19_marker,
	founding.row_20_found,
}

-- Graces in seconds.
local DEFAULTS = { evict = true, evict_after = 60, evict_gone_after = 600 }

local function make(_, options)
	local o = setmetatable({}, { __index = DEFAULTS })
	for key, value in pairs(options or {}) do
		local default = DEFAULTS[key]
		if default == nil then error(("steady has no option '%s'"):format(tostring(key)), 2) end
		if type(value) ~= type(default) then
			error(("steady.%s must be a %s"):format(key, type(default)), 2)
		end
		o[key] = value
	end
	return function(f)
		for _, row in ipairs(ROWS) do
			local p = row(f, o)
			if p then return p end
		end
	end
end

return setmetatable({ decide = make() }, { __call = make })
