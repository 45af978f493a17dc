-- Admits a context of so many bytes to a tenant's account, or says which limit is met.
-- KEYS: expiry by id, bytes by id, the sum of bytes. ARGV: now, id, expires, bytes, the most contexts,
-- the most bytes. With fewer bytes than none the context is taken off, if it is noted with `expires` where that
-- is given; otherwise, without `expires` nothing is noted. Returns 0, 1 where there are too many contexts, 2 where there are too many bytes.
local expiry, sizes, sum = KEYS[1], KEYS[2], KEYS[3]
local function off(id)
  redis.call('ZREM', expiry, id)
  local bytes = redis.call('HGET', sizes, id)
  if bytes then
    redis.call('HDEL', sizes, id)
    redis.call('DECRBY', sum, bytes)
  end
end
for _, id in ipairs(redis.call('ZRANGEBYSCORE', expiry, '-inf', ARGV[1], 'LIMIT', 0, 64)) do
  off(id)
end
local id, bytes = ARGV[2], tonumber(ARGV[4])
if bytes < 0 then
  if ARGV[3] == '' or redis.call('ZSCORE', expiry, id) == ARGV[3] then
    off(id)
  end
  return 0
end
local before = tonumber(redis.call('HGET', sizes, id) or '-1')
if before < 0 and redis.call('ZCARD', expiry) >= tonumber(ARGV[5]) then
  return 1
end
local more = bytes - math.max(before, 0)
if more > 0 and tonumber(redis.call('GET', sum) or '0') + more > tonumber(ARGV[6]) then
  return 2
end
if ARGV[3] ~= '' then
  redis.call('ZADD', expiry, ARGV[3], id)
  redis.call('HSET', sizes, id, ARGV[4])
  redis.call('INCRBY', sum, string.format('%d', more))
end
return 0
