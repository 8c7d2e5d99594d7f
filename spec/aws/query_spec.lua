-- aws.query: requests as text.
local query = require "aws.query"

describe("aws.query", function()
	it("numbers lists as EC2 does, and as the others do", function()
		local params = { Filter = { { Name = "tag:a b", Value = { "x", "y*" } } }, MaxResults = 1000, DryRun = false, Empty = {} }
		assert.equal("Action=DescribeInstances&DryRun=false&Filter.1.Name=tag%3Aa%20b&Filter.1.Value.1=x&Filter.1.Value.2=y%2A"
			.. "&MaxResults=1000&Version=2016-11-15", query.form("ec2", "DescribeInstances", params))
		assert.equal("Action=RegisterTargets&TargetGroupArn=arn&Targets.member.1.Id=i-1&Targets.member.1.Port=2379"
			.. "&Targets.member.2.Id=i-2&Version=2015-12-01", query.form("elasticloadbalancing", "RegisterTargets",
			{ TargetGroupArn = "arn", Targets = { { Id = "i-1", Port = 2379 }, { Id = "i-2" } } }))
		assert.equal("Action=A&Deep.Name=v&Names.member.1=n&Version=2011-01-01",
			query.form("autoscaling", "A", { Deep = { Name = "v" }, Names = { "n" } }))
	end)

	it("raises for what cannot be sent", function()
		assert.has_error(function() query.form("ec2", "A", { Filter = { { Name = print } } }) end,
			"Filter.1.Name: a string, a number or a boolean expected, not a function")
	end)

	it("encodes every byte that a signature would", function()
		assert.equal("a%20b%2Bc%2F%C3%A9%00-._~", query.encode "a b+c/é\0-._~")
		assert.equal("a/b%20c//%3F%23%25", query.path "a/b c//?#%")
		assert.equal("?a%20b=&list-type=2&prefix=a%2Fb", query.string { prefix = "a/b", ["a b"] = true, ["list-type"] = 2 })
		assert.equal("", query.string {})
		assert.equal("", query.string(nil))
	end)
end)
