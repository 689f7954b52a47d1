// Topics, publishing and resuming on the page, with the real server: what one page publishes another hears once, in order,
// also when the server was away in between.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  HOSTILE, NOBODY_LISTENS, inState, isWithin, openPage, openScripted, publish, rawMessage, rows, send, stopTheClock,
  subscribe,
} from './page.mjs';
import { Server } from './server.mjs';

/** No notifications but those that the test publishes. */
const SILENT = ['--notify-interval', '0'];
/** What Chromium says about answers that are no success. */
const REFUSED = /Failed to load resource: the server responded with a status of (401|413|422|503)/;

// Topics

test('the topics are those that the server grants, and can be added and taken away', async (t) => {
  const { page } = await openPage(t, await Server.start(t, 0, SILENT), { path: '/?topic=tides' });
  await chip(page, 'tides').waitFor();
  await subscribe(page, 'orders/*');
  await rows(page, 'subscribed', 'orders/*').waitFor();
  assert.deepEqual(await chips(page), ['tides', 'orders/*']);
  assert.equal(await page.getByLabel('Topic to listen to').inputValue(), '');

  await page.getByRole('button', { name: 'Stop listening to tides' }).click();
  await chip(page, 'tides').waitFor({ state: 'detached' });
  assert.deepEqual(await chips(page), ['orders/*']);
  assert.equal(await page.locator('#topic-count').innerText(), '1');
});

test('a topic that is none is refused beside its field and becomes no chip', async (t) => {
  const { page } = await openPage(t, await Server.start(t, 0, SILENT));
  await subscribe(page, 'no topic');
  await page.locator('#topic-answer', { hasText: 'a topic is made of' }).waitFor();
  assert.deepEqual(await chips(page), ['notifications']);
  assert.equal(await page.getByLabel('Topic to listen to').inputValue(), 'no topic', 'left there to be corrected');

  await subscribe(page, 'topic');
  await chip(page, 'topic').waitFor();
  assert.equal(await page.locator('#topic-answer').innerText(), '');
});

test('topics hold on the next connection, and no topics are none', async (t) => {
  const server = await Server.start(t, 0, SILENT);
  const { page } = await openPage(t, server);
  await subscribe(page, 'orders');
  await chip(page, 'orders').waitFor();
  await reconnect(page);
  await rows(page, 'welcome').nth(1).waitFor();
  assert.deepEqual(await chips(page), ['notifications', 'orders']);

  for (const topic of await chips(page)) await page.getByRole('button', { name: `Stop listening to ${topic}` }).click();
  await page.getByText('None: only answers arrive.').waitFor();
  await reconnect(page);
  await rows(page, 'unsubscribed').nth(2).waitFor();
  await server.publish('notifications', 'not for this page');
  await send(page, 'are you there?');
  await rows(page, 'echo', 'are you there?').waitFor();
  assert.equal(await rows(page, 'notification').count(), 0);
});

test('whoever takes topics away by the keyboard goes on to the next, and then to the field', async (t) => {
  const { page } = await openPage(t, await Server.start(t, 0, SILENT), { path: '/?topic=a&topic=b' });
  const focused = () => page.evaluate(() => document.activeElement.ariaLabel);
  await page.getByRole('button', { name: 'Stop listening to a' }).press('Enter');
  await chip(page, 'a').waitFor({ state: 'detached' });
  assert.equal(await focused(), 'Stop listening to b');
  await page.keyboard.press('Enter');
  await chip(page, 'b').waitFor({ state: 'detached' });
  assert.equal(await focused(), 'Topic to listen to');
});

test('hostile topics stay text, and long ones do not widen the page', async (t) => {
  const { page, say } = await openScripted(t, { viewport: { width: 320, height: 568 } });
  await page.locator('#topics-box > summary').click();
  await page.locator('#publish-box > summary').click();
  const long = 'x'.repeat(4_000);
  say({ type: 'welcome', topics: ['notifications', HOSTILE, 7, null, long, { toString: 1 }] });
  say({ type: 'subscribed', topic: { toString: 1 } });
  say({ type: 'error', code: 'bad_topic', message: long });
  say({ type: 'notification', id: long, topic: HOSTILE, data: { [long]: long } });
  await rows(page, 'notification').waitFor();
  assert.deepEqual(await chips(page), ['notifications', HOSTILE, long]);
  assert.equal(await page.locator('main img').count(), 0);
  await isWithin(page, 320);
});

// Publishing

