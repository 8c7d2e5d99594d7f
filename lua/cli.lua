-- cli.lua - the command line: verbs, options, exit statuses, and the signals that end a run.
local gate = require "core.gate"
local log = require "core.log"
local task = require "core.task"
local modules = require "modules"
local nearest = require "nearest"
local policies = require "policy"

local cli = {}

local DONE, FAILED, USAGE = 0, 1, 2

local HELP = [[
usage: etcd-bootstrap VERB [OPTIONS] POLICY [OPTIONS] [-- ARG...]

  run       look, decide, change, write the configuration, start etcd
  plan      what run would do now and why, changing nothing
  status    the machines, the clusters and the registrations that are seen
  finish    after etcd's start: wait until it answers, promote it, register the healthy members
  leave     take this machine's member out of its cluster, etcd running or not
  diagnose  why nothing happens, what a person can do, and how to restore what is lost
  check     load the policy file, offline
  modules   which file each replaceable Lua module comes from (POLICY may be left out)
  lua FILE  run a Lua file with the same primitives
  version   print the version
  help      print this

  --timeout S               seconds for the whole run
  --output PATH[=TEMPLATE]  write this instead of the policy's outputs; - is stdout; repeatable
  --json                    plan, status, diagnose: one JSON object
  --override RULE           do not heed this safety rule; repeatable
  --no-exec                 write the configuration, start nothing
  --path DIR                look for Lua modules here first; repeatable
  --set K=V                 args.K == "V" in the policy; ARG... are args[1], args[2] ...
  --log-level debug|info|warn|error
  --log-format text|json|journald

exit: 0 done  1 failed  2 usage or policy file  3 deadline while waiting  4 refused or given up
      5 two clusters with quorum  128+n ended by signal n
]]

-- Options ---------------------------------------------------------------------------------------

local function usage(fmt, ...)
	return nil, fmt:format(...)
end

local function one_of(name, ...)
	local allowed = { ... }
	return function(options, value)
		for _, one in ipairs(allowed) do
			if value == one then
				options[name] = value
				return true
			end
		end
		return usage("%s is none of %s%s", value, table.concat(allowed, ", "),
			nearest.name(value, allowed) and nearest.hint(value, allowed) or "")
	end
end

local function flag(name)
	return function(options)
		options[name] = true
		return true
	end
end

local TAKES_VALUE, OPTIONS = {}, {
	["--json"] = flag "json", ["--no-exec"] = flag "no_exec", ["--help"] = flag "help",
}

function TAKES_VALUE.timeout(options, value)
	local seconds = tonumber(value)
	if not seconds or not (seconds >= 0 and seconds < math.huge) then
		return usage("%s: seconds expected, 0 or more", value)
	end
	options.timeout = seconds
	return true
end

function TAKES_VALUE.output(options, value)
	local path, name = value:match "^(.+)=([^=]+)$"
	path = path or value
	if path == "" or path:find "^=" or path:find "=$" then
		return usage("%s: PATH or PATH=TEMPLATE expected", value)
	end
	options.output = options.output or {}
	options.output[path] = name or "env"
	return true
end

