// A WebSocket that comes back: decides when to connect, when to wait and when to stop. Knows nothing of the page, and of
// the messages only that `welcome` means the server has taken us in.
// Invariant: only the socket in #socket changes the state; the events of any other socket are stale and go unheard.

/** The first retry comes within this time; each failure in a row doubles it, up to the cap. */
const BASE_DELAY_MS = 500;
const MAX_DELAY_MS = 30_000;
/** A network that swallows packets would keep a handshake pending for minutes. */
const OPENING_TIMEOUT_MS = 10_000;
/** A connection that ends sooner after its welcome counts as a failure, or a server that keeps crashing is hammered. */
const STABLE_AFTER_MS = 5_000;
/** After a close that asks for back-off the delay is drawn as after this many failures: from up to 8 s. */
const BACK_OFF_FAILURES = 4;

/** Protocol error, binary, bad UTF-8, policy, too big (RFC 6455 §7.4.1): the next attempt would end the same way. */
const STOP_CODES = new Set([1002, 1003, 1007, 1008, 1009]);
/** Internal error, try again later. */
const BACK_OFF_CODES = new Set([1011, 1013]);
/** What the browser reports when there was no close frame. */
const ABNORMAL_CLOSURE = 1006;

const OPEN = 1; // WebSocket.OPEN, which an injected implementation need not carry.

/**
 * Where the client stands.
 *
 * - `idle`: not connected, as the user wishes: before `connect()` and after `disconnect()`
 * - `connecting`: the opening handshake is under way
 * - `open`: messages flow
 * - `waiting`: the connection ended or could not be had; the next attempt comes by itself at `retryAt`
 * - `stopped`: the server closed with a code that says not to come back; `connect()` tries again all the same
 *
 * @typedef {'idle' | 'connecting' | 'open' | 'waiting' | 'stopped'} State
 */

/**
 * @typedef {object} Options
 * @property {typeof WebSocket} [WebSocket] the implementation, the platform's own if not given
 * @property {() => number} [random] uniform in [0, 1), like `Math.random`
 * @property {() => number} [now] milliseconds since the epoch, like `Date.now`
 * @property {{setTimeout: typeof setTimeout, clearTimeout: typeof clearTimeout}} [timers]
 * @property {EventTarget} [network] tells of `online`; the window if there is one
 */

/**
 * A client of a Slackwater server that reconnects by itself, with full jitter, until `disconnect()`.
 *
 *     import { Slackwater } from '/slackwater.js';
 *     const client = new Slackwater('/ws?topic=orders');
 *     client.addEventListener('message', ({ detail }) => console.log(detail.message ?? detail.raw));
 *     client.connect();
 *
 * Events, each a `CustomEvent`:
 *
 * - `statechange`, detail `{ state: State, previous: State }`
 * - `message`, detail `{ message: object | null, raw: string | ArrayBuffer }`: `message` is the JSON object received, or
 *   null when `raw` is not one
 * - `close`, detail `{ code: number, reason: string, wasOpen: boolean, willRetry: boolean, retryAt: number | null }`: an
 *   ending the user did not ask for, or an attempt that failed (`wasOpen` false). Comes after its `statechange`.
 */
export class Slackwater extends EventTarget {
  #url;
  #WebSocket;
  #random;
  #now;
  #timers;
  #network;

  /** @type {State} */
  #state = 'idle';
  #socket = null;
  #timer = null; // connecting: gives the handshake up. waiting: the next attempt.
  #retryAt = null;
  #failures = 0; // in a row
  #welcomedAt = null;

  /**
   * @param {string | URL} [url] where to connect, relative to the page; http and https become ws and wss
   * @param {Options} [options] the surroundings, for tests and for other runtimes
   * @throws {TypeError} when the URL does not parse
   */
  constructor(url = '/ws', options = {}) {
    super();
    this.#url = webSocketUrl(url);
    this.#WebSocket = options.WebSocket ?? globalThis.WebSocket;
    this.#random = options.random ?? Math.random;
    this.#now = options.now ?? Date.now;
    this.#timers = options.timers ?? globalThis;
    this.#network = options.network ?? globalThis;
  }

  /** @returns {State} */
  get state() {
    return this.#state;
  }

  /** When the next attempt comes, in milliseconds since the epoch; null unless waiting. */
  get retryAt() {
    return this.#retryAt;
  }

