// The page and the real server with a network in between that goes silent and comes back. Nothing here sleeps: the clock of the
// page is set forward.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Network } from './between.mjs';
import { WORK, inState, isWithin, openPage, publish, rows, send } from './page.mjs';
import { Server } from './server.mjs';

const QUIET = ['--notify-interval', '0'];
/** The longest that the page takes to notice: half as long again as between two pings, and two questions of 5 s. */
const NOTICED_MS = 30_000 + 10_000;
/** The same once it has a reason to ask, such as a text of a few bytes. */
const ASKED_MS = 10_100;

for (const [name, viewport] of [['wide', { width: 1280, height: 800 }], ['narrow', { width: 320, height: 780 }]]) {
  test(`a ${name} page notices a silent network, and when that is back nothing is missed or doubled`, async (t) => {
    const { server, network, page } = await opened(t, { viewport });
    const picture = async (state) => {
      await page.screenshot({ path: `${WORK}network-${state}-${name}.png`, fullPage: true });
      await isWithin(page, viewport.width);
    };
    await server.publish('notifications', 'one');
    await rows(page, 'notification', 'one').waitFor();
    await picture('there');

    network.goSilent();
    await server.publish('notifications', 'two');
    await page.clock.runFor(NOTICED_MS);
    await rows(page, 'connection', 'The connection was lost: no answer (1006)').waitFor();
    assert.notEqual(await page.locator('body').getAttribute('data-state'), 'open');
    await picture('silent');

    await server.publish('notifications', 'three');
    network.comeBack();
    await rows(page, 'resumed', 'Resumed: 2 missed messages arrived').waitFor();
    await inState(page, 'open');
    await server.publish('notifications', 'four');
    await rows(page, 'notification', 'four').waitFor();
    assert.deepEqual(await heard(page), ['one', 'two', 'three', 'four']);
    await server.line(/Total connections: 1$/, 2);
    await picture('back');
  });
}

test('a quiet server that answers is not taken for a silent network', async (t) => {
  const { page } = await opened(t);
  for (let count = 1; count <= 3; count += 1) {
    const answered = answerTo(page);
    await page.clock.fastForward(NOTICED_MS);
    await answered;
  }
  assert.deepEqual([page.sockets.length, await page.locator('.row').count()], [1, 1], 'no row but the welcome');
});

test('what was sent into a silent network stays in the box, and the page says so', async (t) => {
  const { network, page } = await opened(t, { viewport: { width: 320, height: 780 } });
  const [box, hint] = [page.getByLabel('Send a message'), page.locator('#text-hint')];
  network.goSilent();
  await send(page, 'are you there?');
  assert.deepEqual([await box.inputValue(), await hint.textContent()], ['are you there?', 'Sending…']);
  await page.clock.runFor(ASKED_MS);
  await page.getByText('Sent, but not answered: it may not have arrived.').waitFor();
  await page.screenshot({ path: `${WORK}network-unanswered-narrow.png`, fullPage: true });
  assert.deepEqual([await box.inputValue(), await box.isDisabled()], ['are you there?', true]);

  network.comeBack();
  await inState(page, 'open');
  await box.press('Enter');
  await rows(page, 'echo', 'are you there?').waitFor();
  const words = 'Text is echoed, a JSON object is a command.';
  assert.deepEqual([await box.inputValue(), await hint.textContent()], ['', words]);
});

test('a publication that is not answered is given up, stays in its box, and the page says that nobody knows', async (t) => {
  const { network, page } = await opened(t, { viewport: { width: 1280, height: 800 } });
  network.goSilent();
  await publish(page, 'notifications', 'into the blue');
  await page.getByText('No answer: it may have been published or not').waitFor();
  assert.equal(await page.getByLabel('Data').inputValue(), 'into the blue');
  network.comeBack();
  await page.getByRole('button', { name: 'Publish', exact: true }).click();
  await page.getByText(/^Published as/).waitFor();
});

test('commands are answered, too, and what was typed meanwhile stays', async (t) => {
  const { network, page } = await opened(t);
  const box = page.getByLabel('Send a message');
  for (const [text, type] of [
    ['{"type":"subscribe","topic":"tides"}', 'subscribed'],
    [' {"type":"unsubscribe","topic":"tides"}', 'unsubscribed'],
    ['{"type":"dance"}', 'error'],
    ['{ no command', 'echo'],
  ]) {
    await send(page, text);
    await rows(page, type).waitFor();
    assert.equal(await box.inputValue(), '', text);
  }
  network.goSilent();
  await send(page, 'first');
  await box.fill('second');
  network.comeBack();
  await rows(page, 'echo', 'first').waitFor();
  assert.equal(await box.inputValue(), 'second');
});

test('a browser that goes offline stays with a server that it still reaches, and leaves one that it does not', async (t) => {
  const { network, page } = await opened(t);
  const tell = (sign) => page.evaluate((sign) => window.dispatchEvent(new Event(sign)), sign);
  for (const sign of ['offline', 'online']) {
    const answered = answerTo(page);
    await tell(sign);
    await answered;
  }
  await page.clock.runFor(4_000);
  assert.equal(page.sockets.length, 1);
  network.goSilent();
  await tell('offline');
  await page.clock.runFor(4_000);
  await rows(page, 'connection', 'no answer').waitFor();
  network.comeBack();
  await inState(page, 'open');
});

test('a page that is shown again asks at once', async (t) => {
  const { page } = await opened(t);
  const answered = answerTo(page);
  // As Chromium fires it: at the document, from where it bubbles.
  await page.evaluate(() => document.dispatchEvent(new Event('visibilitychange', { bubbles: true })));
  await answered;
});

test('a long text that a slow line holds up arrives, and on the same connection', async (t) => {
  const { network, page } = await opened(t);
  network.goSilent();
  await send(page, 'x'.repeat(60_000));
  await page.clock.runFor(60_000 + 9_000);
  network.comeBack();
  await rows(page, 'echo').waitFor();
  assert.equal(page.sockets.length, 1);
});

test('a browser that Chromium takes offline, where frames are lost without a word, comes back with what was missed', async (t) => {
  const { server, page } = await opened(t, { expected: /ERR_INTERNET_DISCONNECTED/ });
  await page.context().setOffline(true);
  await page.waitForFunction(() => !navigator.onLine);
  await page.clock.runFor(4_000);
  await rows(page, 'connection', 'no answer').waitFor();
  await server.publish('notifications', 'missed');
  await page.context().setOffline(false);
  await rows(page, 'resumed', 'Resumed: 1 missed message arrived').waitFor();
  assert.deepEqual(await heard(page), ['missed']);
});

/** The page, open, with a network between it and a server that says nothing unasked. */
async function opened(t, look) {
  const server = await Server.start(t, 0, QUIET);
  const network = await Network.start(t, server);
  const { page } = await openPage(t, network, look);
  await rows(page, 'welcome').waitFor();
  return { server, network, page };
}

/** Waits for the server's next answer to the question whether anybody is there, which the page does not show. */
function answerTo(page) {
  return page.sockets[0].waitForEvent('framereceived', ({ payload }) => payload.includes('"Server received: "'));
}

/** What the publications in the list say, in their order. */
function heard(page) {
  return page.locator('.row[data-type="notification"] .text').allTextContents();
}
