-- journal.lua - what this machine remembers over runs of the members that it saw: since when their
-- machines are dead, since when a learner has not started, whose removal was asked for.  A help, never
-- a proof.  Pure; state.lua keeps it on the disk.
local facts = require "facts"

local journal = {}

-- Keep since when each member's machine is seen dead -> whether the journal changed.  A list that
-- proves nothing yet, as the first that a run reads, does not bring a machine back to life.
function journal.note_dead(kept, cluster, inventory, now)
	if not cluster or not inventory then return false end
	local seen, changed = {}, false
	for _, member in ipairs(cluster.members) do
		local how = facts.dead(member, inventory, cluster)
		local known = kept.dead_since[member.id]
		if how and (not known or known.word ~= (how == "word") or known.at > now) then
			local since = how == "word" and facts.dead_since(member, inventory) or 0
			known = { at = since > 0 and since or now, word = how == "word" }
			changed = true
		end
		seen[member.id] = (how or not facts.may_live(member, inventory)) and known or nil
	end
	for id in pairs(kept.dead_since) do
		if not seen[id] then changed = true end
	end
	kept.dead_since = seen
	return changed
end

-- Keep since when each learner that never started is seen -> whether the journal changed
function journal.note_pending(kept, cluster, now)
	if not cluster then return false end
	local seen, changed = {}, false
	for _, member in ipairs(cluster.members) do
		if member.learner and not member.started then
			local known = kept.pending_since[member.id]
			seen[member.id] = known and known <= now and known or now
			changed = changed or seen[member.id] ~= known
		end
	end
	for id in pairs(kept.pending_since) do
		if not seen[id] then changed = true end
	end
	kept.pending_since = seen
	return changed
end

function journal.asked_remove(kept, cluster_id, member_id)
	for _, asked in ipairs(kept.asked_remove) do
		if asked.cluster_id == cluster_id and asked.member_id == member_id then return true end
	end
	return false
end

return journal
