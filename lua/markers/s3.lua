-- s3.lua - a marker that is an object in S3:
--
--	marker = s3 { bucket = "etcd-prod", key = "marker.json", region = "eu-west-1" }
--
-- S3 itself decides who wins: the first version is made only where there is none, and a later one only
-- in the place of the version that was read.  That there is none is believed of a bucket that is there
-- and says so of the key; whoever may not list the bucket is denied instead, and learns nothing.
local marker = require "marker"
local nearest = require "nearest"
local region = require "aws.region"
local s3 = require "aws.s3"

local KEYS = { "bucket", "key", "region" }

local function named(o)
	return ("the marker s3://%s/%s"):format(o.bucket, o.key)
end

local function read(o)
	local text, tag, code = s3.get { bucket = o.bucket, key = o.key, region = o.region }
	if not text and code == "missing" then return false end
	if not text then return nil, ("cannot read %s: %s"):format(named(o), tag), code end
	local m, why
	m, why, code = marker.parse(text)
	if not m then return nil, ("cannot read %s: %s"):format(named(o), why), code end
	return m, tag
end

local function write(o, m, tag)
	local new, why, code = s3.put {
		bucket = o.bucket, key = o.key, region = o.region, body = marker.text(m),
		if_match = tag, if_none_match = not tag and "*" or nil,
	}
	if not new then return nil, ("cannot write %s: %s"):format(named(o), why), code end
	return new
end

-- What is wrong with the options, nil when nothing is.
local function problem(o)
	if type(o) ~= "table" then return "s3: a table expected" end
	for key, value in pairs(o) do
		if key ~= "bucket" and key ~= "key" and key ~= "region" then
			return ("s3 has no option '%s'%s"):format(tostring(key), nearest.hint(tostring(key), { table.unpack(KEYS) }))
		end
		if type(value) ~= "string" or value == "" then return ("s3.%s must be a text"):format(key) end
	end
	if not o.bucket or not o.key then return "s3: bucket and key are needed" end
	if not o.bucket:find "^[%w._-]+$" then return ("s3.bucket: %q is not the name of one"):format(o.bucket) end
	local fine, why = true, nil
	if o.region then fine, why = region.check(o.region, "s3.region") end
	return not fine and why or nil
end

local function make(_, o)
	local wrong = problem(o)
	if wrong then error(wrong, 2) end
	o = { bucket = o.bucket, key = o.key, region = o.region }
	return {
		read = function() return read(o) end,
		write = function(m, tag) return write(o, m, tag) end,
	}
end

return setmetatable({}, { __call = make })
