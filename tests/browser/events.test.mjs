// Event streams in Chromium with the real server, by the browser's own EventSource: what it hears, how it comes back by itself,
// and when it gives up.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { test } from 'node:test';
import { Network } from './between.mjs';
import { NOBODY_LISTENS, WORK, openPage } from './page.mjs';
import { Server, atEnd } from './server.mjs';
import { SECRET, granting } from './tokens.mjs';

const [CONNECTING, OPEN, CLOSED] = [0, 1, 2];
const QUIET = ['--notify-interval', '0'];
/** What Chromium says of a stream that was cut and not ended. */
const CUT = /ERR_INCOMPLETE_CHUNKED_ENCODING/;
/** And of pages without an icon, and of a server that was killed or is away. */
const EXPECTED = new RegExp(`favicon|status of 404|${CUT.source}|${NOBODY_LISTENS.source}`);

const GUIDE = readFileSync(new URL('../../docs/event-streams.md', import.meta.url), 'utf8');

let names = 0;

/** An EventSource in a page, and what it has told so far. */
class Stream {
  static async open(page, url = '/events?topic=orders', options = {}) {
    const stream = new Stream();
    stream.page = page;
    stream.name = `stream${(names += 1)}`;
    await page.evaluate(([name, url, options]) => {
      const source = new EventSource(url, options);
      const told = [];
      window[name] = { source, told };
      for (const type of ['open', 'message', 'gap', 'reconnect', 'error']) {
        source.addEventListener(type, ({ data, lastEventId }) => told.push({ type, data, id: lastEventId, state: source.readyState }));
      }
      source.onmessage = ({ data }) => told.push({ type: 'onmessage', data });
    }, [stream.name, url, options]);
    return stream;
  }

  /** All of one type that it has told. */
  told(type) {
    return this.page.evaluate(([name, type]) => window[name].told.filter((it) => it.type === type), [this.name, type]);
  }

  /** Waits until it has told so many of this type. */
  async hears(type, count = 1) {
    await this.page.waitForFunction(([name, type, count]) => {
      return window[name].told.filter((it) => it.type === type).length >= count;
    }, [this.name, type, count]);
  }

  async isIn(state) {
    await this.page.waitForFunction(([name, state]) => window[name].source.readyState === state, [this.name, state]);
  }

  state() {
    return this.page.evaluate((name) => window[name].source.readyState, this.name);
  }

  /** What was published, of all that it has heard, in the order in which it has. */
  async data() {
    return (await this.told('message')).map(({ data }) => JSON.parse(data).data);
  }

  close() {
    return this.page.evaluate((name) => window[name].source.close(), this.name);
  }
}

/** A page of the server that does nothing by itself. */
function blank(t, server, look) {
  return openPage(t, server, { path: '/healthz', expected: EXPECTED, ...look });
}

/** A page of another origin, by its name or as this machine's. */
async function elsewhere(t, host, look) {
  const pages = createServer((_, response) => response.writeHead(200, { 'Content-Type': 'text/html' }).end('<p>app</p>'));
  await new Promise((resolve) => pages.listen(0, '127.0.0.1', resolve));
  atEnd(t, () => new Promise((resolve) => pages.close(resolve) && pages.closeAllConnections()));
  const origin = `http://${host}:${pages.address().port}`;
  return { origin, open: async (server) => (await openPage(t, { address: origin }, { expected: EXPECTED, ...look })).page };
}

function stateFile(name) {
  return `${WORK}events-${process.pid}-${name}.state`;
}

function from1To(last) {
  return Array.from({ length: last }, (_, nth) => nth + 1);
}

async function publish(server, ...data) {
  for (const it of data) await server.publish('orders', it);
}

