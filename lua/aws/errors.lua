-- errors.lua - what AWS means when it says no: its three kinds of envelope, and what its codes are to
-- us.  An answer may come from somebody in between who speaks HTML, so nothing is taken for granted.
local xml = require "core.xml"

local errors = {}

local ERROR = { Code = true, Message = true, Region = true }
local SHAPE = {
	Response = { Errors = { Error = { ERROR } } },
	ErrorResponse = { Error = ERROR, Errors = { Error = { ERROR } } }, -- the second is moto's alone
	Error = ERROR,
	InvalidChangeBatch = { Messages = { Message = { true } } },
}

local function set(words)
	local found = {}
	for word in words:gmatch "%S+" do found[word] = true end
	return found
end

-- Too much was asked: it will do later.
local THROTTLED = set [[
	Throttling ThrottlingException ThrottledException RequestThrottled RequestThrottledException SlowDown
	TooManyRequestsException RequestLimitExceeded EC2ThrottledException LimitExceededException
	BandwidthLimitExceeded PriorRequestNotComplete TransactionInProgressException
	ProvisionedThroughputExceededException
]]

-- Something broke that may work at once.
local TRANSIENT = set [[
	RequestTimeout RequestTimeoutException InternalError InternalFailure ServiceUnavailable IDPCommunicationError
]]
local TRANSIENT_STATUS = { [408] = true, [500] = true, [502] = true, [503] = true, [504] = true, [509] = true }

local DENIED = set "AccessDenied AccessDeniedException UnauthorizedOperation UnauthorizedAccess AllAccessDisabled"

-- The credentials or the signature are not taken.
local AUTH = set [[
	AuthFailure SignatureDoesNotMatch InvalidSignatureException IncompleteSignature MissingAuthenticationToken
	InvalidClientTokenId InvalidAccessKeyId UnrecognizedClientException InvalidToken InvalidIdentityToken
	OptInRequired AuthorizationHeaderMalformed RequestTimeTooSkewed RequestInTheFuture
]]

-- New credentials may help.
local EXPIRED = set "ExpiredToken ExpiredTokenException RequestExpired TokenRefreshRequired"

-- What a clock that is off looks like.
local SKEWED = set [[
	RequestTimeTooSkewed RequestExpired RequestInTheFuture SignatureDoesNotMatch InvalidSignatureException AuthFailure
]]

local CONFLICT = set "PreconditionFailed ConditionalRequestConflict OperationAborted"

-- Absence that is not one of what was asked for.
local NOT_ABSENT = set "NoSuchBucket NoSuchUpload"

-- The error in a body -> {code, message, region} | nil: it is none of theirs
---@param body string
---@return {code: string, message: string, region: string?}?
function errors.read(body)
	local t = xml.decode(body, SHAPE)
	if not t then return nil end
	if t.InvalidChangeBatch then
		local messages = t.InvalidChangeBatch.Messages
		return { code = "InvalidChangeBatch", message = messages and table.concat(messages.Message, "; ") or "" }
	end
	local outer = t.Response or t.ErrorResponse
	local list = outer and outer.Errors and outer.Errors.Error
	local found = t.Error or outer and outer.Error or list and list[1]
	if not found then return nil end
	local code = (found.Code or ""):gsub("^Client%.", ""):gsub("^Server%.", "")
	return { code = code, message = found.Message or "", region = found.Region }
end

local function code_of(status, name)
	if THROTTLED[name] or status == 429 then return "throttled" end
	if DENIED[name] then return "denied" end
	if AUTH[name] or EXPIRED[name] then return "auth" end
	if CONFLICT[name] then return "conflict" end
	if NOT_ABSENT[name] then return "http" end
	if name:find "^NoSuch" or name:find "NotFound$" or name:find "NotFoundException$" then return "missing" end
	if name == "" and status == 403 then return "denied" end
	if name == "" and status == 401 then return "auth" end
	return "http"
end

-- What is to be made of a refusal.  found: what errors.read gave; without it only the status is known.
---@param status integer
---@param found {code: string}?
---@return {code: Code, retry: "throttle"|"transient"|nil, expired: boolean, skewed: boolean}
function errors.judge(status, found)
	local name = found and found.code
	local verdict = { code = "http", expired = EXPIRED[name] or false, skewed = SKEWED[name] or false }
	if found or status == 429 then verdict.code = code_of(status, name or "") end
	if verdict.code == "throttled" then
		verdict.retry = "throttle"
	elseif TRANSIENT_STATUS[status] or TRANSIENT[name] then
		verdict.retry = "transient"
	end
	return verdict
end

-- The code of a failure for one who would ask again: what the service itself calls wrong stays wrong.
---@param code Code
---@param response table?  of the refusal
---@return Code
function errors.lasting(code, response)
	if code == "http" and response and response.error and not errors.judge(response.status, response.error).retry then
		return "usage"
	end
	return code
end

return errors
