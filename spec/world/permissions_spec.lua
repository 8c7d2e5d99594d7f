-- permissions_spec.lua - the smallest policies of docs/aws.md: what AWS was asked, by the proxy's log, is
-- exactly what each allows, and it is enough where moto checks it.

local assert = require "luassert"
local etcd = require "core.etcd"
local json = require "core.json"
local cloud = require "spec.world.cloud"
local moto = require "spec.world.moto"
local world = require "spec.world.world"

-- The policy below a heading of the manual, JSON.
local function policy(heading)
	local text = assert(world.read(world.here .. "/docs/aws.md"))
	local section = assert(text:match("\n### " .. heading:gsub("%p", "%%%0") .. "\n(.-)\n```\n"), heading)
	return assert(section:match "```json\n(.*)$", heading)
end

local function allowed(document)
	local actions = {}
	for _, statement in ipairs(json.decode(document).Statement) do
		local list = statement.Action
		for _, action in ipairs(type(list) == "table" and list or { list }) do
			actions[#actions + 1] = action
		end
	end
	table.sort(actions)
	return actions
end

local function asked(c)
	local actions, seen = {}, {}
	for _, one in ipairs(c:log { route = "api" }) do
		local action = one.service .. ":" .. (one.action or one.method .. " " .. one.path)
		actions[#actions + 1] = not seen[action] and action or nil
		seen[action] = true
	end
	table.sort(actions)
	return actions
end

cloud.describe("the permissions", function(it)
	-- The keys of a role that may do just this; from now on that is checked, of load balancers by action
	-- alone, since moto asks for all of them at once.
	local function only(c, heading)
		local role = c.moto:role("machine", (policy(heading):gsub('"arn:aws:elasticloadbalancing[^"]*"', '"*"')))
		c.moto:auth(true)
		return role
	end

	local function finds_machines(heading, group, discover, tags)
		it(heading .. ", " .. discover, function(w, c)
			local one = c:group("etcd", { desired = 0 })[1] or c:instance { group = "etcd", tags = tags }
			c:machines({ one }, { group = group, role = only(c, heading) })
			local code, run = w:ends(one.id, { "--timeout", "20", verb = "plan", policy = { discover = discover, size = "1" } })
			assert.equal("wait: the list of machines has not settled yet\n", run:stdout(), run:log())
			assert.equal(3, code)
			assert.same(allowed(policy(heading)), asked(c))
		end)
	end

	finds_machines("Of a group", "etcd", "aws.asg()")
	finds_machines("Of a group", nil, "aws.asg { name = \"etcd\" }")
	finds_machines("Of a group that the metadata does not name", nil, "aws.asg()")
	finds_machines("Of tags", nil, "aws.tags { role = \"etcd\" }", { role = "etcd" })

	-- A cluster of one on a machine of EC2 that a list of the test's own names.
	local function founded(w, c, role, marker)
		local one = c:instance()
		c:machines({ one }, { role = role })
		w.policy.discover, w.policy.marker = nil, marker
		w:founded(one.id)
		return one
	end

	local function finish(w, one, register)
		local run = w:beside(one.id, "finish", { policy = { register = register } })
		assert.equal(0, run:exit(30), run:log())
		assert.is_nil(run:log():find("warn", 1, true), run:log())
	end

	it("Of the marker in S3", function(w, c)
		c.moto:rest("s3", "PUT", "/etcd-prod", ("<CreateBucketConfiguration><LocationConstraint>%s</LocationConstraint>"
			.. "</CreateBucketConfiguration>"):format(moto.region))
		local one = founded(w, c, only(c, "Of the marker in S3"), "s3 { bucket = \"etcd-prod\", key = \"marker.json\" }")
		finish(w, one)
		local actions = allowed(policy "Of the marker in S3")
		assert.equal("s3:ListBucket", table.remove(actions, 2))
		assert.same(actions, asked(c))
		assert.is_truthy(c.moto:rest("s3", "GET", "/etcd-prod/marker.json"):find('"confirmed":true', 1, true))
	end)

	-- moto refuses every GET to Route 53 once it checks signatures.
	it("Of Route 53", function(w, c)
		local text = c.moto:rest("route53", "POST", "/2013-04-01/hostedzone", "<CreateHostedZoneRequest "
			.. "xmlns=\"https://route53.amazonaws.com/doc/2013-04-01/\"><Name>example.com</Name><CallerReference>1"
			.. "</CallerReference></CreateHostedZoneRequest>")
		local one = founded(w, c)
		finish(w, one, ("{ route53 { zone = %q, name = \"etcd.example.com\", srv = true, members = true } }"):format(
			moto.values(text, "Id")[1]))
		assert.same(allowed(policy "Of Route 53"), asked(c))
	end)

	it("Of a target group", function(w, c)
		local function elb(action, params)
			return c.moto:call("elasticloadbalancing", action, params)
		end
		local arn = moto.values(elb("CreateTargetGroup", { Name = "etcd-clients", Protocol = "TCP", Port = 2379,
			VpcId = c.moto.vpc, TargetType = "ip" }), "TargetGroupArn")[1]
		local one = founded(w, c, only(c, "Of a target group"))
		-- One that this cluster registered, and whose machine is gone.
		elb("RegisterTargets", { TargetGroupArn = arn, ["Targets.member.1.Id"] = w.net .. ".99", ["Targets.member.1.Port"] = 2379 })
		elb("AddTags", { ["ResourceArns.member.1"] = arn, ["Tags.member.1.Key"] = ("etcd-bootstrap/%s.99/2379"):format(w.net),
			["Tags.member.1.Value"] = etcd.hex(w:members(one.id).cluster_id) })
		finish(w, one, "{ target_group { name = \"etcd-clients\" } }")
		assert.same(allowed(policy "Of a target group"), asked(c))
	end)
end)
