-- What a run becomes: whether its words, the policy and the environment agree.
local config = require "config"
local program = require "program"

local POLICY = {
	output = { { path = "/run/etcd.yaml" } },
	etcd = { data_dir = "/d", token = "t", scheme = "http", peer_scheme = "http", client_port = 1, peer_port = 2,
		address = "private_v4", tls = {}, extra = { ETCD_X = "1" } },
}

describe("program", function()
	local getenv, inherited = os.getenv, {}

	setup(function() os.getenv = function(name) return inherited[name] end end) -- luacheck: ignore 122
	teardown(function() os.getenv = getenv end) -- luacheck: ignore 122

	local function why(argv, set)
		inherited = set or {}
		return program.disagrees(POLICY, argv, config.variables(POLICY))
	end

	local twice = {
		{ { "etcd", "--name=a" }, {}, "exec has --name, and ETCD_NAME is set by this policy" },
		{ { "/usr/bin/etcd-3.5", "--log-level", "x", "-data-dir", "/d" }, {}, "exec has -data-dir, and ETCD_DATA_DIR is set" },
		{ { "etcd", "--x" }, {}, "exec has --x, and ETCD_X is set by this policy" },
		{ { "etcd", "--auto-compaction-retention=1" }, { ETCD_AUTO_COMPACTION_RETENTION = "1" },
			"exec has --auto-compaction-retention, and ETCD_AUTO_COMPACTION_RETENTION is in the environment" },
		{ { "etcd", "--logger=zap" }, { ETCD_LOGGER = "" }, "ETCD_LOGGER is in the environment" },
		{ { "etcd", "--config-file=/etc/e.yml" }, {}, "etcd would read /etc/e.yml and nothing else" },
		{ { "etcd", "--config-file", "/etc/e.yml" }, {}, "etcd would read /etc/e.yml and nothing else" },
		{ { "etcd" }, { ETCD_CONFIG_FILE = "/etc/e.yml" }, "etcd would read /etc/e.yml and nothing else" },
	}
	for _, case in ipairs(twice) do
		it("says why etcd would not do its work: " .. table.concat(case[1], " "), function()
			local text = why(case[1], case[2])
			assert.truthy(text and text:find(case[3], 1, true), text)
		end)
	end

	local once = {
		{ { "etcd" }, { ETCD_NAME = "z", ETCD_CONFIG_FILE = "" } }, { { "etcd", "--logger=zap", "--cert-file=/c" }, {} },
		{ { "etcd", "--config-file=/run/etcd.yaml", "--name=a" }, {} },
		{ { "etcd", "gateway", "start", "--name=a" }, {} }, { { "docker", "run", "--name", "etcd" }, {} },
	}
	for _, case in ipairs(once) do
		it("has nothing against " .. table.concat(case[1], " "), function()
			assert.is_nil(why(case[1], case[2]))
		end)
	end

	it("starts no etcd that would throw the other members out", function()
		local argv, text = program.words({ exec = { "etcd", "--force-new-cluster" } }, {})
		assert.is_nil(argv)
		assert.matches("throw every other member out", text)
		assert.is_nil((program.words({ exec = function() return { "sh", "-force-new-cluster=true" } end }, {})))
		assert.matches("force", program.unfit { exec = { "sh", "--force-new-cluster" }, output = {}, etcd = POLICY.etcd })
	end)

	it("asks a function for its words beforehand, once there is a configuration to tell it", function()
		local made = { env = { ETCD_NAME = "a" }, name = "a" }
		local function unfit(exec, config_)
			return program.unfit({ exec = exec, output = {}, etcd = POLICY.etcd }, config_)
		end
		assert.is_nil(unfit(function() error "oh" end))
		assert.matches("exec failed: .*oh", unfit(function() error "oh" end, made))
		assert.matches("a list of words", unfit(function() return {} end, made))
		assert.matches("no%-such%-etcd, which exec names", unfit(function() return { "no-such-etcd" } end, made))
		assert.is_nil(unfit(function(c) return { "sh", c.name } end, made))
	end)

	it("takes a list of words from a function, and nothing else", function()
		assert.same({ "etcd", "a" }, program.words({ exec = function(c) return { "etcd", c.name } end }, { name = "a" }))
		for _, bad in ipairs { function() return "etcd" end, function() return {} end, function() error "oh" end } do
			local argv, text = program.words({ exec = bad }, {})
			assert.is_nil(argv)
			assert.is_string(text)
		end
	end)
end)
