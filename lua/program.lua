-- program.lua - what a run becomes at its end: whether it is there, whether its words agree with its
-- environment, and becoming it.  It inherits every variable of ours, ETCD_* that nobody here knows too.
local log = require "core.log"
local proc = require "core.proc"
local binary = require "binary"
local check = require "check"
local config = require "config"
local user = require "user"

local program = {}

-- Where etcd would be told a thing twice.  Other programs may well have a --name of their own.
local function is_etcd(argv)
	return argv[1]:match("[^/]*$"):find("etcd", 1, true) and argv[2] ~= "gateway" and argv[2] ~= "grpc-proxy"
end

local function is_output(policy, path)
	for _, one in ipairs(policy.output) do
		if one.path == path then return true end
	end
	return false
end

-- The file that etcd is to read instead of every flag and variable, nil where there is none.
local function config_file(argv)
	for i, word in ipairs(argv) do
		local given = word:match "^%-%-?config%-file=(.*)$" or word:match "^%-%-?config%-file$" and argv[i + 1]
		if given then return given end
	end
	local inherited = os.getenv "ETCD_CONFIG_FILE"
	return inherited ~= "" and inherited or nil
end

-- Why etcd would not do what is decided here, nil where it would: it dies of a flag whose variable is
-- set too, be it empty, and with a configuration file it heeds neither.
---@param policy Policy
---@param argv string[]
---@param env table<string, any>  the variables that we set
---@return string?
function program.disagrees(policy, argv, env)
	if not is_etcd(argv) then return nil end
	local file = config_file(argv)
	if file and is_output(policy, file) then return nil end
	if file then
		return ("etcd would read %s and nothing else, but that file is none of the policy's outputs: "
			.. "write it by one, or leave --config-file and ETCD_CONFIG_FILE out"):format(file)
	end
	for i = 2, #argv do
		local flag = argv[i]:match "^%-%-?([%w-]+)"
		local name = flag and "ETCD_" .. flag:upper():gsub("-", "_")
		if name and (env[name] or os.getenv(name)) then
			return ("exec has %s, and %s is %s: etcd does not start when it is told twice; leave one of them out"):format(
				argv[i]:match "^[^=]*", name, env[name] and "set by this policy" or "in the environment")
		end
	end
end

-- An etcd that is told to force a new cluster throws every other member out, at each start: that is for
-- a person's own hands, once.
local FORCE = "ETCD_FORCE_NEW_CLUSTER"

local function forces(argv)
	for _, word in ipairs(argv) do
		if word:find "^%-%-?force%-new%-cluster" then
			return ("exec has %s: etcd would throw every other member out at each start; start it so by hand, once"):format(word)
		end
	end
end

-- The words of the policy's exec for this configuration -> argv | nil, message
function program.words(policy, made)
	local argv, why = policy.exec, nil
	if type(argv) == "function" then argv, why = user.pure("exec", argv, made) end
	if type(argv) ~= "table" or check.argv(argv) then return nil, why or "exec did not return a list of words" end
	why = forces(argv)
	if why then return nil, why end
	return argv
end

-- Why the policy's exec cannot be what it is meant to be, before anything is changed for it.  What a
-- function will return is not known without a configuration.
---@param policy Policy
---@param made Config?
---@return string?
function program.unfit(policy, made)
	local argv, why = policy.exec, nil
	if type(argv) == "function" and made then argv, why = program.words(policy, made) end
	if why or type(argv) ~= "table" then return why end
	if not binary.path(argv[1]) then
		return ("%s, which exec names, is not to be found: install it, or give its path"):format(argv[1])
	end
	return forces(argv) or program.disagrees(policy, argv, made and made.env or config.variables(policy))
end

local function warn_of_overridden(env)
	local names = {}
	for _, name in ipairs(check.sorted(env)) do
		local inherited = os.getenv(name)
		if inherited and inherited ~= env[name] then names[#names + 1] = name end
	end
	if names[1] then
		log.warn(("%s stood in the environment with another value, which gives way to what is decided here"):format(
			table.concat(names, ", ")))
	end
end

-- Never returns, but for a failure -> message
---@param argv string[]
---@param env table<string, string>
function program.become(argv, env)
	if os.getenv(FORCE) then env[FORCE] = "false" end
	warn_of_overridden(env)
	log.info("starts " .. table.concat(argv, " "))
	local _, why = proc.exec(argv, env)
	return why
end

return program
