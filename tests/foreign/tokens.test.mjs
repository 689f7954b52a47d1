// Tokens that `jose` has minted, as `ws` and fetch show them: keys that rotate, and forgeries.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { after, before, test } from 'node:test';
import { Client, WebSocket, withServer } from './client.mjs';
import { Slackwater, within } from './slackwater.mjs';

const installed = createRequire(`${process.env.FOREIGN_NODE}/package.json`);
const jose = await import(pathToFileURL(installed.resolve('jose')));

const QUIET = ['--notify-interval', '0', '--no-drain-notice'];
const LOOK_INTERVAL = 10_000; // ms between two looks at a file with keys
const RIGHTS = { subscribe: ['*'], publish: ['*'] };
const soon = (seconds) => Math.floor(Date.now() / 1000) + seconds;

let folder;
before(async () => { folder = await mkdtemp(join(tmpdir(), 'slackwater-')); });
after(() => rm(folder, { recursive: true }));

function mint(key, header, claims = {}) {
  const all = { sub: 'ada', exp: soon(600), slackwater: RIGHTS, ...claims };
  return new jose.SignJWT(all).setProtectedHeader(header).sign(key);
}

// A pair of keys of a name, and what stands of it in a JWKS.
async function pair(algorithm, kid) {
  const { publicKey, privateKey } = await jose.generateKeyPair(algorithm, { extractable: true });
  const jwk = { ...await jose.exportJWK(publicKey), kid, alg: algorithm, use: 'sig' };
  return { publicKey, jwk, token: (claims, header) => mint(privateKey, { alg: algorithm, kid, ...header }, claims) };
}

async function file(name, content) {
  const path = join(folder, name);
  await writeFile(`${path}.next`, content);
  await rename(`${path}.next`, path);
  return path;
}

const jwks = (...pairs) => JSON.stringify({ keys: pairs.map(({ jwk }) => jwk) });
const shown = (token) => ({ headers: { Authorization: `Bearer ${token}` } });
const asked = (protocols) => ({ protocols });

// What `ws` says of a handshake that was refused.
async function refusal(server, options, query = '') {
  const { protocols = [], ...rest } = options;
  const socket = new WebSocket(server.url + query, protocols, rest);
  const [, response] = await within(once(socket, 'unexpected-response'), 'refusal');
  const { error } = JSON.parse((await response.toArray()).join(''));
  return { status: response.statusCode, challenge: response.headers['www-authenticate'], error };
}

async function assertRefused(server, token, check) {
  const { status, challenge, error } = await refusal(server, shown(token));
  assert.deepEqual([status, challenge], [401, 'Bearer error="invalid_token"']);
  assert.match(error, check);
}

async function tell(client, command) {
  client.socket.send(JSON.stringify(command));
  const { timestamp, ...answer } = await within(client.next(), 'answer');
  assert.ok(timestamp);
  return answer;
}

test('keys of a JWKS are told apart by their kid, and rotate while clients stay', async () => {
  const [rsa, ec, ed, next] = await Promise.all([
    pair('RS256', 'one'), pair('ES256', 'two'), pair('EdDSA', 'three'), pair('RS256', 'four')]);
  const path = await file('jwks', jwks(rsa, ec, ed));
  await withServer([...QUIET, '--workers', '2', '--auth-key-file', path], async (server) => {
    const stays = [];
    for (const key of [rsa, ec, ed]) stays.push(await Client.connect(server, shown(await key.token())));
    await assertRefused(server, await next.token(), /\(kid\)/);
    await assertRefused(server, await next.token({}, { kid: 'one' }), /signature/);
    await assertRefused(server, await ec.token({}, { kid: 'one' }), /\(alg\)/);
    await assertRefused(server, await ec.token({}, { kid: undefined }), /\(kid\)/);
    await file('jwks', jwks(ec, next));
    for (const worker of [1, 2]) {
      await server.line(new RegExp(`worker ${worker} .*Read the keys in`), 2 * LOOK_INTERVAL);
    }
    // Whichever worker is asked.
    for (let n = 0; n < 8; n++) {
      await assertRefused(server, await rsa.token(), /\(kid\)/);
      await Client.connect(server, shown(await next.token()));
    }
    for (const client of stays) await client.echo('still here');
    // Those who are there learn of it when they are to be extended.
    const [first, second] = stays;
    assert.equal((await tell(first, { type: 'refresh', token: await rsa.token() })).code, 'bad_token');
    assert.equal((await tell(second, { type: 'refresh', token: await ec.token() })).type, 'refreshed');
    assert.equal((await tell(first, { type: 'refresh', token: await next.token() })).type, 'refreshed');
  })();
});

