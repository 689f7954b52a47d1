// The recipe of client/js/examples for one connection of all tabs, in Chromium with the real server: pages of one browser, whose
// worker speaks with the server through a bridge that counts connections and keeps what they say.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import { WORK, openPage } from './page.mjs';
import { Server, atEnd } from './server.mjs';

const { WebSocket, WebSocketServer } = createRequire(WORK)('ws');

const FILES = {
  '/slackwater.js': '../../static/slackwater.js',
  '/shared.js': '../../client/js/examples/shared.js',
  '/shared-worker.js': '../../client/js/examples/shared-worker.js',
};

/** Serves the recipe, and leads its connections to the server. */
async function bridge(t, server) {
  const pages = createServer(({ url }, response) => {
    if (url === '/') return response.writeHead(200, { 'Content-Type': 'text/html' }).end('<!doctype html><title>A tab</title>');
    if (!Object.hasOwn(FILES, url)) return response.writeHead(204).end();
    response.writeHead(200, { 'Content-Type': 'text/javascript' }).end(readFileSync(new URL(FILES[url], import.meta.url)));
  });
  const through = { connections: 0, commands: [] };
  new WebSocketServer({ server: pages, path: '/ws' }).on('connection', (near, { url }) => {
    through.connections += 1;
    const far = new WebSocket(`${server.address.replace('http', 'ws')}${url}`);
    const opened = once(far, 'open');
    near.on('message', (text) => {
      if (text.length > 0) through.commands.push(Object.values(JSON.parse(text)).join(' '));
      opened.then(() => far.send(String(text)));
    });
    far.on('message', (text) => near.send(String(text)));
    near.on('close', () => far.close());
    far.on('close', () => near.close());
  });
  pages.listen(0, '127.0.0.1');
  await once(pages, 'listening');
  atEnd(t, () => pages.close() && pages.closeAllConnections());
  through.address = `http://127.0.0.1:${pages.address().port}`;
  return through;
}

/** Has a tab listen to a topic, and waits until the server has agreed; the tab keeps what it hears. */
function listen(tab, topic) {
  return tab.evaluate(async (topic) => {
    const { listen, shared } = await import('/shared.js');
    globalThis.heard ??= [];
    const answered = new Promise((resolve) => {
      for (const type of ['subscribed', 'refused']) shared.addEventListener(type, (event) => event.topic === topic && resolve(type));
    });
    globalThis.stop = listen(topic, ({ data }) => heard.push(data));
    return answered;
  }, topic);
}

function hears(tab, ...expected) {
  return tab.waitForFunction((expected) => globalThis.heard.join() === expected, expected.join());
}

async function until(holds) {
  while (!holds()) await new Promise((resolve) => setImmediate(resolve));
}

test('two tabs share one connection, each hears what it listens to, and a tab that is gone is forgotten', async (t) => {
  const server = await Server.start(t, 0, ['--notify-interval', '0']);
  const through = await bridge(t, server);
  const { page: first } = await openPage(t, through);
  const second = await first.context().newPage();
  await second.goto(through.address);

  assert.deepEqual([await listen(first, 'tides'), await listen(first, 'orders/*')], ['subscribed', 'subscribed']);
  assert.equal(await listen(second, 'tides'), 'subscribed');
  for (const [topic, data] of [['tides', 1], ['orders/7', 2], ['tides', 3]]) await server.publish(topic, data);
  await hears(first, 1, 2, 3);
  await hears(second, 1, 3);
  assert.equal(through.connections, 1);

  await first.close();
  await until(() => through.commands.includes('unsubscribe orders/*'));
  await server.publish('tides', 4);
  await hears(second, 1, 3, 4);
  await second.evaluate(() => stop());
  await until(() => through.commands.includes('unsubscribe tides'));
  assert.deepEqual([through.connections, through.commands.length], [1, 4]);
});

test('a tab that stops listening and at once listens anew hears the topic', async (t) => {
  const server = await Server.start(t, 0, ['--notify-interval', '0']);
  const through = await bridge(t, server);
  const { page } = await openPage(t, through);
  await page.evaluate(async () => {
    const { listen } = await import('/shared.js');
    listen('tides', () => {})();
  });
  assert.equal(await listen(page, 'tides'), 'subscribed');
  await server.publish('tides', 1);
  await hears(page, 1);
});

test('a topic that the server refuses is told to the tab that asked for it', async (t) => {
  const server = await Server.start(t, 0, ['--notify-interval', '0', '--auth-secret', '0'.repeat(32), '--anonymous-topic', 'notifications']);
  const through = await bridge(t, server);
  const { page } = await openPage(t, through);
  assert.equal(await listen(page, 'secret'), 'refused');
});
