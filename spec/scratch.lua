-- scratch.lua - a directory of a test's own, and what the code under test says meanwhile.
local fs = require "core.fs"
local log = require "core.log"
local task = require "core.task"

local scratch = {}
local Scratch = {}
Scratch.__index = Scratch

local count = 0

function scratch.new()
	count = count + 1
	local dir = ("%s.%d"):format(os.tmpname(), count)
	assert(os.remove((dir:gsub("%.%d+$", ""))))
	assert(fs.mkdir(dir, { mode = "0700" }))
	return setmetatable({ dir = dir }, Scratch)
end

-- Write a file below the directory -> its path
function Scratch:write(name, text, mode)
	local path = self.dir .. "/" .. name
	assert(fs.mkdir(path:match "^(.*)/"))
	assert(fs.write(path, text, { mode = mode }))
	return path
end

function Scratch:path(name)
	return self.dir .. "/" .. name
end

local function remove(path)
	if assert(fs.stat(path)).type == "directory" then
		for _, name in ipairs(assert(fs.list(path))) do remove(path .. "/" .. name) end
	end
	assert(os.remove(path))
end

-- The end of a test: its files go, and nothing of it may be left at work.
function Scratch:remove()
	remove(self.dir)
	collectgarbage()
	for what, n in pairs(task.pending()) do
		if n > 0 then error(("%d %s left"):format(n, what), 2) end
	end
end

-- What is logged while f runs, "warn: text" each, then f's results.
function scratch.logged(f, ...)
	local lines, before = {}, {}
	for _, level in ipairs { "debug", "info", "warn", "error" } do
		before[level] = log[level]
		log[level] = function(text) lines[#lines + 1] = level .. ": " .. text end
	end
	local results = table.pack(pcall(f, ...))
	for level, function_ in pairs(before) do log[level] = function_ end
	if not results[1] then error(results[2], 0) end
	return lines, table.unpack(results, 2, results.n)
end

return scratch
