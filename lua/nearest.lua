-- nearest.lua - the known name that somebody who mistyped one most likely meant.

local nearest = {}

-- How many letters must be changed, added, left out or swapped to turn a into b.
local function distance(a, b)
	local before, last = {}, {}
	for j = 0, #b do last[j] = j end
	for i = 1, #a do
		local row = { [0] = i }
		for j = 1, #b do
			local same = a:byte(i) == b:byte(j)
			row[j] = math.min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (same and 0 or 1))
			if i > 1 and j > 1 and a:byte(i) == b:byte(j - 1) and a:byte(i - 1) == b:byte(j) then
				row[j] = math.min(row[j], before[j - 2] + 1)
			end
		end
		before, last = last, row
	end
	return last[#b]
end

---@param name string
---@param known string[]
---@return string|nil closest  nil when nothing is near enough to be meant
function nearest.name(name, known)
	local best, least
	for _, candidate in ipairs(known) do
		local far = distance(name:lower(), candidate:lower())
		if not least or far < least or far == least and candidate < best then
			best, least = candidate, far
		end
	end
	if best and least <= math.max(1, math.max(#name, #best) // 2) then return best end
end

-- Ends a sentence about an unknown name: "; did you mean NAME?", or the list when it is short.
---@return string
function nearest.hint(name, known)
	local best = nearest.name(name, known)
	if best then return ("; did you mean %s?"):format(best) end
	if #known == 0 or #known > 12 then return "" end
	table.sort(known)
	return "; known: " .. table.concat(known, " ")
end

return nearest
