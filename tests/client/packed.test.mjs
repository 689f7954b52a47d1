// The package as npm installs it from its tarball, with the real server. Run by tests/client/run, which copies it beside the package.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { Slackwater } from 'slackwater';
import { WebSocket } from 'ws';

test('the packed client hears a publication of the real server', async (t) => {
  const server = spawn(process.env.SLACKWATER_BIN, ['--port', '0'], { stdio: ['ignore', 'ignore', 'pipe'] });
  t.after(() => server.kill('SIGKILL'));
  const port = await new Promise((resolve) => {
    createInterface({ input: server.stderr }).on('line', (line) => {
      const told = /ws:\/\/127\.0\.0\.1:(\d+)\/ws/.exec(line);
      if (told) resolve(told[1]);
    });
  });
  const client = new Slackwater(`ws://127.0.0.1:${port}/ws`, { WebSocket, topics: ['orders'] });
  t.after(() => client.disconnect());
  const heard = new Promise((resolve) => client.addEventListener('notification', ({ detail }) => resolve(detail.data)));
  client.addEventListener('message', ({ detail }) => {
    if (detail.message?.type !== 'welcome') return;
    const headers = { 'Content-Type': 'application/json' };
    fetch(`http://127.0.0.1:${port}/publish`, { method: 'POST', headers, body: '{"topic":"orders","data":7}' });
  });
  client.connect();
  assert.equal(await heard, 7);
});
