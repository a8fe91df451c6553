-- Removes some of what an owner has. Returns how many names were in the index, and how many things there were.
-- KEYS: the index. ARGV: what an owner's keys begin with, how many at most.
local names = redis.call('ZRANGE', KEYS[1], 0, tonumber(ARGV[2]) - 1)
local gone = 0
for _, name in ipairs(names) do
  gone = gone + redis.call('UNLINK', ARGV[1] .. name)
  if string.sub(name, 1, 2) == 'c:' then
    redis.call('UNLINK', ARGV[1] .. 'i:' .. string.sub(name, 3))
  end
  redis.call('ZREM', KEYS[1], name)
end
return { #names, gone }
