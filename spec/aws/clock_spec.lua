-- aws.clock: times as AWS writes them, and the correction of a clock that is off.
local fake = require "spec.aws.fake"
local task = require "core.task"

describe("aws.clock", function()
	local clock
	before_each(function() clock = fake.fresh "aws.clock" end)

	local times = {
		{ "1970-01-01T00:00:00Z", 0 }, { "2000-02-29T23:59:59Z", 951868799 }, { "2024-12-31T00:00:00Z", 1735603200 },
		{ "2026-03-01T12:00:00.123Z", 1772366400 }, { "2026-03-01T12:00:00+02:00", 1772359200 },
		{ "2026-03-01T12:00:00-0130", 1772371800 }, { "2100-03-01T00:00:00Z", 4107542400 },
		{ "2026-13-01T12:00:00Z" }, { "2026-03-01" }, { "2026-03-01T12:00:00" }, { "" }, { "tomorrow" },
	}
	for _, case in ipairs(times) do
		it("reads " .. case[1], function() assert.equal(case[2], clock.parse(case[1])) end)
	end

	it("reads a Date", function()
		assert.equal(784111777, clock.date "Sun, 06 Nov 1994 08:49:37 GMT")
		for _, text in ipairs { "", "Sun, 06 Foo 1994 08:49:37 GMT", "06 Nov 1994", "Sunday, 06-Nov-94 08:49:37 GMT" } do
			assert.is_nil(clock.date(text))
		end
	end)

	local now = task.time()
	local function response(offset, headers)
		headers = headers or {}
		headers.date = os.date("!%a, %d %b %Y %H:%M:%S GMT", math.floor(now + offset))
		return { headers = headers }
	end

	local function at(seconds) return { sent = now, received = now + seconds, offset = clock.offset } end

	it("takes the server's time when its own is far off, seen from the middle of the exchange", function()
		assert.is_true(clock.correct(response(3605), at(10)))
		assert.is_true(math.abs(clock.offset - 3600) <= 1, clock.offset)
		assert.is_true(math.abs(clock.now() - task.time() - 3600) <= 1)
	end)

	it("leaves a clock alone that is near enough, and one that is near enough once corrected", function()
		assert.is_false(clock.correct(response(200), at(0)))
		assert.equal(0, clock.offset)
		assert.is_true(clock.correct(response(-7200), at(0)))
		assert.is_false(clock.correct(response(-7100), at(0)))
	end)

	it("is off for who used the time of before the correction, too", function()
		local before = at(0)
		assert.is_true(clock.correct(response(3600), at(0)))
		assert.is_true(clock.correct(response(3600), before))
	end)

	it("does not believe a cache, or what is no date", function()
		assert.is_false(clock.correct(response(3600, { age = "5" }), at(0)))
		assert.is_false(clock.correct({ headers = {} }, at(0)))
		assert.is_false(clock.correct({ headers = { date = "yesterday" } }, at(0)))
		assert.equal(0, clock.offset)
	end)
end)
