-- Finding and rendering templates, and quoting.
local modules = require "modules"
local scratch = require "spec.scratch"
local template = require "template"

local CONFIG = {
	role = "member", state = "new", name = "a", cluster_id = "255", endpoints = { "http://a:1", "http://b:1" },
	pairs = { { "ETCD_NAME", "a" } }, env = { ETCD_NAME = "a" }, initial_cluster = {},
}
local STANDBY = { role = "standby", endpoints = {}, pairs = {}, env = {}, initial_cluster = {} }

describe("template", function()
	local here

	before_each(function()
		here = scratch.new()
		modules.setup { path = { here.dir } }
	end)
	after_each(function()
		here:remove()
		modules.setup {}
	end)

	it("fills a text file with the configuration", function()
		here:write("x.conf", "n={{ETCD_NAME}} {{ role }} {{cluster_id}} {{endpoints}} {not} {{}}")
		assert.equal("n=a member ff http://a:1,http://b:1 {not} {{}}", assert(template.render("x.conf", CONFIG)))
		assert.truthy(template.render(here:path "x.conf", CONFIG))
	end)

	it("puts values in as they are", function()
		local text = template.text("{{ETCD_NAME}}", "x") {
			role = "member", endpoints = {}, env = { ETCD_NAME = "%1 {{role}} %%" } }
		assert.equal("%1 {{role}} %%", text)
	end)

	it("refuses an unknown key and names a near one", function()
		here:write("x.conf", "{{ETCD_NMAE}}")
		local text, why, code = template.render("x.conf", CONFIG)
		assert.is_nil(text)
		assert.equal("usage", code)
		assert.truthy(why:find("{{ETCD_NMAE}} is not set; did you mean ETCD_NAME?", 1, true), why)
	end)

	it("makes nothing of a text for a standby that has no such value", function()
		here:write("x.conf", "{{ETCD_NAME}}")
		assert.equal("", template.render("x.conf", STANDBY))
	end)

	it("finds the user's module before ours, and a text file after both", function()
		here:write("templates/env", "text")
		assert.equal("ETCD_NAME=a\n", template.render("env", CONFIG))
		here:write("templates/env.lua", "return function() return 'mine' end")
		assert.equal("mine", template.render("env", CONFIG))
	end)

	local faults = {
		{ "nonsense", "no template \"nonsense\"" }, { "../x", "no template" }, { "enf", "did you mean env%?" },
		{ function() return 7 end, "template .*template_spec%.lua:%d+ returned no text" },
		{ function() error "oh" end, "oh" }, { function(c) c.env.ETCD_NAME = "z" end, "returned no text" },
	}
	for i, case in ipairs(faults) do
		it(("says what is wrong with a template (%d)"):format(i), function()
			local text, why, code = template.render(case[1], CONFIG)
			assert.is_nil(text)
			assert.equal("usage", code)
			assert.truthy(why:find(case[2]), why)
			assert.equal("a", CONFIG.env.ETCD_NAME)
		end)
	end

	describe("lines", function()
		local function lines(o, keys, head)
			local env = { ETCD_NAME = "a", ETCD_X = "1", ETCD_INITIAL_CLUSTER_TOKEN = "t-1" }
			for key, value in pairs(o.env or {}) do env[key] = value end
			return template.lines(keys, head) { role = o.role or "member", state = o.state or "existing", env = env }
		end

		it("are those asked for and set, in the order asked for", function()
			assert.equal("# by us\nETCD_X=1\nETCD_NAME=a\n", lines({}, { "ETCD_X", "ETCD_Y", "ETCD_NAME" }, "# by us\n"))
		end)

		it("end in the token where a cluster is founded, or another one would be", function()
			assert.equal("ETCD_NAME=a\nETCD_INITIAL_CLUSTER_TOKEN=t-1\n", lines({ state = "new" }, { "ETCD_NAME" }))
		end)

		it("are none where nothing is set", function()
			assert.equal("", template.lines({ "ETCD_NAME" }, "# by us\n")(STANDBY))
		end)

		it("hold no value that readers would read differently", function()
			local text, why = lines({ env = { ETCD_X = "$HOME" } }, { "ETCD_NAME", "ETCD_X" })
			assert.is_nil(text)
			assert.truthy(why:find("ETCD_X contains \"$\"", 1, true), why)
		end)
	end)

	it("quotes one word for a shell", function()
		for _, word in ipairs { "a b", "it's", "$HOME `id` \"x\" \\", "a\nb", "" } do
			local pipe = assert(io.popen("printf %s " .. template.shell(word)))
			assert.equal(word, pipe:read "a")
			pipe:close()
		end
	end)
end)
