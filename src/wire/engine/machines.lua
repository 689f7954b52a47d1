-- Notes the clients of a machine, and counts those of all that have reported in the last 30 s.
local function clients_of_all(key, machine, clients)
  local time = redis.call('TIME')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  redis.call('HSET', key, machine, string.format('%.0f %s', now, clients))
  local reports, total = redis.call('HGETALL', key), 0
  for i = 1, #reports, 2 do
    local at, count = string.match(reports[i + 1], '^(%d+) (%d+)$')
    if at and now - tonumber(at) <= 30000 then
      total = total + tonumber(count)
    else
      redis.call('HDEL', key, reports[i])
    end
  end
  return total
end
