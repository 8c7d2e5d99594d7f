-- diagnose.lua - why nothing happens, and what a person can do: one thorough look told at length, and
-- after a loss of quorum who is left, how far each has come, and how the cluster is made anew.
local etcd = require "core.etcd"
local advice = require "advice"
local datadir = require "datadir"
local finish = require "finish"
local marker = require "marker"
local restore = require "restore"
local survivors = require "survivors"

local diagnose = {}

local MARKER_PATIENCE = 5 -- seconds

-- Looking ---------------------------------------------------------------------------------------

-- A look asks for it only where it could matter; here somebody wants to know.
local function look_at_marker(run, f)
	local store = run.policy.marker
	if not store or f.marker or f.marker_unknown then return end
	local seen = marker.look(store, MARKER_PATIENCE)
	f.marker, f.marker_unknown = seen.marker, seen.marker_unknown
end

-- Who is to make up the cluster that is restored: the listed machines, else the members that were.
local function founders(f, lost)
	if f.founding then return f.founding.list end
	local list = {}
	for _, member in ipairs(lost.members) do
		local name = member.name ~= "" and member.name or "id-" .. etcd.hex(member.id)
		table.insert(list, { name = name, peer_urls = member.peer_urls })
	end
	return list
end

local function version(f, lost)
	for _, probe in pairs(f.probes) do
		if probe.cluster_id == lost.id and probe.version then return probe.version end
	end
	return f.me.etcd_version
end

local function remedy(run, f, lost, ranking)
	local list = founders(f, lost)
	if not list[1] then return nil end
	local best = ranking[1] and ranking[1].revision and ranking[1] or nil
	return restore.commands {
		lost = lost.id, best = best, founders = list, etcd = run.policy.etcd, token = f.me.token or "etcd-cluster",
		version = f.me.etcd_version or version(f, lost),
	}
end

-- (waits) Adds to what run would do now, {plan, message, rule, registered}, all else that is told.
---@return table
function diagnose.examine(run, f, judged)
	look_at_marker(run, f)
	local d = judged
	d.facts, d.lost = f, survivors.lost(f)
	d.after = f.me.running and finish.decide(f) or nil
	if d.lost then
		d.survivors = survivors.rank(run, f, d.lost)
		d.restore = remedy(run, f, d.lost, d.survivors)
	end
	if f.data_dir.state == "member" then d.log, d.log_why = datadir.extent(run.place) end
	d.asides = datadir.asides(run.place)
	d.pause = run.policy.state_dir .. "/pause"
	d.advice = advice.of(f, d)
	return d
end

return diagnose
