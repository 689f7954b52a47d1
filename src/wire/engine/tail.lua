-- KEYS: the stream. Answers its newest id; nothing if it holds none.
local newest = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
return newest and newest[1]
