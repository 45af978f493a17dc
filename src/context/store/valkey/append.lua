-- Adds a version to a log, if it follows the one that is there.
-- KEYS: the log. ARGV: now, the version before, the new one, the entry, created, expires, bytes, entries,
-- and, where the oldest versions are folded, the version and the entry that they are folded into.
-- Returns -1, or the version that is there where that is another one. What has expired by the gateway's
-- clock is not there, though the server's may be slow.
local log = KEYS[1]
local head = redis.call('HMGET', log, 'version', 'expires')
local version = tonumber(head[1] or '0')
local is_expired = version > 0 and tonumber(head[2]) <= tonumber(ARGV[1])
if is_expired then
  version = 0
end
if version ~= tonumber(ARGV[2]) then
  return version
end
if is_expired then
  redis.call('DEL', log)
end
redis.call('HSET', log, 'version', ARGV[3], 'created', ARGV[5], 'expires', ARGV[6],
  'bytes', ARGV[7], 'entries', ARGV[8], ARGV[3], ARGV[4])
if ARGV[9] then
  local first = tonumber(ARGV[9])
  for _, field in ipairs(redis.call('HKEYS', log)) do
    local number = tonumber(field)
    if number and number < first then
      redis.call('HDEL', log, field)
    end
  end
  redis.call('HSET', log, ARGV[9], ARGV[10])
end
redis.call('PEXPIREAT', log, ARGV[6])
return -1
