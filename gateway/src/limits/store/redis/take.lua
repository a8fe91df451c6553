-- Takes from every limit of a subject or from none; with nothing wanted and no lease it only looks.
-- It is limits/counter/mod.rs and store/memory once more; the conformance suite holds both to the same.
-- KEYS: 1 requests, 2 tokens, 3 tokens of the day (hashes: slot -> amount), 4 leases (sorted by expiry).
-- ARGV: 1 now, 2 lease ('' for none), 3 how long a lease lives, 4 requests and 5 tokens wanted,
--       6-9 limits of requests, tokens, tokens a day and concurrency (-1 for none).
-- Returns whether it was granted, now, then used, reset and wait of three limits (wait -1: never), then who runs.

-- When what is short will have run out, the oldest before the others.
local function wait_for(short, fields, current, slot_ms, kept)
  local slots = {}
  for i = 1, #fields, 2 do
    local slot = math.min(tonumber(fields[i]), current)
    if slot + kept > current then
      slots[#slots + 1] = { slot, tonumber(fields[i + 1]) }
    end
  end
  table.sort(slots, function(a, b) return a[1] < b[1] end)
  for _, slot in ipairs(slots) do
    short = short - slot[2]
    if short <= 0 then
      return (slot[1] + kept) * slot_ms - now
    end
  end
  return -1
end

local function read(key, slot_ms, kept, limit, want)
  local scope = { key = key, slot_ms = slot_ms, kept = kept, limit = limit, want = want, used = 0, reset = 0, wait = 0 }
  if limit < 0 then
    return scope
  end
  local current, used, newest = math.floor(now / slot_ms), 0, nil
  local fields = redis.call('HGETALL', key)
  for i = 1, #fields, 2 do
    local slot = tonumber(fields[i])
    if slot + kept <= current then
      redis.call('HDEL', key, fields[i])
    else
      if slot > current then
        -- The clock stepped back: amounts of the future become amounts of now.
        redis.call('HDEL', key, fields[i])
        redis.call('HINCRBY', key, text(current), fields[i + 1])
        slot = current
      end
      used = used + fields[i + 1]
      newest = newest and newest > slot and newest or slot
    end
  end
  scope.used = used
  if newest then
    scope.reset = (newest + kept) * slot_ms - now
  end
  if want > 0 and want > limit then
    scope.wait = -1
  elseif want > 0 and used + want > limit then
    scope.wait = wait_for(used + want - limit, fields, current, slot_ms, kept)
  end
  return scope
end

local function count(scope)
  if scope.limit < 0 or scope.want == 0 then
    return
  end
  local slot = math.floor(now / scope.slot_ms)
  redis.call('HINCRBY', scope.key, text(slot), text(scope.want))
  scope.used = scope.used + scope.want
  scope.reset = (slot + scope.kept) * scope.slot_ms - now
  -- A minute longer than it counts: the key may not go before its amounts do.
  redis.call('PEXPIRE', scope.key, text(scope.reset + 60000))
end

local lease, ttl, tokens, places = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[5]), tonumber(ARGV[9])
local scopes = {
  read(KEYS[1], 1000, 61, tonumber(ARGV[6]), tonumber(ARGV[4])),
  read(KEYS[2], 1000, 61, tonumber(ARGV[7]), tokens),
  read(KEYS[3], 86400000, 1, tonumber(ARGV[8]), tokens),
}
local running = 0
if lease ~= '' or places >= 0 then
  redis.call('ZREMRANGEBYSCORE', KEYS[4], '-inf', text(now))
  running = redis.call('ZCARD', KEYS[4])
end
local granted = places < 0 or running < places
for _, scope in ipairs(scopes) do
  granted = granted and scope.wait == 0
end
if granted then
  for _, scope in ipairs(scopes) do
    count(scope)
  end
  if lease ~= '' then
    redis.call('ZADD', KEYS[4], text(now + ttl), lease)
    redis.call('PEXPIRE', KEYS[4], text(ttl + 60000))
  end
end
local reply = { granted and 1 or 0, now }
for _, scope in ipairs(scopes) do
  reply[#reply + 1] = scope.used
  reply[#reply + 1] = scope.reset
  reply[#reply + 1] = scope.wait
end
reply[#reply + 1] = running
return reply
