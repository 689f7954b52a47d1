-- Begins an epoch, unless the newest is of the replication line that this master is on: each restart and each change of the
-- master is another line, and may have lost what was acknowledged last.
-- It says where something has been lost that a machine has heard, or has been told is published: that is so where the newest
-- publication that this machine knows of is not in the stream, though older entries are, or where these are gone, is beyond
-- what the newest epoch follows. Of each epoch that is said once.
-- Where the stream was put back in an earlier state, which is no other line, the epoch that was then is not published in any
-- longer, and nothing precedes the next one: its ids may have been given twice.
-- KEYS: the stream, the epoch. ARGV: the newest id that the machine knows of, what a new epoch is beyond the time, and whether it
-- has found the stream set back.
-- Answers the epoch, the newest id of the stream, and the policy by which this server may evict some of it.
local line = string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)') or ''
local memory = redis.call('INFO', 'memory')
local policy, limit = string.match(memory, 'maxmemory_policy:(%S+)'), string.match(memory, 'maxmemory:(%d+)')
local evicts = (policy ~= 'noeviction' and limit ~= '0') and policy or ''
local newest = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
local begun = redis.call('HMGET', KEYS[2], 'epoch', 'line', 'after', 'lossy')
local epoch = tonumber(begun[1] or 0)
local known, position = string.match(ARGV[1], '^(%d+)-(%d+)$')
known, position = tonumber(known), tonumber(position)
local kept = redis.call('XREVRANGE', KEYS[1], ARGV[1], '-', 'COUNT', 1)[1]
local is_gone = kept and kept[1] ~= ARGV[1]
if not kept and known < epoch then
  local after, last = string.match(begun[3] or '', '^(%d+)-(%d+)$')
  is_gone = after and (tonumber(after) < known or tonumber(after) == known and tonumber(last) < position)
end
local is_lost = is_gone and position > 0 and tonumber(begun[4] or 0) < known
local last = newest and tonumber(string.match(newest[1], '^%d+')) or 0
if last > 4294967295 then
  return redis.error_reply('ERR the stream holds ids that no machine has given: ' .. newest[1])
end
local is_set_back = ARGV[3] ~= '' and known == epoch
if newest and epoch > 0 and begun[2] == line and last <= epoch and known <= epoch and not is_lost and not is_set_back then
  return { epoch, newest[1], evicts }
end
-- Two masters of which one has replaced the other may both begin one behind the same epoch.
epoch = math.max(epoch, known, last) + 1 + tonumber(ARGV[2]) % 8192
epoch = math.max(epoch, tonumber(redis.call('TIME')[1]) + tonumber(ARGV[2]))
local id = string.format('%.0f-0', epoch)
local after = newest and not is_set_back and newest[1] or ''
redis.call('XADD', KEYS[1], id, 'begin', line, 'after', after, 'lost', is_lost and ARGV[1] or '')
redis.call('HSET', KEYS[2], 'epoch', string.format('%.0f', epoch), 'line', line, 'after', after)
if is_lost then redis.call('HSET', KEYS[2], 'lossy', known) end
return { epoch, id, evicts }
