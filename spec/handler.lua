-- handler.lua - how busted speaks in this repository: a line per test, failures readable, and a
-- tally for tools/test in the file that $TALLY names.  A run that dies leaves no tally, which is
-- how a crash is told from a success.

local busted = require "busted"

return function()
	local handler = require "busted.outputHandlers.base" ()
	local trouble = {}
	local started = 0

	local function write(...)
		io.write(string.format(...), "\n")
		io.flush()
	end

	local function text(message)
		if type(message) == "string" then
			return message
		end
		return message == nil and "no message" or require "pl.pretty".write(message)
	end

	local function note(element, _, message, debug)
		local trace = element.trace or debug or {}
		trouble[#trouble + 1] = ("%s:%s: %s\n%s"):format(trace.short_src or "?",
			trace.currentline or "?", handler.getFullName(element), text(message))
		if element.descriptor ~= "it" then
			write("BROKEN %s: %s", handler.getFullName(element), text(message))
		end
		return nil, true
	end

	local words = { success = "ok", failure = "FAILED", error = "BROKEN", pending = "skipped" }

	function handler.testStart()
		started = require "system".monotime()
		return nil, true
	end

	function handler.testEnd(element, _, status)
		local pending = handler.pendings[#handler.pendings]
		local why = status == "pending" and pending and pending.message
		write("  %-7s %s%s (%.1f s)", words[status] or status, handler.getFullName(element),
			why and ": " .. text(why) or "", require "system".monotime() - started)
		return nil, true
	end

	function handler.suiteEnd()
		for _, one in ipairs(trouble) do
			write("\n--- %s", one)
		end
		local failed = handler.failuresCount + handler.errorsCount
		local tally = ("%d %d %d"):format(handler.successesCount, failed, handler.pendingsCount)
		local path = os.getenv "TALLY"
		if path then
			local file = assert(io.open(path, "w"))
			assert(file:write(tally, "\n"))
			assert(file:close())
		else
			write("%d passed, %d failed, %d skipped", handler.successesCount, failed,
				handler.pendingsCount)
		end
		return nil, true
	end

	busted.subscribe({ "test", "start" }, handler.testStart, { predicate = handler.cancelOnPending })
	busted.subscribe({ "test", "end" }, handler.testEnd, { predicate = handler.cancelOnPending })
	busted.subscribe({ "suite", "end" }, handler.suiteEnd)
	busted.subscribe({ "failure" }, note)
	busted.subscribe({ "error" }, note)
	return handler
end
