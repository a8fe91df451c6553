-- A conversation with its items, which is a use of it.
-- KEYS: the conversation, its items, the owner's index. ARGV: how long it is kept (ms).
local found = redis.call('HMGET', KEYS[1], 'at', 'head', 'meta')
if not found[1] then
  return false
end
for i = 1, 3 do
  redis.call('PEXPIRE', KEYS[i], ARGV[1])
end
return { found[1], found[2], found[3], redis.call('LRANGE', KEYS[2], 0, -1) }
