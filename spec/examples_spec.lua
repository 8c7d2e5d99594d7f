-- The examples in place of other tools: their flags and variables, and what they write, byte for byte.
local config = require "config"
local inventory = require "inventory"
local policy = require "policy"
local scratch = require "spec.scratch"
local template = require "template"

-- A permit as the gate hands it out.
local function permit(allowed)
	return { take = function() return allowed end }
end

local function instance(id, ip)
	return { id = id, name = id, addresses = { private_v4 = ip, hostname = "ip-" .. ip:gsub("%.", "-") .. ".ec2.internal" } }
end

-- The machines of the old tool's own specs; this one is e2.
local function facts_of(p)
	local list = assert(inventory { self = "i-e2",
		instances = { instance("i-e1", "10.50.99.1"), instance("i-e2", "10.50.199.1"), instance("i-e3", "10.50.155.1") } })
	assert(config.derive(p, list))
	return { me = assert(config.me(p, list)), inventory = list, clusters = {}, probes = {}, data_dir = { state = "empty" } }
end

local function founded(p)
	local f, list = facts_of(p), {}
	for i, one in ipairs(f.inventory.instances) do list[i] = { name = one.etcd_name, peer_urls = { one.peer_url } } end
	return assert(config.make(permit { action = "new", cluster_id = "7", member_id = "8", token = "t-0123", members = list }, "new", f, p))
end

-- e1 is a member that runs, e2 has just been added, e3 is none.
local function cluster(f)
	local first, mine = f.inventory.instances[1], f.me
	return { id = "7", quorum = true, endpoints = { first.client_url }, witnesses = { "i-e1" }, version = "3.4.0", members = {
		{ id = "1", name = "i-e1", peer_urls = { first.peer_url }, client_urls = { first.client_url } },
		{ id = "2", name = "", peer_urls = { mine.peer_urls[1] }, client_urls = {} },
	} }
end

local function joined(p)
	local f = facts_of(p)
	f.cluster = cluster(f)
	return assert(config.make(permit { action = "start", cluster_id = "7", member_id = "2" }, "start", f, p))
end

local function stands_by(p, version)
	local f = facts_of(p)
	f.cluster, f.me.etcd_version = cluster(f), version
	return config.standby(f)
end

