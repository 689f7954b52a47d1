// A WebSocket that comes back and goes on where it was: decides when to connect, when to wait, when to move to another server,
// when to ask for a token and when to stop, and keeps the place and the topics. Knows nothing of the page, and of the messages
// only what says where it stands.
// Invariants: only the socket of #connection changes the state. Of the two others there may be, the successor is heard for its
// welcome alone, and the parting one for what the new connection cannot bring. Any further socket is stale and goes unheard.
// The place moves behind a publication only when that publication is handed on.

/** The first retry comes within this time; each failure in a row doubles it, up to the cap. */
const BASE_DELAY_MS = 500;
const MAX_DELAY_MS = 30_000;
/** A network that swallows packets would keep a handshake pending for minutes. A successor has this long to its welcome. */
const OPENING_TIMEOUT_MS = 10_000;
/** A connection that ends sooner after its welcome counts as a failure, or a server that keeps crashing is hammered. */
const STABLE_AFTER_MS = 5_000;
/** After a close that asks for back-off the delay is drawn as after this many failures: from up to 8 s. */
const BACK_OFF_FAILURES = 4;
/** Ids remembered, so that what a server brings again is not heard again. */
const HEARD_IDS = 1000;
/** After a move the old connection is heard this much longer, if it may still bring what the new one cannot. */
const LINGER_MS = 2_000;
/** How often a server pings that does not say so. */
const PING_INTERVAL_MS = 20_000;
/** Nobody is asked more often than this, however often the server pings. */
const SILENCE_MS = 1_000;
/** Whoever is asked has this long to say something, and less once the network or the page has changed. */
const ANSWER_MS = 5_000;
const HURRIED_ANSWER_MS = 2_000;
/** Asked twice: while the first question was out, this machine may have slept. */
const QUESTIONS = 2;
/** The time begins when what was sent has left. No line is taken to be slower than this, nor to need longer than a minute. */
const MS_PER_BYTE = 1;
const LEAVING_MS = 60_000;
/** The user's function has this long to give a token, before the handshake begins or while the connection goes on. */
const TOKEN_TIMEOUT_MS = 30_000;
/** A new token is asked for after three quarters of the time that is left, or a little later: not by all clients at once. */
const REFRESH_FROM = 0.75;
const REFRESH_SPREAD = 0.15;
/** And never sooner than this, however little time is left, nor sooner after a refusal, whoever sets the next one. */
const REFRESH_PAUSE_MS = 1_000;
/** The server has this long to answer a refresh. */
const REFRESH_ANSWER_MS = 10_000;
/** What a `for await` loop may leave waiting, unless it says otherwise. */
const QUEUE_LIMIT = 1000;
/** A timer set for longer fires at once: browsers and Node keep the delay in 32 bits. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** What the server takes a connection that names no topic to mean. */
const DEFAULT_TOPIC = 'notifications';

/** Protocol error, binary, bad UTF-8, policy, too big (RFC 6455 §7.4.1): the next attempt would end the same way. */
const STOP_CODES = new Set([1002, 1003, 1007, 1008, 1009]);
/** The server's own that are yet to come: from here on they mean the same. */
const STOP_FROM = 4500;
/** Internal error, try again later. */
const BACK_OFF_CODES = new Set([1011, 1013]);
/** The server let go of us because we read too slowly: nobody else is affected, so there is no crowd to keep apart from. */
const TOO_SLOW = 4001;
/** A message of ours was over the server's limit. */
const TOO_BIG = 1009;
/** The token has expired. */
const EXPIRED = 4004;
/** What the browser reports when there was no close frame. */
const ABNORMAL_CLOSURE = 1006;

/** The network may be another one now, or the page may have slept. */
const SIGNS = ['online', 'offline', 'visibilitychange', 'pageshow', 'resume'];
/** Heard on their way down, for `resume` is fired at the document and does not bubble. (Node forgets a bare `true`.) */
const DOWNWARDS = { capture: true };
/** Asks whether anybody is there. Every text is answered, and none is shorter: it fits any limit on messages. */
const QUESTION = '';
const ANSWER = 'Server received: ';
const NO_HANDSHAKE = 'no answer to the opening handshake';
const NO_TOKEN = 'no token';
const NO_WEBSOCKET =
  'this platform has no WebSocket (Node has one from version 22): give one, as in new Slackwater(url, { WebSocket }) with that of `ws`';
/** How a server answers a refresh that it does not accept, with neither a topic nor a ref. */
const REFUSALS = new Set(['bad_token', 'forbidden']);
/** Browsers refuse other names of sub-protocols (RFC 9110 §5.6.2), in an error that would show the token. */
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;

const OPEN = 1; // WebSocket.OPEN, which an injected implementation need not carry.

/**
 * Where the client stands.
 *
 * - `idle`: not connected, as the user wishes: before `connect()` and after `disconnect()`
 * - `connecting`: the opening handshake is under way
 * - `open`: messages flow
 * - `waiting`: the connection ended or could not be had; the next attempt comes by itself at `retryAt`
 * - `stopped`: the server closed with a code that says not to come back, or the only token has expired; `connect()` or another
 *   token tries again all the same
 *
 * @typedef {'idle' | 'connecting' | 'open' | 'waiting' | 'stopped'} State
 */

/**
 * What is shown to the server: one token, or a function that is asked for a new one each time.
 *
 * @typedef {string | (() => string | Promise<string>)} TokenSource
 */

/**
 * @typedef {object} Options
 * @property {TokenSource | null} [token] none, if not given
 * @property {() => string | Promise<string>} [getToken] the same, for whoever knows it by this name; goes before `token`
 * @property {Iterable<string>} [topics] the first topics, beside those of the address
 * @property {string | null} [lastEventId] the first place, in place of the address's
 * @property {AbortSignal} [signal] disconnects for good
 * @property {typeof WebSocket} [WebSocket] the implementation, the platform's own if not given
 * @property {() => number} [random] uniform in [0, 1), like `Math.random`
 * @property {() => number} [now] milliseconds since the epoch, like `Date.now`
 * @property {{setTimeout: typeof setTimeout, clearTimeout: typeof clearTimeout}} [timers]
 * @property {EventTarget} [network] tells of `online`, `offline` and the like; the window if there is one
 */

/**
 * How one part of a program hears a topic: by a listener of its own, or else by a loop, behind which no more than `limit`
 * publications wait, 1000 if not given. Without a listener and without a loop, 0 keeps none.
 *
 * @typedef {{ listener?: (notification: object) => void, limit?: number }} SubscriptionOptions
 */

