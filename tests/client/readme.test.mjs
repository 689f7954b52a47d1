// The programs of the package's read-me, each as it stands but for the addresses, with the real server. Run by tests/client/run.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { Server, atEnd } from './server.mjs';
import { SECRET, granting } from './tokens.mjs';

const README = readFileSync('node_modules/slackwater/README.md', 'utf8');
const PROGRAMS = [...README.matchAll(/^```js\n(.*?)^```$/gms)].map(([, text]) => text);

/** Gives a token to whoever asks. */
async function issuer(t) {
  const issuing = createServer((_, response) => response.end(granting({ subscribe: ['orders/*'] })));
  issuing.listen(0, '127.0.0.1');
  await once(issuing, 'listening');
  atEnd(t, () => issuing.close());
  return `http://127.0.0.1:${issuing.address().port}`;
}

for (const [at, text] of PROGRAMS.entries()) {
  test(`program ${at + 1} of the read-me hears what is published`, async (t) => {
    const asksForTokens = text.includes('getToken');
    const server = await Server.start(t, 0, asksForTokens ? ['--auth-secret', SECRET] : []);
    const program = text
      .replaceAll('ws://localhost:8000', server.address.replace('http', 'ws'))
      .replaceAll('http://localhost:3000', await issuer(t));
    assert.notEqual(program, text);
    writeFileSync(`readme-${at}.mjs`, program);
    const preloaded = text.includes("from 'ws'") ? [] : ['--import', './platform.mjs'];
    const child = spawn(process.execPath, [...preloaded, `readme-${at}.mjs`], { stdio: ['ignore', 'pipe', 'inherit'] });
    atEnd(t, () => child.kill());
    const heard = once(createInterface({ input: child.stdout }), 'line');
    // It listens at a moment of its own.
    let isOver = false;
    heard.finally(() => (isOver = true));
    while (!isOver) await server.publish('orders/7', { state: 'paid' });
    assert.deepEqual(await heard, ["orders/7 { state: 'paid' }"]);
  });
}

test('the read-me has programs', () => assert.ok(PROGRAMS.length >= 4));
