-- versions_spec.lua - P1, P2, F1, J1, J2, J4, J7 on every etcd in use with its own flags, growth with
-- `finish`, and clusters half way through an upgrade.  The cases of one etcd share a cluster, in the
-- order in which they stand.

local busted = require "busted"
local assert = require "luassert"
local http = require "core.http"
local json = require "core.json"
local proc = require "core.proc"
local members = require "members"
local cluster = require "spec.world.cluster"
local world = require "spec.world.world"

-- The binaries ------------------------------------------------------------------------------------

local BINARY = { ["3.4"] = "etcd", ["3.5"] = "etcd-3.5", ["3.6"] = "etcd-3.6", ["3.7"] = "etcd-3.7" }

local function version_of(binary)
	local asked = proc.run { binary, "--version", timeout = 20 }
	return asked and asked.stdout:match "etcd Version: (%d+%.%d+)"
end

local missing = {}
for version, binary in pairs(BINARY) do
	if version_of(binary) ~= version then
		missing[version] = ("no etcd %s (%s is not here, or another)"):format(version, binary)
	end
end

local function exec(version, flags)
	return ("{ %q, \"--logger=zap\"%s }"):format(BINARY[version], flags or "")
end

-- Worlds that cases share -------------------------------------------------------------------------

-- cases(case, w): case(title, body) is a test in the world `w`; after a failure the rest fails too.
local function shared(name, versions, cases)
	busted.describe(name, function()
		local w, broken, why
		for _, version in ipairs(versions) do
			why = why or missing[version]
		end
		busted.setup(function()
			w = not why and world.new()
		end)
		busted.teardown(function()
			assert.same({}, w and w:close() or {}, "processes were left")
		end)
		cases(function(title, body)
			busted.it(title, function()
				if why then
					pending(why)
				end
				assert.is_nil(broken, "an earlier case left this world undefined")
				local ok, message = xpcall(body, function(problem)
					return type(problem) == "string" and debug.traceback(problem, 2) or problem
				end, w)
				if not ok then
					broken = true
					io.write("\n", name, ": ", title, "\n", w:tails(), "\n")
					error(message, 0)
				end
			end)
		end)
	end)
end

