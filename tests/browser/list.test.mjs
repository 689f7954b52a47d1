// The list of messages on the page: what is kept and built of many, and where its reader is left.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openScripted, rows } from './page.mjs';

test('the newest 500 rows are kept and the page says what it dropped', async (t) => {
  const { page, say } = await openScripted(t);
  for (let number = 1; number <= 620; number += 1) say({ type: 'notification', message: `number ${number};` });
  await rows(page, 'notification', 'number 620;').waitFor();
  assert.equal(await page.locator('.row').count(), 500);
  assert.match(await page.locator('.row').first().textContent(), /number 121;/);
  assert.match(await page.locator('#dropped').innerText(), /Older rows dropped: 120\./);
});

test('ten thousand messages at once are built as the 500 that are kept, some in each frame, and the others are counted', async (t) => {
  const { page } = await openScripted(t);
  const { built, frames } = await page.evaluate(async () => {
    const { addRow, received } = await import('./feed.js');
    const rows = document.getElementById('rows');
    const seen = { built: 0, frames: 0 };
    const isBuilt = new Promise((resolve) => {
      new MutationObserver((changes) => {
        seen.built += changes.reduce((sum, { addedNodes }) => sum + addedNodes.length, 0);
        seen.frames += 1;
        if (rows.lastElementChild.textContent.includes('number 10000;')) resolve(seen);
      }).observe(rows, { childList: true });
    });
    for (let number = 1; number <= 10_000; number += 1) {
      const message = { type: 'notification', topic: 'tides', id: `${number}`, data: `number ${number};` };
      addRow(received(message, JSON.stringify(message)));
    }
    return isBuilt;
  });
  assert.deepEqual([built, frames], [500, 5]);
  // Most of what a burst would cost is laying out what nobody sees.
  const laidOut = await page.locator('.row').evaluateAll((rows) => {
    return rows.filter(({ firstElementChild: part }) => part.checkVisibility({ contentVisibilityAuto: true })).length;
  });
  assert.ok(laidOut > 5 && laidOut < 100, `${laidOut} rows are laid out`);
  assert.match(await page.locator('.row').first().textContent(), /number 9501;/);
  assert.match(await page.locator('#dropped').innerText(), /Older rows dropped: 9,500\./);
});

test('the list follows the newest message only for a reader who is at the end', async (t) => {
  const { page, say } = await openScripted(t);
  const { atEnd } = listOf(page, say);
  for (let number = 1; number <= 60; number += 1) say({ type: 'notification', message: `number ${number};` });
  await rows(page, 'notification', 'number 60;').waitFor();
  await atEnd();

  await page.locator('#log').evaluate((log) => (log.scrollTop = 100));
  for (const number of [61, 62]) say({ type: 'notification', message: `number ${number};` });
  await page.getByRole('button', { name: '2 new' }).waitFor();
  assert.equal(await page.locator('#log').evaluate((log) => log.scrollTop), 100);

  await page.getByRole('button', { name: '2 new' }).click();
  await atEnd();
  await page.getByRole('button', { name: '2 new' }).waitFor({ state: 'hidden' });
});

/** Higher than a row that has not been seen is taken to be. */
const HIGH = { lines: Array.from({ length: 20 }, (_, line) => `the words of line ${line}`) };

test('the end is where the last row ends, however high the rows turn out to be that nobody has seen', async (t) => {
  const { page, say } = await openScripted(t);
  const { sayMany, scrollTo, atEnd } = listOf(page, say);
  await sayMany(1, 30);
  await atEnd();
  for (const go of [
    () => page.getByRole('button', { name: '30 new' }).click(),
    () => page.locator('#log').press('End'),
  ]) {
    await scrollTo(200);
    await sayMany(31, 60);
    await page.getByRole('button', { name: '30 new' }).waitFor();
    await go();
    await atEnd();
    await sayMany(61, 62);
    await atEnd();
  }
});

test('whoever is at the end stays there when the window changes while messages arrive', async (t) => {
  const { page, say } = await openScripted(t);
  const { sayMany, atEnd } = listOf(page, say);
  await sayMany(1, 30);
  await atEnd();
  for (const [width, height] of [[1200, 500], [700, 500], [1200, 900], [390, 700]]) {
    await Promise.all([page.setViewportSize({ width, height }), sayMany(1, 30)]);
    await atEnd();
    assert.equal(await page.locator('#newest').isHidden(), true);
  }
});

test('a reader whose rows are all dropped at once goes on with the oldest that is kept', async (t) => {
  const { page, say } = await openScripted(t);
  const { sayMany, scrollTo } = listOf(page, say);
  await sayMany(1, 200, {});
  await scrollTo(6_500);
  await sayMany(201, 1_000, {});
  await page.getByRole('button', { name: '800 new' }).waitFor();
  assert.equal(await page.locator('#log').evaluate((log) => log.scrollTop), 0);
});

test('the last row is opened in sight, and any other where it is', async (t) => {
  const { page, say } = await openScripted(t);
  const { sayMany, atEnd } = listOf(page, say);
  const open = (row) => row.getByText('JSON', { exact: true }).click();
  await sayMany(1, 30, {});
  await atEnd();
  await open(page.locator('.row').last());
  await page.locator('.row').last().locator('pre').waitFor();
  await atEnd();

  await sayMany(31, 33, {});
  await atEnd();
  const row = rows(page, 'notification', '31;');
  const { y } = await row.boundingBox();
  await open(row);
  await row.locator('pre').waitFor();
  await sayMany(34, 35, {});
  await page.getByRole('button', { name: '2 new' }).waitFor();
  assert.ok(Math.abs((await row.boundingBox()).y - y) < 2, 'it has moved');
});

/** The list of a page: what a test makes of it, and where its reader is. */
function listOf(page, say) {
  const log = page.locator('#log');
  return {
    async sayMany(first, last, data = HIGH) {
      for (let number = first; number <= last; number += 1) say({ type: 'notification', data: { number: `${number};`, ...data } });
      await page.waitForFunction((words) => document.getElementById('rows').lastElementChild?.textContent.includes(words), `"${last};"`);
    },
    scrollTo: (top) => log.evaluate((it, to) => new Promise((resolve) => {
      it.addEventListener('scroll', resolve, { once: true });
      it.scrollTop = to;
    }), top),
    atEnd: () => page.waitForFunction(() => {
      const log = document.getElementById('log');
      return log.scrollTop > 0 && log.scrollHeight - log.scrollTop - log.clientHeight < 2;
    }),
  };
}
