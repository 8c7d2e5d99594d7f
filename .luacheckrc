-- luacheck's settings; see tools/check.
std = "lua54"
max_line_length = 120
exclude_files = { "lua/types.lua" }
files["spec"] = { std = "+busted", max_line_length = 165 }
files["examples"] = {
	read_globals = { "args", "aws", "cautious", "command", "fs", "http", "inventory", "json", "log",
		"net", "static", "steady", "task", "template", "xml" },
}
