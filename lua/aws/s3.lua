-- s3.lua - objects in S3: whole ones, read and written in one request.
local arguments = require "aws.arguments"
local check = require "check"
local query = require "aws.query"
local request = require "aws.request"

local s3 = {}

local NO_TAG = ": the answer has no ETag, so it is not S3's"

-- Another version is there than the one that was to be replaced, or none.
local CONFLICT = { PreconditionFailed = true, ConditionalRequestConflict = true, NoSuchKey = true }

local regions = {} -- bucket -> the region that it turned out to be in

local function key(value)
	if type(value) ~= "string" or value == "" then return "a string that is not empty" end
end

local GET = { bucket = arguments.bucket, key = key, region = arguments.region, deadline = arguments.deadline }
local PUT = { body = arguments.text, if_match = arguments.text, if_none_match = arguments.text }
for name, kind in pairs(GET) do PUT[name] = kind end

local function refuse_wrong(what, o, kinds, needed)
	local wrong = check.options(what, o, kinds)
	for _, name in ipairs(needed) do
		wrong = wrong or o[name] == nil and ("%s: %s: it is needed"):format(what, name)
	end
	if wrong then error(wrong, 3) end
end

local function ask(o, more)
	more.service, more.bucket, more.path, more.deadline = "s3", o.bucket, "/" .. query.path(o.key), o.deadline
	more.region = regions[o.bucket] or o.region
	local body, response, code = request(more)
	if body ~= nil then regions[o.bucket] = response.region end
	return body, response, code
end

-- What an answer that is no success says.
local function refusal(what, response)
	return ("%s: status %d: %s: %s"):format(what, response.status, response.error.code, response.error.message)
end

-- (waits) An object and its tag.  "missing": there certainly is none of that name in the bucket, for a
-- bucket that is there says so; no other thing that is not found counts, and no other status.
--
--	local text, etag = s3.get { bucket = "my-bucket", key = "etcd/marker.json" }
--
---@param o {bucket: string, key: string, region: string?, deadline: number?}
---@return string|nil text, string etag_or_message, Code?
function s3.get(o)
	refuse_wrong("aws.s3.get", o, GET, { "bucket", "key" })
	local body, response, code = ask(o, {
		action = "GetObject", expect = { 404 },
		permission = "s3:GetObject (or s3:ListBucket, without which a key that is missing is denied too)",
	})
	if body == nil then return nil, response, code ~= "missing" and code or "http" end
	local what = ("s3 GetObject %s/%s"):format(o.bucket, query.path(o.key))
	if not body then return nil, refusal(what, response), response.error.code == "NoSuchKey" and "missing" or "http" end
	if not response.headers.etag then return nil, what .. NO_TAG, "parse" end
	return body, response.headers.etag
end

-- Whether what is there is what was to be written: an answer that was lost made us write it twice.
local function ours(o)
	local text, etag = s3.get { bucket = o.bucket, key = o.key, region = o.region, deadline = o.deadline }
	return text == o.body and etag or nil
end

-- (waits) Write an object -> its tag.  if_none_match = "*": only where there is none; if_match = TAG:
-- only over that version; else "conflict".
---@param o {bucket: string, key: string, body: string, if_match: string?, if_none_match: string?,
--- region: string?, deadline: number?}
---@return string|nil etag, string?, Code?
function s3.put(o)
	refuse_wrong("aws.s3.put", o, PUT, { "bucket", "key", "body" })
	local _, response, code = ask(o, {
		action = "PutObject", method = "PUT", body = o.body, expect = { 404, 409, 412 },
		headers = { ["if-match"] = o.if_match, ["if-none-match"] = o.if_none_match },
	})
	if type(response) ~= "table" then return nil, response, code end
	local what, refused = ("s3 PutObject %s/%s"):format(o.bucket, query.path(o.key)), response.error
	local etag = response.headers.etag
	if not refused then return etag, not etag and what .. NO_TAG or nil, not etag and "parse" or nil end
	etag = response.attempts > 1 and ours(o)
	if etag then return etag end
	return nil, refusal(what, response), CONFLICT[refused.code] and "conflict" or "http"
end

return s3