test('a public key is no secret, and a token without a signature no token', async () => {
  const pems = await Promise.all(['rsa', 'ec', 'ed'].map((name) => readFile(
    new URL(`../keys/${name}.pub.pem`, import.meta.url), 'utf8')));
  for (const [n, pem] of pems.entries()) {
    const path = await file(`pem${n}`, pem);
    await withServer([...QUIET, '--auth-key-file', path], async (server) => {
      const der = Buffer.from(pem.replace(/-----.*-----/g, ''), 'base64');
      for (const secret of [pem, pem.trim(), der, der.subarray(-32)]) {
        for (const alg of ['HS256', 'HS512']) {
          // The library takes no secret that is shorter than its digest.
          const key = new Uint8Array(Buffer.from(secret));
          if (key.length < 64 && alg === 'HS512') continue;
          await assertRefused(server, await mint(key, { alg }), /\(alg\)/);
        }
      }
      const unsigned = new jose.UnsecuredJWT({ sub: 'ada', slackwater: RIGHTS }).encode();
      await assertRefused(server, unsigned, /no JWT/);
      for (const alg of ['RS256', 'ES256', 'EdDSA']) {
        const header = Buffer.from(JSON.stringify({ alg })).toString('base64url');
        await assertRefused(server, `${header}.${unsigned.split('.')[1]}.`, /\(alg\)|signature/);
      }
      // A key that the token brings along is not asked.
      const own = await pair(['RS256', 'ES256', 'EdDSA'][n], 'own');
      await assertRefused(server, await own.token({}, { jwk: own.jwk }), /signature/);
    })();
  }
});

const SECRET = '0123456789abcdef0123456789abcdef';
const signed = (claims) => mint(new TextEncoder().encode(SECRET), { alg: 'HS256' }, claims);

for (const workers of ['1', '2']) {
  test(`a client shows its token as it can, lives as long as that, and publishes (${workers})`, withServer(
    [...QUIET, '--workers', workers, '--auth-secret', SECRET], async (server) => {
      const protocols = (token) => asked(['slackwater', `slackwater.token.${token}`]);
      const rights = { subscribe: ['orders/*', 'chat/7'], publish: ['chat/7'] };
      const token = await signed({ slackwater: rights });
      const brief = await signed({ exp: soon(3), slackwater: rights });
      for (const options of [{}, asked(['slackwater', 'slackwater.token.'])]) {
        assert.deepEqual(await refusal(server, options),
          { status: 401, challenge: 'Bearer', error: 'a token is needed' });
      }
      for (const options of [shown(token), protocols(token)]) {
        const { status, challenge, error } = await refusal(server, options, '?topic=*');
        assert.deepEqual([status, challenge], [403, 'Bearer error="insufficient_scope"']);
        assert.match(error, /"\*"/);
      }
      const clients = [
        await Client.connect(server, protocols(brief), '?topic=orders/7&topic=chat/7'),
        await Client.connect(server, shown(brief), '?topic=orders/7&topic=chat/7'),
        await Client.connect(server, {}, `?topic=chat/7&token=${brief}`),
        await Client.connect(server, { headers: { Cookie: `slackwater_token=${brief}` } }, '?topic=chat/7'),
      ];
      assert.deepEqual(clients.map(({ socket }) => socket.protocol), ['slackwater', '', '', '']);
      for (const client of clients) await client.hear('welcome');
      const [publisher, refreshed, ...others] = clients;
      publisher.socket.send(JSON.stringify({ type: 'publish', topic: 'chat/7', data: [1], ref: 'a' }));
      const told = [await within(publisher.next(), 'message'), await within(publisher.next(), 'message')];
      const published = told.find(({ type }) => type === 'published');
      assert.equal(published.ref, 'a');
      for (const client of [refreshed, ...others]) {
        const { id, data } = await client.hear('notification');
        assert.deepEqual([id, data], [published.id, [1]]);
      }
      const narrowed = await signed({ slackwater: { subscribe: ['chat/7'] } });
      assert.deepEqual(await tell(refreshed, { type: 'refresh', token: narrowed }),
        { type: 'unsubscribed', topic: 'orders/7' });
      assert.equal((await within(refreshed.next(), 'answer')).type, 'refreshed');
      const forbidden = await tell(refreshed, { type: 'publish', topic: 'chat/7', data: [2], ref: 2 });
      assert.deepEqual([forbidden.type, forbidden.code, forbidden.ref], ['error', 'forbidden', 2]);
      for (const client of [publisher, ...others]) {
        assert.equal(await client.closeCode(), 4004);
      }
      await refreshed.echo('still here');
    }));
}
