// static/slackwater.js with the real server, which asks for new connections and is found again itself: over sockets of Node.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Slackwater } from './fakes.mjs';
import { Server, atEnd } from './server.mjs';

const { WebSocket } = createRequire(fileURLToPath(new URL('../../target/browser/', import.meta.url)))('ws');

/** A client of a server with these options that is welcome, and what it lives to see. */
async function connected(t, ...options) {
  const server = await Server.start(t, 0, ['--notify-interval', '0', ...options]);
  const client = new Slackwater(`${server.address}/ws?topic=orders`, { WebSocket });
  atEnd(t, () => client.disconnect());
  const seen = { heard: [], reasons: [], events: [], ids: new Set() };
  for (const type of ['statechange', 'moved', 'close']) {
    client.addEventListener(type, ({ detail }) => seen.events.push(detail?.state ?? type));
  }
  client.addEventListener('resume', ({ detail }) => assert.equal(detail.resumed, true));
  client.addEventListener('message', ({ detail: { message } }) => {
    if (message.type === 'notification') seen.heard.push(message.data);
    if (message.type === 'reconnect') seen.reasons.push(message.reason);
    if (message.type === 'welcome') seen.ids.add(message.connection_id);
  });
  const opened = once(client, 'message');
  client.connect();
  await opened;
  return { server, client, seen };
}

/** Publishes without a pause until this holds, and waits until the last one has been heard; how many there were. */
async function publishUntil(server, seen, holds) {
  let count = 0;
  while (!holds()) await server.publish('orders', (count += 1));
  await server.publish('orders', (count += 1));
  while (seen.heard.at(-1) !== count) await new Promise((resolve) => setImmediate(resolve));
  return count;
}

test('a client whose connection is old moves to the same server, and hears everything once and in order', async (t) => {
  const { server, client, seen } = await connected(t, '--max-connection-age', '1');
  const moves = () => seen.events.filter((event) => event === 'moved').length;
  const count = await publishUntil(server, seen, () => moves() === 2);
  assert.deepEqual(seen.heard, Array.from({ length: count }, (_, nth) => nth + 1));
  assert.deepEqual([seen.events, client.state], [['connecting', 'open', 'moved', 'moved'], 'open']);
  assert.deepEqual([new Set(seen.reasons), seen.ids.size], [new Set(['connection_age']), 3]);
});

test('a client that is closed at its moment, as it begins to move, hears everything once and in order', async (t) => {
  const { server, seen } = await connected(t, '--max-connection-age', '1', '--drain-close-after', '0');
  const count = await publishUntil(server, seen, () => seen.ids.size === 2);
  assert.deepEqual(seen.heard, Array.from({ length: count }, (_, nth) => nth + 1));
});
