-- errors_spec.lua - F5, W5: an error is not an absence, whatever it looks like.

local assert = require "luassert"
local fs = require "core.fs"
local world = require "spec.world.world"
local pki = require "spec.world.pki"

-- What a runs into on b: exit not 0, b named with the reason, the output as it was.
local function refuses_to_found(w, why, policy)
	w:list { "a", "b" }
	local m = w:machine "a"
	world.write(m.output, "OLD=1\n")
	local before = fs.stat(m.output).inode
	policy = policy or {}
	policy[1], policy[2] = "--timeout", "2"
	local code, run = w:ends("a", policy)
	assert.not_equal(0, code)
	assert.is_true(code < 128)
	local log = run:log()
	assert.is_truthy(log:find "%f[%w]b%f[%W]", "the machine is named")
	local found = false
	for _, pattern in ipairs(why) do
		found = found or log:lower():find(pattern) ~= nil
	end
	assert.is_true(found, "the reason is given (" .. table.concat(why, " or ") .. "): " .. log)
	assert.equal("OLD=1\n", w:output "a")
	assert.equal(before, fs.stat(m.output).inode)
	assert.is_false(w:has_log "a")
end

local answers = {
	["404"] = { "404" }, ["500"] = { "500" }, ["401"] = { "401" }, ["403"] = { "403" },
	cut = { "json", "pars", "cut", "body" }, short = { "json", "cut", "body", "clos", "transfer" },
	html = { "html", "json", "pars", "body" }, empty = { "empty", "json", "body" },
	nothing = { "empty", "clos", "nothing", "reply" }, garbage = { "http", "tls", "body", "pars" },
	deep = { "json", "deep", "depth", "nest", "body" }, redirect = { "302", "redirect" },
	hang = { "timeout", "timed out", "in time", "no answer", "within" },
	drip = { "timeout", "timed out", "in time", "within", "body" },
	huge = { "large", "big", "limit", "long", "size", "exceed" },
}

describe("an error is not an absence", function()
	local kinds = {}
	for kind in pairs(answers) do
		kinds[#kinds + 1] = kind
	end
	table.sort(kinds)
	for _, kind in ipairs(kinds) do
		world.it("F5 " .. kind .. " on both ports", function(w)
			w:fault("b", "answer", kind, w:address "b", "2379", "2380")
			refuses_to_found(w, answers[kind])
		end)
	end

	-- A real etcd of one member on b.
	local function etcd(w, scheme, ...)
		local peer = ("%s://%s:2380"):format(scheme, w:address "b")
		local client = ("%s://%s:2379"):format(scheme, w:address "b")
		local run = w:process("b", { "etcd", "--name", "b", "--data-dir", w:machine("b").dir .. "/data",
			"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
			"--listen-client-urls", client, "--advertise-client-urls", client,
			"--initial-cluster", "b=" .. peer, "--initial-cluster-state", "new", ... })
		run:says("serving", 20)
	end

	local function certificates(w, name)
		local dir = pki.authority(w.root .. "/" .. name)
		pki.issue(dir, "node", { w:address "a", w:address "b" })
		return dir
	end

	local function secure_etcd(w, dir, ...)
		local crt, key, ca = dir .. "/node.crt", dir .. "/node.key", dir .. "/ca.crt"
		etcd(w, "https", "--cert-file", crt, "--key-file", key, "--peer-cert-file", crt,
			"--peer-key-file", key, "--peer-trusted-ca-file", ca, "--trusted-ca-file", ca, ...)
	end

	local function secure_policy(dir, own)
		local tls = ("ca = %q, peer_ca = %q"):format(dir .. "/ca.crt", dir .. "/ca.crt")
		if own then
			tls = tls .. (", cert = %q, key = %q, peer_cert = %q, peer_key = %q"):format(
				own .. "/node.crt", own .. "/node.key", own .. "/node.crt", own .. "/node.key")
		end
		return { etcd = { scheme = "\"https\"", peer_scheme = "\"https\"", tls = "{ " .. tls .. " }" } }
	end

	world.it("F5 the client certificate is refused", function(w)
		local dir, stranger = certificates(w, "pki"), certificates(w, "stranger")
		secure_etcd(w, dir, "--client-cert-auth", "--peer-client-cert-auth")
		refuses_to_found(w, { "certificate", "alert" }, secure_policy(dir, stranger))
	end)

	world.it("F5 the server's authority is unknown", function(w)
		local dir, other = certificates(w, "pki"), certificates(w, "other")
		secure_etcd(w, dir)
		refuses_to_found(w, { "certificate", "authority", "issuer" }, secure_policy(other, other))
	end)

	world.it("F5 https to a plain port", function(w)
		local dir = certificates(w, "pki")
		etcd(w, "http")
		refuses_to_found(w, { "tls", "plain" }, secure_policy(dir, dir))
	end)

	world.it("F5 plain to an https port", function(w)
		secure_etcd(w, certificates(w, "pki"))
		refuses_to_found(w, { "tls", "https", "400" })
	end)

	world.it("W5 a hostile proxy and .netrc change no verdict", function(w)
		local proxy = w.net .. ".200"
		local log = w.root .. "/proxy.log"
		w:machine("proxy", { address = proxy })
		w:fault("proxy", "answer", "html", proxy, "3128", "--log", log)
		world.write(w.root .. "/.netrc", "default login hostile password hostile\n")
		local url = "http://" .. proxy .. ":3128"
		local env = { HOME = w.root, http_proxy = url, HTTP_PROXY = url, https_proxy = url, HTTPS_PROXY = url,
			all_proxy = url, ALL_PROXY = url, no_proxy = false, NO_PROXY = false }
		w:list { "a", "b", "c" }
		w:boot_all("a b c", { env = env })
		w:converge "a b c"
		w:kill "c"
		w:list { "a", "b", { "c", state = "dead" }, "d" }
		w:boot("d", { env = env })
		w:converge "a b d"
		assert.equal("", world.read(log))
	end)
end)
