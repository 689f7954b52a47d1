// A server that hands over to another process, as Chromium lives it: the page and a stream keep their connections, and hear
// everything once and in order.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inState, openPage, rows, send } from './page.mjs';
import { Server } from './server.mjs';

const QUIET = ['--notify-interval', '0', '--ws-per-message-deflate'];
const TIMES = 3;

function from1To(last) {
  return Array.from({ length: last }, (_, nth) => nth + 1);
}

for (const workers of ['1', '2']) {
  test(`the page notices nothing of three hand-overs of ${workers} processes: connection and state are the same, and everything is there`, async (t) => {
    const server = await Server.start(t, 0, [...QUIET, '--workers', workers]);
    const { page } = await openPage(t, server);
    await inState(page, 'open');
    const id = await page.locator('#connection-id').innerText();
    await page.evaluate(() => {
      window.changes = [];
      const note = () => window.changes.push(document.body.dataset.state);
      new MutationObserver(note).observe(document.body, { attributes: true, attributeFilter: ['data-state'] });
    });
    for (const time of from1To(TIMES)) {
      await server.publish('notifications', `${2 * time - 1};`);
      await server.handOver();
      await server.publish('notifications', `${2 * time};`);
      await send(page, `after ${time}`);
      await rows(page, 'echo', `after ${time}`).waitFor();
    }
    await rows(page, 'notification', `${2 * TIMES};`).waitFor();
    const heard = await rows(page, 'notification').locator('.body').allTextContents();
    const numbers = heard.map((text) => Number(text.match(/(\d+);/)[1])).sort((a, b) => a - b);
    assert.deepEqual(numbers, from1To(2 * TIMES));
    assert.equal(await page.locator('#connection-id').innerText(), id);
    assert.deepEqual(await page.evaluate(() => window.changes), []);
    assert.equal(await page.locator('body').getAttribute('data-state'), 'open');
    assert.equal(page.sockets.length, 1);
  });
}

test('an EventSource notices nothing of three hand-overs: it stays open, and hears everything once and in order', async (t) => {
  const server = await Server.start(t, 0, QUIET);
  const { page } = await openPage(t, server, { path: '/healthz', expected: /favicon|status of 404/ });
  await page.evaluate(async () => {
    const source = new EventSource('/events?topic=orders');
    Object.assign(window, { source, told: [], troubles: [] });
    source.onmessage = ({ data }) => window.told.push(JSON.parse(data).data);
    for (const type of ['error', 'gap', 'reconnect']) source.addEventListener(type, () => window.troubles.push(type));
    await new Promise((resolve) => (source.onopen = resolve));
    source.onopen = () => window.troubles.push('open');
  });
  for (const time of from1To(TIMES)) {
    await server.publish('orders', 2 * time - 1);
    await server.handOver();
    await server.publish('orders', 2 * time);
  }
  await page.waitForFunction((count) => window.told.length >= count, 2 * TIMES);
  assert.deepEqual(await page.evaluate(() => [window.told, window.troubles, window.source.readyState]), [from1To(2 * TIMES), [], 1]);
});
