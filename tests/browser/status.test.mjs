// The operators' page, with the real server, and with answers of the tests' own for what that seldom says.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HOSTILE, NOBODY_LISTENS, WORK, isAccessible, openPage } from './page.mjs';
import { Server } from './server.mjs';

const QUIET = ['--notify-interval', '0', '--admin', '127.0.0.1:0'];
/** What Chromium says about answers that are no success. */
const REFUSED = /Failed to load resource: the server responded with a status of (401|403|500)/;

// With the real server

test('it shows who is here, what is published, and in which worker', async (t) => {
  const { page, server, admin } = await opened(t);
  const { page: client } = await openPage(t, server);
  await client.locator('body[data-state="open"]').waitFor();
  await plot(page, 'Connections', '1').waitFor();
  const published = await fetch(`${admin}/publish`, { method: 'POST', body: 'hello' });
  assert.equal(published.status, 200);
  await page.locator('#events-words', { hasText: /^1 of / }).waitFor();
  assert.deepEqual(await page.locator('#workers tr').first().locator('th, td').allTextContents(), [
    '1', (await (await fetch(`${admin}/status`)).json()).workers[0].pid.toString(), '1', '0', '0 B',
  ]);
  assert.deepEqual(await page.locator('#topics tr').allTextContents(), ['notifications1']);
  await page.getByText('Serving', { exact: true }).waitFor();
});

test('a drain is asked about first, and then followed to its end', async (t) => {
  const { page, server, admin } = await opened(t, { expected: NOBODY_LISTENS });
  const { page: client } = await openPage(t, server, { expected: NOBODY_LISTENS });
  await client.locator('body[data-state="open"]').waitFor();
  await plot(page, 'Connections', '1').waitFor();

  await page.getByRole('button', { name: 'Drain…' }).click();
  const question = page.getByRole('dialog', { name: 'Shall this server leave?' });
  await question.getByText('asks its clients (1) to move').waitFor();
  assert.equal(await page.evaluate(() => document.activeElement.id), 'stay', 'an Enter too many changes nothing');
  await page.keyboard.press('Enter');
  await question.waitFor({ state: 'hidden' });
  assert.equal((await (await fetch(`${admin}/status`)).json()).status, 'serving');

  await page.keyboard.press('Enter');
  await question.getByRole('button', { name: 'Leave' }).click();
  await page.getByText('Leaving', { exact: true }).first().waitFor();
  await page.locator('#remaining', { hasText: '1 of 1 still here' }).waitFor();
  await page.locator('#begun', { hasText: 'POST /drain from 127.0.0.1' }).waitFor();
  assert.equal(await page.getByRole('button', { name: 'Drain…' }).isDisabled(), true);
  await client.getByRole('button', { name: 'Disconnect' }).click();
  await page.getByText('It has gone', { exact: true }).waitFor();
});

test('a server that wants a token for it is given one', async (t) => {
  const { page, server } = await opened(t, { expected: REFUSED }, ['--publish-token', 's3cret']);
  await page.getByRole('button', { name: 'Drain…' }).click();
  await page.getByRole('button', { name: 'Leave' }).click();
  await page.getByText('takes the operators’ token: a token is needed').waitFor();
  assert.equal(await page.evaluate(() => document.activeElement.id), 'token');
  await page.keyboard.type('s3cret');
  await page.keyboard.press('Enter');
  await page.getByRole('button', { name: 'Drain…' }).click();
  await page.getByRole('button', { name: 'Leave' }).click();
  await server.line(/Graceful shutdown initiated/);
});

test('a hand-over is marked and told, and nothing jumps', async (t) => {
  const { page, server } = await opened(t);
  await plot(page, 'Connections', '0').waitFor();
  await server.handOver();
  await page.locator('#handover-result', { hasText: 'completed' }).waitFor();
  await page.locator('.marks[d^="M"]').first().waitFor({ state: 'attached' });
  await page.getByText('Serving', { exact: true }).waitFor();
});

test('clients are not shown it, and operators not the page of the clients', async (t) => {
  const { server, admin } = await opened(t);
  for (const [address, path, status] of [
    [server.address, '/status.js', 404], [server.address, '/plot.js', 404], [admin, '/app.js', 404], [admin, '/status.js', 200],
  ]) {
    assert.equal((await fetch(address + path)).status, status, address + path);
  }
  const page = await fetch(`${admin}/`);
  assert.match(page.headers.get('content-security-policy'), /default-src 'none'/);
});

// With answers of its own

test('all that it is told is text, and what is missing or nonsense does not stop it', async (t) => {
  const { page, answer } = await scripted(t);
  const nonsense = { toString: 1 };
  answer({
    status: HOSTILE, version: HOSTILE, since: HOSTILE, connections: 'x', workers: [{ number: HOSTILE, pid: nonsense }, {}],
    topics: { count: null, most_heard: [{ topic: HOSTILE, subscribers: -1 }] }, handover: { result: HOSTILE },
    engine: { status: HOSTILE, error: nonsense }, drain: { since: 7, origin: HOSTILE }, history: { bytes: HOSTILE },
  });
  await page.locator('#state', { hasText: HOSTILE }).waitFor();
  assert.equal(await page.locator('main img').count(), 0);
  answer({});
  await page.locator('#state', { hasText: '–' }).waitFor();
});

