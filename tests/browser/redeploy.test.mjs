// A redeploy as the reader of the page lives through it: the old server leaves and hints, its successor listens at the same
// address, and the list goes on. Servers of the test's own say what happens when; the page and its sockets are real.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { History, LeavingServer } from './leaving.mjs';
import { NOBODY_LISTENS, WORK, inState, isWithin, openPage, rows, send, stopTheClock } from './page.mjs';

const SLOT_MS = 17_250;
const TIMES = { after_ms: SLOT_MS, deadline_ms: 1_800_000 };

test('a page that moves sees no gap: the state stays, and everything is heard once, in order', async (t) => {
  const { history, old, page } = await openedPage(t);
  const changes = await recordStates(page);
  await page.getByLabel('Send a message').fill('half a sent');
  history.publish('one');
  old.hint(TIMES);
  await rows(page, 'reconnect', 'The server restarts; moving in 17 s').waitFor();
  await page.locator('#countdown', { hasText: /^moving in 1\d s$/ }).waitFor();

  const successor = await LeavingServer.start(t, history, { before: old, welcomes: false });
  history.publish('two');
  await page.clock.fastForward(SLOT_MS);
  await successor.arrival();
  history.publish('three', 'four');
  await rows(page, 'notification', 'four').waitFor();
  successor.welcome();
  await rows(page, 'moved', 'Moved to the new server: nothing is lost').waitFor();
  history.publish('five', 'six');
  await rows(page, 'notification', 'six').waitFor();

  assert.equal(await old.clients[0].closed, 1000);
  assert.deepEqual([successor.clients.length, successor.clients[0].from], [1, 'e-2']);
  assert.equal(await page.locator('#connection-id').innerText(), successor.clients[0].id);
  assert.deepEqual(await heard(page), ['one', 'two', 'three', 'four', 'five', 'six']);
  assert.deepEqual(await changes(), []);
  assert.match(await page.locator('#note').innerText(), /^Moved at .+: nothing is lost\.$/);
  assert.equal(await page.locator('#countdown').innerText(), '');

  await page.keyboard.type('ence');
  await page.keyboard.press('Enter');
  await rows(page, 'echo', 'half a sentence').waitFor();
});

test('what is said of a move is not said again of the reconnect that follows', async (t) => {
  const { history, old, page } = await openedPage(t);
  await LeavingServer.start(t, history, { before: old });
  old.hint({ after_ms: 0 });
  await rows(page, 'moved', 'nothing is lost').waitFor();
  await page.getByRole('button', { name: 'Disconnect' }).click();
  history.publish('missed');
  await page.getByRole('button', { name: 'Connect', exact: true }).click();
  await rows(page, 'resumed', 'Resumed: 1 missed message arrived').waitFor();
  assert.equal(await rows(page, 'moved', 'Moved to the new server: nothing is lost').count(), 1);
});

test('many publications while the page moves are heard once, in order', async (t) => {
  const { history, old, page } = await openedPage(t);
  const texts = Array.from({ length: 300 }, (_, number) => `${number};`);
  const publishing = publishSlowly(history, texts);
  const second = await LeavingServer.start(t, history, { before: old });
  old.hint({ after_ms: 200 });
  await rows(page, 'moved').waitFor();
  await LeavingServer.start(t, history, { before: second });
  second.hint({ after_ms: 300 });
  await rows(page, 'moved').nth(1).waitFor();
  await publishing;
  await rows(page, 'notification', texts.at(-1)).last().waitFor();
  assert.deepEqual(await heard(page), texts);
});

test('without a successor the page stays, and says so; when the old server ends, it waits and resumes', async (t) => {
  const { history, old, page } = await openedPage(t, { expected: NOBODY_LISTENS });
  const changes = await recordStates(page);
  old.stopListening();
  old.hint({ after_ms: 0, deadline_ms: 1_800_000 });
  await rows(page, 'reconnect', 'The server restarts; moving now').waitFor();
  await page.getByText('No new server yet; staying on this one.').waitFor();
  history.publish('still heard');
  await rows(page, 'notification', 'still heard').waitFor();
  await send(page, 'still answered?');
  await rows(page, 'echo', 'still answered?').waitFor();
  assert.deepEqual(await changes(), []);

  old.end();
  await rows(page, 'connection', 'The server is restarting').waitFor();
  history.publish('missed');
  await LeavingServer.start(t, history, { before: old });
  await rows(page, 'resumed', 'Resumed: 1 missed message arrived').waitFor();
  await inState(page, 'open');
  assert.deepEqual(await heard(page), ['still heard', 'missed']);
  assert.equal(await rows(page, 'moved').count(), 0);
});

test('a successor that comes late is moved to in the end', async (t) => {
  const { history, old, page } = await openedPage(t, { expected: NOBODY_LISTENS });
  const changes = await recordStates(page);
  old.stopListening();
  old.hint({ after_ms: 0 });
  await page.getByText('No new server yet; staying on this one.').waitFor();
  history.publish('in between');
  await LeavingServer.start(t, history, { before: old });
  await rows(page, 'moved', 'nothing is lost').waitFor();
  history.publish('after');
  await rows(page, 'notification', 'after').waitFor();
  assert.deepEqual([await heard(page), await changes()], [['in between', 'after'], []]);
});

