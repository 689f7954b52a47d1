// What lies between the page and the server: a network that can go silent, and a proxy that strips a prefix.

import { once } from 'node:events';
import { createServer as createHttpServer, request } from 'node:http';
import { connect, createServer } from 'node:net';
import { atEnd } from './server.mjs';

/** A network that can go silent: then it takes what it is given and brings nothing, until it is back and brings all of it. */
export class Network {
  #ends = new Set();
  #isSilent = false;
  #arrive;
  #arrived = new Promise((resolve) => (this.#arrive = resolve));

  static async start(t, server) {
    const network = new Network();
    network.address = await listen(t, createServer((client) => network.#join(client, connect(server.port, '127.0.0.1'))));
    atEnd(t, () => network.#ends.forEach((end) => end.destroy()));
    return network;
  }

  /** Waits until a first client is connected with the server. */
  arrival() {
    return this.#arrived;
  }

  goSilent() {
    this.#isSilent = true;
    for (const end of this.#ends) end.pause();
  }

  comeBack() {
    this.#isSilent = false;
    for (const end of this.#ends) end.resume();
  }

  /** Ends every connection without a word. */
  cut() {
    for (const end of this.#ends) end.destroy();
  }

  #join(client, server) {
    server.on('connect', () => this.#arrive());
    for (const [end, other] of [[client, server], [server, client]]) {
      this.#ends.add(end);
      end.on('data', (bytes) => other.write(bytes));
      end.on('end', () => other.end());
      end.on('error', () => other.destroy());
      end.on('close', () => this.#ends.delete(end));
      if (this.#isSilent) end.pause();
    }
  }
}

/** A proxy that strips a prefix, and sends whoever asks for the prefix without its last slash to that with it. */
export async function stripping(t, prefix, { port }) {
  const forwarded = ({ method, url, headers }) => {
    return { host: '127.0.0.1', port, method, headers, path: url.slice(prefix.length - 1), agent: false };
  };
  const proxy = createHttpServer((asked, answer) => {
    if (!asked.url.startsWith(prefix)) {
      const isBare = asked.url === prefix.slice(0, -1);
      return answer.writeHead(isBare ? 301 : 404, isBare ? { Location: prefix } : {}).end();
    }
    const onward = request(forwarded(asked), (answered) => {
      answer.writeHead(answered.statusCode, answered.headers);
      answered.pipe(answer);
    });
    asked.pipe(onward);
  });
  proxy.on('upgrade', (asked, client) => {
    request(forwarded(asked)).on('upgrade', ({ rawHeaders }, server, first) => {
      const fields = rawHeaders.map((part, index) => part + (index % 2 === 0 ? ': ' : '\r\n')).join('');
      client.write(`HTTP/1.1 101 Switching Protocols\r\n${fields}\r\n`);
      client.write(first);
      server.pipe(client).pipe(server);
      for (const end of [client, server]) end.on('error', () => [client, server].forEach((end) => end.destroy()));
    }).end();
  });
  return { address: await listen(t, proxy) };
}

async function listen(t, server) {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  atEnd(t, () => server.close());
  return `http://127.0.0.1:${server.address().port}`;
}