test('onmessage hears to the letter what a WebSocket hears, but for line breaks between the parts of its JSON, and nothing else', async (t) => {
  const server = await Server.start(t, 0, QUIET);
  const { page } = await blank(t, server);
  const stream = await Stream.open(page);
  await stream.hears('open');
  const heard = page.evaluate((url) => new Promise((resolve) => {
    const texts = [];
    const socket = new WebSocket(url);
    socket.onmessage = ({ data }) => texts.push(data) === 5 && resolve(texts);
    socket.onopen = () => (window.socketIsOpen = true);
  }), `${server.address.replace('http', 'ws')}/ws?topic=orders`);
  await page.waitForFunction(() => window.socketIsOpen);
  await publish(server, { state: 'paid' }, 'two\nlines: Grüße, 水 and 🌊', '\r\ndata: no\n\n');
  const inLines = '{"topic":"orders","data":{\n  "written": [\n    "in",\n\n    "lines"\n  ]\n}}';
  const headers = { 'Content-Type': 'application/json' };
  await fetch(`${server.address}/publish`, { method: 'POST', headers, body: inLines });

  const [, ...texts] = await heard;
  await stream.hears('message', 4);
  const told = await stream.told('message');
  const lines = texts.map((text) => text.replaceAll('\n', ' '));
  assert.notDeepEqual(lines, texts);
  assert.deepEqual(told.map(({ data }) => data), lines);
  assert.deepEqual(told.map(({ data }) => JSON.parse(data)), texts.map((text) => JSON.parse(text)));
  assert.deepEqual(told.map(({ id }) => id), texts.map((text) => JSON.parse(text).id));
  assert.deepEqual((await stream.told('onmessage')).map(({ data }) => data), lines);
  assert.deepEqual([await stream.told('gap'), await stream.told('error')], [[], []]);
});

test('a stream comes back by itself through a guided redeploy, and misses nothing and hears nothing twice', async (t) => {
  const flags = [...QUIET, '--state-file', stateFile('redeploy'), '--drain-spread', '1'];
  const old = await Server.start(t, 0, flags);
  const { page } = await blank(t, old);
  const cuts = [];
  page.on('console', (said) => CUT.test(said.text()) && cuts.push(said.text()));
  const streams = [await Stream.open(page), await Stream.open(page), await Stream.open(page)];
  for (const stream of streams) await stream.hears('open');
  await publish(old, 1, 2, 3);
  old.signal('SIGTERM');
  await old.line(/Graceful shutdown initiated/);
  const successor = await Server.start(t, old.port, flags);
  await publish(successor, 4, 5);
  await old.line(/All WebSocket connections closed/);
  await publish(successor, 6);
  for (const stream of streams) await stream.hears('open', 2);
  await publish(successor, 7, 8);
  for (const stream of streams) {
    await stream.hears('message', 8);
    assert.deepEqual(await stream.data(), from1To(8));
    assert.deepEqual((await stream.told('error')).map(({ state }) => state), [CONNECTING]);
    assert.deepEqual(await stream.told('gap'), []);
    const [notice] = await stream.told('reconnect');
    assert.equal(JSON.parse(notice.data).reason, 'server_restart');
  }
  assert.deepEqual(cuts, []);
});

test('a stream that has heard nothing yet comes back for what was published while nobody served', async (t) => {
  const flags = [...QUIET, '--state-file', stateFile('restart'), '--drain-spread', '0'];
  const old = await Server.start(t, 0, flags);
  const { page } = await blank(t, old);
  const stream = await Stream.open(page);
  await stream.hears('open');
  await old.end('SIGTERM');
  await stream.hears('error', 2); // It has tried in vain.
  const successor = await Server.start(t, old.port, flags);
  await publish(successor, 1, 2);
  await stream.hears('message', 2);
  await publish(successor, 3);
  await stream.hears('message', 3);
  assert.deepEqual(await stream.data(), [1, 2, 3]);
  assert.deepEqual(await stream.told('gap'), []);
});

