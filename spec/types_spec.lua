-- lua/types.lua documents every primitive that is registered, and no other.
local function documented()
	local modules, variable = {}, nil
	for line in io.lines "lua/types.lua" do
		local module = line:match "^%-%-%-@class (core%.%w+)"
		if module then
			modules[module] = {}
			variable = module:match "%w+$"
		end
		local owner, name = line:match "^function (%w+)%.(%w+)%("
		if owner and owner == variable then modules["core." .. owner][name] = true end
		local field = line:match "^%-%-%-@field (%w+) lightuserdata"
		if field and variable then modules["core." .. variable][field] = true end
	end
	return modules
end

local function names(of)
	local list = {}
	for name in pairs(of) do list[#list + 1] = name end
	table.sort(list)
	return list
end

describe("types.lua", function()
	local modules = documented()

	it("knows the modules of the binary", function()
		local registered = {}
		for name in pairs(package.preload) do
			if name:match "^core%." then registered[name] = true end
		end
		assert.same(names(registered), names(modules))
	end)

	for module, functions in pairs(modules) do
		it("documents " .. module, function()
			assert.same(names(require(module)), names(functions))
		end)
	end

	it("documents the methods of tasks and events", function()
		local text = io.open("lua/types.lua"):read "a"
		local core = require "core.task"
		for class, value in pairs { Task = core.spawn(function() end), Event = core.event() } do
			local methods = {}
			for name in text:gmatch("\nfunction " .. class .. ":(%w+)%(") do methods[name] = true end
			assert.same(names(getmetatable(value).__index), names(methods))
		end
		core.sleep(0)
	end)
end)
