-- The commands of a restore: what each etcd's tools want, and words that a shell reads as they were meant.
local etcd = require "core.etcd"
local proc = require "core.proc"
local restore = require "restore"

local FOUNDERS = {
	{ name = "a", peer_urls = { "http://10.0.0.1:2380" } },
	{ name = "b", peer_urls = { "http://10.0.0.2:2380", "http://10.1.0.2:2380" } },
}

local function commands(o)
	local set = { data_dir = "/var/lib/etcd", extra = {}, scheme = "http", tls = { verify = true } }
	for key, value in pairs(o.etcd or {}) do set[key] = value end
	return restore.commands { lost = "255", best = not o.nobody and { client_url = "http://10.0.0.1:2379" } or nil,
		founders = FOUNDERS, etcd = set, token = "t", version = o.version or "3.4.23" }
end

describe("restore", function()
	it("takes a snapshot, restores it on each machine and moves what was there aside", function()
		local r = commands {}
		assert.equal("t-after-ff", r.token)
		assert.equal((etcd.identify(FOUNDERS, "t-after-ff")), r.cluster_id)
		assert.same({ "etcdctl --endpoints=http://10.0.0.1:2379 snapshot save /var/lib/etcd.ff.snapshot" }, r.snapshot)
		assert.same({ "a", "b" }, { r.machines[1].name, r.machines[2].name })
		assert.same({
			"mkdir -p -m 700 /var/lib/etcd",
			"etcdctl snapshot restore /var/lib/etcd.ff.snapshot --name=b --initial-cluster=a=http://10.0.0.1:2380,"
				.. "b=http://10.0.0.2:2380,b=http://10.1.0.2:2380 --initial-cluster-token=t-after-ff "
				.. "--initial-advertise-peer-urls=http://10.0.0.2:2380,http://10.1.0.2:2380 --data-dir=/var/lib/etcd/restored",
			"test ! -e /var/lib/etcd/member || mv -T /var/lib/etcd/member /var/lib/etcd/member.aside-restore",
			"mv -T /var/lib/etcd/restored/member /var/lib/etcd/member",
			"rmdir /var/lib/etcd/restored",
			"chown -R --reference=/var/lib/etcd /var/lib/etcd/member",
		}, r.machines[2].commands)
	end)

	local tools = {
		{ "3.3.27", "ETCDCTL_API=3 etcdctl ", "etcdctl " }, { "3.4.23", "etcdctl ", "etcdctl " }, { "3.5.9", "etcdctl ", "etcdctl " },
		{ "3.6.0", "etcdctl ", "etcdutl " }, { "3.10.1", "etcdctl ", "etcdutl " }, { "4.0.0", "etcdctl ", "etcdutl " },
	}
	for _, case in ipairs(tools) do
		it("knows the tools of etcd " .. case[1], function()
			local r = commands { version = case[1] }
			assert.equal(case[2] .. "--endpoints", r.snapshot[1]:sub(1, #case[2] + 11))
			assert.equal(case[3] .. "snapshot restore ", r.machines[1].commands[2]:sub(1, #case[3] + 17))
		end)
	end

	it("copies the database where no client port answers, and has its missing digest forgiven", function()
		local r = commands { nobody = true }
		assert.same({ "cp /var/lib/etcd/member/snap/db /var/lib/etcd.ff.snapshot" }, r.snapshot)
		assert.truthy(r.machines[1].commands[2]:find(" --skip-hash-check", 1, true))
	end)

	it("brings a log of its own place there", function()
		local list = commands { etcd = { extra = { ETCD_WAL_DIR = "/wal" } } }.machines[1].commands
		assert.truthy(list[2]:find(" --wal-dir=/wal.restored", 1, true))
		assert.same({ "test ! -e /wal || mv -T /wal /wal.aside-restore", "mv -T /wal.restored /wal" }, { list[3], list[4] })
		assert.equal("chown -R --reference=/var/lib/etcd /var/lib/etcd/member /wal", list[#list])
	end)

	it("names certificates and the user, never a password", function()
		local set = { scheme = "https", user = "root", password_file = "/pw", tls = { ca = "/ca", cert = "/c", key = "/k", probe_cert = "/p",
			probe_key = "/q", verify = false } }
		assert.truthy(commands({ etcd = set }).snapshot[1]:find(
			" --cacert=/ca --cert=/p --key=/q --insecure-skip-tls-verify --user=root snapshot save ", 1, true))
	end)

	it("has a shell read every word as it was meant", function()
		local r = commands { etcd = { data_dir = "/tmp/it's $HOME" } }
		local ran = assert(proc.run { "sh", "-c", "printf %s " .. r.snapshot[1]:match "save (.*)$", timeout = 10 })
		assert.equal("/tmp/it's $HOME.ff.snapshot", ran.stdout)
	end)
end)
