-- DescribeInstances: a body of the documented form, and what is made of each machine in it.
local instances = require "aws.instances"
local inventory = require "inventory"
local xml = require "core.xml"

local BODY <const> = [[<?xml version="1.0" encoding="UTF-8"?>
<DescribeInstancesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">
    <requestId>8f7724cf-496f-496e-8fe3-example</requestId>
    <reservationSet>
        <item>
            <reservationId>r-1234567890abcdef0</reservationId>
            <ownerId>123456789012</ownerId>
            <groupSet/>
            <instancesSet>
                <item>
                    <instanceId>i-0a0000000000000a1</instanceId>
                    <imageId>ami-bff32ccc</imageId>
                    <instanceState><code>16</code><name>running</name></instanceState>
                    <privateDnsName>ip-10-0-0-11.eu-west-1.compute.internal</privateDnsName>
                    <dnsName>ec2-54-194-252-215.eu-west-1.compute.amazonaws.com</dnsName>
                    <reason/>
                    <amiLaunchIndex>0</amiLaunchIndex>
                    <productCodes/>
                    <launchTime>2026-01-02T03:04:05.000Z</launchTime>
                    <placement>
                        <availabilityZone>eu-west-1c</availabilityZone>
                        <groupName/>
                        <tenancy>default</tenancy>
                    </placement>
                    <monitoring><state>disabled</state></monitoring>
                    <subnetId>subnet-56f5f633</subnetId>
                    <vpcId>vpc-11112222</vpcId>
                    <privateIpAddress>10.0.0.11</privateIpAddress>
                    <ipAddress>54.194.252.215</ipAddress>
                    <blockDeviceMapping>
                        <item><deviceName>/dev/xvda</deviceName><ebs><volumeId>vol-1234567890abcdef0</volumeId><status>attached</status></ebs></item>
                    </blockDeviceMapping>
                    <tagSet>
                        <item><key>Name</key><value>etcd &amp; &lt;friends&gt;</value></item>
                        <item><key>aws:autoscaling:groupName</key><value>etcd</value></item>
                        <item><key>empty</key><value/></item>
                    </tagSet>
                    <networkInterfaceSet>
                        <item>
                            <networkInterfaceId>eni-2</networkInterfaceId>
                            <status>in-use</status>
                            <privateIpAddress>10.0.9.11</privateIpAddress>
                            <attachment><attachmentId>eni-attach-2</attachmentId><deviceIndex>1</deviceIndex><status>attached</status></attachment>
                            <ipv6AddressesSet><item><ipv6Address>2001:db8::9</ipv6Address></item></ipv6AddressesSet>
                        </item>
                        <item>
                            <networkInterfaceId>eni-1</networkInterfaceId>
                            <status>in-use</status>
                            <privateIpAddress>10.0.0.11</privateIpAddress>
                            <privateIpAddressesSet>
                                <item><privateIpAddress>10.0.0.11</privateIpAddress><primary>true</primary></item>
                                <item><privateIpAddress>10.0.0.99</privateIpAddress><primary>false</primary></item>
                            </privateIpAddressesSet>
                            <attachment><attachmentId>eni-attach-1</attachmentId><deviceIndex>0</deviceIndex><status>attached</status></attachment>
                            <ipv6AddressesSet>
                                <item><ipv6Address>2001:DB8::12</ipv6Address></item>
                                <item><ipv6Address>2001:DB8::11</ipv6Address><isPrimaryIpv6>true</isPrimaryIpv6></item>
                            </ipv6AddressesSet>
                        </item>
                    </networkInterfaceSet>
                </item>
                <item>
                    <instanceId>i-0a0000000000000a2</instanceId>
                    <instanceState><code>0</code><name>pending</name></instanceState>
                    <privateDnsName/>
                    <reason/>
                    <launchTime>2026-01-02T03:05:05.000Z</launchTime>
                    <placement><availabilityZone>eu-west-1a</availabilityZone></placement>
                    <networkInterfaceSet>
                        <item>
                            <attachment><deviceIndex>0</deviceIndex></attachment>
                            <ipv6AddressesSet><item><ipv6Address>fd00::2</ipv6Address></item></ipv6AddressesSet>
                        </item>
                    </networkInterfaceSet>
                </item>
            </instancesSet>
        </item>
        <item>
            <reservationId>r-2</reservationId>
            <instancesSet>
                <item>
                    <instanceId>i-0a0000000000000a3</instanceId>
                    <instanceState><code>48</code><name>terminated</name></instanceState>
                    <privateDnsName/>
                    <dnsName/>
                    <reason>User initiated (2026-01-02 04:00:00 GMT)</reason>
                    <launchTime>2026-01-01T00:00:00.000Z</launchTime>
                    <placement><availabilityZone>eu-west-1b</availabilityZone></placement>
                    <networkInterfaceSet/>
                    <stateReason><code>Client.UserInitiatedShutdown</code><message>Client.UserInitiatedShutdown: User initiated shutdown</message></stateReason>
                </item>
            </instancesSet>
        </item>
        <item><reservationId>r-3</reservationId><instancesSet/></item>
    </reservationSet>
    <nextToken>more</nextToken>
</DescribeInstancesResponse>]]

