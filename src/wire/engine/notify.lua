-- Publishes the periodic notification, unless a machine has done so lately.
-- KEYS: the stream, the lease, the count of notifications, the machines. ARGV: the machine, its clients, for how long no other
-- is to do so (in ms), the epoch, how many entries are kept, the time.
-- Answers its id; nothing if there is none.
local total = clients_of_all(KEYS[4], ARGV[1], ARGV[2])
if redis.call('EXISTS', KEYS[1]) == 0 then return false end
if not redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[3]) then
  -- Held by a machine, or for ever by something else, which this is refused for.
  redis.call('GET', KEYS[2])
  return false
end
local number = redis.call('INCR', KEYS[3])
return redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[5], ARGV[4] .. '-*',
  'n', number, 'c', total, 'at', ARGV[6])
