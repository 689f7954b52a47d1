// The Node client `ws` as the tests drive it. The sibling of client.py.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createRequire } from 'node:module';
import { afterEach } from 'node:test';
import { Slackwater, within } from './slackwater.mjs';

// `ws` is installed out of the source tree, where an import would not look.
export const WebSocket = createRequire(`${process.env.FOREIGN_NODE}/package.json`)('ws');

// One connection. What it is sent waits here until a test hears it.
export class Client {
  static all = new Set();
  #heard = [];
  #wanting = [];

  static async connect(server, options = {}, query = '') {
    const client = new Client();
    Client.all.add(client);
    const { protocols = [], ...rest } = options;
    client.socket = new WebSocket(server.url + query, protocols, rest);
    client.closed = new Promise((resolve) => client.socket.on('close', resolve));
    client.socket.on('message', (payload, isBinary) => {
      assert.equal(isBinary, false);
      const message = JSON.parse(payload.toString());
      const want = client.#wanting.shift();
      if (want) want(message);
      else client.#heard.push(message);
    });
    await within(once(client.socket, 'open'), 'handshake');
    client.socket.on('error', () => {}); // a test judges the close code
    return client;
  }

  next() {
    if (this.#heard.length > 0) return Promise.resolve(this.#heard.shift());
    return new Promise((resolve) => this.#wanting.push(resolve));
  }

  // The next message of that type; others are passed over.
  hear(type) {
    const search = async () => {
      for (;;) {
        const message = await this.next();
        if (message.type === type) return message;
      }
    };
    return within(search(), type);
  }

  async echo(text) {
    this.socket.send(text);
    assert.equal((await this.hear('echo')).message, `Server received: ${text}`);
  }

  closeCode() {
    return within(this.closed, 'close');
  }

  leave(...codeAndReason) {
    this.socket.close(...codeAndReason);
    return this.closeCode();
  }
}

// Runs the test with a server of its own, which does not outlive it.
export function withServer(flags, body) {
  return async () => {
    const server = await Slackwater.start(...flags);
    try {
      await body(server);
    } finally {
      server.kill();
    }
  };
}

afterEach(() => {
  for (const client of Client.all) client.socket.terminate();
  Client.all.clear();
});
