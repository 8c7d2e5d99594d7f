-- route53.lua - the healthy members in a zone of Amazon Route 53:
--
--	register = { route53 { zone = "Z3M3LMPEXAMPLE", name = "etcd.prod.example.com" } }
--
--	zone     the hosted zone's id
--	name     A and AAAA records of all members stand here; a bare label is completed by the zone's own name,
--	relative true: so is any other name
--	ttl      seconds of every record, 60
--	srv      true: SRV records _etcd-server._tcp.NAME and _etcd-client._tcp.NAME, with -ssl where that is https
--	members  true: a record of its own for each member, MEMBER.NAME; or function(member) -> label
--	adopt    true: records of these names that somebody else wrote are taken over
--
-- What is there is read first, and only what differs is written, in one batch.  records.lua says whose
-- records are whose.
local check = require "check"
local errors = require "aws.errors"
local records = require "records"
local request = require "aws.request"
local task = require "core.task"
local xml = require "core.xml"

local PAGE = 100 -- record sets of one answer
local PAGES = 50 -- answers of one reading, more than which is no order of names that we know
local TRIES = 3 -- of a change, others being at it as well

-- Requests --------------------------------------------------------------------------------------

local function ask(call, o)
	o.service, o.deadline = "route53", call.deadline
	o.path = "/2013-04-01/hostedzone/" .. call.o.zone .. (o.path or "")
	local t, why, code, response = request(o)
	if not t then return nil, why, errors.lasting(code, response) end
	return t
end

-- The name with all its labels -> name | nil, message, code
local function full_name(call)
	if not call.o.relative and call.o.name:find(".", 1, true) then return records.name(call.o.name) end
	local t, why, code = ask(call, { action = "GetHostedZone",
		shape = { GetHostedZoneResponse = { HostedZone = { Name = true } } } })
	if not t then return nil, why, code end
	local zone = t.GetHostedZoneResponse.HostedZone
	if not zone or not zone.Name then return nil, "the zone's answer has no name", "parse" end
	return records.name(call.o.name .. "." .. zone.Name)
end

local SETS = { ListResourceRecordSetsResponse = {
	IsTruncated = true, NextRecordName = true, NextRecordType = true, NextRecordIdentifier = true,
	ResourceRecordSets = { ResourceRecordSet = { {
		Name = true, Type = true, TTL = true, SetIdentifier = true, AliasTarget = { DNSName = true },
		ResourceRecords = { ResourceRecord = { { Value = true } } },
	} } },
} }

local function set_of(t)
	local set = { name = records.name(t.Name), raw = t.Name, type = t.Type, values = {} }
	set.ttl = math.tointeger(tonumber(t.TTL))
	local list = t.ResourceRecords and t.ResourceRecords.ResourceRecord or {}
	for i, record in ipairs(list) do set.values[i] = record.Value end
	if t.SetIdentifier then
		set.special = ("one of several (set identifier %s)"):format(t.SetIdentifier)
	elseif t.AliasTarget or not set.ttl then
		set.special = "an alias"
	end
	return set
end

-- The sets from a place in the zone on -> sets, next place or nil | nil, message, code
local function page(call, from)
	local t, why, code = ask(call, {
		path = "/rrset", query = { name = from[1], type = from[2], identifier = from[3], maxitems = PAGE },
		action = "ListResourceRecordSets", shape = SETS,
	})
	if not t then return nil, why, code end
	local answer, sets = t.ListResourceRecordSetsResponse, {}
	if not answer.ResourceRecordSets then return nil, "the list of records is missing in the answer", "parse" end
	for i, one in ipairs(answer.ResourceRecordSets.ResourceRecordSet) do sets[i] = set_of(one) end
	if answer.IsTruncated ~= "true" then return sets end
	if not answer.NextRecordName then return nil, "the answer is cut, and does not say where", "parse" end
	return sets, { answer.NextRecordName, answer.NextRecordType, answer.NextRecordIdentifier }
end

-- Reading ---------------------------------------------------------------------------------------

local function reversed(name)
	local labels = {}
	for label in name:gmatch "[^.]+" do table.insert(labels, 1, label) end
	return table.concat(labels, ".") .. ".", table.concat(labels, "\0")
end

-- Whether a zone that goes by labels from the last to the first has surely passed a name when it has
-- come to the other, be it label by label or as text.
local function passed(name, other)
	local text, labels = reversed(name)
	local other_text, other_labels = reversed(other)
	return text < other_text and labels < other_labels
end

local function first_of(open)
	local first
	for name in pairs(open) do
		if not first or reversed(name) < reversed(first) then first = name end
	end
	return first
end

