-- KEYS: the stream, the epoch, the machines. ARGV: the machine, its clients.
-- Answers the newest epoch, or 0 if that is of another replication line, the newest id of the stream, which may hold none, and
-- why the machine could not be noted, if so; nothing if the stream is gone.
local is_noted, why = pcall(clients_of_all, KEYS[3], ARGV[1], ARGV[2])
if redis.call('EXISTS', KEYS[1]) == 0 then return false end
local begun = redis.call('HMGET', KEYS[2], 'epoch', 'line')
local line = string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)')
local newest = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
return { begun[2] == line and tonumber(begun[1] or 0) or 0, newest and newest[1] or '', is_noted and '' or why.err or why }
