-- Adds to a subject's counts of a day, once for each name of a batch.
-- KEYS: 1 the counts (hash: model and kind -> count), 2 the batch's mark.
-- ARGV: 1 seconds that counts are kept, then field and increment of each.
if not redis.call('SET', KEYS[2], '1', 'NX', 'EX', 3600) then
  return 0
end
for i = 2, #ARGV, 2 do
  redis.call('HINCRBY', KEYS[1], ARGV[i], ARGV[i + 1])
end
redis.call('EXPIRE', KEYS[1], ARGV[1])
return 1
