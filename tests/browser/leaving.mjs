// Servers that leave and are succeeded at the same address, as the page meets them in a redeploy: real sockets, and the test
// says when a hint is given, a welcome spoken and an answer sent. Of the protocol they know what these tests need.

import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { WORK } from './page.mjs';
import { atEnd } from './server.mjs';

const { WebSocketServer } = createRequire(WORK)('ws');

const STATIC = new URL('../../static/', import.meta.url);
const TYPES = { html: 'text/html', js: 'text/javascript', css: 'text/css', svg: 'image/svg+xml' };
/** As the real server sends it. */
const POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self' ws: wss:";

/** The publications of one history, which the servers that share it deliver each to its own clients. */
export class History {
  entries = [];
  servers = new Set();

  constructor(epoch) {
    this.epoch = epoch;
  }

  get newest() {
    return `${this.epoch}-${this.entries.length}`;
  }

  publish(...texts) {
    for (const data of texts) {
      const id = `${this.epoch}-${this.entries.length + 1}`;
      const entry = { type: 'notification', id, topic: 'notifications', data, timestamp: new Date().toISOString() };
      this.entries.push(entry);
      for (const server of this.servers) for (const client of server.admitted) client.tell(entry);
    }
  }

  /** What followed an id, or null when it is of another history. */
  after(id) {
    const [epoch, position] = id?.split('-') ?? [];
    return epoch === this.epoch ? this.entries.slice(Number(position)) : null;
  }
}

export class LeavingServer {
  clients = []; // all that ever came
  admitted = new Set(); // those that have had their welcome and are still there
  /** Whether newcomers are welcomed, and texts answered, at once; otherwise when the test says so. */
  welcomes = true;
  answers = true;
  #unanswered = [];
  #successor = null;
  #http = createServer((request, response) => serveFile(request.url, response));
  #sockets = new WebSocketServer({ server: this.#http, path: '/ws' });

  /** Starts a server, in the place of the one before if one is given. */
  static async start(t, history, { before, welcomes = true } = {}) {
    before?.stopListening();
    const server = new LeavingServer();
    server.history = history;
    server.welcomes = welcomes;
    history.servers.add(server);
    server.#sockets.on('connection', (socket, { url }) => server.#onClient(socket, new URL(url, 'http://any').searchParams));
    server.#http.listen(before?.port, '127.0.0.1');
    await once(server.#http, 'listening');
    // The page was opened after the first and must leave before the last, or it would try to reconnect.
    if (before) before.#successor = server;
    else atEnd(t, () => server.#endWithSuccessors());
    server.port = server.#http.address().port;
    server.address = `http://127.0.0.1:${server.port}`;
    return server;
  }

  /** Waits for the first client. */
  async arrival() {
    if (this.clients.length === 0) await once(this.#sockets, 'connection');
  }

  /** Makes room for a successor; the clients stay. */
  stopListening() {
    this.#http.close();
    this.#http.closeIdleConnections();
  }

  hint(times) {
    const hint = { type: 'reconnect', reason: 'server_restart', ...times, timestamp: new Date().toISOString() };
    for (const client of this.admitted) client.tell(hint);
  }

  /** Welcomes those who wait for it, and from now on everybody. */
  welcome() {
    this.welcomes = true;
    for (const client of this.clients) if (!this.admitted.has(client) && client.isOpen) this.#admit(client);
  }

  /** Answers what waits for it, and from now on everything at once. */
  answer() {
    this.answers = true;
    for (const [client, text] of this.#unanswered.splice(0)) {
      client.tell({ type: 'echo', message: `Server received: ${text}`, timestamp: new Date().toISOString() });
    }
  }

  end() {
    this.stopListening();
    this.history.servers.delete(this);
    for (const client of this.clients) client.close(1012);
  }

  #endWithSuccessors() {
    this.end();
    this.#successor?.#endWithSuccessors();
  }

  #onClient(socket, wishes) {
    const client = {
      id: randomUUID(),
      tell: (message) => socket.send(JSON.stringify(message)),
      close: (code) => socket.close(code),
      get isOpen() {
        return socket.readyState === 1;
      },
      from: wishes.get('last_event_id'),
      topics: wishes.getAll('topic'),
      closed: new Promise((resolve) => socket.on('close', resolve)),
    };
    this.clients.push(client);
    client.closed.then(() => this.admitted.delete(client));
    socket.on('message', (data) => {
      this.#unanswered.push([client, String(data)]);
      if (this.answers) this.answer();
    });
    if (this.welcomes) this.#admit(client);
  }

  #admit(client) {
    const missed = this.history.after(client.from);
    client.tell({
      type: 'welcome',
      message: 'Connected to WebSocket server',
      timestamp: new Date().toISOString(),
      connection_id: client.id,
      topics: client.topics,
      last_event_id: this.history.newest,
      resumed: missed !== null,
    });
    for (const entry of missed ?? []) client.tell(entry);
    this.admitted.add(client);
  }
}

async function serveFile(url, response) {
  const name = new URL(url, 'http://any').pathname.slice(1) || 'index.html';
  // A page whose handshake has failed asks here for the reason, and the server says that there is none, as the real one does.
  if (name === 'ws') return response.writeHead(426, { Upgrade: 'websocket', Connection: 'Upgrade' }).end();
  const type = TYPES[name.split('.').pop()];
  const body = await readFile(new URL(name, STATIC)).catch(() => null);
  response.writeHead(body === null ? 404 : 200, {
    'Content-Type': `${type}; charset=utf-8`,
    'Content-Security-Policy': POLICY,
    Connection: 'close',
  });
  response.end(body);
}
