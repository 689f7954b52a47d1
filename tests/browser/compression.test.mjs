// Compression in Chromium with the real server: whether it was agreed on, as the page says it, and what is published with it.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NOBODY_LISTENS, WORK, inState, isAccessible, isWithin, openPage, rawMessage, rows, send } from './page.mjs';
import { Server } from './server.mjs';

const QUIET = ['--notify-interval', '0'];
const COMPRESSING = [...QUIET, '--ws-per-message-deflate'];

/** So long that it is worth compressing, and different each time. */
function order(number) {
  return { number, items: Array.from({ length: 40 }, (_, nth) => ({ item: (nth * 7919 * number) % 1000, state: 'paid' })) };
}

/** The numbers of the orders that the page has shown, in their order. */
async function numbers(page) {
  const texts = await page.locator('.row[data-type="notification"] .text').allTextContents();
  return texts.map((text) => JSON.parse(text).number);
}

function from1To(last) {
  return Array.from({ length: last }, (_, nth) => nth + 1);
}

/** How many messages a server has compressed. */
async function compressions({ address }) {
  const text = await (await fetch(`${address}/metrics`)).text();
  return Number(text.match(/^slackwater_messages_compressed_total (\d+)$/m)[1]);
}

for (const colorScheme of ['light', 'dark']) {
  for (const [flags, words, name] of [[COMPRESSING, 'On', 'on'], [QUIET, 'Off', 'off']]) {
    test(`the page says that compression is ${name}, in ${colorScheme}, and takes it back with the connection`, async (t) => {
      const { page } = await openPage(t, await Server.start(t, 0, flags), { colorScheme });
      const said = page.getByText('Compression', { exact: true }).locator('xpath=following-sibling::dd');
      await rows(page, 'welcome').waitFor();
      assert.equal(await said.innerText(), words);
      await isAccessible(page);
      for (const [size, viewport] of [['wide', { width: 1280, height: 800 }], ['narrow', { width: 320, height: 780 }]]) {
        await page.setViewportSize(viewport);
        await isWithin(page, viewport.width);
        await page.screenshot({ path: `${WORK}compression-${name}-${colorScheme}-${size}.png` });
      }
      await page.getByRole('button', { name: 'Disconnect' }).click();
      await inState(page, 'idle');
      assert.equal(await said.innerText(), '–');
    });
  }
}

test('what the page sends is compressed by the browser, and is answered', async (t) => {
  const { page } = await openPage(t, await Server.start(t, 0, COMPRESSING));
  const text = 'a slack water '.repeat(1000);
  await send(page, text);
  const row = rows(page, 'echo', 'Server received: a slack water');
  await row.waitFor();
  assert.equal((await rawMessage(row)).message, `Server received: ${text}`);
});

test('two pages hear in order what was compressed once for both of them', async (t) => {
  const server = await Server.start(t, 0, COMPRESSING);
  const pages = [await openPage(t, server), await openPage(t, server)];
  for (const { page } of pages) await rows(page, 'welcome').waitFor();
  for (const number of from1To(20)) await server.publish('notifications', order(number));
  await server.publish('notifications', { number: 21 }); // Too short for that.
  for (const { page } of pages) {
    await rows(page, 'notification', '"number":21').waitFor();
    assert.deepEqual(await numbers(page), from1To(21));
    assert.deepEqual((await rawMessage(rows(page, 'notification').first())).data, order(1));
  }
  assert.equal(await compressions(server), 20);
});

test('a page hears what is compressed once and in order through a redeploy', async (t) => {
  const stateFile = `${WORK}compression-${process.pid}.state`;
  const flags = [...COMPRESSING, '--state-file', stateFile, '--drain-spread', '1'];
  const old = await Server.start(t, 0, flags);
  const { page } = await openPage(t, old, { expected: NOBODY_LISTENS });
  await rows(page, 'welcome').waitFor();
  for (const number of from1To(5)) await old.publish('notifications', order(number));
  old.signal('SIGTERM');
  await old.line(/Graceful shutdown initiated/);
  const successor = await Server.start(t, old.port, flags);
  for (const number of [6, 7]) await successor.publish('notifications', order(number));
  await rows(page, 'moved', 'Moved to the new server: nothing is lost').waitFor();
  for (const number of [8, 9]) await successor.publish('notifications', order(number));
  await rows(page, 'notification', '"number": 9').waitFor();
  assert.deepEqual(await numbers(page), from1To(9));
  assert.equal(await page.locator('#compression').innerText(), 'On');
  assert.equal(await compressions(successor), 4);
  await old.line(/Server shutdown complete/);
});
