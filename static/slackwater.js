// A WebSocket that comes back and goes on where it was: decides when to connect, when to wait and when to stop, and keeps the
// place and the topics. Knows nothing of the page, and of the messages only what says where it stands.
// Invariants: only the socket of #connection changes the state; the events of any other socket are stale and go unheard.
// The place moves behind a publication only when that publication is handed on.

/** The first retry comes within this time; each failure in a row doubles it, up to the cap. */
const BASE_DELAY_MS = 500;
const MAX_DELAY_MS = 30_000;
/** A network that swallows packets would keep a handshake pending for minutes. */
const OPENING_TIMEOUT_MS = 10_000;
/** A connection that ends sooner after its welcome counts as a failure, or a server that keeps crashing is hammered. */
const STABLE_AFTER_MS = 5_000;
/** After a close that asks for back-off the delay is drawn as after this many failures: from up to 8 s. */
const BACK_OFF_FAILURES = 4;
/** Ids remembered, so that what a server brings again is not heard again. */
const HEARD_IDS = 1000;

/** What the server takes a connection that names no topic to mean. */
const DEFAULT_TOPIC = 'notifications';

/** Protocol error, binary, bad UTF-8, policy, too big (RFC 6455 §7.4.1): the next attempt would end the same way. */
const STOP_CODES = new Set([1002, 1003, 1007, 1008, 1009]);
/** Internal error, try again later. */
const BACK_OFF_CODES = new Set([1011, 1013]);
/** The server let go of us because we read too slowly: nobody else is affected, so there is no crowd to keep apart from. */
const TOO_SLOW = 4001;
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
 * One socket and what was agreed on it: the topics its address named, the place it was asked to go on from (null when it was
 * not asked to), and when its welcome came.
 *
 * @typedef {{ socket: WebSocket, asked: Set<string>, from: string | null, welcomedAt: number | null }} Connection
 */

/**
 * A client of a Slackwater server that reconnects by itself, with full jitter, until `disconnect()`, and brings every
 * publication on its topics once and in order, or tells that some may be missing.
 *
 *     import { Slackwater } from '/slackwater.js';
 *     const client = new Slackwater('/ws?topic=orders');
 *     client.addEventListener('message', ({ detail }) => console.log(detail.message ?? detail.raw));
 *     client.addEventListener('resume', ({ detail }) => detail.resumed || reloadEverything());
 *     client.connect();
 *
 * The place is the id of the last publication heard, or what the welcome called the newest when none has been heard since.
 * Each connection after the first asks to go on from it, also one made by `connect()` after `disconnect()`: a pause of the
 * user's is a pause. A new client starts with none, unless its address has a `last_event_id`, a `lastEventId` of old.
 *
 * There is one place for all topics. A topic added since then may therefore bring, on the next connection, what was
 * published on it a little before it was added.
 *
 * Events, each a `CustomEvent`:
 *
 * - `statechange`, detail `{ state: State, previous: State }`
 * - `message`, detail `{ message: object | null, raw: string | ArrayBuffer }`: `message` is the JSON object received, or
 *   null when `raw` is not one
 * - `resume`, detail `{ resumed: boolean, from: string, to: string | null }`: the answer to a connection that asked to go on
 *   from a place, right behind the `message` of its welcome. Resumed: what was missed follows, all of it, up to `to`, the
 *   newest id of all topics. Not resumed: there may be a gap between the two, and the client goes on from `to`.
 * - `close`, detail `{ code: number, reason: string, wasOpen: boolean, willRetry: boolean, retryAt: number | null }`: an
 *   ending the user did not ask for, or an attempt that failed (`wasOpen` false). Comes after its `statechange`.
 */
export class Slackwater extends EventTarget {
  #address;
  #WebSocket;
  #random;
  #now;
  #timers;
  #network;

  /** @type {State} */
  #state = 'idle';
  /** @type {Connection | null} */
  #connection = null;
  #timer = null; // connecting: gives the handshake up. waiting: the next attempt.
  #retryAt = null;
  #failures = 0; // in a row

  #topics;
  #place;
  #heard = new Set(); // the latest ids, oldest first

  /**
   * @param {string | URL} [url] where to connect, relative to the page; http and https become ws and wss. Its `topic`
   *   parameters are the first topics, its `last_event_id` the first place; any others are sent along each time
   * @param {Options} [options] the surroundings, for tests and for other runtimes
   * @throws {TypeError} when the URL does not parse
   */
  constructor(url = '/ws', options = {}) {
    super();
    this.#address = webSocketAddress(url);
    this.#WebSocket = options.WebSocket ?? globalThis.WebSocket;
    this.#random = options.random ?? Math.random;
    this.#now = options.now ?? Date.now;
    this.#timers = options.timers ?? globalThis;
    this.#network = options.network ?? globalThis;

    const { searchParams } = this.#address;
    this.#topics = topicsOrDefault(searchParams.getAll('topic'));
    this.#place = searchParams.get('last_event_id');
    searchParams.delete('topic');
    searchParams.delete('last_event_id');
  }

  /** @returns {State} */
  get state() {
    return this.#state;
  }

  /** When the next attempt comes, in milliseconds since the epoch; null unless waiting. */
  get retryAt() {
    return this.#retryAt;
  }

