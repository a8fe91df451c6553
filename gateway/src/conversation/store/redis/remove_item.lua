-- Removes an item; returns whether there was such an item.
-- KEYS: the conversation, its items. ARGV: what the packed item begins with (its id's length and its id).
if redis.call('EXISTS', KEYS[1]) == 0 then
  return 0
end
for _, item in ipairs(redis.call('LRANGE', KEYS[2], 0, -1)) do
  if string.sub(item, 1, #ARGV[1]) == ARGV[1] then
    redis.call('LREM', KEYS[2], 1, item)
    redis.call('HINCRBY', KEYS[1], 'head', 1)
    return 1
  end
end
return 0