-- Through the v2 API, where there is no other: the world's own questions.
local function speak_v2(w)
	local function ask(via, path, o)
		o = o or {}
		local response = http.request { url = w:client(via) .. path, timeout = 3, method = o.method,
			body = o.body, headers = { ["Content-Type"] = "application/x-www-form-urlencoded" } }
		local body = response and response.status < 300 and json.decode(response.body)
		return body or nil, response
	end
	function w.members(_, via)
		local answer, response = ask(via, "/v2/members")
		if not answer then
			return nil
		end
		local seen = { waiting = 0, all = {}, by = {} }
		local names, ids = {}, {}
		for key, value in pairs(response.headers) do
			seen.cluster_id = key:lower() == "x-etcd-cluster-id" and value or seen.cluster_id
		end
		for i, one in ipairs(answer.members) do
			seen.all[i], ids[i] = { id = one.id, name = one.name }, one.id
			seen.by[one.name] = seen.all[i]
			names[#names + 1] = one.name ~= "" and one.name or nil
			seen.waiting = seen.waiting + (one.name == "" and 1 or 0)
		end
		table.sort(names)
		table.sort(ids)
		seen.names, seen.ids = table.concat(names, " "), table.concat(ids, " ")
		return seen
	end
	function w.put(_, via, key, value)
		return ask(via, "/v2/keys/" .. key, { method = "PUT", body = "value=" .. value }) ~= nil
	end
	function w.get(_, via, key)
		local answer = ask(via, "/v2/keys/" .. key .. "?quorum=true")
		return answer and answer.node.value
	end
end

-- What is asked -----------------------------------------------------------------------------------

local function shares(before, after)
	local count = 0
	for _, member in ipairs(after.all) do
		count = count + (before.ids:find(member.id, 1, true) and 1 or 0)
	end
	return count
end

local function status(w, name)
	local run = w:beside(name, "status", { "--json" })
	assert.equal(0, run:exit(20))
	return json.decode(run:stdout())
end

-- The run ends with 4, a line that ends in [version], and nothing changed.
local function refused(w, name, o)
	o[1], o[2] = "--timeout", "1.5"
	local before = w:members("a").ids
	local run = w:beside(name, "run", o)
	assert.equal(4, run:exit(20), run:log())
	local line = run:log():match "[^\n]* %[version%]\n"
	assert.is_truthy(line, run:log())
	io.write("    ", line)
	assert.equal(before, w:members("a").ids)
end

-- Lines in which etcd names the claim file, or does not know a variable that we have written.
local function complaints(w, name)
	local found, written = {}, w:env(name)
	for line in w:machine(name).run:log():gmatch "[^\n]+" do
		local claim = line:find("claim.json", 1, true) and not line:find "^etcd%-bootstrap: "
		local unknown = line:match "unrecognized environment variable.-(ETCD_[%u_]+)="
		if claim or written[unknown or ""] then
			found[#found + 1] = line
		end
	end
	return found
end

-- The cases ---------------------------------------------------------------------------------------

local function founding(w)
	w:founded "a b c"
	for name in ("a b c"):gmatch "%S" do
		assert.is_true(w:claimed(name) and w:has_log(name))
		assert.same({}, complaints(w, name))
	end
	w:must_put("a", "k", "v")
end

local function status_shape(version)
	return function(w)
		local seen = status(w, "a")
		local one = seen.clusters[1]
		assert.equal(1, #seen.clusters)
		assert.is_true(one.quorum)
		assert.equal(version .. ".0", one.version)
		assert.is_truthy(one.id:match "^%x+$")
		assert.is_truthy(one.leader == json.null or one.leader:match "^%x+$")
		assert.same({ 3, 3, 3, true, "a" },
			{ #one.members, #seen.instances, seen.desired, seen.complete, seen.self })
		for i, name in ipairs { "a", "b", "c" } do
			local instance = seen.instances[i]
			assert.same({ name, "quorum", "live" }, { instance.name, instance.probe, instance.state })
			local member
			for _, candidate in ipairs(one.members) do
				member = candidate.id == instance.member and candidate or member
			end
			assert.same({ id = instance.member, name = name, instance = name, learner = false,
				started = true, peer_urls = { w:peer(name) }, client_urls = { w:client(name) } }, member)
		end
	end
end

local function restarting(w)
	local before = w:members("a").ids
	w:stop "c"
	w:boot "c"
	w:converge "a b c"
	assert.equal(before, w:members("a").ids)
	assert.is_false(w:claimed "c")
end

local function wiped(w)
	local before = w:members "a"
	w:kill "c"
	w:wipe "c"
	w:boot "c"
	w:converge "a b c"
	assert.equal(2, shares(before, w:members "a"))
	assert.same({}, complaints(w, "c"))
	assert.is_falsy(w.machines.c.run:log():find("panic", 1, true))
	w:must_get("c", "k", "v")
end

local function replaced(w)
	local before = w:members "a"
	w:kill "c"
	w:list { "a", "b", { "c", state = "dead" }, "d" }
	w:boot "d"
	w:converge "a b d"
	local after = w:members "a"
	assert.equal(2, shares(before, after))
	assert.is_falsy(after.ids:find(before.by.c.id, 1, true))
	assert.equal("existing", w:env("d").ETCD_INITIAL_CLUSTER_STATE)
	w:must_get("d", "k", "v")
end

-- A slot whose etcd never starts is a learner's: the one voter goes on alone.
local function added_only(w)
	w.policy.finish = "true"
	w:founded "a"
	w:list { "a", "b" }
	assert.equal(0, (w:ends("b", { "--no-exec" })))
	local seen = w:members "a"
	assert.is_true(seen.by[""].learner)
	assert.is_true(w:health "a")
	assert.is_true(w:put("a", "k", "v"))
	w:boot "b"
	assert.equal(0, w:beside("b", "finish"):exit(60))
	w:converge "a b"
	assert.equal(seen.ids, w:members("a").ids)
end

-- Newcomers are learners until their own `finish` has promoted them.
local function growing(w)
	w:list { "a", "b", "c", "d" }
	w:boot_all "c d"
	local c, d = w:beside("c", "finish"), w:beside("d", "finish")
	assert.equal(0, c:exit(60))
	assert.equal(0, d:exit(60))
	w:converge("a b c d", 10)
	local promoted = 0
	for _, run in ipairs(w.runs) do
		local _, count = run:log():gsub("promote done", "")
		promoted = promoted + count
	end
	assert.is_true(promoted >= 3)
	w:must_get("d", "k", "v")
end

local function known(heard)
	for text, action in pairs(heard) do
		assert.is_truthy(members.meaning(action, text), ("%s: %s"):format(action, text))
	end
end

local function texts_v2(w)
	local function said(method, path, body)
		return world.wait(function()
			local response = http.request { url = w:client "a" .. "/v2/members" .. path, method = method, timeout = 3,
				body = body and json.encode(body), headers = { ["Content-Type"] = "application/json" } }
			return response and response.status ~= 500 and json.decode(response.body).message
		end, 60, "etcd answers a change")
	end
	known {
		[said("DELETE", "/1")] = "remove",
		[said("POST", "", { peerURLs = { w:peer "a" } })] = "add",
	}
end

-- What etcd says, against the table of what it is known to say.
local function texts_v3(w)
	local function said(path, body)
		local ok, message = cluster.change(w:client "a", "/v3/cluster/member/" .. path, body)
		assert.is_nil(ok)
		return message
	end
	local seen, early = w:members "a", {}
	local slot = world.wait(function()
		local id, message = cluster.add(w:client "a", w:peer "x", true)
		if message and message:find "^etcdserver: " then
			early[message] = "add"
		end
		return id
	end, 30, "a learner is added by hand")
	known(early)
	known {
		[said("remove", { ID = "1" })] = "remove",
		[said("add", { peerURLs = { w:peer "a" } })] = "add",
		[said("add", { peerURLs = { w:peer "y" }, isLearner = true })] = "add",
		[said("promote", { ID = slot })] = "promote",
		[said("promote", { ID = seen.by.a.id })] = "promote",
	}
	assert(cluster.remove(w:client "a", slot))
end

local V2 = ", \"--enable-v2\""

for _, flavour in ipairs {
	{ "P1 etcd 3.4", "3.4" },
	{ "P1 etcd 3.4 with --enable-v2", "3.4", flags = V2 },
	{ "P2 etcd 3.4 with nothing but the v2 API", "3.4", v2 = true,
		flags = V2 .. ", \"--enable-grpc-gateway=false\"" },
	{ "P1 etcd 3.5", "3.5" },
	{ "P1 etcd 3.6", "3.6" },
	{ "P1 etcd 3.7", "3.7" },
} do
	local version = flavour[2]
	shared(flavour[1], { version }, function(case)
		case("F1 three machines, a claim beside each log", function(w)
			w.policy.exec = exec(version, flavour.flags)
			if flavour.v2 then
				speak_v2(w)
			end
			founding(w)
		end)
		case("status", status_shape(version))
		case("what it says", flavour.v2 and texts_v2 or texts_v3)
		case("J2 restart with the data kept", restarting)
		case("J4 data lost, same name and address", wiped)
		case("J1 replacement", replaced)
	end)
end

for _, version in ipairs { "3.4", "3.5", "3.6", "3.7" } do
	shared("growth on etcd " .. version, { version }, function(case)
		case("J7 an addition whose etcd never starts costs no quorum", function(w)
			w.policy.exec = exec(version)
			added_only(w)
		end)
		case("J7 from two machines to four, with finish", growing)
	end)
end

-- older, newer, and what is too new for the older and too old for the newer: a binary, or where
-- there is none, what the policy says.
for _, pair in ipairs {
	{ "3.4", "3.5", too_new = "3.6" },
	{ "3.5", "3.6", too_new = "3.7" },
	{ "3.6", "3.7" },
} do
	local older, newer = pair[1], pair[2]
	local too_new = pair.too_new and { policy = { exec = exec(pair.too_new) } }
		or { etcd = { version = "\"3.8.0\"" } }
	shared(("from etcd %s to %s"):format(older, newer), { older, newer, pair.too_new }, function(case)
		local with_newer = { policy = { exec = exec(newer) } }
		case("a machine is replaced by one with the newer etcd", function(w)
			w.policy.exec = exec(older)
			w:founded "a b c"
			w:must_put("a", "k", "v")
			w:kill "c"
			w:list { "a", "b", { "c", state = "dead" }, "d" }
			w:boot("d", with_newer)
			w:converge "a b d"
			w:must_get("d", "k", "v")
			assert.equal(older .. ".0", status(w, "a").clusters[1].version)
		end)
		case("an etcd two minor versions newer is refused", function(w)
			w:list { "a", "b", "d", "e" }
			refused(w, "e", too_new)
			assert.is_nil(w:output "e")
		end)
		case("the others follow, each on its data", function(w)
			w:list { "a", "b", "d" }
			for name in ("a b"):gmatch "%S" do
				w:stop(name)
				w:boot(name, with_newer)
				w:converge "a b d"
			end
			world.wait(function()
				return status(w, "d").clusters[1].version == newer .. ".0"
			end, 20, "the cluster is of version " .. newer)
			w:must_get("a", "k", "v")
		end)
		case("the older etcd is refused from now on", function(w)
			w:list { "a", "b", "d", "e" }
			refused(w, "e", { policy = { exec = exec(older) } })
			assert.is_nil(w:output "e")
		end)
		case("nor does it start on the data of the newer one", function(w)
			w:list { "a", "b", "d" }
			w:stop "d"
			refused(w, "d", { policy = { exec = exec(older) } })
			w:boot("d", with_newer)
			w:converge "a b d"
		end)
	end)
end