  /** Connects now; cuts a wait short. Does nothing while connecting or open. */
  connect() {
    if (this.#state === 'connecting' || this.#state === 'open') return;
    if (this.#state !== 'waiting') this.#failures = 0;
    this.#open();
  }

  /** Closes the connection and stays away until `connect()`. The state is `idle` at once, without waiting for the peer. */
  disconnect() {
    this.#release()?.close(1000);
    this.#enter('idle');
  }

  /**
   * Sends one text message. Nothing is queued: what cannot go now is refused.
   *
   * @param {string} text
   * @returns {boolean} whether the socket took it
   */
  send(text) {
    if (this.#state !== 'open' || this.#socket.readyState !== OPEN) return false;
    this.#socket.send(text);
    return true;
  }

  #open() {
    const socket = new this.#WebSocket(this.#url);
    this.#release();
    this.#adopt(socket);
    this.#timer = this.#timers.setTimeout(() => this.#giveUp(), OPENING_TIMEOUT_MS);
    this.#enter('connecting');
  }

  #adopt(socket) {
    const whileOurs = (act) => (event) => socket === this.#socket && act(event);
    socket.binaryType = 'arraybuffer';
    socket.addEventListener('open', whileOurs(() => this.#onOpen()));
    socket.addEventListener('message', whileOurs(({ data }) => this.#onMessage(data)));
    socket.addEventListener('close', whileOurs(({ code, reason }) => this.#onClose(code, reason)));
    // Says nothing that `close` does not say, but some implementations throw when nobody listens.
    socket.addEventListener('error', () => {});
    this.#socket = socket;
  }

  /** Lets go of the socket, the timer and everything else that belongs to the present state; returns the socket. */
  #release() {
    const socket = this.#socket;
    this.#timers.clearTimeout(this.#timer);
    this.#network.removeEventListener?.('online', this.#onOnline);
    this.#socket = this.#timer = this.#retryAt = this.#welcomedAt = null;
    return socket;
  }

  #giveUp() {
    this.#release().close();
    this.#onClose(ABNORMAL_CLOSURE, 'no answer to the opening handshake');
  }

  #onOpen() {
    this.#timers.clearTimeout(this.#timer);
    this.#enter('open');
  }

  #onMessage(raw) {
    const message = parseObject(raw);
    if (message?.type === 'welcome') this.#welcomedAt = this.#now();
    this.#tell('message', { message, raw });
  }

  #onClose(code, reason) {
    const wasOpen = this.#state === 'open';
    if (this.#wasStable()) this.#failures = 0;
    this.#release();

    const willRetry = !STOP_CODES.has(code);
    if (willRetry) this.#scheduleRetry(code);
    const retryAt = this.#retryAt;
    this.#enter(willRetry ? 'waiting' : 'stopped');
    this.#tell('close', { code, reason, wasOpen, willRetry, retryAt });
  }

  #onOnline = () => this.connect();

  #wasStable() {
    return this.#welcomedAt !== null && this.#now() - this.#welcomedAt >= STABLE_AFTER_MS;
  }

  #scheduleRetry(code) {
    if (BACK_OFF_CODES.has(code)) this.#failures = Math.max(this.#failures, BACK_OFF_FAILURES);
    const delayMs = this.#random() * Math.min(MAX_DELAY_MS, BASE_DELAY_MS * 2 ** this.#failures);
    this.#failures += 1;
    this.#retryAt = this.#now() + delayMs;
    this.#timer = this.#timers.setTimeout(() => this.#open(), delayMs);
    this.#network.addEventListener?.('online', this.#onOnline);
  }

  #enter(state) {
    const previous = this.#state;
    if (state === previous) return;
    this.#state = state;
    this.#tell('statechange', { state, previous });
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

function webSocketUrl(url) {
  const absolute = new URL(url, globalThis.location?.href);
  absolute.protocol = absolute.protocol.replace(/^http/, 'ws');
  return absolute.href;
}

/** The JSON object in the text, or null: a malformed message is handed on, never thrown. */
function parseObject(raw) {
  if (typeof raw !== 'string') return null;
  try {
    const value = JSON.parse(raw);
    return value !== null && typeof value === 'object' && !Array.isArray(value) ? value : null;
  } catch {
    return null;
  }
}
