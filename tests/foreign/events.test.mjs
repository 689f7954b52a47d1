// What other implementations of EventSource than a browser's hear: the package `eventsource`, and undici's, which is Node's own.
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { Slackwater, within } from './slackwater.mjs';

const installed = createRequire(`${process.env.FOREIGN_NODE}/package.json`);
const KINDS = {
  eventsource: (await import(pathToFileURL(installed.resolve('eventsource')))).EventSource,
  undici: installed('undici').EventSource,
};
const QUIET = ['--notify-interval', '0'];

let server;
before(async () => { server = await Slackwater.start(...QUIET); });
after(() => server.kill());

const streams = new Set();
afterEach(() => {
  for (const stream of streams) stream.source.close();
  streams.clear();
});

// An EventSource, and what it has told so far.
class Stream {
  told = [];
  opened = 0;
  #look = () => {};

  static async open(EventSource, server, query = '?topic=orders') {
    const stream = new Stream();
    streams.add(stream);
    stream.source = new EventSource(`http://127.0.0.1:${server.port}/events${query}`);
    for (const type of ['open', 'message', 'gap', 'reconnect', 'error']) {
      stream.source.addEventListener(type, ({ data, lastEventId }) => {
        if (type === 'open') stream.opened += 1;
        else stream.told.push({ type, id: lastEventId, message: data && JSON.parse(data) });
        stream.#look();
      });
    }
    await stream.until(() => stream.opened, 'open');
    return stream;
  }

  of(type) {
    return this.told.filter((it) => it.type === type);
  }

  get data() {
    return this.of('message').map(({ message }) => message.data);
  }

  until(isSo, awaited) {
    return within(new Promise((resolve) => {
      this.#look = () => isSo() && resolve();
      this.#look();
    }), awaited);
  }

  hears(count) {
    return this.until(() => this.data.length >= count, `publication ${count}`);
  }
}

async function publish(server, ...data) {
  const body = JSON.stringify(data.map((datum) => ({ topic: 'orders', data: datum })));
  const headers = { 'Content-Type': 'application/json' };
  const answer = await fetch(`http://127.0.0.1:${server.port}/publish`, { method: 'POST', body, headers });
  assert.equal(answer.status, 200);
  return (await answer.json()).ids;
}

const numbers = (from, to) => Array.from({ length: to - from }, (_, n) => from + n);

for (const [name, EventSource] of Object.entries(KINDS)) {
  test(`${name} hears each publication as it comes, with its id`, async () => {
    const stream = await Stream.open(EventSource, server);
    const all = [1, 'Grüße, 世界 🌊 \u2028', { a: [null, 'x'.repeat(60_000)] }];
    for (const [n, data] of all.entries()) {
      const [id] = await publish(server, data);
      await stream.hears(n + 1);
      assert.deepEqual(stream.told.at(-1), { type: 'message', id, message: { ...stream.told.at(-1).message, id, data } });
    }
    assert.deepEqual(stream.data, all);
  });

  test(`${name} is told what it missed, or of a gap`, async () => {
    const [last] = await publish(server, ...numbers(0, 200));
    const stream = await Stream.open(EventSource, server, `?topic=orders&last_event_id=${last}`);
    await stream.hears(199);
    assert.deepEqual(stream.data, numbers(1, 200));
    const lost = await Stream.open(EventSource, server, '?topic=orders&last_event_id=ffffffff-1');
    await lost.until(() => lost.of('gap').length, 'gap');
    await publish(server, 'live');
    await lost.hears(1);
    assert.deepEqual(lost.data, ['live']);
  });

  test(`${name} comes back by itself through drains and restarts, and misses nothing`, async () => {
    const folder = await mkdtemp(join(tmpdir(), 'slackwater-'));
    const flags = [...QUIET, '--drain-spread', '1', '--state-file', join(folder, 'state')];
    let server = await Slackwater.start(...flags);
    const servers = [server];
    try {
      const all = await Promise.all(numbers(0, 5).map(() => Stream.open(EventSource, server)));
      for (let round = 0; round < 2; round++) {
        const start = 100 * round;
        await publish(server, ...numbers(start, start + 50));
        await Promise.all(all.map((stream) => stream.hears(start + 50)));
        server.signal();
        await server.line(/\[INFO\] Waiting for 5 connections/);
        const successor = await Slackwater.start(...flags, '--port', server.port);
        servers.push(successor);
        // Some have not come back yet, and some are there.
        for (const n of numbers(start + 50, start + 100)) await publish(successor, n);
        assert.equal(await server.exitCode(), 0);
        server = successor;
      }
      await Promise.all(all.map((stream) => stream.hears(200)));
      for (const stream of all) {
        assert.deepEqual(stream.data, numbers(0, 200));
        assert.deepEqual([stream.of('reconnect').length, stream.of('gap').length, stream.opened], [2, 0, 3]);
      }
    } finally {
      servers.forEach((server) => server.kill());
      await rm(folder, { recursive: true });
    }
  });

  test(`${name} gives up on what will never be heard`, async () => {
    const source = new EventSource(`http://127.0.0.1:${server.port}/events?topic=a+b`);
    await within(new Promise((resolve) => source.addEventListener('error', resolve)), 'error');
    assert.equal(source.readyState, EventSource.CLOSED);
  });
}
