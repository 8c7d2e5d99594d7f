-- credentials.lua - the keys that requests to AWS are signed with, from the first source that has any,
-- in the order of the SDKs.  A source that is set up and fails is an error: what comes after it might
-- be somebody else.  All who ask at the same time share one fetch.
local chain = require "aws.chain"
local clock = require "aws.clock"
local container = require "aws.container"
local instance = require "aws.instance"
local log = require "core.log"
local profiles = require "aws.profiles"
local settings = require "aws.settings"
local sts = require "aws.sts"
local task = require "task"

local credentials = {}

local BEFORE = 600 -- seconds before their end at which keys are renewed
local AGAIN = 60 -- seconds until the next attempt where keys are near their end, or no new ones came
local ENDED = 300 -- the same where they have ended, and as much again at random

local memo -- { keys, due = clock of the next fetch, refused = AWS calls them too old }

-- The role that a token in a file stands for, as EKS sets it up.
local function web_identity()
	local file, role = settings.variable "AWS_WEB_IDENTITY_TOKEN_FILE", settings.variable "AWS_ROLE_ARN"
	if not file then return false end
	if not role then
		return nil, "credentials from the web identity: AWS_WEB_IDENTITY_TOKEN_FILE is set and AWS_ROLE_ARN is not", "auth"
	end
	return sts.web_identity { role = role, file = file, session = settings.variable "AWS_ROLE_SESSION_NAME",
		source = "the web identity of the environment" }
end

local function find()
	for _, source in ipairs { chain.environment, web_identity, chain.profile, container.get } do
		local keys, why, code = source()
		if keys ~= false then return keys, why, code end
	end
	local keys, why, code = instance.get()
	if keys then return keys end
	return nil, ("no AWS credentials: none in the environment (AWS_ACCESS_KEY_ID, AWS_WEB_IDENTITY_TOKEN_FILE), "
		.. "in the profile %q or from a container's service; %s"):format(profiles.name(), why), code
end

-- When to ask for others.
local function due(keys)
	if not keys.expires then return math.huge end
	local left = keys.expires - clock.now()
	if left > BEFORE + AGAIN then return task.now() + left - BEFORE end
	if left > 0 then return task.now() + AGAIN end
	return task.now() + ENDED + math.random() * ENDED
end

-- Whether the keys at hand may go on where no new ones came.
local function usable(held)
	return held and not held.refused and (held.keys.stable or held.keys.expires > clock.now())
end

local fetch = task.shared(function()
	local keys, why, code = find()
	if keys then
		memo = { keys = keys, due = due(keys) }
		if keys.expires and keys.expires <= clock.now() then
			log.warn(("the credentials from %s have ended, by this machine's clock; they are used all the same")
				:format(keys.source))
		end
		return keys
	end
	if not usable(memo) then return nil, why, code end
	log.warn(("%s; the credentials from %s are used on"):format(why, memo.keys.source))
	memo.due = task.now() + AGAIN
	return memo.keys
end)

-- (waits) The keys of now.  stale: those that AWS called too old, so that others are asked for.
---@param stale Keys?
---@return Keys|nil, string?, Code?
function credentials.get(stale)
	if memo and stale == memo.keys then memo.refused = true end
	if memo and not memo.refused and task.now() < memo.due then return memo.keys end
	return fetch "keys"
end

return credentials
