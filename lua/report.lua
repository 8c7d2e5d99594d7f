-- report.lua - what `plan` and `status` print, and what `run` says while it works.
local etcd = require "core.etcd"
local json = require "core.json"
local log = require "core.log"
local check = require "check"
local plans = require "plan"
local template = require "template"

local report = {}

local FINAL = { new = true, start = true, standby = true, fail = true }

local function or_null(value)
	if value == nil then return json.null end
	return value
end

local function hex(id)
	return id and etcd.hex(id) or json.null
end

-- What others said may hold a secret, and may be no UTF-8, while JSON holds nothing else.
function report.clean(text)
	text = log.redact(text)
	return utf8.len(text) and text or (text:gsub("[\x80-\xff]", "?"))
end

local function one_line(text)
	return (log.redact(text):gsub("[%s%c]+", " "))
end

local function list(t)
	return json.list { table.unpack(t or {}) }
end

-- plan ------------------------------------------------------------------------------------------

-- The gate's words, which end in the rule's name.
function report.refusal(message, rule)
	return ("refused: %s [%s]"):format(one_line(message or "the gate says no"), rule)
end

-- "wait: REASON", then a line for each machine waited for, then the gate's refusal.
---@param plan Plan
---@param message string?  the gate's, with its rule
---@param rule string?
---@return string[] lines
function report.telling(plan, message, rule)
	local lines = { ("%s: %s"):format(plan.action, one_line(plan.reason)) }
	for _, one in ipairs(plan.waiting_for or {}) do
		lines[#lines + 1] = ("waits for %s: %s"):format(one.instance, one_line(one.why))
	end
	if rule then lines[#lines + 1] = report.refusal(message, rule) end
	return lines
end

-- (waits) The lines above, and the configuration when the plan is final.
---@param made Config?
---@return string
function report.plan_text(plan, message, rule, made)
	local text = table.concat(report.telling(plan, message, rule), "\n") .. "\n"
	if not made then return text end
	local env, why = template.render("env", made)
	return text .. (env or ("no configuration: %s\n"):format(why))
end

-- The cluster that a plan is about.
local function cluster_of(f, plan, made)
	if made and made.cluster_id then return made.cluster_id end
	if f.cluster then return f.cluster.id end
	local data = f.data_dir
	if data.cluster_id then return data.cluster_id end
	if data.claim then return data.claim.cluster_id end
	if plan.action == "claim" or plan.action == "new" then
		return f.founding and f.founding.cluster_id
	end
end

local function waiting_for(plan)
	local out = {}
	for i, one in ipairs(plan.waiting_for or {}) do
		out[i] = { instance = one.instance, why = report.clean(one.why) }
	end
	return json.list(out)
end

-- What plan_json says, as an object.
function report.plan_object(f, plan, rule, made)
	return {
		action = plan.action, cluster_id = hex(cluster_of(f, plan, made)),
		config = or_null(made and made.env), final = FINAL[plan.action] == true and not rule and not plan.reserves,
		learner = plan.learner == true, member = hex(plan.member), reason = report.clean(plan.reason),
		rule = or_null(rule), waiting_for = waiting_for(plan),
	}
end

---@param f Facts
---@param plan Plan
---@param rule string?
---@param made Config?
---@return string one line
function report.plan_json(f, plan, rule, made)
	return json.encode(report.plan_object(f, plan, rule, made)) .. "\n"
end

-- status ----------------------------------------------------------------------------------------

local function member_row(member)
	return {
		client_urls = list(member.client_urls), id = hex(member.id),
		instance = or_null(member.instance), learner = member.learner == true, name = member.name,
		peer_urls = list(member.peer_urls), started = member.started == true,
	}
end

local function cluster_row(cluster)
	local members = {}
	for i, member in ipairs(cluster.members) do members[i] = member_row(member) end
	return {
		id = hex(cluster.id), leader = hex(cluster.leader), members = json.list(members),
		quorum = cluster.quorum == true, version = or_null(cluster.version),
	}
end

local function instance_row(f, instance)
	local probe = f.probes[instance.id]
	return {
		addresses = instance.addresses, id = instance.id, member = hex(instance.member),
		name = instance.name, probe = probe and probe.verdict or "unknown", state = instance.state,
		why = probe and report.clean(probe.why) or "was not asked", zone = instance.zone,
	}
end

local function rows(f)
	local out = {}
	for i, instance in ipairs(f.inventory and f.inventory.instances or {}) do
		out[i] = instance_row(f, instance)
	end
	return out
end

local function registration_row(one)
	return {
		changed = one.changed, ok = one.ok, values = list(one.values), wanted = list(one.wanted), what = one.what,
		why = one_line(report.clean(one.why)),
	}
end

-- What status_json says, as an object.
function report.status_object(f, registered)
	local registrations = {}
	for i, one in ipairs(registered or {}) do registrations[i] = registration_row(one) end
	local clusters, inventory = {}, f.inventory
	for i, cluster in ipairs(f.clusters) do clusters[i] = cluster_row(cluster) end
	return {
		clusters = json.list(clusters), complete = inventory ~= nil and inventory.complete,
		desired = or_null(f.desired), instances = json.list(rows(f)), registrations = json.list(registrations),
		self = or_null(inventory and inventory.self or f.me.id),
	}
end

---@param f Facts
---@param registered Registered[]?  as asked without a change: `changed` is what finish would change
---@return string one line
function report.status_json(f, registered)
	return json.encode(report.status_object(f, registered)) .. "\n"
end

-- Rows of equally many cells as lines with aligned columns.
local function columns(cells)
	local widths, lines = {}, {}
	for _, row in ipairs(cells) do
		for i, cell in ipairs(row) do widths[i] = math.max(widths[i] or 0, #cell) end
	end
	for n, row in ipairs(cells) do
		local parts = {}
		for i, cell in ipairs(row) do parts[i] = cell .. (" "):rep(widths[i] - #cell) end
		lines[n] = table.concat(parts, "  "):gsub(" +$", "")
	end
	return lines
end

local function any_address(addresses)
	for _, key in ipairs(check.address_keys) do
		if addresses[key] then return addresses[key] end
	end
	return "-"
end

-- One row for each machine, then one for each further address that was asked.
local function table_of(f)
	local cells = { { "INSTANCE", "STATE", "ADDRESS", "PROBE", "MEMBER", "WHY" } }
	local mine = f.inventory and f.inventory.self
	for _, row in ipairs(rows(f)) do
		cells[#cells + 1] = {
			row.id == mine and row.id .. " (me)" or row.id, row.state, any_address(row.addresses),
			row.probe, row.member ~= json.null and row.member or "-", one_line(row.why),
		}
	end
	local listed = {}
	for _, instance in ipairs(f.inventory and f.inventory.instances or {}) do listed[instance.id] = true end
	for _, key in ipairs(check.sorted(f.probes)) do
		local probe = f.probes[key]
		if not listed[key] then
			cells[#cells + 1] = {
				"-", "-", probe.peer_url, probe.verdict,
				probe.member_id and etcd.hex(probe.member_id) or "-", one_line(probe.why or ""),
			}
		end
	end
	return columns(cells)
end

local function cluster_line(cluster)
	return ("cluster %s: %s, %s, leader %s, version %s"):format(etcd.hex(cluster.id),
		cluster.quorum and "quorum" or "no quorum", plans.count(#cluster.members, "member"),
		cluster.leader and etcd.hex(cluster.leader) or "unknown", cluster.version or "unknown")
end

local function member_line(member)
	local what = member.learner and "learner" or "voter"
	if not member.started then what = what .. ", not started" end
	return ("  %s  %s  %s  %s"):format(etcd.hex(member.id), member.name ~= "" and member.name or "-", what,
		table.concat(member.peer_urls, ","))
end

local function registration_line(one)
	if not one.ok then return ("%s: not known: %s"):format(one.what, one_line(one.why)) end
	local values = one.values[1] and table.concat(one.values, ", ") or "nothing"
	if not one.changed then return ("%s: %s"):format(one.what, values) end
	return ("%s: %s; finish will make it %s"):format(one.what, values, table.concat(one.wanted, ", "))
end

---@param f Facts
---@param registered Registered[]?
---@return string
function report.status_text(f, registered)
	local lines = table_of(f)
	if not f.inventory then
		table.insert(lines, 1, "the machines are not known: " .. one_line(f.inventory_why or "nobody said"))
	end
	lines[#lines + 1] = ""
	for _, cluster in ipairs(f.clusters) do
		lines[#lines + 1] = cluster_line(cluster)
		for _, member in ipairs(cluster.members) do lines[#lines + 1] = member_line(member) end
	end
	if not f.clusters[1] then lines[#lines + 1] = "no cluster is seen" end
	for _, one in ipairs(registered or {}) do lines[#lines + 1] = registration_line(one) end
	return table.concat(lines, "\n") .. "\n"
end

return report