local function read(body)
	local answer = assert(xml.decode(body, instances.shape)).DescribeInstancesResponse
	local list = {}
	for _, reservation in ipairs(answer.reservationSet.item) do
		for _, machine in ipairs(reservation.instancesSet.item) do
			table.insert(list, instances.of(machine, "eu-west-1"))
		end
	end
	return list, answer.nextToken
end

describe("DescribeInstances", function()
	it("tells of every machine, in whatever state", function()
		local list, token = read(BODY)
		assert.equal("more", token)
		local made = assert(inventory.make { self = "i-0a0000000000000a1", instances = list }).instances
		assert.same({
			id = "i-0a0000000000000a1", name = "i-0a0000000000000a1", zone = "eu-west-1c", region = "eu-west-1", state = "live",
			launched = 1767323045, since = 0, tags = { Name = "etcd & <friends>", ["aws:autoscaling:groupName"] = "etcd", empty = "" },
			addresses = { private_v4 = "10.0.0.11", private_v6 = "2001:db8::11", public_v4 = "54.194.252.215",
				hostname = "ip-10-0-0-11.eu-west-1.compute.internal" },
		}, made[1])
		assert.same({ "booting", { private_v6 = "fd00::2" }, "eu-west-1a" }, { made[2].state, made[2].addresses, made[2].zone })
		assert.same({ "dead", {}, 1767326400 }, { made[3].state, made[3].addresses, made[3].since })
	end)

	local states = {
		pending = "booting", running = "live", ["shutting-down"] = "leaving", terminated = "dead", stopping = "unknown",
		stopped = "unknown", hibernating = "unknown", Terminated = "unknown", [""] = "unknown",
	}
	for word, state in pairs(states) do
		it(("makes %s of %q"):format(state, word), function()
			assert.equal(state, instances.of({ instanceId = "i", instanceState = { name = word } }, "r").state)
		end)
	end

	it("makes unknown of a machine without a state", function()
		assert.equal("unknown", instances.of({ instanceId = "i" }, "r").state)
		assert.equal("unknown", instances.of({ instanceId = "i", instanceState = {} }, "r").state)
	end)

	it("knows since when only where the reason says so", function()
		for reason, at in pairs { ["User initiated (2026-01-02 03:04:05 GMT)"] = 1767323045, ["User initiated shutdown"] = 0, [""] = 0,
			["Server.SpotInstanceTermination: (x)"] = 0, ["(2026-13-02 03:04:05 GMT)"] = 0,
			["User initiated (2026-01-02 03:04:05 UTC)"] = 1767323045, ["User initiated (2026-01-02 03:04:05 CET)"] = 0 } do
			assert.equal(at, instances.of({ instanceId = "i", reason = reason }, "r").since, reason)
		end
	end)

	it("is no answer when cut at any byte", function()
		for n = 0, #BODY - 1 do assert.is_nil((xml.decode(BODY:sub(1, n), instances.shape)), n) end
	end)
end)
