-- Makes the built-in roles where there is nothing yet.
-- KEYS: 1 epoch, 2 roles (hash), 3 their names (sorted set). ARGV: 1 a new epoch, then name and record of each role.
-- Returns the epoch that stands.
if redis.call('SETNX', KEYS[1], ARGV[1]) == 1 then
  for i = 2, #ARGV, 2 do
    redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1])
    redis.call('ZADD', KEYS[3], 0, ARGV[i])
  end
end
return redis.call('GET', KEYS[1])
