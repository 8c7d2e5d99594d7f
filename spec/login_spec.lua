-- login: when it asks etcd for a token, whom, and what it tells.
local http = require "core.http"
local json = require "core.json"
local log = require "core.log"
local login = require "login"
local members = require "members"
local scratch = require "spec.scratch"

describe("login", function()
	local here, asked, answers, request

	before_each(function()
		here, asked, answers, request = scratch.new(), {}, {}, http.request
		http.request = function(o)
			asked[#asked + 1] = o
			local answer = table.remove(answers, 1)
			if not answer then return nil, "connection refused", "refused" end
			return { status = answer[1], headers = {}, body = type(answer[2]) == "string" and answer[2] or json.encode(answer[2]) }
		end
	end)
	after_each(function()
		http.request = request
		here:remove()
	end)

	local TOKEN = { 200, { header = {}, token = "SfWllcwjGFuaSUuq.12" } }
	local WRONG = { 400, { code = 3, message = "etcdserver: authentication failed, invalid user ID or password" } }
	local OFF = { 400, { code = 9, message = "etcdserver: authentication is not enabled" } }
	local EMPTY = { 400, { code = 3, message = "etcdserver: user name is empty" } }
	local STALE = { 401, { error = "etcdserver: invalid auth token", message = "etcdserver: invalid auth token", code = 16 } }

	local function new(text, scheme)
		local l = login.new({ user = "root", password_file = here:write("password", text or "correct horse\n", "0600"),
			scheme = scheme or "https" }, { ca = "/ca" })
		return l
	end

	it("asks the first member that answers, with user and password", function()
		local l = new()
		answers = { false, TOKEN }
		assert.is_true(login.renew(l, { "https://a:1", "https://b:1", "https://c:1" }))
		assert.equal("SfWllcwjGFuaSUuq.12", l.token)
		assert.same({ "https://a:1/v3/auth/authenticate", "https://b:1/v3/auth/authenticate" }, { asked[1].url, asked[2].url })
		assert.same({ name = "root", password = "correct horse" }, json.decode(asked[2].body))
		assert.same({ "POST", { ca = "/ca" } }, { asked[2].method, asked[2].tls })
	end)

	it("never lets password and token into a log", function()
		answers = { TOKEN }
		assert(login.renew(new(), { "https://a:1" }))
		assert.equal("x [secret] [secret]", log.redact "x correct horse SfWllcwjGFuaSUuq.12")
	end)

	it("does not try a refused password again until it is another", function()
		local l = new()
		answers = { WRONG, TOKEN }
		for _ = 1, 3 do
			local ok, why, code = login.renew(l, { "https://a:1", "https://b:1" })
			assert.same({ nil, "auth" }, { ok, code })
			assert.equal("login as root on https://a:1/v3/auth/authenticate: status 400: "
				.. "etcdserver: authentication failed, invalid user ID or password", why)
		end
		assert.equal(1, #asked)
		here:write("password", "another one")
		assert.is_true(login.renew(l, { "https://a:1" }))
		assert.equal("another one", json.decode(asked[2].body).password)
	end)

	it("goes on to the next member where one cannot tell, and comes back", function()
		local l = new()
		local learner = { 400, { code = 9, message = "etcdserver: rpc not supported for learner" } }
		answers = { learner, TOKEN }
		assert.is_true(login.renew(l, { "https://a:1", "https://b:1" }))
		answers = { learner, false, TOKEN }
		assert.is_nil((login.renew(l, { "https://a:1", "https://b:1" })))
		assert.is_true(login.renew(l, { "https://a:1" }))
	end)

	it("forgets its token where etcd's auth is off", function()
		local l = new()
		l.token = "old"
		answers = { OFF }
		assert.is_true(login.renew(l, { "https://a:1" }))
		assert.is_nil(l.token)
	end)

	it("sends no password over http where the policy says https, and warns where it says http", function()
		local ok, why, code = login.renew(new(), { "http://a:1", "httpsx://a:1" })
		assert.same({ nil, "auth", 0 }, { ok, code, #asked })
		assert.equal("no member of the cluster takes a login over https", why)
		local l = new(nil, "http")
		answers = { TOKEN, TOKEN }
		local said = scratch.logged(function()
			assert(login.renew(l, { "http://a:1" }))
			assert(login.renew(l, { "http://a:1" }))
		end)
		assert.same({ "warn: the password of etcd's user root crosses the network in clear text: etcd.scheme is http" }, said)
	end)

	local bad = {
		{ "a page", { 200, "<html>" }, "no token in the answer", "parse" },
		{ "a token of two lines", { 200, { token = "a\r\nb" } }, "no token in the answer", "parse" },
		{ "an empty token", { 200, { token = "" } }, "no token in the answer", "parse" },
		{ "an error in words", { 503, "no leader" }, "status 503: no leader", "http" },
	}
	for _, case in ipairs(bad) do
		it("takes no token out of " .. case[1], function()
			local l = new()
			answers = { case[2] }
			local ok, why, code = login.renew(l, { "https://a:1" })
			assert.same({ nil, case[4] }, { ok, code })
			assert.truthy(why:find(case[3], 1, true), why)
			assert.is_nil(l.token)
		end)
	end

	it("says what to set, and which file it cannot use", function()
		local _, why = login.renew(login.new({ scheme = "http" }), { "http://a:1" })
		assert.equal("set etcd.user and etcd.password_file", why)
		_, why = login.renew(login.new({ scheme = "http", user = "root", password_file = here:path "none" }), { "http://a:1" })
		assert.matches("^etcd.password_file: cannot read .*none", why)
		_, why = login.renew(new "\n", { "https://a:1" })
		assert.matches("^etcd.password_file: .* is empty", why)
		assert.equal(0, #asked)
	end)

	describe("of a change", function()
		local function change(l)
			local permit = { take = function() return { member_id = "7", learner = false } end }
			return members.change(permit, "remove", { endpoints = { "https://a:1" }, api = "/v3", tls = {}, login = l })
		end

		it("comes when it is asked for, and the change once more", function()
			local l = new()
			answers = { EMPTY, TOKEN, { 200, {} } }
			assert.same({ true, "7" }, { change(l) })
			assert.same({ nil, nil, "SfWllcwjGFuaSUuq.12" },
				{ asked[1].headers.authorization, asked[2].headers.authorization, asked[3].headers.authorization })
			answers = { { 200, {} } }
			assert.same({ true, "7" }, { change(l) })
			assert.equal("SfWllcwjGFuaSUuq.12", asked[4].headers.authorization)
		end)

		it("is renewed once, not twice", function()
			local l = new()
			l.token = "old.1"
			answers = { STALE, TOKEN, STALE }
			local ok, why, code = change(l)
			assert.same({ nil, "auth", 3 }, { ok, code, #asked })
			assert.truthy(why:find("status 401: etcdserver: invalid auth token", 1, true), why)
		end)

		it("is not there: what to set is said", function()
			answers = { EMPTY }
			local ok, why, code = change(login.new { scheme = "https" })
			assert.same({ nil, "auth", 1 }, { ok, code, #asked })
			assert.truthy(why:find("etcdserver: user name is empty; set etcd.user and etcd.password_file", 1, true), why)
		end)
	end)
end)
