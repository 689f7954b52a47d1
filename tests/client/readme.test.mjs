// The programs of the package's read-me and of the guide to clients that import the package, each as it stands but for the addresses, with
// the real server. Run by tests/client/run.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { Server, atEnd } from './server.mjs';
import { SECRET, granting } from './tokens.mjs';

const TEXTS = ['node_modules/slackwater/README.md', `${process.env.REPOSITORY}/docs/clients.md`].map((path) => readFileSync(path, 'utf8'));
const BLOCKS = TEXTS.flatMap((text) => [...text.matchAll(/^```js\n(.*?)^```$/gms)].map(([, block]) => block));
const PROGRAMS = BLOCKS.filter((text) => text.includes("from 'slackwater'"));

/** Gives a token to whoever asks. */
async function issuer(t) {
  const issuing = createServer((_, response) => response.end(granting({ subscribe: ['orders/*'] })));
  issuing.listen(0, '127.0.0.1');
  await once(issuing, 'listening');
  atEnd(t, () => issuing.close());
  return `http://127.0.0.1:${issuing.address().port}`;
}

for (const [at, text] of PROGRAMS.entries()) {
  test(`program ${at + 1} hears what is published`, async (t) => {
    const asksForTokens = text.includes('getToken');
    const server = await Server.start(t, 0, asksForTokens ? ['--auth-secret', SECRET] : []);
    const program = text
      .replaceAll(/ws:..(localhost|127\.0\.0\.1):8000/g, server.address.replace('http', 'ws'))
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

test('there are programs in both', () => assert.ok(PROGRAMS.length >= 6));
