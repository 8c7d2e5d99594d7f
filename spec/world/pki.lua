-- pki.lua - a certificate authority for one test, made by openssl.

local world = require "spec.world.world"

local pki = {}

local curve = { "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2" }

local function request(argv)
	table.move(curve, 1, #curve, #argv + 1, argv)
	world.succeed("openssl", "req", "-x509", table.unpack(argv))
end

--- A certificate authority in a directory: ca.crt, ca.key.
function pki.authority(dir)
	world.succeed("mkdir", "-p", dir)
	request { "-keyout", dir .. "/ca.key", "-out", dir .. "/ca.crt", "-subj", "/CN=" .. dir:match "[^/]+$" }
	return dir
end

--- A certificate for these addresses: NAME.crt, NAME.key in the authority's directory.
function pki.issue(dir, name, addresses)
	local names = {}
	for i, address in ipairs(addresses) do
		names[i] = "IP:" .. address
	end
	request { "-CA", dir .. "/ca.crt", "-CAkey", dir .. "/ca.key", "-subj", "/O=" .. name,
		"-keyout", dir .. "/" .. name .. ".key", "-out", dir .. "/" .. name .. ".crt",
		"-addext", "basicConstraints=CA:FALSE", "-addext", "subjectAltName=" .. table.concat(names, ",") }
end

return pki
