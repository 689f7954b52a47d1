// The package, installed from its tarball, with the real server. Run by tests/client/run in the project that has installed it.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Slackwater } from 'slackwater';
import * as undici from 'undici';
import * as ws from 'ws';
import { Network } from './between.mjs';
import { Server, atEnd } from './server.mjs';
import { SECRET, granting } from './tokens.mjs';

/** What is given on Node 20, and what Node itself has from version 22 on. */
const SOCKETS = { ws: ws.WebSocket, undici: undici.WebSocket };

/** A client whose place is known. */
async function connected(t, address, options) {
  const client = new Slackwater(`${address}/ws`, { topics: ['tides'], ...options });
  atEnd(t, () => client.disconnect());
  const welcomed = once(client, 'message');
  client.connect();
  await welcomed;
  return client;
}

/** As the platform has it from Node 22 on, or as Node 20 lacks it. */
function platform(t, implementation) {
  const own = Object.getOwnPropertyDescriptor(globalThis, 'WebSocket');
  Object.defineProperty(globalThis, 'WebSocket', { value: implementation, configurable: true, writable: true });
  t.after(() => (own ? Object.defineProperty(globalThis, 'WebSocket', own) : delete globalThis.WebSocket));
}

/** So many of what the subscription hears. */
async function next(subscription, count) {
  const heard = [];
  for await (const { data } of subscription) if (heard.push(data) === count) return heard;
}

test('where the platform has a WebSocket none need be given', async (t) => {
  platform(t, undici.WebSocket);
  const server = await Server.start(t);
  const client = await connected(t, server.address);
  const tides = await client.subscribe('tides');
  await server.publish('tides', 7);
  assert.deepEqual(await next(tides, 1), [7]);
});

test('where the platform has none, the error says what to give', (t) => {
  platform(t, undefined);
  const client = new Slackwater('ws://127.0.0.1:1/ws');
  const error = { name: 'TypeError', message: /no WebSocket.*22.*new Slackwater\(url, \{ WebSocket \}\)/ };
  assert.throws(() => client.connect(), error);
  assert.equal(client.state, 'idle');
});

for (const [name, WebSocket] of Object.entries(SOCKETS)) {
  test(`${name}: after a cut a subscription is brought what it missed, once and in order`, async (t) => {
    const server = await Server.start(t);
    const network = await Network.start(t, server);
    const client = await connected(t, network.address, { WebSocket });
    const tides = await client.subscribe('tides');
    await server.publish('tides', 1);
    network.cut();
    await once(client, 'close');
    for (const data of [2, 3]) await server.publish('tides', data);
    const [{ detail }] = await once(client, 'resume');
    await server.publish('tides', 4);
    assert.equal(detail.resumed, true);
    assert.deepEqual(await next(tides, 4), [1, 2, 3, 4]);
  });

  test(`${name}: at a drain a client moves to the successor, and a subscription goes on`, async (t) => {
    const directory = mkdtempSync(join(tmpdir(), 'slackwater-'));
    t.after(() => rmSync(directory, { recursive: true }));
    const options = ['--state-file', join(directory, 'state'), '--drain-spread', '0', '--notify-interval', '0'];
    const old = await Server.start(t, 0, options);
    const client = await connected(t, old.address, { WebSocket });
    const states = [];
    client.addEventListener('statechange', ({ detail }) => states.push(detail.state));
    const tides = await client.subscribe('tides');
    await old.publish('tides', 1);
    const [moved, resumed] = [once(client, 'moved'), once(client, 'resume')];
    old.signal('SIGTERM');
    await old.line(/Waiting for 1 connection/);
    const successor = await Server.start(t, old.port, options);
    await Promise.all([moved, resumed]);
    await old.end('SIGTERM');
    await successor.publish('tides', 2);
    assert.deepEqual([await next(tides, 2), states], [[1, 2], []]);
  });

  test(`${name}: getToken is asked again in time, and the connection lives on`, async (t) => {
    const server = await Server.start(t, 0, ['--auth-secret', SECRET]);
    const given = [];
    const getToken = () => given[given.push(granting({ seconds: 3, subscribe: ['tides'], publish: ['tides'] })) - 1];
    const client = await connected(t, server.address, { WebSocket, getToken });
    const first = client.tokenExpiresAt;
    const ids = new Set();
    client.addEventListener('message', ({ detail }) => detail.message.type === 'welcome' && ids.add(detail.message.connection_id));
    await new Promise((resolve) => {
      client.addEventListener('message', ({ detail }) => detail.message.type === 'refreshed' && resolve());
    });
    assert.deepEqual([given.length, ids.size, client.state], [2, 0, 'open']);
    assert.ok(client.tokenExpiresAt > first);
    await assert.rejects(client.subscribe('secret'), { code: 'forbidden' });
    const tides = await client.subscribe('tides');
    assert.equal(typeof (await client.publish('tides', 7)), 'string');
    assert.deepEqual(await next(tides, 1), [7]);
  });

  test(`${name}: a loop over a pattern hears what is below it, and leaves when it is left`, async (t) => {
    const server = await Server.start(t);
    const client = await connected(t, server.address, { WebSocket });
    const orders = await client.subscribe('orders/*');
    for (const topic of ['orders/7', 'tides', 'orders/8/paid']) await server.publish(topic, topic);
    assert.deepEqual(await next(orders, 2), ['orders/7', 'orders/8/paid']);
    assert.deepEqual(client.topics, ['tides']);
  });
}
