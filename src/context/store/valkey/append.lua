-- Adds a version to a log, if it follows the one that is there.
-- KEYS: the log. ARGV: the version before, the new one, the entry, created, expires, bytes, entries,
-- and, where the oldest versions are folded, the version and the entry that they are folded into.
-- Returns -1, or the version that is there where that is another one.
local log = KEYS[1]
local version = tonumber(redis.call('HGET', log, 'version') or '0')
if version ~= tonumber(ARGV[1]) then
  return version
end
redis.call('HSET', log, 'version', ARGV[2], 'created', ARGV[4], 'expires', ARGV[5],
  'bytes', ARGV[6], 'entries', ARGV[7], ARGV[2], ARGV[3])
if ARGV[8] then
  local first = tonumber(ARGV[8])
  for _, field in ipairs(redis.call('HKEYS', log)) do
    local number = tonumber(field)
    if number and number < first then
      redis.call('HDEL', log, field)
    end
  end
  redis.call('HSET', log, ARGV[8], ARGV[9])
end
redis.call('PEXPIREAT', log, ARGV[5])
return -1
