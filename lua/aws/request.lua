-- request.lua - a request to AWS with this machine's own credentials.
local credentials = require "aws.credentials"
local exchange = require "aws.exchange"

-- (waits) One request, signed, and tried again until it is answered, the deadline is near or AWS says no.
--
--	local answer = request {
--		service = "ec2", action = "DescribeInstances",
--		params = { Filter = { { Name = "tag:role", Value = { "etcd" } } } },
--		shape = { DescribeInstancesResponse = {
--			reservationSet = { item = { { instancesSet = { item = { { instanceId = true } } } } } },
--		} },
--	}
--
-- service   "ec2" "autoscaling" "elasticloadbalancing" "sts": action and params, lists as Lua lists;
--           "route53" "s3": method ("GET"), path, query, headers, body; bucket (S3); action names the
--           operation in messages, and the permission in a refusal
-- region    default: AWS_REGION, the profile, this machine's own
-- shape     what to take out of the answer, as xml.decode wants it; s3 without one gives the body
-- deadline  by task.now(); default 60 s from now
-- expect    statuses that are answers too, such as { 404, 412 }: the result is false then, and
--           response.error {code, message}
--
-- A code "denied" is not tried again, and its message names the permission that is missing.  After a
-- refusal its response comes fourth.
---@param o AwsRequest
---@return any decoded, table|string response, Code?, table?
return function(o)
	return exchange.run(o, credentials.get)
end
