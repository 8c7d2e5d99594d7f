-- luacheck's settings; see tools/check.
std = "lua54"
max_line_length = 120
exclude_files = { "lua/types.lua" }
files["spec"] = { std = "+busted", max_line_length = 165 }
files["examples"] = {
	read_globals = { "args", "aws", "cautious", "command", "flags", "fs", "http", "inherited", "inventory", "json",
		"log", "net", "route53", "standby", "static", "steady", "target_group", "task", "template", "xml" },
}