function TAKES_VALUE.override(options, value)
	local known, waivable = {}, {}
	for _, rule in ipairs(gate.rules()) do
		known[rule.name] = rule
		if rule.override then waivable[#waivable + 1] = rule.name end
	end
	if not known[value] then return usage("no rule %s%s", value, nearest.hint(value, waivable)) end
	if not known[value].override then return usage("the rule %s has no override", value) end
	options.overrides[value] = true
	return true
end

function TAKES_VALUE.path(options, value)
	if value == "" then return usage("a directory expected") end
	table.insert(options.path, value)
	return true
end

function TAKES_VALUE.set(options, value)
	local key, text = value:match "^([^=]+)=(.*)$"
	if not key then return usage("%s: K=V expected", value) end
	options.args[key] = text
	return true
end

TAKES_VALUE["log-level"] = one_of("log_level", "debug", "info", "warn", "error")
TAKES_VALUE["log-format"] = one_of("log_format", "text", "json", "journald")

for name, take in pairs(TAKES_VALUE) do OPTIONS["--" .. name] = take end

local function option_names()
	local names = {}
	for name in pairs(OPTIONS) do names[#names + 1] = name end
	return names
end

-- Takes the option at argv[i] -> the next i | nil, message
local function take_option(options, argv, i)
	local name, value = argv[i]:match "^(%-%-[^=]+)=(.*)$"
	name = name or argv[i]
	local take = OPTIONS[name]
	if not take then
		return usage("unknown option %s%s", name, nearest.hint(name, option_names()))
	end
	if not TAKES_VALUE[name:sub(3)] then
		if value then return usage("%s takes no value", name) end
	elseif not value then
		i = i + 1
		value = argv[i]
		if not value then return usage("%s: a value is missing", name) end
	end
	local fine, why = take(options, value)
	if not fine then return usage("%s: %s", name, why) end
	return i + 1
end

-- argv after the verb -> options with the policy's path | nil, message
local function parse(argv)
	local options = { path = {}, args = {}, overrides = {} }
	local i = 2
	while i <= #argv and argv[i] ~= "--" do
		if argv[i]:find "^%-." then
			local after, why = take_option(options, argv, i)
			if not after then return nil, why end
			i = after
		elseif options.policy then
			return usage("one policy file expected, got %s and %s; arguments for it follow --",
				options.policy, argv[i])
		else
			options.policy, i = argv[i], i + 1
		end
	end
	table.move(argv, i + 1, #argv, 1, options.args)
	return options
end

-- Verbs -----------------------------------------------------------------------------------------

local function complain(message)
	log.error(message)
	return USAGE
end

local function load(options)
	if not options.policy then
		return nil, "a policy file is missing; see etcd-bootstrap help"
	end
	return policies.load(options.policy, options)
end

local function told_by(name)
	return function(options)
		local policy, why = load(options)
		if not policy then return complain(why) end
		return require "boot"[name](policy, options)
	end
end

local VERBS = {
	run = told_by "run", plan = told_by "plan", status = told_by "status", finish = told_by "finish",
	leave = told_by "leave", diagnose = told_by "diagnose",
}

function VERBS.check(options)
	local policy, why = load(options)
	if not policy then return complain(why) end
	io.stdout:write(options.policy, ": ok\n")
	return DONE
end

function VERBS.modules(options)
	modules.setup { path = options.path, policy = options.policy }
	for _, row in ipairs(modules.list()) do
		io.stdout:write(("%-24s %s\n"):format(row.name, row.file))
	end
	return DONE
end

function VERBS.help()
	io.stdout:write(HELP)
	return DONE
end

function VERBS.version()
	return complain "version takes no arguments"
end

function VERBS.lua()
	return complain "lua: a Lua file is missing"
end

-- Runs a verb as a task that TERM, INT and HUP cancel, so that what it holds is let go.
local function until_signal(verb, options)
	local caught
	local work = task.spawn(verb, options)
	local watch = task.spawn(function()
		local number, name = task.signal()
		caught = number
		log.warn(("ended by %s"):format(name))
		work:cancel()
	end)
	local status, why = work:join()
	watch:cancel()
	if caught then return 128 + caught end
	if math.type(status) == "integer" then return status end
	log.error(tostring(why or "ended without a status"))
	return FAILED
end

local function verb_names()
	local names = {}
	for name in pairs(VERBS) do names[#names + 1] = name end
	return names
end

---@param argv string[]  without the program's name
---@return integer exit status
function cli.main(argv)
	local verb = argv[1]
	if not verb then
		io.stderr:write(HELP)
		return USAGE
	elseif verb == "--help" or verb == "-h" then
		return VERBS.help()
	elseif not VERBS[verb] then
		return complain(("unknown verb %s%s (etcd-bootstrap help lists them)")
			:format(verb, nearest.hint(verb, verb_names())))
	end
	local options, why = parse(argv)
	if not options then return complain(("%s: %s"):format(verb, why)) end
	if options.help then return VERBS.help() end
	log.setup { level = options.log_level, format = options.log_format }
	local status = until_signal(VERBS[verb], options)
	io.stdout:flush()
	return status
end

return cli