/**
 * One socket and what was agreed on it: the topics wished for when its address was written, the place it was asked to go on
 * from (null when it was not asked to), when its welcome came, and when something was last sent and heard on it. Silence is
 * what lasts longer than `silenceMs`; then there are the questions asked since anything was heard, and the answers still owed.
 * A slow line has taken all that was sent by `leavesAt`; the patience with the latest question ends at `dueAt`. There is no
 * socket until there is a token for it. It `expiresAt` that time of this machine's clock; those that were offered in its place
 * are not answered yet. Withdrawn are topics that the server has refused or taken away. The longest text that was sent had
 * `longestBytes`.
 *
 * @typedef {object} Connection
 * @property {WebSocket | null} socket
 * @property {Set<string>} topics
 * @property {string | null} from
 * @property {number | null} welcomedAt
 * @property {number} sentAt
 * @property {number} heardAt
 * @property {number} silenceMs
 * @property {number} asked
 * @property {number} owed
 * @property {number} leavesAt
 * @property {number} longestBytes
 * @property {number} dueAt
 * @property {string | null} token
 * @property {number | null} expiresAt
 * @property {string[]} offered
 * @property {Set<string>} withdrawn
 */

/**
 * The move to another connection, from the hint to the welcome: either the next attempt comes at `at`, or a successor is opening
 * and `at` is null. The timer belongs to whichever it is; failures are those of attempts in a row.
 *
 * @typedef {{ at: number | null, timer: unknown, failures: number, successor: Connection | null }} Move
 */

/**
 * A client of a Slackwater server that reconnects by itself, with full jitter, until `disconnect()`, and brings every
 * publication on its topics once and in order, or tells that some may be missing.
 *
 *     import { Slackwater } from './slackwater.js';
 *     const client = new Slackwater('/ws?topic=orders');
 *     client.addEventListener('message', ({ detail }) => console.log(detail.message ?? detail.raw));
 *     client.addEventListener('resume', ({ detail }) => detail.resumed || reloadEverything());
 *     client.addEventListener('gap', () => reloadEverything());
 *     client.connect();
 *
 * The place is the id of the last publication heard, or what the welcome called the newest when none has been heard since.
 * Each connection after the first asks to go on from it, also one made by `connect()` after `disconnect()`: a pause of the
 * user's is a pause. A new client starts with none, unless its address has a `last_event_id`, a `lastEventId` of old.
 *
 * There is one place for all topics. A topic added since then may therefore bring, on the next connection, what was
 * published on it a little before it was added.
 *
 * A server that leaves, or for which the connection has become old, says so with a `reconnect` message and names a time. Then a
 * second connection is opened, to another server or to the same; the first stays, in the state `open`, until the second has its
 * welcome, and is closed. Nothing is missed and nobody sees a gap. While no other server answers, the first simply stays, and
 * attempts follow with the usual back-off, unless one is refused with a code that says not to come back. A server that does not
 * know the place takes over all the same, as publications go there now: `resume` tells of the gap, and for a moment what the
 * old one still brings is handed on, too, in the order it comes.
 *
 * A network that goes silent tells nobody, and scripts do not see the server's pings. So the server is asked by an empty text,
 * whose echo is not handed on: when nothing has come for longer than the time between two pings, which the welcome names, when
 * the network comes or goes, and when the page wakes up. Each text of the user's is a question, too, and a long one is given the
 * time that it takes on a slow line. Whatever comes is a sign of life. When nothing does, the connection has ended, with code
 * 1006; what was sent last may have arrived or not.
 *
 * A token goes along as a sub-protocol, never in the address, and is told to nobody else. A function is asked before each
 * connection, and again in time before the token expires: the new one is shown on the connection that there is. Should there be
 * none, the connection lives on until the server closes it with 4004; then, as for any end, attempts follow with the usual
 * back-off, each with a token of its own. A string is shown each time, until it has expired: then the client stops. Why a
 * handshake fails no browser says: a refused one is tried again like one that nobody has answered.
 *
 * Events, each a `CustomEvent`:
 *
 * - `statechange`, detail `{ state: State, previous: State }`
 * - `message`, detail `{ message: object | null, raw: string | ArrayBuffer }`: `message` is the JSON object received, or
 *   null when `raw` is not one
 * - `notification`, detail: the JSON object of a publication, right behind its `message`
 * - `resume`, detail `{ resumed: boolean, from: string, to: string | null }`: the answer to a connection that asked to go on
 *   from a place, right behind the `message` of its welcome. Resumed: what was missed follows, all of it, up to `to`, the
 *   newest id of all topics. Not resumed: there may be a gap between the two, and the client goes on from `to`.
 * - `gap`, detail `{ from: string | null, to: string | null }`: publications may have been missed though the connection lived on,
 *   as the machines that share the publications have lost some. Comes right behind the `message` that says so; the client goes
 *   on from `to`, or from where it was if that is null.
 * - `close`, detail `{ code: number, reason: string, wasOpen: boolean, willRetry: boolean, retryAt: number | null }`: an
 *   ending the user did not ask for, or an attempt that failed (`wasOpen` false). Comes after its `statechange`. There is no
 *   `retryAt` when none will be, nor when the connection ended during a move, whose attempt is then the next.
 * - `moving`, detail `{ at: number, failures: number }`: when another connection will be tried, this one staying meanwhile.
 *   Comes right behind the `message` of a hint, and again after each attempt that failed.
 * - `tokenerror`, detail `{ reason: 'unavailable' | 'refused', message: string, error: unknown }`: the function gave no token,
 *   and `error` is what it threw, if it did; or the server did not accept one, and the connection goes on with the one before.
 * - `moved`: the move succeeded; from the `message` of the new welcome on, which follows, messages come from the new server.
 */
export class Slackwater extends EventTarget {
  #address;
  #WebSocket;
  #random;
  #now;
  #timers;
  #network;
  #signal;

  /** @type {State} */
  #state = 'idle';
  /** @type {Connection | null} */
  #connection = null;
  #timer = null; // connecting: gives the token or the handshake up. open: notices silence. waiting: the next attempt.
  #retryAt = null;
  #failures = 0; // in a row
  /** @type {Move | null} */
  #move = null; // only while open
  /** @type {{ connection: Connection, bringsPublications: boolean, timer: unknown } | null} */
  #parting = null;

