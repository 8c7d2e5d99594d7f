-- aws.errors: the envelopes of AWS, of moto and of whoever is in between; what the codes are to us.
local errors = require "aws.errors"

describe("aws.errors", function()
	local bodies = {
		{ "EC2's", '<?xml version="1.0"?>\n<Response><Errors><Error><Code>Client.UnauthorizedOperation</Code><Message>no</Message></Error></Errors>'
			.. "<RequestID>1</RequestID></Response>", { code = "UnauthorizedOperation", message = "no" } },
		{ "the others'", '<ErrorResponse xmlns="http://x/"><Error><Type>Sender</Type><Code>Throttling</Code><Message>Rate exceeded</Message></Error>'
			.. "<RequestId>1</RequestId></ErrorResponse>", { code = "Throttling", message = "Rate exceeded" } },
		{ "S3's", "<Error><Code>AuthorizationHeaderMalformed</Code><Message>m</Message><Region>eu-west-1</Region><HostId>h</HostId></Error>",
			{ code = "AuthorizationHeaderMalformed", message = "m", region = "eu-west-1" } },
		{ "Route 53's for a batch", '<InvalidChangeBatch xmlns="x"><Messages><Message>a</Message><Message>b</Message></Messages></InvalidChangeBatch>',
			{ code = "InvalidChangeBatch", message = "a; b" } },
		{ "moto's for EC2", "<ErrorResponse><Errors><Error><Code>AuthFailure</Code><Message>m</Message></Error></Errors></ErrorResponse>",
			{ code = "AuthFailure", message = "m" } },
		{ "moto's without a word", "<ErrorResponse><Error><Code/><Message/></Error></ErrorResponse>", { code = "", message = "" } },
		{ "one without a message", "<Error><Code>NoSuchKey</Code></Error>", { code = "NoSuchKey", message = "" } },
	}
	for _, case in ipairs(bodies) do
		it("reads " .. case[1], function() assert.same(case[3], errors.read(case[2])) end)
	end

	local nothing = { "", "<html><body>502 Bad Gateway</body></html>", "<!DOCTYPE html><html><br></html>", "<Response/>", "<ErrorResponse/>",
		"<Response><Errors/></Response>", "{}", "\0\1\2", "<Error><Code>a</Code><Code>b</Code></Error>", "<DescribeTagsResponse/>" }
	for _, body in ipairs(nothing) do
		it(("finds none in %q"):format(body), function() assert.is_nil(errors.read(body)) end)
	end

	it("finds none in an answer that was cut, wherever", function()
		local whole = bodies[1][2]
		for i = 0, #whole - 1 do assert.is_nil(errors.read(whole:sub(1, i))) end
		assert.truthy(errors.read(whole))
	end)

	-- code of AWS, status -> ours, whether and how it is tried again
	local codes = {
		{ "RequestLimitExceeded", 503, "throttled", "throttle" }, { "Throttling", 400, "throttled", "throttle" },
		{ "SlowDown", 503, "throttled", "throttle" }, { "PriorRequestNotComplete", 400, "throttled", "throttle" },
		{ "TooManyRequestsException", 429, "throttled", "throttle" }, { "EC2ThrottledException", 400, "throttled", "throttle" },
		{ "BandwidthLimitExceeded", 509, "throttled", "throttle" }, { "Whatever", 429, "throttled", "throttle" },
		{ "InternalError", 500, "http", "transient" }, { "Unavailable", 503, "http", "transient" }, { "Whatever", 504, "http", "transient" },
		{ "RequestTimeout", 400, "http", "transient" }, { "IDPCommunicationError", 400, "http", "transient" },
		{ "UnauthorizedOperation", 403, "denied" }, { "AccessDenied", 403, "denied" }, { "AccessDeniedException", 400, "denied" },
		{ "AuthFailure", 401, "auth" }, { "SignatureDoesNotMatch", 403, "auth" }, { "InvalidClientTokenId", 403, "auth" },
		{ "InvalidAccessKeyId", 403, "auth" }, { "OptInRequired", 403, "auth" }, { "ExpiredToken", 403, "auth" }, { "RequestExpired", 400, "auth" },
		{ "RequestTimeTooSkewed", 403, "auth" }, { "", 403, "denied" }, { "", 401, "auth" },
		{ "NoSuchKey", 404, "missing" }, { "NoSuchHostedZone", 404, "missing" }, { "TargetGroupNotFound", 400, "missing" },
		{ "InvalidInstanceID.NotFound", 400, "missing" }, { "NoSuchBucket", 404, "http" }, { "ResourceNotFoundException", 404, "missing" },
		{ "PreconditionFailed", 412, "conflict" }, { "ConditionalRequestConflict", 409, "conflict" },
		{ "ValidationError", 400, "http" }, { "InvalidParameterValue", 400, "http" }, { "Whatever", 400, "http" }, { "Whatever", 404, "http" },
	}
	for _, case in ipairs(codes) do
		it(("takes %q with status %d for %s"):format(case[1], case[2], case[3]), function()
			local verdict = errors.judge(case[2], { code = case[1], message = "" })
			assert.same({ case[3], case[4] }, { verdict.code, verdict.retry })
		end)
	end

	it("concludes little from a status alone", function()
		local answers = { [401] = "http", [403] = "http", [404] = "http", [407] = "http", [412] = "http", [429] = "throttled", [502] = "http" }
		for status, code in pairs(answers) do
			local verdict = errors.judge(status, nil)
			assert.same({ code, false, false }, { verdict.code, verdict.expired, verdict.skewed })
		end
		assert.equal("transient", errors.judge(502, nil).retry)
		assert.is_nil(errors.judge(403, nil).retry)
	end)

	it("knows what a new token may mend, and what a clock that is set", function()
		local words = { ExpiredToken = { true, false }, ExpiredTokenException = { true, false }, RequestExpired = { true, true },
			RequestTimeTooSkewed = { false, true }, RequestInTheFuture = { false, true }, SignatureDoesNotMatch = { false, true },
			AuthFailure = { false, true }, AccessDenied = { false, false }, InvalidClientTokenId = { false, false } }
		for code, mends in pairs(words) do
			local verdict = errors.judge(400, { code = code, message = "" })
			assert.same(mends, { verdict.expired, verdict.skewed }, code)
		end
	end)
end)
