-- Compare and set: writes keys, all or none, if each is still as it was read.
--
-- KEYS  the keys
-- ARGV  three for each key: the bytes that were read, the bytes to write, and for how
--       many seconds; empty bytes stand for no key
-- Returns 1 if it has written, and 0 if a key has changed.

for at, name in ipairs(KEYS) do
  local bytes = redis.pcall('GET', name)
  if bytes and bytes.err then
    if not string.find(bytes.err, 'WRONGTYPE', 1, true) then return bytes end
    bytes = false
  end
  if (bytes or '') ~= ARGV[3 * at - 2] then return 0 end
end
for at, name in ipairs(KEYS) do
  local bytes, seconds = ARGV[3 * at - 1], ARGV[3 * at]
  if bytes == '' then redis.call('DEL', name) else redis.call('SETEX', name, seconds, bytes) end
end
return 1
