-- What one gateway uses and holds of the rules of one scope, told and asked in one step.
-- KEYS: when this server's memory of quotas began; the scope's hash, which has a field for each
-- rule of each gateway: what it uses, what it may use, until when it may, until when its use counts,
-- and when some of it leaves. Times are this server's, in milliseconds.
-- ARGV: the gateway, its lease; then for each rule: name, used, held, wanted, limit, lease, milliseconds
-- that its use counts, milliseconds until some of it leaves.
-- Gives: milliseconds for which nothing new is granted; then for each rule what may be used, and
-- the milliseconds until some of what others use leaves, -1 where that is not known, and what they hold.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local node, lease = ARGV[1], tonumber(ARGV[2])
local born = redis.call('GET', KEYS[1])
if not born then
  born = now
  redis.call('SET', KEYS[1], string.format('%.0f', now))
end
local grace = math.max(tonumber(born) + lease - now, 0)
local others, relief = {}, {}
local all = redis.call('HGETALL', KEYS[2])
for i = 1, #all, 2 do
  local rule, owner = all[i]:match('^(.-)|(.*)$')
  local used, may, leased, counts, leaves = all[i + 1]:match('^(%d+) (%d+) (%d+) (%d+) (%d+)$')
  if tonumber(counts) <= now then
    redis.call('HDEL', KEYS[2], all[i])
  elseif owner ~= node then
    local held = tonumber(leased) > now and tonumber(may) or tonumber(used)
    others[rule] = (others[rule] or 0) + held
    local at = math.max(tonumber(leaves), now)
    if held > 0 and (not relief[rule] or at < relief[rule]) then relief[rule] = at end
  end
end
local reply, longest = { grace }, lease
for i = 3, #ARGV, 8 do
  local rule = ARGV[i]
  local used, held, wanted = tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2]), tonumber(ARGV[i + 3])
  local room = tonumber(ARGV[i + 4]) - (others[rule] or 0)
  local counts = tonumber(ARGV[i + 6])
  local may = math.max(math.min(wanted, room), 0)
  if grace > 0 then may = math.min(wanted, held) end
  longest = math.max(longest, counts)
  redis.call('HSET', KEYS[2], rule .. '|' .. node, string.format('%.0f %.0f %.0f %.0f %.0f',
    used, math.max(may, used), now + tonumber(ARGV[i + 5]), now + counts, now + tonumber(ARGV[i + 7])))
  reply[#reply + 1] = may
  reply[#reply + 1] = relief[rule] and relief[rule] - now or -1
  reply[#reply + 1] = others[rule] or 0
end
redis.call('PEXPIRE', KEYS[2], string.format('%.0f', longest))
return reply
