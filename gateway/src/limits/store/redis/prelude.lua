-- What the scripts share. `now`: the server's time in milliseconds, unless a test gives one.
-- Numbers are written by '%.0f': Redis would write large ones with an exponent.
local function text(number)
  return string.format('%.0f', number)
end
local now = tonumber(ARGV[1])
if now == 0 then
  local time = redis.call('TIME')
  now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end
