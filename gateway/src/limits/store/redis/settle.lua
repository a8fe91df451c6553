-- Ends a lease and gives back what it did not use. The lease makes it happen once, however often it is asked.
-- KEYS: 1 tokens, 2 tokens of the day, 3 leases.
-- ARGV: 1 now, 2 lease, 3 tokens to give back, 4 when they were counted (-1: nobody heard), 5 how long a lease lives,
--       6 and 7 whether tokens and tokens of the day were counted.
local counted_at = tonumber(ARGV[4])
if counted_at < 0 then
  -- A lease of which nobody heard was never renewed, so its expiry tells when it was taken.
  counted_at = (tonumber(redis.call('ZSCORE', KEYS[3], ARGV[2]) or 0)) - tonumber(ARGV[5])
end
if redis.call('ZREM', KEYS[3], ARGV[2]) == 0 then
  return 0
end
local function give_back(key, slot_ms)
  local slot = text(math.floor(counted_at / slot_ms))
  local held = tonumber(redis.call('HGET', key, slot) or 0)
  local back = math.min(held, tonumber(ARGV[3]))
  if back == held then
    redis.call('HDEL', key, slot)
  else
    redis.call('HINCRBY', key, slot, text(-back))
  end
end
if ARGV[6] == '1' then
  give_back(KEYS[1], 1000)
end
if ARGV[7] == '1' then
  give_back(KEYS[2], 86400000)
end
return 1
