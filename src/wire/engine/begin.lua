-- Begins an epoch, unless the newest is of the replication line that this master is on: each restart and each change of the
-- master is another line, and may have lost what was acknowledged last.
-- KEYS: the stream, the epoch. ARGV: the newest epoch that the machine knows of, and what a new one is beyond the time.
-- Answers the epoch, the newest id of the stream, and whether this server may evict either of them.
local line = string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)') or ''
local memory = redis.call('INFO', 'memory')
local policy, limit = string.match(memory, 'maxmemory_policy:(%S+)'), string.match(memory, 'maxmemory:(%d+)')
local evicts = (policy and string.find(policy, '^allkeys') and limit ~= '0') and policy or ''
local newest = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
local begun = redis.call('HMGET', KEYS[2], 'epoch', 'line')
local epoch, known = tonumber(begun[1] or 0), tonumber(ARGV[1])
local last = newest and tonumber(string.match(newest[1], '^%d+')) or 0
if last > 4294967295 then
  return redis.error_reply('ERR the stream holds ids that no machine has given: ' .. newest[1])
end
if newest and epoch > 0 and begun[2] == line and last <= epoch and known <= epoch then
  return { epoch, newest[1], evicts }
end
-- Two masters of which one has replaced the other may both begin one behind the same epoch.
epoch = math.max(epoch, known, last) + 1 + tonumber(ARGV[2]) % 1024
epoch = math.max(epoch, tonumber(redis.call('TIME')[1]) + tonumber(ARGV[2]))
local id = string.format('%.0f-0', epoch)
redis.call('XADD', KEYS[1], id, 'begin', line, 'after', newest and newest[1] or '')
redis.call('HSET', KEYS[2], 'epoch', string.format('%.0f', epoch), 'line', line)
return { epoch, id, evicts }