test('a successor without the history takes over, and the page says that there may be a gap', async (t) => {
  const { old, page } = await openedPage(t);
  const changes = await recordStates(page);
  const another = new History('f');
  await LeavingServer.start(t, another, { before: old });
  await stopTheClock(page);
  await hintAndMove(old, page);
  await rows(page, 'gap', 'There may be a gap').waitFor();
  another.publish('from the new one');
  await rows(page, 'notification', 'new one').waitFor();
  assert.match(await page.locator('#note').innerText(), /^Moved at .+\. There may be a gap/);
  assert.deepEqual(await changes(), []);
  await page.clock.runFor(2_000);
  assert.equal(await old.clients[0].closed, 1000);
});

test('what the old server has not answered when the page moves is said to be open', async (t) => {
  const { history, old, page } = await openedPage(t);
  old.answers = false;
  await LeavingServer.start(t, history, { before: old });
  await stopTheClock(page);
  await send(page, 'just before');
  await hintAndMove(old, page);
  await rows(page, 'moved').waitFor();
  await page.getByText('Sent, but not answered: it may not have arrived.').waitFor();
  await page.clock.runFor(2_000);
  assert.equal(await old.clients[0].closed, 1000);
});

test('Disconnect during a move leaves both servers', async (t) => {
  const { history, old, page } = await openedPage(t);
  const successor = await LeavingServer.start(t, history, { before: old, welcomes: false });
  old.hint({ after_ms: 0 });
  await successor.arrival();
  await page.getByRole('button', { name: 'Disconnect' }).click();
  await inState(page, 'idle');
  await Promise.all([old.clients[0].closed, successor.clients[0].closed]);
  await page.clock.fastForward(600_000);
  assert.deepEqual([successor.clients.length, await page.locator('#countdown').innerText()], [1, '']);
});

test('whoever is on a topic when the page moves is still there afterwards', async (t) => {
  const { history, old, page } = await openedPage(t, { path: '/?topic=notifications&topic=tides' });
  const remove = page.getByRole('button', { name: 'Stop listening to tides' });
  await remove.focus();
  await LeavingServer.start(t, history, { before: old });
  old.hint({ after_ms: 0 });
  await rows(page, 'moved').waitFor();
  await rows(page, 'welcome').nth(1).waitFor();
  assert.equal(await remove.evaluate((button) => button === document.activeElement), true);
  assert.deepEqual(await page.locator('.chip bdi').allTextContents(), ['notifications', 'tides']);
});

for (const [name, viewport] of [['wide', { width: 1280, height: 800 }], ['narrow', { width: 320, height: 780 }]]) {
  test(`a ${name} page that moves has its picture taken`, async (t) => {
    const { history, old, page } = await openedPage(t, { viewport });
    history.publish('before');
    old.hint({ after_ms: 1_500_000, deadline_ms: 1_800_000 });
    await page.locator('#countdown', { hasText: 'moving in 25 min' }).waitFor();
    await page.screenshot({ path: `${WORK}moving-${name}.png`, fullPage: true });
    await isWithin(page, viewport.width);
    await LeavingServer.start(t, history, { before: old });
    await page.clock.fastForward(1_500_000);
    await rows(page, 'moved').waitFor();
    history.publish('after');
    await rows(page, 'notification', 'after').waitFor();
    await page.screenshot({ path: `${WORK}moved-${name}.png`, fullPage: true });
    await isWithin(page, viewport.width);
  });
}

async function openedPage(t, look) {
  const history = new History('e');
  const old = await LeavingServer.start(t, history);
  const { page } = await openPage(t, old, look);
  await rows(page, 'welcome').waitFor();
  return { history, old, page };
}

/** For pages whose clock stands still, and with it the moment in which the old connection lingers. */
async function hintAndMove(old, page) {
  old.hint({ after_ms: 0 });
  await rows(page, 'reconnect', 'moving now').waitFor();
  await page.clock.runFor(1);
}

/** Watches the badge and what hangs on it from now on; returns how to read every change. */
async function recordStates(page) {
  await page.evaluate(() => {
    window.changes = [];
    const note = () => window.changes.push(`${document.body.dataset.state}: ${document.getElementById('state').textContent}`);
    const watched = [document.body, document.getElementById('state'), document.getElementById('composer-fields')];
    for (const element of watched) new MutationObserver(note).observe(element, { attributes: true, childList: true });
  });
  return () => page.evaluate(() => window.changes);
}

/** So slowly that the page moves twice in the meantime. */
async function publishSlowly(history, texts) {
  for (const text of texts) {
    history.publish(text);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** What the publications in the list say, in their order. */
function heard(page) {
  return page.locator('.row[data-type="notification"] .text').allTextContents();
}
