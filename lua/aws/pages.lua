-- pages.lua - an answer that comes in pages is read to the last page, or it is no answer: a list that
-- was cut short is never taken for a short list.
local pages = {}

local MOST = 1000 -- pages of one answer
local STARTS = 3 -- a token ends after a while, and the answer is then read from its beginning

local function read(what, ask)
	local all, seen, token = {}, {}, nil
	for _ = 1, MOST do
		local items, next_token, code = ask(token)
		if not items then return nil, next_token, code, token ~= nil end
		table.move(items, 1, #items, #all + 1, all)
		if not next_token or next_token == "" then return all end
		if seen[next_token] then
			return nil, what .. ": the page after this one is one that was read already", "parse"
		end
		seen[next_token], token = true, next_token
	end
	return nil, ("%s: more than %d pages"):format(what, MOST), "parse"
end

-- (waits) The items of all pages.  ask(token): those of one page and the token of the next, which is
-- nil or "" after the last; a page may be empty and yet have one.
---@param what string
---@param ask fun(token: string?): table[]|nil, string?, Code?
---@return table[]|nil, string?, Code?
function pages.read(what, ask)
	local all, why, code, later
	for _ = 1, STARTS do
		all, why, code, later = read(what, ask)
		if all or not later or code ~= "http" then break end
	end
	return all, why, code
end

return pages