local function words(text)
	local list = {}
	for word in text:gmatch "%S+" do list[#list + 1] = word end
	return list
end

describe("the example", function()
	local getenv, set, here = os.getenv, {}, nil

	setup(function()
		os.getenv = function(name) return set[name] end -- luacheck: ignore 122
	end)
	teardown(function()
		os.getenv = getenv -- luacheck: ignore 122
	end)
	before_each(function() here, set = scratch.new(), {} end)
	after_each(function() here:remove() end)

	local function load(name, line, env)
		set = env or {}
		return policy.load("examples/" .. name .. ".lua", { args = words(line or "") })
	end

	-- What the example writes for a configuration -> text, path, mode
	local function written(p, made)
		local out = p.output[1]
		return assert(template.render(out.template, made)), out.path, out.mode
	end

	local function refuses(name, line, wanted, env)
		it(name .. " refuses " .. (line ~= "" and line or next(env) .. "=" .. env[next(env)]), function()
			local p, why, code = load(name, line, env)
			assert.is_nil(p)
			assert.equal("usage", code)
			assert.truthy(why:find(wanted, 1, true), why)
		end)
	end

	describe("sky-uk", function()
		local CLUSTER = "ETCD_INITIAL_CLUSTER=i-e1=http://10.50.99.1:2380,i-e2=http://10.50.199.1:2380,i-e3=http://10.50.155.1:2380\n"

		it("writes the file of 1.x", function()
			local p = assert(load("sky-uk", "-cloud aws -o /run/e.conf"))
			local text, path, mode = written(p, founded(p))
			assert.same({ "/run/e.conf", nil }, { path, mode })
			assert.equal("# created by etcd-bootstrap\nETCD_INITIAL_CLUSTER_STATE=new\n" .. CLUSTER .. [[
ETCD_NAME=i-e2
ETCD_INITIAL_ADVERTISE_PEER_URLS=http://10.50.199.1:2380
ETCD_LISTEN_PEER_URLS=http://10.50.199.1:2380
ETCD_LISTEN_CLIENT_URLS=http://10.50.199.1:2379,http://127.0.0.1:2379
ETCD_ADVERTISE_CLIENT_URLS=http://10.50.199.1:2379
ETCD_INITIAL_CLUSTER_TOKEN=t-0123
]], text)
			assert.same({ nil, nil }, { p.register, p.on })
		end)

		it("writes the file of 2.x", function()
			local p = assert(load("sky-uk", "aws --output-file=/run/e.conf"))
			local text = written(p, joined(p))
			assert.equal([[
ETCD_INITIAL_CLUSTER_STATE=existing
ETCD_INITIAL_CLUSTER=i-e1=http://10.50.99.1:2380,i-e2=http://10.50.199.1:2380
ETCD_NAME=i-e2
ETCD_INITIAL_ADVERTISE_PEER_URLS=http://10.50.199.1:2380
ETCD_ADVERTISE_CLIENT_URLS=http://10.50.199.1:2379
ETCD_LISTEN_PEER_URLS=http://10.50.199.1:2380
ETCD_LISTEN_CLIENT_URLS=http://10.50.199.1:2379,http://127.0.0.1:2379
]], text)
			assert.equal("/var/run/etcd-bootstrap.conf", assert(load "sky-uk").output[1].path)
		end)

		it("writes the file of 2.x with TLS", function()
			local p = assert(load("sky-uk", "--enable-tls --tls-ca /ca --tls-cert /c --tls-key /k --tls-peer-ca /pca "
				.. "--tls-peer-cert /pc --tls-peer-key /pk aws"))
			local text = written(p, joined(p))
			assert.equal([[
ETCD_INITIAL_CLUSTER_STATE=existing
ETCD_INITIAL_CLUSTER=i-e1=https://10.50.99.1:2380,i-e2=https://10.50.199.1:2380
ETCD_NAME=i-e2
ETCD_INITIAL_ADVERTISE_PEER_URLS=https://10.50.199.1:2380
ETCD_ADVERTISE_CLIENT_URLS=https://10.50.199.1:2379
ETCD_LISTEN_PEER_URLS=https://10.50.199.1:2380
ETCD_LISTEN_CLIENT_URLS=https://10.50.199.1:2379,https://127.0.0.1:2379
ETCD_CLIENT_CERT_AUTH=true
ETCD_TRUSTED_CA_FILE=/ca
ETCD_CERT_FILE=/c
ETCD_KEY_FILE=/k
ETCD_PEER_CLIENT_CERT_AUTH=true
ETCD_PEER_TRUSTED_CA_FILE=/pca
ETCD_PEER_CERT_FILE=/pc
ETCD_PEER_KEY_FILE=/pk
]], text)
		end)

		for _, line in ipairs {
			"-cloud aws -route53-zone-id Z1 -domain-name etcd", "aws -r route53 --r53-zone-id Z1 --dns-hostname etcd",
			"aws --registration-provider=lb --lb-target-group-name etcd",
		} do
			it("registers at once for " .. line, function()
				local p, asked = assert(load("sky-uk", line)), 0
				assert.equal(1, #p.register)
				p.on { kind = "plan" }
				p.on { kind = "output", register = function() asked = asked + 1 end }
				assert.equal(1, asked)
			end)
		end

		it("sees the data where etcd's own variable says", function()
			assert.equal("/data", assert(load("sky-uk", "aws", { ETCD_DATA_DIR = "/data" })).etcd.data_dir)
		end)

		it("takes short flags as pflag does", function()
			local p = assert(load("sky-uk", "aws -rlb --lb-target-group-name etcd -o/run/e --srv-service x --srv-domain-name y"))
			assert.same({ 1, "/run/e" }, { #p.register, p.output[1].path })
		end)

		refuses("sky-uk", "-clout aws", "unknown flag -clout; did you mean -cloud?")
		refuses("sky-uk", "aws --registration-provider dns", "--registration-provider: noop or lb or route53 expected")
		refuses("sky-uk", "aws --enable-tls", "--enable-tls needs --tls-ca")
		refuses("sky-uk", "aws --enable-tls --tls-ca /ca", "--enable-tls needs --tls-cert")
		refuses("sky-uk", "aws -r lb", "-r lb needs --lb-target-group-name")
		refuses("sky-uk", "aws -rroute53", "-r route53 needs --r53-zone-id")
		refuses("sky-uk", "-route53-zone-id Z1", "-r route53 needs --dns-hostname")
		refuses("sky-uk", "aws --instance-lookup-method srv --srv-domain-name a", "--instance-lookup-method srv: not built; asg is")
		refuses("sky-uk", "--version", "ask etcd-bootstrap --version")
		for _, line in ipairs { "vmware --vsphere-host x", "-cloud gcp", "-cloud=vmware -vmware-host x", "-o x --cloud vmware" } do
			refuses("sky-uk", line, ": not built; a policy with command {} can list")
		end
	end)

	describe("etcd-aws-cluster", function()
		it("writes the seven variables on stdout", function()
			local p = assert(load "etcd-aws-cluster")
			local text, path = written(p, joined(p))
			assert.equal("-", path)
			assert.equal([[
ETCD_INITIAL_CLUSTER_STATE=existing
ETCD_INITIAL_CLUSTER=i-e1=http://10.50.99.1:2380,i-e2=http://10.50.199.1:2380
ETCD_NAME=i-e2
ETCD_LISTEN_PEER_URLS=http://0.0.0.0:2380
ETCD_LISTEN_CLIENT_URLS=http://0.0.0.0:2379
ETCD_INITIAL_ADVERTISE_PEER_URLS=http://10.50.199.1:2380
ETCD_ADVERTISE_CLIENT_URLS=http://10.50.199.1:2379
]], text)
			text = written(p, founded(p))
			assert.truthy(text:find "^ETCD_INITIAL_CLUSTER_STATE=new\nETCD_INITIAL_CLUSTER=i%-e1=[^\n]*,i%-e3=")
			assert.truthy(text:find "\nETCD_INITIAL_CLUSTER_TOKEN=t%-0123\n$")
		end)

		it("takes ports and schemes from the environment", function()
			local p = assert(load("etcd-aws-cluster", "-o /etc/sysconfig/etcd-peers", {
				ETCD_CLIENT_SCHEME = "https", ETCD_CLIENT_PORT = "4001", ETCD_SERVER_PORT = "7001", ETCD_CERT_FILE = "/c",
				ETCD_KEY_FILE = "/k",
			}))
			local text, path = written(p, joined(p))
			assert.equal("/etc/sysconfig/etcd-peers", path)
			assert.truthy(text:find("\nETCD_LISTEN_CLIENT_URLS=https://0.0.0.0:4001\n", 1, true), text)
			assert.truthy(text:find("\nETCD_INITIAL_ADVERTISE_PEER_URLS=http://10.50.199.1:7001\n", 1, true), text)
		end)

		it("is a proxy of another group", function()
			local p = assert(load("etcd-aws-cluster", "", { PROXY_ASG = "etcd" }))
			local f = facts_of(p)
			f.cluster = cluster(f)
			assert.equal("standby", assert(policy.decide(p, f)).action)
			local text = written(p, stands_by(p, "3.5.9"))
			assert.equal([[
ETCD_INITIAL_CLUSTER_STATE=existing
ETCD_INITIAL_CLUSTER=i-e1=http://10.50.99.1:2380,id-2=http://10.50.199.1:2380
ETCD_NAME=i-e2
ETCD_PROXY=on
]], text)
			text = written(p, stands_by(p, "3.6.0"))
			assert.equal("ETCD_NAME=i-e2\nETCD_GATEWAY_ENDPOINTS=http://10.50.99.1:2379\n", text)
		end)

		refuses("etcd-aws-cluster", "-h", "flags:\n  -d, -debug\n  -o, -output TEXT (-)")
		refuses("etcd-aws-cluster", "--outptu x", "unknown flag --outptu; did you mean --output?")
		refuses("etcd-aws-cluster", "", "ETCD_CLIENT_SCHEME: http or https expected", { ETCD_CLIENT_SCHEME = "ftp" })
	end)

	describe("ec2-tags", function()
		it("writes nothing and becomes etcd with its options", function()
			local p = assert(load("ec2-tags", "", { ED_HOME = "/opt", ETCD_OPTS = "--logger=zap  --debug", ETCD_MEMBER_TYPE = "ip" }))
			local made = founded(p)
			local text, path = written(p, made)
			assert.same({ "-", "" }, { path, text })
			assert.same({ "/opt/bin/etcd", "--logger=zap", "--debug" }, p.exec)
			assert.equal("http://10.50.199.1:2379,http://127.0.0.1:2379", made.env.ETCD_LISTEN_CLIENT_URLS)
			assert.equal("default", assert(load "ec2-tags").etcd.token)
		end)

		it("uses host names unless told otherwise", function()
			local made = founded(assert(load("ec2-tags", "", { PEER_PORT = "7001", CLNT_PORT = "4001" })))
			assert.equal("http://ip-10-50-199-1.ec2.internal:7001", made.env.ETCD_INITIAL_ADVERTISE_PEER_URLS)
			assert.equal("http://ip-10-50-199-1.ec2.internal:4001", made.env.ETCD_ADVERTISE_CLIENT_URLS)
			assert.equal("http://10.50.199.1:7001", made.env.ETCD_LISTEN_PEER_URLS)
		end)

		it("takes the certificates that are there, unless etcd makes its own", function()
			local pem = { here:write("client.crt", ""), here:write("client.key", ""), here:write("client_ca.crt", "") }
			local env = { ED_SSL = here.dir, CLNT_SCHEMA = "https" }
			local made = founded(assert(load("ec2-tags", "", env)))
			assert.same(pem, { made.env.ETCD_CERT_FILE, made.env.ETCD_KEY_FILE, made.env.ETCD_TRUSTED_CA_FILE })
			assert.is_nil(made.env.ETCD_PEER_CERT_FILE)
			env.ETCD_AUTO_TLS, env.CLNT_SCHEMA = "true", nil
			made = founded(assert(load("ec2-tags", "", env)))
			assert.same({ "true" }, { made.env.ETCD_AUTO_TLS, made.env.ETCD_CERT_FILE })
			assert.truthy(made.env.ETCD_ADVERTISE_CLIENT_URLS:find "^https:")
		end)

		it("lets etcd's own variables go first", function()
			local p = assert(load("ec2-tags", "", { ETCD_NAME = "me", ETCD_DATA_DIR = "/d", ED_DATA = "/e", ED_WAL = "/w",
				ETCD_LISTEN_PEER_URLS = "http://0.0.0.0:2380", ETCD_INITIAL_CLUSTER_TOKEN = "mine" }))
			assert.same({ "me", "/d", "mine", "/w" }, { p.etcd.name, p.etcd.data_dir, p.etcd.token, p.etcd.extra.ETCD_WAL_DIR })
			assert.equal("http://0.0.0.0:2380", founded(p).env.ETCD_LISTEN_PEER_URLS)
		end)

		refuses("ec2-tags", "-sizes 3", "unknown flag -sizes; did you mean -size?")
		refuses("ec2-tags", "", "CLNT_PORT: a whole number expected", { CLNT_PORT = "http" })
	end)

	describe("etcd-discovery", function()
		local HTTP = " -etcd-client-schema http -etcd-peer-scheme http"

		it("writes the quoted file, for nobody to write to", function()
			local p = assert(load("etcd-discovery", "-environment-file /run/e" .. HTTP .. " -etcd-peer-port=7001"))
			local text, path, mode = written(p, founded(p))
			assert.same({ "/run/e", "0444" }, { path, mode })
			assert.equal([[

ETCD_INITIAL_CLUSTER_STATE=new
ETCD_NAME=i-e2
ETCD_INITIAL_CLUSTER="i-e1=http://ip-10-50-99-1.ec2.internal:7001,i-e2=http://ip-10-50-199-1.ec2.internal:7001,]]
				.. [[i-e3=http://ip-10-50-155-1.ec2.internal:7001"
ETCD_PROXY="off"
ETCD_INITIAL_CLUSTER_TOKEN=t-0123
]], text)
		end)

		it("uses addresses when told, and leaves the token to foundings", function()
			local p = assert(load("etcd-discovery", "-environment-file /run/e -private-addresses -private-hostnames=false" .. HTTP))
			local text = written(p, joined(p))
			assert.equal([[

ETCD_INITIAL_CLUSTER_STATE=existing
ETCD_NAME=i-e2
ETCD_INITIAL_CLUSTER="i-e1=http://10.50.99.1:2380,i-e2=http://10.50.199.1:2380"
ETCD_PROXY="off"
]], text)
		end)

		it("takes https as its default, with the certificates that etcd has", function()
			local p = assert(load("etcd-discovery", "-environment-file /run/e", {
				ETCD_CERT_FILE = "/c", ETCD_KEY_FILE = "/k", ETCD_PEER_CERT_FILE = "/pc", ETCD_PEER_KEY_FILE = "/pk",
			}))
			assert.truthy(founded(p).env.ETCD_INITIAL_CLUSTER:find "^i%-e1=https://ip%-10%-50%-99%-1%.ec2%.internal:2380,")
		end)

		it("is a proxy of etcd before 3.6, and a gateway from then on", function()
			local line = "-environment-file /run/e -private-addresses -private-hostnames=false -proxy-mode -scaling-group-name etcd"
			local p = assert(load("etcd-discovery", line .. HTTP))
			local text, _, mode = written(p, stands_by(p, "3.5.9"))
			assert.equal("0444", mode)
			assert.equal([[

ETCD_INITIAL_CLUSTER_STATE=existing
ETCD_NAME=i-e2
ETCD_INITIAL_CLUSTER="i-e1=http://10.50.99.1:2380,id-2=http://10.50.199.1:2380"
ETCD_PROXY="on"
]], text)
			text = written(p, stands_by(p, "3.7.0"))
			assert.equal('\nETCD_NAME=i-e2\nETCD_GATEWAY_ENDPOINTS="http://10.50.99.1:2379"\n', text)
			local f = facts_of(p)
			f.cluster = cluster(f)
			assert.is_nil(assert(policy.decide(p, f)).exec)
			p = assert(load("etcd-discovery", line .. HTTP .. " -gateway 127.0.0.1:2379"))
			assert.equal("--listen-addr=127.0.0.1:2379", assert(policy.decide(p, f)).exec[4])
		end)

		it("takes the flags of its log, and says which change nothing", function()
			local log, said = require "core.log", {}
			local warn = log.warn
			log.warn = function(text) table.insert(said, text) end
			local p = load("etcd-discovery", "-environment-file /run/e -logtostderr -alsologtostderr=true -stderrthreshold=INFO -v=0 "
				.. "-vmodule a=1 -log_backtrace_at a.go:1 -log_dir /var/log" .. HTTP)
			log.warn = warn
			assert.truthy(p)
			assert.matches("^%-stderrthreshold changes nothing", said[1])
			assert.equal(4, #said)
		end)

		refuses("etcd-discovery", "-logtostderr", "-environment-file is required")
		refuses("etcd-discovery", "-environment-file /x -proxy-mode", "-proxy-mode needs -scaling-group-name")
		refuses("etcd-discovery", "-environment-file /x -private-addresses", "-private-addresses needs -private-hostnames=false")
		refuses("etcd-discovery", "-environment-file /x -etcd-client-scheme http", "did you mean -etcd-client-schema?")
	end)
end)
