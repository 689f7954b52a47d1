// The page in headless Chromium, as a user meets it: with the real server, and a scripted one for what that seldom says.
// Nothing here sleeps: every wait is for a fact and has a deadline.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { stripping } from './between.mjs';
import {
  HOSTILE, NOBODY_LISTENS, WORK, inState, isAccessible, isWithin, openPage, openScripted, publish, rawMessage, rows, send,
  stopTheClock, subscribe,
} from './page.mjs';
import { Server } from './server.mjs';

// With the real server

test('the page and its parts come with their types and a policy that allows only what they need', async (t) => {
  const { address } = await Server.start(t);
  for (const [path, type] of [
    ['/', 'text/html'],
    ['/app.js', 'text/javascript'],
    ['/feed.js', 'text/javascript'],
    ['/rate.js', 'text/javascript'],
    ['/slackwater.js', 'text/javascript'],
    ['/token.js', 'text/javascript'],
    ['/words.js', 'text/javascript'],
    ['/style.css', 'text/css'],
    ['/favicon.svg', 'image/svg+xml'],
  ]) {
    const response = await fetch(address + path);
    assert.equal(response.status, 200, path);
    assert.equal(response.headers.get('content-type').split(';')[0], type, path);
  }
  const policy = (await fetch(`${address}/`)).headers.get('content-security-policy');
  assert.match(policy, /default-src 'none'/);
  assert.doesNotMatch(policy, /unsafe/);
});

