-- Requests per second.  `serve ADDRESS PORT` answers /bootstrap as the roll call does;
-- `ask URL N TASKS` sends N requests from so many tasks.  Run by etcd-bootstrap lua.
local http = require "core.http"
local serve = require "core.serve"
local task = require "core.task"

local verbs = {}

function verbs.serve(address, port)
	local server = assert(serve.listen { address = address, port = tonumber(port), bodies = {} })
	server:set("/bootstrap", "{\"data\":\"empty\"}")
	while true do task.sleep(3600) end
end

function verbs.ask(url, count, tasks)
	local left, running = tonumber(count), {}
	for i = 1, tonumber(tasks) do
		running[i] = task.spawn(function()
			while left > 0 do
				left = left - 1
				assert(assert(http.request { url = url }).status == 200)
			end
			return true
		end)
	end
	for _, one in ipairs(running) do assert(one:join()) end
end

verbs[arg[1]](table.unpack(arg, 2))
