-- Publishes all of a request or nothing, unless it is a retry.
-- KEYS: the stream, the key of the request if it has one, the keys of objects.
-- ARGV: the epoch, how many entries are kept, the time, for how long keys are remembered (in ms), the payload of the request
-- (empty without a key), the newest position of the epoch that the machine knows of; then of each publication its topic, its
-- data, the number of its key in KEYS (empty for none) and its payload. A payload has 32 characters.
-- Answers the ids, in runs: <epoch>-<first>+<count>, with spaces between them; or whose key was used for something else: 0 for
-- the request's, else the number of the publication; or that the stream is gone, or was set back.
local stream, epoch, kept, at, ttl, request = KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local known_position, is_first = tonumber(ARGV[6]), true
if request ~= '' then
  local first = redis.call('GET', KEYS[2])
  if first and string.sub(first, 1, 32) ~= request then return { 'conflict', 0 } end
  if first then return { 'ids', string.sub(first, 34) } end
end
local known = {}
for i = 7, #ARGV, 4 do
  local key, payload = ARGV[i + 2], ARGV[i + 3]
  if key ~= '' then
    if not known[key] then
      local first = redis.call('GET', KEYS[tonumber(key)])
      known[key] = first and { string.sub(first, 1, 32), string.sub(first, 34) } or { payload }
    end
    if known[key][1] ~= payload then return { 'conflict', (i - 3) / 4 } end
  end
end
if redis.call('EXISTS', stream) == 0 then return { 'gone' } end

local runs, run_epoch, run_first, run_count = {}, nil, 0, 0
local function end_run()
  if run_count > 0 then
    runs[#runs + 1] = string.format('%s-%.0f+%d', run_epoch, run_first, run_count)
  end
end
local function answer(id)
  local id_epoch, position = string.match(id, '^(%d+)-(%d+)')
  position = tonumber(position)
  if id_epoch == run_epoch and position == run_first + run_count then
    run_count = run_count + 1
  else
    end_run()
    run_epoch, run_first, run_count = id_epoch, position, 1
  end
end

for i = 7, #ARGV, 4 do
  local key = known[ARGV[i + 2]]
  if key and key[2] then
    answer(key[2])
  else
    local id = redis.call('XADD', stream, 'MAXLEN', '~', kept, epoch .. '-*', 't', ARGV[i], 'd', ARGV[i + 1], 'at', at)
    if is_first and tonumber(string.match(id, '%d+$')) <= known_position then
      redis.call('XDEL', stream, id)
      return { 'set back' }
    end
    is_first = false
    answer(id)
    if key then
      key[2] = id .. '+1'
      redis.call('SET', KEYS[tonumber(ARGV[i + 2])], key[1] .. ' ' .. key[2], 'PX', ttl)
    end
  end
end
end_run()
local ids = table.concat(runs, ' ')
if request ~= '' then redis.call('SET', KEYS[2], request .. ' ' .. ids, 'PX', ttl) end
return { 'ids', ids }
