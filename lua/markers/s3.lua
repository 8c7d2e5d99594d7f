-- s3.lua - a marker that is an object in S3:
--
--	marker = s3 { bucket = "etcd-prod", key = "marker.json", region = "eu-west-1" }
--
-- S3 itself decides who wins: the first version is made only where there is none, and a later one only
-- in the place of the version that was read.  That there is none is believed of a bucket that is there
-- and says so of the key; whoever may not list the bucket is denied instead, and learns nothing.
local arguments = require "aws.arguments"
local check = require "check"
local marker = require "marker"
local s3 = require "aws.s3"

local function named(o)
	return ("the marker s3://%s/%s"):format(o.bucket, o.key)
end

local function read(o, deadline)
	local text, tag, code = s3.get { bucket = o.bucket, key = o.key, region = o.region, deadline = deadline }
	if not text and code == "missing" then return false end
	if not text then return nil, ("cannot read %s: %s"):format(named(o), tag), code end
	local m, why
	m, why, code = marker.parse(text)
	if not m then return nil, ("cannot read %s: %s"):format(named(o), why), code end
	return m, tag
end

local function write(o, m, tag, deadline)
	local new, why, code = s3.put {
		bucket = o.bucket, key = o.key, region = o.region, deadline = deadline, body = marker.text(m),
		if_match = tag, if_none_match = not tag and "*" or nil,
	}
	if not new then return nil, ("cannot write %s: %s"):format(named(o), why), code end
	return new
end

local OPTIONS = { bucket = arguments.bucket, key = check.text, region = arguments.region }

local function make(_, o)
	local wrong = check.options("s3", o, OPTIONS) or not (o.bucket and o.key) and "s3: bucket and key are needed"
	if wrong then error(wrong, 2) end
	o = { bucket = o.bucket, key = o.key, region = o.region }
	return {
		read = function(ask) return read(o, ask and ask.deadline) end,
		write = function(m, tag, ask) return write(o, m, tag, ask and ask.deadline) end,
	}
end

return setmetatable({}, { __call = make })
