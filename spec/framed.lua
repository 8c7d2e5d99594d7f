-- framed.lua - write-ahead logs as etcd writes them, made the long way round.
local framed = {}

function framed.varint(n)
	local out = {}
	repeat
		local byte = n & 0x7f
		n = n >> 7
		table.insert(out, string.char(n ~= 0 and byte | 0x80 or byte))
	until n == 0
	return table.concat(out)
end

function framed.int(field, n) return framed.varint(field << 3) .. framed.varint(n) end
function framed.bytes(field, s) return framed.varint(field << 3 | 2) .. framed.varint(#s) .. s end

local function frame(record)
	local padding = -#record % 8
	local head = #record
	if padding > 0 then head = head | (0x80 | padding) << 56 end
	return string.pack("<i8", head) .. record .. ("\0"):rep(padding)
end

-- CRC-32C, bit by bit.
function framed.roll(sum, data)
	sum = ~sum & 0xffffffff
	for i = 1, #data do
		sum = sum ~ data:byte(i)
		for _ = 1, 8 do sum = sum >> 1 ~ (sum & 1) * 0x82f63b78 end
	end
	return ~sum & 0xffffffff
end

-- One frame; its sum is one over its own data, until a log is sealed.
function framed.frame(kind, data)
	return frame(framed.int(1, kind) .. framed.int(2, framed.roll(0, data)) .. framed.bytes(3, data))
end

-- The kind and the data of a record that frame() made.
local function taken_apart(record)
	local i, length, shift = 4, 0, 0
	while record:byte(i) >= 0x80 do i = i + 1 end
	i = i + 2 -- behind the sum and the key of the data
	repeat
		local byte = record:byte(i)
		length, shift, i = length | (byte & 0x7f) << shift, shift + 7, i + 1
	until byte < 0x80
	return record:byte(2), record:sub(i, i + length - 1)
end

-- The whole frames that a log begins with, rolled on from sum -> log, sum at its end; what follows stays as it is
function framed.sealed(log, sum)
	local out, i = {}, 1
	while i + 8 <= #log do
		local head = string.unpack("<i8", log, i)
		local size = (head & 0xffffffffffffff) + (head < 0 and head >> 56 & 7 or 0)
		if size == 0 or i + 7 + size > #log then break end
		local kind, data = taken_apart(log:sub(i + 8, i + 7 + size))
		sum = framed.roll(sum, data)
		table.insert(out, frame(framed.int(1, kind) .. framed.int(2, sum) .. (data ~= "" and framed.bytes(3, data) or "")))
		i = i + 8 + size
	end
	return table.concat(out) .. log:sub(i), sum
end

return framed
