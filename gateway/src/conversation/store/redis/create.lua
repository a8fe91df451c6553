-- Makes a conversation with its first items.
-- KEYS: the conversation, its items, the owner's index.
-- ARGV: how long it is kept (ms), its name in the index, when it was made, head, metadata, then its items.
redis.call('DEL', KEYS[1], KEYS[2])
local head = tonumber(ARGV[4])
for i = 6, #ARGV do
  redis.call('RPUSH', KEYS[2], ARGV[i])
end
if #ARGV > 5 then
  head = head + 1
end
redis.call('HSET', KEYS[1], 'at', ARGV[3], 'head', head, 'meta', ARGV[5])
redis.call('ZADD', KEYS[3], 0, ARGV[2])
for i = 1, 3 do
  redis.call('PEXPIRE', KEYS[i], ARGV[1])
end
return 1