-- Every set of these names, and some of others -> sets | nil, message, code
local function read(call, names)
	local open, found, from = {}, {}, nil
	for _, name in ipairs(names) do open[name] = true end
	for _ = 1, PAGES do
		local first = first_of(open)
		if not first then return found end
		local sets, rest, code = page(call, from or { first .. "." })
		if not sets then return nil, rest, code end
		table.move(sets, 1, #sets, #found + 1, found)
		local last = rest and records.name(rest[1])
		for name in pairs(open) do
			local begun = name == first or passed(first, name)
			if begun and (not last or passed(name, last)) then open[name] = nil end
		end
		from = open[first] and rest or nil
	end
	return nil, ("the records of zone %s come in no order that is known"):format(call.o.zone), "parse"
end

-- What is there of what is wanted, and of what was ours before.
local function seen_by(call, o, wanted)
	local names, asked = { o.name, records.owner_name(o) }, {}
	for _, set in ipairs(wanted) do table.insert(names, set.name) end
	local seen, why, code = read(call, names)
	if not seen then return nil, why, code end
	for _, name in ipairs(names) do asked[name] = true end
	local more = {}
	for _, name in ipairs(records.kept_names(o, seen)) do
		if not asked[name] then table.insert(more, name) end
	end
	local rest
	rest, why, code = read(call, more)
	if not rest then return nil, why, code end
	return table.move(rest, 1, #rest, #seen + 1, seen)
end

-- Writing ---------------------------------------------------------------------------------------

local function element(name, inside)
	return ("<%s>%s</%s>"):format(name, inside, name)
end

local function body_of(changes)
	local list = {}
	for i, change in ipairs(changes) do
		local set, values = change.set, {}
		for j, value in ipairs(set.values) do
			values[j] = element("ResourceRecord", element("Value", xml.escape(value)))
		end
		list[i] = element("Change", element("Action", change.action) .. element("ResourceRecordSet",
			element("Name", xml.escape(set.raw or set.name .. ".")) .. element("Type", set.type)
			.. element("TTL", set.ttl) .. element("ResourceRecords", table.concat(values))))
	end
	return '<?xml version="1.0" encoding="UTF-8"?>\n'
		.. '<ChangeResourceRecordSetsRequest xmlns="https://route53.amazonaws.com/doc/2013-04-01/"><ChangeBatch>'
		.. element("Changes", table.concat(list)) .. "</ChangeBatch></ChangeResourceRecordSetsRequest>"
end

-- A batch that is refused was of a zone that others have changed since, and the next reading asks for
-- another; one that is refused as it was will always be -> true | nil, message, code, whether to read again
local function write(call, changes)
	local body = body_of(changes)
	if call.refused == body then return nil, call.why, "usage" end
	local t, why, code = ask(call, {
		method = "POST", path = "/rrset/", action = "ChangeResourceRecordSets", body = body,
		headers = { ["Content-Type"] = "application/xml" },
		shape = { ChangeResourceRecordSetsResponse = { ChangeInfo = { Id = true, Status = true } } },
	})
	if t then return true end
	if not why:find("InvalidChangeBatch", 1, true) then return nil, why, code end
	call.refused, call.why = body, why
	return nil, why, "http", true
end

-- One reading, and the change that it asks for -> Registration | nil, message, code, whether to do it again
local function once(call, o, want, wanted)
	local seen, why, code = seen_by(call, o, wanted)
	if not seen then return nil, why, code end
	local plan
	plan, why, code = records.compare(o, want, wanted, seen)
	if not plan then return nil, why, code end
	local changed = plan.changes[1] ~= nil
	if changed and not want.dry then
		local done, again
		done, why, code, again = write(call, plan.changes)
		if not done then return nil, why, code, again end
		plan.values = plan.wanted
	end
	return { what = "route53 " .. o.name, values = plan.values, wanted = plan.wanted, changed = changed }
end

local function settle(call, want)
	local name, why, code = full_name(call)
	if not name then return nil, why, code end
	local o = setmetatable({ name = name }, { __index = call.o })
	local wanted
	wanted, why, code = records.wanted(o, want)
	if not wanted then return nil, why, code end
	for try = 1, TRIES do
		local done, again
		done, why, code, again = once(call, o, want, wanted)
		if done then return done end
		if not again or try == TRIES then return nil, why, code end
		task.sleep(math.random())
	end
end

-- The maker -------------------------------------------------------------------------------------

local function bare(zone)
	return (zone:gsub("^/?hostedzone/", ""))
end

local OPTIONS = {
	srv = check.boolean, adopt = check.boolean, relative = check.boolean,
	zone = function(value)
		if type(value) ~= "string" or not bare(value):find "^%w+$" then return "the id of a hosted zone" end
	end,
	name = function(value)
		if type(value) ~= "string" or not records.valid(records.name(value)) then return "a host's name" end
	end,
	ttl = function(value)
		if math.type(value) ~= "integer" or value < 0 or value >= 1 << 31 then return "whole seconds" end
	end,
	members = function(value)
		if type(value) ~= "boolean" and type(value) ~= "function" then
			return "true, or a function that makes a label of a member,"
		end
	end,
}

local function make(_, o)
	local wrong = check.options("route53", o, OPTIONS)
	if not wrong and not (o.zone and o.name) then wrong = "route53: zone and name are needed" end
	if wrong then error(wrong, 2) end
	local mine = {
		zone = bare(o.zone), name = o.name, relative = o.relative, ttl = o.ttl or 60, srv = o.srv, members = o.members,
		adopt = o.adopt,
	}
	return function(want)
		local done, why, code = settle({ o = mine, deadline = want.deadline }, want)
		if done then return done end
		return nil, ("route53 %s in the zone %s: %s"):format(o.name, mine.zone, why), code
	end
end

return setmetatable({}, { __call = make })
