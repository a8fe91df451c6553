-- Replaces a conversation's metadata; returns whether there is such a conversation.
-- KEYS: the conversation, its items, the owner's index. ARGV: how long it is kept (ms), metadata.
if redis.call('EXISTS', KEYS[1]) == 0 then
  return 0
end
redis.call('HSET', KEYS[1], 'meta', ARGV[2])
for i = 1, 3 do
  redis.call('PEXPIRE', KEYS[i], ARGV[1])
end
return 1
