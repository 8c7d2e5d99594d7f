-- aws_spec.lua - F1, J1, E2, E3 with `discover = aws.asg()`: real etcd on the addresses of moto's
-- instances, their metadata from the mock, everything by way of the proxy.

local assert = require "luassert"
local cloud = require "spec.world.cloud"
local moto = require "spec.world.moto"

local function names(list)
	local all = {}
	for i, one in ipairs(list) do
		all[i] = one.id
	end
	return table.concat(all, " ")
end

cloud.describe("aws.asg with real etcd", function(it)
	it("F1 three machines found one cluster, J1 a replacement takes a dead one's place", function(w, c)
		local group = c:group("etcd", { desired = 3 })
		w:boot_all(c:machines(group))
		w:converge(names(group), 90)
		w:must_put(group[1].id, "k", "v")
		local before = w:members(group[1].id)

		w:kill(group[3].id)
		local new = c:terminate(group[3])
		c:machines({ new }, { group = "etcd" })
		c:forget()
		w:boot(new.id)
		w:converge(names { group[1], group[2], new }, 90)
		w:must_get(new.id, "k", "v")
		local after = w:members(new.id).ids
		for _, member in ipairs(before.all) do
			assert.equal(member.name ~= group[3].id, after:find(member.id, 1, true) ~= nil, member.name)
		end
		assert.same({}, c:log { action = "DescribeAutoScalingInstances" })
	end)

	-- One cluster for all of these: c does not answer, d waits for a place that nobody may make for it.
	it("E2 E3 nobody is removed on a bad list, or while it is not dead", function(w, c)
		local group = c:group("etcd", { desired = 3 })
		local dead = group[3]
		w:boot_all(c:machines(group, { group = "etcd" }))
		w:converge(names(group), 90)
		local before = w:members(group[1].id).ids
		w:kill(dead.id)
		c.moto:call("autoscaling", "EnterStandby", { AutoScalingGroupName = "etcd",
			["InstanceIds.member.1"] = dead.id, ShouldDecrementDesiredCapacity = "true" })
		local new = c:instance { group = "etcd" }
		c:machines({ new }, { group = "etcd" })

		local function stays(what, seconds)
			c:forget()
			local code = w:ends(new.id, { "--timeout", tostring(seconds or 2) })
			assert.is_true(code == 3 or code == 4, what)
			assert.is_true(#c:log { action = "DescribeInstances" } > 0, what)
			assert.equal(before, w:members(group[1].id).ids, what)
			c:heal()
		end
		local function listed(what, items)
			c:fault { action = "DescribeInstances", status = 200, body = moto.answer(items) }
			stays(what)
		end

		stays "in standby"
		c.moto:call("ec2", "StopInstances", { ["InstanceId.1"] = dead.id })
		stays "stopped"
		c:terminate(dead)
		local items = c.moto:items "etcd"
		local me, a, b, c_ = items[new.id], items[group[1].id], items[group[2].id], items[dead.id]
		assert.is_truthy(c_:find("<name>terminated</name>", 1, true))
		for _, state in ipairs { "shutting-down", "hibernated" } do
			listed(state, { me, a, b, (c_:gsub("<name>terminated</name>", "<name>" .. state .. "</name>")) })
		end
		listed("an empty list", {})
		listed("only me", { me })
		listed("without me", { a, b, c_ })
		c:fault { action = "DescribeInstances", times = 1, status = 200, body = moto.answer({ me, a, c_ }, "more") }
		c:fault { action = "DescribeInstances", status = 500 }
		stays "one page of two"
		c:fault { action = "DescribeInstances", status = 500 }
		stays "an error"

		w:boot(new.id)
		w:converge(names { group[1], group[2], new }, 90)
	end)
end)
