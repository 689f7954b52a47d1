// The options of static/slackwater.js beside the surroundings, and the event for publications alone.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Slackwater, URL_OF_SERVER, connected, fakeSocketsInto } from './fakes.mjs';

const timers = { setTimeout: () => 0, clearTimeout: () => {} };

test('topics and the place may be given as options', () => {
  const sockets = [];
  const options = { WebSocket: fakeSocketsInto(sockets), timers, topics: ['a', 'b'], lastEventId: 'e-7' };
  new Slackwater(URL_OF_SERVER, options).connect();
  assert.equal(sockets[0].url, `${URL_OF_SERVER}?topic=a&topic=b&last_event_id=e-7`);
});

test('a signal that aborts disconnects for good', () => {
  const sockets = [];
  const user = new AbortController();
  const client = new Slackwater(URL_OF_SERVER, { WebSocket: fakeSocketsInto(sockets), timers, signal: user.signal });
  client.connect();
  user.abort();
  client.connect();
  assert.deepEqual([client.state, sockets.length, sockets[0].closedWith], ['idle', 1, 1000]);
});

test('a platform without WebSocket is told what to give', (t) => {
  const own = globalThis.WebSocket;
  globalThis.WebSocket = undefined;
  t.after(() => (globalThis.WebSocket = own));
  assert.throws(() => new Slackwater(URL_OF_SERVER).connect(), /new Slackwater\(url, \{ WebSocket \}\)/);
});

test('a publication is an event of its own, and heard once', () => {
  const { client, hears } = connected({ last_event_id: 'e-1' });
  const ids = [];
  client.addEventListener('notification', ({ detail }) => ids.push(detail.id));
  hears('e-2', 'e-2', 'e-3');
  assert.deepEqual(ids, ['e-2', 'e-3']);
});
