-- embed.lua - prints Lua files as a C table: lua5.4 src/embed.lua lua/FILE.lua ...
-- Source, not bytecode: messages keep their file and line.

local function quoted(line)
	return '"' .. line:gsub('[%c"\\?\128-\255]', function(c)
		return c == "\n" and "\\n" or ("\\%03o"):format(c:byte())
	end) .. '"'
end

print('#include "embed.h"\n')
print("const struct embedded embedded[] = {")
for _, path in ipairs(arg) do
	local module = path:gsub("^lua/", ""):gsub("%.lua$", ""):gsub("/", ".")
	local size = 0
	print(('\t{ "%s", "@%s", ""'):format(module, path))
	for line in io.lines(path, "L") do
		size = size + #line
		print("\t" .. quoted(line))
	end
	print(("\t, %d },"):format(size))
end
print("\t{ 0 },\n};")
