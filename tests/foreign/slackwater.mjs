// Runs the real server for the Node judge: on a port of its own choice, ended by its pid. The sibling of slackwater.py.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

export const PATIENCE = 10_000; // ms that any awaited fact may take

// What the promise comes to, or a failure that names what was awaited.
export async function within(promise, awaited, limitMs = PATIENCE) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no ${awaited} in ${limitMs} ms`)), limitMs);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

export class Slackwater {
  // Whatever becomes of the tests, no server outlives them: node's runner would wait for it.
  static #all = new Set();
  static {
    process.on('exit', () => Slackwater.#all.forEach((server) => server.kill()));
  }

  log = [];
  #process;
  #exited;
  #waiting = new Set();

  // Resolves to a serving Slackwater.
  static async start(...flags) {
    const server = new Slackwater(flags);
    try {
      [, server.url, server.port] = await server.line(/(ws:\/\/127\.0\.0\.1:(\d+)\/ws)/);
    } catch (failure) {
      server.kill();
      throw failure;
    }
    return server;
  }

  constructor(flags) {
    // A setting of the one who runs the tests must not become a default of the server.
    const env = Object.entries(process.env).filter(([name]) => !/^(SLACKWATER_|WEB_CONCURRENCY$)/.test(name));
    this.#process = spawn(process.env.SLACKWATER_BIN, [...(flags.includes('--port') ? [] : ['--port', '0']), ...flags],
      { stdio: ['ignore', 'inherit', 'pipe'], env: Object.fromEntries(env) });
    this.#exited = once(this.#process, 'exit');
    Slackwater.#all.add(this);
    this.#process.on('exit', () => Slackwater.#all.delete(this));
    createInterface({ input: this.#process.stderr }).on('line', (line) => {
      this.log.push(line);
      for (const look of this.#waiting) look();
    });
  }

  // Waits for a log line that matches, and resolves to the match.
  async line(pattern, limitMs = PATIENCE) {
    let look;
    const found = new Promise((resolve) => {
      look = () => {
        const match = this.log.map((line) => pattern.exec(line)).find(Boolean);
        if (match) resolve(match);
      };
    });
    this.#waiting.add(look);
    look();
    try {
      return await within(found, `log line ${pattern}`, limitMs);
    } finally {
      this.#waiting.delete(look);
    }
  }

  signal(name = 'SIGTERM') {
    this.#process.kill(name);
  }

  async exitCode() {
    const [code] = await within(this.#exited, 'exit');
    return code;
  }

  // The end of one that has nothing left to do.
  async stop() {
    this.signal();
    try {
      assert.equal(await this.exitCode(), 0);
    } finally {
      this.kill();
    }
  }

  kill() {
    this.#process.kill('SIGKILL');
  }
}
