// The surroundings of the module under test: a fake socket, a fake clock, chosen dice, and the module itself.

import { readFile } from 'node:fs/promises';

const source = await readFile(new URL('../../static/slackwater.js', import.meta.url), 'utf8');

/** The module as it runs where these names mean what the test says. */
function moduleAmong(names) {
  return new Function(...Object.keys(names), `${source.replace(/^export /gm, '')}\nreturn Slackwater;`)(...Object.values(names));
}

export const Slackwater = moduleAmong({});

export const URL_OF_SERVER = 'ws://server.test/ws';
export const SLOT_MS = 17_250;
export const HINT = { after_ms: SLOT_MS, deadline_ms: 1_800_000 };
export const WELCOME = JSON.stringify({ type: 'welcome', message: 'Connected to WebSocket server', connection_id: 'c1' });

/** A client in surroundings that do only what the test says. With `failures`, it is at the attempt after that many. */
export function surroundings({ page, url = page ? undefined : URL_OF_SERVER, dice = 0.5, failures = 0, ...options } = {}) {
  const sockets = [];
  const clock = new Clock();
  const network = new EventTarget();
  const Client = moduleAmong({
    setTimeout: (act, delayMs) => clock.setTimeout(act, delayMs),
    clearTimeout: (id) => clock.clearTimeout(id),
    Date: { now: () => clock.now + clock.aheadMs, parse: Date.parse },
    Math: Object.assign(Object.create(Math), { random: () => dice }),
    globalThis: Object.assign(Object.create(globalThis), {
      addEventListener: (type, listener) => network.addEventListener(type, listener),
      removeEventListener: (type, listener) => network.removeEventListener(type, listener),
    }),
  });
  const client = new Client(url, { WebSocket: fakeSocketsInto(sockets), ...options });

  const [states, closes, messages, resumes] = [[], [], [], []];
  client.addEventListener('statechange', ({ detail }) => states.push(detail.state));
  client.addEventListener('close', ({ detail }) => closes.push(detail));
  client.addEventListener('message', ({ detail }) => messages.push(detail));
  client.addEventListener('resume', ({ detail }) => resumes.push(detail));
  const tokenErrors = [];
  client.addEventListener('tokenerror', ({ detail }) => tokenErrors.push(detail));
  const moves = [];
  client.addEventListener('moving', ({ detail: { at, failures } }) => moves.push({ inMs: at - clock.now, failures }));
  client.addEventListener('moved', () => moves.push('moved'));

  if (failures > 0) client.connect();
  for (let count = 0; count < failures; count += 1) {
    sockets.at(-1).closes(1006);
    clock.advanceTo(client.retryAt);
  }

  /** What the latest address asks for. */
  const asked = () => {
    const { searchParams } = new URL(sockets.at(-1).url);
    return { topics: searchParams.getAll('topic'), from: searchParams.get('last_event_id') };
  };
  const welcomes = (said) => sockets.at(-1).says(welcome(said));
  const hears = (...ids) => ids.forEach((id) => sockets.at(-1).says(JSON.stringify({ type: 'notification', id })));
  const heard = () => messages.filter(({ message }) => message?.type === 'notification').map(({ message }) => message.id);
  const reconnects = () => {
    sockets.at(-1).closes(1006);
    clock.advanceTo(client.retryAt);
    sockets.at(-1).opens();
  };
  return {
    client, sockets, clock, network, states, closes, messages, resumes, moves, tokenErrors, asked, welcomes, hears, heard,
    reconnects,
  };
}

/** A client that has just had its first welcome. */
export function connected(welcome, options) {
  const all = surroundings(options);
  all.client.connect();
  all.sockets.at(-1).opens();
  all.welcomes({ ...welcome, resumed: false });
  return all;
}

/** A client at e-7 that has long been connected and was asked to move, and whose successor is opening. */
export function moving() {
  const all = connected({ last_event_id: 'e-7' });
  all.clock.advance(60_000);
  all.sockets[0].says(hint(HINT));
  all.clock.advance(SLOT_MS);
  return all;
}

export function welcome(said) {
  return JSON.stringify({ type: 'welcome', ...said });
}

export function publication(id) {
  return JSON.stringify({ type: 'notification', id, topic: 'orders', data: 1 });
}

export function hint(times) {
  return JSON.stringify({ type: 'reconnect', reason: 'server_restart', ...times });
}

export function commands(socket) {
  return socket.sent.map((text) => JSON.parse(text)).map(({ type, topic }) => `${type} ${topic}`);
}

export function fakeSocketsInto(sockets) {
  return class {
    readyState = 0;
    sent = []; // what the user said
    questions = 0; // what the module asked
    isAlive = true; // and answers
    closedWith = null;

    constructor(url, protocols) {
      this.url = url;
      this.protocols = protocols;
      sockets.push(this);
    }

    send(text) {
      if (text !== '') return this.sent.push(text);
      this.questions += 1;
      if (this.isAlive) this.answers();
    }

    answers() {
      this.says('{"type":"echo","message":"Server received: "}');
    }

    close(code = 1005) {
      this.readyState = 2;
      this.closedWith = code;
    }

    /** The handshake is done; with words, the server has said them. */
    opens(...words) {
      this.readyState = 1;
      this.onopen?.();
      words.forEach((word) => this.says(word));
    }

    says(data) {
      this.onmessage({ data });
    }

    closes(code, reason = '') {
      this.readyState = 3;
      this.onerror();
      this.onclose({ code, reason });
    }
  };
}

class Clock {
  now = 1_000_000;
  aheadMs = 0; // what the hands show, beyond the time that passes
  #timers = new Map();
  #latest = 0;

  get pending() {
    return this.#timers.size;
  }

  setTimeout(act, delayMs) {
    this.#latest += 1;
    this.#timers.set(this.#latest, { act, due: this.now + delayMs });
    return this.#latest;
  }

  clearTimeout(id) {
    this.#timers.delete(id);
  }

  /** When the next timer runs; later than all times if none does. */
  get next() {
    return Math.min(...[...this.#timers.values()].map(({ due }) => due));
  }

  /** Runs the next timer alone. */
  step() {
    const [id, { act, due }] = [...this.#timers].sort(([, a], [, b]) => a.due - b.due)[0];
    this.#timers.delete(id);
    this.now = Math.max(this.now, due);
    act();
  }

  advance(ms) {
    this.advanceTo(this.now + ms);
  }

  advanceTo(time) {
    for (;;) {
      const [next] = [...this.#timers].filter(([, { due }]) => due <= time).sort(([, a], [, b]) => a.due - b.due);
      if (!next) break;
      const [id, { act, due }] = next;
      this.#timers.delete(id);
      this.now = Math.max(this.now, due);
      act();
    }
    this.now = time;
  }
}
