-- tools_spec.lua - what tools/test makes of the caller's shell.
local OURS = { AWS_EC2_METADATA_SERVICE_ENDPOINT = true, ETCD_BOOTSTRAP = true, ETCD_BOOTSTRAP_CACHE = true,
	ETCD_BOOTSTRAP_JOB = true }

describe("under tools/test", function()
	it("no spec can ask a real metadata service, or find the caller's keys and etcd", function()
		if not os.getenv "TALLY" then pending "not run by tools/test" end
		assert.equal("http://127.0.0.1:9", os.getenv "AWS_EC2_METADATA_SERVICE_ENDPOINT")
		local file <close> = assert(io.open "/proc/self/environ")
		for name in file:read "a":gmatch "([%w_]+)=[^%z]*" do
			local theirs = name:find "^AWS_" or name:find "^ETCD_" or name:find "^ETCDCTL_"
			assert.truthy(OURS[name] or not theirs, name)
		end
	end)
end)
