-- readme_spec.lua - the README is true: its blocks are taken from the file and run, in order, as a
-- reader would, in one shell and one empty directory.
--
--	```lua   a file of the name in its first line, "-- NAME.lua - ..."; it is written there
--	```sh    run; its last command must succeed.  Lines of `make` are looked up, not run
--	```text  what the block before it printed
--
-- A block that begins with `etcd-bootstrap status` only looks, so it is asked again until it says
-- what the README says.  Compared are texts in which blanks count once, our own addresses stand for
-- 127.71.0.x, ids (8 or more hex digits) are told apart but need not be the same ones, and any
-- member may lead.
local assert = require "luassert"
local fs = require "core.fs"
local proc = require "core.proc"
local scratch = require "spec.scratch"
local task = require "core.task"

local BINARY = os.getenv "ETCD_BOOTSTRAP" or "build/etcd-bootstrap"
local ADDRESSES = "127.71.0."

-- The fenced blocks of a document: {kind, text, line}[]
local function blocks(path)
	local list, open, n = {}, nil, 0
	for line in io.lines(path) do
		n = n + 1
		local fence = line:match "^%s*```(.*)$"
		if fence and open then
			open = nil
		elseif fence then
			open = { kind = fence, line = n, text = "" }
			list[#list + 1] = open
		elseif open then
			open.text = open.text .. line .. "\n"
		end
	end
	return list
end

local function file_name(block)
	return block.kind == "lua" and block.text:match "^%-%- ([%w-]+%.lua)%f[%W]"
end

local function makes(block)
	return block.kind == "sh" and block.text:find "^make"
end

-- One shell for all blocks, as a reader has one terminal.
local Shell = {}
Shell.__index = Shell

local function shell(dir, path)
	local self = setmetatable({ dir = dir, count = 0 }, Shell)
	self.pipe = assert(io.popen(("cd %s && PATH=%s:$PATH exec bash"):format(dir, path), "w"))
	return self
end

local function read(path)
	local file <close> = io.open(path, "rb")
	return file and file:read "a"
end

-- Runs a block -> its exit status, what it printed
function Shell:run(text)
	self.count = self.count + 1
	local base = ("%s/.block%d"):format(self.dir, self.count)
	assert(fs.write(base .. ".sh", text))
	self.pipe:write((". %s.sh >%s.out 2>&1; echo $? >%s.new; mv %s.new %s.status\n"):format(base, base, base, base, base))
	self.pipe:flush()
	local limit = task.now() + 60
	while not read(base .. ".status") do
		if task.now() > limit then error("this block does not end:\n" .. text) end
		task.sleep(0.02)
	end
	return tonumber(read(base .. ".status")), read(base .. ".out")
end

function Shell:close()
	self.pipe:write "kill -9 $(jobs -p); wait\n"
	self.pipe:close()
end

-- Both texts with ids numbered in the order in which the README brings them.
local function comparer()
	local known, numbers, count = {}, {}, 0
	local function plain(text, of)
		return (text:gsub("leader %x+", "leader SOME"):gsub("%f[%w]%x%x%x%x%x%x%x%x+%f[%W]", of):gsub(" +", " "):gsub("%s+$", ""))
	end
	-- said, written -> the two to compare; a pair of ids that stood at one place once is one id from then on.
	return function(said, written)
		local ours, theirs = {}, {}
		plain(written, function(id) theirs[#theirs + 1] = id end)
		plain(said, function(id) ours[#ours + 1] = id end)
		local new_known, new_numbers = setmetatable({}, { __index = known }), setmetatable({}, { __index = numbers })
		for i, id in ipairs(theirs) do
			if not new_known[id] and ours[i] and not new_numbers[ours[i]] then
				count = count + 1
				new_known[id], new_numbers[ours[i]] = "ID" .. count, "ID" .. count
			end
		end
		local a = plain(said, function(id) return new_numbers[id] or id end)
		local b = plain(written, function(id) return new_known[id] or id end)
		if a ~= b then return a, b end
		for id, name in next, new_known do known[id] = name end
		for id, name in next, new_numbers do numbers[id] = name end
		return a, b
	end
end

describe("the README", function()
	local all = blocks "README.md"

	it("is made of blocks that this spec knows, and has some of each", function()
		local seen = {}
		for _, block in ipairs(all) do
			assert.truthy(({ lua = true, sh = true, text = true })[block.kind], "line " .. block.line)
			assert.truthy(block.kind ~= "lua" or file_name(block), "line " .. block.line)
			seen[block.kind] = (seen[block.kind] or 0) + 1
		end
		assert.truthy(seen.lua >= 2 and seen.sh >= 6 and seen.text >= 6)
	end)

	it("names targets of the Makefile only", function()
		local named = {}
		for _, block in ipairs(all) do
			for line in (makes(block) and block.text or ""):gmatch "[^\n]+" do
				local target = line:match "^make%s+([%l-]+)"
				named[target or "all"] = true
				local result = assert(proc.run { "make", "-n", target or "all", timeout = 60 })
				assert.equal(0, result.status, line .. "\n" .. result.stderr)
			end
		end
		assert.truthy(named.demo and named.test and named.bench == nil)
	end)

	it("names files that exist", function()
		for _, path in ipairs { "README.md", "docs/manual.md", "docs/gate.md" } do
			local dir = path:match "^(.*/)" or ""
			for target in assert(read(path)):gmatch "%]%(([^)#]+)[^)]*%)" do
				assert.truthy(fs.stat(dir .. target), path .. ": " .. target)
			end
		end
	end)

	it("tells anchors that exist", function()
		local function anchors(path)
			local set = {}
			for title in ("\n" .. assert(read(path))):gmatch "\n#+ ([^\n]+)" do
				set[title:lower():gsub("[^%w -]", ""):gsub(" ", "-")] = true
			end
			return set
		end
		for _, path in ipairs { "README.md", "docs/manual.md" } do
			for target, anchor in assert(read(path)):gmatch "%]%(([^)#]*)#([^)]+)%)" do
				local file = target == "" and path or (path:match "^(.*/)" or "") .. target
				assert.truthy(anchors(file)[anchor], path .. ": #" .. anchor)
			end
		end
	end)

	it("does what it says", function()
		local here = scratch.new()
		local prefix = ("127.%d.%d."):format(224 + proc.pid() // 250 % 30, proc.pid() % 250)
		local function ours(text) return (text:gsub(ADDRESSES:gsub("%.", "%%."), prefix)) end
		local compare = comparer()
		local bin = assert(read "/proc/self/cwd/../" == nil) and assert(proc.run { "realpath", BINARY }).stdout:match "^(.*)/"
		local sh = shell(here.dir, bin)
		local ok, why = pcall(function()
			local status, said, again
			for _, block in ipairs(all) do
				if file_name(block) then
					assert(fs.write(here:path(file_name(block)), ours(block.text)))
				elseif block.kind == "sh" and not makes(block) then
					local text = ours(block.text)
					status, said = sh:run(text)
					assert.equal(0, status, ("line %d: %s"):format(block.line, said))
					again = text:find "^etcd%-bootstrap status" and text
				elseif block.kind == "text" then
					local limit = task.now() + 60
					local a, b
					repeat
						a, b = compare(said:gsub(prefix:gsub("%.", "%%."), ADDRESSES), block.text)
						if a ~= b and again then
							task.sleep(0.2)
							_, said = sh:run(again)
						end
					until a == b or not again or task.now() > limit
					assert.equal(b, a, "line " .. block.line)
				end
			end
		end)
		sh:close()
		here:remove()
		if not ok then error(why, 0) end
	end)
end)

describe("the manual", function()
	it("has only Lua that loads, and policies that check", function()
		local here = scratch.new()
		for _, block in ipairs(blocks "docs/manual.md") do
			if block.kind == "lua" then
				assert.truthy(load(block.text, "@manual:" .. block.line))
				local name = file_name(block) or "p.lua"
				local path = here:write(name, block.text)
				if block.text:find "discover%s*=" then
					local result = assert(proc.run { BINARY, "check", path, timeout = 20 })
					assert.equal(0, result.status, ("line %d: %s"):format(block.line, result.stderr))
				end
			end
		end
		here:remove()
	end)
end)