  /** @type {TokenSource | null} */
  #token;
  #skewMs = 0; // by how much the server's clock is ahead
  #refreshTimer = null; // open: the next refresh, or gives the present one up
  #refreshAt = null; // unless one is under way
  #refreshFailures = 0; // in a row
  #refreshHeldUntil = -Infinity; // after a failure, whoever sets a token

  #topics;
  #place;
  #heard = new Set(); // the latest ids, oldest first
  #publications = new Map(); // those not answered yet, by their ref: { connection, bytes, resolve, reject }
  #refs = 0;
  /** @type {Set<Subscription>} */
  #subscriptions = new Set();
  #chosen; // Topics that the client began with: they stay when their last subscription ends.

  /**
   * @param {string | URL} [url] where to connect, relative to the page; http and https become ws and wss. Its `topic`
   *   parameters are the first topics, its `last_event_id` the first place; any others are sent along each time
   * @param {Options} [options] the surroundings, for tests and for other runtimes
   * @throws {TypeError} when the URL does not parse, or the token cannot be one
   */
  constructor(url = '/ws', options = {}) {
    super();
    this.#address = webSocketAddress(url);
    this.#WebSocket = options.WebSocket ?? globalThis.WebSocket;
    this.#random = options.random ?? Math.random;
    this.#now = options.now ?? Date.now;
    this.#timers = options.timers ?? globalThis;
    this.#network = options.network ?? globalThis;
    this.#token = tokenSource(options.getToken ?? options.token);
    this.#signal = options.signal;

    const { searchParams } = this.#address;
    this.#topics = topicsOrDefault([...searchParams.getAll('topic'), ...namesIn(options.topics)]);
    this.#chosen = new Set(this.#topics);
    this.#place = (options.lastEventId ?? searchParams.get('last_event_id')) || null;
    searchParams.delete('topic');
    searchParams.delete('last_event_id');
    this.#signal?.addEventListener('abort', () => this.#leave(), { once: true });
  }

  /** @returns {State} */
  get state() {
    return this.#state;
  }

  /** When the next attempt comes, in milliseconds since the epoch; null unless waiting. */
  get retryAt() {
    return this.#retryAt;
  }

  /** When another connection will be tried beside the present one, as the server asked; null when none will. */
  get movesAt() {
    return this.#move?.at ?? null;
  }

