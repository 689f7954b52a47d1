// What Node's clients notice of a server that hands over to another process: nothing. Python's are in test_handover.py.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Client, withServer } from './client.mjs';

const FLAGS = ['--notify-interval', '0', '--ws-per-message-deflate'];
const TIMES = 3;

async function publish(server, ...data) {
  const body = JSON.stringify(data.map((datum) => ({ topic: 'orders', data: datum })));
  const headers = { 'Content-Type': 'application/json' };
  const answer = await fetch(`http://127.0.0.1:${server.port}/publish`, { method: 'POST', headers, body });
  assert.equal(answer.status, 200);
}

for (const [perMessageDeflate, workers] of [[false, '1'], [true, '1'], [true, '2']]) {
  const flags = [...FLAGS, '--workers', workers];
  test(`a client stays through three hand-overs (perMessageDeflate ${perMessageDeflate}, --workers ${workers})`, withServer(flags, async (server) => {
    const client = await Client.connect(server, { perMessageDeflate }, '?topic=orders');
    assert.equal(client.socket.extensions, perMessageDeflate ? 'permessage-deflate' : '');
    await client.hear('welcome');
    const [heard, expected] = [[], []];
    for (let time = 0; time < TIMES; time += 1) {
      const data = [`before ${time}`, 'x'.repeat(1000), `after ${time}`];
      await publish(server, ...data.slice(0, 2));
      assert.equal(await server.handOver(), 0);
      await publish(server, data[2]);
      expected.push(...data);
      while (heard.length < expected.length) heard.push(await client.hear('notification'));
      await client.echo(`after hand-over ${time}`);
    }
    assert.deepEqual(heard.map(({ data }) => data), expected);
    const numbers = heard.map(({ id }) => Number(id.split('-')[1]));
    assert.deepEqual(numbers, Array.from(numbers, (_, nth) => numbers[0] + nth));
    assert.equal(server.log.filter((line) => line.includes('Client connected')).length, 1);
    assert.equal(await client.leave(1000), 1000);
  }));
}

test('a message in fragments may be begun with one process and ended with the next', withServer(FLAGS, async (server) => {
  const client = await Client.connect(server, { perMessageDeflate: true });
  await client.hear('welcome');
  client.socket.send('half of it, ', { fin: false });
  await new Promise((resolve) => client.socket.ping('is it there?') || client.socket.once('pong', resolve));
  assert.equal(await server.handOver(), 0);
  client.socket.send('and the other', { fin: true });
  assert.equal((await client.hear('echo')).message, 'Server received: half of it, and the other');
}));
