-- readme_spec.lua - the README is true: its blocks are taken from the file and run, in order, as a
-- reader would, in one shell and one empty directory.
--
--	```lua   a file of the name in its first line, "-- NAME.lua - ..."; it is written there
--	```sh    run; its last command must succeed.  Lines of `make` are looked up, not run
--	```text  what the block before it printed
--
-- A block that begins with `etcd-bootstrap status` only looks, so it is asked again until it says
-- what the README says.  Compared are texts in which blanks count once, our own addresses stand for
-- 127.71.0.x, ids (8 or more hex digits) are told apart but need not be the same ones, any member
-- may lead, and lines come in any order, for etcd sorts members by id.
local assert = require "luassert"
local fs = require "core.fs"
local proc = require "core.proc"
local scratch = require "spec.scratch"
local task = require "core.task"

local BINARY = os.getenv "ETCD_BOOTSTRAP" or "build/etcd-bootstrap"
local ADDRESSES = "127.71.0."
local DOCUMENTS = { "README.md", "docs/manual.md", "docs/gate.md", "docs/aws.md" }

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
	self.pipe = assert(io.popen(("cd %s && PATH=%s:$PATH exec bash 2>.shell"):format(dir, path), "w"))
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

local ID = "%f[%w]%x%x%x%x%x%x%x%x+%f[%W]"

-- What need not be the same from run to run, and `of` for each id.
local function plain(text, of)
	local lines = {}
	for line in text:gsub("leader %x+", "leader SOMEBODY"):gsub(" +", " "):gmatch "[^\n]+" do
		lines[#lines + 1] = line
	end
	local function without_ids(line) return (line:gsub(ID, "")) end
	table.sort(lines, function(a, b) return without_ids(a) < without_ids(b) end)
	return (table.concat(lines, "\n"):gsub(ID, of))
end

local function ids(text)
	local list = {}
	plain(text, function(id) list[#list + 1] = id end)
	return list
end

-- compare(said, written) -> both with their ids named alike: a pair of ids that once stood at one
-- place of two equal texts is one id from then on.
local function comparer()
	local said_names, written_names, count = {}, {}, 0
	return function(said, written)
		local ours = setmetatable({}, { __index = said_names })
		local theirs = setmetatable({}, { __index = written_names })
		local n, here = count, ids(said)
		for i, id in ipairs(ids(written)) do
			if not theirs[id] and here[i] and not ours[here[i]] then
				n = n + 1
				ours[here[i]], theirs[id] = "ID" .. n, "ID" .. n
			end
		end
		local a = plain(said, function(id) return ours[id] end)
		local b = plain(written, function(id) return theirs[id] end)
		if a == b then said_names, written_names, count = ours, theirs, n end
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
		assert.truthy(named.all and named.demo and named.test)
	end)

	it("names files that exist", function()
		for _, path in ipairs(DOCUMENTS) do
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
		for _, path in ipairs(DOCUMENTS) do
			for target, anchor in assert(read(path)):gmatch "%]%(([^)#]*)#([^)]+)%)" do
				local file = target == "" and path or (path:match "^(.*/)" or "") .. target
				assert.truthy(anchors(file)[anchor], path .. ": #" .. anchor)
			end
		end
	end)

	it("does what it says", function()
		if not os.execute "command -v etcd >/dev/null" then return pending "no etcd here" end
		local here = scratch.new()
		local prefix = ("127.%d.%d."):format(224 + proc.pid() // 250 % 30, proc.pid() % 250)
		local function replaced(text, from, to) return (text:gsub(from:gsub("%.", "%%."), to)) end
		local compare = comparer()
		local sh = shell(here.dir, assert(proc.run { "realpath", BINARY }).stdout:match "^(.*)/")
		local looks, status, said

		local function run(block)
			local text = replaced(block.text, ADDRESSES, prefix)
			looks = text:find "^etcd%-bootstrap status" and text
			status, said = sh:run(text)
			assert.truthy(looks or status == 0, ("line %d: %s"):format(block.line, said))
		end

		local function compare_with(block)
			local limit = task.now() + 60
			local a, b = compare(replaced(said, prefix, ADDRESSES), block.text)
			while looks and (a ~= b or status ~= 0) and task.now() < limit do
				task.sleep(0.2)
				status, said = sh:run(looks)
				a, b = compare(replaced(said, prefix, ADDRESSES), block.text)
			end
			assert.equal(b, a, "line " .. block.line)
			assert.equal(0, status, "line " .. block.line)
		end

		local ok, why = pcall(function()
			for _, block in ipairs(all) do
				if block.kind == "lua" then
					here:write(file_name(block), replaced(block.text, ADDRESSES, prefix))
				elseif block.kind == "text" then
					compare_with(block)
				elseif not makes(block) then
					run(block)
				end
			end
		end)
		sh:close()
		here:remove()
		if not ok then error(why, 0) end
	end)
end)

-- The policies in a block: the whole of it, or each of its lines that is a key of one.
local function policies(text)
	if text:find "discover%s*=" and text:find "return {" then return { text } end
	local list = {}
	for line in text:gmatch "[^\n]+" do
		if line:find "^discover" then list[#list + 1] = ("return { %s\n}"):format(line) end
	end
	return list
end

describe("the manual", function()
	for _, document in ipairs { "docs/manual.md", "docs/aws.md" } do
		it("has only Lua that loads, and policies that check: " .. document, function()
			local here, checked = scratch.new(), 0
			for _, block in ipairs(blocks(document)) do
				local lua = block.kind == "lua" and block.text or ""
				assert.truthy(load(lua, ("@%s:%d"):format(document, block.line)))
				for _, text in ipairs(policies(lua)) do
					local path = here:write(file_name(block) or "p.lua", text)
					local result = assert(proc.run { BINARY, "check", path, timeout = 20 })
					assert.equal(0, result.status, ("%s:%d: %s"):format(document, block.line, result.stderr))
					checked = checked + 1
				end
			end
			assert.truthy(checked >= 4, checked)
			here:remove()
		end)
	end
end)
