-- Keeps the places of requests that still run, and makes them again where the server lost them.
-- KEYS: 1 leases. ARGV: 1 now, 2 how long a lease lives, 3… leases.
local expiry = text(now + tonumber(ARGV[2]))
for i = 3, #ARGV do
  redis.call('ZADD', KEYS[1], expiry, ARGV[i])
end
redis.call('PEXPIRE', KEYS[1], text(tonumber(ARGV[2]) + 60000))
return 1
