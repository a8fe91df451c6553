-- Adds events to a log and says that its writer lives. Returns whether the response was cancelled.
-- KEYS: the log, the sign of life, the sign of cancellation.
-- ARGV: how long the log is kept, how long a silent writer lives (seconds), events at most, then number and event.
local last = 0
local newest = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)
if newest[1] then
  last = tonumber(string.match(newest[1][1], '^(%d+)'))
end
for i = 4, #ARGV, 2 do
  if tonumber(ARGV[i]) > last then
    redis.call('XADD', KEYS[1], 'MAXLEN', ARGV[3], ARGV[i] .. '-0', 'e', ARGV[i + 1])
  end
end
redis.call('EXPIRE', KEYS[1], ARGV[1])
redis.call('SET', KEYS[2], 1, 'EX', ARGV[2])
return redis.call('EXISTS', KEYS[3])
