-- broken.lua - etcd-bootstrap with one rule of the gate switched off; for the test build, which
-- alone can: etcd-bootstrap lua chaos/broken.lua RULE BINARY VERB ...

local gate = require "core.gate"

gate.off(arg[1])
os.exit(require "cli".main(table.move(arg, 3, #arg, 1, {})))
