-- core.fs: files are whole, modes are exact, and nothing temporary is left behind.
local fs = require "core.fs"

local function shell(format, ...)
	local pipe = assert(io.popen(format:format(...)))
	local text = pipe:read "a"
	assert(pipe:close())
	return (text:gsub("%s+$", ""))
end

local root = shell "id -u" == "0"

describe("core.fs", function()
	local dir

	before_each(function()
		dir = shell "mktemp -d"
	end)

	after_each(function()
		shell("rm -rf '%s'", dir)
	end)

	local function at(name)
		return dir .. "/" .. name
	end

	local function refuses(code, pattern, ...)
		local value, message, got = ...
		assert.is_nil(value)
		assert.equal(code, got)
		assert.matches(pattern, message, 1, true)
		assert.matches(dir, message, 1, true)
	end

	describe("read", function()
		it("gives the bytes as they are", function()
			local data = ("\0\xff\r\n"):rep(50000)
			assert(fs.write(at "a", data))
			assert.equal(data, fs.read(at "a"))
			assert(fs.write(at "empty", ""))
			assert.equal("", fs.read(at "empty"))
		end)

		it("stops at its limit", function()
			assert(fs.write(at "a", "12345"))
			assert.equal("12345", fs.read(at "a", 5))
			refuses("io", "longer than 4 bytes", fs.read(at "a", 4))
		end)

		it("refuses what is no file, without waiting for it", function()
			shell("mkfifo '%s'", at "pipe")
			refuses("missing", "cannot read", fs.read(at "none"))
			refuses("io", "is a directory", fs.read(dir))
			refuses("io", "not a regular file", fs.read(at "pipe"))
			assert.matches("not a regular file", select(2, fs.read "/dev/zero"))
			refuses("io", "cannot read", fs.read(at "pipe/x"))
		end)

		it("raises on a path that is none", function()
			assert.has_error(function() fs.read "" end)
			assert.has_error(function() fs.read(at "a\0b") end)
		end)
	end)

	describe("write", function()
		it("replaces a file by a new one", function()
			assert(fs.write(at "a", "old", { mode = "0600" }))
			local before = fs.stat(at "a")
			assert.is_true(fs.write(at "a", "new"))
			local after = fs.stat(at "a")
			assert.equal("new", fs.read(at "a"))
			assert.not_equal(before.inode, after.inode)
			assert.equal(tonumber("644", 8), after.mode)
			assert.same({ "a" }, fs.list(dir))
		end)

		it("sets the mode whatever the umask is", function()
			local script = at "script.lua"
			assert(fs.write(script, [[
				local fs = require "core.fs"
				for _, mode in ipairs { "0666", "600", "0400", "2755" } do
					assert(fs.write(arg[1] .. "/" .. mode, "", { mode = mode }))
				end
				assert(fs.mkdir(arg[1] .. "/d/e", { mode = "0777" }))
			]]))
			shell("exe=$(readlink /proc/$PPID/exe); umask 077; \"$exe\" lua '%s' '%s'", script, dir)
			for _, mode in ipairs { "0666", "600", "0400", "2755" } do
				assert.equal(tonumber(mode, 8), fs.stat(at(mode)).mode)
			end
			assert.equal(tonumber("755", 8), fs.stat(at "d").mode)
			assert.equal(tonumber("777", 8), fs.stat(at "d/e").mode)
		end)

		it("takes a path from the working directory", function()
			assert(fs.write(at "script.lua", [[
				local fs = require "core.fs"
				assert(fs.write("rel", "x"))
				assert(fs.mkdir "p/q")
				assert(fs.rename("rel", "p/rel"))
				assert(fs.rename("p/rel", "rel"))
			]]))
			shell("exe=$(readlink /proc/$PPID/exe); cd '%s'; \"$exe\" lua script.lua", dir)
			assert.same({ "p", "rel", "script.lua" }, fs.list(dir))
		end)

		it("follows links to the file that they mean", function()
			assert(fs.mkdir(at "run"))
			assert(fs.mkdir(at "etc"))
			shell("ln -s ../run/conf '%s'; ln -s '%s' '%s'", at "etc/conf", at "etc/conf", at "two")
			assert(fs.write(at "two", "first")) -- what it links to is not there yet
			assert.equal("first", fs.read(at "run/conf"))
			assert(fs.write(at "etc/conf", "second"))
			assert.equal("second", fs.read(at "run/conf"))
			assert.equal("link", fs.stat(at "etc/conf").type)
			assert.equal("link", fs.stat(at "two").type)
		end)

		it("refuses what it cannot replace, and leaves nothing behind", function()
			assert(fs.mkdir(at "sub"))
			shell("mkfifo '%s'; ln -s loop '%s'", at "pipe", at "loop")
			refuses("io", "is a directory", fs.write(at "sub", "x"))
			refuses("io", "not a regular file", fs.write(at "pipe", "x"))
			refuses("io", "its link", fs.write(at "loop", "x"))
			refuses("missing", "its directory", fs.write(at "none/a", "x"))
			refuses("io", "name too long", fs.write(at(("n"):rep(256)), "x"))
			assert.same({ "loop", "pipe", "sub" }, fs.list(dir))
			assert.matches("not a regular file", select(2, fs.write("/dev/null", "x")))
		end)

		it("removes the temporary file when it fails half-way", function()
			local script = at "script.lua"
			assert(fs.write(at "a", "old"))
			assert(fs.write(script, [[
				local fs = require "core.fs"
				local ok, message, code = fs.write(arg[1], ("x"):rep(1 << 20))
				io.write(tostring(ok), " ", code, " ", message)
			]]))
			local said = shell("exe=$(readlink /proc/$PPID/exe); trap '' XFSZ; ulimit -f 100; "
				.. "\"$exe\" lua '%s' '%s'", script, at "a")
			assert.matches("^nil io cannot write .*/a: write: ", said)
			assert.equal("old", fs.read(at "a"))
			assert.same({ "a", "script.lua" }, fs.list(dir))
		end)

		it("is rehearsed without a trace", function()
			assert(fs.write(at "a", "old", { mode = "0600" }))
			shell("ln -s a '%s'; ln -s free '%s'; mkfifo '%s'", at "b", at "c", at "pipe")
			local before = fs.stat(at "a")
			for _, name in ipairs { "a", "b", "c", "d" } do assert.is_true(fs.rehearse(at(name), "new", { mode = "0644" })) end
			assert.same(before, fs.stat(at "a"))
			assert.equal("old", fs.read(at "a"))
			refuses("missing", "its directory", fs.rehearse(at "none/a", "x"))
			refuses("io", "is a directory", fs.rehearse(dir, "x"))
			refuses("io", "not a regular file", fs.rehearse(at "pipe", "x"))
			assert.matches("no%-such%-user", select(2, fs.rehearse(at "a", "x", { owner = "no-such-user" })))
			assert.same({ "a", "b", "c", "pipe" }, fs.list(dir))
		end)

		it("refuses an owner that is unknown, before anything is touched", function()
			for _, owner in ipairs { "no-such-user", "0:no-such-group" } do
				local ok, message, code = fs.write(at "a", "x", { owner = owner })
				assert.is_nil(ok)
				assert.equal("missing", code)
				assert.matches("no%-such%-", message)
			end
			assert.same({}, fs.list(dir))
		end)

		it("gives the file to an owner", function()
			local uid, gid = math.tointeger(shell "id -u"), math.tointeger(shell "id -g")
			if root then
				uid, gid = 12345, 54321
			end
			for _, owner in ipairs { ("%d:%d"):format(uid, gid), { uid = uid, gid = gid } } do
				assert(fs.write(at "a", "x", { owner = owner, mode = "0640" }))
				local stat = fs.stat(at "a")
				assert.same({ uid, gid, 416 }, { stat.uid, stat.gid, stat.mode })
			end
			assert(fs.write(at "b", "x", { owner = shell "id -un" .. ":" .. shell "id -gn" }))
			assert.equal(math.tointeger(shell "id -g"), fs.stat(at "b").gid)
		end)

		it("does not follow a stranger's link where everybody may write", function()
			if not root then
				return pending "needs root"
			end
			shell("chmod 1777 '%s'; ln -s '%s' '%s'; chown -h 12345 '%s'", dir, at "target",
				at "link", at "link")
			refuses("denied", "another user", fs.write(at "link", "x"))
			assert.same({ "link" }, fs.list(dir))
		end)

		it("raises on options that are none", function()
			for _, o in ipairs { { mode = 644 }, { mode = "rw" }, { mode = "99999" },
				{ mode = "0888" }, { mode = "10000" }, { mode = "" }, { owner = true }, { owner = "" }, { owner = { uid = -1 } },
				{ owner = { gid = "a" } } } do
				assert.has_error(function() fs.write(at "a", "x", o) end)
			end
			assert.same({}, fs.list(dir))
		end)
	end)

	describe("create", function()
		it("makes a file that is not there, as write does", function()
			assert.is_true(fs.create(at "a", "new", { mode = "0640" }))
			assert.equal("new", fs.read(at "a"))
			assert.equal(tonumber("640", 8), fs.stat(at "a").mode)
			assert.same({ "a" }, fs.list(dir))
		end)

		it("leaves what has the name alone, and nothing behind", function()
			assert(fs.write(at "a", "old"))
			assert(fs.mkdir(at "sub"))
			shell("ln -s none '%s'", at "dangling")
			for _, name in ipairs { "a", "sub", "dangling" } do
				refuses("conflict", "File exists", fs.create(at(name), "new"))
			end
			assert.equal("old", fs.read(at "a"))
			refuses("missing", "its directory", fs.create(at "none/a", "x"))
			refuses("io", "name too long", fs.create(at(("n"):rep(256)), "x"))
			assert.same({ "a", "dangling", "sub" }, fs.list(dir))
		end)
	end)

	describe("mkdir", function()
		it("makes parents, and leaves what exists alone", function()
			assert.is_true(fs.mkdir(at "a/b//c/", { mode = "0700" }))
			assert.equal(tonumber("755", 8), fs.stat(at "a/b").mode)
			assert.equal(tonumber("700", 8), fs.stat(at "a/b/c").mode)
			assert.is_true(fs.mkdir(at "a/b", { mode = "0711" }))
			assert.equal(tonumber("755", 8), fs.stat(at "a/b").mode)
			assert.is_true(fs.mkdir "/")
		end)

		it("refuses when something else has the name", function()
			assert(fs.write(at "a", ""))
			shell("ln -s none '%s'", at "dangling")
			refuses("conflict", "something else", fs.mkdir(at "a"))
			refuses("conflict", "something else", fs.mkdir(at "a/b"))
			refuses("conflict", "File exists", fs.mkdir(at "dangling"))
		end)
	end)

	describe("rename", function()
		it("moves files and directories", function()
			assert(fs.write(at "a", "x"))
			assert(fs.mkdir(at "d/e"))
			assert.is_true(fs.rename(at "a", at "d/b"))
			assert.is_true(fs.rename(at "d", at "f"))
			assert.equal("x", fs.read(at "f/b"))
		end)

		it("never replaces", function()
			assert(fs.write(at "a", "a"))
			assert(fs.write(at "b", "b"))
			assert(fs.mkdir(at "d"))
			assert(fs.mkdir(at "empty"))
			refuses("conflict", "exists", fs.rename(at "a", at "b"))
			refuses("conflict", "exists", fs.rename(at "d", at "empty"))
			refuses("missing", "No such", fs.rename(at "none", at "c"))
			refuses("missing", "No such", fs.rename(at "a", at "none/c"))
			refuses("io", "Invalid", fs.rename(at "d", at "d/d"))
			assert.equal("b", fs.read(at "b"))
			assert.same({ "a", "b", "d", "empty" }, fs.list(dir))
		end)
	end)

	describe("remove", function()
		it("removes files and links, not directories", function()
			assert(fs.write(at "a", ""))
			assert(fs.mkdir(at "d"))
			shell("ln -s d '%s'", at "link")
			assert.is_true(fs.remove(at "a"))
			assert.is_true(fs.remove(at "a"))
			assert.is_true(fs.remove(at "none/a"))
			assert.is_true(fs.remove(at "link"))
			refuses("io", "directory", fs.remove(at "d"))
			assert.same({ "d" }, fs.list(dir))
		end)
	end)

	describe("list", function()
		it("sorts bytewise and shows hidden names", function()
			for _, name in ipairs { "b", "B", ".a", "é", "a" } do
				assert(fs.write(at(name), ""))
			end
			assert.same({ ".a", "B", "a", "b", "é" }, fs.list(dir))
			refuses("missing", "cannot list", fs.list(at "none"))
			refuses("io", "cannot list", fs.list(at "a"))
		end)
	end)

	describe("stat", function()
		it("tells of the name itself", function()
			assert(fs.write(at "a", "abc", { mode = "0640" }))
			shell("ln -s a '%s'; touch -d @1000.5 '%s'", at "link", at "a")
			local stat = fs.stat(at "a")
			assert.same({ "file", 3, 416, 1000.5 }, { stat.type, stat.size, stat.mode, stat.mtime })
			assert.equal("integer", math.type(stat.inode))
			assert.equal(math.tointeger(shell "id -u"), stat.uid)
			assert.equal("link", fs.stat(at "link").type)
			assert.equal("directory", fs.stat(dir).type)
			assert.equal("other", fs.stat("/dev/null").type)
			refuses("missing", "none", fs.stat(at "none"))
		end)
	end)

	describe("lock", function()
		it("is held by one at a time", function()
			local lock = assert(fs.lock(at "lock"))
			assert.equal(384, fs.stat(at "lock").mode)
			refuses("conflict", "another process holds it", fs.lock(at "lock"))
			assert.is_true(fs.locked(at "lock"))
			lock:close()
			lock:close()
			assert.is_false(fs.locked(at "lock"))
			do
				local _ <close> = assert(fs.lock(at "lock"))
				assert.is_true(fs.locked(at "lock"))
			end
			assert.is_false(fs.locked(at "lock"))
		end)

		it("is released when it is collected", function()
			assert(fs.lock(at "lock"))
			collectgarbage()
			collectgarbage()
			assert(fs.lock(at "lock")):close()
		end)

		it("is not inherited by children", function()
			local lock = assert(fs.lock(at "lock"))
			shell("mkfifo '%s'", at "pipe")
			local child = assert(io.popen(("echo; exec cat '%s'"):format(at "pipe")))
			child:read() -- it runs, with what it has inherited
			lock:close()
			local locked = fs.locked(at "lock")
			assert(io.open(at "pipe", "w")):close()
			child:close()
			assert.is_false(locked)
		end)

		it("sees the lock of another process", function()
			assert(fs.write(at "db", ""))
			local held = shell("exec 9<'%s'; flock -x 9; exe=$(readlink /proc/$PPID/exe); "
				.. "echo 'io.write(tostring(require[[core.fs]].locked(arg[1])))' >'%s'; "
				.. "\"$exe\" lua '%s' '%s' 9<&-", at "db", at "s.lua", at "s.lua", at "db")
			assert.equal("true", held)
			assert.is_false(fs.locked(at "db"))
		end)

		it("refuses what is no file", function()
			refuses("missing", "none", fs.locked(at "none"))
			refuses("io", "not a regular file", fs.locked(dir))
			refuses("io", "cannot lock", fs.lock(dir))
			refuses("missing", "cannot lock", fs.lock(at "none/lock"))
			shell("ln -s x '%s'", at "link")
			refuses("io", "cannot lock", fs.lock(at "link"))
		end)
	end)

	it("leaves no descriptor open", function()
		local function open()
			collectgarbage()
			collectgarbage()
			return #fs.list "/proc/self/fd"
		end
		local before = open()
		for _ = 1, 5 do
			fs.write(at "a", "x")
			fs.write(dir, "x")
			fs.write(at "b", "x", { owner = "no-such-user" })
			fs.read(at "a")
			fs.read(at "a", 0)
			fs.read(dir)
			fs.list(dir)
			fs.list(at "a")
			fs.mkdir(at "d/e")
			fs.rename(at "a", at "d/f")
			fs.rename(at "none", at "x/y")
			fs.remove(at "d/f")
			fs.locked(at "a")
			fs.lock(at "lock")
			fs.lock(at "lock")
		end
		assert.equal(before, open())
	end)
end)
