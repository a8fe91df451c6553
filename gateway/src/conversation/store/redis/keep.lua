-- Keeps a turn: all of it, or nothing. A turn that was kept is not kept again.
-- KEYS: the response, the owner's index, the conversation, its items.
-- ARGV: 1 how long things are kept (ms), 2 items at most, 3 the turn, 4 the conversation's expected head or nothing,
-- 5 the conversation's name in the index, 6 the response's or nothing, 7 when it was made, 8 whether it is finished,
-- 9 the one before it, 10 its body, 11 its input, then the conversation's new items.
local remembered = 8
if redis.call('HGET', KEYS[1], 'done') == '1' then
  return { 'done', 0 }
end
if ARGV[4] ~= '' then
  local found = redis.call('HMGET', KEYS[3], 'head', 'turns')
  if not found[1] then
    return { 'gone', 0 }
  end
  local turns = {}
  for turn in string.gmatch(found[2] or '', '%S+') do
    if turn == ARGV[3] then
      return { 'done', 0 }
    end
    turns[#turns + 1] = turn
  end
  if found[1] ~= ARGV[4] then
    return { 'conflict', tonumber(found[1]) }
  end
  if redis.call('LLEN', KEYS[4]) + #ARGV - 11 > tonumber(ARGV[2]) then
    return { 'full', 0 }
  end
  for i = 12, #ARGV do
    redis.call('RPUSH', KEYS[4], ARGV[i])
  end
  turns[#turns + 1] = ARGV[3]
  local first = math.max(1, #turns - remembered + 1)
  redis.call('HSET', KEYS[3], 'turns', table.concat(turns, ' ', first))
  if #ARGV > 11 then
    redis.call('HINCRBY', KEYS[3], 'head', 1)
  end
  redis.call('PEXPIRE', KEYS[3], ARGV[1])
  redis.call('PEXPIRE', KEYS[4], ARGV[1])
  redis.call('ZADD', KEYS[2], 0, ARGV[5])
end
if ARGV[6] ~= '' then
  redis.call('HSET', KEYS[1], 'at', ARGV[7], 'done', ARGV[8], 'prev', ARGV[9], 'body', ARGV[10], 'input', ARGV[11])
  redis.call('PEXPIRE', KEYS[1], ARGV[1])
  redis.call('ZADD', KEYS[2], 0, ARGV[6])
end
redis.call('PEXPIRE', KEYS[2], ARGV[1])
return { 'done', 0 }
