-- clock.lua - the time as AWS sees it.  A machine that boots may not have set its clock yet, and a
-- signature more than five minutes off is refused; so what a server's Date says is kept for the
-- process, and everything of AWS asks here what time it is.
local task = require "core.task"

local clock = {
	offset = 0, -- seconds to add to this machine's own
}

local NEGLIGIBLE = 240 -- seconds; the strictest services allow 300
local DAY = 86400

local MONTHS = {
	Jan = 1, Feb = 2, Mar = 3, Apr = 4, May = 5, Jun = 6, Jul = 7, Aug = 8, Sep = 9, Oct = 10, Nov = 11, Dec = 12,
}

-- Unix time, corrected.
---@return number
function clock.now()
	return task.time() + clock.offset
end

-- Days since 1970 in the Gregorian calendar; os.time would take the date for local time.
local function days(year, month, day)
	local y = month <= 2 and year - 1 or year
	local shifted = (month + 9) % 12 -- March is 0, so that the odd day comes last
	return 365 * y + y // 4 - y // 100 + y // 400 + (153 * shifted + 2) // 5 + day - 719469
end

local function seconds(year, month, day, hour, minute, second)
	local y, m, d, h = tonumber(year), tonumber(month), tonumber(day), tonumber(hour)
	if m < 1 or m > 12 or d < 1 or d > 31 or h > 24 then return nil end
	return days(y, m, d) * DAY + h * 3600 + tonumber(minute) * 60 + tonumber(second)
end

-- An ISO 8601 time such as "2026-03-01T12:00:00Z", fractions dropped -> Unix time | nil
---@param text string
---@return integer?
function clock.parse(text)
	local year, month, day, hour, minute, second, rest =
		text:match "^(%d%d%d%d)%-(%d%d)%-(%d%d)T(%d%d):(%d%d):(%d%d)(.*)$"
	if not year then return nil end
	local zone = rest:match "^%.%d+(.+)$" or rest
	local sign, hours, minutes = zone:match "^([+-])(%d%d):?(%d%d)$"
	if not sign and zone ~= "Z" then return nil end
	local at = seconds(year, month, day, hour, minute, second)
	if not at or not sign then return at end
	return at - (sign .. "1") * (hours * 3600 + minutes * 60)
end

-- The time in a Date header, "Sun, 06 Nov 1994 08:49:37 GMT" -> Unix time | nil
---@param text string
---@return integer?
function clock.date(text)
	local day, name, year, hour, minute, second =
		text:match "^%a+, (%d%d?) (%a%a%a) (%d%d%d%d) (%d%d):(%d%d):(%d%d) GMT$"
	local month = MONTHS[name]
	return month and seconds(year, month, day, hour, minute, second)
end

-- Take the time from a response that complains about ours -> whether that which was used was off by
-- enough to matter.  o: {sent, received = task.time() around the exchange, offset = the one used}.
-- A cache's answer tells an old time.
---@param response {headers: table<string, string>}
---@param o {sent: number, received: number, offset: number}
---@return boolean
function clock.correct(response, o)
	local date = response.headers.date
	local at = date and not response.headers.age and clock.date(date)
	local offset = at and at - (o.sent + o.received) / 2
	if not offset or math.abs(offset - o.offset) <= NEGLIGIBLE then return false end
	clock.offset = offset
	return true
end

return clock
