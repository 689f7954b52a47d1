// The server under test as a child process, and those that it hands over to: started on a port of its own choice, heard
// through its log, ended by its handle.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

const DEADLINE_MS = 15_000;

export class Server {
  #child;
  #pid; // of the process that serves
  #handovers = 0;
  #gone; // once nobody writes into the log any more
  #isGone = false;
  #lines = [];
  #listeners = new Set();

  /** Starts the server and waits until its log says where the page is. Port 0 lets the system choose. */
  static async start(t, port = 0, options = []) {
    const server = new Server(port, options);
    atEnd(t, () => server.end('SIGKILL'));
    const address = /https?:\/\/127\.0\.0\.1:\d+/;
    server.address = (await server.line(address)).match(address)[0];
    server.port = Number(new URL(server.address).port);
    return server;
  }

  constructor(port, options) {
    const binary = process.env.SLACKWATER_BIN;
    if (!binary) throw new Error('SLACKWATER_BIN does not name the server: start the tests with tests/browser/run');
    const env = { ...process.env, SLACKWATER_NOTIFY_INTERVAL: '1' }; // A flag among the options wins.
    this.#child = spawn(binary, ['--port', String(port), ...options], { env, stdio: ['ignore', 'ignore', 'pipe'] });
    this.#pid = this.#child.pid;
    this.#gone = Promise.all([once(this.#child.stderr, 'close'), once(this.#child, 'exit')]);
    this.#gone.then(() => (this.#isGone = true));
    createInterface({ input: this.#child.stderr }).on('line', (line) => {
      this.#lines.push(line);
      for (const listener of this.#listeners) listener();
    });
  }

  /** The first line of the log that matches, or the nth, as soon as there is one. */
  line(pattern, nth = 1) {
    return new Promise((resolve, reject) => {
      const finish = (settle, value) => {
        clearTimeout(deadline);
        this.#listeners.delete(look);
        settle(value);
      };
      const look = () => {
        const line = this.#lines.filter((line) => pattern.test(line))[nth - 1];
        if (line !== undefined) finish(resolve, line);
      };
      const deadline = setTimeout(() => {
        finish(reject, new Error(`no line ${pattern} (${nth}) in the log:\n${this.#lines.join('\n')}`));
      }, DEADLINE_MS);
      this.#listeners.add(look);
      look();
    });
  }

  /** Publishes as any program does, and waits for the answer. */
  async publish(topic, data) {
    const response = await fetch(`${this.address}/publish`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ topic, data }),
    });
    if (!response.ok) throw new Error(`${response.status}: ${await response.text()}`);
  }

  signal(name) {
    process.kill(this.#pid, name);
  }

  /** Has the program on disk take over everything, and waits until it serves. */
  async handOver() {
    this.signal('SIGHUP');
    this.#handovers += 1;
    const told = /Handed over \d+ connections to process (\d+): /;
    this.#pid = Number((await this.line(told, this.#handovers)).match(told)[1]);
    await this.line(/Took over/, this.#handovers);
  }

  /** Ends the server and waits until it has gone. */
  async end(signal) {
    if (this.#isGone) return;
    try {
      this.signal(signal);
    } catch (failure) {
      if (failure.code !== 'ESRCH') throw failure; // It has just gone by itself.
    }
    await this.#gone;
  }
}

const endings = new WeakMap();

/** Like `t.after`, but what began last ends first, as a page must leave before its server; and everything ends. */
export function atEnd(t, end) {
  if (!endings.has(t)) {
    endings.set(t, []);
    t.after(async () => {
      const failures = [];
      for (const end of endings.get(t).reverse()) {
        await Promise.resolve().then(end).catch((error) => failures.push(error));
      }
      if (failures.length > 0) throw failures[0];
    });
  }
  endings.get(t).push(end);
}
