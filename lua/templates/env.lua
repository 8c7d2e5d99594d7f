-- env.lua - KEY=value lines without quotes: systemd's EnvironmentFile=, docker's --env-file, a shell's
-- `set -a; . FILE`.  What needs quoting is refused, for these readers quote differently.
local template = require "template"

---@param config Config
---@return string|nil text, string?, Code?
return function(config)
	local lines = {}
	for i, pair in ipairs(config.pairs) do
		local value, why, code = template.plain(pair[1], pair[2])
		if not value then return nil, why, code end
		lines[i] = ("%s=%s\n"):format(pair[1], value)
	end
	return table.concat(lines)
end
