// What the Node client `ws` sees of Slackwater. Publishing is in publish.test.mjs.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, test } from 'node:test';
import { Client, withServer } from './client.mjs';
import { Slackwater, within } from './slackwater.mjs';

const QUIET = ['--notify-interval', '0'];

let shared;
before(async () => { shared = await Slackwater.start(...QUIET); });
after(() => shared.stop());

test('the welcome comes first', async () => {
  const client = await Client.connect(shared);
  const welcome = await within(client.next(), 'message');
  assert.equal(Object.keys(welcome)[0], 'type');
  assert.equal(welcome.type, 'welcome');
  assert.equal(welcome.message, 'Connected to WebSocket server');
  assert.deepEqual(welcome.topics, ['notifications']);
  assert.equal(welcome.resumed, false);
  assert.equal(typeof welcome.last_event_id, 'string');
  assert.ok(welcome.connection_id);
  assert.equal(new Date(welcome.timestamp).toISOString(), welcome.timestamp);
});

test('everyone hears the same notifications in the same order', withServer(['--notify-interval', '0.5'], async (server) => {
  const clients = [];
  for (let i = 0; i < 5; i++) clients.push(await Client.connect(server));
  const last = clients.at(-1);
  const heard = [];
  while (heard.length < 3) heard.push(await last.hear('notification'));
  for (const client of clients.slice(0, -1)) {
    const theirs = [];
    // It came earlier, so it may have heard more.
    while (theirs.at(-1)?.id !== heard.at(-1).id && theirs.length < 10) theirs.push(await client.hear('notification'));
    assert.deepEqual(theirs.slice(-3), heard);
  }
  assert.equal(heard[0].active_connections, 5);
}));

test('texts are echoed, whatever their alphabet and size', async () => {
  const client = await Client.connect(shared);
  for (const text of ['hello', 'Grüße, 世界 🌊', 'x'.repeat(60 * 1024)]) await client.echo(text);
});

test('a fragmented message is one message, and a ping fits between its fragments', async () => {
  const client = await Client.connect(shared);
  client.socket.send('in ', { fin: false });
  client.socket.send('three ', { fin: false });
  client.socket.ping('between');
  const [pong] = await within(once(client.socket, 'pong'), 'pong');
  assert.equal(pong.toString(), 'between');
  client.socket.send('fragments', { fin: true });
  assert.equal((await client.hear('echo')).message, 'Server received: in three fragments');
});

const IMPATIENT = [...QUIET, '--ws-ping-interval', '0.2', '--ws-ping-timeout', '0.5'];

test('an idle client stays, for it answers the pings', withServer(IMPATIENT, async (server) => {
  const client = await Client.connect(server);
  for (let pings = 0; pings < 10; pings++) await within(once(client.socket, 'ping'), 'ping');
  await client.echo('still here');
}));

test('pings keep their interval, however long the timeout', withServer(
  [...QUIET, '--ws-ping-interval', '0.2', '--ws-ping-timeout', '60'], async (server) => {
    const client = await Client.connect(server);
    for (let pings = 0; pings < 3; pings++) await within(once(client.socket, 'ping'), 'ping');
  }));

test('a client that answers no ping is closed with 4003', withServer(IMPATIENT, async (server) => {
  const client = await Client.connect(server, { autoPong: false });
  assert.equal(await client.closeCode(), 4003);
}));

test('a binary message ends with 1003', async () => {
  const client = await Client.connect(shared);
  client.socket.send(Buffer.from([0, 1]));
  assert.equal(await client.closeCode(), 1003);
});

test('a message too big ends with 1009', async () => {
  for (const size of [65_537, 1_000_000]) {
    const client = await Client.connect(shared);
    client.socket.send('x'.repeat(size));
    assert.equal(await client.closeCode(), 1009);
  }
});

test('the close code of a client comes back', async () => {
  const NO_CODE = 1005;
  for (const [sent, back] of [[[1000, 'enough'], 1000], [[4321, 'enough'], 4321], [[], NO_CODE]]) {
    const client = await Client.connect(shared);
    assert.equal(await client.leave(...sent), back);
  }
});

test('compression is offered and politely not taken', async () => {
  const client = await Client.connect(shared, { perMessageDeflate: { threshold: 0 } });
  assert.equal(client.socket.extensions, '');
  await client.echo('compressible '.repeat(1000));
});

test('200 clients at once are heard', withServer(QUIET, async (server) => {
  const clients = await Promise.all(Array.from({ length: 200 }, () => Client.connect(server)));
  await Promise.all(clients.map((client, number) => client.echo(`I am ${number}`)));
  await server.line(/Client connected\. Total connections: 200$/);
  await Promise.all(clients.map((client) => client.leave()));
  await server.line(/Client disconnected\. Total connections: 0$/);
}));

test('a leaving server serves those who stay, and ends with the last of them', withServer(QUIET, async (server) => {
  const clients = await Promise.all([1, 2, 3].map(() => Client.connect(server)));
  server.signal();
  await server.line(/\[INFO\] Waiting for 3 connections to close\. Time remaining: 1800s$/);
  await assert.rejects(Client.connect(server), { code: 'ECONNREFUSED' });
  for (const client of clients) {
    await client.echo('are you still there?');
    assert.equal(await client.leave(1000), 1000);
  }
  assert.equal(await server.exitCode(), 0);
}));

test('a second signal closes everyone with 1012', withServer(QUIET, async (server) => {
  const clients = await Promise.all([1, 2, 3].map(() => Client.connect(server)));
  server.signal();
  await server.line(/\[INFO\] Waiting for 3 connections/);
  server.signal();
  assert.deepEqual(await Promise.all(clients.map((client) => client.closeCode())), [1012, 1012, 1012]);
  assert.equal(await server.exitCode(), 1);
}));
