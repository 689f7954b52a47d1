// Compression in Chromium with the real server: whether it was agreed on, as the page says it, and what the browser
// sends by it.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WORK, inState, isAccessible, isWithin, openPage, rawMessage, rows, send } from './page.mjs';
import { Server } from './server.mjs';

const QUIET = ['--notify-interval', '0'];
const COMPRESSING = [...QUIET, '--ws-per-message-deflate'];

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
