-- Says that a replica is alive and returns how many are.
-- KEYS: 1 replicas (sorted by when they will be taken for dead). ARGV: 1 now, 2 how long one lives unheard, 3 replica.
local life = tonumber(ARGV[2])
redis.call('ZADD', KEYS[1], text(now + life), ARGV[3])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', text(now))
redis.call('PEXPIRE', KEYS[1], text(life + 60000))
return redis.call('ZCARD', KEYS[1])
