// The scripts of the README and of the guides, pulled out of the text and run by Node, each as a process of its own. Those for
// event streams are run in Chromium.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { Slackwater, within } from './slackwater.mjs';

const QUIET = ['--notify-interval', '0'];

const SECRET = '0123456789abcdef0123456789abcdef';

function shown(path, pattern) {
  return readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8').match(pattern)[1];
}

// The only block of JavaScript in which this stands.
function block(path, text) {
  const blocks = [...readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8').matchAll(/^```js\n(.*?)^```$/gms)].map(([, code]) => code);
  const [found, ...others] = blocks.filter((code) => code.includes(text));
  assert.ok(found && others.length === 0, text);
  return found;
}

// Runs a script of somebody's who has installed `ws` and the module that the server serves, after what his page has done already. What it
// prints can be awaited line by line.
async function run(t, server, script, before = '') {
  const folder = mkdtempSync(join(tmpdir(), 'guides-'));
  const packages = join(folder, 'node_modules');
  mkdirSync(join(packages, 'slackwater'), { recursive: true });
  symlinkSync(join(process.env.FOREIGN_NODE, 'node_modules', 'ws'), join(packages, 'ws'));
  writeFileSync(join(packages, 'slackwater', 'package.json'), '{ "type": "module", "exports": "./slackwater.js" }');
  writeFileSync(join(packages, 'slackwater', 'slackwater.js'), await (await fetch(`http://127.0.0.1:${server.port}/slackwater.js`)).text());
  // Browsers have a WebSocket, and Node from 22 on.
  writeFileSync(join(folder, 'before.mjs'), `import WebSocket from 'ws';\nglobalThis.WebSocket ??= WebSocket;\n${before}`);
  const local = script.replace(/'https?:.*\/slackwater.js'/, "'slackwater'").replace(/wss:\/\/[a-z.]+/, 'ws://127.0.0.1:8000');
  writeFileSync(join(folder, 'script.mjs'), local.replaceAll(':8000', `:${server.port}`));
  const program = spawn(process.execPath, ['--import', './before.mjs', 'script.mjs'], { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] });
  t.after(async () => {
    program.kill('SIGKILL');
    await once(program, 'close');
    rmSync(folder, { recursive: true });
  });
  const lines = [];
  let look = () => {};
  for (const stream of [program.stdout, program.stderr]) {
    createInterface({ input: stream }).on('line', (line) => {
      lines.push(line);
      look();
    });
  }
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

async function publish(server, state, topic = 'orders/7') {
  const body = JSON.stringify({ topic, data: { state } });
  const answer = await fetch(`http://127.0.0.1:${server.port}/publish`, { method: 'POST', body, headers: { 'Content-Type': 'application/json' } });
  assert.equal(answer.status, 200);
}

test('the client of the README resumes, hears everything once, and says where something was missed', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'state-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const flags = ['--state-file', join(folder, 'state'), '--drain-spread', '0'];
  const old = await start(t, ...flags);
  const { lines, says } = await run(t, old, shown('README.md', /^<script type="module">\n(.*?)^<\/script>$/ms));
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

test('the programs of the guide to clients hear', async (t) => {
  const server = await start(t);
  const byHand = await run(t, server, block('docs/clients.md', "import WebSocket from 'ws'"));
  await byHand.says("type: 'welcome'");
  for (const [script, topic, heard] of [
    [block('docs/clients.md', 'for await'), 'orders/7', "orders/7 { state: 'paid' }"],
    [block('docs/clients.md', 'await client.subscribe'), 'orders/7', "orders/7 { state: 'paid' }"],
    [block('docs/clients.md', 'await client.subscribe'), 'tides', "tides { state: 'paid' }"],
  ]) {
    const program = await run(t, server, script);
    // Nothing tells from outside when it has been subscribed.
    while (!program.lines.includes(heard)) {
      await publish(server, 'paid', topic);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
});

test('the pages of the guides show a token', async (t) => {
  const server = await start(t, '--auth-secret', SECRET);
  const minting = ['token', '--auth-secret', SECRET, '--sub', 'ada', '--subscribe', 'orders/*'];
  const token = execFileSync(process.env.SLACKWATER_BIN, minting, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  const page = `globalThis.token = '${token}';\nglobalThis.fetch = async (path) => new Response(path === '/token' ? token : '');\n`;
  const renewing = "import { Slackwater } from 'slackwater';\n" + block('docs/clients.md', "fetch('/token')");
  for (const [n, script] of [renewing, block('docs/internet.md', '{ token }')].entries()) {
    await run(t, server, script, page);
    await server.line(/Client connected/, undefined, n + 1);
  }
});
