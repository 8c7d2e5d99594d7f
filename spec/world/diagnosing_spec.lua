-- diagnosing_spec.lua - `diagnose`: why nothing happens, and a lost cluster made anew by the commands that
-- it prints, on the oldest and on the newest etcd.

local assert = require "luassert"
local etcd = require "core.etcd"
local fs = require "core.fs"
local json = require "core.json"
local proc = require "core.proc"
local world = require "spec.world.world"

local function diagnose(w, name, o)
	local run = w:beside(name, "diagnose", o)
	return run:exit(60), run:stdout(), run:log()
end

local function found(w, name, o)
	o = o or {}
	table.insert(o, "--json")
	local code, text, log = diagnose(w, name, o)
	assert.is_truthy(text:find "^{.*}\n$", text .. log)
	return code, json.decode(text)
end

local function has(text, part)
	assert.is_truthy(text:find(part, 1, true), part .. " in:\n" .. text)
end

-- Commands that are printed below this line, up to the next that is none.
local function printed(text, heading)
	local list = {}
	local _, at = text:find(heading .. "[^\n]*\n")
	assert.is_truthy(at, heading .. " in:\n" .. text)
	for line in text:sub(at + 1):gmatch "([^\n]*)\n" do
		local command = line:match "^    (.*)"
		if not command then break end
		list[#list + 1] = command
	end
	assert.is_truthy(list[1], "commands below " .. heading)
	return list
end

local function literally(text)
	return (text:gsub("%p", "%%%0"))
end

-- As a person would, in a shell on that machine: paths of the machine that printed them become its own.
local function follow(w, name, list, tools, from)
	local theirs = from and literally(w:machine(from).data) .. "%f[/ \0]"
	for _, command in ipairs(list) do
		if from then command = command:gsub(theirs, w:machine(name).data) end
		local ran = assert(proc.run { "sh", "-ec", command, timeout = 60, env = { PATH = tools .. ":" .. os.getenv "PATH" } })
		assert.equal(0, ran.status, command .. "\n" .. ran.stderr)
	end
end

local function plain(w)
	w.policy.finish = "true"
	w.policy.marker = ("file { path = %q }"):format(w.root .. "/marker.json")
end

-- Tools by the names under which they are printed; nil and why where they are not here.
local function tools_of(w, utl)
	local dir = w.root .. "/tools"
	assert(fs.mkdir(dir))
	for name, real in pairs { etcdutl = utl, etcdctl = "etcdctl" } do
		local path = proc.run { "sh", "-c", "command -v " .. real, timeout = 10 }
		if not path or path.status ~= 0 then return nil, "no " .. real .. " here" end
		world.succeed("ln", "-s", (path.stdout:gsub("%s+$", "")), dir .. "/" .. name)
	end
	return dir
end

local function restored(binary, utl, tool)
	return function(w)
		local tools, why = tools_of(w, utl)
		if not tools then pending(why) end
		plain(w)
		w.policy.exec = ("{ %q, \"--logger=zap\" }"):format(binary)
		w:founded "a b c"
		w:must_put("a", "k", "v")
		w:beside("a", "finish"):exit(60)
		for name in ("b c"):gmatch "%S" do w:kill(name) end
		world.wait(function() return not w:health "a" end, 30, "a has noticed")
		w:wipe "b"
		w:wipe "c"

		local code, seen = found(w, "a")
		assert.equal(3, code)
		assert.same({ "a", "a" }, { seen.survivors[1].name, seen.restore.machines[1].name })
		assert.is_true(seen.survivors[1].revision >= 2)
		local _, text = diagnose(w, "a")
		assert.is_truthy(text:find("needs 2 of its 3 voters: start them on their data; silent are b %(%x+%), c %(%x+%); "), text)
		has(text, "remove the marker, which names the lost cluster")
		local snapshot = printed(text, "  1%. on a")
		local commands = {}
		for name in ("a b c"):gmatch "%S" do commands[name] = printed(text, "  on " .. name .. ":") end
		has(commands.b[2], tool .. " snapshot restore ")
		_, text = diagnose(w, "b") -- an empty machine knows the same
		local theirs = literally(w:machine("b").data) .. "%f[.]"
		assert.same(snapshot, { (printed(text, "  1%. on a")[1]:gsub(theirs, w:machine("a").data)) })

		follow(w, "a", snapshot, tools)
		w:stop "a"
		for name in ("a b c"):gmatch "%S" do follow(w, name, commands[name], tools, "a") end
		assert(fs.remove(w.root .. "/marker.json"))
		w:boot_all "a b c"
		local id = w:converge "a b c"
		assert.equal(seen.restore.cluster_id, etcd.hex(id))
		w:must_get("b", "k", "v")
		assert.same({ "member.aside-restore" }, w:asides "a")
	end
end

describe("diagnosing", function()
	world.it("etcd 3.4: a majority of the disks is lost, and the printed commands bring the cluster back", restored("etcd", "true", "etcdctl"))
	world.it("etcd 3.7: the same, with the tool of its time", restored("etcd-3.7", "etcdutl", "etcdutl"))

	world.it("after a restart without quorum only the log tells, and the database is what can be restored", function(w)
		local tools = assert(tools_of(w, "true"))
		w:founded "a b c"
		w:must_put("a", "k", "v")
		for name in ("a b c"):gmatch "%S" do w:stop(name) end
		w:wipe "b"
		w:wipe "c"
		w:boot "a"
		w.machines.a.run:says "starts etcd"
		local code, seen
		world.wait(function()
			code, seen = found(w, "a")
			return seen.survivors[1] and seen.survivors[1].client_url ~= json.null
		end, 30, "a is seen", 0.5)
		assert.equal(3, code)
		assert.equal(json.null, seen.survivors[1].revision)
		assert.is_true(seen.survivors[1].log.index >= 4)
		assert.same(seen.survivors[1].log, seen.data_dir.log)
		local _, text = diagnose(w, "b")
		has(text, "a: cannot be asked, run etcd-bootstrap diagnose there")
		_, text = diagnose(w, "a")
		w:stop "a"
		follow(w, "a", printed(text, "  1%. on the machine whose log goes furthest"), tools)
		for name in ("a b c"):gmatch "%S" do follow(w, name, printed(text, "  on " .. name .. ":"), tools, "a") end
		w:boot_all "a b c"
		w:converge "a b c"
		w:must_get("c", "k", "v")
	end)

	world.it("says what run would do, by which row, and what holds it back", function(w)
		w:list { "a", "b" }
		world.succeed("mkdir", "-p", w:machine("a").data .. ".state")
		world.write(w.machines.a.data .. ".state/pause", "")
		local code, text = diagnose(w, "a")
		assert.equal(3, code)
		has(text, "run would now (row 20 of the decision table):\n  wait: not every machine has said yet that it is empty\n")
		has(text, "waits for b: refuses connections")
		has(text, ("remove %s.state/pause"):format(w.machines.a.data))
		has(text, "with the same list of machines, on b")
		assert.is_nil(text:find("snapshot", 1, true))
	end)

	world.it("finds nothing wrong where nothing is", function(w)
		w:founded "a"
		local code, text = diagnose(w, "a")
		assert.equal(0, code)
		has(text, "what to do:\n  nothing: this machine's etcd runs as it should\n")
		local _, seen = found(w, "a")
		assert.equal("start", seen.plan.action)
		assert.same({ json.null, {}, json.null }, { seen.lost, seen.survivors, seen.restore })
	end)
end)
