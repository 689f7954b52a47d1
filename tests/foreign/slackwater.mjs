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
  #pid; // of the process that serves
  #handovers = 0;
  #exited;
  #gone; // once nobody writes into the log any more
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
    this.#pid = this.#process.pid;
    this.#exited = once(this.#process, 'exit');
    this.#gone = once(this.#process.stderr, 'close');
    Slackwater.#all.add(this);
    this.#gone.then(() => Slackwater.#all.delete(this));
    createInterface({ input: this.#process.stderr }).on('line', (line) => {
      this.log.push(line);
      for (const look of this.#waiting) look();
    });
  }

  // Waits for a log line that matches, or for so many, and resolves to the last one's match.
  async line(pattern, limitMs = PATIENCE, nth = 1) {
    let look;
    const found = new Promise((resolve) => {
      look = () => {
        const match = this.log.map((line) => pattern.exec(line)).filter(Boolean)[nth - 1];
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
    process.kill(this.#pid, name);
  }

  // Has the program on disk take over everything, and waits until it serves. Resolves to how many connections could not move.
  async handOver() {
    this.signal('SIGHUP');
    this.#handovers += 1;
    const told = /Handed over \d+ connections to process (\d+): .* ms; (\d+)/;
    const [, pid, stayed] = await this.line(told, PATIENCE, this.#handovers);
    await this.line(/Took over/, PATIENCE, this.#handovers);
    this.#pid = Number(pid);
    return Number(stayed);
  }

  // Of the process that was started first, once all have ended.
  async exitCode() {
    await within(this.#gone, 'end of the log');
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
    if (this.#pid === this.#process.pid) return;
    try {
      this.signal('SIGKILL');
    } catch (failure) {
      assert.equal(failure.code, 'ESRCH');
    }
  }
}