  /** The topics to listen to, on this connection and the next, without those that the server has refused or taken away. */
  get topics() {
    return [...this.#topics];
  }

  /** The place: what a later client can be given as `last_event_id`; null before the first welcome. */
  get lastEventId() {
    return this.#place;
  }

  /** What the present connection agreed on beside the protocol itself, as `WebSocket.extensions` has it: empty without any. */
  get extensions() {
    return this.#connection?.socket?.extensions ?? '';
  }

  /** When the token of the present connection expires, in milliseconds since the epoch; null if that is never or not known. */
  get tokenExpiresAt() {
    return this.#connection?.expiresAt ?? null;
  }

  /**
   * What is shown from now on; it cannot be read back. An open connection goes on with a token of the same subject (`sub`); for
   * another one, or none, it is closed and made anew, as it is while connecting. A stopped client comes back. One that waits
   * keeps its time, unless `connect()` cuts it short. After a refusal the next token waits a second on the same connection, and
   * longer after each. Whitespace around a token does not count.
   *
   * @param {TokenSource | null} source
   */
  set token(source) {
    this.#token = tokenSource(source);
    if (this.#state === 'stopped') {
      // Not at once: whoever answers each end with another token would never be held back.
      this.#scheduleRetry(EXPIRED);
      this.#enter('waiting');
    } else if (this.#state === 'connecting') this.#reopen();
    else if (this.#state === 'open') {
      if (this.#move?.successor) this.#openSuccessor();
      if (typeof this.#token !== 'function') this.#show(this.#token);
      else if (!this.#holdBack()) this.#refresh();
    }
  }

  /**
   * Listens to a topic, or with `orders/*` to all below it, from now on and on each later connection. The server is asked once,
   * however many subscriptions share the topic, and again told once the last of them has ended.
   *
   *     const tides = await client.subscribe('tides', ({ data }) => show(data));
   *     for await (const { data } of client.subscribe('orders/*')) await store(data);
   *
   * A loop that is left unsubscribes. One that falls behind by more than the limit ends with a `too_slow` error in place of what
   * waits; the events still tell everything.
   *
   * @param {string} topic
   * @param {SubscriptionOptions | SubscriptionOptions['listener']} [options]
   * @returns resolves once the server has said `subscribed`, be it on a later connection; need not be awaited. Rejects, as the loop
   *   does, with an `Error` that has the `code` of the server's `error`, when it does not let this client listen, or no longer;
   *   with `unsubscribed`, when it has ended before
   */
  subscribe(topic, options = {}) {
    if (typeof topic !== 'string') throw new TypeError('a topic is a string, as in "orders/7"');
    const others = this.#subscriptionsTo(topic);
    const given = typeof options === 'function' ? { listener: options } : options;
    const subscription = new Subscription(topic, given, () => this.#onSubscriptionEnd(subscription));
    this.#subscriptions.add(subscription);
    if (this.#signal?.aborted) subscription.end();
    else if (others.length === 0) {
      this.#topics.add(topic);
      this.send(command('subscribe', topic));
    } else if (others.some(({ isAnswered }) => isAnswered)) subscription.answer();
    return subscription.handle;
  }

  /**
   * Listens to a topic no longer, and ends all its subscriptions. What is under way still arrives as events, until the server
   * answers `unsubscribed`.
   */
  unsubscribe(topic) {
    this.#chosen.delete(topic);
    this.#topics.delete(topic);
    for (const subscription of this.#subscriptionsTo(topic)) subscription.end();
    this.send(command('unsubscribe', topic));
  }

  /**
   * Connects now; cuts a wait short. Does nothing while connecting or open, nor once the signal has aborted.
   *
   * @throws {TypeError} when the platform has no WebSocket, and none was given
   */
  connect() {
    if (this.#signal?.aborted) return;
    if (this.#WebSocket === undefined) throw new TypeError(NO_WEBSOCKET);
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
   * @returns {boolean} whether the socket took it; that it has arrived is known only from the server's answer
   */
  send(text) {
    if (this.#state !== 'open' || this.#connection.socket.readyState !== OPEN) return false;
    const connection = this.#connection;
    connection.socket.send(text);
    connection.sentAt = this.#now();
    const bytes = bytesOf(text);
    connection.leavesAt = connection.sentAt + this.#leavingMs() + bytes * MS_PER_BYTE;
    connection.longestBytes = Math.max(connection.longestBytes, bytes);
    if (connection.asked === 0) this.#expectAnswer(ANSWER_MS);
    return true;
  }

  /**
   * Publishes to a topic, if the token grants it. With an `id` another attempt does no harm.
   *
   * @param {string} topic
   * @param {unknown} data anything that JSON can hold
   * @param {{ id?: string }} [options]
   * @returns {Promise<string>} the id of the publication. Rejects with an `Error` whose `code` is that of the server's answer;
   *   `too_large` also when the server closed with 1009, for a message over its limit; `not_connected`, when nothing was sent; or
   *   `unanswered`, when the connection ended before: it may have been published
   */
  publish(topic, data, { id } = {}) {
    const connection = this.#connection;
    this.#refs += 1;
    const ref = `slackwater-${this.#refs}`;
    return new Promise((resolve, reject) => {
      const text = JSON.stringify({ type: 'publish', topic, data, id, ref });
      this.#publications.set(ref, { connection, bytes: bytesOf(text), resolve, reject });
      if (!this.send(text)) this.#settle({ ref, code: 'not_connected', message: 'not connected' });
    });
  }

  /** For good. */
  #leave() {
    this.disconnect();
    for (const subscription of this.#subscriptions) subscription.end();
  }

  #subscriptionsTo(topic) {
    return [...this.#subscriptions].filter((subscription) => subscription.topic === topic);
  }

  #onSubscriptionEnd(subscription) {
    const { topic } = subscription;
    this.#subscriptions.delete(subscription);
    const isWanted = this.#chosen.has(topic) || this.#subscriptionsTo(topic).length > 0;
    if (this.#topics.has(topic) && !isWanted) this.unsubscribe(topic);
  }

  #open() {
    const connection = this.#dial();
    this.#release();
    this.#connection = connection;
    this.#timer = this.#awaitOpening(connection);
    this.#enter('connecting');
    this.#askFor(connection);
  }

  /** Ends the connection there is, and opens another at once. */
  #reopen() {
    const socket = this.#connection.socket;
    if (this.#wasStable()) this.#failures = 0;
    this.#open();
    socket?.close(1000);
  }

  /** @returns {Connection} with a socket, unless the user is to be asked for a token first */
  #dial() {
    const asked = { socket: null, topics: new Set(), from: null, welcomedAt: null };
    const sent = { sentAt: -Infinity, leavesAt: -Infinity, longestBytes: 0 };
    const heard = { heardAt: 0, silenceMs: this.#drawSilence(), asked: 0, owed: 0, dueAt: Infinity };
    const shown = { token: null, expiresAt: null, offered: [], withdrawn: new Set() };
    const connection = { ...asked, ...sent, ...heard, ...shown };
    if (typeof this.#token !== 'function') this.#call(connection, this.#token);
    return connection;
  }

  /** Makes the socket of a connection, asked for the topics and the place of this moment. */
  #call(connection, token) {
    connection.token = token;
    connection.topics = new Set(this.#topics);
    // Whoever listens to nothing misses nothing, and must not be brought what the default topic missed.
    connection.from = connection.topics.size > 0 ? this.#place : null;
    const address = this.#addressFor(topicsOrDefault(connection.topics), connection.from);
    connection.socket = new this.#WebSocket(address, token === null ? [] : ['slackwater', `slackwater.token.${token}`]);
    this.#listen(connection);
  }

  /** Makes the socket once the user has given a token, if it is still wanted then. */
  #askFor(connection) {
    if (connection.socket !== null) return;
    this.#askForToken((token, error) => {
      const isSuccessor = connection === this.#move?.successor;
      if (connection.socket !== null || (connection !== this.#connection && !isSuccessor)) return;
      if (token === null) return this.#giveUpWithoutToken(connection, error);
      this.#call(connection, token);
      const owner = isSuccessor ? this.#move.timer : this.#timer;
      this.#timers.clearTimeout(owner);
      if (isSuccessor) this.#move.timer = this.#awaitOpening(connection);
      else this.#timer = this.#awaitOpening(connection);
    });
  }

  /** Hands on what the user's function gives, or null and why there is none. */
  #askForToken(use) {
    const source = this.#token;
    new Promise((resolve) => resolve(source())).then(trimmed).then(
      (token) => (isToken(token) ? use(token, null) : use(null, new TypeError('what was given is no token'))),
      (error) => use(null, error),
    );
  }

  /** @returns {unknown} the timer that gives a connection up which does not come about */
  #awaitOpening(connection) {
    if (connection.socket !== null) {
      return this.#timers.setTimeout(() => this.#giveUp(connection, NO_HANDSHAKE), OPENING_TIMEOUT_MS);
    }
    return this.#timers.setTimeout(() => this.#giveUpWithoutToken(connection, tooLate()), TOKEN_TIMEOUT_MS);
  }

  #giveUpWithoutToken(connection, error) {
    // Whoever answers with another source is held back only once the attempt has ended.
    this.#giveUp(connection, NO_TOKEN);
    this.#tell('tokenerror', { reason: 'unavailable', message: NO_TOKEN, error });
  }

  #addressFor(topics, from) {
    const address = new URL(this.#address);
    for (const topic of topics) address.searchParams.append('topic', topic);
    if (from !== null) address.searchParams.set('last_event_id', from);
    return address.href;
  }

  #listen(connection) {
    const { socket } = connection;
    socket.binaryType = 'arraybuffer';
    socket.addEventListener('open', () => connection === this.#connection && this.#onOpen());
    socket.addEventListener('message', ({ data }) => this.#onMessage(connection, data));
    socket.addEventListener('close', ({ code, reason }) => this.#onEnd(connection, code, reason));
    // Says nothing that `close` does not say, but some implementations throw when nobody listens.
    socket.addEventListener('error', () => {});
  }

  /** Lets go of the socket, the timer and everything else that belongs to the present state; returns the socket. */
  #release() {
    const socket = this.#connection?.socket;
    this.#timers.clearTimeout(this.#timer);
    for (const sign of SIGNS) this.#network.removeEventListener?.(sign, this.#onSign, DOWNWARDS);
    this.#stay();
    this.#part();
    this.#clearRefresh();
    this.#doubtPublications(this.#connection);
    this.#connection = this.#timer = this.#retryAt = null;
    return socket;
  }

  /** Does not wait for the socket, whose end may take minutes to be told. */
  #giveUp(connection, reason) {
    connection.socket?.close();
    this.#onEnd(connection, ABNORMAL_CLOSURE, reason);
  }

  #onOpen() {
    this.#connection.heardAt = this.#now();
    this.#awaitSilence();
    this.#heedSigns();
    this.#bringInLine(this.#connection);
    this.#enter('open');
  }

  /** Commands for what was changed since the address was written; and no topics at all cannot be written in an address. */
  #bringInLine({ socket, topics }) {
    const asked = topicsOrDefault(topics);
    for (const topic of this.#topics) if (!asked.has(topic)) socket.send(command('subscribe', topic));
    for (const topic of asked) if (!this.#topics.has(topic)) socket.send(command('unsubscribe', topic));
  }

  #onMessage(connection, raw) {
    const message = parseObject(raw);
    connection.heardAt = this.#now();
    if (connection.asked > 0) {
      connection.asked = 0;
      if (connection === this.#connection) this.#awaitSilence();
    }
    if (typeof message?.ref === 'string') this.#settle(message);
    if (connection.owed > 0 && message?.type === 'echo' && message.message === ANSWER) connection.owed -= 1;
    else if (connection === this.#connection) this.#hear(message, raw);
    else if (connection === this.#parting?.connection) this.#hearParting(message, raw);
    else if (connection === this.#move?.successor && message?.type === 'welcome') this.#onSuccessor(message, raw);
  }

  #onEnd(connection, code, reason) {
    if (connection === this.#connection) this.#onClose(code, reason);
    else if (connection === this.#parting?.connection) this.#part();
    else if (connection === this.#move?.successor) this.#onSuccessorLost(code);
  }

  #hear(message, raw) {
    if (message?.type === 'welcome') return this.#onWelcome(message, raw);
    if (message?.type === 'gap') return this.#onGap(message, raw);
    if (message?.type === 'notification') {
      if (!this.#isNew(message)) return;
      if (typeof message.id === 'string') this.#place = message.id;
    }
    const connection = this.#connection;
    if (message !== null) this.#heedRights(message);
    this.#handOn(message, raw);
    // A listener may have left in the meantime.
    if (connection !== this.#connection) return;
    if (message?.type === 'reconnect') this.#onHint(message);
    if (isRefusal(message) && connection.offered.shift()) this.#onNoRefresh('refused', message.message);
  }

  /** What the server refuses or takes away is not asked for again: it would refuse the next connection as a whole. */
  #heedRights(message) {
    const { type, topic, command } = message;
    const { offered, withdrawn } = this.#connection;
    if (type === 'refreshed') this.#onRefreshed(message);
    if ((type === 'unsubscribed' && offered.length > 0) || (type === 'error' && command !== 'publish' && typeof topic === 'string')) {
      if (this.#topics.delete(topic)) withdrawn.add(topic);
    }
    // Asked for again before that was known, and granted.
    if (type === 'subscribed' && withdrawn.delete(topic)) this.#topics.add(topic);
  }

  #onWelcome(message, raw) {
    const { topics, from } = this.#connection;
    const to = typeof message.last_event_id === 'string' ? message.last_event_id : null;
    const resumed = hasResumed(this.#connection, message);
    const lastHeard = this.#place; // During a move it may have gone on from where the new connection was asked to.
    this.#connection.welcomedAt = this.#now();
    this.#connection.silenceMs = this.#drawSilence(message.ping_interval_ms);
    if (this.#connection.asked === 0) this.#awaitSilence();
    this.#learnExpiry(message.timestamp, claimsOf(this.#connection.token).exp * 1000);
    // Resumed, the place stays where it is until what was missed has come: this connection may end before.
    if (!resumed) this.#place = to;
    if (Array.isArray(message.topics)) {
      for (const topic of topicsOrDefault(topics)) if (!message.topics.includes(topic)) this.#topics.delete(topic);
    }
    this.#handOn(message, raw);
    if (from !== null) this.#tell('resume', { resumed, from: lastHeard, to });
  }

  /** What was heard last may be lost: no server would know how to go on from there. */
  #onGap(message, raw) {
    const from = this.#place;
    const to = typeof message.last_event_id === 'string' ? message.last_event_id : null;
    this.#place = to ?? from;
    this.#handOn(message, raw);
    this.#tell('gap', { from, to });
  }

  /** Whether a publication is to be handed on. */
  #isNew({ id }) {
    // It is on the default topic, of a connection that could not name none.
    if (this.#topics.size === 0) return false;
    if (typeof id !== 'string') return true;
    if (this.#heard.has(id)) return false;
    this.#heard.add(id);
    // While a successor opens nothing is forgotten, for it will bring all that was heard in the meantime once more.
    if (!this.#move?.successor) forgetOldest(this.#heard, HEARD_IDS);
    return true;
  }

  #onClose(code, reason) {
    const wasOpen = this.#state === 'open';
    const hasExpired = this.#hasExpired(code);
    const willRetry = !stops(code) && !hasExpired;
    if (hasExpired && code !== EXPIRED) reason = 'the token has expired';
    if (this.#wasStable()) this.#failures = 0;
    if (code === TOO_BIG) this.#rejectTooLarge(this.#connection);

    let retryAt = null;
    if (willRetry && this.#move?.successor) {
      this.#failures = inARow(this.#failures, code) + 1;
      this.#takeSuccessor();
    } else {
      this.#release();
      if (willRetry) this.#scheduleRetry(code);
      retryAt = this.#retryAt;
      this.#enter(willRetry ? 'waiting' : 'stopped');
    }
    this.#tell('close', { code, reason, wasOpen, willRetry, retryAt });
    // The handshake of a successor may have been done already.
    if (this.#state === 'connecting' && this.#connection.socket?.readyState === OPEN) this.#onOpen();
  }

  /** Whether it ended for a token that has expired and cannot get better, as it is all that the user has given. */
  #hasExpired(code) {
    const { token } = this.#connection;
    if (token === null || token !== this.#token) return false;
    if (this.#state === 'open') return code === EXPIRED;
    return claimsOf(token).exp * 1000 <= this.#now() + this.#skewMs;
  }

  #heedSigns() {
    for (const sign of SIGNS) this.#network.addEventListener?.(sign, this.#onSign, DOWNWARDS);
  }

  #onSign = ({ type, target, persisted }) => {
    // A page that is being hidden or is shown for the first time has not slept.
    if ((type === 'visibilitychange' && target.hidden) || persisted === false) return;
    if (this.#state === 'waiting') {
      if (type !== 'offline') this.connect();
      return;
    }
    if (this.#connection.asked === 0) this.#ask(HURRIED_ANSWER_MS);
    else this.#awaitAnswer(HURRIED_ANSWER_MS);
    // The timer stands still while a machine sleeps.
    if (type !== 'offline' && this.#refreshAt !== null && this.#now() >= this.#refreshAt) this.#refresh();
  };

  /** Longer than between two pings, and not the same for all: or all would ask at once after each publication. */
  #drawSilence(pingIntervalMs) {
    const intervalMs = isSpan(pingIntervalMs) && pingIntervalMs > 0 ? pingIntervalMs : PING_INTERVAL_MS;
    return Math.round(Math.min(MAX_TIMER_MS, Math.max(SILENCE_MS, intervalMs) * (1 + this.#random() / 2)));
  }

  /** Asks when nothing has come for too long. */
  #awaitSilence() {
    const { heardAt, silenceMs } = this.#connection;
    const quietMs = this.#now() - heardAt; // Less than nothing when the clock has been set back.
    if (quietMs < 0 || quietMs >= silenceMs) return this.#ask(ANSWER_MS);
    this.#setTimer(() => this.#awaitSilence(), silenceMs - quietMs);
  }

  #ask(patienceMs) {
    this.#expectAnswer(patienceMs);
    this.#connection.owed += 1;
    this.#connection.socket.send(QUESTION);
  }

  /** Gives the connection up when nothing comes, not even after a second question. */
  #expectAnswer(patienceMs) {
    this.#connection.asked += 1;
    this.#connection.dueAt = Infinity;
    this.#awaitAnswer(patienceMs);
  }

  /** For the question that is out: shortens the time that it has, and never lengthens it. */
  #awaitAnswer(patienceMs) {
    const connection = this.#connection;
    const { bufferedAmount } = connection.socket;
    connection.dueAt = Math.min(connection.dueAt, this.#now() + this.#leavingMs() + patienceMs);
    this.#setTimer(() => {
      if (this.#isLeaving(bufferedAmount)) return this.#awaitAnswer(patienceMs);
      if (connection.asked < QUESTIONS) return this.#ask(patienceMs);
      // What has come while this timer was late is heard first.
      this.#setTimer(() => this.#giveUp(connection, 'the server no longer answers'), 0);
    }, connection.dueAt - this.#now());
  }

  /** How long what was sent may still be under way on a slow line; the clock may have been set back. */
  #leavingMs() {
    return Math.min(LEAVING_MS, Math.max(0, this.#connection.leavesAt - this.#now()));
  }

  /** Whether the network takes what was sent, only not all of it yet. Then the time of the question has not begun. */
  #isLeaving(bufferedBefore) {
    const { bufferedAmount } = this.#connection.socket;
    if (!(bufferedAmount > 0 && bufferedAmount < bufferedBefore)) return false;
    this.#connection.leavesAt = this.#now() + LEAVING_MS;
    this.#connection.dueAt = Infinity;
    return true;
  }

  #setTimer(act, delayMs) {
    this.#timers.clearTimeout(this.#timer);
    this.#timer = this.#timers.setTimeout(act, delayMs);
  }

  #wasStable() {
    const welcomedAt = this.#connection?.welcomedAt ?? null;
    return welcomedAt !== null && this.#now() - welcomedAt >= STABLE_AFTER_MS;
  }

  #scheduleRetry(code) {
    const failures = inARow(this.#failures, code);
    const delayMs = code === TOO_SLOW && failures === 0 ? 0 : this.#drawDelay(failures);
    this.#failures = failures + 1;
    this.#retryAt = this.#now() + delayMs;
    this.#timer = this.#timers.setTimeout(() => this.#open(), delayMs);
    this.#heedSigns();
  }

  #drawDelay(failures) {
    return this.#random() * Math.min(MAX_DELAY_MS, BASE_DELAY_MS * 2 ** failures);
  }

  #onHint(hint) {
    // A server that asks everybody to leave at once, and is found again each time, must not be hammered.
    const failures = this.#wasStable() ? 0 : this.#failures;
    this.#planMove(Math.max(this.#slotOf(hint), failures > 0 ? this.#drawDelay(failures) : 0));
  }

  /** In how many milliseconds to move: not after the server's own end. Whoever is given no time draws one: others move, too. */
  #slotOf({ after_ms: afterMs, deadline_ms: deadlineMs }) {
    const slotMs = isSpan(afterMs) ? afterMs : this.#random() * MAX_DELAY_MS;
    return Math.min(slotMs, isSpan(deadlineMs) ? deadlineMs : Infinity, MAX_TIMER_MS);
  }

  /** Plans an attempt in place of any other. */
  #planMove(delayMs, failures = 0) {
    this.#stay();
    const at = this.#now() + delayMs;
    const timer = this.#timers.setTimeout(() => this.#openSuccessor(), delayMs);
    this.#move = { at, timer, failures, successor: null };
    this.#tell('moving', { at, failures });
  }

  /** Gives the move up. */
  #stay() {
    this.#timers.clearTimeout(this.#move?.timer);
    this.#move?.successor?.socket?.close(1000);
    this.#move = null;
  }

  #openSuccessor() {
    const successor = this.#dial();
    const { failures } = this.#move;
    this.#stay();
    this.#move = { at: null, timer: this.#awaitOpening(successor), failures, successor };
    this.#askFor(successor);
  }

  #onSuccessorLost(code) {
    if (stops(code)) return this.#stay();
    const failures = inARow(this.#move.failures, code);
    this.#planMove(this.#drawDelay(failures), failures + 1);
  }

  /** The connection ended while its successor was opening: that is the next attempt, unless it is for other topics. */
  #takeSuccessor() {
    const { successor, timer } = this.#move;
    if (successor.socket !== null && !isSame(successor.topics, this.#topics)) return this.#open();
    this.#move = null;
    this.#release();
    this.#connection = successor;
    this.#timer = timer;
    this.#enter('connecting');
  }

  #onSuccessor(welcome, raw) {
    const { successor, timer } = this.#move;
    // Subscribed now, it would not bring what was published on a topic until then. An address with that topic does.
    if (!isSame(successor.topics, this.#topics)) return this.#openSuccessor();
    this.#timers.clearTimeout(timer);
    this.#move = null;
    this.#part();

    const old = this.#connection;
    this.#failures = this.#wasStable() ? 0 : this.#failures + 1;
    this.#connection = successor;
    this.#bringInLine(successor);
    this.#letGo(old, hasResumed(successor, welcome));
    this.#tell('moved');
    if (successor === this.#connection) this.#onWelcome(welcome, raw);
  }

  /** Closes the old connection: at once, unless answers may be under way to it, or publications that nobody else brings. */
  #letGo(connection, resumed) {
    const owedMs = Math.min(LINGER_MS, connection.sentAt + LINGER_MS - this.#now()); // The clock may have been set back.
    const lingerMs = resumed ? owedMs : LINGER_MS;
    const timer = lingerMs > 0 ? this.#timers.setTimeout(() => this.#part(), lingerMs) : null;
    this.#parting = { connection, bringsPublications: !resumed, timer };
    if (timer === null) this.#part();
  }

  /** What the parting connection brings moves no place, and where its server wants us no longer matters. */
  #hearParting(message, raw) {
    if (message?.type === 'reconnect') return;
    if (message?.type === 'notification' && !(this.#parting.bringsPublications && this.#isNew(message))) return;
    this.#handOn(message, raw);
  }

  #part() {
    if (this.#parting === null) return;
    const { connection, timer } = this.#parting;
    this.#timers.clearTimeout(timer);
    this.#parting = null;
    connection.socket.close(1000);
    this.#doubtPublications(connection);
  }

  /** The token that was shown expires at a time of the server's clock. */
  #learnExpiry(timestamp, expires) {
    const serverNow = Date.parse(timestamp);
    if (Number.isFinite(serverNow)) this.#skewMs = serverNow - this.#now();
    this.#connection.expiresAt = Number.isFinite(expires) ? expires - this.#skewMs : null;
    this.#refreshFailures = 0;
    this.#refreshHeldUntil = -Infinity;
    this.#planRefresh();
  }

  /** Asks for a new token in time before this one expires. */
  #planRefresh() {
    this.#clearRefresh();
    const leftMs = (this.#connection.expiresAt ?? -Infinity) - this.#now();
    if (typeof this.#token !== 'function' || leftMs <= 0) return;
    this.#refreshIn(leftMs * (REFRESH_FROM + REFRESH_SPREAD * this.#random()));
  }

  #refreshIn(delayMs) {
    const waitMs = Math.min(MAX_TIMER_MS, Math.max(REFRESH_PAUSE_MS, delayMs));
    this.#refreshAt = this.#now() + waitMs;
    this.#refreshTimer = this.#timers.setTimeout(() => this.#refresh(), waitMs);
  }

  #clearRefresh() {
    this.#timers.clearTimeout(this.#refreshTimer);
    this.#refreshTimer = this.#refreshAt = null;
  }

  /** Whether a refresh has to wait, as the one before was refused or there was no token for it. */
  #holdBack() {
    const heldMs = this.#refreshHeldUntil - this.#now();
    if (heldMs <= 0) return false;
    this.#clearRefresh();
    this.#refreshIn(Math.min(MAX_DELAY_MS, heldMs)); // The clock may have been set back.
    return true;
  }

  #refresh() {
    this.#clearRefresh();
    this.#refreshHeldUntil = -Infinity;
    if (typeof this.#token !== 'function') return this.#show(this.#token);
    const timer = this.#timers.setTimeout(() => this.#onNoRefresh('unavailable', NO_TOKEN, tooLate()), TOKEN_TIMEOUT_MS);
    this.#refreshTimer = timer;
    this.#askForToken((token, error) => {
      if (timer !== this.#refreshTimer) return;
      if (token === null) this.#onNoRefresh('unavailable', NO_TOKEN, error);
      else this.#show(token);
    });
  }

  /** Shows a token on the present connection, or on another if the server would not accept it on this. */
  #show(token) {
    const connection = this.#connection;
    const shown = connection.offered.at(-1) ?? connection.token;
    if (token === shown) return this.#planRefresh();
    if (token === null || shown === null || claimsOf(token).sub !== claimsOf(shown).sub) return this.#reopen();
    if (this.#holdBack()) return;
    this.#clearRefresh();
    connection.offered.push(token);
    this.#refreshTimer = this.#timers.setTimeout(() => {
      connection.offered = [];
      this.#onNoRefresh('refused', 'no answer');
    }, REFRESH_ANSWER_MS);
    this.send(JSON.stringify({ type: 'refresh', token }));
  }

  #onRefreshed({ timestamp, expires }) {
    const connection = this.#connection;
    connection.token = connection.offered.shift() ?? connection.token;
    this.#learnExpiry(timestamp, expires === null ? NaN : Date.parse(expires));
  }

  /** The connection goes on with the token that it has; a function is asked again while that counts. */
  #onNoRefresh(reason, message, error = null) {
    this.#clearRefresh();
    const pauseMs = Math.max(REFRESH_PAUSE_MS, this.#drawDelay(this.#refreshFailures));
    this.#refreshFailures += 1;
    this.#refreshHeldUntil = this.#now() + pauseMs;
    if (typeof this.#token === 'function' && this.#now() < (this.#connection.expiresAt ?? Infinity)) this.#refreshIn(pauseMs);
    this.#tell('tokenerror', { reason, message, error });
  }

  /** The answer to a publication: its id, or what is wrong with it. */
  #settle({ ref, id, code, message }) {
    const publication = this.#publications.get(ref);
    this.#publications.delete(ref);
    if (code === undefined) publication?.resolve(id);
    else publication?.reject(coded(code, message));
  }

  /** Of what is not answered, the message that was too big is the longest, unless a text of the user's was longer. */
  #rejectTooLarge(connection) {
    for (const [ref, publication] of this.#publications) {
      if (publication.connection !== connection || publication.bytes < connection.longestBytes) continue;
      this.#settle({ ref, code: 'too_large', message: 'the message is over the limit of the server' });
    }
  }

  #doubtPublications(connection) {
    const message = 'the connection ended before the answer: it may have been published';
    for (const [ref, publication] of this.#publications) {
      if (publication.connection === connection) this.#settle({ ref, code: 'unanswered', message });
    }
  }

  #enter(state) {
    const previous = this.#state;
    if (state === previous) return;
    this.#state = state;
    this.#tell('statechange', { state, previous });
  }

  #handOn(message, raw) {
    this.#tell('message', { message, raw });
    if (message === null) return;
    if (message.type === 'notification') this.#tell('notification', message);
    for (const subscription of [...this.#subscriptions]) subscription.hear(message, this.#topics);
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

/** One part of a program that listens to a topic. Connects nothing: it is told what comes, and tells that it has ended. */
class Subscription {
  /** What the part of the program is given. The same without a promise is what the promise resolves to, or it would never. */
  handle;
  topic;
  isAnswered = false;
  #resolve;
  #reject;
  #listener;
  #limit;
  #onEnd;
  #waiting = []; // for the loop
  #wake = () => {};
  #isOver = false;
  #error = null; // what the loop ends with

  constructor(topic, { listener, limit = QUEUE_LIMIT }, onEnd) {
    const loop = this.#loop();
    const leave = loop.return.bind(loop);
    // By itself it would wait for the next publication first.
    loop.return = () => {
      this.end();
      return leave();
    };
    const handle = { topic, unsubscribe: () => this.end(), [Symbol.asyncIterator]: () => loop };
    const answered = new Promise((resolve, reject) => {
      this.#resolve = () => resolve(handle);
      this.#reject = reject;
    });
    answered.catch(() => {}); // Whoever does not wait for it must not fail for it.
    this.handle = Object.assign(answered, handle);
    this.topic = topic;
    this.#listener = listener;
    this.#limit = limit;
    this.#onEnd = onEnd;
  }

  /** The topics are those of the client, without what the server has just refused or taken away. */
  hear(message, topics) {
    const { type, topic } = message;
    const isGranted = type === 'welcome' ? message.topics?.includes(this.topic) : type === 'subscribed' && topic === this.topic;
    if (this.#isOver) return;
    if (isGranted) this.answer();
    else if (type === 'notification') covers(this.topic, topic) && this.#take(message);
    else if (!topics.has(this.topic) && this.#saysWhy(message)) this.end(refusal(message, this.topic));
  }

  /** Behind a welcome without the topic comes why. An answer to what was asked before this began says nothing of this. */
  #saysWhy({ type, topic }) {
    if (type === 'error') return topic === this.topic;
    return type !== 'welcome' && (type !== 'unsubscribed' || this.isAnswered);
  }

  answer() {
    this.isAnswered = true;
    this.#resolve();
  }

  end(error = null) {
    if (this.#isOver) return;
    this.#isOver = true;
    if (error === null) this.#waiting = [];
    this.#error ??= error;
    this.#reject(error ?? coded('unsubscribed', 'the subscription has ended'));
    this.#wake();
    this.#onEnd();
  }

  #take(notification) {
    if (this.#listener) return this.#call(notification);
    if (this.#error !== null) return;
    if (this.#waiting.push(notification) > this.#limit) {
      this.#waiting = [];
      this.#error = coded('too_slow', `more than ${this.#limit} publications were waiting for the loop`);
    }
    this.#wake();
  }

  /** What it throws is told as of any listener: nobody else is kept from the publication. */
  #call(notification) {
    try {
      this.#listener(notification);
    } catch (error) {
      queueMicrotask(() => {
        throw error;
      });
    }
  }

  async *#loop() {
    for (;;) {
      while (this.#waiting.length > 0) yield this.#waiting.shift();
      if (this.#error !== null) {
        this.end();
        throw this.#error;
      }
      if (this.#isOver) return;
      await new Promise((resolve) => (this.#wake = resolve));
    }
  }
}

/** Whether who listens to the one hears what is published on the other. */
function covers(filter, topic) {
  return filter === topic || (filter.endsWith('*') && topic?.startsWith(filter.slice(0, -1)) === true);
}

function refusal({ type, code, message }, topic) {
  return type === 'error' ? coded(code, message) : coded('forbidden', `the server does not let this client listen to ${topic}`);
}

function coded(code, message) {
  return Object.assign(new Error(message), { code });
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

/** Whether the welcome answers a connection that asked to go on with: all that was missed follows. */
function hasResumed({ from }, welcome) {
  return from !== null && welcome.resumed === true;
}

function stops(code) {
  return STOP_CODES.has(code) || code >= STOP_FROM;
}

/** A single topic is not taken for its letters. */
function namesIn(topics = []) {
  const names = typeof topics === 'string' ? [null] : [...topics];
  if (names.some((topic) => typeof topic !== 'string')) throw new TypeError('topics are a list of strings, as in ["orders/*"]');
  return names;
}

/** How many failures in a row the next delay is drawn for. */
function inARow(failures, code) {
  return BACK_OFF_CODES.has(code) ? Math.max(failures, BACK_OFF_FAILURES) : failures;
}

function bytesOf(text) {
  return new TextEncoder().encode(text).length;
}

function isSpan(ms) {
  return Number.isFinite(ms) && ms >= 0;
}

function isSame(set, other) {
  return set.size === other.size && [...set].every((item) => other.has(item));
}

function tokenSource(given = null) {
  const token = trimmed(given);
  if (token === null || token === '') return null;
  if (typeof token === 'function' || isToken(token)) return token;
  throw new TypeError('the token is neither a JWT nor a function that gives one');
}

/** A file, or what a command has printed, ends in a newline. */
function trimmed(token) {
  return typeof token === 'string' ? token.trim() : token;
}

/** Whether it can be a token at all. */
export function isToken(token) {
  return typeof token === 'string' && TOKEN.test(token);
}

function tooLate() {
  return new Error(`no token came within ${TOKEN_TIMEOUT_MS / 1000} s`);
}

function isRefusal(message) {
  return message?.type === 'error' && REFUSALS.has(message.code) && message.topic === undefined && message.ref === undefined;
}

/** What a token says, not verified by anybody; nothing if it cannot be read. */
export function claimsOf(token) {
  try {
    const base64 = token.split('.')[1].replaceAll('-', '+').replaceAll('_', '/');
    const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
    return parseObject(new TextDecoder().decode(bytes)) ?? {};
  } catch {
    return {};
  }
}

function forgetOldest(set, size) {
  for (const item of set) {
    if (set.size <= size) return;
    set.delete(item);
  }
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
