// What Node's fetch publishes and its `ws` hears: a crowd whose fan-outs overlap, and clients that come back.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Client, withServer } from './client.mjs';
import { within } from './slackwater.mjs';

const QUIET = ['--notify-interval', '0'];

// Publishes objects in one batch. Their ids.
async function publish(server, objects, type = 'application/json') {
  const lines = objects.map((object) => JSON.stringify(object));
  const body = type === 'application/json' ? `[${lines}]` : lines.join('\n');
  const request = { method: 'POST', body, headers: { 'Content-Type': type } };
  const answer = await fetch(`http://127.0.0.1:${server.port}/publish`, request);
  const told = await answer.json();
  assert.equal(answer.status, 200, JSON.stringify(told));
  return told.ids;
}

const listen = (server, topics, options) =>
  Client.connect(server, options, `?${new URLSearchParams(topics.map((topic) => ['topic', topic]))}`);

async function heard(client, count) {
  const messages = [];
  while (messages.length < count) messages.push(await within(client.next(), `publication ${messages.length}`));
  return messages;
}

test('a crowd hears overlapping fan-outs once and in order', withServer(QUIET, async (server) => {
  // Three ways to listen, all with two filters that match some of it; more clients than are visited in one turn.
  const ways = [['a/1', 'b'], ['a/*', 'a/1'], ['*', 'b']];
  const matches = [/^(a\/1|b)$/, /^a\//, /./];
  const clients = await Promise.all(Array.from({ length: 300 }, (_, n) => listen(server, ways[n % 3])));
  await Promise.all(clients.map((client) => client.hear('welcome')));
  const topics = ['a/1', 'a/2', 'b', 'c'];
  const batches = Array.from({ length: 40 }, (_, batch) =>
    Array.from({ length: 5 }, (_, n) => ({ topic: topics[(batch * n + n) % 4], data: batch * 5 + n })));
  const published = [];
  for (const [n, batch] of batches.entries()) {
    const ids = await publish(server, batch, n % 2 ? 'application/json' : 'application/x-ndjson');
    published.push(...batch.map((object, at) => ({ ...object, id: ids[at] })));
  }
  await Promise.all(clients.map(async (client, n) => {
    const expected = published.filter(({ topic }) => matches[n % 3].test(topic));
    const told = await heard(client, expected.length);
    assert.deepEqual(told.map(({ topic, data, id }) => ({ topic, data, id })), expected);
    client.socket.send('is there more?');
    assert.equal((await within(client.next(), 'echo')).type, 'echo');
  }));
}));

test('publishers at once have one order, which all hear', withServer(QUIET, async (server) => {
  const clients = await Promise.all(Array.from({ length: 20 }, () => listen(server, ['p/*'])));
  await Promise.all(clients.map((client) => client.hear('welcome')));
  const PUBLISHERS = 8, EACH = 50;
  const order = new Map(); // data by id
  await Promise.all(Array.from({ length: PUBLISHERS }, async (_, publisher) => {
    for (let n = 0; n < EACH; n++) {
      const [id] = await publish(server, [{ topic: `p/${publisher}`, data: n }]);
      order.set(id, `${publisher} ${n}`);
    }
  }));
  const first = await heard(clients[0], PUBLISHERS * EACH);
  for (const { id, topic, data } of first) assert.equal(order.get(id), `${topic.slice(2)} ${data}`);
  assert.equal(new Set(first.map(({ id }) => id)).size, PUBLISHERS * EACH);
  for (let publisher = 0; publisher < PUBLISHERS; publisher++) {
    const own = first.filter(({ topic }) => topic === `p/${publisher}`).map(({ data }) => data);
    assert.deepEqual(own, Array.from({ length: EACH }, (_, n) => n));
  }
  for (const client of clients.slice(1)) assert.deepEqual(await heard(client, PUBLISHERS * EACH), first);
}));

test('a client that was cut off resumes by its Last-Event-ID', withServer(QUIET, async (server) => {
  const before = await listen(server, ['orders']);
  await before.hear('welcome');
  const [last] = await publish(server, [{ topic: 'orders', data: 'last' }]);
  assert.equal((await before.hear('notification')).id, last);
  before.socket.terminate();
  await publish(server, [{ topic: 'orders', data: 'missed' }, { topic: 'audit', data: 'not its own' }]);
  const after = await listen(server, ['orders'], { headers: { 'Last-Event-ID': last } });
  assert.equal((await within(after.next(), 'welcome')).resumed, true);
  await publish(server, [{ topic: 'orders', data: 'live' }]);
  assert.deepEqual((await heard(after, 2)).map(({ data }) => data), ['missed', 'live']);
}));