test('a server that is away is said to be, and what came before is not joined to what comes after', async (t) => {
  const { page, answer } = await scripted(t, { expected: REFUSED });
  const status = (publications, since = '2026-01-01T00:00:00Z') => {
    return { status: 'serving', since, uptime_seconds: 9, connections: 3, totals: { publications } };
  };
  answer(status(1_000));
  await plot(page, 'Connections', '3').waitFor();
  answer(500);
  await page.locator('#state', { hasText: 'The server answers with 500' }).waitFor();
  await plot(page, 'Connections', '–').waitFor();
  answer(status(5, '2026-01-01T00:01:00Z'));
  await plot(page, 'Connections', '3').waitFor();
  await page.locator('.plot', { hasText: 'Publications' }).locator('.line[d^="M"]').waitFor({ state: 'attached' });
  const drawn = await page.locator('.plot', { hasText: 'Connections' }).locator('.line').first().getAttribute('d');
  assert.ok(drawn.split('M').length >= 3, `${drawn}: two stretches`);
  await page.locator('#numbers > summary').click();
  const numbers = page.locator('#number-rows tr', { hasText: 'Publications' });
  assert.match((await numbers.innerText()).replaceAll('\t', ' '), /^Publications a second 0 0 0 0$/);
});

for (const colorScheme of ['light', 'dark']) {
  for (const [name, viewport] of [['wide', { width: 1280, height: 900 }], ['narrow', { width: 320, height: 780 }]]) {
    test(`a ${name} status page in ${colorScheme} has its picture taken, and is accessible`, async (t) => {
      const { page, answer } = await scripted(t, { colorScheme, viewport });
      let asked = 0;
      answer(() => busy((asked += 1)));
      await plot(page, 'Connections').first().waitFor();
      while (asked < 90) {
        const answered = page.waitForResponse('**/status');
        await page.clock.runFor(1_000);
        await answered;
      }
      await page.locator('#numbers > summary').click();
      await page.locator('#number-rows tr').nth(7).waitFor();
      await isAccessible(page);
      assert.ok((await page.evaluate(() => document.documentElement.scrollWidth)) <= viewport.width);
      await page.screenshot({ path: `${WORK}status-${colorScheme}-${name}.png`, fullPage: true });
    });
  }
}

/** A server that is much used, leaves, and has been handed over to. */
function busy(asked) {
  const wave = (nth) => Math.round(800 + 300 * Math.sin(nth / 9) + 40 * Math.sin(nth));
  const sum = (nth) => nth * 40 + Math.round(300 * Math.sin(nth / 12));
  return {
    status: 'draining', version: '0.1.0', since: '2026-01-01T00:00:00Z', uptime_seconds: 36_000 + asked,
    connections: wave(asked), event_streams: 12, outbox_bytes: Math.max(0, 90_000 * Math.sin(asked / 5)),
    totals: {
      publications: sum(asked), deliveries: sum(asked) * 812, connects: asked * 3, disconnects: asked * 2,
      resumes: Math.floor(asked / 10) * 20, gaps: Math.floor(asked / 60),
    },
    topics: { count: 3, most_heard: [['notifications', 800], ['orders/*', 120], [`a/${'long'.repeat(25)}`, 1]].map(([topic, subscribers]) => ({ topic, subscribers })) },
    history: { events: 612, events_limit: 1_000, bytes: 300_000, bytes_limit: 16_777_216, oldest: '2026-01-01T09:12:00Z' },
    drain: {
      since: '2026-01-01T10:00:00Z', deadline: '2026-01-01T10:30:00Z', connections_then: 1_200, remaining: wave(asked),
      departures_per_second: 3.2, origin: 'SIGTERM',
    },
    handover: { result: 'completed', ended: '2026-01-01T08:00:00Z', seconds: 0.021, moved: 811, stayed: 1 },
    engine: { status: 'up', address: 'redis://10.0.0.1:6379', lag_seconds: 0.01, reconnects: 2 },
    workers: [1, 2].map((number) => ({ number, pid: 40_000 + number, connections: Math.round(wave(asked) / 2), event_streams: 6, outbox_bytes: 900 })),
  };
}

async function opened(t, look, more = []) {
  const server = await Server.start(t, 0, [...QUIET, ...more]);
  const [, admin] = (await server.line(/perators/)).match(/(http:\/\/127\.0\.0\.1:\d+)/);
  const { page } = await openPage(t, { address: admin }, look);
  await page.locator('body:is([data-state="serving"], [data-state="away"])').waitFor();
  return { server, admin, page };
}

/** The page whose server is the test: `answer` takes the next answers' JSON, a function of it, or a status code. */
async function scripted(t, look) {
  let next = {};
  const script = (page) => page.route('**/status', (route) => {
    const told = typeof next === 'function' ? next() : next;
    return typeof told === 'number' ? route.fulfill({ status: told, body: '' }) : route.fulfill({ json: told });
  });
  const server = await Server.start(t, 0, QUIET);
  const [, admin] = (await server.line(/perators/)).match(/(http:\/\/127\.0\.0\.1:\d+)/);
  const { page } = await openPage(t, { address: admin }, { ...look, script });
  return { page, answer: (told) => (next = told) };
}

function plot(page, name, now = '') {
  return page.locator('.plot', { has: page.getByText(name, { exact: true }) }).locator('.now', { hasText: now });
}