test('after a restart without its history a stream is told of the gap, and goes on from there', async (t) => {
  const old = await Server.start(t, 0, QUIET);
  const { page } = await blank(t, old);
  const stream = await Stream.open(page);
  await stream.hears('open');
  await publish(old, 1);
  await stream.hears('message');
  await old.end('SIGKILL');
  const flags = [...QUIET, '--state-file', stateFile('gap'), '--drain-spread', '0'];
  const successor = await Server.start(t, old.port, flags);
  await stream.hears('gap');
  await publish(successor, 2);
  await stream.hears('message', 2);
  await successor.end('SIGTERM');
  const third = await Server.start(t, old.port, flags);
  await publish(third, 3);
  await stream.hears('message', 3);
  assert.deepEqual(await stream.data(), [1, 2, 3]);
  const [gap, ...others] = await stream.told('gap');
  assert.deepEqual(others, []);
  assert.equal(JSON.parse(gap.data).type, 'gap');
  assert.deepEqual((await stream.told('onmessage')).length, 3, 'onmessage hears of no gap');
});

test('whoever asks a server that leaves is told to come back, and does', async (t) => {
  const flags = [...QUIET, '--state-file', stateFile('newcomer'), '--drain-spread', '1'];
  const old = await Server.start(t, 0, flags);
  const network = await Network.start(t, old);
  const { page } = await blank(t, old);
  // Keeps the old server from ending, as it does not heed that it is asked to reconnect.
  await page.evaluate(() => new Promise((resolve) => {
    window.staying = new WebSocket('/ws'.replace(/^/, location.origin.replace('http', 'ws')));
    window.staying.onopen = resolve;
  }));
  const answers = [];
  page.on('response', (response) => response.url().startsWith(network.address) && answers.push(response.status()));

  network.goSilent(); // The request is held back once its connection has been made.
  const stream = await Stream.open(page, `${network.address}/events?topic=orders`);
  await network.arrival();
  old.signal('SIGTERM');
  await old.line(/Graceful shutdown initiated/);
  const successor = await Server.start(t, old.port, flags);
  await publish(successor, 'missed');
  network.comeBack();
  await stream.hears('open', 2);
  await publish(successor, 'live');
  await stream.hears('message', 2);
  assert.deepEqual(await stream.data(), ['missed', 'live']);
  assert.deepEqual([answers, (await stream.told('error')).map(({ state }) => state)], [[200, 200], [CONNECTING]]);
});

test('a second tab hears the same, and a browser has six streams of an origin at most', async (t) => {
  const server = await Server.start(t, 0, QUIET);
  const { page } = await blank(t, server);
  const second = await page.context().newPage();
  await second.goto(`${server.address}/healthz`);
  const streams = [];
  for (const tab of [page, page, page, second, second, second]) streams.push(await Stream.open(tab));
  for (const stream of streams) await stream.hears('open');
  await server.line(/Total connections: 6$/);
  const seventh = await Stream.open(second);
  const request = second.evaluate(() => fetch('/healthz').then(({ status }) => status));
  // WebSockets are no part of this.
  await second.evaluate(() => new Promise((resolve) => (new WebSocket('/ws'.replace(/^/, location.origin.replace('http', 'ws'))).onmessage = resolve)));
  await publish(server, 'to all');
  for (const stream of streams) await stream.hears('message');
  assert.deepEqual([await seventh.state(), await seventh.told('open')], [CONNECTING, []]);
  await streams[0].close();
  await streams[3].close();
  await seventh.hears('open');
  assert.equal(await request, 200);
  await publish(server, 'to the seventh, too');
  await seventh.hears('message');
  assert.deepEqual(await seventh.data(), ['to the seventh, too']);
});

