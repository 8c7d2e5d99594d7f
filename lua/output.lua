-- output.lua - writes what the templates made: all outputs are rendered before the first is written,
-- and when one cannot be written those before it get their old content back.
local fs = require "core.fs"
local log = require "core.log"
local proc = require "core.proc"
local template = require "template"

local output = {}

local RELOAD_PATIENCE = 30 -- seconds; what hangs there must not keep etcd from its start

-- /dev/stdout is a link, to a file perhaps, which a write would replace.
local function is_device(path)
	return path:find "^/dev/" and not path:find "^/dev/shm/"
end

-- What to do about a file that cannot be written.
local function remedy(path)
	local stat = fs.stat(path, { follow = true })
	local dir = path:match "^(.+)/[^/]*$"
	if is_device(path) or stat and stat.type ~= "file" and stat.type ~= "directory" then
		return "; for the standard output name -"
	end
	return (stat or not dir or fs.stat(dir, { follow = true })) and "" or "; make its directory first"
end

-- {spec, text, old}: what one output is to become, and what it is now.
local function prepare(config, spec)
	local text, why, code = template.render(spec.template, config)
	if not text then return nil, ("output %s: %s"):format(spec.path, why), code end
	local todo = { spec = spec, text = text }
	if spec.path == "-" or text == "" then return todo end
	todo.old, why, code = fs.read(spec.path)
	if todo.old or code == "missing" then return todo end
	return nil, ("output %s: %s%s"):format(spec.path, why, remedy(spec.path)), code
end

local function same_mode(spec)
	local stat = spec.mode and fs.stat(spec.path)
	return not stat or stat.mode & 4095 == tonumber(spec.mode, 8)
end

local function write_file(todo)
	local spec = todo.spec
	if todo.old == todo.text and same_mode(spec) then
		log.info(("output %s is unchanged"):format(spec.path))
		return true
	end
	local fine, why, code = fs.write(spec.path, todo.text, { mode = spec.mode, owner = spec.owner })
	if not fine then return nil, ("output %s: %s"):format(spec.path, why), code end
	log.info(("output %s is written"):format(spec.path))
	todo.written = true
	return true
end

-- A failure here is only told: the failure that led here is the one that counts.
local function put_back(list)
	for _, todo in ipairs(list) do
		local spec = todo.spec
		local fine, why = true, nil
		if todo.written and todo.old then
			fine, why = fs.write(spec.path, todo.old, { mode = spec.mode, owner = spec.owner })
		elseif todo.written then
			fine, why = fs.remove(spec.path)
		end
		if not fine then log.warn(("output %s is not put back: %s"):format(spec.path, why)) end
	end
end

local function write_stdout(text)
	local fine, why = io.stdout:write(text)
	if fine then fine, why = io.stdout:flush() end
	if not fine then return nil, "output -: " .. tostring(why), "io" end
	return true
end

local function write_one(todo)
	if todo.text == "" then return true end
	if todo.spec.path == "-" then return write_stdout(todo.text) end
	return write_file(todo)
end

local function reload(spec)
	local argv = table.move(spec.reload, 1, #spec.reload, 1, { timeout = RELOAD_PATIENCE })
	local result, why = proc.run(argv)
	if result and result.status ~= 0 then
		why = result.signal and "signal " .. result.signal or "status " .. result.status
	end
	if why then
		log.warn(("output %s: reload %s failed: %s"):format(spec.path, argv[1], why))
	end
end

-- (waits) Whether all of this could be written, without a change of any file.
---@param config Config
---@param specs table[]  policy.output
---@return true|nil, string?
function output.rehearse(config, specs)
	for _, spec in ipairs(specs) do
		local todo, why = prepare(config, spec)
		if not todo then return nil, why end
		local fine = true
		if is_device(spec.path) then
			fine, why = false, "it is no regular file"
		elseif spec.path ~= "-" and todo.text ~= "" then
			fine, why = fs.rehearse(spec.path, todo.text, { mode = spec.mode, owner = spec.owner })
		end
		if not fine then return nil, ("output %s: %s%s"):format(spec.path, why, remedy(spec.path)) end
	end
	return true
end

-- (waits) "" from a template means: nothing for this output.
---@param config Config
---@param specs table[]  policy.output
---@return true|nil, string?, Code?
function output.write(config, specs)
	local list, stdout_last = {}, {}
	for i, spec in ipairs(specs) do
		local why, code
		list[i], why, code = prepare(config, spec)
		if not list[i] then return nil, why, code end
	end
	for _, todo in ipairs(list) do
		if todo.spec.path ~= "-" then stdout_last[#stdout_last + 1] = todo end
	end
	for _, todo in ipairs(list) do
		if todo.spec.path == "-" then stdout_last[#stdout_last + 1] = todo end
	end
	for _, todo in ipairs(stdout_last) do
		local fine, why, code = write_one(todo)
		if not fine then
			put_back(list)
			return nil, why, code
		end
	end
	for _, todo in ipairs(list) do
		if todo.written and todo.spec.reload then reload(todo.spec) end
	end
	return true
end

return output
