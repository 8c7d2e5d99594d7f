-- protocol_spec.lua - P1, P3: etcd's own flavours, and its ids.

local assert = require "luassert"
local json = require "core.json"
local http = require "core.http"
local world = require "spec.world.world"

-- etcd's own client prints ids as etcd does: the second witness.
local function etcdctl(w, via)
	local text = world.succeed("etcdctl", "--endpoints=" .. w:client(via), "member", "list")
	local by = {}
	for id, name in text:gmatch "(%x+), %a+, ([^,]+)," do
		by[name] = id
	end
	return by
end

local function status(w, name)
	local code, run = w:ends(name, { "--json", verb = "status" })
	return json.decode(run:stdout()), code
end

describe("protocol", function()
	for _, flags in ipairs { "", ", \"--enable-v2\"" } do
		world.it("P1 etcd 3.4 with" .. (flags == "" and " default flags" or flags:gsub("[,\"]", "")), function(w)
			w.policy.exec = "{ \"etcd\", \"--logger=zap\"" .. flags .. " }"
			w:founded "a b c"
			w:must_put("a", "k", "v")
			w:kill "c"
			w:list { "a", "b", { "c", state = "dead" }, "d" }
			w:boot "d"
			w:converge "a b d"
			w:must_get("d", "k", "v")
		end)
	end

	world.it("P3 ids above 2^53 and 2^63 pass exactly", function(w)
		w:founded "a b c d e"
		local real = etcdctl(w, "a")
		local seen, code = status(w, "a")
		assert.equal(0, code)
		local large = 0
		for _, member in ipairs(seen.clusters[1].members) do
			assert.equal(real[member.name], member.id)
			large = large + (#member.id == 16 and member.id >= "8" and 1 or 0)
		end
		print(("    %d of 5 members have an id of 2^63 or more"):format(large))
		local answer = assert(http.request { url = w:peer "a" .. "/members", timeout = 5 })
		local headers = {}
		for key, value in pairs(answer.headers) do
			headers[key:lower()] = value
		end
		assert.equal(headers["x-etcd-cluster-id"], seen.clusters[1].id)
	end)

	world.it("P3 a member with such an id is removed by exactly that id", function(w)
		local names, victim, largest = "a b c d e", nil, ""
		w:founded(names)
		for name, id in pairs(etcdctl(w, "a")) do
			local padded = ("0"):rep(16 - #id) .. id
			if padded > largest then
				victim, largest = name, padded
			end
		end
		print("    the largest id is " .. largest)
		w:kill(victim)
		local entries, rest = { { victim, state = "dead" }, "f" }, {}
		for name in names:gmatch "%S" do
			if name ~= victim then
				entries[#entries + 1], rest[#rest + 1] = name, name
			end
		end
		w:list(entries)
		w:boot "f"
		w:converge(table.concat(rest, " ") .. " f")
	end)
end)