test('what one page publishes every page hears exactly once, with the id that was answered', async (t) => {
  const server = await Server.start(t, 0, SILENT);
  const [{ page: here }, { page: there }] = [await openPage(t, server), await openPage(t, server)];
  for (const page of [here, there]) {
    await subscribe(page, 'orders');
    await chip(page, 'orders').waitFor();
  }
  await publish(here, 'orders', '{"order":7}');
  const id = (await here.locator('#publish-answer', { hasText: 'Published as' }).innerText()).replace('Published as ', '');
  await publish(here, 'orders', 'the last');
  for (const page of [here, there]) {
    await rows(page, 'notification', 'the last').waitFor();
    assert.deepEqual(await heard(page), ['{"order":7}', 'the last']);
    const row = rows(page, 'notification').first();
    assert.deepEqual([await row.locator('.topic').textContent(), await row.locator('.id').textContent()], ['orders', id]);
    assert.equal((await rawMessage(row)).id, id);
  }
});

test('JSON goes out as it was written, and anything else as text', async (t) => {
  const { page } = await openPage(t, await Server.start(t, 0, SILENT));
  const shape = page.locator('#publish-shape');
  for (const [text, said, sent] of [
    ['12345678901234567890', 'Goes out as JSON.', '12345678901234567890'],
    ['"quoted"', 'Goes out as JSON.', '"quoted"'],
    ['{"a":', 'Goes out as text.', '"{\\"a\\":"'],
    [HOSTILE, 'Goes out as text.', JSON.stringify(HOSTILE)],
  ]) {
    await page.getByLabel('Data').fill(text);
    assert.equal(await shape.innerText(), said);
    await page.getByLabel('Data').press('Control+Enter');
    const row = rows(page, 'notification').last();
    await row.locator('summary').click();
    const json = await row.locator('pre', { hasText: '{' }).textContent();
    assert.equal(json.match(/"data": ?(.*),\s*"timestamp"/)[1], sent);
    await page.waitForFunction(() => document.getElementById('publish-data').value === '');
    await page.getByRole('button', { name: 'Clear' }).click();
  }
});

test('a refusal is shown in the server’s words, and the text stays', async (t) => {
  const server = await Server.start(t, 0, [...SILENT, '--max-publish-size', '100']);
  const { page } = await openPage(t, server, { expected: /status of 4|ERR_CONNECTION/ });
  const answer = (text) => page.locator('#publish-answer', { hasText: text }).waitFor();
  await publish(page, 'no topic', 'text');
  await answer('"no topic" is no topic');
  await publish(page, 'notifications', 'x'.repeat(200));
  await answer('413: ');
  assert.equal((await page.getByLabel('Data').inputValue()).length, 200);
  await server.end('SIGKILL');
  await publish(page, 'notifications', 'text');
  await answer('The server cannot be reached');
  assert.equal(await rows(page, 'notification').count(), 0);
});

test('where operators publish at a door of their own the page offers none', async (t) => {
  const { page } = await openPage(t, await Server.start(t, 0, [...SILENT, '--admin', '127.0.0.1:0']));
  await inState(page, 'open');
  assert.equal(await page.locator('#publish-box').isVisible(), false);
  assert.equal(await page.locator('#topics-box').isVisible(), true);
});

test('a server that asks for a token is given it, and it is kept nowhere', async (t) => {
  const server = await Server.start(t, 0, [...SILENT, '--publish-token', 's3cret']);
  const { page } = await openPage(t, server, { expected: REFUSED });
  assert.equal(await page.getByLabel('Token', { exact: true }).isVisible(), false);
  await publish(page, 'notifications', 'guarded');
  await page.locator('#publish-answer', { hasText: '401: a token is needed' }).waitFor();
  assert.equal(await page.getByLabel('Token', { exact: true }).evaluate((token) => token === document.activeElement), true);

  await page.keyboard.type('wrong');
  await page.keyboard.press('Enter');
  await page.waitForFunction(() => document.activeElement.id === 'token' && document.activeElement.selectionStart === 0);
  await page.getByLabel('Token', { exact: true }).fill('s3cret');
  await page.keyboard.press('Enter');
  await page.locator('#publish-answer', { hasText: 'Published as' }).waitFor();
  await rows(page, 'notification', 'guarded').waitFor();
  assert.deepEqual(await heard(page), ['guarded']);
  const places = () => [{ ...localStorage }, { ...sessionStorage }, document.cookie, location.href];
  const kept = JSON.stringify(await page.evaluate(places));
  assert.doesNotMatch(kept, /s3cret/);
  await page.reload();
  await inState(page, 'open');
  assert.equal(await page.getByLabel('Token', { exact: true }).isVisible(), false);
});

// Resuming

