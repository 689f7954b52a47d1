// Node speaks https and wss as it speaks in plain: `https`, fetch and `ws`.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import https from 'node:https';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import { serving } from './serving.mjs';

const require = createRequire(`${process.env.FOREIGN_NODE}/`);
const WebSocket = require('ws');
const ca = readFileSync(`${process.env.TLS_AUTHORITY}/ca.pem`);

for (const kind of ['ec', 'rsa']) {
  test(`a WebSocket over TLS hears what fetch publishes (${kind})`, async (t) => {
    const server = await serving(t, kind);
    const socket = new WebSocket(`${server.address.replace('https', 'wss')}/ws?topic=a`, { ca });
    const [welcome] = await once(socket, 'message');
    assert.equal(JSON.parse(welcome).type, 'welcome');
    const heard = once(socket, 'message');
    await server.publish('a', { text: 'hello' });
    assert.deepEqual(JSON.parse((await heard)[0]).data, { text: 'hello' });
    socket.close(1000);
    const [code] = await once(socket, 'close');
    assert.equal(code, 1000);
  });
}

for (const version of ['TLSv1.2', 'TLSv1.3']) {
  test(`an agent keeps its connection, and comes back by a session once it has none (${version})`, async (t) => {
    const server = await serving(t, 'ec');
    const options = { ca, minVersion: version, maxVersion: version };
    const ask = (agent) => new Promise((resolve, reject) => {
      const request = https.get(`${server.address}/healthz`, { agent }, async (response) => {
        const { socket } = response;
        const seen = { status: response.statusCode, version: socket.getProtocol(), isBack: socket.isSessionReused() };
        for await (const _ of response);
        resolve({ ...seen, isKept: request.reusedSocket });
      }).on('error', reject);
    });
    const agent = new https.Agent({ ...options, keepAlive: true, maxSockets: 1 });
    t.after(() => agent.destroy());
    assert.deepEqual(await ask(agent), { status: 200, version, isBack: false, isKept: false });
    assert.deepEqual(await ask(agent), { status: 200, version, isBack: false, isKept: true });
    agent.destroy();
    assert.deepEqual(await ask(agent), { status: 200, version, isBack: true, isKept: false });
  });
}

test('a certificate by nobody known is not believed', async (t) => {
  const server = await serving(t, 'ec');
  const socket = new WebSocket(`${server.address.replace('https', 'wss')}/ws`, { ca: [] });
  const [failure] = await once(socket, 'error');
  assert.match(failure.code, /UNABLE_TO_VERIFY_LEAF_SIGNATURE|UNABLE_TO_GET_ISSUER_CERT_LOCALLY|SELF_SIGNED/);
});
