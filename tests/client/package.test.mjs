// What is in the tarball that npm installs, and what it weighs. Run by tests/client/run in the project that has installed it.

import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { build, transform } from 'esbuild';
import * as exported from 'slackwater';

const { REPOSITORY } = process.env;
const PACKAGE = 'node_modules/slackwater';
const manifest = createRequire(import.meta.url)('slackwater/package.json');
const read = (path) => readFileSync(path, 'utf8');

test('the package is the file that the server serves, byte by byte, its types and the licences', () => {
  const files = ['LICENSE-APACHE', 'LICENSE-MIT', 'README.md', 'package.json', 'slackwater.d.ts', 'slackwater.js'];
  assert.deepEqual(readdirSync(PACKAGE).sort(), files);
  for (const [file, origin] of [
    ['slackwater.js', 'static'],
    ['LICENSE-MIT', '.'],
    ['LICENSE-APACHE', '.'],
  ]) {
    assert.deepEqual(readFileSync(`${PACKAGE}/${file}`), readFileSync(`${REPOSITORY}/${origin}/${file}`), file);
  }
});

test('what is packed is left nowhere beside its sources', () => {
  const left = readdirSync(`${REPOSITORY}/client/js`).filter((name) => /^LICENSE|^slackwater\.js$|\.tgz$/.test(name));
  assert.deepEqual(left, []);
});

test('the package has the version, the licence and the addresses of the server', () => {
  const cargo = read(`${REPOSITORY}/Cargo.toml`);
  const field = (name) => cargo.match(new RegExp(`^${name} = "(.*)"$`, 'm'))?.[1];
  assert.deepEqual([manifest.version, manifest.license], [field('version'), field('license')]);
  const repository = field('repository') ?? 'https://github.com/slackwater-server/slackwater';
  assert.equal(manifest.repository.url, `git+${repository}.git`);
  assert.equal(manifest.bugs, `${repository}/issues`);
  assert.equal(manifest.homepage, field('homepage') ?? repository);
});

test('the package depends on nothing', () => {
  const { dependencies, peerDependencies, optionalDependencies, scripts } = manifest;
  assert.deepEqual([dependencies, peerDependencies, optionalDependencies], [undefined, undefined, undefined]);
  assert.deepEqual(Object.keys(scripts).filter((name) => /install/.test(name)), []);
});

test('each value that the types name is exported, and no other', () => {
  const named = [...read(`${PACKAGE}/slackwater.d.ts`).matchAll(/^export (?:class|function) (\w+)/gm)].map(([, name]) => name);
  assert.deepEqual(Object.keys(exported).sort(), named.sort());
});

test('the types name each property and method of a client, and no other', () => {
  const [, body] = read(`${PACKAGE}/slackwater.d.ts`).match(/^export class Slackwater [^\n]*\n([^]*?)^}/m);
  const named = [...body.matchAll(/^ {2}(?:readonly |set )?(\w+)[(:<]/gm)].map(([, name]) => name);
  const inherited = ['addEventListener', 'removeEventListener'];
  const there = [...Object.getOwnPropertyNames(exported.Slackwater.prototype), ...inherited];
  assert.deepEqual([...new Set(named)].sort(), there.sort());
});

test('whoever bundles it and uses nothing of it carries nothing', async () => {
  const stdin = { contents: "import 'slackwater'; import { Slackwater } from 'slackwater';", resolveDir: '.' };
  const { outputFiles } = await build({ stdin, bundle: true, minify: true, format: 'esm', write: false, logLevel: 'silent' });
  assert.equal(outputFiles[0].text.trim(), '');
});

// 4 kB are 4,096 bytes. Constants that the minifier has written out where they count are left out, as by any bundler.
test('the module is light: minified and compressed it is under the bound', async (t) => {
  const { code } = await transform(read(`${PACKAGE}/slackwater.js`), { minify: true, treeShaking: true, format: 'esm' });
  const bytes = gzipSync(code, { level: 9 }).length;
  t.diagnostic(`${bytes} bytes, minified and compressed`);
  assert.ok(bytes < 4_096, `${bytes} bytes`);
});
