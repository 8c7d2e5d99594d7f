-- cloudformation_spec.lua - examples/cloudformation.yaml, deployed to moto: its machines found a cluster
-- with its role's own keys and policy, checked, and are replaced one after another.

local assert = require "luassert"
local crypto = require "core.crypto"
local proc = require "core.proc"
local cloud = require "spec.world.cloud"
local moto = require "spec.world.moto"
local world = require "spec.world.world"

local TEMPLATE = "examples/cloudformation.yaml"

local function deploy(c)
	return c.moto:stack("etcd", assert(world.read(world.here .. "/" .. TEMPLATE)),
		{ Image = "ami-12c6146b", Vpc = c.moto.vpc, Subnets = c.moto.subnet })
end

-- The stack's policy in a role made by hand: moto keeps that of a stack as Python prints it, and cannot
-- check it.
local function role(c, outputs)
	local text = c.moto:call("iam", "GetRolePolicy", { RoleName = outputs.Role, PolicyName = "discovery" })
	return c.moto:role("machine", (moto.values(text, "PolicyDocument")[1]:gsub("'", "\"")))
end

local function template(c)
	local id = moto.values(c.moto:call("ec2", "DescribeLaunchTemplates"), "launchTemplateId")[1]
	return c.moto:call("ec2", "DescribeLaunchTemplateVersions", { LaunchTemplateId = id })
end

local function program(w, name, line)
	world.succeed("mkdir", "-p", w.root .. "/bin")
	world.write(w.root .. "/bin/" .. name, "#!/bin/sh\n" .. line .. "\n")
	world.succeed("chmod", "+x", w.root .. "/bin/" .. name)
end

-- Runs the user data with /etc below the world, and programs that only note what they are told; `enable`
-- is the exit status of systemctl.
local function boot_script(w, c, enable)
	local text = crypto.unbase64(moto.values(template(c), "userData")[1]):gsub("/etc/", w.root .. "/etc/")
	program(w, "systemctl", ("echo systemctl \"$@\" >>%s/calls; exit %d"):format(w.root, enable or 0))
	program(w, "cfn-signal", ("echo cfn-signal \"$@\" >>%s/calls"):format(w.root))
	world.succeed("mkdir", "-p", w.root .. "/etc/systemd/system")
	world.write(w.root .. "/user-data", text)
	assert(proc.run { "bash", w.root .. "/user-data", timeout = 20,
		env = { PATH = w.root .. "/bin:" .. os.getenv "PATH" } })
	return assert(world.read(w.root .. "/calls"))
end

local function names(list)
	local all = {}
	for i, one in ipairs(list) do
		all[i] = one.id
	end
	return table.concat(all, " ")
end

cloud.describe(TEMPLATE, function(it)
	it("asks for tokens, shows tags, and opens etcd's ports to its own groups", function(_, c)
		local outputs = deploy(c)
		local text = template(c)
		assert.is_truthy(text:find("<httpTokens>required</httpTokens>", 1, true))
		assert.is_truthy(text:find("<instanceMetadataTags>enabled</instanceMetadataTags>", 1, true))
		assert.is_truthy(text:find "<iamInstanceProfile><arn>arn:aws:iam::")
		local rules = c.moto:call("ec2", "DescribeSecurityGroups",
			{ ["Filter.1.Name"] = "ip-permission.group-id", ["Filter.1.Value.1"] = outputs.Clients })
		assert.same({ "2379", "2379" }, { moto.values(rules, "fromPort")[1], moto.values(rules, "toPort")[1] })
		assert.is_nil(rules:find("0.0.0.0/0", 1, true) and rules:match "<ipPermissions>.-0%.0%.0%.0/0.-</ipPermissions>")
	end)

	it("its machines start etcd, and signal how that went", function(w, c)
		deploy(c)
		local calls = boot_script(w, c)
		assert.equal("systemctl daemon-reload\nsystemctl enable --now etcd\n"
			.. "cfn-signal --exit-code 0 --stack etcd --resource Group --region eu-west-1\n", calls)
		local checked = assert(proc.run { world.binary, "check", w.root .. "/etc/etcd-bootstrap.lua", timeout = 20 })
		assert.same({ 0, "" }, { checked.status, checked.stderr })
		assert.is_truthy(boot_script(w, c, 3):find("cfn-signal --exit-code 3", 1, true))
	end)

	it("its unit is the manual's", function(w, c)
		deploy(c)
		boot_script(w, c)
		local text = world.read(w.root .. "/etc/systemd/system/etcd.service")
		local manual = world.read(world.here .. "/docs/manual.md"):match "```ini\n#[^\n]*\n(.-)```"
		assert.equal(manual, (text:gsub(w.root:gsub("%p", "%%%0") .. "/etc/", "/etc/")))
	end)

	it("its machines found a cluster, and are replaced one by one", function(w, c)
		local outputs = deploy(c)
		local group, seen = c.moto:members(outputs.Group), { group = outputs.Group, role = role(c, outputs) }
		c.moto:auth(true)
		w.policy.finish = "true"
		w:boot_all(c:machines(group, seen))
		w:converge(names(group), 90)
		w:must_put(group[1].id, "k", "v")
		for _ = 1, 3 do
			local old = table.remove(group, 1)
			w:kill(old.id)
			local new = c:terminate(old)
			group[#group + 1] = new
			c:machines({ new }, seen)
			w:boot(new.id)
			local finish = w:beside(new.id, "finish")
			assert.equal(0, finish:exit(90), finish:log())
			w:converge(names(group), 30)
			w:must_get(new.id, "k", "v")
		end
	end)
end)
