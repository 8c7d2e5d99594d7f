-- aws.endpoints and aws.region: hosts by partition, and what the environment or a profile says.
local fake = require "spec.aws.fake"
local scratch = require "spec.scratch"

describe("aws.endpoints", function()
	local here, endpoints, region, restore, env
	before_each(function()
		here, env = scratch.new(), {}
		env.HOME, env.AWS_EC2_METADATA_DISABLED = here.dir, "true"
		restore = fake.environment(env)
		endpoints, region = fake.fresh("aws.endpoints", "aws.region")
	end)
	after_each(function()
		restore()
		here:remove()
	end)

	-- service, region, plain, FIPS, dual stack, both; as botocore 1.43 resolves them
	local hosts = {
		{ "ec2", "eu-west-1", "ec2.eu-west-1.amazonaws.com", "ec2-fips.eu-west-1.amazonaws.com", "ec2.eu-west-1.api.aws",
			"ec2-fips.eu-west-1.api.aws" },
		{ "autoscaling", "us-gov-west-1", "autoscaling.us-gov-west-1.amazonaws.com", "autoscaling.us-gov-west-1.amazonaws.com",
			"autoscaling.us-gov-west-1.api.aws", "autoscaling-fips.us-gov-west-1.api.aws" },
		{ "elasticloadbalancing", "cn-north-1", "elasticloadbalancing.cn-north-1.amazonaws.com.cn",
			"elasticloadbalancing-fips.cn-north-1.amazonaws.com.cn", "elasticloadbalancing.cn-north-1.api.amazonwebservices.com.cn",
			"elasticloadbalancing-fips.cn-north-1.api.amazonwebservices.com.cn" },
		{ "sts", "eusc-de-east-1", "sts.eusc-de-east-1.amazonaws.eu", "sts-fips.eusc-de-east-1.amazonaws.eu",
			"sts.eusc-de-east-1.api.amazonwebservices.eu", "sts-fips.eusc-de-east-1.api.amazonwebservices.eu" },
		{ "sts", "us-iso-east-1", "sts.us-iso-east-1.c2s.ic.gov", "sts-fips.us-iso-east-1.c2s.ic.gov" },
		{ "ec2", "us-isob-east-1", "ec2.us-isob-east-1.sc2s.sgov.gov" }, { "ec2", "eu-isoe-west-1", "ec2.eu-isoe-west-1.cloud.adc-e.uk" },
		{ "ec2", "us-isof-south-1", "ec2.us-isof-south-1.csp.hci.ic.gov" }, { "ec2", "us-new-9", "ec2.us-new-9.amazonaws.com" },
		{ "ec2", "moon-base", "ec2.moon-base.amazonaws.com" },
		{ "s3", "eu-west-1", "s3.eu-west-1.amazonaws.com", "s3-fips.eu-west-1.amazonaws.com", "s3.dualstack.eu-west-1.amazonaws.com",
			"s3-fips.dualstack.eu-west-1.amazonaws.com" },
		{ "s3", "us-gov-west-1", "s3.us-gov-west-1.amazonaws.com", "s3-fips.us-gov-west-1.amazonaws.com" },
		{ "route53", "eu-west-1", "route53.amazonaws.com", "route53-fips.amazonaws.com", "route53.global.api.aws",
			"route53-fips.global.api.aws" },
		{ "route53", "us-gov-east-1", "route53.us-gov.amazonaws.com", "route53.us-gov.amazonaws.com", "route53.us-gov.api.aws",
			"route53.us-gov.api.aws" },
		{ "route53", "cn-north-1", "route53.amazonaws.com.cn", "route53-fips.amazonaws.com.cn", "route53.global.api.amazonwebservices.com.cn",
			"route53-fips.api.amazonwebservices.com.cn" },
		{ "route53", "us-iso-west-1", "route53.c2s.ic.gov" },
	}
	for _, case in ipairs(hosts) do
		it(("knows %s in %s"):format(case[1], case[2]), function()
			for i, o in ipairs { {}, { fips = true }, { dualstack = true }, { fips = true, dualstack = true } } do
				o.service, o.region = case[1], case[2]
				if case[i + 2] then assert.equal("https://" .. case[i + 2], assert(endpoints.resolve(o)).url) end
			end
		end)
	end

	it("signs for the region that is asked, and what has none for the partition's own", function()
		assert.equal("eu-west-1", assert(endpoints.find("ec2", "eu-west-1")).signing_region)
		for name, signing in pairs { ["eu-west-1"] = "us-east-1", ["cn-north-1"] = "cn-northwest-1", ["us-gov-east-1"] = "us-gov-west-1",
			["us-iso-west-1"] = "us-iso-east-1", ["eusc-de-east-1"] = "eusc-de-east-1" } do
			assert.equal(signing, assert(endpoints.find("route53", name)).signing_region)
		end
	end)

	it("takes the most exact of the URLs that are configured", function()
		here:write(".aws/config", "[default]\nendpoint_url = http://profile/\nservices = mine\n[services mine]\nauto_scaling =\n"
			.. "  endpoint_url = http://service:81/a/\n")
		local function url(service) return assert(endpoints.find(service, "eu-west-1")).url end
		assert.equal("http://service:81/a", url "autoscaling")
		assert.equal("http://profile", url "ec2")
		env.AWS_ENDPOINT_URL = "http://all:82"
		assert.equal("http://all:82", url "autoscaling")
		env.AWS_ENDPOINT_URL_AUTO_SCALING = "https://[::1]:83"
		assert.equal("https://[::1]:83", url "autoscaling")
		assert.equal("http://all:82", url "ec2")
		env.AWS_IGNORE_CONFIGURED_ENDPOINT_URLS = "true"
		assert.equal("https://ec2.eu-west-1.amazonaws.com", url "ec2")
	end)

	local wrong = {
		{ { AWS_ENDPOINT_URL = "ftp://x" }, "AWS_ENDPOINT_URL: http://HOST" },
		{ { AWS_ENDPOINT_URL_EC2 = "http://me:pw@x" }, "AWS_ENDPOINT_URL_EC2: http://HOST" },
		{ { AWS_ENDPOINT_URL = "http://x", AWS_USE_FIPS_ENDPOINT = "true" }, "AWS_ENDPOINT_URL and AWS_USE_FIPS_ENDPOINT" },
		{ { AWS_ENDPOINT_URL = "http://x", AWS_USE_DUALSTACK_ENDPOINT = "true" }, "AWS_USE_DUALSTACK_ENDPOINT" },
		{ { AWS_USE_FIPS_ENDPOINT = "1" }, "AWS_USE_FIPS_ENDPOINT: true or false" },
		{ { AWS_PROFILE = "p" }, "no section [services none]" },
	}
	for _, case in ipairs(wrong) do
		it("refuses " .. case[2], function()
			here:write(".aws/config", "[profile p]\nservices = none\n")
			for name, value in pairs(case[1]) do env[name] = value end
			local found, why, code = endpoints.find("ec2", "eu-west-1")
			assert.same({ nil, "usage" }, { found, code })
			assert.matches(case[2], why, 1, true)
		end)
	end

	it("refuses S3 with FIPS in China, where it is not", function()
		env.AWS_USE_FIPS_ENDPOINT = "true"
		assert.equal("usage", select(3, endpoints.find("s3", "cn-north-1")))
		assert(endpoints.find("ec2", "cn-north-1"))
	end)

	it("gives a bucket a host of its own where its name may be one", function()
		local aws, other = { url = "https://s3.eu-west-1.amazonaws.com" }, { url = "http://127.0.0.1:5000/x", custom = true }
		assert.equal("https://my-bucket.s3.eu-west-1.amazonaws.com", endpoints.bucket(aws, "my-bucket"))
		for _, name in ipairs { "my.bucket", "My", "ab", "-abc", "abc_d" } do
			assert.equal("https://s3.eu-west-1.amazonaws.com/" .. name, endpoints.bucket(aws, name))
		end
		assert.equal("http://127.0.0.1:5000/x/my-bucket", endpoints.bucket(other, "my-bucket"))
	end)

	describe("the region", function()
		it("is that of AWS_REGION, AWS_DEFAULT_REGION, the profile", function()
			here:write(".aws/config", "[default]\nregion = us-east-2\n")
			assert.equal("us-east-2", region.get())
			env.AWS_DEFAULT_REGION = "eu-west-3"
			assert.equal("eu-west-3", region.get())
			env.AWS_REGION = "eu-west-1"
			assert.equal("eu-west-1", region.get())
		end)

		it("is unknown, with every place that was looked at", function()
			local found, why, code = region.get()
			assert.same({ nil, "denied" }, { found, code })
			for _, word in ipairs { "AWS_REGION", "AWS_DEFAULT_REGION", 'profile "default"', "AWS_EC2_METADATA_DISABLED" } do
				assert.matches(word, why, 1, true)
			end
		end)

		it("is never a host of somebody else's", function()
			for _, name in ipairs { "evil.example/", "a@b", "a b", ".", "-a" } do
				env.AWS_REGION = name
				assert.equal("usage", select(3, region.get()))
			end
		end)
	end)
end)
