-- XML as EC2 sends it.  `write FILE N` makes the answer to DescribeInstances for N instances;
-- `decode FILE RUNS` prints the least CPU seconds that decoding it took, with the provider's shape.
-- Run by etcd-bootstrap lua.
local fs, xml = require "core.fs", require "core.xml"
local instances = require "aws.instances"

local INSTANCE = [[
        <item>
            <reservationId>r-%017x</reservationId>
            <ownerId>123456789012</ownerId>
            <groupSet/>
            <instancesSet>
                <item>
                    <instanceId>i-%017x</instanceId>
                    <imageId>ami-0abcdef1234567890</imageId>
                    <instanceState>
                        <code>16</code>
                        <name>running</name>
                    </instanceState>
                    <privateDnsName>ip-10-%d-%d-%d.eu-central-1.compute.internal</privateDnsName>
                    <dnsName/>
                    <reason/>
                    <keyName>etcd</keyName>
                    <amiLaunchIndex>0</amiLaunchIndex>
                    <productCodes/>
                    <instanceType>m6i.large</instanceType>
                    <launchTime>2024-05-17T09:12:44.000Z</launchTime>
                    <placement>
                        <availabilityZone>eu-central-1b</availabilityZone>
                        <groupName/>
                        <tenancy>default</tenancy>
                    </placement>
                    <monitoring>
                        <state>disabled</state>
                    </monitoring>
                    <subnetId>subnet-0123456789abcdef0</subnetId>
                    <vpcId>vpc-0123456789abcdef0</vpcId>
                    <privateIpAddress>10.%d.%d.%d</privateIpAddress>
                    <sourceDestCheck>true</sourceDestCheck>
                    <groupSet>
                        <item>
                            <groupId>sg-0123456789abcdef0</groupId>
                            <groupName>etcd &amp; peers</groupName>
                        </item>
                    </groupSet>
                    <architecture>x86_64</architecture>
                    <rootDeviceType>ebs</rootDeviceType>
                    <rootDeviceName>/dev/xvda</rootDeviceName>
                    <blockDeviceMapping>
                        <item>
                            <deviceName>/dev/xvda</deviceName>
                            <ebs>
                                <volumeId>vol-0123456789abcdef0</volumeId>
                                <status>attached</status>
                                <attachTime>2024-05-17T09:12:45.000Z</attachTime>
                                <deleteOnTermination>true</deleteOnTermination>
                            </ebs>
                        </item>
                    </blockDeviceMapping>
                    <virtualizationType>hvm</virtualizationType>
                    <clientToken>fleet-0123456789ab-cdef-0123-4567-89abcdef0123</clientToken>
                    <tagSet>
                        <item>
                            <key>aws:autoscaling:groupName</key>
                            <value>etcd-prod</value>
                        </item>
                        <item>
                            <key>Name</key>
                            <value>etcd-%d</value>
                        </item>
                        <item>
                            <key>environment</key>
                            <value>production</value>
                        </item>
                    </tagSet>
                    <hypervisor>xen</hypervisor>
                    <networkInterfaceSet>
                        <item>
                            <networkInterfaceId>eni-0123456789abcdef0</networkInterfaceId>
                            <subnetId>subnet-0123456789abcdef0</subnetId>
                            <vpcId>vpc-0123456789abcdef0</vpcId>
                            <description/>
                            <ownerId>123456789012</ownerId>
                            <status>in-use</status>
                            <macAddress>02:ab:cd:ef:01:23</macAddress>
                            <privateIpAddress>10.%d.%d.%d</privateIpAddress>
                            <sourceDestCheck>true</sourceDestCheck>
                            <groupSet>
                                <item>
                                    <groupId>sg-0123456789abcdef0</groupId>
                                    <groupName>etcd &amp; peers</groupName>
                                </item>
                            </groupSet>
                            <attachment>
                                <attachmentId>eni-attach-0123456789abcdef0</attachmentId>
                                <deviceIndex>0</deviceIndex>
                                <status>attached</status>
                                <attachTime>2024-05-17T09:12:44.000Z</attachTime>
                                <deleteOnTermination>true</deleteOnTermination>
                                <networkCardIndex>0</networkCardIndex>
                            </attachment>
                            <privateIpAddressesSet>
                                <item>
                                    <privateIpAddress>10.%d.%d.%d</privateIpAddress>
                                    <primary>true</primary>
                                </item>
                            </privateIpAddressesSet>
                            <ipv6AddressesSet/>
                            <interfaceType>interface</interfaceType>
                        </item>
                    </networkInterfaceSet>
                    <ebsOptimized>true</ebsOptimized>
                    <enaSupport>true</enaSupport>
                    <cpuOptions>
                        <coreCount>1</coreCount>
                        <threadsPerCore>2</threadsPerCore>
                    </cpuOptions>
                    <metadataOptions>
                        <state>applied</state>
                        <httpTokens>required</httpTokens>
                        <httpPutResponseHopLimit>2</httpPutResponseHopLimit>
                        <httpEndpoint>enabled</httpEndpoint>
                        <instanceMetadataTags>enabled</instanceMetadataTags>
                    </metadataOptions>
                    <currentInstanceBootMode>uefi</currentInstanceBootMode>
                </item>
            </instancesSet>
        </item>
]]

local HEAD = [[
<?xml version="1.0" encoding="UTF-8"?>
<DescribeInstancesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">
    <requestId>8f7724cf-496f-496e-8fe3-example</requestId>
    <reservationSet>
]]

local FOOT = "    </reservationSet>\n</DescribeInstancesResponse>\n"

local verbs = {}

function verbs.write(path, count)
	local parts = { HEAD }
	for i = 1, tonumber(count) do
		local a, b, c = i >> 16 & 255, i >> 8 & 255, i & 255
		parts[#parts + 1] = INSTANCE:format(i, i, a, b, c, a, b, c, i, a, b, c, a, b, c)
	end
	parts[#parts + 1] = FOOT
	assert(fs.write(path, table.concat(parts)))
end

function verbs.decode(path, runs)
	local text = assert(fs.read(path, 1 << 30))
	local least = math.huge
	for _ = 1, tonumber(runs) do
		collectgarbage()
		local from = os.clock()
		local answer = assert(xml.decode(text, instances.shape))
		least = math.min(least, os.clock() - from)
		local first = answer.DescribeInstancesResponse.reservationSet.item[1].instancesSet.item[1]
		assert(first.tagSet.item[3].value == "production")
	end
	print(("%.3f"):format(least))
end

verbs[arg[1]](table.unpack(arg, 2))
