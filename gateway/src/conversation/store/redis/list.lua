-- Names in an owner's index behind one of them. Those whose thing has ended are dropped on the way.
-- KEYS: the index. ARGV: what an owner's keys begin with, the name behind which the page begins or nothing, how many.
local from = '-'
if ARGV[2] ~= '' then
  from = '(' .. ARGV[2]
end
local found = {}
while #found < tonumber(ARGV[3]) do
  local page = redis.call('ZRANGEBYLEX', KEYS[1], from, '+', 'LIMIT', 0, 100)
  if #page == 0 then
    break
  end
  for _, name in ipairs(page) do
    if #found < tonumber(ARGV[3]) then
      if redis.call('EXISTS', ARGV[1] .. name) == 1 then
        found[#found + 1] = name
      else
        redis.call('ZREM', KEYS[1], name)
      end
    end
  end
  from = '(' .. page[#page]
end
return found
