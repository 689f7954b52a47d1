// What the Node clients `ws` and undici's WebSocket, which is that of Node itself, see of a Slackwater that compresses.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createRequire } from 'node:module';
import { connect } from 'node:net';
import { after, before, test } from 'node:test';
import { Client } from './client.mjs';
import { Slackwater, within } from './slackwater.mjs';

const undici = createRequire(`${process.env.FOREIGN_NODE}/package.json`)('undici');

const COMPRESSING = ['--notify-interval', '0', '--ws-per-message-deflate'];
// As JSON some 100 octets, 400 and 3200.
const SHORT = 'short', MIDDLE = 'paid, sent; '.repeat(25), LONG = 'paid, sent; '.repeat(260);
const ALL = [SHORT, MIDDLE, LONG, SHORT, LONG, MIDDLE];

let server;
before(async () => { server = await Slackwater.start(...COMPRESSING); });
after(() => server.stop());

async function publish(data) {
  const body = JSON.stringify(data.map((data) => ({ topic: 'orders', data })));
  const headers = { 'Content-Type': 'application/json' };
  const answer = await fetch(`http://127.0.0.1:${server.port}/publish`, { method: 'POST', body, headers });
  assert.equal(answer.status, 200);
  return (await answer.json()).ids;
}

// A listener that has been welcomed, and the connection below it, which counts what it reads.
async function listen(perMessageDeflate, query = '') {
  let wire;
  const createConnection = ({ host, port }) => (wire = connect({ host, port }));
  const client = await Client.connect(server, { perMessageDeflate, createConnection }, `?topic=orders${query}`);
  assert.equal((await within(client.next(), 'welcome')).type, 'welcome');
  return { client, wire };
}

async function heard(client, count) {
  const data = [];
  while (data.length < count) data.push((await within(client.next(), `publication ${data.length}`)).data);
  return data;
}

// How many octets come for these publications.
async function octetsFor(listener, data) {
  const before = listener.wire.bytesRead;
  await publish(data);
  assert.deepEqual(await heard(listener.client, data.length), data);
  return listener.wire.bytesRead - before;
}

test('what ws offers by itself is agreed on', async () => {
  const listener = await listen(true);
  assert.equal(listener.client.socket.extensions, 'permessage-deflate');
  assert.ok(await octetsFor(listener, [LONG]) < 500);
  await listener.client.echo('compressible '.repeat(4000));
});

const OFFERS = [
  ...[9, 10, 11, 12, 13, 14, 15].map((bits) => ({ serverMaxWindowBits: bits })),
  ...[9, 10, 11, 12, 13, 14, 15].map((bits) => ({ clientMaxWindowBits: bits })),
  { serverNoContextTakeover: true },
  { clientNoContextTakeover: true },
  { serverNoContextTakeover: true, clientNoContextTakeover: true, serverMaxWindowBits: 9, clientMaxWindowBits: 9 },
];

for (const offer of OFFERS) {
  test(`all is heard and said with ${JSON.stringify(offer)}`, async () => {
    // It compresses whatever it sends.
    const listener = await listen({ ...offer, threshold: 0 });
    assert.equal(listener.client.socket.extensions, 'permessage-deflate');
    await octetsFor(listener, ALL);
    const window = 2 ** (offer.serverMaxWindowBits ?? 15);
    for (const [data, length] of [[MIDDLE, 400], [LONG, 3200]]) {
      const octets = await octetsFor(listener, [data]);
      assert.equal(octets < length * 0.7, length <= window, `${octets} octets of ${length}`);
    }
    for (const text of ['', SHORT, MIDDLE, LONG.repeat(10), 'Grüße, 世界 🌊'.repeat(2000)]) await listener.client.echo(text);
  });
}

test('what was missed comes compressed', async () => {
  const { client } = await listen(true);
  const [last] = await publish(ALL);
  assert.deepEqual(await heard(client, ALL.length), ALL);
  client.socket.terminate();
  const many = Array.from({ length: 15 }, (_, n) => [n, LONG]);
  await publish(many);
  const { client: back, wire } = await listen(true, `&last_event_id=${last}`);
  assert.deepEqual(await heard(back, ALL.length - 1 + many.length), [...ALL.slice(1), ...many]);
  assert.ok(wire.bytesRead < 10_000, `${wire.bytesRead} octets`);
  back.socket.send('is there more?');
  assert.equal((await within(back.next(), 'echo')).type, 'echo');
});

test('a fragmented message is inflated as one, and a ping fits between its fragments', async () => {
  const { client } = await listen({ threshold: 0 });
  client.socket.send(MIDDLE, { fin: false });
  client.socket.ping('between');
  await within(once(client.socket, 'pong'), 'pong');
  client.socket.send(LONG, { fin: true });
  assert.equal((await client.hear('echo')).message, `Server received: ${MIDDLE}${LONG}`);
});

test('compressed and plain messages may alternate', async () => {
  const { client } = await listen({ threshold: 0 });
  for (let n = 0; n < 20; n++) {
    client.socket.send(`${n} ${MIDDLE}`, { compress: n % 2 === 0 });
    assert.equal((await client.hear('echo')).message, `Server received: ${n} ${MIDDLE}`);
  }
});

test('a message that is too big once inflated ends with 1009', async () => {
  for (const size of [65_537, 50_000_000]) {
    const { client } = await listen(true);
    client.socket.send('x'.repeat(size));
    assert.equal(await client.closeCode(), 1009);
  }
});

test('the WebSocket of Node itself agrees on compression, and hears all', async () => {
  const socket = new undici.WebSocket(`${server.url}?topic=orders`);
  const told = [];
  socket.addEventListener('message', ({ data }) => told.push(JSON.parse(data)));
  const next = async () => {
    while (told.length === 0) await within(once(socket, 'message'), 'message');
    return told.shift();
  };
  assert.equal((await next()).type, 'welcome');
  assert.match(socket.extensions, /^permessage-deflate/);
  await publish(ALL);
  for (const data of ALL) assert.equal((await next()).data, data);
  for (const text of ['', SHORT, LONG.repeat(10)]) {
    socket.send(text);
    assert.equal((await next()).message, `Server received: ${text}`);
  }
  socket.close(1000);
  const [{ code }] = await within(once(socket, 'close'), 'close');
  assert.equal(code, 1000);
});