test('a pause of the user’s loses nothing', async (t) => {
  const server = await Server.start(t, 0, SILENT);
  const { page } = await openPage(t, server);
  await rows(page, 'welcome').waitFor();
  await server.publish('notifications', 'before');
  await rows(page, 'notification', 'before').waitFor();
  await page.getByRole('button', { name: 'Disconnect' }).click();
  for (const text of ['one', 'two', 'three']) await server.publish('notifications', text);
  await page.getByRole('button', { name: 'Connect', exact: true }).click();
  await rows(page, 'resumed', 'Resumed: 3 missed messages arrived').waitFor();
  await server.publish('notifications', 'live');
  await rows(page, 'notification', 'live').waitFor();
  assert.deepEqual(await heard(page), ['before', 'one', 'two', 'three', 'live']);
  assert.match(await rows(page, 'resumed').textContent(), /: 3 missed/, 'live is not counted');
  assert.match(await page.locator('#note').innerText(), /Resumed: 3 missed messages arrived\.$/);
});

test('a pause in which nothing happened is said to have lost nothing', async (t) => {
  const { page } = await openPage(t, await Server.start(t, 0, SILENT));
  await rows(page, 'welcome').waitFor();
  await reconnect(page);
  await rows(page, 'resumed', 'Resumed: nothing is lost').waitFor();
  assert.equal(await rows(page, 'gap').count(), 0);
});

test('a server that hands its state on is resumed at its successor: everything once, in order', async (t) => {
  const options = [...SILENT, '--state-file', join(tmpdir(), `slackwater-${randomUUID()}`)];
  const first = await Server.start(t, 0, options);
  const { page } = await openPage(t, first, { expected: NOBODY_LISTENS });
  await subscribe(page, 'orders/*');
  await chip(page, 'orders/*').waitFor();
  await first.publish('orders/1', 'heard at the first');
  await rows(page, 'notification', 'heard at the first').waitFor();

  first.signal('SIGTERM');
  await first.line(/Graceful shutdown initiated/);
  await send(page, 'still here?');
  await rows(page, 'echo', 'still here?').waitFor();
  await stopTheClock(page);
  await first.end('SIGTERM');
  await inState(page, 'waiting');

  const second = await Server.start(t, first.port, options);
  for (const number of [2, 3, 4]) await second.publish(`orders/${number}`, `missed ${number}`);
  await second.publish('elsewhere', 'for others');
  await page.getByRole('button', { name: 'Retry now' }).click();
  await rows(page, 'resumed', 'Resumed: 3 missed messages arrived').waitFor();
  await second.publish('orders/5', 'live');
  await rows(page, 'notification', 'live').waitFor();
  assert.deepEqual(await heard(page), ['heard at the first', 'missed 2', 'missed 3', 'missed 4', 'live']);
  assert.equal(await rows(page, 'gap').count(), 0);
});

test('a server that starts anew cannot resume, and the page says that there may be a gap', async (t) => {
  const first = await Server.start(t, 0, SILENT);
  const { page } = await openPage(t, first, { expected: NOBODY_LISTENS });
  await inState(page, 'open');
  await first.publish('notifications', 'before');
  await rows(page, 'notification', 'before').waitFor();
  await stopTheClock(page);
  await first.end('SIGKILL');
  await inState(page, 'waiting');

  const second = await Server.start(t, first.port, SILENT);
  await second.publish('notifications', 'lost');
  await page.getByRole('button', { name: 'Retry now' }).click();
  await rows(page, 'gap', 'There may be a gap: the server no longer has what was missed').waitFor();
  assert.match(await page.locator('#note').innerText(), /There may be a gap/);
  await second.publish('notifications', 'after');
  await rows(page, 'notification', 'after').waitFor();
  assert.deepEqual(await heard(page), ['before', 'after']);
  assert.equal(await rows(page, 'resumed').count(), 0);

  await page.clock.resume();
  await reconnect(page);
  await rows(page, 'resumed', 'nothing is lost').waitFor();
});

test('history that was too short is a gap, too', async (t) => {
  const server = await Server.start(t, 0, [...SILENT, '--history-size', '2']);
  const { page } = await openPage(t, server);
  await rows(page, 'welcome').waitFor();
  await page.getByRole('button', { name: 'Disconnect' }).click();
  for (const text of ['one', 'two', 'three']) await server.publish('notifications', text);
  await page.getByRole('button', { name: 'Connect', exact: true }).click();
  await rows(page, 'gap').waitFor();
  assert.deepEqual(await heard(page), []);
});

async function reconnect(page) {
  await page.getByRole('button', { name: 'Disconnect' }).click();
  await page.getByRole('button', { name: 'Connect', exact: true }).click();
  await inState(page, 'open');
}

function chip(page, topic) {
  return page.getByRole('list', { name: 'Topics listened to' }).getByRole('listitem').filter({ hasText: topic });
}

function chips(page) {
  return page.locator('.chip bdi').allTextContents();
}

/** What the publications in the list say, in their order. */
function heard(page) {
  return page.locator('.row[data-type="notification"] .text').allTextContents();
}
