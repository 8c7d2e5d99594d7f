-- writer.lua - puts numbered keys through any client port, keeps what was acknowledged, and asks for
-- all of it in the end.

local task = require "core.task"
local http = require "core.http"
local json = require "core.json"
local crypto = require "core.crypto"
local cluster = require "spec.world.cluster"

local writer = {}
local Writer = {}
Writer.__index = Writer

local HANDS <const> = 3
local PAUSE <const> = 0.05

local function put(base, key)
	local response = http.request { url = base .. "/v3/kv/put", method = "POST", timeout = 1, proxy = false,
		headers = { ["Content-Type"] = "application/json" },
		body = json.encode { key = crypto.base64(key), value = crypto.base64(key) } }
	local value = response and response.status == 200 and json.decode(response.body)
	return value and value.header and value.header.cluster_id
end

local function write(w, hand, clients)
	local n = hand
	while not w.stopped do
		local list = clients()
		local base = list[n % math.max(#list, 1) + 1]
		local key = ("k%06d"):format(w.next)
		w.next = w.next + 1
		local begun = task.now()
		local id = base and put(base, key)
		if id then
			w.count = w.count + 1
			w.acked[key] = { via = base, begun = begun, at = task.now(), cluster = id }
			w.clusters[id] = w.clusters[id] or key .. " through " .. base
		end
		n = n + 1
		task.sleep(PAUSE)
	end
end

--- Starts to write; `clients` gives the client URLs of the machines that there are.
function writer.start(clients)
	local w = setmetatable({ acked = {}, clusters = {}, count = 0, next = 1, hands = {} }, Writer)
	for hand = 1, HANDS do
		w.hands[hand] = task.spawn(write, w, hand, clients)
	end
	return w
end

function Writer:stop()
	self.stopped = true
	for _, hand in ipairs(self.hands) do
		hand:join()
	end
end

--- Two clusters that both took writes, as a text.
function Writer:rivals()
	local ids = {}
	for id, how in pairs(self.clusters) do
		table.insert(ids, id .. " took " .. how)
	end
	table.sort(ids)
	return ids[2] and "two clusters took writes: " .. table.concat(ids, ", ")
end

--- What had been acknowledged and cannot be read there (a linearizable read) -> keys, sorted | nil, message
function Writer:missing(base)
	local asked = task.now()
	local answer, why = cluster.call(base, "/v3/kv/range",
		{ key = crypto.base64 "k", range_end = crypto.base64 "l", keys_only = true })
	if not answer then
		return nil, why
	end
	local there, lost = {}, {}
	for _, pair in ipairs(answer.kvs or {}) do
		there[crypto.unbase64(pair.key)] = true
	end
	for key, how in pairs(self.acked) do
		if how.at < asked and not there[key] then
			table.insert(lost, key)
		end
	end
	table.sort(lost)
	return lost
end

return writer