test('a page whose connection is old moves to another of the same server, says so, and loses nothing', async (t) => {
  const server = await Server.start(t, 0, ['--max-connection-age', '3', '--notify-interval', '0.1']);
  const { page } = await openPage(t, server);
  await rows(page, 'reconnect', 'This connection is old; moving').waitFor();
  await rows(page, 'moved', 'Moved to a new connection: nothing is lost').waitFor();
  await rows(page, 'moved').nth(1).waitFor();
  assert.equal(await page.locator('body').getAttribute('data-state'), 'open');
  const said = await rows(page, 'notification').locator('.body').allTextContents();
  const numbers = said.map((text) => Number(text.match(/#(\d+)$/)[1])).sort((a, b) => a - b);
  assert.deepEqual(numbers, Array.from(numbers, (_, nth) => numbers[0] + nth));
});

test('the page says of a connection that was closed for its age that it was', async (t) => {
  const { page, close } = await openScripted(t);
  await close(1012, 'connection age');
  await rows(page, 'connection', 'The server closed this connection, which had become old (1012)').waitFor();
});

test('the page connects by itself and shows welcome, notification and status', async (t) => {
  const { page } = await openPage(t, await Server.start(t));
  await inState(page, 'open');

  const welcome = await rawMessage(rows(page, 'welcome').first());
  const notification = await rawMessage(rows(page, 'notification').first());

  assert.match(await page.getByRole('status').innerText(), /^Connected\b/);
  assert.equal(await page.locator('#connection-id').innerText(), welcome.connection_id);
  assert.equal(await page.locator('#active-connections').innerText(), '1');
  const row = rows(page, 'notification').first();
  assert.match(await row.textContent(), new RegExp(notification.message));
  assert.equal(await row.locator('time').getAttribute('datetime'), notification.timestamp);
});

test('text sent comes back as an echo, with its raw JSON at hand', async (t) => {
  const { page } = await openPage(t, await Server.start(t));
  await send(page, 'hello');
  const row = rows(page, 'echo', 'Server received: hello');
  const raw = await rawMessage(row);
  assert.deepEqual([raw.type, raw.message], ['echo', 'Server received: hello']);
  assert.equal(await page.getByLabel('Send a message').inputValue(), '');
});

test('what the server cannot make sense of is shown as an error', async (t) => {
  const { page } = await openPage(t, await Server.start(t));
  await send(page, '{"type":"no such command"}');
  await rows(page, 'error').waitFor();
});

test('hostile text is shown as text', async (t) => {
  const { page } = await openPage(t, await Server.start(t));
  await send(page, HOSTILE);
  const row = rows(page, 'echo', HOSTILE);
  await row.waitFor();
  await row.locator('summary').click();
  await row.locator('pre', { hasText: HOSTILE }).waitFor();
  assert.equal(await page.locator('#log img').count(), 0);
});

test('a draining server keeps the page; a restarted one gets it back', async (t) => {
  const first = await Server.start(t);
  const { page } = await openPage(t, first, { expected: NOBODY_LISTENS });
  await inState(page, 'open');
  const connectionId = await page.locator('#connection-id').innerText();

  first.signal('SIGTERM');
  await first.line(/Graceful shutdown initiated/);
  await send(page, 'still here?');
  await rows(page, 'echo', 'still here?').waitFor();

  await first.end('SIGTERM');
  await page.locator('body[data-state="waiting"] #countdown', { hasText: /^in \d+ s$/ }).waitFor();
  await rows(page, 'connection', 'The server is restarting').waitFor();
  assert.equal(await page.getByLabel('Send a message').isDisabled(), true);

  await Server.start(t, first.port);
  await inState(page, 'open');
  await rows(page, 'welcome').nth(1).waitFor();
  assert.notEqual(await page.locator('#connection-id').innerText(), connectionId);
  await send(page, 'back again');
  await rows(page, 'echo', 'back again').waitFor();
});

test('a server that dies without a word is waited for; Retry now does not wait', async (t) => {
  const first = await Server.start(t);
  const { page } = await openPage(t, first, { expected: NOBODY_LISTENS });
  await inState(page, 'open');
  await stopTheClock(page);

  await first.end('SIGKILL');
  await inState(page, 'waiting');
  await Server.start(t, first.port);
  await page.getByRole('button', { name: 'Retry now' }).click();
  await inState(page, 'open');
  assert.equal(await page.getByRole('button', { name: 'Retry now' }).isVisible(), false);
});

test('after Disconnect the page stays away until Connect', async (t) => {
  const server = await Server.start(t);
  const { page } = await openPage(t, server);
  await inState(page, 'open');
  await stopTheClock(page);

  await page.getByRole('button', { name: 'Disconnect' }).click();
  await inState(page, 'idle');
  await server.line(/Client disconnected\. Total connections: 0/);
  await page.clock.runFor(600_000);
  await page.evaluate(() => window.dispatchEvent(new Event('online')));
  await inState(page, 'idle');
  assert.equal(page.sockets.length, 1);

  await page.getByRole('button', { name: 'Connect', exact: true }).click();
  await inState(page, 'open');
  await server.line(/Client connected/, 2);
});

test('Clear empties the list and the page goes on', async (t) => {
  const { page } = await openPage(t, await Server.start(t));
  await rows(page, 'welcome').waitFor();
  await page.getByRole('button', { name: 'Clear' }).click();
  assert.equal(await rows(page, 'welcome').count(), 0);
  await rows(page, 'notification').first().waitFor();
});

test('the keyboard alone does everything, in the order of the page', async (t) => {
  const { page } = await openPage(t, await Server.start(t, 0, ['--notify-interval', '0']));
  await inState(page, 'open');
  await rows(page, 'welcome').waitFor();
  const press = (...keys) => keys.reduce((done, key) => done.then(() => page.keyboard.press(key)), Promise.resolve());
  const focused = () => page.evaluate(() => document.activeElement.id || document.activeElement.textContent.trim());

  const order = [];
  for (let stop = 0; stop < 15; stop += 1) {
    await press('Tab');
    order.push(await focused());
  }
  assert.deepEqual(order, [
    'disconnect',
    'clear', 'skip', 'log', 'JSON',
    'Topics 1', '×', 'topic', 'Subscribe',
    'Publish', 'publish-topic', 'publish-data', 'Publish',
    'text', 'Send',
  ]);
  await press('Shift+Tab');
  await page.keyboard.type('typed');
  await press('Enter');
  await rows(page, 'echo', 'Server received: typed').waitFor();
  assert.equal(await focused(), 'text');

  await page.getByRole('link', { name: 'Skip the messages' }).focus();
  await press('Enter', 'Tab');
  assert.equal(await focused(), 'Topics 1', 'behind all rows');

  await rows(page, 'welcome').locator('summary').focus();
  await press('Enter');
  await page.locator('details[open] pre').waitFor();

  await page.getByRole('button', { name: 'Disconnect' }).focus();
  await press('Enter');
  await inState(page, 'idle');
  assert.equal(await focused(), 'note', 'not on Connect, which a second Enter would press');
  await press('Tab');
  assert.equal(await focused(), 'connect');
  await press('Space');
  await inState(page, 'open');
});

test('the text box has the focus again when the connection is back', async (t) => {
  const first = await Server.start(t);
  const { page } = await openPage(t, first, { expected: NOBODY_LISTENS });
  await inState(page, 'open');
  await page.getByLabel('Send a message').fill('half a sent');
  await first.end('SIGKILL');
  await inState(page, 'waiting');
  await Server.start(t, first.port);
  await inState(page, 'open');
  await page.keyboard.type('ence');
  await page.keyboard.press('Enter');
  await rows(page, 'echo', 'half a sentence').waitFor();
});

test('the topic in the address of the page is asked of the server', async (t) => {
  const { page } = await openPage(t, await Server.start(t), { path: '/?topic=orders&topic=tides&other=1' });
  await inState(page, 'open');
  assert.match(page.sockets[0].url(), /\/ws\?topic=orders&topic=tides$/);
});

test('behind a proxy that strips a prefix the page finds its files, its socket and where to publish', async (t) => {
  const proxy = await stripping(t, '/behind/a/prefix/', await Server.start(t));
  for (const path of ['/behind/a/prefix/?topic=tides', '/behind/a/prefix']) {
    const { page } = await openPage(t, proxy, { path });
    await inState(page, 'open');
    const { host } = new URL(proxy.address);
    const topic = path.includes('?') ? 'tides' : 'notifications';
    assert.equal(page.sockets[0].url(), `ws://${host}/behind/a/prefix/ws?topic=${topic}`);
    assert.equal(await page.evaluate(() => getComputedStyle(document.querySelector('.chips')).listStyleType), 'none');
    await page.waitForFunction(() => [...document.images].every((image) => image.naturalWidth > 0));
    await publish(page, topic, 'through the proxy');
    await rows(page, 'notification', 'through the proxy').waitFor();
  }
});

test('a browser that offers sub-protocols is answered with ours, and fails where ours is not among them', async (t) => {
  const { page } = await openPage(t, await Server.start(t), { expected: /Sent non-empty 'Sec-WebSocket-Protocol' header but no response/ });
  const outcome = (protocols) => page.evaluate((protocols) => new Promise((resolve) => {
    const socket = new WebSocket(new URL('ws', location.href.replace('http', 'ws')), protocols);
    socket.onopen = () => resolve(`open, ${socket.protocol}`);
    socket.onerror = () => resolve('failed');
  }), protocols);
  assert.equal(await outcome([]), 'open, ');
  assert.equal(await outcome('slackwater'), 'open, slackwater');
  assert.equal(await outcome(['mqtt', 'slackwater', 'slackwater.token.eyJ0']), 'open, slackwater');
  assert.equal(await outcome(['mqtt', 'Slackwater']), 'failed');
});

for (const colorScheme of ['light', 'dark']) {
  for (const [name, viewport] of [['wide', { width: 1280, height: 800 }], ['narrow', { width: 360, height: 780 }]]) {
    test(`a ${name} page in ${colorScheme} has its picture taken`, async (t) => {
      const { page } = await openPage(t, await Server.start(t), { colorScheme, viewport });
      for (const text of ['hello', HOSTILE, '{"type":"no such command"}']) {
        await send(page, text);
      }
      await rows(page, 'error').waitFor();
      await rows(page, 'notification').first().waitFor();
      for (const box of ['#topics-box', '#publish-box']) {
        if ((await page.locator(`${box}[open]`).count()) === 0) await page.locator(`${box} > summary`).click();
      }
      await subscribe(page, 'orders/*');
      await publish(page, 'orders/7', '{"order":7,"state":"paid"}');
      await rows(page, 'notification', 'paid').waitFor();
      await page.screenshot({ path: `${WORK}${colorScheme}-${name}.png`, fullPage: true });
      await isAccessible(page);
      const ground = await page.evaluate(() => getComputedStyle(document.body).backgroundColor.match(/\d+/g).map(Number));
      assert.equal(ground.every((channel) => channel > 128), colorScheme === 'light');
    });
  }
}

// With a scripted server

test('every kind of message is shown sensibly', async (t) => {
  const { page, say } = await openScripted(t);
  const big = '{"type":"notification","topic":"ids","data":12345678901234567890}';
  const deep = `{"type":"notification","topic":"deep","data":${'['.repeat(20_000)}${']'.repeat(20_000)}}`;
  say({ type: 'notification', topic: 'orders', data: { order: 7 } });
  say({ type: 'notification', topic: 'orders', data: 'plain text' });
  say({ type: 'error', code: 'bad_message', message: 'no' });
  say({ type: 'reconnect', reason: 'server_restart', after_ms: 17_250, deadline_ms: 1_800_000 });
  say({ type: 'reconnect', reason: 'brand_new', after_ms: 600_000 });
  say({ type: 'brand_new', value: 42 });
  say({ type: { toString: 1 }, timestamp: { valueOf: 1 } });
  say({ type: 'subscribed', topic: 'orders' });
  say({ type: 'unsubscribed', topic: { toString: 1 } });
  for (const raw of ['not JSON', '', '[1]', Buffer.from([1, 2, 3]), big, deep]) say(raw);
  say({ type: 'last' });

  await rows(page, 'last').waitFor();
  assert.deepEqual((await page.locator('.row .body').allTextContents()).slice(0, 14), [
    '{"order":7}',
    'plain text',
    'bad_message: no',
    'The server restarts; moving in 17 s',
    'The server asks to reconnect: brand_new; moving in 10 min',
    '{"value":42}',
    '{}',
    'Now listening to orders',
    'No longer listening to {"toString":1}',
    'not JSON',
    '',
    '[1]',
    '3 bytes',
    '12345678901234567000',
  ]);
  const row = rows(page, 'notification', 'ids');
  await row.locator('summary').click();
  await row.locator('pre').getByText(big, { exact: true }).waitFor(); // As it came, for a number cannot hold it.
});

test('hostile types, topics and times stay text', async (t) => {
  const { page, say } = await openScripted(t);
  say({ type: HOSTILE, topic: HOSTILE, message: HOSTILE, timestamp: HOSTILE, connection_id: HOSTILE });
  say({ type: 'welcome', message: HOSTILE, connection_id: HOSTILE });
  say({ type: 'notification', topic: HOSTILE, data: { [HOSTILE]: HOSTILE } });
  await rows(page, 'notification').waitFor();
  assert.equal(await page.locator('#connection-id').textContent(), HOSTILE);
  assert.equal(await page.locator('.badge').first().textContent(), HOSTILE);
  assert.equal(await page.locator('main img').count(), 0);
});

test('a close for policy stops the page and says why', async (t) => {
  const { page, close } = await openScripted(t);
  await close(1008, 'origin not allowed');
  await inState(page, 'stopped');
  await page.getByText('The server does not let this client in: origin not allowed.').waitFor();
  assert.equal(await page.getByRole('button', { name: 'Connect', exact: true }).isEnabled(), true);
});

test('the rate of the messages is shown while there are any, and for a minute after', async (t) => {
  const { page, say } = await openScripted(t);
  const rate = page.locator('#rate');
  assert.equal(await rate.isVisible(), false);
  await stopTheClock(page);
  for (let number = 1; number <= 10; number += 1) say({ type: 'notification', topic: 'tides', data: number });
  await rows(page, 'notification').nth(9).waitFor();
  await page.clock.runFor(1_000);
  assert.equal(await rate.innerText(), '2 a second');
  assert.match(await page.locator('#rate-line').getAttribute('points'), /^58,0 59,16$/);
  await page.clock.runFor(61_000);
  assert.equal(await rate.isVisible(), false);
});

test('a row is headed by its topic, and other messages by their type', async (t) => {
  const { page, say } = await openScripted(t);
  say({ type: 'notification', topic: 'orders/7', data: 'paid' });
  say({ type: 'notification', message: 'without a topic' });
  say({ type: 'echo', message: 'said' });
  await rows(page, 'echo').waitFor();
  assert.deepEqual(await page.locator('.row .badge').allTextContents(), ['orders/7', 'notification', 'echo']);
});

test('a page 320 pixels wide needs no sideways scrolling, whatever it is told', async (t) => {
  const { page, say } = await openScripted(t, { viewport: { width: 320, height: 568 } });
  const long = 'x'.repeat(4_000);
  say({ type: 'welcome', message: long, connection_id: long });
  say({ type: long, topic: long, data: long });
  say({ type: 'notification', topic: long, data: long, active_connections: 1e21 });
  await rows(page, 'notification').waitFor();
  await isWithin(page, 320);
});

test('the water does not move for those who do not want motion', async (t) => {
  const { page } = await openScripted(t, { reducedMotion: 'reduce' });
  const animation = await page.evaluate(() => {
    document.body.dataset.state = 'waiting';
    return getComputedStyle(document.querySelector('.tide path')).animationName;
  });
  assert.equal(animation, 'none');
});
