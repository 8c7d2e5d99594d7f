-- tokens_spec.lua - etcd's auth with tokens of either kind: a lost disk comes back with JWT, and a token
-- that has ended is replaced in the middle of a run.

local busted = require "busted"
local assert = require "luassert"
local http = require "core.http"
local json = require "core.json"
local proc = require "core.proc"
local login = require "login"
local members = require "members"
local cluster = require "spec.world.cluster"
local world = require "spec.world.world"

local function enable_auth(w, via)
	for path, body in pairs { ["user/add"] = { name = "root", password = "pw" }, ["role/add"] = { name = "root" } } do
		assert(cluster.change(w:client(via), "/v3/auth/" .. path, body))
	end
	assert(cluster.change(w:client(via), "/v3/auth/user/grant", { user = "root", role = "root" }))
	assert(cluster.change(w:client(via), "/v3/auth/enable", {}))
	world.write(w.root .. "/password", "pw\n")
	world.succeed("chmod", "600", w.root .. "/password")
	return { user = "root", password_file = w.root .. "/password", scheme = "http" }
end

local function jwt(w, seconds)
	local key, public = w.root .. "/jwt.key", w.root .. "/jwt.pub"
	world.succeed("openssl", "genrsa", "-out", key, "2048")
	world.succeed("openssl", "rsa", "-in", key, "-pubout", "-out", public)
	return { ("--auth-token=jwt,pub-key=%s,priv-key=%s,sign-method=RS256,ttl=%ds"):format(public, key, seconds) }
end

local function simple(_, seconds)
	return { "--auth-token=simple", "--auth-token-ttl=" .. seconds }
end

local function exec(w, binary, flags)
	local words = { ("%q"):format(binary), "\"--logger=zap\"" }
	for i, flag in ipairs(flags) do words[i + 2] = ("%q"):format(flag) end
	w.policy.exec = "{ " .. table.concat(words, ", ") .. " }"
end

-- A change that goes through etcd's auth and changes nothing.
local function ask(w, l)
	local permit = { take = function() return { member_id = "1", learner = false } end }
	local ok, why = members.change(permit, "promote", { api = "/v3", endpoints = { w:client "a" }, tls = {}, login = l })
	assert.is_nil(ok)
	return why
end

local function ended(w, token)
	local response = http.request { url = w:client "a" .. "/v3/cluster/member/promote", method = "POST", timeout = 5,
		body = json.encode { ID = "1" }, headers = { authorization = token } }
	return response and response.body:find("invalid auth token", 1, true)
end

local function case(version, name, body)
	local binary = version == "3.4" and "etcd" or "etcd-" .. version
	local asked = proc.run { binary, "--version", timeout = 20 }
	local title = ("etcd %s: %s"):format(version, name)
	if asked and asked.stdout:find("etcd Version: " .. version, 1, true) then
		return world.it(title, function(w) body(w, binary) end)
	end
	busted.it(title, function() pending("no etcd " .. version .. " here") end)
end

-- Tokens of the first kind end some time after they were made, of the second after they were used.
local function renewed(kind, seconds)
	return function(w, binary)
		exec(w, binary, kind(w, seconds))
		w:founded "a"
		local l = login.new(enable_auth(w, "a"), {})
		assert.is_truthy(ask(w, l):find("member not found", 1, true))
		local first = assert(l.token)
		world.wait(function() return ended(w, first) end, 60, "the token has ended", seconds + 1)
		assert.is_truthy(ask(w, l):find("member not found", 1, true))
		assert.not_equal(first, l.token)
	end
end

describe("tokens", function()
	for _, version in ipairs { "3.4", "3.7" } do
		case(version, "a lost disk comes back where tokens are JWT", function(w, binary)
			exec(w, binary, jwt(w, 2))
			w:founded "a b c"
			local set = enable_auth(w, "a")
			w:kill "c"
			w:wipe "c"
			w.etcd = { user = ("%q"):format(set.user), password_file = ("%q"):format(set.password_file) }
			w.policy.finish = "true"
			w:boot "c"
			assert.equal(0, w:beside("c", "finish"):exit(60))
			assert.is_truthy(w.machines.c.run:log():find("add done", 1, true))
			local token = login.new(set, {})
			assert(login.renew(token, { w:client "a" }))
			assert.is_nil(w.machines.c.run:log():find(token.token:match "^[^.]+%.", 1, true))
			assert.equal(0, (w:ends("c", { verb = "status" })))
		end)

		case(version, "a JWT that has ended is replaced", renewed(jwt, 2))
	end

	case("3.7", "a simple token that has ended is replaced", renewed(simple, 2))
end)