test('a page of another origin hears, and comes back for what it missed, only if it is allowed', async (t) => {
  for (const [host, isOfMachine] of [['app.example', false], ['localhost', true]]) {
    const app = await elsewhere(t, host, { expected: new RegExp(`${EXPECTED.source}|blocked by CORS policy|net::ERR_FAILED`) });
    const flags = [...QUIET, '--state-file', stateFile(host), '--drain-spread', '0'];
    const old = await Server.start(t, 0, flags);
    const page = await app.open();
    const url = `${old.address}/events?topic=orders`;
    if (!isOfMachine) {
      const refused = await Stream.open(page, url);
      await refused.isIn(CLOSED);
      await old.line(new RegExp(`Refused a page of the origin ${app.origin}: .* --allowed-origin ${app.origin}$`));
      await old.end('SIGTERM');
      flags.push('--allowed-origin', app.origin);
    }
    const server = isOfMachine ? old : await Server.start(t, old.port, flags);
    const stream = await Stream.open(page, url);
    await stream.hears('open');
    await publish(server, 1);
    await stream.hears('message');
    await server.end('SIGTERM');
    const successor = await Server.start(t, old.port, flags);
    await publish(successor, 2);
    await stream.hears('message', 2);
    assert.deepEqual([await stream.data(), await stream.told('gap')], [[1, 2], []]);
  }
});

test('a token in the address lets a stream in until it expires, and then the browser gives up', async (t) => {
  const server = await Server.start(t, 0, [...QUIET, '--auth-secret', SECRET]);
  const expected = new RegExp(`${EXPECTED.source}|status of 40[13]`);
  const { page } = await blank(t, server, { expected });
  const statuses = [];
  page.on('response', (response) => response.url().includes('/events') && statuses.push(response.status()));
  const stream = await Stream.open(page, `/events?topic=orders&token=${granting({ seconds: 2 })}`);
  await stream.hears('open');
  await publish(server, 1);
  await stream.hears('message');
  await stream.isIn(CLOSED);
  assert.deepEqual(statuses, [200, 401]);
  assert.deepEqual((await stream.told('error')).map(({ state }) => state), [CONNECTING, CLOSED]);

  const forbidden = await Stream.open(page, `/events?topic=orders&token=${granting({ subscribe: ['news'] })}`);
  await forbidden.isIn(CLOSED);
  assert.deepEqual(statuses.slice(2), [403]);
});

test('a page with the cookie needs no token in the address, also when it comes back', async (t) => {
  const flags = [...QUIET, '--auth-secret', SECRET, '--state-file', stateFile('cookie'), '--drain-spread', '0'];
  const old = await Server.start(t, 0, flags);
  const script = (page) => page.context().addCookies([{ name: 'slackwater_token', value: granting(), url: old.address }]);
  const { page } = await blank(t, old, { script });
  const stream = await Stream.open(page);
  await stream.hears('open');
  await publish(old, 1);
  await old.end('SIGTERM');
  const successor = await Server.start(t, old.port, flags);
  await publish(successor, 2);
  await stream.hears('message', 2);
  assert.deepEqual(await stream.data(), [1, 2]);
});

test('the script of the guide goes on where it was, also when the browser has given up', async (t) => {
  const first = await Server.start(t, 0, QUIET);
  const script = GUIDE.match(/^```js\n(.*?)^```$/ms)[1].replaceAll(':8000', `:${first.port}`);
  const app = await elsewhere(t, 'localhost', { expected: new RegExp(`${EXPECTED.source}|status of 401|Something may have`) });
  const page = await app.open();
  const heard = [];
  await page.exposeFunction('hear', ({ data }) => heard.push(data));
  await page.evaluate(() => (console.log = window.hear));
  const hears = async (data) => {
    while (heard.at(-1) !== data) await new Promise((resolve) => setImmediate(resolve));
  };
  const opened = page.waitForResponse((response) => response.status() === 200);
  await page.addScriptTag({ content: script });
  await opened;
  await first.publish('orders/1', 'one');
  await hears('one');
  await first.end('SIGKILL');
  const refused = page.waitForResponse((response) => response.status() === 401);
  const strict = await Server.start(t, first.port, [...QUIET, '--auth-secret', SECRET]);
  await refused;
  await strict.end('SIGKILL');
  const warned = page.waitForEvent('console', (said) => said.text() === 'Something may have been missed');
  const last = await Server.start(t, first.port, QUIET);
  await warned;
  await last.publish('orders/1', 'two');
  await hears('two');
  assert.deepEqual(heard, ['one', 'two']);
});
