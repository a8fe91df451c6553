-- Adds items to a conversation, whatever state it is in.
-- KEYS: the conversation, its items, the owner's index.
-- ARGV: how long it is kept (ms), items at most, then the items.
if redis.call('EXISTS', KEYS[1]) == 0 then
  return 'gone'
end
if redis.call('LLEN', KEYS[2]) + #ARGV - 2 > tonumber(ARGV[2]) then
  return 'full'
end
for i = 3, #ARGV do
  redis.call('RPUSH', KEYS[2], ARGV[i])
end
if #ARGV > 2 then
  redis.call('HINCRBY', KEYS[1], 'head', 1)
end
for i = 1, 3 do
  redis.call('PEXPIRE', KEYS[i], ARGV[1])
end
return 'done'
