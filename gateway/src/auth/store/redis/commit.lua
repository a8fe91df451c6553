-- Makes a change that was prepared at a version, whole, unless another was made since.
-- KEYS: 1 version. All other keys are named in the commands and share its hash tag.
-- ARGV: 1 the version it was prepared at, 2 whether it changes what is in force (1) or only the audit (0),
--       3 the commands as JSON: a list of lists of strings.
-- Returns the version after it, or -1.
local version = tonumber(redis.call('GET', KEYS[1]) or '0')
if version ~= tonumber(ARGV[1]) then
  return -1
end
for _, command in ipairs(cjson.decode(ARGV[3])) do
  redis.call(unpack(command))
end
if ARGV[2] == '1' then
  version = redis.call('INCR', KEYS[1])
end
return version
