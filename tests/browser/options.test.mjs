// The options of static/slackwater.js beside the surroundings, and the event for publications alone.

import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { test } from 'node:test';
import { Slackwater, URL_OF_SERVER, connected, surroundings } from './fakes.mjs';

test('topics and the place may be given as options', () => {
  const { client, sockets } = surroundings({ topics: ['a', 'b'], lastEventId: 'e-7' });
  client.connect();
  assert.equal(sockets[0].url, `${URL_OF_SERVER}?topic=a&topic=b&last_event_id=e-7`);
});

test('what is no topic is refused at once, and a single one is not taken for its letters', () => {
  const { client } = connected();
  for (const none of [undefined, null, 7, ['a']]) assert.throws(() => client.subscribe(none), TypeError);
  for (const topics of [[7], {}, 7]) assert.throws(() => new Slackwater(URL_OF_SERVER, { topics }), TypeError);
  assert.deepEqual(surroundings({ topics: 'tides' }).client.topics, ['tides']);
});

test('a signal that aborts disconnects for good', () => {
  const user = new AbortController();
  const { client, sockets } = surroundings({ signal: user.signal });
  client.connect();
  user.abort();
  client.connect();
  assert.deepEqual([client.state, sockets.length, sockets[0].closedWith], ['idle', 1, 1000]);
});

test('a signal holds no client that has been disconnected, and ends one that has come back', () => {
  const user = new AbortController();
  const held = () => getEventListeners(user.signal, 'abort').length;
  const { client } = surroundings({ signal: user.signal });
  client.connect();
  assert.equal(held(), 1);
  client.disconnect();
  assert.equal(held(), 0);
  client.connect();
  user.abort();
  assert.equal(client.state, 'idle');
});

test('a platform without WebSocket is told what to give', (t) => {
  const own = globalThis.WebSocket;
  globalThis.WebSocket = undefined;
  t.after(() => (globalThis.WebSocket = own));
  assert.throws(() => new Slackwater(URL_OF_SERVER).connect(), /\{ WebSocket \}/);
});

test('a publication is an event of its own, and heard once', () => {
  const { client, hears } = connected({ last_event_id: 'e-1' });
  const ids = [];
  client.addEventListener('notification', ({ detail }) => ids.push(detail.id));
  hears('e-2', 'e-2', 'e-3');
  assert.deepEqual(ids, ['e-2', 'e-3']);
});

test('getToken is asked before each connection, and goes before token', async () => {
  let given = 0;
  const { client, sockets } = surroundings({ token: 'one', getToken: () => `asked-${(given += 1)}` });
  for (const nth of [1, 2]) {
    client.connect();
    await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(sockets.at(-1).protocols, ['slackwater', `slackwater.token.asked-${nth}`]);
    client.disconnect();
  }
});

test('a topic of the options is beside those of the address, and the place goes before that of the address', () => {
  const url = `${URL_OF_SERVER}?topic=a&last_event_id=e-7`;
  const { client, sockets } = surroundings({ url, topics: new Set(['b']), lastEventId: 'e-9' });
  client.connect();
  assert.equal(sockets[0].url, `${URL_OF_SERVER}?topic=a&topic=b&last_event_id=e-9`);
});

test('a signal that has aborted before keeps the client from connecting', () => {
  const { client, sockets } = surroundings({ signal: AbortSignal.abort() });
  client.connect();
  assert.deepEqual([client.state, sockets.length], ['idle', 0]);
});
