-- A response and those it goes on from, the newest first; nothing where one is gone or there are too many.
-- KEYS: the newest response, the owner's index.
-- ARGV: how long they are kept (ms), responses at most, what the keys of responses begin with, the newest one's id.
-- The keys of the others are made here: they have the owner's hash tag, so they are where the first one is.
local chain = {}
local id = ARGV[4]
while id ~= '' do
  if #chain == tonumber(ARGV[2]) then
    return false
  end
  local key = ARGV[3] .. id
  local found = redis.call('HMGET', key, 'at', 'done', 'prev', 'body', 'input')
  if not found[1] then
    return false
  end
  redis.call('PEXPIRE', key, ARGV[1])
  chain[#chain + 1] = { id, found[1], found[2], found[3], found[4], found[5] }
  id = found[3]
end
redis.call('PEXPIRE', KEYS[2], ARGV[1])
return chain
