-- chaos.lua - seeds of chaos, one after the other: machines over real etcd are booted, killed, wiped,
-- paused, cut off, replaced and told stale and partial lists while a writer writes.  Then the faults
-- end, and there must be one cluster of all machines with every acknowledged write in it.
--
-- Settings come from the environment, as chaos/run passes them: SEED RUNS SIZE ETCD BREAK LOSE.

local task = require "core.task"
local fs = require "core.fs"
local world = require "spec.world.world"
local schedule = require "chaos.schedule"
local fleet = require "chaos.fleet"
local writer = require "chaos.writer"
local autopsy = require "chaos.autopsy"

local first <const> = math.tointeger(tonumber(os.getenv "SEED")) or os.time()
local size <const> = math.tointeger(tonumber(os.getenv "SIZE")) or 3
local broken <const> = os.getenv "BREAK"
local runs <const> = math.tointeger(tonumber(os.getenv "RUNS")) or (broken and 20 or 10)
local build <const> = os.getenv "BUILD" or "build"
local patience <const> = broken and 40 or 120 -- seconds to converge in

local function settings(drawn)
	local o = { size = size, listed = drawn.listed, etcd = os.getenv "ETCD" or "etcd", snapshots = drawn.snapshots,
		lose = os.getenv "LOSE" ~= nil }
	if broken then
		o.before = { build .. "/test/etcd-bootstrap", "lua", world.here .. "/chaos/broken.lua", broken }
		o.decide = ("require \"careless\"(%q)"):format(broken)
	end
	return o
end

-- What was acknowledged and is gone, by the first machine that answers.
local function loss(f, w)
	for _, base in ipairs(f:clients()) do
		local lost = w:missing(base)
		if lost and lost[1] then
			local how = w.acked[lost[1]]
			return ("%d of %d acknowledged writes are gone at %s, the first %s, taken by %s at %.2f s"):format(
				#lost, w.count, base, lost[1], how.via, how.at - f.begun)
		elseif lost then
			return nil
		end
	end
end

-- Every machine must tell the same.
local function all_there(f, w)
	for _, base in ipairs(f:clients()) do
		local lost, why = w:missing(base)
		if not lost or lost[1] then
			return nil, lost and #lost .. " writes are missing at " .. base or base .. ": " .. why
		end
	end
	return true
end

-- The faults are over: "passed" | "lost" "rivals" "stuck" "void", why
local function verdict(f, w)
	local limit, why = task.now() + patience
	repeat
		local found = w:rivals()
		if found then
			return "rivals", found
		end
		found = loss(f, w)
		if found then
			return "lost", found
		end
		local ok, problem = pcall(f.world.converge, f.world, f:names(), 0)
		if ok then
			ok, problem = all_there(f, w)
		elseif tostring(problem):find("two clusters", 1, true) then
			return "rivals", problem
		end
		if ok then
			return "passed"
		end
		why = problem
		task.sleep(0.2)
	until task.now() > limit
	local dead = autopsy(f)
	if dead then
		return "lost", dead
	end
	return "stuck", ("%d s after the faults: %s"):format(patience, why)
end

local function play(f, drawn)
	local parts = {}
	for i, sequence in ipairs(drawn) do
		parts[i] = task.spawn(f.play, f, sequence)
	end
	for _, part in ipairs(parts) do
		local _, why = part:join()
		if why then
			error(why, 0)
		end
	end
end

local function told(drawn)
	local lines = {}
	for i, sequence in ipairs(drawn) do
		table.insert(lines, "sequence " .. i)
		for _, act in ipairs(sequence) do
			table.insert(lines, "  " .. schedule.tell(act))
		end
	end
	return table.concat(lines, "\n") .. "\n"
end

local function counted(counts)
	local parts = {}
	for i, kind in ipairs(schedule.kinds) do
		parts[i] = ("%s %d"):format(kind, counts[kind])
	end
	return table.concat(parts, ", ")
end

local function keep(f, seed, drawn, what)
	local to = ("%s/chaos/%d"):format(build, seed)
	world.write(f.world.root .. "/schedule", told(drawn))
	world.write(f.world.root .. "/verdict", what .. "\n")
	world.succeed("sh", "-c", ("mkdir -p %s/chaos && rm -rf %s && cp -r %s %s"):format(build, to, f.world.root, to))
	return to
end

local function run_seed(seed)
	local drawn = schedule.draw(seed, size)
	local f = fleet.new(settings(drawn))
	local w = writer.start(function()
		return f:clients()
	end)
	f.writer = w
	local ok, how, why = pcall(function()
		play(f, drawn)
		if f.void then
			return "void", f.void
		end
		f:heal()
		return verdict(f, w)
	end)
	if not ok then
		how, why = "broken", how
	end
	w:stop()
	local text = ("seed %d: %s, %.1f s, %d writes, %d spared; %s%s"):format(seed, how, task.now() - f.begun, w.count,
		f.spared, counted(f.counts), why and "\n    " .. why or "")
	f:note("%s", text)
	local kept = how ~= "passed" and keep(f, seed, drawn, text)
	local orphans = f:close()
	print(text)
	if kept then
		print("    logs: " .. kept .. "\n" .. told(drawn) .. (world.read(kept .. "/events") or ""))
	end
	if orphans[1] then
		print("    processes were left: " .. table.concat(orphans, " "))
		how = "broken"
	end
	return how, f
end

local function main()
	local totals, kinds, skipped = {}, {}, 0
	for _, kind in ipairs(schedule.kinds) do
		kinds[kind] = 0
	end
	for seed = first, first + runs - 1 do
		local how, f = run_seed(seed)
		totals[how] = (totals[how] or 0) + 1
		for kind, n in pairs(f.counts) do
			kinds[kind] = kinds[kind] + n
		end
		skipped = skipped + f.skipped
		if broken and (how == "lost" or how == "rivals") then
			print(("without %s a loss is found in seed %d, the %dth"):format(broken, seed, seed - first + 1))
			return 0
		end
	end
	local parts = {}
	for _, how in ipairs { "passed", "lost", "rivals", "stuck", "void", "broken" } do
		parts[#parts + 1] = ("%d %s"):format(totals[how] or 0, how)
	end
	print(("%d seeds of %d machines: %s; %s"):format(runs, size, table.concat(parts, ", "), counted(kinds)))
	if skipped > 0 then
		print(("%d partitions skipped: no network namespaces here"):format(skipped))
	end
	return not broken and totals.passed == runs and 0 or 1
end

io.stdout:setvbuf "line"
assert(fs.mkdir(build .. "/chaos"))
os.exit(main())
