-- core.xml: what a shape names and nothing else, all of a document or nothing.
local fs, xml = require "core.fs", require "core.xml"
local listener = dofile "spec/core/listener.lua"

local INSTANCES = { DescribeInstancesResponse = {
	nextToken = true,
	reservationSet = { item = { { instancesSet = { item = { { instanceId = true, instanceState = { name = true } } } } } } },
} }

-- <a>...</a>, as a table that may hold what the shape says.
local function within(text, shape)
	local value, message = xml.decode("<a>" .. text .. "</a>", { a = shape })
	return value and value.a, message
end

describe("xml.decode", function()
	it("makes tables of what the shape names", function()
		assert.same({ DescribeInstancesResponse = { nextToken = "n&1", reservationSet = { item = {
			{ instancesSet = { item = { { instanceId = "i-1", instanceState = { name = "running" } }, { instanceId = "i-2" } } } },
			{},
			{ instancesSet = { item = {} } },
		} } } }, xml.decode([[
<?xml version="1.0" encoding="UTF-8"?>
<!-- EC2 -->
<DescribeInstancesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">
	<requestId>1</requestId>
	<reservationSet>
		<item><instancesSet>
			<item><other><instanceId>no</instanceId></other><instanceId>i-1</instanceId>
				<instanceState><code>16</code><name>running</name></instanceState></item>
			<item><instanceId>i-2</instanceId></item>
		</instancesSet></item>
		<item/>
		<item><instancesSet></instancesSet><groupSet><item>x</item></groupSet></item>
	</reservationSet>
	<nextToken>n&amp;1</nextToken>
</DescribeInstancesResponse>
]], INSTANCES))
	end)

	local cases = { -- within <a>, the shape of a, the value
		{ "", true, "" }, { "x", true, "x" }, { " x\n", true, " x\n" }, { "x<!-- y -->z<?p q?>", true, "xz" },
		{ "&lt;&gt;&amp;&quot;&apos;&#65;&#x20ac;", true, "<>&\"'A€" }, { "<![CDATA[<b>&amp;]]>c", true, "<b>&amp;c" },
		{ "\r\n1\r2", true, "\n1\n2" }, { ("x"):rep(100000), true, ("x"):rep(100000) }, { "é€😀", true, "é€😀" },
		{ "", {}, {} }, { "x<b/>y", {}, {} }, { "<b/>", { b = true }, { b = "" } }, { "<c/>", { b = true }, {} },
		{ "<b c='1' d=\"2\">x</b>", { b = true, c = true }, { b = "x" } },
		{ "<p:b xmlns:p='urn:p'>x</p:b>", { b = true }, { b = "x" } }, { "<c><b>x</b></c>", { b = true }, {} },
		{ "", { b = { true } }, { b = {} } }, { "<b>1</b><c/><b>2</b>", { b = { true } }, { b = { "1", "2" } } },
		{ "<b/>", { b = { { c = { true } } } }, { b = { { c = {} } } } }, { "<b/>", { c = { b = { true } } }, {} },
		{ "<b/>", { b = { b = { true } } }, { b = { b = {} } } },
		{ "<b>1</b><c>2</c><b>3</b><c>4</c>", { b = { true }, c = { true } }, { b = { "1", "3" }, c = { "2", "4" } } },
		{ "<a><a>x</a></a>", { a = { a = true } }, { a = { a = "x" } } },
	}
	for i, case in ipairs(cases) do
		it(("case %d: %s"):format(i, case[1]:sub(1, 40):gsub("%s", " ")), function()
			assert.same(case[3], assert(within(case[1], case[2])))
		end)
	end

	it("knows the document by one of several names", function()
		local shape = { Right = { b = true }, ErrorResponse = { Error = { Code = true } } }
		assert.same({ ErrorResponse = { Error = { Code = "Throttling" } } },
			xml.decode("<ErrorResponse><Error><Type/><Code>Throttling</Code></Error></ErrorResponse>", shape))
		assert.same({ Right = {} }, xml.decode("\xef\xbb\xbf<Right/>", shape))
	end)

	local wrong = { -- the text, the byte, the words
		{ "", 1, "does not begin with <" }, { "  ", 1, "does not begin with <" }, { "{}", 1, "does not begin with <" },
		{ "L\x6f\xa7\x94", 1, "does not begin with <" }, { "\xff\xfe<\0a\0/\0>\0", 4, "NUL" }, { "<a/>\0", 5, "NUL" },
		{ "<a>", 4, "Premature end" }, { "<a></b>", 8, "mismatch" }, { "<a/><a/>", 5, "Extra content" },
		{ "<a/>x", 5, "Extra content" }, { "<a/>&amp;", 5, "Extra content" }, { "<b/>", 3, "is a <b>, which was not asked for" },
		{ "<!DOCTYPE a><a/>", 12, "a DOCTYPE" }, { "<!DOCTYPE html><html/>", 15, "a DOCTYPE" },
		{ "<!DOCTYPE a SYSTEM '/etc/passwd'><a/>", 33, "a DOCTYPE" },
		{ "<!DOCTYPE a [<!ENTITY x 'y'>]><a>&x;</a>", 13, "a DOCTYPE" },
		{ "<a>&x;</a>", 7, "Entity 'x' not defined" }, { "<a>&#0;</a>", 8, "xmlChar value 0" }, { "<a>\1</a>", 4, "invalid Char value 1" },
		{ "<a>\xff</a>", 4, "UTF%-8" }, { "<a>\xc0\x80</a>", 4, "UTF%-8" }, { "<a>\xed\xa0\x80</a>", 4, "0xD800" },
		{ "<a b></a>", 5, "attribute" }, { "<a b='1' b='2'/>", 15, "redefined" }, { "<p:a/>", 5, "prefix p" },
		{ "<a><b/><b/></a>", 10, "a second <b>" }, { "<a><b>x<i/></b></a>", 10, "an element where <b> has text" },
		{ "<?xml version='1.0' encoding='ISO-8859-1'?><a>\xe9</a>", 47, "UTF%-8" },
		{ "<html><body>503</body></html>", 6, "is a <html>" },
	}
	for i, case in ipairs(wrong) do
		it(("refuses case %d: %s"):format(i, case[1]:gsub("[^ -~]", "?")), function()
			local value, message, code = xml.decode(case[1], { a = { b = true } })
			assert.same({ nil, "parse" }, { value, code })
			assert.matches("^bad XML at byte " .. case[2] .. ": ", message)
			assert.matches(case[3], message)
		end)
	end

	it("says what is wrong in one short line of ASCII", function()
		local name = ("é"):rep(1000)
		local _, message = xml.decode("<" .. name .. "/>", { a = true })
		assert.matches("^bad XML at byte %d+: [ -~]+$", message)
		assert.is_true(#message < 250)
	end)

	it("goes 64 elements deep and no deeper, named or not", function()
		local function nested(n) return ("<a>"):rep(n) .. ("</a>"):rep(n) end
		local deep = true
		for _ = 1, 63 do deep = { a = deep } end
		assert.is_table((xml.decode(nested(64), { a = deep })))
		for _, shape in ipairs { { a = {} }, { a = deep } } do
			assert.is_table((xml.decode(nested(63), { a = {} })))
			local value, message = xml.decode(nested(65), shape)
			assert.is_nil(value)
			assert.matches("nested too deep", message)
		end
		assert.is_nil((xml.decode(("<a>"):rep(1000000), { a = {} })))
	end)

	it("never makes a table of a document that is cut, wherever it is", function()
		local text = [=[<?xml version="1.0"?><DescribeInstancesResponse xmlns="urn:x"><reservationSet><item><instancesSet><item>
<instanceId>i-&#49;</instanceId><!-- c --><x y='z'/><instanceState><name><![CDATA[up]]></name></instanceState></item></instancesSet>
</item></reservationSet><nextToken>é</nextToken></DescribeInstancesResponse>]=]
		assert.is_table((xml.decode(text, INSTANCES)))
		for n = 0, #text - 1 do
			local value, message, code = xml.decode(text:sub(1, n), INSTANCES)
			assert.same({ nil, "parse" }, { value, code }, n)
			assert.matches("^bad XML at byte ", message)
		end
	end)

	it("opens no file and no connection", function()
		local directory = listener.directory()
		assert(fs.write(directory .. "/x", "<b/>"))
		for _, text in ipairs {
			("<!DOCTYPE a SYSTEM '%s/x'><a/>"):format(directory),
			("<!DOCTYPE a [<!ENTITY x SYSTEM '%s/x'>]><a>&x;</a>"):format(directory),
			("<!DOCTYPE a [<!ENTITY %% x SYSTEM '%s/x'> %%x;]><a/>"):format(directory),
			"<!DOCTYPE a [<!ENTITY x 'xxxxxxxx'><!ENTITY y '&x;&x;&x;&x;'><!ENTITY z '&y;&y;&y;&y;'>]><a>&z;</a>",
		} do
			local value, message = xml.decode(text, { a = true })
			assert.is_nil(value)
			assert.matches("a DOCTYPE", message)
		end
		local value = xml.decode(("<a xmlns:xi='http://www.w3.org/2001/XInclude'><xi:include href='%s/x'/></a>"):format(directory),
			{ a = { b = true } })
		assert.same({ a = {} }, value)
		listener.forget(directory)
	end)

	it("leaves nothing behind, whether it reads or refuses", function()
		local no_leak = listener.watch_leaks()
		local text = "<a>" .. ("<b>x</b>"):rep(2000)
		for _ = 1, 5 do
			assert.equal(2000, #xml.decode(text .. "</a>", { a = { b = { true } } }).a.b)
			assert.is_nil((xml.decode(text, { a = { b = { true } } })))
			assert.is_nil((xml.decode(text .. "</a>", { a = { b = true } })))
		end
		no_leak()
	end)

	it("raises on what is no shape", function()
		local circle = {}
		circle.a = circle
		local many = {}
		for i = 1, 65 do many["n" .. i] = true end
		for _, shape in ipairs { { true }, { a = 1 }, { a = false }, { a = "text" }, { a = { true, true } }, { a = { {}, b = true } },
			{ a = { { { true } } } }, circle, { a = many }, { [1.5] = true }, { a = { [1.5] = true } } } do
			assert.has_error(function() xml.decode("<a/>", shape) end)
		end
		assert.has_error(function() xml.decode("<a/>") end)
		assert.has_error(function() xml.decode({}, { a = true }) end)
	end)
end)

describe("xml.escape", function()
	it("makes text that is read back as it was", function()
		for _, text in ipairs { "", "a", "<b a='1'>&amp;]]></b>", "\t\n\r \"'", "é€😀" } do
			assert.equal(text, within(xml.escape(text), true))
		end
		assert.equal("&lt;a b=&quot;c&apos;&quot;&gt;&amp;&#13;", xml.escape "<a b=\"c'\">&\r")
	end)

	it("raises on what no XML can have, and does not show it", function()
		for _, text in ipairs { "hush\0", "hush\1", "hush\xff", "hush\xef\xbf\xbf", "hush\x1b" } do
			local ok, message = pcall(xml.escape, text)
			assert.is_false(ok)
			assert.is_nil(message:find "hush")
		end
	end)
end)