  /** The topics to listen to, on this connection and the next. One that the server refuses goes with the next welcome. */
  get topics() {
    return [...this.#topics];
  }

  /** The place: what a later client can be given as `last_event_id`; null before the first welcome. */
  get lastEventId() {
    return this.#place;
  }

  /** Listens to a topic, or with `orders/*` to all below it, from now on; the server answers `subscribed` or `error`. */
  subscribe(topic) {
    this.#topics.add(topic);
    this.send(command('subscribe', topic));
  }

  /** Listens to a topic no longer. What is under way still arrives, until the server answers `unsubscribed`. */
  unsubscribe(topic) {
    this.#topics.delete(topic);
    this.send(command('unsubscribe', topic));
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
   * Sends one text message. Nothing is queued: what cannot go now is refused. A command sent this way holds for the present
   * connection only; `subscribe` and `unsubscribe` hold for all.
   *
   * @param {string} text
   * @returns {boolean} whether the socket took it
   */
  send(text) {
    if (this.#state !== 'open' || this.#connection.socket.readyState !== OPEN) return false;
    this.#connection.socket.send(text);
    return true;
  }

  #open() {
    const asked = topicsOrDefault(this.#topics);
    // Whoever listens to nothing misses nothing, and must not be brought what the default topic missed.
    const from = this.#topics.size > 0 ? this.#place : null;
    const socket = new this.#WebSocket(this.#addressFor(asked, from));
    this.#release();
    this.#listen(socket);
    this.#connection = { socket, asked, from, welcomedAt: null };
    this.#timer = this.#timers.setTimeout(() => this.#giveUp(), OPENING_TIMEOUT_MS);
    this.#enter('connecting');
  }

  #addressFor(topics, from) {
    const address = new URL(this.#address);
    for (const topic of topics) address.searchParams.append('topic', topic);
    if (from !== null) address.searchParams.set('last_event_id', from);
    return address.href;
  }

  #listen(socket) {
    const whileOurs = (act) => (event) => socket === this.#connection?.socket && act(event);
    socket.binaryType = 'arraybuffer';
    socket.addEventListener('open', whileOurs(() => this.#onOpen()));
    socket.addEventListener('message', whileOurs(({ data }) => this.#onMessage(data)));
    socket.addEventListener('close', whileOurs(({ code, reason }) => this.#onClose(code, reason)));
    // Says nothing that `close` does not say, but some implementations throw when nobody listens.
    socket.addEventListener('error', () => {});
  }

  /** Lets go of the socket, the timer and everything else that belongs to the present state; returns the socket. */
  #release() {
    const socket = this.#connection?.socket;
    this.#timers.clearTimeout(this.#timer);
    this.#network.removeEventListener?.('online', this.#onOnline);
    this.#connection = this.#timer = this.#retryAt = null;
    return socket;
  }

  #giveUp() {
    this.#release().close();
    this.#onClose(ABNORMAL_CLOSURE, 'no answer to the opening handshake');
  }

  #onOpen() {
    this.#timers.clearTimeout(this.#timer);
    const { socket, asked } = this.#connection;
    // What was changed since the address was written; and no topics at all cannot be written in an address.
    for (const topic of this.#topics) if (!asked.has(topic)) socket.send(command('subscribe', topic));
    for (const topic of asked) if (!this.#topics.has(topic)) socket.send(command('unsubscribe', topic));
    this.#enter('open');
  }

  #onMessage(raw) {
    const message = parseObject(raw);
    if (message?.type === 'welcome') return this.#onWelcome(message, raw);
    if (message?.type === 'notification' && !this.#isNew(message)) return;
    this.#tell('message', { message, raw });
  }

  #onWelcome(message, raw) {
    const { asked, from } = this.#connection;
    const to = typeof message.last_event_id === 'string' ? message.last_event_id : null;
    const resumed = from !== null && message.resumed === true;
    this.#connection.welcomedAt = this.#now();
    // Resumed, the place stays where it is until what was missed has come: this connection may end before.
    if (!resumed) this.#place = to;
    if (Array.isArray(message.topics)) {
      for (const topic of asked) if (!message.topics.includes(topic)) this.#topics.delete(topic);
    }
    this.#tell('message', { message, raw });
    if (from !== null) this.#tell('resume', { resumed, from, to });
  }

  /** Whether a publication is to be handed on; if so, it is the place from now on. */
  #isNew({ id }) {
    // It is on the default topic, of a connection that could not name none.
    if (this.#topics.size === 0) return false;
    if (typeof id !== 'string') return true;
    if (this.#heard.has(id)) return false;
    this.#heard.add(id);
    if (this.#heard.size > HEARD_IDS) this.#heard.delete(this.#heard.values().next().value);
    this.#place = id;
    return true;
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
    const welcomedAt = this.#connection?.welcomedAt ?? null;
    return welcomedAt !== null && this.#now() - welcomedAt >= STABLE_AFTER_MS;
  }

  #scheduleRetry(code) {
    if (BACK_OFF_CODES.has(code)) this.#failures = Math.max(this.#failures, BACK_OFF_FAILURES);
    const isImmediate = code === TOO_SLOW && this.#failures === 0;
    const ceilingMs = Math.min(MAX_DELAY_MS, BASE_DELAY_MS * 2 ** this.#failures);
    const delayMs = isImmediate ? 0 : this.#random() * ceilingMs;
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

function webSocketAddress(url) {
  const address = new URL(url, globalThis.location?.href);
  address.protocol = address.protocol.replace(/^http/, 'ws');
  return address;
}

/** Connections that name no topic hear the default one. */
function topicsOrDefault(topics) {
  const set = new Set(topics);
  return set.size > 0 ? set : new Set([DEFAULT_TOPIC]);
}

function command(type, topic) {
  return JSON.stringify({ type, topic });
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
