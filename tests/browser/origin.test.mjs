// Pages of other origins with the real server, as docs/clients.md has them: on this machine, of another site, from a file, in a
// sandboxed frame, and with a name that was rebound to this machine.

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { inState, openPage } from './page.mjs';
import { Server, atEnd } from './server.mjs';

/** What Chromium says of a handshake that is answered 403, and of a page that asked in vain to send a request. */
const REFUSED = /WebSocket connection to .* failed: Error during WebSocket handshake: Unexpected response code: 403|blocked by CORS policy|net::ERR_FAILED/;

const GUIDE = readFileSync(new URL('../../docs/clients.md', import.meta.url), 'utf8');

/** The page of the guide, to the letter but for the port. */
function snippet(server) {
  const [, html] = GUIDE.match(/^```html\n(.*?)^```$/ms);
  const text = html.replaceAll('127.0.0.1:8000', `127.0.0.1:${server.port}`);
  assert.notEqual(text, html);
  return text;
}

/** Serves a page, or what it is each time, at a port of its own. */
async function serve(t, html) {
  const pages = createServer((request, response) => {
    response.writeHead(request.url === '/' ? 200 : 204, { 'Content-Type': 'text/html' }).end(typeof html === 'function' ? html() : html);
  });
  await new Promise((resolve) => pages.listen(0, '127.0.0.1', resolve));
  atEnd(t, () => new Promise((resolve) => pages.close(resolve) && pages.closeAllConnections()));
  return pages.address().port;
}

/** Opens a page; `hears` waits until it has logged a message, which is its welcome. Chromium does not always show what is in it. */
async function open(t, address, expected = null) {
  const isMessage = (said) => said.type() === 'log';
  let first;
  const script = (page) => { first = page.waitForEvent('console', { predicate: isMessage, timeout: 15_000 }).catch(() => null); };
  const { page } = await openPage(t, { address }, { path: '', script, expected });
  return { page, hears: async () => assert.ok(await first, 'it hears nothing') };
}

/** What a page is answered that publishes JSON, which a browser asks for first; null if it may not know. */
function publish(page, server) {
  return page.evaluate(async (address) => {
    const headers = { 'Content-Type': 'application/json', 'Idempotency-Key': crypto.randomUUID?.() ?? String(Math.random()) };
    const answer = fetch(address, { method: 'POST', headers, body: JSON.stringify({ data: 'from a page' }) });
    return answer.then((answer) => answer.status, () => null);
  }, `${server.address}/publish`);
}

function start(t, ...origins) {
  return Server.start(t, 0, ['--notify-interval', '0', ...origins.flatMap((origin) => ['--allowed-origin', origin])]);
}

test('the page of the guide listens from any origin of this machine, and publishes only if it is allowed', async (t) => {
  const server = await start(t);
  const port = await serve(t, snippet(server));
  for (const host of ['localhost', '127.0.0.1']) {
    const { page, hears } = await open(t, `http://${host}:${port}`, REFUSED);
    await hears();
    assert.equal(await publish(page, server), null);
    await server.line(new RegExp(`--allowed-origin http://${host}:${port}$`));
  }
});

test('a page of another site is let in by its origin alone', async (t) => {
  let server;
  const port = await serve(t, () => snippet(server));
  const address = `http://app.example:${port}`;
  server = await start(t, 'https://app.example', `http://other.example:${port}`);
  const { page } = await open(t, address, REFUSED);
  assert.equal(await publish(page, server), null);
  await server.line(new RegExp(`Refused a page of the origin ${address}: .* --allowed-origin ${address}$`));

  for (const origin of [address, `http://*.example:${port}`, '*']) {
    server = await start(t, origin);
    const { page, hears } = await open(t, address);
    await hears();
    assert.equal(await publish(page, server), 200);
  }
});

test('a page of an allowed origin publishes with a token, and reads why it may not', async (t) => {
  const port = await serve(t, '<p>app</p>');
  const origin = `http://app.example:${port}`;
  const flags = ['--publish-token', 'sesame', '--allowed-origin', origin, '--max-publish-size', '100'];
  const server = await Server.start(t, 0, flags);
  const { page } = await open(t, origin, /status of (401|413|422)/);
  const answers = await page.evaluate(async (address) => {
    const ask = async (token, path, body) => {
      const headers = { Authorization: `Bearer ${token}` };
      const answer = await fetch(address + path, { method: 'POST', headers, body });
      return [answer.status, Object.keys(await answer.json())[0]];
    };
    return [
      await ask('sesame', '/publish', 'x'), await ask('guess', '/publish', 'x'),
      await ask('sesame', '/publish?topic=a+b', 'x'), await ask('sesame', '/publish', 'x'.repeat(101)),
    ];
  }, server.address);
  assert.deepEqual(answers, [[200, 'id'], [401, 'error'], [422, 'error'], [413, 'error']]);
});

test('a page from a file, and a sandboxed frame of any site, is let in by null alone', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'slackwater-'));
  atEnd(t, () => rmSync(folder, { recursive: true }));
  const from = (server) => {
    writeFileSync(join(folder, 'page.html'), snippet(server));
    return pathToFileURL(join(folder, 'page.html')).href;
  };
  const framed = async (server) => {
    const html = snippet(server).replaceAll('"', '&quot;');
    return `http://app.example:${await serve(t, `<iframe sandbox="allow-scripts" srcdoc="${html}"></iframe>`)}`;
  };
  for (const address of [from, framed]) {
    const without = await start(t);
    await open(t, await address(without), REFUSED);
    await without.line(/ --allowed-origin null$/);
    const server = await start(t, 'null');
    const { page, hears } = await open(t, await address(server));
    await hears();
    if (address === from) assert.equal(await publish(page, server), 200);
  }
});

test('a page whose name was rebound to this machine hears nothing', async (t) => {
  const server = await start(t);
  // It has come from this very port, as far as the browser knows.
  const { page } = await open(t, `http://rebound.example:${server.port}/`, REFUSED);
  await server.line(/Refused a page of the origin http:\/\/rebound\.example:\d+, which calls this machine/);
  assert.equal(await page.getByRole('log').locator('.row[data-type="welcome"]').count(), 0);
  const { page: own } = await open(t, `http://localhost:${server.port}/`);
  await inState(own, 'open');
});
