// The page under test in headless Chromium: how it is opened, what its console may say, and how a user reads and acts.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { after, before } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Server, atEnd } from './server.mjs';

export const WORK = fileURLToPath(new URL('../../target/browser/', import.meta.url));
const { chromium } = createRequire(WORK)('playwright-core');
const AXE = readFileSync(createRequire(WORK).resolve('axe-core/axe.min.js'), 'utf8');

const DEADLINE_MS = 15_000;
export const HOSTILE = '<img src=x onerror=alert(1)>';
/** What Chromium says about attempts made while no server listens. */
export const NOBODY_LISTENS = /net::ERR_CONNECTION_(REFUSED|RESET)/;

/**
 * What it says by chance: that the page let go of an attempt, since the user or the network wants another one; and that a server which has
 * room says so (426) to the page's plain question why a handshake failed, when it began to listen, or the network came back, in between.
 */
const BY_CHANCE = /closed before the connection is established|status of 426 \(Upgrade Required\)/;

let browser;
before(async () => {
  browser = await chromium.launch({
    executablePath: '/usr/bin/chromium',
    headless: true,
    args: [
      '--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu', '--disable-quic', '--no-first-run',
      '--host-resolver-rules=MAP *.example 127.0.0.1', // Pages of other sites, and a name that was rebound.
      '--disable-background-networking', '--disable-component-update', '--disable-sync',
    ],
  });
});
after(() => browser?.close());

/** The page in a browser of its own; at the end of the test its console must have been silent but for `expected`. */
export async function openPage(t, server, { path = '/', expected = null, script = null, ...look } = {}) {
  const context = await browser.newContext(look);
  const page = await context.newPage();
  page.setDefaultTimeout(DEADLINE_MS);
  page.sockets = [];
  const complaints = [];
  page.on('websocket', (socket) => page.sockets.push(socket));
  page.on('console', (said) => ['error', 'warning'].includes(said.type()) && complaints.push(said.text()));
  page.on('pageerror', (error) => complaints.push(String(error)));
  page.on('dialog', (dialog) => complaints.push(`dialog: ${dialog.message()}`) && dialog.dismiss());
  atEnd(t, async () => {
    await context.close();
    assert.deepEqual(complaints.filter((text) => !BY_CHANCE.test(text) && !expected?.test(text)), []);
  });

  await page.addInitScript(() => (window.framesOfTheBrowser = window.requestAnimationFrame.bind(window)));
  await page.clock.install();
  // Timers are the test's, and what is drawn is drawn.
  await page.addInitScript(() => (window.requestAnimationFrame = window.framesOfTheBrowser));
  await script?.(page);
  await page.goto(server.address + path);
  return { page };
}

/** The page with a WebSocket whose other end is the test. */
export async function openScripted(t, look) {
  let socket;
  const script = (page) =>
    page.routeWebSocket('**/ws?*', (route) => {
      socket = route;
      route.send('{"type":"welcome","message":"scripted"}');
    });
  const { page } = await openPage(t, await Server.start(t), { script, ...look });
  await inState(page, 'open');
  await rows(page, 'welcome').waitFor();
  await page.getByRole('button', { name: 'Clear' }).click();
  return {
    page,
    say: (message) => socket.send(isRaw(message) ? message : JSON.stringify(message)),
    close: (code, reason) => socket.close({ code, reason }),
  };
}

function isRaw(message) {
  return typeof message === 'string' || Buffer.isBuffer(message);
}

export function inState(page, state) {
  return page.locator(`body[data-state="${state}"]`).waitFor();
}

export function rows(page, type, text = '') {
  return page.getByRole('log').locator(`.row[data-type="${type}"]`, { hasText: text });
}

export async function rawMessage(row) {
  await row.locator('summary').click();
  return JSON.parse(await row.locator('pre', { hasText: '{' }).textContent());
}

export async function send(page, text) {
  const box = page.getByLabel('Send a message');
  await box.fill(text);
  await box.press('Enter');
}

export async function subscribe(page, topic) {
  const field = page.getByLabel('Topic to listen to');
  await field.fill(topic);
  await field.press('Enter');
}

export async function publish(page, topic, text) {
  await page.locator('#publish-topic').fill(topic);
  await page.getByLabel('Data').fill(text);
  await page.getByRole('button', { name: 'Publish', exact: true }).click();
}

/** Nothing is wider than the window. */
export async function isWithin(page, width) {
  const widths = await page.evaluate(() => ['html', '.controls', '#log'].map((it) => document.querySelector(it).scrollWidth));
  assert.ok(Math.max(...widths) <= width, `${widths}`);
}

/** By the rules of axe-core, in the light or dark that the page is shown in. */
export async function isAccessible(page) {
  await page.evaluate(AXE);
  const { violations } = await page.evaluate(() => window.axe.run({ rules: { region: { enabled: false } } }));
  assert.deepEqual(violations.map(({ id, nodes }) => [id, nodes.map(({ html }) => html)]), []);
}

/** From here on the timers of the page run only when the test says so. */
export async function stopTheClock(page) {
  await page.clock.pauseAt(await page.evaluate(() => Date.now() + 60_000));
}
