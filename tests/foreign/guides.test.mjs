// The scripts of the README and of the guide to clients, pulled out of the text and run by Node, each as a process of its own.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { Slackwater, within } from './slackwater.mjs';

const QUIET = ['--notify-interval', '0'];

function shown(path, pattern) {
  return readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8').match(pattern)[1];
}

// Runs a script in a folder where `ws` is installed. What it prints can be awaited line by line.
async function run(t, script, port, files = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'guides-'));
  symlinkSync(join(process.env.FOREIGN_NODE, 'node_modules'), join(folder, 'node_modules'));
  // Browsers have a WebSocket, and Node from 22 on.
  writeFileSync(join(folder, 'platform.mjs'), "import WebSocket from 'ws';\nglobalThis.WebSocket ??= WebSocket;\n");
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
  writeFileSync(join(folder, 'script.mjs'), script.replaceAll(':8000', `:${port}`));
  const program = spawn(process.execPath, ['--import', './platform.mjs', 'script.mjs'], { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] });
  t.after(async () => {
    program.kill('SIGKILL');
    await once(program, 'close');
    rmSync(folder, { recursive: true });
  });
  const lines = [];
  let look = () => {};
  for (const stream of [program.stdout, program.stderr]) createInterface({ input: stream }).on('line', (line) => look(lines.push(line)));
  const says = (text) => within(new Promise((resolve) => {
    look = () => lines.some((line) => line.includes(text)) && resolve();
    look();
  }), `${text} among ${JSON.stringify(lines)}`);
  return { lines, says };
}

async function start(t, ...flags) {
  const server = await Slackwater.start(...QUIET, ...flags);
  t.after(() => server.kill());
  return server;
}

async function publish(server, state) {
  const body = JSON.stringify({ topic: 'orders/7', data: { state } });
  const answer = await fetch(`http://127.0.0.1:${server.port}/publish`, { method: 'POST', body, headers: { 'Content-Type': 'application/json' } });
  assert.equal(answer.status, 200);
}

test('the client of the README resumes, hears everything once, and says where something was missed', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'state-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const flags = ['--state-file', join(folder, 'state'), '--drain-spread', '0'];
  const old = await start(t, ...flags);
  const module = await (await fetch(`http://127.0.0.1:${old.port}/slackwater.js`)).text();
  const script = shown('README.md', /^<script type="module">\n(.*?)^<\/script>$/ms);
  const local = script.replace("'http://127.0.0.1:8000/slackwater.js'", "'./slackwater.mjs'");
  assert.notEqual(local, script);
  const { lines, says } = await run(t, local, old.port, { 'slackwater.mjs': module });
  await old.line(/Client connected/);
  await publish(old, 'placed');
  await says('placed');
  old.signal();
  await old.line(/Graceful shutdown initiated/);
  const successor = await start(t, ...flags, '--port', old.port);
  await publish(successor, 'paid');
  await says('paid');
  assert.equal(lines.filter((line) => line.startsWith('orders/7')).length, 2);
  assert.ok(!lines.some((line) => line.includes('missed')));
  successor.kill();
  await successor.exitCode();
  await start(t, '--port', old.port);
  await says('missed');
});

test('the program of the guide to clients hears', async (t) => {
  const server = await start(t);
  const script = shown('docs/clients.md', /^```js\n(import WebSocket from 'ws';.*?)^```$/ms);
  const { says } = await run(t, script, server.port);
  await says("type: 'welcome'");
});
