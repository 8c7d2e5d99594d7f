-- arguments.lua - what a request to AWS may be made of: a wrong one is told to its author by the name of
-- its key, before anything is asked.  A signature goes to whatever host the URL names, so nothing
-- that becomes part of one is taken as it comes.
local check = require "check"
local endpoints = require "aws.endpoints"
local query = require "aws.query"
local region = require "aws.region"
local xml = require "core.xml"

local arguments = {}

function arguments.region(value)
	if type(value) ~= "string" or not region.check(value, "") then return "the name of a region" end
end

-- It is a host's label, or the first part of a path.
function arguments.bucket(value)
	if type(value) ~= "string" or not value:find "^[%w_-][%w._-]*$" then return "the name of a bucket" end
end

function arguments.text(value)
	if type(value) ~= "string" then return "a string" end
end

function arguments.deadline(value)
	if not math.type(value) or value ~= value then return "a time by task.now()" end
end

-- fine(name, value): whether they may stand there.
local function by_name(value, fine, words)
	if type(value) ~= "table" then return words end
	for name, one in pairs(value) do
		if type(name) ~= "string" or not fine(name, one) then return words end
	end
end

local function action(value)
	if type(value) ~= "string" or not value:find "^%w+$" then return 'a string such as "DescribeInstances"' end
end

local function params(value)
	return by_name(value, function() return true end, 'a table by name, as in { InstanceId = { "i-1" } },')
end

local function method(value)
	if type(value) ~= "string" or not value:find "^%u+$" then return 'a string such as "GET"' end
end

-- After it nothing may follow but what query makes.
local function path(value)
	if type(value) ~= "string" or not value:find "^/[%w%-._~!$&'()*+,;=:@%%/]*$" then
		return "an encoded path that begins with /"
	end
end

local function names(value)
	return by_name(value, function(_, one)
		return type(one) == "string" or type(one) == "boolean" or math.type(one)
	end, "a table of strings, numbers or booleans by name")
end

local function headers(value)
	return by_name(value, function(name, one)
		return name:find "^[%w!#$%%&'*+.^_`|~-]+$" and type(one) == "string" and not one:find "%c"
	end, "a table of strings of one line by name")
end

local function shape(value)
	if type(value) ~= "table" or not pcall(xml.decode, "<_/>", value) then
		return "a shape as xml.decode takes it, such as { DescribeTagsResponse = { ... } },"
	end
end

local function expect(value)
	local words = "a list of statuses, such as { 404 },"
	if type(value) ~= "table" then return words end
	for key, status in pairs(value) do
		if not math.type(key) or math.type(status) ~= "integer" then return words end
	end
end

local function service(value)
	if type(value) ~= "string" or not endpoints.knows(value) then
		return "one of " .. table.concat(endpoints.services(), " ")
	end
end

local EACH = {
	service = service, region = arguments.region, action = action, permission = arguments.text, shape = shape,
	deadline = arguments.deadline, headers = headers, expect = expect,
}
local QUERY = { params = params }
local REST = { method = method, path = path, query = names, body = arguments.text }
local S3 = { bucket = arguments.bucket }

-- A check for each key; one that is another service's has no right value.
local function kinds_for(name)
	local kinds, asks = {}, query.speaks(name)
	local function take(list, mine, whose)
		for key, kind in pairs(list) do
			kinds[key] = mine and kind or function() return ("nothing (it is for %s)"):format(whose) end
		end
	end
	take(EACH, true)
	take(QUERY, asks, "services that are asked by action and params")
	take(REST, not asks, "route53 and s3")
	take(S3, name == "s3", "s3")
	return kinds
end

-- What is wrong with a request, by its author; nil when nothing is.
---@param o any
---@return string?
function arguments.problem(o)
	local what = "aws.request"
	local wrong = type(o) == "table" and service(o.service)
	if wrong then return ("%s: service: %s expected, got %s"):format(what, wrong, check.shown(o.service)) end
	wrong = check.options(what, o, kinds_for(type(o) == "table" and o.service))
	if wrong then return wrong end
	local asks = query.speaks(o.service)
	if asks and not o.action then return ("%s: action: %s expected"):format(what, action()) end
	-- Without one a page of somebody in between would pass for the answer; who asks S3 looks for a tag.
	if not asks and o.service ~= "s3" and not o.shape then return ("%s: shape: %s expected"):format(what, shape()) end
	if not asks then return end
	local fine, why = pcall(query.form, o.service, o.action, o.params)
	if not fine then return ("%s: params: %s"):format(what, why) end
end

return arguments
